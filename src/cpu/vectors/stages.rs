//! The stages of a formula, which a panel goes through one after the other.
//!
//! The compiler vectorises the loops of `slice.rs` too. What it cannot do is to run the stages of a formula apart; nor, with
//! AVX-512, to replace a division by `vrcp14`, which the formulas allow because they correct the reciprocal by a residual.
//! A formula is a chain of some 110 cycles of dependent instructions, of which a core can hold a fixed number, about 120 on
//! a Zen 5, until their operands arrive. Loops over a panel that stays in L1, one per stage, shorten the chain and the
//! number of instructions that wait for it: `docs/cpu-notes.md` has the figures.

use super::super::argument::{Argument, Cursor, Values, SPAN};
use super::super::half_types::{half_pass, Half};
use super::super::isa::Isa;
use super::super::slice::{Pass, WithFma};
use super::vector::{Element, Vector};
use super::{for_parameters, load, part, Block};
use crate::family::Family;
use crate::formula::quick::{product, Constants};
use crate::real::Real;
use crate::twin::Twin;
use pulp::{Simd, WithSimd};
use std::mem::MaybeUninit;

/// The size below which a scaled value is subnormal in f32 or lost: g may bring it back into the range of bf16.
const VANISHING: f64 = f32::MIN_POSITIVE as f64 / f32::UNSCALE;

/// Vectors between the stages of a formula: at most 1 KiB of L1 for each number that is kept.
const PANEL: usize = 16;

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
    /// Elements of which a value is below [`VANISHING`].
    fn again<U: Argument<T::Compute>>(self, x: &[T], u: U, g: &[T], out: &mut [MaybeUninit<T>]);
}

/// In panels, stage by stage.
#[derive(Clone, Copy)]
pub(in super::super) struct Staged<S>(pub(in super::super) S);

impl<T: Element<L>, S: Stages<T, L>, const L: usize> Block<T, L> for Staged<S> {
    #[inline(always)]
    fn run<U: Argument<T::Compute>, const PREFETCHES: bool, const STREAMS: bool>(
        self,
        x: Option<&[[T; L]]>,
        u: U,
        g: Option<&[[T; L]]>,
        out: &mut [[MaybeUninit<T>; L]],
    ) {
        const { assert!(PANEL * L <= SPAN) };
        let Self(stages) = self;
        let mut cursor = u.cursor();
        for (panel, out) in out.chunks_mut(PANEL).enumerate() {
            let (n, [x, g]) = part(PANEL, PREFETCHES, panel, x, g, out);
            let mut arguments = [MaybeUninit::uninit(); PANEL];
            let mut scales = [MaybeUninit::uninit(); PANEL];
            let mut exponentials = [MaybeUninit::uninit(); PANEL];
            let mut reciprocals = [MaybeUninit::uninit(); PANEL];
            // No closure: it would be compiled for AVX-512 only if it happened to be inlined.
            for_parameters!(cursor, n, T, L, U, i, parameters => {
                // SAFETY: nothing of the panel has been overwritten yet.
                let mut value = unsafe { load(x, out, i) };
                if !U::PLAIN {
                    let [scale, shift] = parameters;
                    value = value.fma(scale, shift);
                    if U::CHAINED {
                        scales[i].write(scale);
                    }
                }
                if !U::PLAIN || T::WIDENED || x.is_none() {
                    arguments[i].write(value);
                }
                exponentials[i].write(stages.exponential(value))
            });
            let argument = |i: usize| match x {
                Some(x) if U::PLAIN && !T::WIDENED => T::load(&x[i]),
                // SAFETY: the loop before has written one for every i.
                _ => unsafe { arguments[i].assume_init() },
            };
            for (i, (e, r)) in exponentials[..n].iter().zip(&mut reciprocals).enumerate() {
                // SAFETY: the loop before has written one for every i.
                r.write(stages.reciprocal(argument(i), unsafe { e.assume_init() }));
            }
            let mut least = T::Vector::lit(f64::INFINITY);
            for (i, (out, (e, r))) in out
                .iter_mut()
                .zip(exponentials.iter().zip(&reciprocals))
                .enumerate()
            {
                // SAFETY: as above.
                let (e, r) = unsafe { (e.assume_init(), r.assume_init()) };
                let mut y = stages.value(argument(i), e, r);
                if let Some(g) = g {
                    if S::CHECKED {
                        least = y.abs().or_less(least);
                    }
                    y = stages.times(y, T::load(&g[i]));
                }
                if U::CHAINED {
                    // SAFETY: as above.
                    y = y * unsafe { scales[i].assume_init() };
                }
                match STREAMS {
                    true => T::stream(y, out),
                    false => T::store(y, out),
                }
            }
            if let (true, Some(x), Some(g)) = (S::CHECKED && least.any_below(VANISHING), x, g) {
                let u = u.skip(panel * PANEL * L);
                stages.again(x.as_flattened(), u, g.as_flattened(), out.as_flattened_mut());
            }
        }
    }
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
