//! Vectors of f32 and f64 as arithmetic types for the formulas: what they are asked for, and what is alike in all of them.

use super::super::argument::Values;
use crate::real::Real;
use std::mem::MaybeUninit;

/// An arithmetic type of `L` numbers.
pub(in super::super) trait Vector<const L: usize>: Real {
    type Scalar;
    fn load(from: &[Self::Scalar; L]) -> Self;
    /// Scale and shift of a vector's elements.
    fn parameters(values: Values<'_, Self::Scalar>) -> [Self; 2];
    /// Element by element the smaller; that of `other` where self is NaN.
    fn or_less(self, other: Self) -> Self;
    /// Whether any element is below the bound.
    fn any_below(self, bound: f64) -> bool;
}

/// An element type, `L` of which make a vector.
pub(in super::super) trait Element<const L: usize>: Copy + Default {
    type Compute: Copy;
    type Vector: Vector<L, Scalar = Self::Compute>;
    /// Whether loading takes more than a load.
    const WIDENED: bool;
    fn load(from: &[Self; L]) -> Self::Vector;
    fn store(v: Self::Vector, to: &mut [MaybeUninit<Self>; L]);
    /// Past the caches, to where a vector is aligned.
    fn stream(v: Self::Vector, to: &mut [MaybeUninit<Self>; L]);
}

/// A register as an arithmetic type.
///
/// The intrinsics are sound to call because these types are used only within functions that are compiled for the
/// instructions, and called only where the processor has them: `avx512::run` and `avx2::run`.
macro_rules! vector {
    (
        $name:ident of $t:ident in $register:ident, $precision:ident,
        operators $($trait:ident $method:ident $op:ident),*;
        $set1:ident $load:ident $xor:ident $abs:ident $fmadd:ident $min:ident $max:ident,
        masks $greater:ident $any:ident $first:ident $choose:ident,
        $(recip $recip:expr,)? $(if_negative $blend:ident,)? to_single $to_single:expr,
        shift $shift:ident<$mantissa:literal> $to_bits:ident $of_bits:ident, $set1_int:ident $add_int:ident $and:ident
    ) => {
        #[derive(Clone, Copy)]
        pub(in super::super) struct $name($register);

        $(impl $trait for $name {
            type Output = Self;
            #[inline(always)]
            fn $method(self, b: Self) -> Self {
                // SAFETY: the processor has the instructions, as said above.
                Self(unsafe { $op(self.0, b.0) })
            }
        })*

        impl Neg for $name {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                // SAFETY: the processor has the instructions, as said above.
                Self(unsafe { $xor(self.0, $set1(-0.0)) })
            }
        }

        impl Vector<{ size_of::<$register>() / size_of::<$t>() }> for $name {
            type Scalar = $t;

            #[inline(always)]
            fn load(from: &[$t; size_of::<$register>() / size_of::<$t>()]) -> Self {
                // SAFETY: as above; the array is as long as the register.
                Self(unsafe { $load(from.as_ptr()) })
            }

            #[inline(always)]
            fn or_less(self, other: Self) -> Self {
                // SAFETY: the processor has the instructions, as said above.
                Self(unsafe { $min(self.0, other.0) })
            }

            #[inline(always)]
            fn any_below(self, bound: f64) -> bool {
                // SAFETY: the processor has the instructions, as said above.
                unsafe { $any($greater($set1(bound as $t), self.0)) }
            }

            #[inline(always)]
            fn parameters(values: Values<'_, $t>) -> [Self; 2] {
                // No `map` of arrays: it was a call, out of AVX-512.
                // SAFETY: the processor has the instructions, as said above.
                unsafe {
                    match values {
                        Values::Same([scale, shift]) => [Self($set1(scale)), Self($set1(shift))],
                        Values::Two(first, [here, next]) => {
                            let mask = $first(first);
                            [
                                Self($choose(mask, $set1(here[0]), $set1(next[0]))),
                                Self($choose(mask, $set1(here[1]), $set1(next[1]))),
                            ]
                        }
                        // `Each` has as many values as a vector has lanes, or more.
                        Values::Each([scale, shift]) => {
                            let vector = "a value for each lane";
                            [
                                Self::load(scale.first_chunk().expect(vector)),
                                Self::load(shift.first_chunk().expect(vector)),
                            ]
                        }
                    }
                }
            }
        }

        impl Real for $name {
            constants!($precision);

            #[inline(always)]
            fn lit(x: f64) -> Self {
                // SAFETY: the processor has the instructions, as said above.
                Self(unsafe { $set1(x as $t) })
            }
            #[inline(always)]
            fn fma(self, b: Self, c: Self) -> Self {
                // SAFETY: the processor has the instructions, as said above.
                Self(unsafe { $fmadd(self.0, b.0, c.0) })
            }
            $(
                #[inline(always)]
                fn recip(self) -> Self {
                    $recip(self)
                }
            )?
            #[inline(always)]
            fn to_single(self) -> Self {
                $to_single(self)
            }
            #[inline(always)]
            fn exp2_of_magic(self) -> Self {
                // SAFETY: the processor has the instructions, as said above.
                Self(unsafe { $of_bits($shift::<$mantissa>($to_bits(self.0))) })
            }
            #[inline(always)]
            fn shortened(self) -> Self {
                // SAFETY: the processor has the instructions, as said above.
                Self(unsafe { $of_bits($and($add_int($to_bits(self.0), $set1_int(2)), $set1_int(!3))) })
            }
            #[inline(always)]
            fn abs(self) -> Self {
                // SAFETY: the processor has the instructions, as said above.
                Self(unsafe { $abs(self.0) })
            }
            #[inline(always)]
            fn if_gt(a: Self, b: Self, t: Self, e: Self) -> Self {
                // SAFETY: the processor has the instructions, as said above.
                Self(unsafe { $choose($greater(a.0, b.0), t.0, e.0) })
            }
            $(
                #[inline(always)]
                fn if_negative(self, t: Self, e: Self) -> Self {
                    // SAFETY: the processor has the instructions, as said above.
                    Self(unsafe { $blend(e.0, t.0, self.0) })
                }
            )?
            // The instructions return their second operand where one is NaN.
            #[inline(always)]
            fn at_least(self, low: f64) -> Self {
                // SAFETY: the processor has the instructions, as said above.
                Self(unsafe { $max($set1(low as $t), self.0) })
            }
            #[inline(always)]
            fn at_most(self, high: f64) -> Self {
                // SAFETY: the processor has the instructions, as said above.
                Self(unsafe { $min($set1(high as $t), self.0) })
            }
        }
    };
}
pub(super) use vector;

/// An element type in vectors of that many, with the intrinsics to load, store and stream one, and the functions to widen what
/// is loaded and narrow what is stored. No closures, which are not always inlined: see `ci/calls`.
macro_rules! element {
    (
        $t:ident in $compute:ident, $vector:ident of $lanes:literal, widened $widened:literal,
        load $load:ident $(to $widen:ident)?, store $store:ident, stream $stream:ident $(of $narrow:ident)?
    ) => {
        impl Element<$lanes> for $t {
            type Compute = $compute;
            type Vector = $vector;
            const WIDENED: bool = $widened;
            #[inline(always)]
            fn load(from: &[$t; $lanes]) -> $vector {
                // SAFETY: the processor has the instructions, as with the vector; there are as many elements as lanes.
                $vector(unsafe { $($widen)?($load(from.as_ptr().cast())) })
            }
            #[inline(always)]
            fn store(v: $vector, to: &mut [MaybeUninit<$t>; $lanes]) {
                // SAFETY: as above.
                unsafe { $store(to.as_mut_ptr().cast(), $($narrow)?(v.0)) }
            }
            #[inline(always)]
            fn stream(v: $vector, to: &mut [MaybeUninit<$t>; $lanes]) {
                debug_assert!(to.as_ptr().addr().is_multiple_of(size_of_val(to)));
                // SAFETY: as above, and `blocks` has aligned it.
                unsafe { $stream(to.as_mut_ptr().cast(), $($narrow)?(v.0)) }
            }
        }
    };
}
pub(super) use element;
