//! The accuracy checks of 16-bit types and of f64, and the table they and the f32 sweep print.

use super::backend::{eval, Backend, Function, ORDERS};
use super::contract::{self, near_root, Bound};
use super::inputs::{every_half, Random};
use super::parallel::parallel;
use super::reference::{exact, exact_at, Batch, Point};
use super::ulp::{self, Element, Exact};
use candle_core::DType;
use candle_mish::{Activation, Softplus};
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
        let Self { error, x, actual, expected, .. } = self;
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
            self.reach = self.reach.max(contract::root_distance(self.function, found.x).min(1.0));
        }
        let absolute = (found.actual - found.expected).abs() / self.bound.absolute;
        if next_to_root && found.error > self.bound.ulp && absolute.is_finite() {
            self.at_root.update(Worst { error: absolute, ..found });
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
            self.wrong = Some(format!("{:e} at x = {x:e}, expected {:e}", actual.to_f64(), expected.to_f64()));
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

    fn passed(&self) -> bool {
        let rounded = !self.bound.nearest || self.misrounded + self.signless == 0;
        rounded && self.worst.error <= self.bound.ulp && self.at_root.error <= 1.0 && self.wrong.is_none()
    }

    fn lines(&self) -> String {
        let Self { function, dtype, bound, inputs, .. } = self;
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
    let share = |row: &Row| row.worst.error / row.bound.ulp;
    let worst = rows.iter().max_by(|a, b| share(a).total_cmp(&share(b))).unwrap();
    show(&format!("{title}: {} functions\n{}", rows.len(), worst.lines()));
    verdict(title, rows);
}

fn verdict(title: &str, rows: &[Row]) {
    let failed: String = rows.iter().filter(|row| !row.passed()).map(Row::lines).collect();
    assert!(failed.is_empty(), "{title}, contract missed:\n{failed}");
}

/// To standard error past the test harness, in one piece.
pub fn show(text: &str) {
    let _ = std::io::stderr().lock().write_all(format!("\n{}\n", text.trim_end()).as_bytes());
}

/// The relative error of the reference in f64 is less, but for the neighbourhood of the roots: rounding βx costs
/// |βx| half-ulps, 708 of them before exp underflows.
pub const REFERENCE_ERROR: f64 = 1.0 / (1u64 << 43) as f64;

/// f⁽ᵏ⁾ of all 65,536 inputs.
pub fn half<T: Element>(backend: &dyn Backend, f: Function) -> Row {
    let x = every_half::<T>();
    let actual = eval(backend, f, &x, None);
    let mut row = Row::new::<T>(f, contract::bound(backend.side(), T::DTYPE, f.order));
    let mut reference = Vec::new();
    Batch::new(x.iter().map(|x| x.to_f64()), Batch::beta(f)).values(f, true, &mut reference);
    for ((x, actual), value) in x.iter().zip(actual).zip(reference) {
        row.inputs += 1;
        let x = x.to_f64();
        if !x.is_finite() || !value.is_finite() {
            row.take_special(x, actual, T::from_f64(value));
            continue;
        }
        let (unrounded, nearest) = match ulp::nearest_of::<T>(value, REFERENCE_ERROR) {
            Some(bits) if !near_root(f, x) => (Exact::of(value), bits),
            _ => {
                let unrounded = exact(f.activation, x, true)[f.order];
                (unrounded, ulp::nearest::<T>(&unrounded))
            }
        };
        row.take_nearest(actual, nearest);
        let error = ulp::error(actual, &unrounded);
        row.take(false, Worst { error, x, g: None, actual: actual.to_f64(), expected: value });
    }
    row
}

/// g·f⁽ᵏ⁾ of all 65,536 inputs with several g for each: of any size, and between 1 and 2.
pub fn half_product<T: Element>(backend: &dyn Backend, f: Function) -> Row {
    let x = every_half::<T>();
    let mut row = Row::new::<T>(f, contract::product_bound(backend.side(), T::DTYPE, f.order));
    let mut reference = Vec::new();
    Batch::new(x.iter().map(|x| x.to_f64()), Batch::beta(f)).values(f, true, &mut reference);
    let random = &mut Random(16);
    for round in 0..4 {
        let g: Vec<T> = x.iter().map(|_| if round % 2 == 0 { random.finite() } else { random.factor() }).collect();
        let actual = eval(backend, f, &x, Some(&g));
        for (((x, g), actual), value) in x.iter().zip(&g).zip(actual).zip(&reference) {
            row.inputs += 1;
            let (x, g) = (x.to_f64(), g.to_f64());
            let product = value * g;
            if !x.is_finite() {
                row.take_special(x, actual, T::from_f64(product));
                continue;
            }
            let unrounded = Exact::of(product);
            let error = ulp::error(actual, &unrounded);
            row.take_nearest(actual, ulp::nearest::<T>(&unrounded));
            row.take(false, Worst { error, x, g: Some(g), actual: actual.to_f64(), expected: product });
        }
    }
    row
}

/// f, f′ and f″ in f64 at `points` against 160-bit arithmetic.
pub fn double(backend: &dyn Backend, activations: &[Activation], points: &[f64]) -> Vec<Row> {
    const CHUNK: usize = 256;
    let functions = Function::of(activations);
    let actual: Vec<Vec<f64>> = functions.iter().map(|f| eval(backend, *f, points, None)).collect();
    let rows = || {
        let row = |f: &Function| Row::new::<f64>(*f, contract::bound(backend.side(), DType::F64, f.order));
        functions.iter().map(row).collect::<Vec<_>>()
    };
    let check = |rows: &mut Vec<Row>, i: usize| {
        let point = Point::new(points[i]);
        for (a, activation) in activations.iter().enumerate() {
            let expected = match activation {
                Activation::Softplus(s) if *s != Softplus::default() => exact(*activation, points[i], false),
                _ => exact_at(&point, *activation, points[i]),
            };
            for order in ORDERS {
                let row = &mut rows[a * ORDERS.len() + order];
                let (x, actual, expected) = (points[i], actual[a * ORDERS.len() + order][i], expected[order]);
                row.inputs += 1;
                let found = Worst {
                    error: ulp::error(actual, &expected),
                    x,
                    g: None,
                    actual,
                    expected: expected.rounded(),
                };
                row.take(near_root(row.function, x), found);
            }
        }
    };
    let check = |rows: &mut Vec<Row>, chunk: usize| {
        let end = points.len().min((chunk + 1) * CHUNK);
        (chunk * CHUNK..end).for_each(|i| check(rows, i));
    };
    merged(parallel(points.len().div_ceil(CHUNK), rows, check))
}

/// Adds up the rows that several threads came to.
pub fn merged(threads: Vec<Vec<Row>>) -> Vec<Row> {
    let mut threads = threads.into_iter();
    let mut rows = threads.next().unwrap();
    for other in threads {
        rows.iter_mut().zip(other).for_each(|(row, other)| row.merge(other));
    }
    rows
}
