//! Vectors of 512 bits. The processor needs AVX-512 F, BW, CD, DQ and VL.

mod lookup;

use super::vector::{element, vector, Element, Vector};
use super::Run;
use crate::cpu::argument::Values;
use crate::real::{constants, Real};
use core::arch::x86_64::*;
use core::ops::{Add, Div, Mul, Neg, Sub};
use half::{bf16, f16};
use pulp::x86::V4;
use std::mem::MaybeUninit;

pub(in super::super) fn run<const L: usize>(_: V4, blocks: impl Run<L>) {
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,bmi1,bmi2,lzcnt,popcnt")]
    fn compiled<const L: usize>(blocks: impl Run<L>) {
        blocks.run()
    }
    // SAFETY: a `V4` exists only where the processor has them.
    unsafe { compiled(blocks) }
}

vector!(
    F32 of f32 in __m512, single,
    operators Add add _mm512_add_ps, Sub sub _mm512_sub_ps, Mul mul _mm512_mul_ps, Div div _mm512_div_ps;
    _mm512_set1_ps _mm512_loadu_ps _mm512_xor_ps _mm512_abs_ps _mm512_fmadd_ps _mm512_min_ps _mm512_max_ps,
    masks greater_ps is_any_ps first_ps choose_ps,
    recip F32::rough, to_single (|v: F32| v),
    shift _mm512_slli_epi32<23> _mm512_castps_si512 _mm512_castsi512_ps, _mm512_set1_epi32 _mm512_add_epi32 _mm512_and_si512
);
vector!(
    F64 of f64 in __m512d, double,
    operators Add add _mm512_add_pd, Sub sub _mm512_sub_pd, Mul mul _mm512_mul_pd, Div div _mm512_div_pd;
    _mm512_set1_pd _mm512_loadu_pd _mm512_xor_pd _mm512_abs_pd _mm512_fmadd_pd _mm512_min_pd _mm512_max_pd,
    masks greater_pd is_any_pd first_pd choose_pd,
    recip F64::rough, to_single F64::round_to_single,
    shift _mm512_slli_epi64<52> _mm512_castpd_si512 _mm512_castsi512_pd, _mm512_set1_epi64 _mm512_add_epi64 _mm512_and_si512
);

macro_rules! masks {
    ($register:ident $mask:ident, $greater:ident $compare:ident, $any:ident, $first:ident, $choose:ident $blend:ident) => {
        #[inline(always)]
        unsafe fn $greater(a: $register, b: $register) -> $mask {
            // SAFETY: the caller has the instructions.
            unsafe { $compare::<_CMP_GT_OQ>(a, b) }
        }
        // As with AVX2.
        #[inline(always)]
        unsafe fn $any(mask: $mask) -> bool {
            mask != 0
        }
        #[inline(always)]
        fn $first(n: usize) -> $mask {
            (1u32 << n).wrapping_sub(1) as $mask
        }
        #[inline(always)]
        unsafe fn $choose(mask: $mask, t: $register, e: $register) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe { $blend(mask, e, t) }
        }
    };
}

masks!(__m512 __mmask16, greater_ps _mm512_cmp_ps_mask, is_any_ps, first_ps, choose_ps _mm512_mask_blend_ps);
masks!(__m512d __mmask8, greater_pd _mm512_cmp_pd_mask, is_any_pd, first_pd, choose_pd _mm512_mask_blend_pd);

impl F32 {
    #[inline(always)]
    fn rough(self) -> Self {
        // SAFETY: the processor has the instructions, as with all of the vector.
        Self(unsafe { _mm512_rcp14_ps(self.0) })
    }
}

impl F64 {
    #[inline(always)]
    fn rough(self) -> Self {
        // SAFETY: the processor has the instructions, as with all of the vector.
        let r = Self(unsafe { _mm512_rcp14_pd(self.0) });
        // A Newton step: twice the bits.
        (-r).fma(self, Self::lit(1.0)).fma(r, r)
    }

    #[inline(always)]
    fn round_to_single(self) -> Self {
        // SAFETY: the processor has the instructions, as with all of the vector.
        Self(unsafe { _mm512_cvtps_pd(_mm512_cvtpd_ps(self.0)) })
    }
}

element!(f32 in f32, F32 of 16, widened false, load _mm512_loadu_ps, store _mm512_storeu_ps, stream _mm512_stream_ps);
element!(f64 in f64, F64 of 8, widened false, load _mm512_loadu_pd, store _mm512_storeu_pd, stream _mm512_stream_pd);
element!(f16 in f32, F32 of 16, widened true,
    load _mm256_loadu_si256 to widen_f16, store _mm256_storeu_si256, stream _mm256_stream_si256 of narrow_f16);
element!(bf16 in f32, F32 of 16, widened true,
    load _mm256_loadu_si256 to widen_bf16, store _mm256_storeu_si256, stream _mm256_stream_si256 of narrow_bf16);

// Conversions between f32 and 16 bits, to nearest with ties to even.

#[inline(always)]
unsafe fn widen_f16(bits: __m256i) -> __m512 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm512_cvtph_ps(bits) }
}

#[inline(always)]
unsafe fn narrow_f16(v: __m512) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v) }
}

#[inline(always)]
unsafe fn widen_bf16(bits: __m256i) -> __m512 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits))) }
}

/// Of a result of arithmetic. `vcvtneps2bf16` would flush subnormals.
#[inline(always)]
unsafe fn narrow_bf16(v: __m512) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe {
        let bits = _mm512_castps_si512(v);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let up = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
        // A NaN must not be carried into a zero. It is quiet, as v is a result: its upper half is one, too.
        let number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(v, v);
        let rounded = _mm512_mask_add_epi32(bits, number, bits, up);
        _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded))
    }
}
