//! The formulas without the low parts, in f32, for 16-bit results.
//!
//! The error is below `Family::QUICK_ERROR` · magnitude. Whoever rounds the value to 16 bits checks that both ends of
//! that interval round alike.

use super::{by_sign, exp_parts, polynomial};
use crate::real::Real;

/// log1p(t)/t on 0 ≤ t ≤ 1 in powers of t − ½, error 3.3e-8.
const LOG1P: &[f64] = &[
    0.810930216,
    -0.288526673,
    0.132609494,
    -0.0677111866,
    0.036625606,
    -0.0202303406,
    0.0116395754,
    -0.00856965611,
    0.00512610214,
];

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

/// mish′ as in `formula.rs`; its two terms cancel near the root.
#[inline(always)]
pub(crate) fn mish_d1<R: Real>(x: R) -> Quick<R> {
    let x = x.at_least(R::LOWEST).at_most(R::SATURATED);
    let (one, unscale) = (R::lit(1.0), R::lit(R::UNSCALE));
    let scaled = exp(x);
    let e = scaled * unscale;
    let half = e * R::lit(0.5);
    let r = (one + e.mla(half, e)).recip_full();
    let half_square = scaled * half;
    let tail = (-half_square).mla(x * e * r, half_square);
    let x1 = one + x;
    let r = r * unscale;
    Quick {
        value: scaled.mla(x1, tail) * r,
        magnitude: scaled.mla(x1.abs(), tail) * r,
    }
}

#[inline(always)]
pub(crate) fn softplus<R: Real>(x: R) -> Quick<R> {
    let t = exp(-(x.abs().at_most(-R::LOWEST)));
    let small = t * R::lit(R::UNSCALE);
    let log1p = t * polynomial(LOG1P, small - R::lit(0.5));
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
            let quick = f.quick(x);
            let error = (quick.value as f64 - f.eval(x as f64)).abs();
            // Below 2^-126 the spacing of f32 counts, which is 2^-16 of that of bf16.
            let relative = error / (quick.magnitude as f64).max(f32::MIN_POSITIVE as f64);
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
