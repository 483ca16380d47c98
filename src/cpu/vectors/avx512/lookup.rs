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

// No `map` of arrays, which was a call out of AVX-512. Quarters of a vector come by broadcasts into a mask, which take any
// pipe; insertions would take the one of the transposition.

/// # Safety
/// The processor has AVX-512, and the numbers are of segments.
#[inline(always)]
unsafe fn polynomials_ps(segments: &Segments<f32>, numbers: [u64; 8], t: F32) -> Twin<F32> {
    let halves = segments.as_ptr().cast::<[f32; 2]>();
    let [n0, n2, n4, n6, n8, n10, n12, n14] = numbers;
    // SAFETY: the caller has numbers of segments, which `Segments` has.
    unsafe {
        let segment = |half: usize| _mm_load_ps(halves.add(half).cast());
        // In fours of four, as a transposition of 4 by 4 stays within quarters.
        let four = |from: [usize; 4]| {
            let v = _mm512_castps128_ps512(segment(from[0]));
            let v = _mm512_mask_broadcast_f32x4(v, 0x00f0, segment(from[1]));
            let v = _mm512_mask_broadcast_f32x4(v, 0x0f00, segment(from[2]));
            _mm512_mask_broadcast_f32x4(v, 0xf000, segment(from[3]))
        };
        let a = four([first(n0), first(n4), first(n8), first(n12)]);
        let b = four([second(n0), second(n4), second(n8), second(n12)]);
        let c = four([first(n2), first(n6), first(n10), first(n14)]);
        let d = four([second(n2), second(n6), second(n10), second(n14)]);
        let (ab, ab_rest) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let (cd, cd_rest) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        let wide = |v| _mm512_castps_pd(v);
        let single = |v| F32(_mm512_castpd_ps(v));
        let coefficients = [
            single(_mm512_unpacklo_pd(wide(ab), wide(cd))),
            single(_mm512_unpackhi_pd(wide(ab), wide(cd))),
            single(_mm512_unpacklo_pd(wide(ab_rest), wide(cd_rest))),
            single(_mm512_unpackhi_pd(wide(ab_rest), wide(cd_rest))),
        ];
        Segment32::value(coefficients, t)
    }
}

/// # Safety
/// The processor has AVX-512, and the numbers are of segments, times `LEN`.
#[inline(always)]
unsafe fn polynomials_pd(segments: &Segments<f64>, numbers: [u64; 8], t: F64) -> Twin<F64> {
    let coefficients = segments.as_ptr().cast::<f64>();
    let [n0, n1, n2, n3, n4, n5, n6, n7] = numbers;
    // SAFETY: the caller has numbers of segments, which `Segments` has, of `LEN` coefficients each.
    unsafe {
        let pair = |number: u64, from: usize| _mm_load_pd(coefficients.add(number as usize + from));
        // Coefficients in pairs, of four segments.
        let four = |of: [u64; 4], from: usize| {
            let v = _mm512_castpd128_pd512(pair(of[0], from));
            let v = _mm512_mask_broadcast_f64x2(v, 0x0c, pair(of[1], from));
            let v = _mm512_mask_broadcast_f64x2(v, 0x30, pair(of[2], from));
            _mm512_mask_broadcast_f64x2(v, 0xc0, pair(of[3], from))
        };
        let two = |from: usize| {
            let (a, b) = (four([n0, n2, n4, n6], from), four([n1, n3, n5, n7], from));
            [F64(_mm512_unpacklo_pd(a, b)), F64(_mm512_unpackhi_pd(a, b))]
        };
        let ([high, c1], [c2, c3], [c4, c5]) = (two(0), two(2), two(4));
        let low = _mm512_castsi512_pd(_mm512_slli_epi64::<32>(_mm512_castpd_si512(c5.0)));
        Segment64::value([high, c1, c2, c3, c4, c5], F64(low), t)
    }
}
