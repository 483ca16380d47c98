//! Conversions of 16 elements between f32 and 16 bits.

use super::super::round::Half;
use crate::family::Family;
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
    /// The rounding of v, and which values are within [`Family::QUICK_ERROR`] of where the rounding
    /// changes. An error of 2⁻²⁴ of a value is an ulp of it at most: what is looked at are the bits that rounding
    /// takes away.
    ///
    /// # Safety
    /// As for `expand`.
    unsafe fn round_within_ulps<F: Family>(v: __m512) -> (__m256i, u16);
    /// The rounding of `low`, and which values between `low` and `high` do not all round alike.
    ///
    /// # Safety
    /// As for `expand`.
    unsafe fn round_interval(low: __m512, high: __m512) -> (__m256i, u16);
}

/// Of `bits`, whose low `DROPPED` bits a rounding to nearest takes away: which are as close to a midpoint as
/// `F::quick` may be off.
///
/// # Safety
/// AVX-512 F must be there.
#[inline(always)]
unsafe fn near_midpoint<F: Family, const DROPPED: u32>(bits: __m512i) -> u16 {
    let error = (F::QUICK_ERROR * (1 << 24) as f64).ceil() as i32;
    let (midpoint, dropped) = (1 << (DROPPED - 1), (1 << DROPPED) - 1);
    // SAFETY: the caller has the instructions.
    unsafe {
        let above = _mm512_add_epi32(bits, _mm512_set1_epi32(error - midpoint));
        let above = _mm512_and_si512(above, _mm512_set1_epi32(dropped));
        _mm512_cmple_epi32_mask(above, _mm512_set1_epi32(2 * error))
    }
}

const MIN_NORMAL_F16: f32 = 1.0 / (1 << 14) as f32;

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
    /// Subnormals, spaced like what comes first above them, are moved there.
    #[inline(always)]
    unsafe fn round_within_ulps<F: Family>(v: __m512) -> (__m256i, u16) {
        // SAFETY: the caller has the instructions.
        unsafe {
            let (size, normal) = (_mm512_abs_ps(v), _mm512_set1_ps(MIN_NORMAL_F16));
            let subnormal = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(size, normal);
            let size = _mm512_mask_add_ps(size, subnormal, size, normal);
            (
                Self::contract(v),
                near_midpoint::<F, 13>(_mm512_castps_si512(size)),
            )
        }
    }
    #[inline(always)]
    unsafe fn round_interval(low: __m512, high: __m512) -> (__m256i, u16) {
        // SAFETY: the caller has the instructions.
        unsafe {
            let (low, high) = (Self::contract(low), Self::contract(high));
            (low, _mm256_cmpneq_epi16_mask(low, high))
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
    /// Half an ulp is added and the rest cut off; a tie is near a midpoint.
    #[inline(always)]
    unsafe fn round_within_ulps<F: Family>(v: __m512) -> (__m256i, u16) {
        // SAFETY: the caller has the instructions.
        unsafe {
            let bits = _mm512_castps_si512(v);
            let rounded = _mm512_add_epi32(bits, _mm512_set1_epi32(0x8000));
            let rounded = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
            (rounded, near_midpoint::<F, 16>(bits))
        }
    }
    /// Half an ulp is added to both and the rest cut off. Ties would be wrong, but a tie strictly inside the
    /// interval makes the ends differ, and so does one at its upper end; at its lower end the values lie above it.
    /// A NaN keeps its upper half, as the lower one is zero in whatever came from 16 bits.
    #[inline(always)]
    unsafe fn round_interval(low: __m512, high: __m512) -> (__m256i, u16) {
        // SAFETY: the caller has the instructions.
        unsafe {
            let half = _mm512_set1_epi32(0x8000);
            let low = _mm512_add_epi32(_mm512_castps_si512(low), half);
            let high = _mm512_add_epi32(_mm512_castps_si512(high), half);
            let differ = _mm512_test_epi32_mask(_mm512_xor_si512(low, high), _mm512_set1_epi32(!0xffff));
            (_mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(low)), differ)
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
