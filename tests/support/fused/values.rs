//! The fused neighbours against arithmetic of more precision, in any layout.
//!
//! A result may be off by what the contract allows f, f′ and the type, and by what rounding u = x·scale + shift once, in
//! the type that is computed in, does to it: |f′(u)| or |f″(u)| times half an ulp of u.

use super::super::backend::{values, Function};
use super::super::contract::{bound, is_flushed, near_root, Side, COMPUTED_IN_F32};
use super::super::reference::{real, to_exact, Batch, Point, Real};
use super::super::ulp::{ulp, Element};
use super::{Case, FusedBackend};
use candle_core::{DType, Tensor};

/// The worst error so far, in units of what is allowed.
#[derive(Debug, Default)]
pub struct Worst {
    pub error: f64,
    line: String,
}

impl Worst {
    fn take(&mut self, error: f64, allowed: f64, what: impl FnOnce() -> String) {
        let error = match error {
            0.0 => 0.0,
            error if error.is_nan() => f64::INFINITY,
            error => error / allowed,
        };
        if error > self.error {
            self.error = error;
            self.line = format!("{error:.3} of what is allowed: {}", what());
        }
    }
}

/// |actual − exact|, without rounding what is exact.
fn distance(actual: f64, exact: &Real) -> f64 {
    match actual.is_finite() {
        true => (real(actual) - exact).to_f64().value().abs(),
        false => f64::NAN,
    }
}

/// f, f′ and f″ at u of one element.
struct Exactly {
    f: [Real; 3],
    /// What rounding u does to u.
    du: f64,
    u: f64,
}

impl Exactly {
    /// In 160 bits if u is computed in f64, otherwise in f64.
    fn new<C: Element>(case: &Case, x: f64, scale: f64, shift: f64) -> Self {
        let activation = case.fused.activation();
        let (f, u) = if C::DTYPE == DType::F64 {
            let u = real(x) * real(scale) + real(shift);
            let rounded = u.to_f64().value();
            // An exact zero has no precision of its own.
            let point = if rounded == 0.0 {
                Point::new(0.0)
            } else {
                Point::of(u)
            };
            (point.values(activation), rounded)
        } else {
            // The product is exact.
            let u = x * scale + shift;
            let batch = Batch::new(std::iter::once(u), 1.0);
            let value = |order| {
                let mut out = vec![];
                batch.values(Function { activation, order }, true, &mut out);
                real(out[0])
            };
            ([0, 1, 2].map(value), u)
        };
        let du = 0.5 * ulp::<C>(u);
        Self { f, du, u }
    }

    fn of(&self, order: usize) -> f64 {
        to_exact(self.f[order].clone()).rounded()
    }

    /// What f′ in the type C may be off by, from its own error and that of u.
    fn allowed_d1<C: Element>(&self, case: &Case, side: Side) -> f64 {
        let one = bound(side, C::DTYPE, 1);
        let own = one.ulp * ulp::<C>(self.of(1));
        let own = match near_root(case.function(1), self.u) {
            true => own.max(one.absolute),
            false => own,
        };
        own + self.of(2).abs() * self.du
    }
}

/// Forward, and backward with g, of a case in T, which is computed in C.
pub fn check_values<T: Element, C: Element>(
    b: &dyn FusedBackend,
    case: &Case,
    g: &Tensor,
    worst: &mut [Worst; 3],
) {
    let (side, narrow) = (b.side(), T::WIDTH < C::WIDTH);
    let wide = |t: &Tensor| -> Vec<f64> { values::<f64>(&t.to_dtype(DType::F64).unwrap()) };
    let fail = |e: candle_core::Error| -> Tensor { panic!("{case}: {e}") };
    let (x, g_values) = (wide(&case.x), wide(g));
    let (scale, shift) = (case.scale.as_ref().map(wide), wide(&case.shift));
    let outputs = [
        b.forward(case).unwrap_or_else(fail),
        b.input(case, g).unwrap_or_else(fail),
    ];
    let sums = b.sums(case, g).unwrap_or_else(fail);
    for out in &outputs {
        assert_eq!((out.dims(), out.dtype()), (case.x.dims(), T::DTYPE), "{case}");
    }
    let [forward, input] = outputs.map(|out| values::<T>(&out));
    let channels = shift.len();
    let rows = 1 + usize::from(scale.is_some());
    assert_eq!(
        (sums.dims(), sums.dtype()),
        (&[rows, channels][..], C::DTYPE),
        "{case}"
    );
    let inner: usize = case.x.dims()[case.axis + 1..].iter().product();
    let mut totals = vec![[real(0.0), real(0.0)]; channels];
    let mut allowances = vec![[0.0, 0.0]; channels];
    let unit = 0.5 * 2f64.powi(-C::FRACTION);
    let count = x.len() as f64 / channels as f64;
    for (i, &x) in x.iter().enumerate() {
        let channel = i / inner % channels;
        let (a, s, g) = (
            scale.as_ref().map_or(1.0, |a| a[channel]),
            shift[channel],
            g_values[i],
        );
        let e = Exactly::new::<C>(case, x, a, s);
        let what = |actual: T, expected: f64| {
            format!("{case}, element {i}: x = {x:e}, scale {a:e}, shift {s:e}, g {g:e}: {actual}, expected {expected:e}")
        };

        let lost = |actual: T, factors: &[f64]| is_flushed(b.flushes(), actual.to_f64(), factors);
        let own = match narrow {
            true => COMPUTED_IN_F32,
            false => bound(side, T::DTYPE, 0).ulp,
        } * ulp::<T>(e.of(0));
        let allowed = own * (1.0 + 1e-9) + e.of(1).abs() * e.du;
        if !lost(forward[i], &[e.of(0)]) {
            worst[0].take(distance(forward[i].to_f64(), &e.f[0]), allowed, || {
                what(forward[i], e.of(0))
            });
        }

        let d1 = e.allowed_d1::<C>(case, side);
        let exact = real(g) * real(a) * &e.f[1];
        let rounded = to_exact(exact.clone()).rounded();
        // Two products, each rounded, the last one perhaps into the subnormals, and a narrow type once more.
        let products = 2.0 * unit * rounded.abs() + ulp::<C>(0.0) * (1.0 + a.abs());
        let last = if narrow {
            COMPUTED_IN_F32 * ulp::<T>(rounded)
        } else {
            0.0
        };
        let allowed = (g * a).abs() * d1 + products + last;
        if !lost(input[i], &[g, g * e.of(1), rounded]) {
            worst[1].take(distance(input[i].to_f64(), &exact), allowed, || {
                what(input[i], rounded)
            });
        }

        // Of g, x, their product with f′ and that of all three, each may be a subnormal number that is lost.
        let flushed = if b.flushes() {
            f64::from(f32::MIN_POSITIVE) * (1.0 + x.abs()) * (1.0 + e.of(1).abs()) * (1.0 + g.abs())
        } else {
            0.0
        };
        let terms = [real(g) * &e.f[1] * real(x), real(g) * &e.f[1]];
        for (row, term) in terms.into_iter().enumerate() {
            let factor = if row == 0 { g * x } else { g };
            // Products, and the sum itself: in f64 on the CPU, compensated but for what candle adds up on a device.
            let roundings = 4.0 + count / if C::DTYPE == DType::F64 { 1.0 } else { 64.0 };
            let magnitude = to_exact(term.clone()).rounded().abs();
            allowances[channel][row] +=
                factor.abs() * d1 + roundings * unit * magnitude + ulp::<C>(0.0) + flushed;
            totals[channel][row] = &totals[channel][row] + term;
        }
    }
    let sums = wide(&sums);
    for channel in 0..channels {
        for row in 0..rows {
            // A single row is that of shift.
            let kind = row + 2 - rows;
            let (actual, total) = (sums[row * channels + channel], &totals[channel][kind]);
            let what = || format!("{case}, sum {kind} of channel {channel}: {actual:e}");
            let allowed = allowances[channel][kind] + unit * actual.abs();
            worst[2].take(distance(actual, total), allowed, what);
        }
    }
}

pub fn report<T: Element>(worst: &[Worst; 3]) {
    for (kind, worst) in ["forward", "gradient of x", "gradients of scale and shift"]
        .iter()
        .zip(worst)
    {
        // A device may lack the type.
        if !worst.line.is_empty() {
            println!("{:?} {kind}: {}", T::DTYPE, worst.line);
        }
    }
    let above: Vec<_> = worst.iter().filter(|w| w.error > 1.0).map(|w| &w.line).collect();
    assert!(above.is_empty(), "{:?}: {above:#?}", T::DTYPE);
}
