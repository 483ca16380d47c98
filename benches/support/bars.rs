//! The speed that this crate holds itself to on a CPU, and whether it was met.

use super::cases::{Pass, COMPOSED, COPY, OURS};
use super::plan::{KI, MI, SMALL};
use super::report::{above_relu, number, Row};
use candle_core::DType;
use serde_json::{json, Value};

pub struct Bar {
    what: String,
    /// The bound, as text.
    bound: String,
    /// The worst value and the case that it belongs to.
    worst: Option<(f64, String)>,
    /// Cases that have a value.
    cases: usize,
    met: Option<bool>,
}

impl Bar {
    /// The worst of the rows that `of` has a value for must be at least `bound`.
    fn at_least(
        what: String,
        bound: f64,
        unit: &str,
        rows: &[Row],
        of: impl Fn(&Row) -> Option<f64>,
    ) -> Self {
        let mut bar = Self::at_most(what, -bound, unit, rows, |row| Some(-of(row)?));
        bar.bound = format!("≥ {bound}{unit}");
        bar.worst = bar.worst.map(|(value, label)| (-value, label));
        bar
    }

    fn at_most(what: String, bound: f64, unit: &str, rows: &[Row], of: impl Fn(&Row) -> Option<f64>) -> Self {
        let values: Vec<_> = rows
            .iter()
            .filter_map(|row| Some((of(row)?, row.label())))
            .collect();
        let cases = values.len();
        let worst = values.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        let met = worst.as_ref().map(|(value, _)| *value <= bound);
        Self {
            what,
            bound: format!("≤ {bound}{unit}"),
            worst,
            cases,
            met,
        }
    }

    fn json(&self, undisturbed: &Self) -> Value {
        let worst = |bar: &Self| bar.worst.as_ref().map(|w| w.0);
        json!({
            "bar": self.what,
            "bound": self.bound,
            "worst": worst(self),
            "at": self.worst.as_ref().map(|w| &w.1),
            "cases": self.cases,
            "met": self.met,
            "worst_of_best_samples": worst(undisturbed),
        })
    }
}

/// All bars.
pub fn evaluate(rows: &[Row]) -> Vec<Bar> {
    let middle = |row: &Row, op: &str, pass: Pass| {
        let case = &row.case;
        case.activation.name() == op && case.pass == pass && (16 * KI..=MI).contains(&case.elements)
    };
    let eager = |row: &Row| row.over("torch-eager");
    let mut bars = vec![Bar::at_least(
        "f32 forward, 16 Mi and more, mapped output: share of the parallel copy".into(),
        90.0,
        " %",
        rows,
        |row| {
            row.case
                .mapped
                .then(|| row.over(COPY))?
                .map(|share| 100.0 * share)
        },
    )];
    let by_dtype = [
        (DType::F32, 10.0),
        (DType::F16, 8.0),
        (DType::BF16, 8.0),
        (DType::F64, 5.0),
    ];
    for pass in [Pass::Forward, Pass::Backward] {
        for (dtype, bound) in by_dtype {
            let case = format!("Mish {} {}", pass.name(), dtype.as_str());
            let what = format!("{case}, 16 Ki to 1 Mi: over PyTorch eager");
            bars.push(Bar::at_least(what, bound, "×", rows, |row| {
                (middle(row, "mish", pass) && row.case.dtype == dtype).then(|| eager(row))?
            }));
        }
    }
    let is_f32 = |row: &Row| row.case.dtype == DType::F32;
    let what = "Mish forward f32, 16 Ki to 1 Mi: over candle composed".into();
    bars.push(Bar::at_least(what, 40.0, "×", rows, |row| {
        (is_f32(row) && middle(row, "mish", Pass::Forward)).then(|| row.over(COMPOSED))?
    }));
    let what = "Mish backward f32, 16 Ki to 1 Mi: over what candle composed's backward adds to its forward";
    bars.push(Bar::at_least(what.into(), 40.0, "×", rows, |row| {
        (is_f32(row) && middle(row, "mish", Pass::Backward)).then(|| over_composed(row, rows))?
    }));
    for (pass, bound) in [(Pass::Forward, 4.0), (Pass::Backward, 1.3)] {
        let what = format!("Softplus {}, 16 Ki to 1 Mi: over PyTorch eager", pass.name());
        bars.push(Bar::at_least(what, bound, "×", rows, |row| {
            middle(row, "softplus", pass).then(|| eager(row))?
        }));
    }
    let what = "Mish f32, 16 Mi and 64 Mi, fresh outputs: over PyTorch eager".into();
    bars.push(Bar::at_least(what, 8.0, "×", rows, |row| {
        let case = &row.case;
        let large = case.dtype == DType::F32 && case.elements >= 16 * MI && !case.mapped;
        (large && case.activation.name() == "mish").then(|| eager(row))?
    }));
    let what = "Forward, 64 to 4 Ki elements: beyond a candle relu".into();
    bars.push(Bar::at_most(what, 1.0, " ns per element", rows, |row| {
        (row.case.pass == Pass::Forward && SMALL.contains(&row.case.elements)).then(|| above_relu(row))?
    }));
    bars
}

/// Composed has no backward kernel to time alone: its training step less its forward, over our kernel.
fn over_composed(row: &Row, rows: &[Row]) -> Option<f64> {
    let composed = |pass| {
        let of_pass = |other: &&Row| {
            let (a, b) = (&row.case, &other.case);
            b.pass == pass && a.activation == b.activation && a.dtype == b.dtype && a.elements == b.elements
        };
        rows.iter().find(of_pass)?.seconds(COMPOSED)
    };
    let added = composed(Pass::Train)? - composed(Pass::Forward)?;
    // The two are measured one after the other, and machines change between them.
    let ours = row.seconds(OURS)?;
    (added > 0.0).then_some(added / ours)
}

/// Bars of the medians, and beside them those of the best samples.
pub fn markdown([bars, undisturbed]: [&[Bar]; 2]) -> String {
    let mut text = String::from(
        "| bar | bound | worst measured | at | cases | met | worst of best samples | at |
| --- | ---: | ---: | --- | ---: | --- | ---: | --- |\n",
    );
    for (bar, undisturbed) in bars.iter().zip(undisturbed) {
        let worst = |bar: &Bar| match &bar.worst {
            Some((value, label)) => (number(Some(*value)), label.clone()),
            None => (number(None), "–".into()),
        };
        let ((worst, at), (best, best_at)) = (worst(bar), worst(undisturbed));
        let met = bar
            .met
            .map_or("not measured", |met| if met { "yes" } else { "**no**" });
        text += &format!(
            "| {} | {} | {worst} | {at} | {} | {met} | {best} | {best_at} |\n",
            bar.what, bar.bound, bar.cases
        );
    }
    text
}

pub fn json(bars: &[Bar], undisturbed: &[Bar]) -> Value {
    let pairs = bars.iter().zip(undisturbed);
    pairs.map(|(bar, undisturbed)| bar.json(undisturbed)).collect()
}
