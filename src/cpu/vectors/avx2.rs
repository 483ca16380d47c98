//! Vectors of 256 bits. The processor needs AVX2, FMA and F16C.

mod lookup;

use super::vector::{element, vector, Element, Vector};
use super::Run;
use crate::cpu::argument::Values;
use crate::real::{constants, Real};
use core::arch::x86_64::*;
use core::ops::{Add, Div, Mul, Neg, Sub};
use half::{bf16, f16};
use pulp::x86::V3;
use std::mem::MaybeUninit;

/// Whether the processor has F16C, too, as all but a few with AVX2 do.
pub(in super::super) fn is_complete(_: V3) -> bool {
    is_x86_feature_detected!("f16c")
}

/// # Safety
/// The processor has to have F16C.
pub(in super::super) unsafe fn run<const L: usize>(_: V3, blocks: impl Run<L>) {
    #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
    fn compiled<const L: usize>(blocks: impl Run<L>) {
        blocks.run()
    }
    // SAFETY: a `V3` exists only where the processor has the others, and for F16C the caller answers.
    unsafe { compiled(blocks) }
}

// `recip` is a division: the 12 bits of `vrcpps` are too few for one residual, and processors differ in them.
vector!(
    F32 of f32 in __m256, single,
    operators Add add _mm256_add_ps, Sub sub _mm256_sub_ps, Mul mul _mm256_mul_ps, Div div _mm256_div_ps;
    _mm256_set1_ps _mm256_loadu_ps _mm256_xor_ps abs_ps _mm256_fmadd_ps _mm256_min_ps _mm256_max_ps,
    masks greater_ps is_any_ps first_ps choose_ps,
    if_negative _mm256_blendv_ps, to_single (|v: F32| v),
    shift _mm256_slli_epi32<23> _mm256_castps_si256 _mm256_castsi256_ps, _mm256_set1_epi32 _mm256_add_epi32 _mm256_and_si256
);
vector!(
    F64 of f64 in __m256d, double,
    operators Add add _mm256_add_pd, Sub sub _mm256_sub_pd, Mul mul _mm256_mul_pd, Div div _mm256_div_pd;
    _mm256_set1_pd _mm256_loadu_pd _mm256_xor_pd abs_pd _mm256_fmadd_pd _mm256_min_pd _mm256_max_pd,
    masks greater_pd is_any_pd first_pd choose_pd,
    if_negative _mm256_blendv_pd, to_single F64::round_to_single,
    shift _mm256_slli_epi64<52> _mm256_castpd_si256 _mm256_castsi256_pd, _mm256_set1_epi64x _mm256_add_epi64 _mm256_and_si256
);

macro_rules! masks {
    (
        $register:ident, $abs:ident $andnot:ident $set1:ident, $greater:ident $compare:ident, $any:ident $movemask:ident,
        $first:ident $greater_int:ident $set1_int:ident $lanes:expr, $cast:ident, $choose:ident $blend:ident
    ) => {
        #[inline(always)]
        unsafe fn $abs(v: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $andnot($set1(-0.0), v) }
        }
        #[inline(always)]
        unsafe fn $greater(a: $register, b: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $compare::<_CMP_GT_OQ>(a, b) }
        }
        #[inline(always)]
        unsafe fn $any(mask: $register) -> bool {
            // SAFETY: the caller has the instructions.
            unsafe { $movemask(mask) != 0 }
        }
        #[inline(always)]
        unsafe fn $first(n: usize) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $cast($greater_int($set1_int(n as _), $lanes)) }
        }
        #[inline(always)]
        unsafe fn $choose(mask: $register, t: $register, e: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $blend(e, t, mask) }
        }
    };
}

masks!(
    __m256, abs_ps _mm256_andnot_ps _mm256_set1_ps, greater_ps _mm256_cmp_ps, is_any_ps _mm256_movemask_ps,
    first_ps _mm256_cmpgt_epi32 _mm256_set1_epi32 _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_castsi256_ps,
    choose_ps _mm256_blendv_ps
);
masks!(
    __m256d, abs_pd _mm256_andnot_pd _mm256_set1_pd, greater_pd _mm256_cmp_pd, is_any_pd _mm256_movemask_pd,
    first_pd _mm256_cmpgt_epi64 _mm256_set1_epi64x _mm256_setr_epi64x(0, 1, 2, 3), _mm256_castsi256_pd,
    choose_pd _mm256_blendv_pd
);

impl F64 {
    #[inline(always)]
    fn round_to_single(self) -> Self {
        // SAFETY: the processor has the instructions, as with all of the vector.
        Self(unsafe { _mm256_cvtps_pd(_mm256_cvtpd_ps(self.0)) })
    }
}

element!(f32 in f32, F32 of 8, widened false, load _mm256_loadu_ps, store _mm256_storeu_ps, stream _mm256_stream_ps);
element!(f64 in f64, F64 of 4, widened false, load _mm256_loadu_pd, store _mm256_storeu_pd, stream _mm256_stream_pd);
element!(f16 in f32, F32 of 8, widened true,
    load _mm_loadu_si128 to widen_f16, store _mm_storeu_si128, stream _mm_stream_si128 of narrow_f16);
element!(bf16 in f32, F32 of 8, widened true,
    load _mm_loadu_si128 to widen_bf16, store _mm_storeu_si128, stream _mm_stream_si128 of narrow_bf16);

// Conversions between f32 and 16 bits, to nearest with ties to even.

#[inline(always)]
unsafe fn widen_f16(bits: __m128i) -> __m256 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_cvtph_ps(bits) }
}

#[inline(always)]
unsafe fn narrow_f16(v: __m256) -> __m128i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v) }
}

#[inline(always)]
unsafe fn widen_bf16(bits: __m128i) -> __m256 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits))) }
}

/// Of a result of arithmetic.
#[inline(always)]
unsafe fn narrow_bf16(v: __m256) -> __m128i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let bits = _mm256_castps_si256(v);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let up = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
        // A NaN must not be carried into a zero. It is quiet, as v is a result: its upper half is one, too.
        let number = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_ORD_Q>(v, v));
        let rounded = _mm256_add_epi32(bits, _mm256_and_si256(number, up));
        let upper = _mm256_srli_epi32::<16>(rounded);
        _mm_packus_epi32(
            _mm256_castsi256_si128(upper),
            _mm256_extracti128_si256::<1>(upper),
        )
    }
}
