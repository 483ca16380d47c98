//! T′, T″ and mish″, which decay on both sides, from t = exp(−|x|).

use super::by_sign;
use crate::real::Real;
use crate::twin::{fast_two_sum, Twin};

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
        let factor = Twin::new(x.if_negative(one, t.high), x.if_negative(zero, t.low));
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
    [r, (-r).mla(low, (-r).fma(big_m.high, R::lit(1.0)))]
}

/// T′ = (lead·r)·((1 + t)·r)·(1 + 2·rest).
#[inline(always)]
pub(crate) fn tanh_softplus_d1<R: Real>(x: R, t: Twin<R>, [r, rest]: [R; 2]) -> R {
    let (one, unscale) = (R::lit(1.0), R::lit(R::UNSCALE));
    let t = fast_two_sum(t.high, t.low);
    let small = t.high * unscale;
    let a = fast_two_sum(one, small);
    let factor = x.if_negative(one, small);
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
