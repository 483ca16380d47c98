//! Conversions of 16 elements between f32 and 16 bits.

use super::super::round::Half;
use core::arch::x86_64::*;
use half::{bf16, f16};

/// A 16-bit type with its conversions.
pub(in crate::cpu) trait Narrow: Half + Default {
    /// # Safety
    /// AVX-512 F, BW and VL must be there.
    unsafe fn expand(bits: __m256i) -> __m512;
    /// To nearest, ties to even.
    ///
    /// # Safety
    /// As for `expand`.
    unsafe fn contract(v: __m512) -> __m256i;
    /// Writes the rounding of every value between `low` and `high` to `out`, or returns false if they do not all
    /// round alike, or one is NaN: that of an infinite g times an f(x) that underflows in f32 is infinite in f64.
    ///
    /// # Safety
    /// As for `expand`; `out` must be good for 32 bytes.
    unsafe fn round_interval(low: __m512, high: __m512, out: *mut __m256i) -> bool;
}

impl Narrow for f16 {
    #[inline(always)]
    unsafe fn expand(bits: __m256i) -> __m512 {
        // SAFETY: the caller has the instructions.
        unsafe { _mm512_cvtph_ps(bits) }
    }
    #[inline(always)]
    unsafe fn contract(v: __m512) -> __m256i {
        // SAFETY: the caller has the instructions.
        unsafe { _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v) }
    }
    #[inline(always)]
    unsafe fn round_interval(low: __m512, high: __m512, out: *mut __m256i) -> bool {
        // SAFETY: the caller has the instructions, and 32 bytes at `out`.
        unsafe {
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(low, high);
            let (low, high) = (Self::contract(low), Self::contract(high));
            _mm256_storeu_si256(out, low);
            _mm256_cmpneq_epi16_mask(low, high) | nan == 0
        }
    }
}

impl Narrow for bf16 {
    #[inline(always)]
    unsafe fn expand(bits: __m256i) -> __m512 {
        // SAFETY: the caller has the instructions.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits))) }
    }
    /// `vcvtneps2bf16` would flush subnormals.
    #[inline(always)]
    unsafe fn contract(v: __m512) -> __m256i {
        // SAFETY: the caller has the instructions.
        unsafe {
            let bits = _mm512_castps_si512(v);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            // A NaN must not be carried into an infinity.
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x0040_0000));
            let kept = _mm512_mask_blend_epi32(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v), rounded, quiet);
            _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(kept))
        }
    }
    /// Half an ulp is added to both and the rest cut off. Ties would be wrong, but a tie strictly inside the
    /// interval makes the ends differ, and so does one at its upper end; at its lower end the values lie above it.
    #[inline(always)]
    unsafe fn round_interval(low: __m512, high: __m512, out: *mut __m256i) -> bool {
        // SAFETY: the caller has the instructions, and 32 bytes at `out`.
        unsafe {
            let half = _mm512_set1_epi32(0x8000);
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(low, high);
            let low = _mm512_add_epi32(_mm512_castps_si512(low), half);
            let high = _mm512_add_epi32(_mm512_castps_si512(high), half);
            _mm256_storeu_si256(out, _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(low)));
            _mm512_test_epi32_mask(_mm512_xor_si512(low, high), _mm512_set1_epi32(!0xffff)) | nan == 0
        }
    }
}

/// To f32, rounded to odd: a later rounding to 16 bits comes out as a single one would.
///
/// # Safety
/// AVX-512 F, DQ and VL must be there.
#[inline(always)]
pub(super) unsafe fn half_to_odd(v: __m512d) -> __m256 {
    // SAFETY: the caller has the instructions.
    unsafe {
        let short = _mm512_cvt_roundpd_ps::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(v);
        let inexact = _mm512_cmp_pd_mask::<_CMP_NEQ_OQ>(_mm512_cvtps_pd(short), v);
        let bits = _mm256_castps_si256(short);
        _mm256_castsi256_ps(_mm256_mask_or_epi32(bits, inexact, bits, _mm256_set1_epi32(1)))
    }
}
