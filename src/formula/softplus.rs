//! Softplus and its derivatives, with and without parameters.

use super::{exp, exp_down, minus_abs, negated, polynomial};
use crate::activation::Softplus;
use crate::real::Real;
use crate::twin::{fast_two_sum, two_product, Twin};

/// For [`softplus`]: t, not scaled, to two bits less than it has, and u = t/(2 + t) of that.
///
/// From ½ on, the sum 2 + t has no room for those bits, so that u is off by the rounding of the division alone; below,
/// the rounding of the sum matters less and less.
#[inline(always)]
pub(crate) fn log1p_quotient<R: Real>(_: R, t: Twin<R>) -> [R; 2] {
    let short = t.sum().shortened() * R::lit(R::UNSCALE);
    [short, short / (short + R::lit(2.0))]
}

/// log(1 + eˣ) = max(x, 0) + log1p(t) with t = exp(−|x|).
#[inline(always)]
pub(crate) fn softplus<R: Real>(x: R, t: Twin<R>, [short, u]: [R; 2]) -> R {
    let Log1p { low, inner } = log1p(t, [short, u]);
    short + (-u).fma(inner, low + x.at_least(0.0))
}

/// log1p(t) = t − u·inner and t = short + low, not scaled.
struct Log1p<R> {
    low: R,
    inner: R,
}

/// 2·artanh(u), of which t − t·u comes first, for the shortened t, and log1p′·low for the rest of t, with
/// log1p′ = 1/(1 + t) ≈ 1 − 1.6u where there is much of it.
#[inline(always)]
fn log1p<R: Real>(t: Twin<R>, [short, u]: [R; 2]) -> Log1p<R> {
    let unscale = R::lit(R::UNSCALE);
    // The first difference is exact, unless it is subnormal and too small to matter.
    let low = t.low.fma(unscale, t.high.fma(unscale, -short));
    let w = u * u;
    let inner = (-w).mla(polynomial(R::LOG1P, w), low.mla(R::lit(1.6), short));
    Log1p { low, inner }
}

/// For [`softplus_d1`]: r, scaled, and rest, with 1/(1 + e) = r(1 + rest).
#[inline(always)]
pub(crate) fn sigmoid_reciprocal<R: Real>(_: R, e: Twin<R>) -> [R; 2] {
    let (e, one) = (fast_two_sum(e.high, e.low), R::lit(R::UNSCALE));
    let a = one + e.high;
    // Exact, as 1 is a power of two, unless it is half an ulp of a or less: that much is lost next to x = −16.6 in f32.
    let low = ((one - a) + e.high) + e.low;
    let r = a.recip();
    [r, (-r).mla(low, (-r).fma(a, R::lit(1.0)))]
}

/// softplus′ = σ(x) = 1/(1 + e) with e = exp(−x), scaled down.
#[inline(always)]
pub(crate) fn softplus_d1<R: Real>(_: R, _: Twin<R>, [r, rest]: [R; 2]) -> R {
    r.mla(rest, r) * R::lit(R::UNSCALE)
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

/// βx to twice the precision, since half an ulp of βx would show as |βx| half-ulps of the result.
#[inline(always)]
pub(crate) fn beta_x<R: Real>(x: R, softplus: &Softplus) -> Twin<R> {
    let beta = Twin::split(softplus.beta(), 0.0);
    let u = two_product(x, beta.high);
    // Where exp(−|βx|) has underflowed, the low part may be anything up to infinite.
    let low = R::if_gt(
        R::lit(-R::LOWEST),
        u.high.abs(),
        x.mla(beta.low, u.low),
        R::lit(0.0),
    );
    Twin::new(u.high, low)
}

/// The exponential that [`softplus_parametric`] takes.
#[inline(always)]
pub(crate) fn exp_parametric<R: Real>(x: R, order: u8, softplus: &Softplus) -> Twin<R> {
    let u = beta_x(x, softplus);
    match order {
        1 => exp_down(negated(u.high), Some(-u.low)),
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
        0 => log1p_quotient(x, e),
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
    let beta = softplus.beta();
    let (zero, b) = (R::lit(0.0), R::lit(beta));
    let product = x * b;
    let smooth = match order {
        0 => {
            let unscale = R::lit(R::UNSCALE);
            let scaled_u = reciprocal[1] * R::lit(1.0 / R::UNSCALE);
            let t = fast_two_sum(e.high, e.low);
            let log1p = fast_two_sum(t.high, -scaled_u * log1p(e, reciprocal).inner);
            let quotient = log1p.high / b;
            let rest = (-quotient).fma(b, log1p.high) + (log1p.low + t.low);
            let linear = R::if_gt(product, zero, x, zero);
            quotient.fma(unscale, (rest / b).fma(unscale, linear))
        }
        1 => softplus_d1(x, e, reciprocal),
        _ => softplus_d2(x, e, reciprocal) * b,
    };
    softplus_branch(x, smooth, order, softplus, single)
}

/// `smooth`, or what is in its place where βx is above the threshold.
#[inline(always)]
pub(crate) fn softplus_branch<R: Real>(x: R, smooth: R, order: u8, softplus: &Softplus, single: bool) -> R {
    let threshold = R::lit(softplus.threshold_in(single));
    let above = above_threshold(x, order, 1.0);
    R::if_gt(pytorch_product(x, softplus, single), threshold, above, smooth)
}

/// x and its derivatives, `one` being the first.
#[inline(always)]
pub(crate) fn above_threshold<R: Real>(x: R, order: u8, one: f64) -> R {
    match order {
        0 => x,
        1 => R::lit(one),
        _ => R::lit(0.0),
    }
}

/// βx as PyTorch compares it with the threshold: in f32 unless the tensor is f64.
#[inline(always)]
fn pytorch_product<R: Real>(x: R, softplus: &Softplus, single: bool) -> R {
    match single {
        true => (x * R::lit(softplus.beta() as f32 as f64)).to_single(),
        false => x * R::lit(softplus.beta()),
    }
}
