//! Conversions of 16 elements between f32 and 16 bits, to nearest with ties to even.
//!
//! All of them ask for AVX-512 F, BW and VL.

use core::arch::x86_64::*;

#[inline(always)]
pub(super) unsafe fn widen_f16(bits: __m256i) -> __m512 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm512_cvtph_ps(bits) }
}

#[inline(always)]
pub(super) unsafe fn narrow_f16(v: __m512) -> __m256i {
    // SAFETY: the caller has the instructions.
    unsafe { _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v) }
}

#[inline(always)]
pub(super) unsafe fn widen_bf16(bits: __m256i) -> __m512 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits))) }
}

/// Of a result of arithmetic. `vcvtneps2bf16` would flush subnormals.
#[inline(always)]
pub(super) unsafe fn narrow_bf16(v: __m512) -> __m256i {
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
