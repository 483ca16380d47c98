//! The true values, twice, independent of the crate's formulas: [`Point`] in 160-bit arithmetic, [`Batch`] in f64 for
//! runs over millions of f32 inputs. `tests/reference.rs` checks the first against the definitions and the second
//! against the first.

use super::backend::Function;
use super::ulp::Exact;
use candle_mish::{Activation, Softplus};
use dashu_float::round::mode::HalfEven;
use dashu_float::FBig;

pub type Real = FBig<HalfEven, 2>;

/// Next to a root of a derivative an f64 input leaves 53 bits less, which still is more than 100.
pub const PRECISION: usize = 160;

pub fn real(x: f64) -> Real {
    real_of(x, PRECISION)
}

pub fn real_of(x: f64, precision: usize) -> Real {
    let x = Real::try_from(x).expect("a finite number");
    x.with_precision(precision).value()
}

/// Of x and t = exp(−|x|): everything the functions are made of.
///
/// | | x ≥ 0 | x < 0 |
/// | --- | --- | --- |
/// | D | 1 + 2t + 2t² | t² + 2t + 2 |
/// | T = tanh(softplus x) | (1 + 2t)/D | t(t + 2)/D |
/// | T′ | 4t²(1 + t)/D² | 4t(1 + t)/D² |
/// | T″ | 4t²(2t³ + 2t² − 3t − 2)/D³ | 4t(2 + 2t − 3t² − 2t³)/D³ |
/// | softplus | x + log1p t | log1p t |
/// | softplus′ | 1/(1 + t) | t/(1 + t) |
/// | softplus″ | t/(1 + t)² | t/(1 + t)² |
pub struct Point {
    x: Real,
    t: Real,
    negative: bool,
}

impl Point {
    pub fn new(x: f64) -> Self {
        Self::of(real(x))
    }

    pub fn of(x: Real) -> Self {
        let zero = real(0.0);
        let negative = x < zero;
        let distance = if negative { -x.clone() } else { x.clone() };
        // exp(−20000) is below the smallest f64 by more than any f64 can make up for.
        let limit = real(20000.0);
        let t = match distance {
            distance if distance == zero => real(1.0), // exp of an exact number has no precision of its own
            distance => (-distance.min(limit)).exp(),
        };
        Self { x, t, negative }
    }

    /// T, T′, T″.
    fn gate(&self) -> [Real; 3] {
        let (t, c) = (&self.t, real);
        let square = t * t;
        let cube = t * &square;
        let (d, first, second, third, lead);
        if self.negative {
            d = &square + c(2.0) * t + c(2.0);
            first = t * (t + c(2.0));
            lead = c(4.0) * t;
            third = c(2.0) + c(2.0) * t - c(3.0) * square - c(2.0) * cube;
        } else {
            d = c(1.0) + c(2.0) * t + c(2.0) * &square;
            first = c(1.0) + c(2.0) * t;
            lead = c(4.0) * &square;
            third = c(2.0) * cube + c(2.0) * square - c(3.0) * t - c(2.0);
        }
        second = &lead * (c(1.0) + t);
        [first / &d, second / (&d * &d), lead * third / (&d * &d * &d)]
    }

    fn softplus(&self) -> [Real; 3] {
        let (t, one) = (&self.t, real(1.0));
        let sum = &one + t;
        let (linear, numerator) = if self.negative {
            (real(0.0), t.clone())
        } else {
            (self.x.clone(), one)
        };
        [linear + t.ln_1p(), numerator / &sum, t / (&sum * &sum)]
    }

    /// f, f′, f″ of an activation without parameters.
    pub fn values(&self, activation: Activation) -> [Real; 3] {
        match activation {
            Activation::TanhSoftplus => self.gate(),
            Activation::Softplus(_) => self.softplus(),
            Activation::Mish => {
                let [t0, t1, t2] = self.gate();
                let x = &self.x;
                [x * &t0, t0 + x * &t1, real(2.0) * t1 + x * t2]
            }
        }
    }
}

/// f, f′, f″ at finite x; `single` where the type is f32 or narrower, as softplus then compares in f32.
pub fn exact(activation: Activation, x: f64, single: bool) -> [Exact; 3] {
    match activation {
        Activation::Softplus(s) if s != Softplus::default() => {
            if above(&s, x, single) {
                return [Exact::of(x), Exact::of(1.0), Exact::of(0.0)];
            }
            let beta = real(s.beta());
            let [f, d1, d2] = Point::of(&beta * real(x)).softplus();
            [to_exact(f / &beta), to_exact(d1), to_exact(d2 * beta)]
        }
        activation => exact_at(&Point::new(x), activation, x),
    }
}

/// As [`exact`], with the exponential already taken.
pub fn exact_at(point: &Point, activation: Activation, x: f64) -> [Exact; 3] {
    let mut values = point.values(activation).map(to_exact);
    if activation == Activation::Mish && x == 0.0 {
        values[0].high = x; // the sign of zero
    }
    values
}

/// Whether softplus is on its linear side: PyTorch's test, in the precision it has there.
pub fn above(softplus: &Softplus, x: f64, single: bool) -> bool {
    let (beta, threshold) = (softplus.beta(), softplus.threshold());
    if single {
        x as f32 * beta as f32 > threshold as f32
    } else {
        x * beta > threshold
    }
}

pub fn to_exact(x: Real) -> Exact {
    let digits = x.digits() as isize;
    let exponent = x.repr().exponent() + digits - 1;
    if digits == 0 {
        return Exact::of(0.0);
    }
    let x = x >> exponent;
    let high = x.to_f64().value();
    let low = (x - real(high)).to_f64().value();
    Exact {
        high,
        low,
        exponent: exponent as i32,
    }
}

/// Many x with t = exp(−|βx|) in f64. The exponential is the costly part: it serves every order, and every activation
/// without parameters.
#[derive(Default)]
pub struct Batch {
    x: Vec<f64>,
    /// βx.
    u: Vec<f64>,
    t: Vec<f64>,
}

impl Batch {
    pub fn set(&mut self, x: impl Iterator<Item = f64>, beta: f64) {
        self.x.clear();
        self.x.extend(x);
        self.u.clear();
        self.u.extend(self.x.iter().map(|x| x * beta));
        self.t.clear();
        self.t.extend(self.u.iter().map(|u| (-u.abs()).exp()));
    }

    pub fn new(x: impl Iterator<Item = f64>, beta: f64) -> Self {
        let mut batch = Self::default();
        batch.set(x, beta);
        batch
    }

    /// The factor on x that `f` needs in [`Batch::set`].
    pub fn beta(f: Function) -> f64 {
        match f.activation {
            Activation::Softplus(s) => s.beta(),
            _ => 1.0,
        }
    }

    /// f⁽ᵏ⁾ of every x, infinities included; NaN of NaN. `single` as in [`exact`].
    pub fn values(&self, f: Function, single: bool, out: &mut Vec<f64>) {
        use Activation::{Mish, Softplus as Sp, TanhSoftplus};
        // At an infinity, x times a decaying factor is zero; factoring out t keeps the sign of an underflow.
        let held = |x: f64| x.clamp(-1e5, 1e5);
        match (f.activation, f.order) {
            (Mish, 0) => self.map(out, |x, t| {
                let gate = gate(x, t);
                if x > 0.0 {
                    x * gate
                } else {
                    x.max(-1e5) * gate
                }
            }),
            (Mish, 1) => self.map(out, |x, t| {
                let d = denominator(x, t);
                let ahead = by_sign(x, t + 2.0, 1.0 + 2.0 * t) * d;
                by_sign(x, t, 1.0) * (ahead + held(x) * 4.0 * by_sign(x, 1.0, t * t) * (1.0 + t)) / (d * d)
            }),
            (Mish, _) => self.map(out, |x, t| {
                let d = denominator(x, t);
                let inner = 2.0 * (1.0 + t) * d + held(x) * bend(x, t);
                by_sign(x, t, t * t) * 4.0 * inner / (d * d * d)
            }),
            (TanhSoftplus, 0) => self.map(out, gate),
            (TanhSoftplus, 1) => self.map(out, |x, t| {
                let d = denominator(x, t);
                by_sign(x, t, t * t) * 4.0 * (1.0 + t) / (d * d)
            }),
            (TanhSoftplus, _) => self.map(out, |x, t| {
                let d = denominator(x, t);
                by_sign(x, t, t * t) * 4.0 * bend(x, t) / (d * d * d)
            }),
            (Sp(s), 0) => self.map(out, |u, t| (u.max(0.0) + t.ln_1p()) / s.beta()),
            (Sp(_), 1) => self.map(out, |u, t| if u < 0.0 { t } else { 1.0 } / (1.0 + t)),
            (Sp(s), _) => self.map(out, |_, t| t / ((1.0 + t) * (1.0 + t)) * s.beta()),
        }
        if let Sp(s) = f.activation {
            if s.threshold() < f64::INFINITY {
                for (value, &x) in out
                    .iter_mut()
                    .zip(&self.x)
                    .filter(|(_, x)| above(&s, **x, single))
                {
                    *value = [x, 1.0, 0.0][f.order];
                }
            }
        }
    }

    fn map(&self, out: &mut Vec<f64>, value: impl Fn(f64, f64) -> f64) {
        out.clear();
        out.extend(self.u.iter().zip(&self.t).map(|(&u, &t)| value(u, t)));
    }
}

/// `a` for x < 0, `b` otherwise, a NaN included.
#[inline(always)]
fn by_sign(x: f64, a: f64, b: f64) -> f64 {
    if x < 0.0 {
        a
    } else {
        b
    }
}

#[inline(always)]
fn denominator(x: f64, t: f64) -> f64 {
    2.0 * t + by_sign(x, t * t + 2.0, 1.0 + 2.0 * t * t)
}

#[inline(always)]
fn gate(x: f64, t: f64) -> f64 {
    by_sign(x, t * (t + 2.0), 1.0 + 2.0 * t) / denominator(x, t)
}

/// The polynomial of T″.
#[inline(always)]
fn bend(x: f64, t: f64) -> f64 {
    let negative = 2.0 + t * (2.0 - t * (3.0 + 2.0 * t));
    let positive = t * (t * (2.0 * t + 2.0) - 3.0) - 2.0;
    by_sign(x, negative, positive)
}
