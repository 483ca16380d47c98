//! The formulas without the low parts, in f32, for 16-bit results.
//!
//! The error is below `Family::QUICK_ERROR` · magnitude. Whoever rounds the value to 16 bits checks that both ends of
//! that interval round alike.

use super::{by_sign, exp_parts, polynomial, to_saturation};
use crate::real::Real;

pub(crate) struct Quick<R> {
    pub(crate) value: R,
    /// What the error is relative to where terms cancel; otherwise it is the value.
    pub(crate) magnitude: Option<R>,
}

impl<R: Real> Quick<R> {
    #[inline(always)]
    pub(crate) fn well_conditioned(value: R) -> Self {
        Self {
            value,
            magnitude: None,
        }
    }
}

/// eˣ, scaled.
#[inline(always)]
pub(crate) fn exp<R: Real>(x: R) -> R {
    let (s, y) = exp_parts(x, None);
    s.mla(y, s)
}

/// e + e²/2, scaled.
#[inline(always)]
fn gate_m<R: Real>(e: R) -> R {
    e.mla(e * R::lit(0.5 * R::UNSCALE), e)
}

/// 1/M.
#[inline(always)]
pub(crate) fn gate_reciprocal<R: Real>(_: R, e: R) -> R {
    gate_m(e).mla(R::lit(R::UNSCALE), R::lit(1.0)).recip_full()
}

#[inline(always)]
pub(crate) fn mish<R: Real>(x: R, e: R, r: R) -> Quick<R> {
    let value = (x.at_least(R::LOWEST) * r) * gate_m(e) * R::lit(R::UNSCALE);
    Quick::well_conditioned(R::if_gt(x, R::lit(R::SATURATED), x, value))
}

#[inline(always)]
pub(crate) fn tanh_softplus<R: Real>(x: R, e: R, r: R) -> Quick<R> {
    let value = gate_m(e) * r * R::lit(R::UNSCALE);
    Quick::well_conditioned(R::if_gt(x, R::lit(R::SATURATED), R::lit(1.0), value))
}

/// 1/M.
#[inline(always)]
pub(crate) fn mish_d1_reciprocal<R: Real>(x: R, e: R) -> R {
    gate_reciprocal(x, e)
}

/// mish′ as in `formula.rs`; its two terms cancel near the root.
#[inline(always)]
pub(crate) fn mish_d1<R: Real>(x: R, e: R, r: R) -> Quick<R> {
    let x = to_saturation(x);
    let unscale = R::lit(R::UNSCALE);
    let half_square = e * (e * R::lit(0.5 * R::UNSCALE));
    let r = r * unscale;
    let tail = (-half_square).mla(x * e * r, half_square);
    let x1 = R::lit(1.0) + x;
    Quick {
        value: e.mla(x1, tail) * r,
        magnitude: Some(e.mla(x1.abs(), tail) * r),
    }
}

/// t/(2 + t).
#[inline(always)]
pub(crate) fn log1p_quotient<R: Real>(_: R, t: R) -> R {
    let small = t * R::lit(R::UNSCALE);
    small / (small + R::lit(2.0))
}

#[inline(always)]
pub(crate) fn softplus<R: Real>(x: R, t: R, u: R) -> Quick<R> {
    let w = u * u;
    let small = t * R::lit(R::UNSCALE);
    let inner = (-w).mla(polynomial(R::LOG1P, w), small);
    Quick::well_conditioned(small + (-u).mla(inner, x.at_least(0.0)))
}

/// 1/(1 + e).
#[inline(always)]
pub(crate) fn sigmoid_reciprocal<R: Real>(_: R, e: R) -> R {
    e.mla(R::lit(R::UNSCALE), R::lit(1.0)).recip_full()
}

#[inline(always)]
pub(crate) fn softplus_d1<R: Real>(_: R, e: R, r: R) -> Quick<R> {
    Quick::well_conditioned(e * r * R::lit(R::UNSCALE))
}

/// 1/M.
#[inline(always)]
pub(crate) fn tanh_softplus_d1_reciprocal<R: Real>(x: R, t: R) -> R {
    let t = t * R::lit(R::UNSCALE);
    let m = (t * by_sign(x, 0.5, 1.0)).mla(t, by_sign(x, 1.0, 0.5) + t);
    m.recip_full()
}

#[inline(always)]
pub(crate) fn tanh_softplus_d1<R: Real>(x: R, scaled: R, r: R) -> Quick<R> {
    let t = scaled * R::lit(R::UNSCALE);
    let one = R::lit(1.0);
    let factor = R::if_gt(R::lit(0.0), x, one, t);
    Quick::well_conditioned(scaled * (factor * (one + t)) * (r * r) * R::lit(R::UNSCALE))
}

#[cfg(test)]
mod tests {
    use crate::activation::Activation;
    use crate::family::{with_family, Family};
    use candle_core::DType;
    use half::{bf16, f16};

    /// The worst of error/magnitude over all inputs of both 16-bit types, and where it is.
    fn worst<F: Family>(f: F) -> (f64, f32) {
        let inputs = (0..=u16::MAX).flat_map(|b| [f16::from_bits(b).to_f32(), bf16::from_bits(b).to_f32()]);
        let mut worst = (0.0, 0.0);
        for x in inputs.filter(|x| x.is_finite()) {
            let e = f.quick_exponential(x);
            let quick = f.quick(x, e, f.quick_reciprocal(x, e));
            let error = (quick.value as f64 - f.eval(x as f64)).abs();
            // Below 2^-126 the spacing of f32 counts, which is 2^-16 of that of bf16.
            let magnitude = quick.magnitude.unwrap_or(quick.value.abs()) as f64;
            let relative = error / magnitude.max(f32::MIN_POSITIVE as f64);
            if relative > worst.0 {
                worst = (relative, x);
            }
        }
        worst
    }

    #[test]
    fn errors_are_below_the_bounds() {
        let mut above = Vec::new();
        for activation in Activation::ALL {
            for order in 0..=1 {
                let (error, x, bound) = with_family!(activation, order, DType::F32, f => {
                    let (error, x) = worst(f);
                    (error, x, bound_of(f))
                });
                let unit = 2f64.powi(24);
                println!(
                    "{activation} order {order}: {:.3}·2⁻²⁴ at {x:e}, bound {:.3}",
                    error * unit,
                    bound * unit
                );
                // One unit for reciprocals that are an approximation and a Newton step, one for the product with g.
                if error + (1 + order) as f64 / unit > bound {
                    above.push((activation, order));
                }
            }
        }
        assert!(above.is_empty(), "{above:?}");
    }

    fn bound_of<F: Family>(_: F) -> f64 {
        F::QUICK_ERROR
    }
}
