//! The maths: f, f′ and f″ of every activation, written once over [`Real`], branch-free.
//!
//! With s = 1 + eˣ = exp(softplus x), tanh(softplus x) = (s² − 1)/(s² + 1). Rebuilding softplus from the saved
//! input therefore means rebuilding s: with e = eˣ, m = (s² − 1)/2 = e + e²/2 and M = 1 + m,
//!
//! | | |
//! | --- | --- |
//! | T = tanh(softplus x) | m/M, and 1 − T = 1/M |
//! | T′ | e(1 + e)/M² |
//! | mish | x·T |
//! | mish′ = T + x·T′ | (e(1 + x) + (e²/2)(1 − x·e/M))/M = 1 + (x·e(1 + e)/M − 1)/M |
//!
//! One exponential, one reciprocal, no logarithm (softplus itself needs one), no threshold.
//! `docs/derivation.md` derives the forms and `docs/derivation.py` proves them; `formula.h` has the same functions
//! under the same names for CUDA and Metal.
//!
//! A value that may underflow is carried times 2^SCALE ("scaled") and brought back by the last multiplication,
//! which then rounds once, into the subnormals too.
//!
//! Rounding errors that matter are caught in a low part. The bounds beside the functions are the worst that
//! `tests/exhaustive.rs` found in f32, over all inputs.

use crate::real::Real;
use crate::twin::{fast_two_sum, Twin};

mod decay;
#[cfg(test)]
mod operations;
pub(crate) mod quick;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // for `cpu/piecewise.rs`
pub(crate) mod series;
mod softplus;
#[cfg(target_arch = "x86_64")] // for `cpu/vectors`
pub(crate) mod tails;
pub(crate) mod wide;

pub(crate) use decay::*;
pub(crate) use softplus::*;

/// Σ cᵢxⁱ, two terms at a time: half the latency of Horner's rule.
#[inline(always)]
fn polynomial<R: Real>(c: &[f64], x: R) -> R {
    let w = x * x;
    let pair = |i: usize| match c.get(i + 1) {
        Some(odd) => R::lit(*odd).mla(x, R::lit(c[i])),
        None => R::lit(c[i]),
    };
    let mut i = (c.len() - 1) / 2 * 2;
    let mut sum = pair(i);
    while i > 0 {
        i -= 2;
        sum = sum.mla(w, pair(i));
    }
    sum
}

/// 2^k, scaled as `magic` has it, and y, with eˣ = 2^k(1 + y): Cody and Waite's reduction and a polynomial with the
/// coefficients `c`. `low` is added to x where x alone is not precise enough.
#[inline(always)]
fn exp_parts<R: Real>(x: R, low: Option<R>, c: &[f64], magic: f64) -> (R, R) {
    let magic = R::lit(magic);
    let z = x.mla(R::lit(R::LOG2E), magic);
    let k = z - magic;
    let r = (-k).fma(R::lit(R::LN2[0]), x);
    let mut r = (-k).fma(R::lit(R::LN2[1]), r);
    if let Some(low) = low {
        r = r + low;
    }
    (z.exp2_of_magic(), (r * r).mla(polynomial(c, r), r))
}

/// eˣ, scaled, as a sum of two, exact as s is a power of two: not normalised, the second being up to 0.42 times the
/// first.
#[inline(always)]
pub(crate) fn exp<R: Real>(x: R, low: Option<R>) -> Twin<R> {
    let (s, y) = exp_parts(x, low, R::EXP, R::MAGIC);
    Twin::new(s, s * y)
}

/// The same, scaled down: times 2^-SCALE.
#[inline(always)]
pub(crate) fn exp_down<R: Real>(x: R, low: Option<R>) -> Twin<R> {
    let (s, y) = exp_parts(x, low, R::EXP, R::MAGIC_DOWN);
    Twin::new(s, s * y)
}

/// The argument of the exponential that T and mish′ take.
#[inline(always)]
pub(crate) fn to_saturation<R: Real>(x: R) -> R {
    x.at_least(R::LOWEST).at_most(R::SATURATED)
}

/// The argument of the exponential that σ takes: −x.
#[inline(always)]
pub(crate) fn negated<R: Real>(x: R) -> R {
    -(x.at_least(R::LOWEST).at_most(2.0 * R::SATURATED))
}

/// The argument of t = exp(−|x|), for the forms that decay on both sides.
#[inline(always)]
pub(crate) fn minus_abs<R: Real>(x: R) -> R {
    -(x.abs().at_most(-R::LOWEST))
}

/// Chooses by the sign of x.
#[inline(always)]
fn by_sign<R: Real>(x: R, negative: f64, positive: f64) -> R {
    x.if_negative(R::lit(negative), R::lit(positive))
}

/// 1 + b, b scaled, as a sum of two, of which the first is known. Where an ulp of b is above 1, the 1 may be lost, and
/// no longer matters.
#[inline(always)]
fn one_plus<R: Real>(b: R, high: R) -> Twin<R> {
    Twin::new(high, b.fma(R::lit(R::UNSCALE), R::lit(1.0) - high))
}

/// What a/(b.high + b.low) leaves over when q = a.high·r is taken, r ≈ 1/b and b = a + 1 or b = a + c, c ≥ 0.
#[inline(always)]
fn residual<R: Real>(a: Twin<R>, b: Twin<R>, q: R, r: R) -> R {
    a.low.mla(r, (-q).mla(b.low, (-q).fma(b.high, a.high)))
}

/// For [`gate`]: e²/2 and the low part of e; and 1/M, roughly.
#[inline(always)]
pub(crate) fn gate_reciprocal<R: Real>(_: R, e: Twin<R>) -> [R; 2] {
    let sum = e.sum();
    let half = sum * R::lit(0.5 * R::UNSCALE);
    let b = sum.mla(half, e.low);
    let big_m = (e.high + b).fma(R::lit(R::UNSCALE), R::lit(1.0));
    [b, big_m.recip()]
}

/// T = t + rest·r, scaled.
struct Gate<R> {
    t: R,
    rest: R,
    r: R,
}

/// T = tanh(softplus x) = m/M from e = eˣ.
#[inline(always)]
fn gate<R: Real>(e: Twin<R>, [b, r]: [R; 2]) -> Gate<R> {
    let m = fast_two_sum(e.high, b);
    let big_m = m.high.fma(R::lit(R::UNSCALE), R::lit(1.0));
    let t = m.high * r;
    Gate {
        t,
        // Of the part that comes from m.low, T takes away all but 1 − T = 1/M.
        rest: residual(m, one_plus(m.high, big_m), t, r),
        r,
    }
}

/// x·tanh(softplus x).
#[inline(always)]
pub(crate) fn mish<R: Real>(x: R, e: Twin<R>, reciprocal: [R; 2]) -> R {
    let clamped = x.at_least(R::LOWEST);
    let Gate { t, rest, r } = gate(e, reciprocal);
    let product = clamped.fma(t, rest * (clamped * r));
    R::if_gt(x, R::lit(R::SATURATED), x, product * R::lit(R::UNSCALE))
}

/// tanh(softplus x).
#[inline(always)]
pub(crate) fn tanh_softplus<R: Real>(x: R, e: Twin<R>, reciprocal: [R; 2]) -> R {
    let Gate { t, rest, r } = gate(e, reciprocal);
    let one = R::lit(1.0);
    R::if_gt(x, R::lit(R::SATURATED), one, rest.mla(r, t) * R::lit(R::UNSCALE))
}

/// For [`mish_d1`]: 1/M, scaled, roughly, and what it is short of.
#[inline(always)]
pub(crate) fn mish_d1_reciprocal<R: Real>(_: R, e: Twin<R>) -> [R; 2] {
    let sum = e.sum();
    let half_square = sum * (sum * R::lit(0.5 * R::UNSCALE));
    // M, scaled: 1 + s is exact, or s is too small to matter.
    let big_m = fast_two_sum(R::lit(1.0 / R::UNSCALE) + e.high, e.low + half_square);
    let r = big_m.high.recip();
    [r, r * (-r).mla(big_m.low, (-r).fma(big_m.high, R::lit(1.0)))]
}

/// mish′ = (e(1 + x) + (e²/2)(1 − x·e/M))/M, and for x > 0 as 1 + (x·e(1 + e)/M − 1)/M, whose error is divided
/// by M.
#[inline(always)]
pub(crate) fn mish_d1<R: Real>(x: R, e: Twin<R>, [rough, correction]: [R; 2]) -> R {
    let x = to_saturation(x);
    let (one, scale) = (R::lit(1.0), R::lit(1.0 / R::UNSCALE));
    let e = fast_two_sum(e.high, e.low);
    let half = e.high * R::lit(0.5 * R::UNSCALE);
    let half_square = e.high * half;
    let r = rough + correction;
    let x1 = one + x;
    let p = (x * e.high) * r;
    // The low part of e counts in e(1 + x) and in e²/2, there with 1 − x·e/M and about three quarters of its weight.
    let rest = (-half_square).fma(p, e.low.mla(half.mla(R::lit(1.5), x1), half_square));
    let k = e.high.fma(x1, rest);
    let above = p.fma(e.high + scale, -scale).fma(r, one);
    x.if_negative(k.fma(rough, k * correction), above)
}
