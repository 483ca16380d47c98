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

/// Σ cᵢxⁱ, two terms at a time: half the latency of Horner's rule.
#[inline(always)]
fn polynomial<R: Real>(c: &'static [f64], x: R) -> R {
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

/// eˣ, scaled, as a sum of two, exact as s is a power of two: not normalised, the second being up to 0.42 times the
/// first.
#[inline(always)]
pub(crate) fn exp<R: Real>(x: R, low: Option<R>) -> Twin<R> {
    let (s, y) = exp_parts(x, low);
    Twin::new(s, s * y)
}

/// The argument of the exponential that T and mish′ take.
#[inline(always)]
pub(crate) fn to_saturation<R: Real>(x: R) -> R {
    x.at_least(R::LOWEST).at_most(R::SATURATED)
}

/// The argument of the exponential that σ takes.
#[inline(always)]
pub(crate) fn to_twice_saturation<R: Real>(x: R) -> R {
    x.at_least(R::LOWEST).at_most(2.0 * R::SATURATED)
}

/// The argument of t = exp(−|x|), for the forms that decay on both sides.
#[inline(always)]
pub(crate) fn minus_abs<R: Real>(x: R) -> R {
    -(x.abs().at_most(-R::LOWEST))
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
    (-q).fma(b.high, a.high) + (-q).mla(b.low, a.low * r)
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
    [r, r * ((-r).fma(big_m.high, R::lit(1.0)) - r * big_m.low)]
}

/// mish′ = (e(1 + x) + (e²/2)(1 − x·e/M))/M, and above ¼ as 1 + (x·e(1 + e)/M − 1)/M, whose error is divided
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
    // The low part of e counts in e(1 + x) and in e²/2, that of 1 + x in e(1 + x).
    let low = e.high.mla(x - (x1 - one), e.low * half.mla(R::lit(2.0), x1));
    let k = e.high.fma(x1, (-half_square).fma(p, half_square) + low);
    let above = p.fma(e.high + scale, -scale).fma(r, one);
    R::if_gt(x, R::lit(0.25), above, k.fma(rough, k * correction))
}

/// For [`softplus`]: t, not scaled, and u = t/(2 + t), of the [`shortened`] t.
#[inline(always)]
pub(crate) fn log1p_quotient<R: Real>(_: R, t: Twin<R>) -> [R; 2] {
    log1p_quotient_of(t, R::SOFTPLUS_SHORTENED)
}

#[inline(always)]
fn log1p_quotient_of<R: Real>(t: Twin<R>, shorten: bool) -> [R; 2] {
    let small = t.sum() * R::lit(R::UNSCALE);
    [small, shortened(small, shorten) / (small + R::lit(2.0))]
}

/// t without the bits that the sum 2 + t has no room for, so that u is off by the rounding of the division alone. Below
/// ⅛ that rounding does not matter.
#[inline(always)]
fn shortened<R: Real>(t: R, shorten: bool) -> R {
    let two = R::lit(2.0);
    if shorten {
        R::if_gt(R::lit(0.125), t, t, (t + two) - two)
    } else {
        t
    }
}

/// log(1 + eˣ) = max(x, 0) + log1p(t) with t = exp(−|x|).
#[inline(always)]
pub(crate) fn softplus<R: Real>(x: R, t: Twin<R>, [small, u]: [R; 2]) -> R {
    let Log1p { short, low, inner } = log1p(t, [small, u], R::SOFTPLUS_SHORTENED);
    short + ((-u).mla(inner, low) + x.at_least(0.0))
}

/// log1p(t) = t − u·inner and t = short + low, not scaled.
struct Log1p<R> {
    short: R,
    low: R,
    inner: R,
}

/// 2·artanh(u), of which t − t·u comes first, for the shortened t, and log1p′·low for the rest of t, with
/// log1p′ = 1/(1 + t) ≈ 1 − 3u/2 where there is much of it.
#[inline(always)]
fn log1p<R: Real>(t: Twin<R>, [small, u]: [R; 2], shorten: bool) -> Log1p<R> {
    let short = shortened(small, shorten);
    let (rounding, unscale) = (fast_two_sum(t.high, t.low).low, R::lit(R::UNSCALE));
    let w = u * u;
    let series = polynomial(R::LOG1P, w);
    if shorten {
        let low = rounding.mla(unscale, small - short);
        let inner = short + low.mla(R::lit(1.5), -w * series);
        Log1p { short, low, inner }
    } else {
        let low = rounding * unscale;
        let inner = (-w).mla(series, short);
        Log1p { short, low, inner }
    }
}

/// For [`softplus_d1`]: 1 + e, rounded, and 1/(1 + e), roughly.
#[inline(always)]
pub(crate) fn sigmoid_reciprocal<R: Real>(_: R, e: Twin<R>) -> [R; 2] {
    let a = e.sum().fma(R::lit(R::UNSCALE), R::lit(1.0));
    [a, a.recip()]
}

/// softplus′ = σ(x) = e/(1 + e).
#[inline(always)]
pub(crate) fn softplus_d1<R: Real>(_: R, e: Twin<R>, [a, r]: [R; 2]) -> R {
    let e = fast_two_sum(e.high, e.low);
    let q = e.high * r;
    residual(e, one_plus(e.high, a), q, r).mla(r, q) * R::lit(R::UNSCALE)
}

/// softplus″ = t/(1 + t)².
#[inline(always)]
pub(crate) fn softplus_d2<R: Real>(_: R, t: Twin<R>, [high, low]: [R; 2]) -> R {
    let (t, r) = (fast_two_sum(t.high, t.low), Twin::new(high, low));
    t.mul(r).mul(r).sum() * R::lit(R::UNSCALE)
}

/// For [`softplus_d2`]: 1/(1 + t).
#[inline(always)]
pub(crate) fn one_plus_reciprocal<R: Real>(_: R, t: Twin<R>) -> [R; 2] {
    let t = fast_two_sum(t.high, t.low).scale(R::lit(R::UNSCALE));
    t.add(Twin::lit(1.0)).recip().into()
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
    /// 1/M.
    r: Twin<R>,
}

/// Chooses by the sign of x.
#[inline(always)]
fn by_sign<R: Real>(x: R, negative: f64, positive: f64) -> R {
    R::if_gt(R::lit(0.0), x, R::lit(negative), R::lit(positive))
}

/// M for x < 0 or x ≥ 0.
#[inline(always)]
fn decay_m<R: Real>(x: R, t: Twin<R>) -> Twin<R> {
    let square = t.mul(t).scale(by_sign(x, 0.5, 1.0));
    Twin::new(by_sign(x, 1.0, 0.5), R::lit(0.0)).add(t).add(square)
}

/// For the second derivatives: 1/M.
#[inline(always)]
pub(crate) fn decay_reciprocal<R: Real>(x: R, t: Twin<R>) -> [R; 2] {
    let t = fast_two_sum(t.high, t.low).scale(R::lit(R::UNSCALE));
    decay_m(x, t).recip().into()
}

impl<R: Real> Decay<R> {
    #[inline(always)]
    fn new(x: R, t: Twin<R>, [high, low]: [R; 2]) -> Self {
        let scaled = fast_two_sum(t.high, t.low);
        let t = scaled.scale(R::lit(R::UNSCALE));
        let (zero, one) = (R::lit(0.0), R::lit(1.0));
        let factor = Twin::new(R::if_gt(zero, x, one, t.high), R::if_gt(zero, x, zero, t.low));
        Self {
            t,
            lead: scaled.mul(factor),
            r: Twin::new(high, low),
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

/// For [`tanh_softplus_d1`]: r and rest, with 1/M = r(1 + rest).
#[inline(always)]
pub(crate) fn tanh_softplus_d1_reciprocal<R: Real>(x: R, t: Twin<R>) -> [R; 2] {
    let small = t.sum() * R::lit(R::UNSCALE);
    let first = fast_two_sum(by_sign(x, 1.0, 0.5), small);
    let big_m = fast_two_sum(first.high, small * (small * by_sign(x, 0.5, 1.0)));
    let low = big_m.low + first.low;
    let r = big_m.high.recip();
    [r, (-r).fma(big_m.high, R::lit(1.0)) - r * low]
}

/// T′ = (lead·r)·((1 + t)·r)·(1 + 2·rest).
#[inline(always)]
pub(crate) fn tanh_softplus_d1<R: Real>(x: R, t: Twin<R>, [r, rest]: [R; 2]) -> R {
    let (one, unscale) = (R::lit(1.0), R::lit(R::UNSCALE));
    let t = fast_two_sum(t.high, t.low);
    let small = t.high * unscale;
    let a = fast_two_sum(one, small);
    let factor = R::if_gt(R::lit(0.0), x, one, small);
    // t or t², with the relative weight of t.low in it.
    let lead = t.high * factor;
    let lead_low = (t.low * factor).mla(by_sign(x, 1.0, 2.0), t.high.fma(factor, -lead));
    let p = lead * r;
    let p_low = lead_low.mla(r, lead.fma(r, -p));
    let q = a.high * r;
    let q_low = a.low.mla(r, a.high.fma(r, -q));
    let q_low = (q + q).mla(rest, q_low);
    p.fma(q, p.mla(q_low, p_low * q)) * unscale
}

/// T″.
#[inline(always)]
pub(crate) fn tanh_softplus_d2<R: Real>(x: R, t: Twin<R>, r: [R; 2]) -> R {
    let d = Decay::new(x, t, r);
    d.finish(d.second(x).mul(d.r).mul(d.r).mul(d.r))
}

/// mish″ = 2T′ + x·T″, over the common denominator M³.
#[inline(always)]
pub(crate) fn mish_d2<R: Real>(x: R, t: Twin<R>, r: [R; 2]) -> R {
    let x = x.at_least(R::LOWEST).at_most(-R::LOWEST);
    let d = Decay::new(x, t, r);
    let first = d.one_plus_t().mul(decay_m(x, d.t)).scale(R::lit(2.0));
    let k = d.second(x).mul(Twin::new(x, R::lit(0.0))).add(first);
    d.finish(k.mul(d.r).mul(d.r).mul(d.r))
}

/// βx as an exact product, since half an ulp of βx would show as |βx| half-ulps of the result.
#[inline(always)]
fn beta_x<R: Real>(x: R, softplus: &Softplus) -> Twin<R> {
    let u = two_product(x, R::lit(softplus.beta()));
    // Where exp(−|βx|) has underflowed, the low part may be anything up to infinite.
    let low = R::if_gt(R::lit(-R::LOWEST), u.high.abs(), u.low, R::lit(0.0));
    Twin::new(u.high, low)
}

/// The exponential that [`softplus_parametric`] takes.
#[inline(always)]
pub(crate) fn exp_parametric<R: Real>(x: R, order: u8, softplus: &Softplus) -> Twin<R> {
    let u = beta_x(x, softplus);
    match order {
        1 => exp(to_twice_saturation(u.high), Some(u.low)),
        _ => {
            let away = R::if_gt(R::lit(0.0), u.high, u.low, -u.low);
            exp(minus_abs(u.high), Some(away))
        }
    }
}

/// As `*_reciprocal` of the function without parameters.
#[inline(always)]
pub(crate) fn parametric_reciprocal<R: Real>(x: R, e: Twin<R>, order: u8) -> [R; 2] {
    match order {
        0 => log1p_quotient_of(e, true),
        1 => sigmoid_reciprocal(x, e),
        _ => one_plus_reciprocal(x, e),
    }
}

/// Softplus with β and threshold, order 0 to 2: PyTorch's branches.
#[inline(always)]
pub(crate) fn softplus_parametric<R: Real>(
    x: R,
    e: Twin<R>,
    reciprocal: [R; 2],
    order: u8,
    softplus: &Softplus,
    single: bool,
) -> R {
    let (beta, threshold) = (softplus.beta(), softplus.threshold());
    let (zero, b) = (R::lit(0.0), R::lit(beta));
    let product = x * b;
    let (smooth, above) = match order {
        0 => {
            let unscale = R::lit(R::UNSCALE);
            let scaled_u = reciprocal[1] * R::lit(1.0 / R::UNSCALE);
            let t = fast_two_sum(e.high, e.low);
            let log1p = fast_two_sum(t.high, -scaled_u * log1p(e, reciprocal, true).inner);
            let quotient = log1p.high / b;
            let rest = (-quotient).fma(b, log1p.high) + (log1p.low + t.low);
            let linear = R::if_gt(product, zero, x, zero);
            (quotient.fma(unscale, (rest / b).fma(unscale, linear)), x)
        }
        1 => (softplus_d1(x, e, reciprocal), R::lit(1.0)),
        _ => (softplus_d2(x, e, reciprocal) * b, zero),
    };
    // The test is PyTorch's: in f32 unless the tensor is f64.
    if single {
        let product = (x * R::lit(beta as f32 as f64)).to_single();
        R::if_gt(product, R::lit(threshold as f32 as f64), above, smooth)
    } else {
        R::if_gt(product, R::lit(threshold), above, smooth)
    }
}
