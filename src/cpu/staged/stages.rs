//! The stages of a formula, which a panel goes through one after the other.

use super::super::argument::Argument;
use super::super::half_types::{half_pass, Half};
use super::super::isa::Isa;
use super::super::slice::{Pass, WithFma};
use super::vector::Element;
use crate::family::Family;
use crate::formula::quick::{product, Constants};
use crate::twin::Twin;
use pulp::{Simd, WithSimd};
use std::mem::MaybeUninit;

/// The stages of a formula, for elements of type T.
pub(in super::super) trait Stages<T: Element<L>, const L: usize>: Copy {
    type Exponential: Copy;
    type Reciprocal: Copy;
    /// Whether some elements may have to be done [`Stages::again`].
    const CHECKED: bool;
    fn exponential(self, x: T::Vector) -> Self::Exponential;
    fn reciprocal(self, x: T::Vector, e: Self::Exponential) -> Self::Reciprocal;
    fn value(self, x: T::Vector, e: Self::Exponential, r: Self::Reciprocal) -> T::Vector;
    /// A value times g.
    fn times(self, value: T::Vector, g: T::Vector) -> T::Vector;
    /// Elements of which a value is below [`super::VANISHING`].
    fn again<U: Argument<T::Compute>>(self, x: &[T], u: U, g: &[T], out: &mut [MaybeUninit<T>]);
}

/// Those of [`Family::eval`].
#[derive(Clone, Copy)]
pub(in super::super) struct Exact<F>(pub(in super::super) F);

impl<F: Family, T: Element<L>, const L: usize> Stages<T, L> for Exact<F> {
    type Exponential = Twin<T::Vector>;
    type Reciprocal = [T::Vector; 2];
    const CHECKED: bool = false;
    #[inline(always)]
    fn exponential(self, x: T::Vector) -> Self::Exponential {
        self.0.exponential(x)
    }
    #[inline(always)]
    fn reciprocal(self, x: T::Vector, e: Self::Exponential) -> Self::Reciprocal {
        self.0.reciprocal(x, e)
    }
    #[inline(always)]
    fn value(self, x: T::Vector, e: Self::Exponential, r: Self::Reciprocal) -> T::Vector {
        self.0.value(x, e, r)
    }
    #[inline(always)]
    fn times(self, value: T::Vector, g: T::Vector) -> T::Vector {
        g * value
    }
    fn again<U: Argument<T::Compute>>(self, _: &[T], _: U, _: &[T], _: &mut [MaybeUninit<T>]) {}
}

/// Those of [`Family::quick`].
#[derive(Clone, Copy)]
pub(in super::super) struct Quick<F>(pub(in super::super) F);

impl<F: Family> Quick<F> {
    #[inline(always)]
    fn constants() -> &'static Constants {
        // `slice.rs` comes here only where there are some.
        F::QUICK.unwrap_or(&[0.0; 10])
    }
}

impl<F: Family, T: Element<L, Compute = f32> + Half, const L: usize> Stages<T, L> for Quick<F> {
    type Exponential = T::Vector;
    type Reciprocal = T::Vector;
    const CHECKED: bool = T::WIDE && F::QUICK_SCALED;
    #[inline(always)]
    fn exponential(self, x: T::Vector) -> T::Vector {
        self.0.quick_exponential(x, Self::constants())
    }
    #[inline(always)]
    fn reciprocal(self, x: T::Vector, e: T::Vector) -> T::Vector {
        self.0.quick_reciprocal(x, e, Self::constants())
    }
    #[inline(always)]
    fn value(self, x: T::Vector, e: T::Vector, r: T::Vector) -> T::Vector {
        self.0.quick(x, e, r, Self::constants())
    }
    #[inline(always)]
    fn times(self, value: T::Vector, g: T::Vector) -> T::Vector {
        if F::QUICK_SCALED {
            product(value, g)
        } else {
            value * g
        }
    }
    #[cold]
    fn again<U: Argument<f32>>(self, x: &[T], u: U, g: &[T], out: &mut [MaybeUninit<T>]) {
        let pass = Pass {
            f: self.0,
            x,
            u,
            g,
            out,
        };
        Isa::get().arch.dispatch(Panel(pass))
    }
}

/// A panel in which a value vanishes, for the loop of `half_types.rs`.
struct Panel<P>(P);

impl<T: Half, F: Family, U: Argument<f32>> WithSimd for Panel<Pass<'_, F, U, &[T], &[T], T>> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        half_pass::<T, WithFma, _, _, _, _>(self.0)
    }
}
