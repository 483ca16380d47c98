//! Vectors of f32 and f64 as arithmetic types for the formulas.

use super::super::argument::Values;
use super::convert::{narrow_bf16, narrow_f16, widen_bf16, widen_f16};
use crate::real::{constants, Real};
use core::arch::x86_64::*;
use core::ops::{Add, Div, Mul, Neg, Sub};
use half::{bf16, f16};
use std::mem::MaybeUninit;

pub(super) const LANES: usize = 16;
pub(super) const LANES_F64: usize = 8;

/// An arithmetic type of `L` numbers.
pub(super) trait Vector<const L: usize>: Real {
    type Scalar;
    fn load(from: &[Self::Scalar; L]) -> Self;
    /// Scale and shift of a vector's elements.
    fn parameters(values: Values<'_, Self::Scalar>) -> [Self; 2];
    /// Element by element the smaller; that of `other` where self is NaN.
    fn or_less(self, other: Self) -> Self;
    /// Whether any element is below the bound.
    fn any_below(self, bound: f64) -> bool;
}

/// A register as an arithmetic type.
///
/// The intrinsics are sound to call because these types are used only inside [`Simd::vectorize`] of `pulp::x86::V4`,
/// which exists only where the processor has AVX-512 F, BW, CD, DQ and VL.
macro_rules! vector {
    (
        $name:ident of $t:ident in $register:ident, $precision:ident,
        operators $($trait:ident $method:ident $op:ident),*;
        $set1:ident $xor:ident $abs:ident $fmadd:ident $min:ident $max:ident $blend:ident $compare:ident
        $load:ident $rcp14:ident $newton:literal $to_single:expr, shift $shift:ident<$mantissa:literal> $to_bits:ident $of_bits:ident
    ) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name(pub(super) $register);

        $(impl $trait for $name {
            type Output = Self;
            #[inline(always)]
            fn $method(self, b: Self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { $op(self.0, b.0) })
            }
        })*

        impl Neg for $name {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { $xor(self.0, $set1(-0.0)) })
            }
        }

        impl Vector<{ size_of::<$register>() / size_of::<$t>() }> for $name {
            type Scalar = $t;

            #[inline(always)]
            fn load(from: &[$t; size_of::<$register>() / size_of::<$t>()]) -> Self {
                // SAFETY: the array is as long as the register.
                Self(unsafe { $load(from.as_ptr()) })
            }

            #[inline(always)]
            fn or_less(self, other: Self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { $min(self.0, other.0) })
            }

            #[inline(always)]
            fn any_below(self, bound: f64) -> bool {
                // SAFETY: as above.
                unsafe { $compare::<_CMP_LT_OQ>(self.0, $set1(bound as $t)) != 0 }
            }

            #[inline(always)]
            fn parameters(values: Values<'_, $t>) -> [Self; 2] {
                // No `map` of arrays: it was a call, out of AVX-512.
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                unsafe {
                    match values {
                        Values::Same([scale, shift]) => [Self($set1(scale)), Self($set1(shift))],
                        Values::Two(first, [here, next]) => {
                            let mask = (1u32 << first).wrapping_sub(1) as _;
                            [
                                Self($blend(mask, $set1(next[0]), $set1(here[0]))),
                                Self($blend(mask, $set1(next[1]), $set1(here[1]))),
                            ]
                        }
                        // `Each` has `STEP` values, which are as many as lanes, or more.
                        Values::Each([scale, shift]) => {
                            let vector = "at least STEP values";
                            [
                                Self::load(scale.first_chunk().expect(vector)),
                                Self::load(shift.first_chunk().expect(vector)),
                            ]
                        }
                    }
                }
            }
        }

        impl Real for $name {
            constants!($precision);

            #[inline(always)]
            fn lit(x: f64) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { $set1(x as $t) })
            }
            #[inline(always)]
            fn fma(self, b: Self, c: Self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { $fmadd(self.0, b.0, c.0) })
            }
            #[inline(always)]
            fn recip(self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                let r = Self(unsafe { $rcp14(self.0) });
                // A Newton step: twice the bits.
                if $newton {
                    (-r).fma(self, Self::lit(1.0)).fma(r, r)
                } else {
                    r
                }
            }
            #[inline(always)]
            fn to_single(self) -> Self {
                $to_single(self)
            }
            #[inline(always)]
            fn exp2_of_magic(self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { $of_bits($shift::<$mantissa>($to_bits(self.0))) })
            }
            #[inline(always)]
            fn abs(self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { $abs(self.0) })
            }
            #[inline(always)]
            fn if_gt(a: Self, b: Self, t: Self, e: Self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { $blend($compare::<_CMP_GT_OQ>(a.0, b.0), e.0, t.0) })
            }
            // The instructions return their second operand where one is NaN.
            #[inline(always)]
            fn at_least(self, low: f64) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { $max($set1(low as $t), self.0) })
            }
            #[inline(always)]
            fn at_most(self, high: f64) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { $min($set1(high as $t), self.0) })
            }
        }
    };
}

vector!(
    F32 of f32 in __m512, single,
    operators Add add _mm512_add_ps, Sub sub _mm512_sub_ps, Mul mul _mm512_mul_ps, Div div _mm512_div_ps;
    _mm512_set1_ps _mm512_xor_ps _mm512_abs_ps _mm512_fmadd_ps _mm512_min_ps _mm512_max_ps _mm512_mask_blend_ps
    _mm512_cmp_ps_mask _mm512_loadu_ps _mm512_rcp14_ps false (|v: F32| v), shift _mm512_slli_epi32<23> _mm512_castps_si512 _mm512_castsi512_ps
);
vector!(
    F64 of f64 in __m512d, double,
    operators Add add _mm512_add_pd, Sub sub _mm512_sub_pd, Mul mul _mm512_mul_pd, Div div _mm512_div_pd;
    _mm512_set1_pd _mm512_xor_pd _mm512_abs_pd _mm512_fmadd_pd _mm512_min_pd _mm512_max_pd _mm512_mask_blend_pd
    _mm512_cmp_pd_mask _mm512_loadu_pd _mm512_rcp14_pd true F64::round_to_single, shift _mm512_slli_epi64<52> _mm512_castpd_si512 _mm512_castsi512_pd
);

impl F64 {
    #[inline(always)]
    fn round_to_single(self) -> Self {
        // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
        Self(unsafe { _mm512_cvtps_pd(_mm512_cvtpd_ps(self.0)) })
    }
}

/// An element type, `L` of which make a vector.
pub(super) trait Element<const L: usize>: Copy + Default {
    type Compute: Copy;
    type Vector: Vector<L, Scalar = Self::Compute>;
    /// Whether loading takes more than a load.
    const WIDENED: bool;
    fn load(from: &[Self; L]) -> Self::Vector;
    fn store(v: Self::Vector, to: &mut [MaybeUninit<Self>; L]);
    /// Past the caches, to where a vector is aligned.
    fn stream(v: Self::Vector, to: &mut [MaybeUninit<Self>; L]);
}

macro_rules! element {
    ($t:ident in $compute:ident, $vector:ident of $lanes:ident, widened $widened:literal, load $load:expr, store $store:expr, stream $stream:expr) => {
        impl Element<$lanes> for $t {
            type Compute = $compute;
            type Vector = $vector;
            const WIDENED: bool = $widened;
            #[inline(always)]
            fn load(from: &[$t; $lanes]) -> $vector {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions; there are as many elements as lanes.
                $vector(unsafe { $load(from.as_ptr()) })
            }
            #[inline(always)]
            fn store(v: $vector, to: &mut [MaybeUninit<$t>; $lanes]) {
                // SAFETY: as above.
                unsafe { $store(to.as_mut_ptr().cast::<$t>(), v.0) }
            }
            #[inline(always)]
            fn stream(v: $vector, to: &mut [MaybeUninit<$t>; $lanes]) {
                debug_assert!(to.as_ptr().addr().is_multiple_of(size_of_val(to)));
                // SAFETY: as above, and `blocks` has aligned it.
                unsafe { $stream(to.as_mut_ptr().cast::<$t>(), v.0) }
            }
        }
    };
}

element!(f32 in f32, F32 of LANES, widened false, load _mm512_loadu_ps, store _mm512_storeu_ps, stream _mm512_stream_ps);
element!(f64 in f64, F64 of LANES_F64, widened false, load _mm512_loadu_pd, store _mm512_storeu_pd, stream _mm512_stream_pd);
element!(f16 in f32, F32 of LANES, widened true,
    load |from: *const f16| widen_f16(_mm256_loadu_si256(from.cast())),
    store |to: *mut f16, v| _mm256_storeu_si256(to.cast(), narrow_f16(v)),
    stream |to: *mut f16, v| _mm256_stream_si256(to.cast(), narrow_f16(v)));
element!(bf16 in f32, F32 of LANES, widened true,
    load |from: *const bf16| widen_bf16(_mm256_loadu_si256(from.cast())),
    store |to: *mut bf16, v| _mm256_storeu_si256(to.cast(), narrow_bf16(v)),
    stream |to: *mut bf16, v| _mm256_stream_si256(to.cast(), narrow_bf16(v)));
