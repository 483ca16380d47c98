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
    // Without an FMA, products of numbers that are far from 1 are not exact: x takes over β's exponent.
    let (x, beta) = match softplus.is_moderate() {
        true => (x, softplus.beta()),
        false => {
            let exponent = softplus.beta().to_bits() >> 52 & 0x7ff;
            let power = f64::from_bits(exponent.clamp(23, 2023) << 52);
            (x * R::lit(power), softplus.beta() / power)
        }
    };
    let beta = Twin::split(beta, 0.0);
    let u = two_product(x, beta.high);
    // Where the square of exp(−|βx|/2) has underflowed, the low part may be anything up to infinite.
    let low = R::if_gt(
        R::lit(-2.0 * R::LOWEST),
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
    let smooth = match order {
        1 => softplus_d1(x, e, reciprocal),
        _ if !softplus.is_moderate() => softplus_immoderate(x, e, reciprocal, order, softplus),
        0 => divided(x, e, reciprocal, softplus, [1.0, R::UNSCALE]).1,
        _ => softplus_d2(x, e, reciprocal) * R::lit(softplus.beta()),
    };
    softplus_branch(x, smooth, order, softplus, single)
}

/// log1p(t)/β, scaled or not, and max(x, 0) more than that without a scale, which is taken off `before` or `after` the
/// division.
#[inline(always)]
fn divided<R: Real>(
    x: R,
    e: Twin<R>,
    reciprocal: [R; 2],
    softplus: &Softplus,
    [before, after]: [f64; 2],
) -> (R, R) {
    let [before, after, zero, b] = [before, after, 0.0, softplus.beta()].map(R::lit);
    let scaled_u = reciprocal[1] * R::lit(1.0 / R::UNSCALE);
    let t = fast_two_sum(e.high, e.low);
    let log1p = fast_two_sum(t.high, -scaled_u * log1p(e, reciprocal).inner);
    let high = log1p.high * before;
    let quotient = high / b;
    let rest = (-quotient).fma(b, high) + (log1p.low + t.low) * before;
    let linear = R::if_gt(x * b, zero, x, zero);
    (quotient, quotient.fma(after, (rest / b).fma(after, linear)))
}

/// Orders 0 and 2 where 1/β or β brings back what has underflowed, or takes out of range what is scaled.
#[inline(always)]
fn softplus_immoderate<R: Real>(x: R, e: Twin<R>, reciprocal: [R; 2], order: u8, softplus: &Softplus) -> R {
    let (beta, unscale) = (softplus.beta(), R::lit(R::UNSCALE));
    let (u, b) = (beta_x(x, softplus), R::lit(beta));
    // t is the square of this, of any exponent.
    let half = R::lit(0.5);
    let away = R::if_gt(R::lit(0.0), u.high, u.low, -u.low);
    let root = exp(minus_abs(half * u.high), Some(half * away));
    let root = fast_two_sum(root.high, root.low);
    let factor = match order {
        0 => root.high / b,
        _ => root.high * b,
    };
    let square = factor * root.high;
    let low = root.low / root.high;
    let far = (low + low).mla(square, square) * unscale * unscale;
    // t/(1 + t)² and log1p(t) are t, which is above 2^-1010 up to here.
    let end = R::lit(700.0);
    if order == 0 {
        let scales = match beta.abs() < 1.0 {
            true => [R::UNSCALE, 1.0],
            false => [1.0, R::UNSCALE],
        };
        let (quotient, near) = divided(x, e, reciprocal, softplus, scales);
        let near = R::if_gt(R::lit(f64::INFINITY), quotient.abs(), near, quotient);
        R::if_gt(-u.high, end, far, near)
    } else {
        R::if_gt(u.high.abs(), end, far, softplus_d2(x, e, reciprocal) * b)
    }
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
