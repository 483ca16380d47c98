//! The formulas without the low parts, in f64, for f32 and 16-bit results: what has no form in f32 that is precise enough.
//! They are off by a few ulps of f64, and by 10⁻¹⁵ of their terms where these cancel.

use super::{by_sign, exp_parts, minus_abs, polynomial, softplus_branch};
use crate::activation::Softplus;
use crate::real::Real;

/// t = exp(−|x|). Where that is subnormal in f64, no narrower type holds it.
#[inline(always)]
pub(crate) fn exp<R: Real>(x: R) -> R {
    let (s, y) = exp_parts(minus_abs(x), None, R::EXP, R::MAGIC);
    s.mla(y, s) * R::lit(R::UNSCALE)
}

/// What the table in `decay.rs` has: M; t or t² over M³; and the polynomial of T″.
#[inline(always)]
fn decay<R: Real>(x: R, t: R) -> [R; 3] {
    let c = |negative, positive| by_sign(x, negative, positive);
    let m = (t * c(0.5, 1.0)).mla(t, c(1.0, 0.5) + t);
    let r = R::lit(1.0) / m;
    let lead = t * R::if_gt(R::lit(0.0), x, R::lit(1.0), t);
    let p = c(-1.0, 1.0)
        .mla(t, c(-1.5, 1.0))
        .mla(t, c(1.0, -1.5))
        .mla(t, c(1.0, -1.0));
    [m, lead * r * (r * r), p]
}

/// mish″ = 2T′ + x·T″.
#[inline(always)]
pub(crate) fn mish_d2<R: Real>(x: R, t: R) -> R {
    let x = x.at_least(R::LOWEST).at_most(-R::LOWEST);
    let [m, lead, p] = decay(x, t);
    let t1 = R::lit(1.0) + t;
    lead * x.mla(p, (t1 + t1) * m)
}

/// T″.
#[inline(always)]
pub(crate) fn tanh_softplus_d2<R: Real>(x: R, t: R) -> R {
    let [_, lead, p] = decay(x, t);
    lead * p
}

/// softplus″ = t/(1 + t)².
#[inline(always)]
pub(crate) fn softplus_d2<R: Real>(_: R, t: R) -> R {
    let t1 = R::lit(1.0) + t;
    t / (t1 * t1)
}

/// exp(−|βx|).
#[inline(always)]
pub(crate) fn exp_parametric<R: Real>(x: R, softplus: &Softplus) -> R {
    exp(x * R::lit(softplus.beta()))
}

/// Softplus with β and threshold, order 0 to 2: PyTorch's branches.
#[inline(always)]
pub(crate) fn softplus_parametric<R: Real>(x: R, t: R, order: u8, softplus: &Softplus) -> R {
    let (zero, one, beta) = (R::lit(0.0), R::lit(1.0), R::lit(softplus.beta()));
    let smooth = match order {
        0 => {
            let q = t / (t + R::lit(2.0));
            let w = q * q;
            let log1p = (-q).mla((-w).mla(polynomial(R::LOG1P, w), t), t);
            // −0 leaves the sign of a zero alone.
            let linear = R::if_gt(x * beta, zero, x, R::lit(-0.0));
            log1p.mla(R::lit(1.0 / softplus.beta()), linear)
        }
        1 => R::if_gt(zero, x * beta, t, one) / (one + t),
        _ => softplus_d2(x, t) * beta,
    };
    softplus_branch(x, smooth, order, softplus, true)
}
