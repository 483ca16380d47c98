//! Polynomials for vectors of 512 bits.

use super::super::lookup::{first, lookup, second, Lookup};
use super::{choose_pd, choose_ps, is_any_pd, is_any_ps, F32, F64};
use crate::cpu::piecewise::{Segment32, Segment64, Segments};
use crate::twin::Twin;
use core::arch::x86_64::*;

/// A store that is loaded in parts.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
pub(in crate::cpu) struct Numbers([u64; 8]);

lookup!(
    F32 of f32, 16 at once, numbered by i32 in Numbers,
    _mm512_castps_si512 _mm512_set1_epi32 _mm512_sub_epi32 _mm512_max_epu32 _mm512_min_epu32 _mm512_store_si512,
    furthest __m512i _mm512_setzero_si512 exceeds,
    mask __mmask16 outside_ps is_any_ps choose_ps,
    polynomials polynomials_ps
);
lookup!(
    F64 of f64, 8 at once, numbered by i64 in Numbers,
    _mm512_castpd_si512 _mm512_set1_epi64 _mm512_sub_epi64 _mm512_max_epu32 _mm512_min_epu32 _mm512_store_si512,
    times Segment64::LEN as i64, _mm512_mul_epu32 _mm512_set1_epi64,
    furthest __m512i _mm512_setzero_si512 exceeds,
    mask __mmask8 outside_pd is_any_pd choose_pd,
    polynomials polynomials_pd
);

/// Whether any 32 bits of `numbers` are above those of `limit`.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn exceeds(numbers: __m512i, limit: __m512i) -> bool {
    // SAFETY: the caller answers for it.
    unsafe { _mm512_cmpgt_epu32_mask(numbers, limit) != 0 }
}

macro_rules! outside {
    ($outside:ident of $t:ident in $register:ident, $mask:ident $set1:ident $compare:ident) => {
        #[inline(always)]
        unsafe fn $outside(v: $register, [low, high]: [f64; 2]) -> $mask {
            // SAFETY: the caller has the instructions.
            unsafe {
                let below = $compare::<_CMP_NGE_UQ>(v, $set1(low as $t));
                below | $compare::<_CMP_NLE_UQ>(v, $set1(high as $t))
            }
        }
    };
}

outside!(outside_ps of f32 in __m512, __mmask16 _mm512_set1_ps _mm512_cmp_ps_mask);
outside!(outside_pd of f64 in __m512d, __mmask8 _mm512_set1_pd _mm512_cmp_pd_mask);

// Neither closures nor `map` of arrays: not all were inlined, and their calls went out of AVX-512. Quarters of a vector come by
// broadcasts into a mask, which take any pipe; insertions would take the one of the transposition.

/// Segments of four elements, side by side: a transposition of 4 by 4 stays within quarters.
///
/// # Safety
/// The processor has AVX-512, and `from` are half segments of `halves`.
#[inline(always)]
unsafe fn four_ps(halves: *const [f32; 2], from: [usize; 4]) -> __m512 {
    // SAFETY: the caller answers for it.
    unsafe {
        let v = _mm512_castps128_ps512(_mm_load_ps(halves.add(from[0]).cast()));
        let v = _mm512_mask_broadcast_f32x4(v, 0x00f0, _mm_load_ps(halves.add(from[1]).cast()));
        let v = _mm512_mask_broadcast_f32x4(v, 0x0f00, _mm_load_ps(halves.add(from[2]).cast()));
        _mm512_mask_broadcast_f32x4(v, 0xf000, _mm_load_ps(halves.add(from[3]).cast()))
    }
}

/// # Safety
/// The processor has AVX-512, and the numbers are of segments.
#[inline(always)]
unsafe fn polynomials_ps(segments: &Segments<f32>, numbers: [u64; 8], t: F32) -> Twin<F32> {
    let halves = segments.as_ptr().cast::<[f32; 2]>();
    let [n0, n2, n4, n6, n8, n10, n12, n14] = numbers;
    // SAFETY: the caller has numbers of segments, which `Segments` has.
    let coefficients = unsafe {
        let a = four_ps(halves, [first(n0), first(n4), first(n8), first(n12)]);
        let b = four_ps(halves, [second(n0), second(n4), second(n8), second(n12)]);
        let c = four_ps(halves, [first(n2), first(n6), first(n10), first(n14)]);
        let d = four_ps(halves, [second(n2), second(n6), second(n10), second(n14)]);
        let ab = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
        let ab_rest = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
        let cd = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
        let cd_rest = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
        [
            F32(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd))),
            F32(_mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd))),
            F32(_mm512_castpd_ps(_mm512_unpacklo_pd(ab_rest, cd_rest))),
            F32(_mm512_castpd_ps(_mm512_unpackhi_pd(ab_rest, cd_rest))),
        ]
    };
    Segment32::value(coefficients, t)
}

/// Two coefficients each of four segments, side by side.
///
/// # Safety
/// The processor has AVX-512, and there are two coefficients at `of` beyond `coefficients`.
#[inline(always)]
unsafe fn four_pd(coefficients: *const f64, of: [u64; 4]) -> __m512d {
    // SAFETY: the caller answers for it.
    unsafe {
        let v = _mm512_castpd128_pd512(_mm_load_pd(coefficients.add(of[0] as usize)));
        let v = _mm512_mask_broadcast_f64x2(v, 0x0c, _mm_load_pd(coefficients.add(of[1] as usize)));
        let v = _mm512_mask_broadcast_f64x2(v, 0x30, _mm_load_pd(coefficients.add(of[2] as usize)));
        _mm512_mask_broadcast_f64x2(v, 0xc0, _mm_load_pd(coefficients.add(of[3] as usize)))
    }
}

/// Two coefficients of each segment.
///
/// # Safety
/// As for [`four_pd`].
#[inline(always)]
unsafe fn two_pd(coefficients: *const f64, [n0, n1, n2, n3, n4, n5, n6, n7]: [u64; 8]) -> [F64; 2] {
    // SAFETY: the caller answers for it.
    unsafe {
        let even = four_pd(coefficients, [n0, n2, n4, n6]);
        let odd = four_pd(coefficients, [n1, n3, n5, n7]);
        [
            F64(_mm512_unpacklo_pd(even, odd)),
            F64(_mm512_unpackhi_pd(even, odd)),
        ]
    }
}

/// # Safety
/// The processor has AVX-512, and the numbers are of segments, times `LEN`.
#[inline(always)]
unsafe fn polynomials_pd(segments: &Segments<f64>, numbers: [u64; 8], t: F64) -> Twin<F64> {
    let coefficients = segments.as_ptr().cast::<f64>();
    // SAFETY: the caller has numbers of segments, which `Segments` has, of `LEN` coefficients each.
    unsafe {
        let [high, c1] = two_pd(coefficients, numbers);
        let [c2, c3] = two_pd(coefficients.add(2), numbers);
        let [c4, c5] = two_pd(coefficients.add(4), numbers);
        let low = _mm512_castsi512_pd(_mm512_slli_epi64::<32>(_mm512_castpd_si512(c5.0)));
        Segment64::value([high, c1, c2, c3, c4, c5], F64(low), t)
    }
}
