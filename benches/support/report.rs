//! Results as rows, and rows as a table in Markdown or as JSON.

use super::cases::{Case, Pass, COMPOSED, COPY, FRESH, OURS, RELU};
use super::plan::{size_name, SIZES, SMALL};
use super::race::Time;
use serde_json::{json, Value};
use std::fmt::Write;

/// What one case took.
pub struct Row {
    pub case: Case,
    /// What each contender and each peer took, lap by lap.
    laps: Vec<(String, Vec<Time>)>,
}

impl Row {
    pub fn new(case: Case) -> Self {
        Self { case, laps: vec![] }
    }

    /// Adds what a lap gave for a contender or a peer.
    pub fn lap(&mut self, name: &str, time: Time) {
        match self.laps.iter_mut().find(|(known, _)| known == name) {
            Some((_, laps)) => laps.push(time),
            None => self.laps.push((name.to_string(), vec![time])),
        }
    }

    /// The same case with the best sample of everyone in place of the median: what they do when nothing disturbs them.
    pub fn undisturbed(&self) -> Self {
        let best = |laps: &Vec<Time>| {
            let time = Time::of_laps(laps);
            vec![Time {
                median: time.min,
                ..time
            }]
        };
        Self {
            case: self.case,
            laps: self
                .laps
                .iter()
                .map(|(name, laps)| (name.clone(), best(laps)))
                .collect(),
        }
    }

    /// What a contender took over all laps.
    fn time(&self, contender: &str) -> Option<Time> {
        let (_, laps) = self.laps.iter().find(|(name, _)| name == contender)?;
        Some(Time::of_laps(laps))
    }

    /// Seconds per call, the median.
    pub fn seconds(&self, contender: &str) -> Option<f64> {
        Some(self.time(contender)?.median)
    }

    /// 10⁶ elements per second.
    pub fn melem(&self, contender: &str) -> Option<f64> {
        Some(self.case.elements as f64 / self.seconds(contender)? / 1e6)
    }

    /// 10⁹ bytes per second that ours reads and writes.
    pub fn gb(&self) -> Option<f64> {
        Some(self.case.bytes()? as f64 / self.seconds(OURS)? / 1e9)
    }

    /// How many times as fast as the contender ours is.
    pub fn over(&self, contender: &str) -> Option<f64> {
        Some(self.seconds(contender)? / self.seconds(OURS)?)
    }

    /// The case in words.
    pub fn label(&self) -> String {
        let case = &self.case;
        format!(
            "{} {} {} {}",
            case.op(),
            case.pass.name(),
            case.dtype.as_str(),
            size_name(case.elements)
        )
    }

    pub fn json(&self) -> Value {
        let times = self.laps.iter().map(|(name, laps)| {
            let time = Time::of_laps(laps);
            let nanos = |seconds: f64| (seconds * 1e10).round() / 10.0;
            let value = json!({ "median_ns": nanos(time.median), "min_ns": nanos(time.min), "samples": time.samples });
            (name.clone(), value)
        });
        json!({
            "op": self.case.op(),
            "pass": self.case.pass.name(),
            "dtype": self.case.dtype.as_str(),
            "elements": self.case.elements,
            "output": if self.case.mapped { "mapped" } else { "fresh" },
            "bytes": self.case.bytes(),
            "results": times.collect::<serde_json::Map<_, _>>(),
        })
    }
}

type Column = (&'static str, fn(&Row) -> Option<f64>);

const OWN: [Column; 8] = [
    ("ours, Melem/s", |row| row.melem(OURS)),
    ("best sample", |row| row.undisturbed().melem(OURS)),
    ("GB/s", Row::gb),
    ("% of copy", |row| Some(100.0 * row.over(COPY)?)),
    ("candle composed, Melem/s", |row| row.melem(COMPOSED)),
    ("ours/composed", |row| row.over(COMPOSED)),
    ("candle relu, Melem/s", |row| row.melem(RELU)),
    ("fresh pages alone, Melem/s", |row| row.melem(FRESH)),
];
const PEERS: [Column; 4] = [
    ("PyTorch eager", |row| row.melem("torch-eager")),
    ("torch.compile", |row| row.melem("torch-compile")),
    ("JAX", |row| row.melem("jax-jit")),
    ("ours/PyTorch", |row| row.over("torch-eager")),
];

/// Throughput by case, beside the peers if there are any.
pub fn throughput(rows: &[Row], with_peers: bool) -> String {
    let columns = [&OWN[..], if with_peers { &PEERS } else { &[] }].concat();
    let mut text = String::from("| op | pass | dtype | elements |");
    for (name, _) in &columns {
        write!(text, " {name} |").unwrap();
    }
    text += "\n| --- | --- | --- | ---: |";
    text += &" ---: |".repeat(columns.len());
    for row in rows.iter().filter(|row| SIZES.contains(&row.case.elements)) {
        let Case {
            pass,
            dtype,
            elements,
            mapped,
            ..
        } = row.case;
        let pass = if mapped {
            "forward, mapped output"
        } else {
            pass.name()
        };
        write!(
            text,
            "\n| {} | {pass} | {} | {} |",
            row.case.op(),
            dtype.as_str(),
            size_name(elements)
        )
        .unwrap();
        for (_, value) in &columns {
            write!(text, " {} |", number(value(row))).unwrap();
        }
    }
    text + "\n"
}

/// What a call costs where tensors are small.
pub fn small(rows: &[Row]) -> String {
    let mut text =
        String::from("| op | dtype | elements | ours, ns | candle relu, ns | difference, ns per element |\n");
    text += "| --- | --- | ---: | ---: | ---: | ---: |\n";
    for row in rows
        .iter()
        .filter(|row| row.case.pass == Pass::Forward && SMALL.contains(&row.case.elements))
    {
        let Case { dtype, elements, .. } = row.case;
        let nanos = |contender| row.seconds(contender).map(|s| s * 1e9);
        writeln!(
            text,
            "| {} | {} | {elements} | {} | {} | {} |",
            row.case.op(),
            dtype.as_str(),
            number(nanos(OURS)),
            number(nanos(RELU)),
            number(above_relu(row)),
        )
        .unwrap();
    }
    text
}

/// What ours takes more than relu, in ns per element.
pub fn above_relu(row: &Row) -> Option<f64> {
    Some((row.seconds(OURS)? - row.seconds(RELU)?) * 1e9 / row.case.elements as f64)
}

/// Three digits, or a dash.
pub fn number(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(v) if v.abs() >= 100.0 => format!("{v:.0}"),
        Some(v) if v.abs() >= 10.0 => format!("{v:.1}"),
        Some(v) => format!("{v:.2}"),
    }
}
