//! How segments are looked up: their numbers are stored and loaded one by one, coefficients loaded segment by segment and
//! transposed. `vgatherdps` takes longer for one coefficient than this for four.
//!
//! Numbers are counted as unsigned integers, whose minimum and maximum take the place of four operations on floats: what is
//! below the first segment, or NaN, has a number that is too large as well.

use super::super::piecewise::{Segmented, Segments};
use super::vector::Vector;
use crate::twin::Twin;

/// A vector for which segments can be looked up.
pub(in super::super) trait Lookup<const L: usize>: Vector<L, Scalar: Segmented> {
    /// The numbers of the segments, counted from the first, as [`Lookup::polynomials`] takes them.
    type Numbers: Copy + Default;
    /// The greatest numbers so far, element by element, those of f64 half by half.
    type Furthest: Copy;
    /// One truth value for each element.
    type Mask: Copy;

    /// Whether an element is below the first of `ends`, above the second, or NaN.
    fn outside(self, ends: [f64; 2]) -> Self::Mask;
    /// Whether it is true of any element.
    fn is_any(mask: Self::Mask) -> bool;
    /// `if_set` where it is true, `other` where it is not.
    fn choose(mask: Self::Mask, if_set: Self, other: Self) -> Self;

    /// Of no elements.
    fn nearest() -> Self::Furthest;
    /// Of sums with `Grid::magic`, where `ends` are those for the first segment and the last; beyond them it is the last.
    fn numbers(self, ends: [f64; 2], furthest: &mut Self::Furthest) -> Self::Numbers;
    /// Whether a sum was beyond `ends`, or NaN.
    fn is_beyond(furthest: Self::Furthest, ends: [f64; 2]) -> bool;
    /// The value of each element's polynomial at t, as `Family::multiple` takes it.
    ///
    /// # Safety
    /// The numbers are of the grid that the segments have.
    unsafe fn polynomials(segments: &Segments<Self::Scalar>, numbers: Self::Numbers, t: Self) -> Twin<Self>;
}

/// [`Lookup`] for a vector, with the intrinsics to number segments, and functions for masks and polynomials.
macro_rules! lookup {
    (
        $vector:ident of $t:ident, $lanes:literal at once, numbered by $int:ident in $numbers:ident,
        $cast:ident $set1:ident $sub:ident $max:ident $min:ident $store:ident,
        $(times $length:expr, $mul:ident $set1_int:ident,)?
        furthest $furthest:ident $zero:ident $exceeds:ident,
        mask $mask:ident $outside:ident $any:ident $choose:ident,
        polynomials $polynomials:ident
    ) => {
        impl $vector {
            /// The bits of the first of `ends`, and how many segments the second is from there: its number.
            #[inline(always)]
            fn range([first, last]: [f64; 2]) -> [$int; 2] {
                let (first, last) = ((first as $t).to_bits() as $int, (last as $t).to_bits() as $int);
                [first, last - first]
            }
        }

        impl Lookup<$lanes> for $vector {
            type Numbers = $numbers;
            type Furthest = $furthest;
            type Mask = $mask;

            #[inline(always)]
            fn outside(self, ends: [f64; 2]) -> $mask {
                // SAFETY: the processor has the instructions, as with all of the vector.
                unsafe { $outside(self.0, ends) }
            }
            #[inline(always)]
            fn is_any(mask: $mask) -> bool {
                // SAFETY: as above.
                unsafe { $any(mask) }
            }
            #[inline(always)]
            fn choose(mask: $mask, if_set: Self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $choose(mask, if_set.0, other.0) })
            }

            #[inline(always)]
            fn nearest() -> $furthest {
                // SAFETY: as above.
                unsafe { $zero() }
            }
            #[inline(always)]
            fn numbers(self, ends: [f64; 2], furthest: &mut $furthest) -> $numbers {
                let [first, last] = Self::range(ends);
                let mut numbers = $numbers::default();
                // SAFETY: as above.
                unsafe {
                    let from_first = $sub($cast(self.0), $set1(first));
                    // Of f64 half by half: the upper one is 0 up to the last segment.
                    *furthest = $max(*furthest, from_first);
                    let limited = $min(from_first, $set1(last));
                    $(let limited = $mul(limited, $set1_int($length));)?
                    $store((&raw mut numbers).cast(), limited);
                }
                numbers
            }
            #[inline(always)]
            fn is_beyond(furthest: $furthest, ends: [f64; 2]) -> bool {
                // SAFETY: as above.
                unsafe { $exceeds(furthest, $set1(Self::range(ends)[1])) }
            }
            #[inline(always)]
            unsafe fn polynomials(segments: &Segments<$t>, $numbers(numbers): $numbers, t: Self) -> Twin<Self> {
                // SAFETY: as above, and the caller answers for the numbers.
                unsafe { $polynomials(segments, numbers, t) }
            }
        }
    };
}
pub(super) use lookup;

/// Half segments before the first of two whose numbers a word has, as addresses are counted in eight bytes at most.
#[inline(always)]
pub(super) fn first(numbers: u64) -> usize {
    (numbers as u32).wrapping_add(numbers as u32) as usize
}
/// The same of the second: numbers of segments are less than 2³¹.
#[inline(always)]
pub(super) fn second(numbers: u64) -> usize {
    (numbers >> 31) as usize
}
