//! Polynomials for vectors of 256 bits.

use super::super::lookup::{first, lookup, second, Lookup};
use super::{choose_pd, choose_ps, is_any_pd, is_any_ps, F32, F64};
use crate::cpu::piecewise::{Segment32, Segment64, Segments};
use crate::twin::Twin;
use core::arch::x86_64::*;

/// A store that is loaded in parts.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
pub(in crate::cpu) struct Numbers([u64; 4]);

lookup!(
    F32 of f32, 8 at once, numbered by i32 in Numbers,
    _mm256_castps_si256 _mm256_set1_epi32 _mm256_sub_epi32 _mm256_max_epu32 _mm256_min_epu32 _mm256_store_si256,
    furthest __m256i _mm256_setzero_si256 exceeds,
    mask __m256 outside_ps is_any_ps choose_ps,
    polynomials polynomials_ps
);
lookup!(
    F64 of f64, 4 at once, numbered by i64 in Numbers,
    _mm256_castpd_si256 _mm256_set1_epi64x _mm256_sub_epi64 _mm256_max_epu32 _mm256_min_epu32 _mm256_store_si256,
    times Segment64::LEN as i64, _mm256_mul_epu32 _mm256_set1_epi64x,
    furthest __m256i _mm256_setzero_si256 exceeds,
    mask __m256d outside_pd is_any_pd choose_pd,
    polynomials polynomials_pd
);

/// Whether any 32 bits of `numbers` are above those of `limit`.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn exceeds(numbers: __m256i, limit: __m256i) -> bool {
    // SAFETY: the caller answers for it.
    unsafe {
        let limited = _mm256_min_epu32(numbers, limit);
        _mm256_movemask_epi8(_mm256_cmpeq_epi32(limited, numbers)) != -1
    }
}

macro_rules! outside {
    ($outside:ident of $t:ident in $register:ident, $set1:ident $compare:ident $or:ident) => {
        #[inline(always)]
        unsafe fn $outside(v: $register, [low, high]: [f64; 2]) -> $register {
            // SAFETY: the caller has the instructions.
            unsafe {
                let below = $compare::<_CMP_NGE_UQ>(v, $set1(low as $t));
                $or(below, $compare::<_CMP_NLE_UQ>(v, $set1(high as $t)))
            }
        }
    };
}

outside!(outside_ps of f32 in __m256, _mm256_set1_ps _mm256_cmp_ps _mm256_or_ps);
outside!(outside_pd of f64 in __m256d, _mm256_set1_pd _mm256_cmp_pd _mm256_or_pd);

// Neither closures nor `map` of arrays, as with AVX-512.

/// Segments of four elements in pairs: a transposition of 4 by 4 stays within halves.
///
/// # Safety
/// The processor has AVX2, and `low` and `high` are half segments of `halves`.
#[inline(always)]
unsafe fn pair_ps(halves: *const [f32; 2], low: usize, high: usize) -> __m256 {
    // SAFETY: the caller answers for it.
    unsafe {
        let low = _mm256_castps128_ps256(_mm_load_ps(halves.add(low).cast()));
        _mm256_insertf128_ps::<1>(low, _mm_load_ps(halves.add(high).cast()))
    }
}

/// # Safety
/// The processor has AVX2, and the numbers are of segments.
#[inline(always)]
unsafe fn polynomials_ps(segments: &Segments<f32>, numbers: [u64; 4], t: F32) -> Twin<F32> {
    let halves = segments.as_ptr().cast::<[f32; 2]>();
    let [n01, n23, n45, n67] = numbers;
    // SAFETY: the caller has numbers of segments, which `Segments` has.
    let coefficients = unsafe {
        let a = pair_ps(halves, first(n01), first(n45));
        let b = pair_ps(halves, second(n01), second(n45));
        let c = pair_ps(halves, first(n23), first(n67));
        let d = pair_ps(halves, second(n23), second(n67));
        let ab = _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
        let ab_rest = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
        let cd = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
        let cd_rest = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
        [
            F32(_mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd))),
            F32(_mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd))),
            F32(_mm256_castpd_ps(_mm256_unpacklo_pd(ab_rest, cd_rest))),
            F32(_mm256_castpd_ps(_mm256_unpackhi_pd(ab_rest, cd_rest))),
        ]
    };
    Segment32::value(coefficients, t)
}

/// Two coefficients each of two segments: those of the first in the lower half, of the second in the upper one.
///
/// # Safety
/// The processor has AVX2, and there are two coefficients `FROM` beyond each number of `coefficients`.
#[inline(always)]
unsafe fn pair_pd<const FROM: usize>(coefficients: *const f64, low: u64, high: u64) -> __m256d {
    // SAFETY: the caller answers for it.
    unsafe {
        let (low, high) = (
            coefficients.add(low as usize + FROM),
            coefficients.add(high as usize + FROM),
        );
        let low = _mm256_castpd128_pd256(_mm_load_pd(low));
        match FROM {
            // The upper half is in its place already: a blend, which takes any pipe.
            2 => _mm256_blend_pd::<0b1100>(low, _mm256_loadu_pd(high.sub(2))),
            _ => _mm256_insertf128_pd::<1>(low, _mm_load_pd(high)),
        }
    }
}

/// Two coefficients of each segment.
///
/// # Safety
/// As for [`pair_pd`].
#[inline(always)]
unsafe fn two_pd<const FROM: usize>(coefficients: *const f64, [n0, n1, n2, n3]: [u64; 4]) -> [F64; 2] {
    // SAFETY: the caller answers for it.
    unsafe {
        let even = pair_pd::<FROM>(coefficients, n0, n2);
        let odd = pair_pd::<FROM>(coefficients, n1, n3);
        [
            F64(_mm256_unpacklo_pd(even, odd)),
            F64(_mm256_unpackhi_pd(even, odd)),
        ]
    }
}

/// # Safety
/// The processor has AVX2, and the numbers are of segments, times `LEN`.
#[inline(always)]
unsafe fn polynomials_pd(segments: &Segments<f64>, numbers: [u64; 4], t: F64) -> Twin<F64> {
    let coefficients = segments.as_ptr().cast::<f64>();
    // SAFETY: the caller has numbers of segments, which `Segments` has, of `LEN` coefficients each.
    unsafe {
        let [high, c1] = two_pd::<0>(coefficients, numbers);
        let [c2, c3] = two_pd::<2>(coefficients, numbers);
        let [c4, c5] = two_pd::<4>(coefficients, numbers);
        let low = _mm256_castsi256_pd(_mm256_slli_epi64::<32>(_mm256_castpd_si256(c5.0)));
        Segment64::value([high, c1, c2, c3, c4, c5], F64(low), t)
    }
}
