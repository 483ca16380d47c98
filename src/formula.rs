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

use crate::activation::Softplus;
use crate::real::Real;
use crate::twin::{fast_two_sum, two_product, Twin};

pub(crate) mod quick;

/// Σ cᵢxⁱ, even and odd powers apart: half the latency of Horner's rule.
#[inline(always)]
fn polynomial<R: Real>(c: &'static [f64], x: R) -> R {
    let w = x * x;
    let mut sums = [R::lit(0.0); 2];
    for (parity, sum) in sums.iter_mut().enumerate() {
        let mut i = c.len() - 1 - (c.len() - 1 - parity) % 2;
        *sum = R::lit(c[i]);
        while i >= 2 {
            i -= 2;
            *sum = sum.mla(w, R::lit(c[i]));
        }
    }
    sums[1].mla(x, sums[0])
}

/// 2^k, scaled, and y, with eˣ = 2^k(1 + y): Cody and Waite's reduction and a polynomial.
/// `low` is added to x where x alone is not precise enough.
#[inline(always)]
fn exp_parts<R: Real>(x: R, low: Option<R>) -> (R, R) {
    let magic = R::lit(R::MAGIC);
    let z = x.mla(R::lit(R::LOG2E), magic);
    let k = z - magic;
    let r = (-k).fma(R::lit(R::LN2[0]), x);
    let mut r = (-k).fma(R::lit(R::LN2[1]), r);
    if let Some(low) = low {
        r = r + low;
    }
    (z.exp2_of_magic(), (r * r).mla(polynomial(R::EXP, r), r))
}

/// eˣ, scaled, as a sum of two.
#[inline(always)]
fn exp<R: Real>(x: R, low: Option<R>) -> Twin<R> {
    let (s, y) = exp_parts(x, low);
    let high = s.fma(y, s);
    Twin::new(high, s.fma(y, s - high))
}

/// T = tanh(softplus x), scaled, as a sum of two, for `LOWEST` ≤ x < `SATURATED`.
#[inline(always)]
fn gate<R: Real>(x: R) -> Twin<R> {
    let unscale = R::lit(R::UNSCALE);
    let (s, y) = exp_parts(x, None);
    let e = s.fma(y, s);
    let half_square = e * (e * R::lit(0.5 * R::UNSCALE));
    let m = fast_two_sum(s, s.fma(y, half_square));
    let big_m = m.high.fma(unscale, R::lit(1.0));
    let big_m_low = m.high.fma(unscale, R::lit(1.0) - big_m);
    let r = big_m.recip();
    // What m/M leaves over: (m − T·M)/M, with 1 − T = 1/M for the part that comes from m.low.
    let t = m.high * r;
    let rest = (-t).fma(big_m, m.high);
    let rest = (-t).mla(big_m_low, rest);
    let rest = m.low.mla(r, rest);
    Twin::new(t, rest * r)
}

/// x·tanh(softplus x).
#[inline(always)]
pub(crate) fn mish<R: Real>(x: R) -> R {
    let clamped = x.at_least(R::LOWEST);
    let t = gate(clamped);
    let product = clamped.fma(t.high, clamped * t.low);
    R::if_gt(x, R::lit(R::SATURATED), x, product * R::lit(R::UNSCALE))
}

/// tanh(softplus x).
#[inline(always)]
pub(crate) fn tanh_softplus<R: Real>(x: R) -> R {
    let t = gate(x.at_least(R::LOWEST));
    let one = R::lit(1.0);
    R::if_gt(x, R::lit(R::SATURATED), one, t.sum() * R::lit(R::UNSCALE))
}

/// mish′ = (e(1 + x) + (e²/2)(1 − x·e/M))/M, and above ¼ as 1 + (x·e(1 + e)/M − 1)/M, whose error is divided
/// by M.
#[inline(always)]
pub(crate) fn mish_d1<R: Real>(x: R) -> R {
    let x = x.at_least(R::LOWEST).at_most(R::SATURATED);
    let (one, scale) = (R::lit(1.0), R::lit(1.0 / R::UNSCALE));
    let (s, y) = exp_parts(x, None);
    let e = s.fma(y, s);
    let e_low = s.fma(y, s - e);
    let half = e * R::lit(0.5 * R::UNSCALE);
    let half_square = e * half;
    // M, scaled: 1 + s is exact, or s is too small to matter.
    let big_m = fast_two_sum(scale + s, s.fma(y, half_square));
    // 1/M is r, or rough·(1 + rest) without the rounding of r.
    let rough = big_m.high.recip();
    let rest = (-rough).mla(big_m.low, (-rough).fma(big_m.high, one));
    let r = rest.mla(rough, rough);
    let x1 = one + x;
    let p = (x * e) * r;
    // The low part of e counts in e(1 + x) and in e²/2.
    let tail = e_low.mla(half.mla(R::lit(2.0), x1), (-half_square).fma(p, half_square));
    let k = e.fma(x1, tail);
    let above = p.fma(e + scale, -scale).fma(r, one);
    R::if_gt(x, R::lit(0.25), above, k.fma(rough, (k * rough) * rest))
}

/// t = exp(−|x|), scaled, for the forms that decay on both sides.
#[inline(always)]
fn exp_of_minus_abs<R: Real>(x: R, low: Option<R>) -> Twin<R> {
    exp(-(x.abs().at_most(-R::LOWEST)), low)
}

/// log(1 + eˣ) = max(x, 0) + log1p(t) with t = exp(−|x|).
#[inline(always)]
pub(crate) fn softplus<R: Real>(x: R) -> R {
    let unscale = R::lit(R::UNSCALE);
    let log1p = log1p_of_exp(x, None);
    let mut rest = x.at_least(0.0);
    if R::SOFTPLUS_LOW {
        rest = log1p.low.fma(unscale, rest);
    }
    log1p.high.fma(unscale, rest)
}

/// log1p(exp(−|x|)·exp(low)), scaled, as a sum of two, of which the second may be missing unless `SOFTPLUS_LOW`.
#[inline(always)]
fn log1p_of_exp<R: Real>(x: R, low: Option<R>) -> Twin<R> {
    let t = exp_of_minus_abs(x, low);
    let small = t.high * R::lit(R::UNSCALE);
    let w = polynomial(R::LOG1P, small - R::lit(0.5));
    let most = R::lit(0.875);
    if !R::SOFTPLUS_LOW && low.is_none() {
        return Twin::new(t.high.fma(most, t.high * w), R::lit(0.0));
    }
    // log1p′ = 1/(1 + t) lies between ½ and 1, and t.low is half an ulp of t at most: ¾ will do for f32.
    let slope = match low {
        None => R::lit(0.75),
        Some(_) => small.mla(R::lit(-0.5), R::lit(1.0)),
    };
    let rest = t.high.fma(w, t.low * slope);
    let high = t.high.fma(most, rest);
    Twin::new(high, t.high.fma(most, -high) + rest)
}

/// softplus′ = σ(x) = e/(1 + e).
#[inline(always)]
pub(crate) fn softplus_d1<R: Real>(x: R) -> R {
    sigmoid(x, None)
}

#[inline(always)]
fn sigmoid<R: Real>(x: R, low: Option<R>) -> R {
    let unscale = R::lit(R::UNSCALE);
    let x = x.at_least(R::LOWEST).at_most(2.0 * R::SATURATED);
    let e = exp(x, low);
    let a = e.high.fma(unscale, R::lit(1.0));
    let a_low = e.high.fma(unscale, R::lit(1.0) - a);
    let r = a.recip();
    let t = e.high * r;
    let rest = (-t).fma(a, e.high);
    let rest = (-t).mla(a_low, rest);
    let rest = e.low.mla(r, rest);
    rest.mla(r, t) * unscale
}

/// softplus″ = t/(1 + t)².
#[inline(always)]
pub(crate) fn softplus_d2<R: Real>(x: R) -> R {
    sigmoid_d1(x, None)
}

#[inline(always)]
fn sigmoid_d1<R: Real>(x: R, low: Option<R>) -> R {
    let unscale = R::lit(R::UNSCALE);
    let scaled = exp_of_minus_abs(x, low);
    let r = scaled.scale(unscale).add(Twin::lit(1.0)).recip();
    scaled.mul(r).mul(r).sum() * unscale
}

/// What T′ and T″ are made of, with t = exp(−|x|):
///
/// | | x < 0 | x ≥ 0 |
/// | --- | --- | --- |
/// | M | 1 + t + t²/2 | ½ + t + t² |
/// | T′ | t(1 + t)/M² | t²(1 + t)/M² |
/// | T″ | t(1 + t − 3t²/2 − t³)/M³ | t²(−1 − 3t/2 + t² + t³)/M³ |
struct Decay<R> {
    t: Twin<R>,
    /// t for x < 0, t² for x ≥ 0; scaled.
    lead: Twin<R>,
    big_m: Twin<R>,
    /// 1/M.
    r: Twin<R>,
}

/// Chooses by the sign of x.
#[inline(always)]
fn by_sign<R: Real>(x: R, negative: f64, positive: f64) -> R {
    R::if_gt(R::lit(0.0), x, R::lit(negative), R::lit(positive))
}

impl<R: Real> Decay<R> {
    #[inline(always)]
    fn new(x: R) -> Self {
        let scaled = exp_of_minus_abs(x, None);
        let t = scaled.scale(R::lit(R::UNSCALE));
        let (zero, one) = (R::lit(0.0), R::lit(1.0));
        let factor = Twin::new(R::if_gt(zero, x, one, t.high), R::if_gt(zero, x, zero, t.low));
        let square = t.mul(t).scale(by_sign(x, 0.5, 1.0));
        let big_m = Twin::new(by_sign(x, 1.0, 0.5), zero).add(t).add(square);
        Self {
            t,
            lead: scaled.mul(factor),
            big_m,
            r: big_m.recip(),
        }
    }

    /// The polynomial of T″.
    #[inline(always)]
    fn second(&self, x: R) -> Twin<R> {
        let c = |negative, positive| Twin::new(by_sign(x, negative, positive), R::lit(0.0));
        let p = c(-1.0, 1.0).mul(self.t).add(c(-1.5, 1.0));
        let p = p.mul(self.t).add(c(1.0, -1.5));
        p.mul(self.t).add(c(1.0, -1.0))
    }

    #[inline(always)]
    fn one_plus_t(&self) -> Twin<R> {
        self.t.add(Twin::lit(1.0))
    }

    /// lead·rest, brought back from its scale. A sum of two loses the sign of a zero.
    #[inline(always)]
    fn finish(&self, rest: Twin<R>) -> R {
        let (value, zero) = (self.lead.mul(rest).sum() * R::lit(R::UNSCALE), R::lit(0.0));
        R::if_gt(value.abs(), zero, value, rest.high * zero)
    }
}

/// T′.
#[inline(always)]
pub(crate) fn tanh_softplus_d1<R: Real>(x: R) -> R {
    let d = Decay::new(x);
    d.finish(d.one_plus_t().mul(d.r).mul(d.r))
}

/// T″.
#[inline(always)]
pub(crate) fn tanh_softplus_d2<R: Real>(x: R) -> R {
    let d = Decay::new(x);
    d.finish(d.second(x).mul(d.r).mul(d.r).mul(d.r))
}

/// mish″ = 2T′ + x·T″, over the common denominator M³.
#[inline(always)]
pub(crate) fn mish_d2<R: Real>(x: R) -> R {
    let x = x.at_least(R::LOWEST).at_most(-R::LOWEST);
    let d = Decay::new(x);
    let first = d.one_plus_t().mul(d.big_m).scale(R::lit(2.0));
    let k = d.second(x).mul(Twin::new(x, R::lit(0.0))).add(first);
    d.finish(k.mul(d.r).mul(d.r).mul(d.r))
}

/// Softplus with β and threshold, order 0 to 2: PyTorch's branches. The smooth one takes βx as an exact product,
/// since half an ulp of βx would show as |βx| half-ulps of the result.
#[inline(always)]
pub(crate) fn softplus_parametric<R: Real>(x: R, order: u8, softplus: &Softplus, single: bool) -> R {
    let (beta, threshold) = (softplus.beta(), softplus.threshold());
    let (zero, b) = (R::lit(0.0), R::lit(beta));
    let u = two_product(x, b);
    // Where exp(−|βx|) has underflowed, the low part may be anything up to infinite.
    let low = R::if_gt(R::lit(-R::LOWEST), u.high.abs(), u.low, zero);
    let away = R::if_gt(zero, u.high, low, -low);
    let (smooth, above) = match order {
        0 => {
            let (log1p, unscale) = (log1p_of_exp(u.high, Some(away)), R::lit(R::UNSCALE));
            let quotient = log1p.high / b;
            let rest = (-quotient).fma(b, log1p.high) + log1p.low;
            let linear = R::if_gt(u.high, zero, x, zero);
            (quotient.fma(unscale, (rest / b).fma(unscale, linear)), x)
        }
        1 => (sigmoid(u.high, Some(low)), R::lit(1.0)),
        _ => (sigmoid_d1(u.high, Some(away)) * b, zero),
    };
    // The test is PyTorch's: in f32 unless the tensor is f64.
    if single {
        let product = (x * R::lit(beta as f32 as f64)).to_single();
        R::if_gt(product, R::lit(threshold as f32 as f64), above, smooth)
    } else {
        R::if_gt(u.high, R::lit(threshold), above, smooth)
    }
}
