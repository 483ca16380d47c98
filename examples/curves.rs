//! Draws the pictures of the README: the activations with their derivatives, and the errors of Mish in the tails.
//!
//! `cargo run --release --example curves` writes `docs/images/curves.svg` and `docs/images/tails.svg`.

#[path = "support/chart.rs"]
mod chart;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_mish::{Activation, Derivative};
use chart::{Band, Chart, Line, BLUE, GREEN, ORANGE, SCALE};
use std::path::Path;

fn main() -> Result<()> {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    draw_curves(&images.join("curves.svg"))?;
    draw_tails(&images.join("tails.svg"))
}

fn draw_curves(file: &Path) -> Result<()> {
    let titles = ["f", "f′, the gradient", "f″"];
    let ranges = [-0.6..6.0, -0.2..1.2, -0.3..0.7];
    let panels = (0..=2).map(activation_lines).collect::<Result<Vec<_>>>()?;
    chart::page(file, (1140, 440), |canvas| {
        let (top, bottom) = canvas.split_vertically(390 * SCALE);
        for (i, panel) in top.split_evenly((1, 3)).iter().enumerate() {
            let chart = Chart {
                title: titles[i],
                x_label: "x",
                y_label: "",
                x: -6.0..6.0,
                y: ranges[i].clone(),
                log_y: false,
                lines: &panels[i],
                bands: &[],
            };
            chart.draw(panel)?;
        }
        chart::legend(&bottom, &panels[0], (330, 20), 180)
    })
}

/// One line per activation, of the derivative of this order.
fn activation_lines(order: usize) -> Result<Vec<Line>> {
    let xs = Tensor::arange_step(-6.0, 6.0 + 1e-9, 0.05, &Device::Cpu)?;
    let ones = xs.ones_like()?;
    let mut lines = vec![];
    for (activation, colour) in Activation::ALL.into_iter().zip([BLUE, ORANGE, GREEN]) {
        let ys = match order {
            0 => xs.apply(&activation)?,
            _ => xs.apply_op2(&ones, Derivative::new(activation, order)?)?,
        };
        let points = xs.to_vec1()?.into_iter().zip(ys.to_vec1()?).collect();
        lines.push(Line {
            label: activation.to_string(),
            colour,
            dashed: false,
            points,
        });
    }
    Ok(lines)
}

/// The functions whose errors are compared.
#[derive(Clone, Copy)]
enum Quantity {
    Forward,
    Gradient,
}

fn draw_tails(file: &Path) -> Result<()> {
    let panels = [
        (Quantity::Forward, DType::F32, "forward, f32", 1e-9),
        (Quantity::Gradient, DType::F32, "gradient, f32", 1e-9),
        (Quantity::Forward, DType::F16, "forward, f16", 1e-5),
        (Quantity::Gradient, DType::F16, "gradient, f16", 1e-5),
    ];
    chart::page(file, (1140, 860), |canvas| {
        let (top, bottom) = canvas.split_vertically(780 * SCALE);
        let mut labels = vec![];
        for (area, (quantity, dtype, title, lowest)) in top.split_evenly((2, 2)).iter().zip(panels) {
            let lines = error_lines(quantity, dtype)?;
            let bands = nan_band(&lines[1]);
            let chart = Chart {
                title,
                x_label: "x",
                y_label: "relative error",
                x: TAILS.0..TAILS.1,
                y: lowest..10.0,
                log_y: true,
                lines: &lines,
                bands: &bands,
            };
            chart.draw(area)?;
            labels = lines;
        }
        chart::legend(&bottom, &labels, (330, 15), 280)?;
        let text = [
            "The largest relative error in every 0.1 of x, against f64. An error of 1 is a result of zero; errors below the axis are drawn on it.",
            "Near x = −1.19 the gradient crosses zero. In f16, results below x ≈ −12 are subnormal: there even correct rounding loses digits.",
        ];
        chart::caption(&bottom, text[0], (90, 34))?;
        chart::caption(&bottom, text[1], (90, 54))
    })
}

const TAILS: (f64, f64) = (-30.0, 15.0);

/// The errors of this crate and of `candle_nn::ops::mish`.
fn error_lines(quantity: Quantity, dtype: DType) -> Result<Vec<Line>> {
    let xs = Tensor::arange_step(TAILS.0, TAILS.1, 0.002, &Device::Cpu)?.to_dtype(dtype)?;
    let inputs = to_f64(&xs)?;
    let line = |label: &str, colour, f: fn(&Tensor) -> Result<Tensor>| -> Result<Line> {
        let results = match quantity {
            Quantity::Forward => f(&xs)?,
            Quantity::Gradient => {
                let xs = Var::from_tensor(&xs)?;
                let grads = f(&xs)?.backward()?;
                grads.get(&xs).expect("xs is a variable").clone()
            }
        };
        let points = worst_per_bin(&inputs, &to_f64(&results)?, quantity);
        Ok(Line {
            label: label.into(),
            colour,
            dashed: false,
            points,
        })
    };
    Ok(vec![
        line("candle-mish", BLUE, candle_mish::mish)?,
        line("candle_nn::ops::mish", ORANGE, candle_nn::ops::mish)?,
    ])
}

fn to_f64(xs: &Tensor) -> Result<Vec<f64>> {
    xs.to_dtype(DType::F64)?.to_vec1()
}

/// The largest relative error in each tenth, NaN where a result is.
fn worst_per_bin(inputs: &[f64], results: &[f64], quantity: Quantity) -> Vec<(f64, f64)> {
    let mut points = vec![];
    let bins = ((TAILS.1 - TAILS.0) * 10.0).round() as usize;
    for bin in 0..bins {
        let start = TAILS.0 + bin as f64 / 10.0;
        let mut worst = 0f64;
        for (&x, result) in inputs.iter().zip(results) {
            if (start..start + 0.1).contains(&x) {
                let truth = reference(x, quantity);
                if truth == 0.0 {
                    continue; // mish(0)
                }
                let error = ((result - truth) / truth).abs();
                worst = if error.is_nan() || worst.is_nan() {
                    f64::NAN
                } else {
                    worst.max(error)
                };
            }
        }
        points.push((start + 0.05, worst));
    }
    points
}

/// Mish and its derivative in f64, written differently from this crate: through `ln_1p` and `tanh`. Good to 1e-14 on
/// this range but for the derivative next to its root at x ≈ −1.19.
fn reference(x: f64, quantity: Quantity) -> f64 {
    let t = x.exp().ln_1p().tanh();
    match quantity {
        Quantity::Forward => x * t,
        Quantity::Gradient => t + x * (1.0 - t * t) / (1.0 + (-x).exp()),
    }
}

/// Where a line is NaN at its right end.
fn nan_band(line: &Line) -> Vec<Band> {
    let first = line.points.iter().find(|(_, y)| y.is_nan());
    let band = |&(x, _): &(f64, f64)| Band {
        label: "candle: NaN".into(),
        x: x - 0.05..TAILS.1,
    };
    first.map(band).into_iter().collect()
}
