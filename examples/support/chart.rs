//! Line charts as SVG, for the examples.

use candle_core::{Error, Result};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;
use std::path::Path;

/// Told apart by colour-blind readers too (Okabe and Ito 2008).
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
pub const ORANGE: RGBColor = RGBColor(213, 94, 0);
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
const GREY: RGBColor = RGBColor(90, 90, 90);
const PALE: RGBColor = RGBColor(225, 225, 225);
const FONT: &str = "sans-serif";
/// The SVG backend rounds coordinates to integers, which makes curves jagged. So everything is drawn this much larger
/// and shown smaller.
pub const SCALE: i32 = 4;

fn font(size: i32, colour: &RGBColor) -> TextStyle<'static> {
    (FONT, size * SCALE).into_font().color(colour)
}

pub type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A line. A NaN interrupts it.
pub struct Line {
    pub label: String,
    pub colour: RGBColor,
    pub dashed: bool,
    pub points: Vec<(f64, f64)>,
}

/// A range of x that is marked, and what it means, written to its left.
pub struct Band {
    pub label: String,
    pub x: Range<f64>,
}

pub struct Chart<'a> {
    pub title: &'a str,
    pub x_label: &'a str,
    pub y_label: &'a str,
    pub x: Range<f64>,
    /// Values outside are drawn on the edge.
    pub y: Range<f64>,
    pub log_y: bool,
    pub lines: &'a [Line],
    pub bands: &'a [Band],
}

/// Draws on a white page, which is then readable on a dark page as well. The canvas has [`SCALE`] times this size.
pub fn page(
    file: &Path,
    (width, height): (u32, u32),
    draw: impl FnOnce(&Canvas) -> Result<()>,
) -> Result<()> {
    let scale = SCALE as u32;
    let mut svg = String::new();
    let canvas = SVGBackend::with_string(&mut svg, (width * scale, height * scale)).into_drawing_area();
    canvas.fill(&WHITE).map_err(Error::wrap)?;
    draw(&canvas)?;
    canvas.present().map_err(Error::wrap)?;
    drop(canvas);
    let drawn = format!("width=\"{}\" height=\"{}\"", width * scale, height * scale);
    let shown = format!("width=\"{width}\" height=\"{height}\"");
    std::fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))
        .and_then(|()| std::fs::write(file, svg.replacen(&drawn, &shown, 1)))
        .map_err(|error| Error::msg(format!("cannot write {}: {error}", file.display())))
}

/// A line of text below or above charts.
pub fn caption(canvas: &Canvas, text: &str, at: (i32, i32)) -> Result<()> {
    canvas
        .draw_text(text, &font(14, &GREY), (at.0 * SCALE, at.1 * SCALE))
        .map_err(Error::wrap)
}

/// What the lines are, in one row from `at` to the right, `step` pixels apart.
pub fn legend(canvas: &Canvas, lines: &[Line], at: (i32, i32), step: i32) -> Result<()> {
    for (i, line) in lines.iter().enumerate() {
        let (x, y) = ((at.0 + i as i32 * step) * SCALE, at.1 * SCALE);
        draw_line(canvas, line, &[(x, y), (x + 28 * SCALE, y)])?;
        let style = font(15, &BLACK).pos(Pos::new(HPos::Left, VPos::Center));
        canvas
            .draw_text(&line.label, &style, (x + 36 * SCALE, y))
            .map_err(Error::wrap)?;
    }
    Ok(())
}

fn draw_line(canvas: &Canvas, line: &Line, points: &[(i32, i32)]) -> Result<()> {
    let style = line.colour.stroke_width(2 * SCALE as u32);
    if line.dashed {
        canvas.draw(&DashedPathElement::new(
            points.to_vec(),
            6 * SCALE,
            4 * SCALE,
            style,
        ))
    } else {
        canvas.draw(&PathElement::new(points.to_vec(), style))
    }
    .map_err(Error::wrap)
}

impl Chart<'_> {
    pub fn draw(&self, canvas: &Canvas) -> Result<()> {
        if self.log_y {
            let text = |y: &f64| format!("10{}", superscript(y.log10().round() as i32));
            self.draw_on(canvas, self.y.clone().log_scale(), text)
        } else {
            // Ticks such as −1e-17 are zero.
            let text = |y: &f64| format!("{}", (y * 100.0).round() / 100.0 + 0.0);
            self.draw_on(canvas, self.y.clone(), text)
        }
    }

    fn draw_on<Y>(&self, canvas: &Canvas, y: Y, y_text: impl Fn(&f64) -> String) -> Result<()>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(canvas)
            .caption(self.title, font(18, &BLACK))
            .margin(10 * SCALE)
            .x_label_area_size(42 * SCALE)
            .y_label_area_size(62 * SCALE)
            .build_cartesian_2d(self.x.clone(), y)
            .map_err(Error::wrap)?;
        for band in self.bands {
            let corners = [(band.x.start, self.y.start), (band.x.end, self.y.end)];
            chart
                .draw_series([Rectangle::new(corners, PALE.filled())])
                .map_err(Error::wrap)?;
        }
        chart
            .configure_mesh()
            .max_light_lines(1)
            .bold_line_style(PALE.stroke_width(SCALE as u32))
            .axis_style(GREY.stroke_width(SCALE as u32))
            .set_all_tick_mark_size(5 * SCALE)
            .x_desc(self.x_label)
            .y_desc(self.y_label)
            .x_label_formatter(&|x| format!("{x}").replace('-', "−"))
            .y_label_formatter(&|y| y_text(y).replace('-', "−"))
            .label_style(font(14, &BLACK))
            .axis_desc_style(font(15, &BLACK))
            .draw()
            .map_err(Error::wrap)?;
        for line in self.lines {
            let style = line.colour.stroke_width(2 * SCALE as u32);
            for part in line.points.split(|(_, y)| y.is_nan()) {
                let points = part.iter().map(|&(x, y)| (x, y.clamp(self.y.start, self.y.end)));
                if line.dashed {
                    chart
                        .draw_series(DashedLineSeries::new(points, 6 * SCALE, 4 * SCALE, style))
                        .map_err(Error::wrap)?;
                } else {
                    chart
                        .draw_series(LineSeries::new(points, style))
                        .map_err(Error::wrap)?;
                }
            }
        }
        for band in self.bands {
            let (x, y) = chart.backend_coord(&(band.x.start, self.y.end));
            let (x_range, y_range) = canvas.get_pixel_range();
            let at = (x - x_range.start - 6 * SCALE, y - y_range.start + 6 * SCALE);
            let style = font(14, &GREY).pos(Pos::new(HPos::Right, VPos::Top));
            canvas.draw_text(&band.label, &style, at).map_err(Error::wrap)?;
        }
        Ok(())
    }
}

fn superscript(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digit = |c: char| c.to_digit(10).map_or('⁻', |d| DIGITS[d as usize]);
    exponent.to_string().chars().map(digit).collect()
}
