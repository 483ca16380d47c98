//! Vectors of f32 and f64 as arithmetic types for the formulas.

use super::convert::{half_to_odd, Narrow};
use crate::real::{constants, Real};
use core::arch::x86_64::*;
use core::ops::{Add, Div, Mul, Neg, Sub};
use std::mem::MaybeUninit;

/// Vectors that are evaluated together: the formulas are chains of dependent instructions, of which a core keeps
/// about one in flight at a time; four interleaved ones gave 1.1 to 1.2 times the throughput of two.
pub(super) const CHAINS: usize = 4;
pub(super) const LANES: usize = 16 * CHAINS;
pub(super) const LANES_F64: usize = 8 * CHAINS;

/// An array with one entry for each of the `CHAINS` registers.
macro_rules! each {
    ($i:ident => $value:expr) => {
        [
            {
                let $i = 0;
                $value
            },
            {
                let $i = 1;
                $value
            },
            {
                let $i = 2;
                $value
            },
            {
                let $i = 3;
                $value
            },
        ]
    };
}

/// A vector type over CHAINS registers.
///
/// The intrinsics are sound to call because these types are used only inside [`Simd::vectorize`] of `pulp::x86::V4`,
/// which exists only where the processor has AVX-512 F, BW, CD, DQ and VL.
macro_rules! vector {
    (
        $name:ident of $t:ident in $register:ident, $precision:ident,
        operators $($trait:ident $method:ident $op:ident),*;
        $set1:ident $xor:ident $abs:ident $fmadd:ident $min:ident $max:ident $blend:ident $compare:ident
        $rcp14:ident $newton:literal, shift $shift:ident<$mantissa:literal> $to_bits:ident $of_bits:ident
    ) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name(pub(super) [$register; CHAINS]);

        $(impl $trait for $name {
            type Output = Self;
            #[inline(always)]
            fn $method(self, b: Self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { each!(i => $op(self.0[i], b.0[i])) })
            }
        })*

        impl Neg for $name {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { each!(i => $xor(self.0[i], $set1(-0.0))) })
            }
        }

        impl $name {
            /// r improved by one Newton step: twice the bits.
            #[inline(always)]
            fn newton(self, r: Self) -> Self {
                (-r).fma(self, Self::lit(1.0)).fma(r, r)
            }
        }

        impl Real for $name {
            constants!($precision);

            #[inline(always)]
            fn lit(x: f64) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self([unsafe { $set1(x as $t) }; CHAINS])
            }
            #[inline(always)]
            fn fma(self, b: Self, c: Self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { each!(i => $fmadd(self.0[i], b.0[i], c.0[i])) })
            }
            #[inline(always)]
            fn recip(self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                let r = Self(unsafe { each!(i => $rcp14(self.0[i])) });
                if $newton {
                    self.newton(r)
                } else {
                    r
                }
            }
            #[inline(always)]
            fn recip_full(self) -> Self {
                self.newton(self.recip())
            }
            #[inline(always)]
            fn to_single(self) -> Self {
                Self::round_to_single(self)
            }
            #[inline(always)]
            fn exp2_of_magic(self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe {
                    each!(i => $of_bits($shift::<$mantissa>($to_bits(self.0[i]))))
                })
            }
            #[inline(always)]
            fn abs(self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { each!(i => $abs(self.0[i])) })
            }
            #[inline(always)]
            fn if_gt(a: Self, b: Self, t: Self, e: Self) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe {
                    each!(i => $blend($compare::<_CMP_GT_OQ>(a.0[i], b.0[i]), e.0[i], t.0[i]))
                })
            }
            // The instructions return their second operand where one is NaN.
            #[inline(always)]
            fn at_least(self, low: f64) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { each!(i => $max($set1(low as $t), self.0[i])) })
            }
            #[inline(always)]
            fn at_most(self, high: f64) -> Self {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
                Self(unsafe { each!(i => $min($set1(high as $t), self.0[i])) })
            }
        }
    };
}

vector!(
    F32 of f32 in __m512, single,
    operators Add add _mm512_add_ps, Sub sub _mm512_sub_ps, Mul mul _mm512_mul_ps, Div div _mm512_div_ps;
    _mm512_set1_ps _mm512_xor_ps _mm512_abs_ps _mm512_fmadd_ps _mm512_min_ps _mm512_max_ps _mm512_mask_blend_ps
    _mm512_cmp_ps_mask _mm512_rcp14_ps false, shift _mm512_slli_epi32<23> _mm512_castps_si512 _mm512_castsi512_ps
);
vector!(
    F64 of f64 in __m512d, double,
    operators Add add _mm512_add_pd, Sub sub _mm512_sub_pd, Mul mul _mm512_mul_pd, Div div _mm512_div_pd;
    _mm512_set1_pd _mm512_xor_pd _mm512_abs_pd _mm512_fmadd_pd _mm512_min_pd _mm512_max_pd _mm512_mask_blend_pd
    _mm512_cmp_pd_mask _mm512_rcp14_pd true, shift _mm512_slli_epi64<52> _mm512_castpd_si512 _mm512_castsi512_pd
);

impl F32 {
    #[inline(always)]
    pub(super) fn widen<T: Narrow>(x: &[T; LANES]) -> Self {
        // SAFETY: the array has `CHAINS` times 16 elements.
        Self(unsafe { each!(i => T::expand(_mm256_loadu_si256(x.as_ptr().add(16 * i).cast()))) })
    }

    /// The first or the second half, exactly.
    #[inline(always)]
    pub(super) fn widen_part(self, part: usize) -> F64 {
        // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
        F64(unsafe {
            each!(i => {
                let v = self.0[(CHAINS * part + i) / 2];
                let half = if i % 2 == 0 { _mm512_castps512_ps256(v) } else { _mm512_extractf32x8_ps::<1>(v) };
                _mm512_cvtps_pd(half)
            })
        })
    }

    #[inline(always)]
    fn round_to_single(self) -> Self {
        self
    }

    #[inline(always)]
    pub(super) fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: the array has `CHAINS` times 16 elements.
        Self(unsafe { each!(i => _mm512_loadu_ps(from.as_ptr().add(16 * i))) })
    }

    #[inline(always)]
    pub(super) fn store(self, to: &mut [MaybeUninit<f32>; LANES]) {
        for (i, v) in self.0.into_iter().enumerate() {
            // SAFETY: as in `load`.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr().cast::<f32>().add(16 * i), v) }
        }
    }
}

impl F64 {
    #[inline(always)]
    fn round_to_single(self) -> Self {
        // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
        Self(unsafe { each!(i => _mm512_cvtps_pd(_mm512_cvtpd_ps(self.0[i]))) })
    }

    #[inline(always)]
    pub(super) fn widen<T: Narrow>(from: &[T; LANES_F64]) -> Self {
        // SAFETY: the array has `CHAINS` times 8 elements of 16 bits.
        Self(unsafe {
            each!(i => {
                let eight = _mm_loadu_si128(from.as_ptr().add(8 * i).cast());
                _mm512_cvtps_pd(_mm512_castps512_ps256(T::expand(_mm256_castsi128_si256(eight))))
            })
        })
    }

    /// To 16 bits, through f32 rounded to odd: the second rounding comes out as a single one would.
    #[inline(always)]
    pub(super) fn narrow<T: Narrow>(self, out: &mut [MaybeUninit<T>]) {
        assert_eq!(out.len(), LANES_F64);
        for i in 0..CHAINS {
            // SAFETY: the slice has `CHAINS` times 8 elements of 16 bits.
            unsafe {
                let short = T::contract(_mm512_castps256_ps512(half_to_odd(self.0[i])));
                _mm_storeu_si128(out.as_mut_ptr().add(8 * i).cast(), _mm256_castsi256_si128(short));
            }
        }
    }

    #[inline(always)]
    pub(super) fn load(from: &[f64; LANES_F64]) -> Self {
        // SAFETY: the array has `CHAINS` times 8 elements.
        Self(unsafe { each!(i => _mm512_loadu_pd(from.as_ptr().add(8 * i))) })
    }

    #[inline(always)]
    pub(super) fn store(self, to: &mut [MaybeUninit<f64>; LANES_F64]) {
        for (i, v) in self.0.into_iter().enumerate() {
            // SAFETY: as in `load`.
            unsafe { _mm512_storeu_pd(to.as_mut_ptr().cast::<f64>().add(8 * i), v) }
        }
    }
}
