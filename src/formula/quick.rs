//! The formulas without the low parts, in f32, for 16-bit results.
//!
//! The error is below [`ERROR`] · magnitude. Whoever rounds the value to 16 bits checks that both ends of that
//! interval round alike.

use super::{by_sign, exp_parts, polynomial};
use crate::real::Real;

/// Relative to `magnitude`; the worst over all f16 and bf16 inputs is tested to be less.
pub(crate) const ERROR: f64 = 1.0 / (1 << 21) as f64;

pub(crate) struct Quick<R> {
    pub(crate) value: R,
    /// |value|, or more where terms cancel.
    pub(crate) magnitude: R,
}

#[inline(always)]
fn well_conditioned<R: Real>(value: R) -> Quick<R> {
    Quick {
        value,
        magnitude: value.abs(),
    }
}

#[inline(always)]
fn exp<R: Real>(x: R) -> R {
    let (s, y) = exp_parts(x, None);
    s.mla(y, s)
}

#[inline(always)]
fn gate<R: Real>(x: R) -> R {
    let e = exp(x);
    let m = e.mla(e * R::lit(0.5 * R::UNSCALE), e);
    m * m.mla(R::lit(R::UNSCALE), R::lit(1.0)).recip_full()
}

#[inline(always)]
pub(crate) fn mish<R: Real>(x: R) -> Quick<R> {
    let clamped = x.at_least(R::LOWEST);
    let value = clamped * gate(clamped) * R::lit(R::UNSCALE);
    well_conditioned(R::if_gt(x, R::lit(R::SATURATED), x, value))
}

#[inline(always)]
pub(crate) fn tanh_softplus<R: Real>(x: R) -> Quick<R> {
    let value = gate(x.at_least(R::LOWEST)) * R::lit(R::UNSCALE);
    well_conditioned(R::if_gt(x, R::lit(R::SATURATED), R::lit(1.0), value))
}

/// mish′ = (e/M)·(1 + e/2 + x(1 + e)/M), whose terms cancel near the root.
#[inline(always)]
pub(crate) fn mish_d1<R: Real>(x: R) -> Quick<R> {
    let x = x.at_least(R::LOWEST).at_most(R::SATURATED);
    let one = R::lit(1.0);
    let scaled = exp(x);
    let e = scaled * R::lit(R::UNSCALE);
    let b = e.mla(R::lit(0.5), one);
    let r = e.mla(b, one).recip_full();
    let lead = scaled * r * R::lit(R::UNSCALE);
    let q = (one + e) * r;
    Quick {
        value: lead * x.mla(q, b),
        magnitude: lead * x.abs().mla(q, b),
    }
}

#[inline(always)]
pub(crate) fn softplus<R: Real>(x: R) -> Quick<R> {
    let t = exp(-(x.abs().at_most(-R::LOWEST)));
    let small = t * R::lit(R::UNSCALE);
    let p = polynomial(R::LOG1P, small - R::lit(0.5));
    let log1p = (-(t * small)).mla(p, t);
    well_conditioned(log1p.mla(R::lit(R::UNSCALE), x.at_least(0.0)))
}

#[inline(always)]
pub(crate) fn softplus_d1<R: Real>(x: R) -> Quick<R> {
    let e = exp(x.at_least(R::LOWEST).at_most(2.0 * R::SATURATED));
    let value = e * e.mla(R::lit(R::UNSCALE), R::lit(1.0)).recip_full();
    well_conditioned(value * R::lit(R::UNSCALE))
}

#[inline(always)]
pub(crate) fn tanh_softplus_d1<R: Real>(x: R) -> Quick<R> {
    let scaled = exp(-(x.abs().at_most(-R::LOWEST)));
    let t = scaled * R::lit(R::UNSCALE);
    let one = R::lit(1.0);
    let m = (t * by_sign(x, 0.5, 1.0)).mla(t, by_sign(x, 1.0, 0.5) + t);
    let r = m.recip_full();
    let factor = R::if_gt(R::lit(0.0), x, one, t);
    well_conditioned(scaled * (factor * (one + t)) * (r * r) * R::lit(R::UNSCALE))
}
