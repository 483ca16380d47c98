//! How segments are looked up: their numbers are stored and loaded one by one, coefficients loaded segment by segment and
//! transposed. `vgatherdps` takes longer for one coefficient than this for four.

use super::super::interpolated::Lookup;
use super::{F32, F64};
use crate::cpu::piecewise::Segments;
use crate::real::Real;
use crate::twin::Twin;
use core::arch::x86_64::*;

/// A store that is loaded in parts.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(in crate::cpu) struct Numbers([u64; 4]);

macro_rules! masks {
    ($t:ident, $min:ident $max:ident $set1:ident $compare:ident $or:ident $any:ident $blend:ident) => {
        #[inline(always)]
        fn clamped(self, low: f64, high: f64) -> Self {
            // SAFETY: the processor has the instructions, as with all of the vector. The second operand is what they return
            // if one is NaN.
            Self(unsafe { $min($max(self.0, $set1(low as $t)), $set1(high as $t)) })
        }
        #[inline(always)]
        fn differs(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { $compare::<_CMP_NEQ_UQ>(self.0, other.0) })
        }
        #[inline(always)]
        fn or(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { $or(self.0, other.0) })
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
    };
}

impl Lookup<8> for F32 {
    type Numbers = Numbers;
    masks!(f32, _mm256_min_ps _mm256_max_ps _mm256_set1_ps _mm256_cmp_ps _mm256_or_ps _mm256_movemask_ps _mm256_blendv_ps);

    #[inline(always)]
    fn numbers(self, first: f64) -> Numbers {
        let mut numbers = Numbers([0; 4]);
        // SAFETY: as above.
        unsafe {
            let first = _mm256_set1_epi32((first as f32).to_bits() as i32);
            let from_first = _mm256_sub_epi32(_mm256_castps_si256(self.0), first);
            _mm256_store_si256((&raw mut numbers).cast(), _mm256_slli_epi32::<2>(from_first));
        }
        numbers
    }

    #[inline(always)]
    unsafe fn polynomials(segments: &Segments<f32>, Numbers(numbers): &Numbers, t: Self) -> Twin<Self> {
        let coefficients = segments.as_ptr().cast::<f32>();
        // Element 2i is the lower half of number i. In pairs of four, as a transposition of 4 by 4 stays within halves.
        let pair = |low: u64, high: u64| {
            // SAFETY: the caller has numbers of segments, which `Segments` has.
            unsafe {
                let [low, high] = [low, high].map(|number| coefficients.add(number as usize));
                let low = _mm256_castps128_ps256(_mm_load_ps(low));
                _mm256_insertf128_ps::<1>(low, _mm_load_ps(high))
            }
        };
        let half = |number: u64| number as u32 as u64;
        let [n01, n23, n45, n67] = *numbers;
        let (a, b) = (pair(half(n01), half(n45)), pair(n01 >> 32, n45 >> 32));
        let (c, d) = (pair(half(n23), half(n67)), pair(n23 >> 32, n67 >> 32));
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

impl Lookup<4> for F64 {
    type Numbers = Numbers;
    masks!(f64, _mm256_min_pd _mm256_max_pd _mm256_set1_pd _mm256_cmp_pd _mm256_or_pd _mm256_movemask_pd _mm256_blendv_pd);

    #[inline(always)]
    fn numbers(self, first: f64) -> Numbers {
        let mut numbers = Numbers([0; 4]);
        // SAFETY: as above.
        unsafe {
            let first = _mm256_set1_epi64x(first.to_bits() as i64);
            let from_first = _mm256_sub_epi64(_mm256_castpd_si256(self.0), first);
            _mm256_store_si256((&raw mut numbers).cast(), _mm256_slli_epi64::<3>(from_first));
        }
        numbers
    }

    #[inline(always)]
    unsafe fn polynomials(segments: &Segments<f64>, Numbers(numbers): &Numbers, t: Self) -> Twin<Self> {
        let coefficients = segments.as_ptr().cast::<f64>();
        let two = |from: usize, [low, high]: [u64; 2]| {
            // SAFETY: the caller has numbers of segments, which `Segments` has, of eight coefficients each.
            unsafe {
                let [low, high] = [low, high].map(|number| coefficients.add(number as usize + from));
                let low = _mm256_castpd128_pd256(_mm_load_pd(low));
                _mm256_insertf128_pd::<1>(low, _mm_load_pd(high))
            }
        };
        let [n0, n1, n2, n3] = *numbers;
        let transposed = |from: usize| {
            let (a, b) = (two(from, [n0, n2]), two(from, [n1, n3]));
            // SAFETY: as above.
            unsafe { [Self(_mm256_unpacklo_pd(a, b)), Self(_mm256_unpackhi_pd(a, b))] }
        };
        let ([high, low], [c1, c2]) = (transposed(0), transposed(2));
        let ([c3, c4], [c5, c6]) = (transposed(4), transposed(6));
        let end = c6.fma(t, c5).fma(t, c4).fma(t, c3);
        Twin::new(high, end.fma(t, c2).fma(t, c1).fma(t, low))
    }
}
