//! The table of worst errors: one row for a function in a type, printed always, checked against the contract.

use super::backend::Function;
use super::contract::{self, Bound};
use super::ulp::Element;
use candle_core::DType;
use std::io::Write;

/// The largest error so far, and where.
#[derive(Clone, Copy, Debug, Default)]
pub struct Worst {
    pub error: f64,
    pub x: f64,
    pub g: Option<f64>,
    pub actual: f64,
    pub expected: f64,
}

impl Worst {
    pub fn update(&mut self, other: Self) {
        if other.error > self.error {
            *self = other;
        }
    }

    fn line(&self, unit: &str) -> String {
        let Self {
            error,
            x,
            actual,
            expected,
            ..
        } = self;
        let g = self.g.map_or(String::new(), |g| format!(", g = {g:e}"));
        format!("{error:.4} {unit} at x = {x:e}{g}: {actual:e}, expected {expected:e}")
    }
}

/// What was found about one function in one type.
#[derive(Clone, Debug)]
pub struct Row {
    pub function: Function,
    pub dtype: DType,
    pub bound: Bound,
    pub inputs: u64,
    /// Not the nearest value.
    pub misrounded: u64,
    /// Zeros without the sign of the true value.
    pub signless: u64,
    /// In ulps, but for inputs that only pass by the absolute bound next to a root.
    pub worst: Worst,
    /// Absolute, in units of the bound, of the inputs next to a root that miss the one in ulps.
    pub at_root: Worst,
    /// How far from a root an input misses the bound in ulps.
    pub reach: f64,
    /// Special values that came out wrong: a NaN, infinity or zero.
    pub wrong: Option<String>,
}

impl Row {
    pub fn new<T: Element>(function: Function, bound: Bound) -> Self {
        Self {
            function,
            dtype: T::DTYPE,
            bound,
            inputs: 0,
            misrounded: 0,
            signless: 0,
            worst: Worst::default(),
            at_root: Worst::default(),
            reach: 0.0,
            wrong: None,
        }
    }

    /// Takes note of one result. `next_to_root` as [`contract::near_root`] has it.
    pub fn take(&mut self, next_to_root: bool, found: Worst) {
        if found.error > self.bound.ulp {
            self.reach = self
                .reach
                .max(contract::root_distance(self.function, found.x).min(1.0));
        }
        let absolute = (found.actual - found.expected).abs() / self.bound.absolute;
        if next_to_root && found.error > self.bound.ulp && absolute.is_finite() {
            self.at_root.update(Worst {
                error: absolute,
                ..found
            });
        } else {
            self.worst.update(found);
        }
    }

    /// Takes note of whether a result is the nearest one.
    pub fn take_nearest<T: Element>(&mut self, actual: T, nearest: u64) {
        let alike = actual.to_f64() == T::from_bits(nearest).to_f64();
        self.misrounded += !alike as u64;
        self.signless += (alike && actual.bits() != nearest) as u64;
    }

    /// Takes note of a result that is to be a NaN, an infinity or a limit, of which the sign counts.
    pub fn take_special<T: Element>(&mut self, x: f64, actual: T, expected: T) {
        if !actual.alike(expected) && self.wrong.is_none() {
            self.wrong = Some(format!(
                "{:e} at x = {x:e}, expected {:e}",
                actual.to_f64(),
                expected.to_f64()
            ));
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.misrounded += other.misrounded;
        self.signless += other.signless;
        self.worst.update(other.worst);
        self.at_root.update(other.at_root);
        self.reach = self.reach.max(other.reach);
        self.wrong = self.wrong.take().or(other.wrong);
    }

    /// How much of its bound the worst error takes up.
    pub fn share(&self) -> f64 {
        self.worst.error / self.bound.ulp
    }

    pub fn passed(&self) -> bool {
        let rounded = !self.bound.nearest || self.misrounded + self.signless == 0;
        rounded && self.worst.error <= self.bound.ulp && self.at_root.error <= 1.0 && self.wrong.is_none()
    }

    pub fn lines(&self) -> String {
        let Self {
            function,
            dtype,
            bound,
            inputs,
            ..
        } = self;
        let mark = if self.passed() { ' ' } else { '✗' };
        let mut text = format!("{mark} {} {function:<20}{inputs:>11} inputs", dtype.as_str());
        if dtype.size_in_bytes() == 2 {
            text += &format!(", {} misrounded", self.misrounded);
            if self.signless > 0 {
                text += &format!(", {} zeros with the wrong sign", self.signless);
            }
        }
        text += &format!(", worst {} (bound {})\n", self.worst.line("ulp"), bound.ulp);
        if self.at_root.error > 0.0 {
            let line = self.at_root.line("of the absolute bound");
            text += &format!("      up to {:.1e} from a root {line}\n", self.reach);
        }
        if let Some(wrong) = &self.wrong {
            text += &format!("      wrong: {wrong}\n");
        }
        text
    }
}

/// Prints every row, also when all is well and the test harness swallows output; fails if one missed its bound.
pub fn conclude(title: &str, rows: &[Row]) {
    let text: String = rows.iter().map(Row::lines).collect();
    show(&format!("{title}\n{text}"));
    verdict(title, rows);
}

/// As [`conclude`], but prints no more than the row that is closest to its bound.
pub fn conclude_briefly(title: &str, rows: &[Row]) {
    let worst = rows
        .iter()
        .max_by(|a, b| a.share().total_cmp(&b.share()))
        .unwrap();
    show(&format!("{title}: {} functions\n{}", rows.len(), worst.lines()));
    verdict(title, rows);
}

fn verdict(title: &str, rows: &[Row]) {
    assert!(!rows.is_empty(), "{title}: nothing was checked");
    if let Some(row) = rows.iter().find(|row| row.inputs == 0) {
        panic!("{title}: no inputs of {} in {:?}", row.function, row.dtype);
    }
    let failed: String = rows.iter().filter(|row| !row.passed()).map(Row::lines).collect();
    assert!(failed.is_empty(), "{title}, contract missed:\n{failed}");
}

/// To standard error past the test harness, in one piece.
pub fn show(text: &str) {
    let _ = std::io::stderr()
        .lock()
        .write_all(format!("\n{}\n", text.trim_end()).as_bytes());
}

/// Adds up the rows that several threads came to.
pub fn merged(threads: Vec<Vec<Row>>) -> Vec<Row> {
    let mut threads = threads.into_iter();
    let mut rows = threads.next().unwrap();
    for other in threads {
        rows.iter_mut()
            .zip(other)
            .for_each(|(row, other)| row.merge(other));
    }
    rows
}
