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
    0.5, 0.16666480898857117, 0.041669197380542755, 0.008364887908101082, 0.0013860327890142798,
    0.4999995827674866, 0.9999996423721313, 0.9999992251396179, 0.9999990463256836, 1.0000005960464478,
];
#[rustfmt::skip]
pub(crate) const MISH_D1: Constants = [
    0.5000001192092896, 0.16666553914546967, 0.04166841879487038, 0.00836703460663557, 0.0013704862212762237,
    0.4999997317790985, 1.0, 0.9999999403953552, 1.0000005960464478, 0.9999993443489075,
];
#[rustfmt::skip]
pub(crate) const SOFTPLUS: Constants = [
    0.4999997019767761, 0.16666561365127563, 0.041668850928545, 0.008367190137505531, 0.001390852965414524,
    1.9999995231628418, 1.0, 1.0, 1.0, 1.0,
];
#[rustfmt::skip]
pub(crate) const SOFTPLUS_D1: Constants = [
    0.4999999403953552, 0.1666652113199234, 0.041668348014354706, 0.008372495882213116, 0.001378632034175098,
    0.9999999403953552, 1.0000005960464478, 1.0000001192092896, 1.0, 1.0,
];
#[rustfmt::skip]
pub(crate) const TANH_SOFTPLUS: Constants = [
    0.49999985098838806, 0.1666649878025055, 0.0416681282222271, 0.008366616442799568, 0.0013772897655144334,
    0.49999961256980896, 1.0, 1.0000001192092896, 1.0, 1.0,
];
#[rustfmt::skip]
pub(crate) const TANH_SOFTPLUS_D1: Constants = [
    0.5000001788139343, 0.1666654646396637, 0.04166834056377411, 0.008366978727281094, 0.0013847111258655787,
    1.0000001192092896, 1.0000001192092896, 1.0000001192092896, 1.0, 1.0,
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

/// mish′ = d·(c₀ + c₁d + …) in the distance d to its root, for |d| < 1/8: error 1.2·2⁻²⁴.
const MISH_D1_AT_ROOT: [f64; 5] = [
    0.2669479250907898,
    0.2047315239906311,
    0.04190773889422417,
    -0.02033715881407261,
    -0.015799712389707565,
];

/// mish′ = (e/M)(1 + x + (e/2)(1 − x·e/M)), scaled; next to the root, where the terms cancel, by its polynomial.
#[inline(always)]
pub(crate) fn mish_d1<R: Real>(x: R, e: R, r: R, _: &Constants) -> R {
    let (x, one) = (to_saturation(x), R::lit(1.0));
    let quotient = e * r;
    let inner = (-x).mla(quotient * R::lit(R::UNSCALE), one);
    let elsewhere = quotient * (e * R::lit(0.5 * R::UNSCALE)).mla(inner, one + x);
    let d = (x + R::lit(1.1924312114715576)) + R::lit(3.043937594950088e-9);
    let at_root = d * polynomial(&MISH_D1_AT_ROOT.map(|c| c / R::UNSCALE), d);
    R::if_gt(R::lit(0.125), d.abs(), at_root, elsewhere)
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

/// T′/t.
#[inline(always)]
pub(crate) fn tanh_softplus_d1_quotient<R: Real>(x: R, scaled: R, c: &Constants) -> R {
    let t = scaled * R::lit(R::UNSCALE);
    let m = (t * by_sign(x, 0.5, 1.0)).mla(t, by_sign(x, c[5], 0.5 * c[6]) + t);
    let factor = x.if_negative(R::lit(1.0), t);
    factor * (R::lit(c[7]) + t) / (m * m)
}

/// T′, scaled.
#[inline(always)]
pub(crate) fn tanh_softplus_d1<R: Real>(_: R, scaled: R, quotient: R, _: &Constants) -> R {
    scaled * quotient
}

/// value·g of a scaled value.
#[inline(always)]
pub(crate) fn product<R: Real>(scaled: R, g: R) -> R {
    scaled * R::lit(R::UNSCALE) * g
}

#[cfg(test)]
mod tests {
    use super::{product, Constants};
    use crate::activation::Activation;
    use crate::cpu::to_odd;
    use crate::family::{with_family, Family};
    use crate::real::Real;
    use candle_core::DType;
    use half::{bf16, f16};
    use rand::{rngs::StdRng, Rng, SeedableRng};

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
            self.rounded(quick(f, self.x, c))
        }

        /// Whether an error of 30·2⁻²⁴ may bring the result to the other side of a midpoint.
        fn is_hard<F: Family>(self, f: F) -> bool {
            let y = f.eval(self.x as f64);
            let error = 30.0 * 2f64.powi(-24) * y.abs();
            y.abs() > 2f64.powi(-140) && self.rounded(to_odd(y - error)) != self.rounded(to_odd(y + error))
        }
    }

    fn quick<F: Family>(f: F, x: f32, c: &Constants) -> f32 {
        let e = f.quick_exponential(x, c);
        let y = f.quick(x, e, f.quick_reciprocal(x, e, c), c);
        match F::QUICK_SCALED {
            true => product(y, 1.0),
            false => y,
        }
    }

    /// In units of 2⁻²⁴. A product with g rounds once more in f32, by one unit at most, and eleven are no more than
    /// 11·2⁻¹³ ulp of f16.
    const ERROR: f64 = 10.0;

    /// The largest relative error, in the same units, and where it is.
    fn worst<F: Family>(f: F, c: &Constants) -> (f64, f32) {
        let xs = (-1_000_000..=1_000_000).map(|i| i as f32 * 2e-5);
        let error = |x: f32| {
            let y = f.eval(x as f64);
            ((quick(f, x, c) as f64 - y) / y).abs() * (1u64 << 24) as f64
        };
        xs.map(|x| (error(x), x))
            .fold((0.0, 0.0), |a, b| if b.0 > a.0 { b } else { a })
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
        let mut random = StdRng::seed_from_u64(77);
        let (mut current, mut now) = (start, usize::MAX - 1);
        for i in 0..20_000_000 {
            if i % 20_000 == 0 {
                (current, now) = (start, wrong(&start, usize::MAX - 1));
            }
            let mut c = current;
            for ((c, start), limit) in c.iter_mut().zip(start).zip(&limits) {
                if random.random_bool(0.4) {
                    *c = (start * (1.0 + limit * random.random_range(-1.0..1.0))) as f32 as f64;
                }
            }
            let n = wrong(&c, now);
            if n <= now {
                (current, now) = (c, n);
            }
            if n == 0 {
                if Input::all().all(|x| x.quick(f, &c) == x.right(f)) && worst(f, &c).0 < ERROR {
                    println!("after {i} sets of constants");
                    return Some(c);
                }
                (current, now) = (start, usize::MAX - 1);
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

    #[test]
    fn errors_leave_room_for_a_product() {
        for activation in Activation::ALL {
            for order in 0..=1 {
                with_family!(activation, order, DType::F32, f => {
                    let Some(c) = constants(f) else { continue };
                    let (error, x) = worst(f, c);
                    println!("{activation}, order {order}: {error:.2} of 2^-24 at {x}");
                    assert!(error < ERROR, "{activation}, order {order}: {error} of 2^-24 at {x}");
                });
            }
        }
    }
}
