//! How segments are looked up: their numbers are stored and loaded one by one, coefficients loaded segment by segment and
//! transposed. `vgatherdps` takes longer for one coefficient than this for four.
//!
//! Numbers are counted as unsigned integers, whose minimum and maximum take the place of four operations on floats: what is
//! below the first segment, or NaN, has a number that is too large as well.

use super::super::interpolated::Lookup;
use super::{F32, F64};
use crate::cpu::piecewise::{Segment64, Segments};
use crate::real::Real;
use crate::twin::Twin;
use core::arch::x86_64::*;

/// A store that is loaded in parts.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
pub(in crate::cpu) struct Numbers([u64; 4]);

/// The greatest numbers so far, element by element, those of f64 half by half.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Furthest(__m256i);

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

macro_rules! masks {
    ($t:ident, $set1:ident $compare:ident $or:ident $any:ident $blend:ident) => {
        #[inline(always)]
        fn outside(self, [low, high]: [f64; 2]) -> Self {
            // SAFETY: the processor has the instructions, as with all of the vector.
            unsafe {
                let below = $compare::<_CMP_NGE_UQ>(self.0, $set1(low as $t));
                Self($or(
                    below,
                    $compare::<_CMP_NLE_UQ>(self.0, $set1(high as $t)),
                ))
            }
        }
        #[inline(always)]
        fn is_any(self) -> bool {
            // SAFETY: as above.
            unsafe { $any(self.0) != 0 }
        }
        #[inline(always)]
        fn choose(self, if_set: Self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { $blend(other.0, if_set.0, self.0) })
        }

        #[inline(always)]
        fn nearest() -> Furthest {
            // SAFETY: as above.
            Furthest(unsafe { _mm256_setzero_si256() })
        }
    };
}

impl F32 {
    /// The bits of the first of `ends`, and how many segments the second is from there: its number.
    #[inline(always)]
    fn range(ends: [f64; 2]) -> [i32; 2] {
        let [first, last] = ends.map(|end| (end as f32).to_bits() as i32);
        [first, last - first]
    }
}

impl Lookup<8> for F32 {
    type Numbers = Numbers;
    type Furthest = Furthest;
    masks!(f32, _mm256_set1_ps _mm256_cmp_ps _mm256_or_ps _mm256_movemask_ps _mm256_blendv_ps);

    #[inline(always)]
    fn numbers(self, ends: [f64; 2], Furthest(furthest): &mut Furthest) -> Numbers {
        let [first, last] = Self::range(ends);
        let mut numbers = Numbers::default();
        // SAFETY: as above.
        unsafe {
            let from_first = _mm256_sub_epi32(_mm256_castps_si256(self.0), _mm256_set1_epi32(first));
            *furthest = _mm256_max_epu32(*furthest, from_first);
            let limited = _mm256_min_epu32(from_first, _mm256_set1_epi32(last));
            _mm256_store_si256((&raw mut numbers).cast(), limited);
        }
        numbers
    }

    #[inline(always)]
    fn is_beyond(Furthest(furthest): Furthest, ends: [f64; 2]) -> bool {
        // SAFETY: as above.
        unsafe { exceeds(furthest, _mm256_set1_epi32(Self::range(ends)[1])) }
    }

    #[inline(always)]
    unsafe fn polynomials(segments: &Segments<f32>, Numbers(numbers): Numbers, t: Self) -> Twin<Self> {
        // Half a segment, as addresses are counted in eight bytes at most.
        let coefficients = segments.as_ptr().cast::<[f32; 2]>();
        // In pairs of four, as a transposition of 4 by 4 stays within halves.
        let pair = |low: u64, high: u64| {
            // SAFETY: the caller has numbers of segments, which `Segments` has.
            unsafe {
                let [low, high] = [low, high].map(|number| coefficients.add(number as usize));
                let low = _mm256_castps128_ps256(_mm_load_ps(low.cast()));
                _mm256_insertf128_ps::<1>(low, _mm_load_ps(high.cast()))
            }
        };
        // Twice the number in the lower half, and in the upper one: those of segments are less than 2³¹.
        let even = |numbers: u64| (numbers as u32).wrapping_add(numbers as u32) as u64;
        let odd = |numbers: u64| numbers >> 31;
        let [n01, n23, n45, n67] = numbers;
        let (a, b) = (pair(even(n01), even(n45)), pair(odd(n01), odd(n45)));
        let (c, d) = (pair(even(n23), even(n67)), pair(odd(n23), odd(n67)));
        // SAFETY: as above.
        let [high, low, c1, c2] = unsafe {
            let (ab, ab_rest) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (cd, cd_rest) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            let wide = |v| _mm256_castps_pd(v);
            [
                _mm256_unpacklo_pd(wide(ab), wide(cd)),
                _mm256_unpackhi_pd(wide(ab), wide(cd)),
                _mm256_unpacklo_pd(wide(ab_rest), wide(cd_rest)),
                _mm256_unpackhi_pd(wide(ab_rest), wide(cd_rest)),
            ]
            .map(|v| Self(_mm256_castpd_ps(v)))
        };
        Twin::new(high, c2.fma(t, c1).fma(t, low))
    }
}

impl F64 {
    /// The bits of the first of `ends`, and how many segments the second is from there: its number.
    #[inline(always)]
    fn range(ends: [f64; 2]) -> [i64; 2] {
        let [first, last] = ends.map(|end| end.to_bits() as i64);
        [first, last - first]
    }
}

impl Lookup<4> for F64 {
    type Numbers = Numbers;
    type Furthest = Furthest;
    masks!(f64, _mm256_set1_pd _mm256_cmp_pd _mm256_or_pd _mm256_movemask_pd _mm256_blendv_pd);

    #[inline(always)]
    fn numbers(self, ends: [f64; 2], Furthest(furthest): &mut Furthest) -> Numbers {
        let [first, last] = Self::range(ends);
        let mut numbers = Numbers::default();
        // SAFETY: as above.
        unsafe {
            let from_first = _mm256_sub_epi64(_mm256_castpd_si256(self.0), _mm256_set1_epi64x(first));
            // Half by half: the upper one is 0 up to the last segment.
            *furthest = _mm256_max_epu32(*furthest, from_first);
            let limited = _mm256_min_epu32(from_first, _mm256_set1_epi64x(last));
            let coefficients = _mm256_mul_epu32(limited, _mm256_set1_epi64x(Segment64::LEN as i64));
            _mm256_store_si256((&raw mut numbers).cast(), coefficients);
        }
        numbers
    }

    #[inline(always)]
    fn is_beyond(Furthest(furthest): Furthest, ends: [f64; 2]) -> bool {
        // SAFETY: as above.
        unsafe { exceeds(furthest, _mm256_set1_epi64x(Self::range(ends)[1])) }
    }

    #[inline(always)]
    unsafe fn polynomials(segments: &Segments<f64>, Numbers(numbers): Numbers, t: Self) -> Twin<Self> {
        let coefficients = segments.as_ptr().cast::<f64>();
        // Coefficients in pairs, of two segments: those of the first in the lower half, of the second in the upper one.
        let pair = |from: usize, [low, high]: [u64; 2]| {
            // SAFETY: the caller has numbers of segments, which `Segments` has, of `LEN` coefficients each.
            unsafe {
                let [low, high] = [low, high].map(|number| coefficients.add(number as usize + from));
                let low = _mm256_castpd128_pd256(_mm_load_pd(low));
                match from {
                    // The upper half is in its place already: a blend, which takes any pipe.
                    2 => _mm256_blend_pd::<0b1100>(low, _mm256_loadu_pd(high.sub(2))),
                    _ => _mm256_insertf128_pd::<1>(low, _mm_load_pd(high)),
                }
            }
        };
        let [n0, n1, n2, n3] = numbers;
        let two = |from: usize| {
            let (a, b) = (pair(from, [n0, n2]), pair(from, [n1, n3]));
            // SAFETY: as above.
            unsafe { [_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b)].map(Self) }
        };
        let ([high, c1], [c2, c3], [c4, c5]) = (two(0), two(2), two(4));
        // SAFETY: as above.
        let low = Self(unsafe { _mm256_castsi256_pd(_mm256_slli_epi64::<32>(_mm256_castpd_si256(c5.0))) });
        // Two terms at a time: a chain of all of them takes registers for longer.
        let square = t * t;
        let [start, middle, end] = [c1.fma(t, low), c3.fma(t, c2), c5.fma(t, c4)];
        Twin::new(high, end.fma(square, middle).fma(square, start))
    }
}
