//! The formulas without the low parts, in f32, for 16-bit results.
//!
//! They are off by an ulp or two of f32, some 2⁻¹² ulp of f16, before they are rounded: of the 65,536 inputs of a type, one
//! to six would come out on the wrong side, most of them because the true value is closer to a midpoint than f32 can tell.
//! Which ones depends on every rounding on the way, and these are the same wherever there is an FMA, as nothing is used
//! here that IEEE 754 leaves open. So the constants of a function, five coefficients of the exponential and five numbers
//! that could as well be ½, 1 or 2, are off by a few ulps from where a single value would be best, such that every input
//! of both types comes out right: the idea of [RLIBM](https://people.cs.rutgers.edu/~sn349/rlibm/), by
//! search. The tests below find the constants and check them; `tests/half.rs` checks whole tensors.

use super::{by_sign, exp_parts, polynomial, to_saturation};
use crate::real::Real;

/// The constants of a function: five coefficients of the exponential, and five more, which are 1 where there is no use
/// for them. A table for each function, as `find_constants` prints it.
pub(crate) type Constants = [f64; 10];

#[rustfmt::skip]
pub(crate) const MISH: Constants = [
    0.4999999403953552, 0.16666561365127563, 0.04166813939809799, 0.008366449736058712, 0.0013809752417728305,
    0.4999995827674866, 1.0000004768371582, 0.9999998807907104, 0.9999997615814209, 1.0000008344650269,
];
#[rustfmt::skip]
pub(crate) const MISH_D1: Constants = [
    0.5000000596046448, 0.16666492819786072, 0.041669148951768875, 0.008372781798243523, 0.0013920379569754004,
    0.49999988079071045, 0.9999998807907104, 0.9999996423721313, 0.9999994039535522, 1.0000003576278687,
];
#[rustfmt::skip]
pub(crate) const SOFTPLUS: Constants = [
    0.5, 0.16666552424430847, 0.041668713092803955, 0.008369440212845802, 0.0013758072163909674,
    1.9999996423721313, 1.0, 1.0, 1.0, 1.0,
];
#[rustfmt::skip]
pub(crate) const SOFTPLUS_D1: Constants = [
    0.5, 0.16666501760482788, 0.04166869819164276, 0.008368181064724922, 0.0013823820045217872,
    0.9999999403953552, 1.0000003576278687, 1.0000003576278687, 1.0, 1.0,
];
#[rustfmt::skip]
pub(crate) const TANH_SOFTPLUS: Constants = [
    0.4999999403953552, 0.16666559875011444, 0.04166804626584053, 0.008367196656763554, 0.0013873864663764834,
    0.49999985098838806, 1.0000009536743164, 1.0000001192092896, 0.9999999403953552, 1.0000009536743164,
];
#[rustfmt::skip]
pub(crate) const TANH_SOFTPLUS_D1: Constants = [
    0.4999997615814209, 0.16666536033153534, 0.04166779667139053, 0.008364517241716385, 0.0013907983666285872,
    1.000000238418579, 1.000000238418579, 1.0000001192092896, 1.0, 1.0,
];

/// eˣ, scaled.
#[inline(always)]
pub(crate) fn exp<R: Real>(x: R, c: &Constants) -> R {
    let (s, y) = exp_parts(x, None, &c[..5], R::MAGIC);
    s.mla(y, s)
}

/// For σ, whose exact form takes exp(−x): eˣ, scaled, from −x.
#[inline(always)]
pub(crate) fn exp_down<R: Real>(minus_x: R, c: &Constants) -> R {
    exp(-minus_x, c)
}

/// e + e²/2, scaled.
#[inline(always)]
fn gate_m<R: Real>(e: R, c: &Constants) -> R {
    e * e.mla(R::lit(c[5] * R::UNSCALE), R::lit(c[9]))
}

/// M = 1 + m from m, scaled.
#[inline(always)]
fn one_plus<R: Real>(m: R, c: &Constants) -> R {
    m.mla(R::lit(c[8] * R::UNSCALE), R::lit(c[6]))
}

/// T, scaled. Where x is clamped it is 1 to the last bit.
#[inline(always)]
pub(crate) fn gate<R: Real>(_: R, e: R, c: &Constants) -> R {
    let m = gate_m(e, c);
    m / one_plus(m, c)
}

#[inline(always)]
pub(crate) fn mish<R: Real>(x: R, _: R, t: R, c: &Constants) -> R {
    x.at_least(R::LOWEST) * (t * R::lit(c[7] * R::UNSCALE))
}

#[inline(always)]
pub(crate) fn tanh_softplus<R: Real>(_: R, _: R, t: R, c: &Constants) -> R {
    t * R::lit(c[7] * R::UNSCALE)
}

/// 1/M.
#[inline(always)]
pub(crate) fn mish_d1_reciprocal<R: Real>(_: R, e: R, c: &Constants) -> R {
    R::lit(c[7]) / one_plus(gate_m(e, c), c)
}

/// mish′ as in `formula.rs`, scaled.
#[inline(always)]
pub(crate) fn mish_d1<R: Real>(x: R, e: R, r: R, _: &Constants) -> R {
    let x = to_saturation(x);
    let half_square = e * (e * R::lit(0.5 * R::UNSCALE));
    let tail = (-half_square).mla(x * e * (r * R::lit(R::UNSCALE)), half_square);
    e.mla(R::lit(1.0) + x, tail) * r
}

/// t/(2 + t).
#[inline(always)]
pub(crate) fn log1p_quotient<R: Real>(_: R, t: R, c: &Constants) -> R {
    let small = t * R::lit(R::UNSCALE);
    small / (small + R::lit(c[5]))
}

#[inline(always)]
pub(crate) fn softplus<R: Real>(x: R, t: R, u: R, c: &Constants) -> R {
    let w = u * u;
    let small = t * R::lit(c[6] * R::UNSCALE);
    let inner = (-w).mla(polynomial(R::LOG1P, w), small);
    small + (-u).mla(inner, x.at_least(0.0))
}

/// σ, scaled.
#[inline(always)]
pub(crate) fn sigmoid<R: Real>(x: R, e: R, c: &Constants) -> R {
    let one = R::if_gt(R::lit(-1.0), x, R::lit(c[7]), by_sign(x, c[5], c[6]));
    e / e.mla(R::lit(R::UNSCALE), one)
}

#[inline(always)]
pub(crate) fn softplus_d1<R: Real>(_: R, _: R, sigmoid: R, _: &Constants) -> R {
    sigmoid
}

/// 1/M.
#[inline(always)]
pub(crate) fn tanh_softplus_d1_reciprocal<R: Real>(x: R, t: R, c: &Constants) -> R {
    let t = t * R::lit(R::UNSCALE);
    let m = (t * by_sign(x, 0.5, 1.0)).mla(t, by_sign(x, c[5], 0.5 * c[6]) + t);
    R::lit(1.0) / m
}

/// T′, scaled.
#[inline(always)]
pub(crate) fn tanh_softplus_d1<R: Real>(x: R, scaled: R, r: R, c: &Constants) -> R {
    let t = scaled * R::lit(R::UNSCALE);
    let factor = R::if_gt(R::lit(0.0), x, R::lit(1.0), t);
    scaled * (factor * (R::lit(c[7]) + t)) * (r * r)
}

/// value·g of a scaled value.
#[inline(always)]
pub(crate) fn product<R: Real>(scaled: R, g: R) -> R {
    scaled * R::lit(R::UNSCALE) * g
}

/// The size below which a scaled value is subnormal in f32 or lost: g may bring it back into the range of bf16.
pub(crate) const VANISHING: f64 = 1.0 / (1u64 << 62) as f64;

#[cfg(test)]
mod tests {
    use super::{product, Constants};
    use crate::activation::Activation;
    use crate::cpu::to_odd;
    use crate::family::{with_family, Family};
    use crate::real::Real;
    use candle_core::DType;
    use half::{bf16, f16};

    /// An input of one of the two types.
    #[derive(Clone, Copy, Debug)]
    struct Input {
        x: f32,
        is_bf16: bool,
    }

    impl Input {
        /// All but NaN.
        fn all() -> impl Iterator<Item = Self> {
            let both = |b| {
                [
                    (f16::from_bits(b).to_f32(), false),
                    (bf16::from_bits(b).to_f32(), true),
                ]
            };
            (0..=u16::MAX)
                .flat_map(both)
                .map(|(x, is_bf16)| Self { x, is_bf16 })
                .filter(|input| !input.x.is_nan())
        }

        fn rounded(self, y: f32) -> u16 {
            match self.is_bf16 {
                true => bf16::from_f32(y).to_bits(),
                false => f16::from_f32(y).to_bits(),
            }
        }

        /// From f64.
        fn right<F: Family>(self, f: F) -> u16 {
            self.rounded(to_odd(f.eval(self.x as f64)))
        }

        fn quick<F: Family>(self, f: F, c: &Constants) -> u16 {
            let e = f.quick_exponential(self.x, c);
            let y = f.quick(self.x, e, f.quick_reciprocal(self.x, e, c), c);
            self.rounded(match F::QUICK_SCALED {
                true => product(y, 1.0),
                false => y,
            })
        }

        /// Whether an error of 30·2⁻²⁴, or one that is absolute next to the root of a derivative, may bring the result to
        /// the other side of a midpoint.
        fn is_hard<F: Family>(self, f: F) -> bool {
            let y = f.eval(self.x as f64);
            let near_root = F::QUICK_SCALED && (-1.3..-1.1).contains(&self.x);
            let error = 2f64.powi(-24) * if near_root { 1.0 } else { 30.0 * y.abs() };
            y.abs() > 2f64.powi(-140) && self.rounded(to_odd(y - error)) != self.rounded(to_odd(y + error))
        }
    }

    /// The first constants, of a random walk that starts over from the best ones for a single value, for which all
    /// results are right. Those that are 1 stay.
    fn find<F: Family>(f: F, in_use: &Constants) -> Option<Constants> {
        const LIMITS: Constants = [5e-7, 2.5e-6, 2e-5, 6e-4, 8e-3, 1e-6, 1e-6, 1e-6, 1e-6, 1e-6];
        let limits: Vec<_> = LIMITS
            .iter()
            .zip(in_use)
            .map(|(limit, c)| if *c == 1.0 { 0.0 } else { *limit })
            .collect();
        // ½, 1 or 2.
        let mut start = in_use.map(|c| (2.0 * c).round() / 2.0);
        start[..5].copy_from_slice(f32::EXP);
        let hard: Vec<_> = Input::all()
            .filter(|x| x.is_hard(f))
            .map(|x| (x, x.right(f)))
            .collect();
        // Counting ends where it is above `most`.
        let wrong = |c: &Constants, most: usize| {
            let wrong = hard.iter().filter(|(x, right)| x.quick(f, c) != *right);
            wrong.take(most + 1).count()
        };
        let mut state = 77u64;
        let mut random = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) as f64 / (1u64 << 30) as f64 - 1.0
        };
        let (mut current, mut now) = (start, usize::MAX - 1);
        for i in 0..20_000_000 {
            if i % 20_000 == 0 {
                (current, now) = (start, wrong(&start, usize::MAX - 1));
            }
            let mut c = current;
            for ((c, start), limit) in c.iter_mut().zip(start).zip(&limits) {
                if random() > 0.2 {
                    *c = (start * (1.0 + limit * random())) as f32 as f64;
                }
            }
            let n = wrong(&c, now);
            if n <= now {
                (current, now) = (c, n);
            }
            if n == 0 && Input::all().all(|x| x.quick(f, &c) == x.right(f)) {
                println!("after {i} sets of constants");
                return Some(c);
            }
        }
        None
    }

    #[test]
    #[ignore = "prints constants for the table above"]
    fn find_constants() {
        for activation in Activation::ALL {
            for order in 0..=1 {
                with_family!(activation, order, DType::F32, f => {
                    println!("{activation}, order {order}: {:?}", find(f, constants(f).unwrap()))
                });
            }
        }
    }

    fn constants<F: Family>(_: F) -> Option<&'static Constants> {
        F::QUICK
    }

    #[test]
    fn every_input_comes_out_right() {
        let mut wrong = Vec::new();
        for activation in Activation::ALL {
            for order in 0..=1 {
                with_family!(activation, order, DType::F32, f => {
                    let Some(c) = constants(f) else { continue };
                    let of_f = Input::all().filter(|x| x.quick(f, c) != x.right(f));
                    wrong.extend(of_f.map(|x| (activation, order, x)));
                });
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
