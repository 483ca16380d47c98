//! From an activation and an order to the formula as a type, so that each compiles into loops of its own.

mod parametric;

use crate::formula;
use crate::formula::quick::{self, Constants};
use crate::formula::series::Curve;
use crate::real::Real;
use crate::twin::Twin;
pub(crate) use parametric::{Parametric, Thresholded};

/// f⁽ᵏ⁾ of one activation, in three stages, which a backend may run apart, or from a curve that it may interpolate.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // only x86-64 interpolates
pub(crate) trait Family: Copy + Send + Sync {
    /// Whether [`Family::eval`] in f32 meets the accuracy contract for f32; otherwise f32 tensors are evaluated in f64.
    const SINGLE: bool;
    /// The constants of [`Family::quick`], if there is one; otherwise 16-bit tensors are evaluated in f64.
    const QUICK: Option<&'static Constants>;
    /// Whether what [`Family::quick`] returns is scaled, as that of a derivative is: see [`quick::product`].
    const QUICK_SCALED: bool = false;

    /// The one exponential, of x or of −|x|, scaled.
    fn exponential<R: Real>(self, x: R) -> Twin<R>;

    /// The one reciprocal or quotient, with what else is to be kept.
    fn reciprocal<R: Real>(self, x: R, e: Twin<R>) -> [R; 2];

    /// f⁽ᵏ⁾(x) from both.
    fn value<R: Real>(self, x: R, e: Twin<R>, r: [R; 2]) -> R;

    #[inline(always)]
    fn eval<R: Real>(self, x: R) -> R {
        let e = self.exponential(x);
        self.value(x, e, self.reciprocal(x, e))
    }

    /// f⁽ᵏ⁾(x) to the precision of a narrower type, where f32 is not enough for that, in two stages.
    #[inline(always)]
    fn wide_exponential<R: Real>(self, x: R) -> R {
        x
    }
    #[inline(always)]
    fn wide<R: Real>(self, x: R, _e: R) -> R {
        self.eval(x)
    }

    /// What may be interpolated: f⁽ᵏ⁾(x) is [`Family::multiple`] of its value at [`Family::argument`], unless
    /// [`Family::branch`] has something else.
    const CURVE: Curve;
    /// Whether that is βx.
    const HAS_BETA: bool = false;
    /// Whether that stays in the range of f32.
    #[inline(always)]
    fn is_moderate(self) -> bool {
        true
    }
    /// x or βx.
    #[inline(always)]
    fn argument<R: Real>(self, x: R) -> Twin<R> {
        Twin::new(x, R::lit(0.0))
    }
    /// [`Family::argument`] plus `magic`, rounded once.
    #[inline(always)]
    fn place<R: Real>(self, x: R, magic: f64) -> R {
        x + R::lit(magic)
    }
    /// [`Family::argument`] less `centre`, which is next to it.
    #[inline(always)]
    fn distance<R: Real>(self, x: R, centre: R) -> R {
        x - centre
    }
    /// A multiple of the curve's value.
    #[inline(always)]
    fn multiple<R: Real>(self, _x: R, value: Twin<R>) -> R {
        value.sum()
    }
    /// `smooth`, or what is in its place beyond a threshold.
    #[inline(always)]
    fn branch<R: Real>(self, _x: R, smooth: R) -> R {
        smooth
    }

    /// The three stages to the precision of f32, for 16-bit results.
    #[inline(always)]
    fn quick_exponential<R: Real>(self, x: R, _: &Constants) -> R {
        x
    }
    #[inline(always)]
    fn quick_reciprocal<R: Real>(self, _x: R, e: R, _: &Constants) -> R {
        e
    }
    #[inline(always)]
    fn quick<R: Real>(self, x: R, _e: R, _r: R, _: &Constants) -> R {
        self.eval(x)
    }
}

macro_rules! family {
    ($name:ident, $function:ident of $curve:ident $(times $x:ident)?, $exp:ident $argument:ident, $reciprocal:ident $(, wide $wide:ident)? $(, quick $stage:ident $constants:ident $($scaled:ident)?)?) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name;

        impl Family for $name {
            const SINGLE: bool = family!(is $($stage)?);
            const QUICK: Option<&'static Constants> = family!(option $($constants)?);
            const CURVE: Curve = Curve::$curve;
            $(const QUICK_SCALED: bool = family!(is $($scaled)?);)?

            #[inline(always)]
            fn exponential<R: Real>(self, x: R) -> Twin<R> {
                formula::$exp(formula::$argument(x), None)
            }
            #[inline(always)]
            fn reciprocal<R: Real>(self, x: R, e: Twin<R>) -> [R; 2] {
                formula::$reciprocal(x, e)
            }
            #[inline(always)]
            fn value<R: Real>(self, x: R, e: Twin<R>, r: [R; 2]) -> R {
                formula::$function(x, e, r)
            }
            $(
                #[inline(always)]
                fn multiple<R: Real>(self, $x: R, value: Twin<R>) -> R {
                    $x.fma(value.high, $x * value.low)
                }
            )?
            $(
                #[inline(always)]
                fn wide_exponential<R: Real>(self, x: R) -> R {
                    formula::wide::exp(x)
                }
                #[inline(always)]
                fn wide<R: Real>(self, x: R, e: R) -> R {
                    formula::wide::$wide(x, e)
                }
            )?
            $(
                #[inline(always)]
                fn quick_exponential<R: Real>(self, x: R, c: &Constants) -> R {
                    quick::$exp(formula::$argument(x), c)
                }
                #[inline(always)]
                fn quick_reciprocal<R: Real>(self, x: R, e: R, c: &Constants) -> R {
                    quick::$stage(x, e, c)
                }
                #[inline(always)]
                fn quick<R: Real>(self, x: R, e: R, r: R, c: &Constants) -> R {
                    quick::$function(x, e, r, c)
                }
            )?
        }
    };
    (is $any:ident) => { true };
    (is) => { false };
    (option $constants:ident) => { Some(&quick::$constants) };
    (option) => { None };
}

family!(MishD0, mish of MishD0 times x, exp to_saturation, gate_reciprocal, quick gate MISH);
family!(MishD1, mish_d1 of MishD1, exp to_saturation, mish_d1_reciprocal, quick mish_d1_reciprocal MISH_D1 scaled);
family!(MishD2, mish_d2 of MishD2, exp minus_abs, decay_reciprocal, wide mish_d2);
family!(SoftplusD0, softplus of SoftplusD0, exp minus_abs, log1p_quotient, quick log1p_quotient SOFTPLUS);
family!(SoftplusD1, softplus_d1 of SoftplusD1, exp_down negated, sigmoid_reciprocal, quick sigmoid SOFTPLUS_D1 scaled);
family!(SoftplusD2, softplus_d2 of SoftplusD2, exp minus_abs, one_plus_reciprocal, wide softplus_d2);
family!(TanhSoftplusD0, tanh_softplus of TanhSoftplusD0, exp to_saturation, gate_reciprocal, quick gate TANH_SOFTPLUS);
family!(TanhSoftplusD1, tanh_softplus_d1 of TanhSoftplusD1, exp minus_abs, tanh_softplus_d1_reciprocal,
    quick tanh_softplus_d1_quotient TANH_SOFTPLUS_D1 scaled);
family!(TanhSoftplusD2, tanh_softplus_d2 of TanhSoftplusD2, exp minus_abs, decay_reciprocal, wide tanh_softplus_d2);

/// Evaluates `$body` with `$f` bound to the [`Family`] of an activation and an order of 0, 1 or 2.
macro_rules! with_family {
    ($activation:expr, $order:expr, $dtype:expr, $f:ident => $body:expr) => {{
        use $crate::activation::Activation;
        use $crate::family::*;
        macro_rules! case {
            ($family:expr) => {{
                let $f = $family;
                $body
            }};
        }
        let single = $dtype != candle_core::DType::F64;
        match ($activation, $order) {
            (Activation::Mish, 0) => case!(MishD0),
            (Activation::Mish, 1) => case!(MishD1),
            (Activation::Mish, _) => case!(MishD2),
            (Activation::TanhSoftplus, 0) => case!(TanhSoftplusD0),
            (Activation::TanhSoftplus, 1) => case!(TanhSoftplusD1),
            (Activation::TanhSoftplus, _) => case!(TanhSoftplusD2),
            (Activation::Softplus(s), 0) if s.is_plain() => case!(SoftplusD0),
            (Activation::Softplus(s), 1) if s.is_plain() => case!(SoftplusD1),
            (Activation::Softplus(s), 2) if s.is_plain() => case!(SoftplusD2),
            (Activation::Softplus(s), 0) if s.beta() == 1.0 => {
                case!(Thresholded::<_, 0>::new(SoftplusD0, s, single))
            }
            (Activation::Softplus(s), 1) if s.beta() == 1.0 => {
                case!(Thresholded::<_, 1>::new(SoftplusD1, s, single))
            }
            (Activation::Softplus(s), 2) if s.beta() == 1.0 => {
                case!(Thresholded::<_, 2>::new(SoftplusD2, s, single))
            }
            (Activation::Softplus(softplus), 0) => case!(Parametric::<0> { softplus, single }),
            (Activation::Softplus(softplus), 1) => case!(Parametric::<1> { softplus, single }),
            (Activation::Softplus(softplus), _) => case!(Parametric::<2> { softplus, single }),
        }
    }};
}
pub(crate) use with_family;

/// As [`with_family`], for what a fused op applies; of order 0 or 1.
macro_rules! with_fused_family {
    ($fused:expr, $order:expr, $f:ident => $body:expr) => {{
        use $crate::affine::Fused;
        use $crate::family::*;
        macro_rules! case {
            ($family:expr) => {{
                let $f = $family;
                $body
            }};
        }
        match ($fused, $order) {
            (Fused::MishAffine | Fused::MishBias, 0) => case!(MishD0),
            (Fused::MishAffine | Fused::MishBias, _) => case!(MishD1),
            (Fused::SoftplusBias, 0) => case!(SoftplusD0),
            (Fused::SoftplusBias, _) => case!(SoftplusD1),
        }
    }};
}
pub(crate) use with_fused_family;
