//! Products of g with what is looked up.

use super::steps::Step;
use super::{Tabulated, INPUTS};
use crate::cpu::half_types::{vanishes, Half};
use crate::cpu::prefetch::{prefetch, AHEAD, AHEAD_OF_STORES};
use crate::cpu::slice::CHUNK;
#[cfg(target_arch = "x86_64")]
use crate::cpu::vectors::{Element, Run, Vector};
use std::mem::MaybeUninit;

/// Products for some x and g without a table.
type Compute<'a, T> = &'a dyn Fn(&[T], &[T], &mut [MaybeUninit<T>]);

/// f⁽ᵏ⁾(x)·g, with f⁽ᵏ⁾(x) from a table. Of x, g and the output there are as many.
pub(super) struct Products<'a, T> {
    pub(super) factors: &'a [f32; INPUTS],
    pub(super) x: &'a [T],
    pub(super) g: &'a [T],
    pub(super) out: &'a mut [MaybeUninit<T>],
    pub(super) compute: Compute<'a, T>,
    /// Whether x, g and the output are asked for ahead of their use.
    pub(super) prefetches: bool,
}

impl<T: Tabulated> Products<'_, T> {
    #[inline(always)]
    pub(super) fn run_by<M: Multiply<T>>(self) {
        match self.prefetches {
            true => self.run_loop::<M, true>(),
            false => self.run_loop::<M, false>(),
        }
    }

    /// Compiled twice, as a branch within costs 5 % where operands are in the caches.
    #[inline(always)]
    fn run_loop<M: Multiply<T>, const PREFETCHES: bool>(self) {
        let mut computed = None;
        for start in (0..self.out.len()).step_by(CHUNK) {
            let part = start..self.out.len().min(start + CHUNK);
            let (x, g) = (&self.x[part.clone()], &self.g[part.clone()]);
            if PREFETCHES {
                prefetch(x, AHEAD);
                prefetch(g, AHEAD);
                prefetch(&self.out[part.clone()], AHEAD_OF_STORES);
            }
            let mut factors = [1.0; CHUNK];
            let (x_steps, x_rest) = x.as_chunks();
            let (steps, rest) = factors[..x.len()].as_chunks_mut();
            for (factors, x) in steps.iter_mut().zip(x_steps) {
                Step::of(x).write_factors(self.factors, factors);
            }
            for (factor, x) in rest.iter_mut().zip(x_rest) {
                *factor = self.factors[x.bits() as usize];
            }
            M::multiply(&factors, g, &mut self.out[part]);
            // No early exit: this is a loop over vectors.
            if T::WIDE && factors.iter().fold(false, |any, factor| any | vanishes(*factor)) {
                let computed = computed.get_or_insert_with(Computed::new);
                computed.take(start, &factors, x, g);
                if computed.len > LATE - CHUNK {
                    computed.run(self.compute, self.out);
                }
            }
        }
        if let Some(mut computed) = computed {
            computed.run(self.compute, self.out);
        }
    }
}

/// As many elements as are computed at a time where f32 is not enough for their factors.
const LATE: usize = 2 * CHUNK;

/// The first `len` are elements that are computed after all, and where their results go.
struct Computed<T> {
    len: usize,
    x: [T; LATE],
    g: [T; LATE],
    at: [usize; LATE],
}

impl<T: Tabulated> Computed<T> {
    fn new() -> Self {
        let (x, g) = ([T::default(); LATE], [T::default(); LATE]);
        Self {
            len: 0,
            x,
            g,
            at: [0; LATE],
        }
    }

    fn take(&mut self, start: usize, factors: &[f32; CHUNK], x: &[T], g: &[T]) {
        // What is less than 2⁻¹⁵⁰ is 0 to a type whose least number is 2⁻¹³³, unless g is large.
        const LARGE: f32 = 16384.0;
        let mut wide_g = [0.0; CHUNK];
        T::widen(g, &mut wide_g[..g.len()]);
        let mut late = [false; CHUNK];
        for (late, (factor, g)) in late.iter_mut().zip(factors.iter().zip(&wide_g)) {
            *late = vanishes(*factor) & !((*factor == 0.0) & (g.abs() <= LARGE));
        }
        // In a register, and without branches, which would depend on the data: 16 cycles an element otherwise.
        let mut len = self.len;
        for (i, ((x, g), late)) in x.iter().zip(g).zip(late).enumerate() {
            (self.x[len], self.g[len], self.at[len]) = (*x, *g, start + i);
            len += late as usize;
        }
        self.len = len;
    }

    fn run(&mut self, compute: Compute<T>, out: &mut [MaybeUninit<T>]) {
        let mut results = [MaybeUninit::uninit(); LATE];
        let results = &mut results[..self.len];
        compute(&self.x[..self.len], &self.g[..self.len], results);
        for (at, result) in self.at.iter().zip(results) {
            out[*at] = *result;
        }
        self.len = 0;
    }
}

/// How factors are multiplied by g. A trait, as a function that is passed is compiled without the instructions of its
/// caller.
pub(super) trait Multiply<T> {
    /// Writes all of `out`, which is as long as g.
    fn multiply(factors: &[f32; CHUNK], g: &[T], out: &mut [MaybeUninit<T>]);
}

/// By conversions of slices.
pub(super) struct Slices;

impl<T: Half> Multiply<T> for Slices {
    fn multiply(factors: &[f32; CHUNK], g: &[T], out: &mut [MaybeUninit<T>]) {
        let mut products = [0.0; CHUNK];
        let products = &mut products[..g.len()];
        T::widen(g, products);
        for (product, factor) in products.iter_mut().zip(factors) {
            *product *= factor;
        }
        T::narrow(products, out);
    }
}

/// By conversions of vectors.
#[cfg(target_arch = "x86_64")]
struct Vectors<const L: usize>;

#[cfg(target_arch = "x86_64")]
impl<T: Element<L, Compute = f32>, const L: usize> Multiply<T> for Vectors<L> {
    #[inline(always)]
    fn multiply(factors: &[f32; CHUNK], g: &[T], out: &mut [MaybeUninit<T>]) {
        let ((g, g_rest), (out, out_rest)) = (g.as_chunks(), out.as_chunks_mut());
        let (factors, _) = factors.as_chunks();
        for ((factor, g), out) in factors.iter().zip(g).zip(out) {
            T::store(T::Vector::load(factor) * T::load(g), out);
        }
        if !g_rest.is_empty() {
            let (mut padded, mut results) = ([T::default(); L], [MaybeUninit::uninit(); L]);
            padded[..g_rest.len()].copy_from_slice(g_rest);
            T::store(
                T::Vector::load(&factors[g.len()]) * T::load(&padded),
                &mut results,
            );
            out_rest.copy_from_slice(&results[..g_rest.len()]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl<T: Tabulated + Element<L, Compute = f32>, const L: usize> Run<L> for Products<'_, T> {
    #[inline(always)]
    fn run(self) {
        self.run_by::<Vectors<L>>()
    }
}
