//! Elements looked up several at a time: loaded and stored together, as far as the instruction set allows.
//!
//! Of each element a core otherwise loads two bytes, loads a result and stores it, and its L1 takes one store a cycle. On
//! x86-64, eight are two loads, shifts, eight loads that put a result into a vector, and one store.

use super::super::placement::behind;
use super::{Tabulated, INPUTS};
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;
use std::mem::MaybeUninit;

/// Elements of a step.
pub(super) const STEP: usize = 8;
/// Elements whose inputs are loaded together.
const WORD: usize = 4;

/// The bits of four elements, the first in the lowest.
#[derive(Clone, Copy)]
struct Word(u64);

impl Word {
    #[inline(always)]
    fn of<T: Tabulated>(x: &[T; WORD]) -> Self {
        match cfg!(target_endian = "little") {
            // SAFETY: as many bytes, any of which make a number.
            true => Self(unsafe { x.as_ptr().cast::<u64>().read_unaligned() }),
            false => Self(x.iter().rev().fold(0, |word, x| word << 16 | x.bits() as u64)),
        }
    }

    /// What a table has for one of the elements.
    #[inline(always)]
    fn look_up<V: Copy>(self, element: usize, table: &[V; INPUTS]) -> V {
        table[(self.0 >> (16 * element)) as u16 as usize]
    }
}

/// The inputs of a step.
#[derive(Clone, Copy)]
pub(super) struct Step([Word; STEP / WORD]);

impl Step {
    #[inline(always)]
    pub(super) fn of<T: Tabulated>(x: &[T; STEP]) -> Self {
        let (words, _) = x.as_chunks();
        Self([Word::of(&words[0]), Word::of(&words[1])])
    }

    /// Writes all of `out`.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn write<T: Tabulated>(self, results: &[T; INPUTS], out: &mut [MaybeUninit<T>; STEP]) {
        let Self([low, high]) = self;
        // SAFETY: every x86-64 processor has these instructions, and `out` has 16 bytes.
        unsafe {
            let v = _mm_cvtsi32_si128(low.look_up(0, results).bits() as i32);
            let v = _mm_insert_epi16::<1>(v, low.look_up(1, results).bits() as i32);
            let v = _mm_insert_epi16::<2>(v, low.look_up(2, results).bits() as i32);
            let v = _mm_insert_epi16::<3>(v, low.look_up(3, results).bits() as i32);
            let v = _mm_insert_epi16::<4>(v, high.look_up(0, results).bits() as i32);
            let v = _mm_insert_epi16::<5>(v, high.look_up(1, results).bits() as i32);
            let v = _mm_insert_epi16::<6>(v, high.look_up(2, results).bits() as i32);
            let v = _mm_insert_epi16::<7>(v, high.look_up(3, results).bits() as i32);
            _mm_storeu_si128(out.as_mut_ptr().cast(), v);
        }
    }

    /// Writes all of `out`.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub(super) fn write<T: Tabulated>(self, results: &[T; INPUTS], out: &mut [MaybeUninit<T>; STEP]) {
        for (word, out) in self.0.into_iter().zip(out.chunks_mut(WORD)) {
            for (i, out) in out.iter_mut().enumerate() {
                out.write(word.look_up(i, results));
            }
        }
    }

    /// Writes all of `out`.
    #[inline(always)]
    pub(super) fn write_factors(self, factors: &[f32; INPUTS], out: &mut [f32; STEP]) {
        let (quarters, _) = out.as_chunks_mut::<WORD>();
        for (word, out) in self.0.into_iter().zip(quarters) {
            let [a, b] = [word.look_up(0, factors), word.look_up(1, factors)];
            let [c, d] = [word.look_up(2, factors), word.look_up(3, factors)];
            #[cfg(target_arch = "x86_64")]
            // SAFETY: every x86-64 processor has these instructions, and there are 16 bytes. An array would be four stores.
            unsafe {
                _mm_storeu_ps(out.as_mut_ptr(), _mm_setr_ps(a, b, c, d))
            };
            #[cfg(not(target_arch = "x86_64"))]
            {
                *out = [a, b, c, d];
            }
        }
    }
}

/// Looks up all of x, as many elements as `out` has.
///
/// A load waits for a store before it that it seems to depend on: see [`behind`]. Where the output is 16 bytes behind x that is the
/// last store, and inputs are loaded one step early; where it is 32, the one before, and it is two steps. Two everywhere would take
/// registers, and 4 % longer.
#[inline(always)]
pub(super) fn look_up<T: Tabulated>(
    results: &[T; INPUTS],
    x: &[[T; STEP]],
    out: &mut [[MaybeUninit<T>; STEP]],
) {
    match behind(out.as_ptr(), x.as_ptr()) {
        17..48 => look_up_early::<T, 2>(results, x, out),
        _ => look_up_early::<T, 1>(results, x, out),
    }
}

/// [`look_up`] with inputs that are loaded `EARLY` steps before their turn.
#[inline(always)]
fn look_up_early<T: Tabulated, const EARLY: usize>(
    results: &[T; INPUTS],
    x: &[[T; STEP]],
    out: &mut [[MaybeUninit<T>; STEP]],
) {
    let Some((early, later)) = x.split_first_chunk::<EARLY>() else {
        for (x, out) in x.iter().zip(out) {
            Step::of(x).write(results, out);
        }
        return;
    };
    let mut next = early.each_ref().map(Step::of);
    let (first, last) = out.split_at_mut(later.len());
    for (x, out) in later.iter().zip(first) {
        let this = next[0];
        next.rotate_left(1);
        next[EARLY - 1] = Step::of(x);
        this.write(results, out);
    }
    for (this, out) in next.into_iter().zip(last) {
        this.write(results, out);
    }
}

#[cfg(test)]
mod tests {
    use super::{look_up_early, Tabulated, INPUTS, STEP};
    use half::{bf16, f16};
    use std::mem::MaybeUninit;

    #[test]
    fn every_element_is_looked_up_in_its_turn() {
        fn check<T: Tabulated, const EARLY: usize>() {
            let results: Vec<T> = (0..=u16::MAX).map(|bits| T::of_bits(!bits)).collect();
            let results: &[T; INPUTS] = results.first_chunk().expect("all inputs");
            for steps in 0..7 {
                let x: Vec<T> = (0..steps * STEP)
                    .map(|i| T::of_bits(7919u16.wrapping_mul(i as u16)))
                    .collect();
                let mut out = vec![[MaybeUninit::new(T::of_bits(0)); STEP]; steps];
                look_up_early::<T, EARLY>(results, x.as_chunks().0, &mut out);
                for (x, y) in x.iter().zip(out.as_flattened()) {
                    // SAFETY: all of it has been written above.
                    assert_eq!(unsafe { y.assume_init() }.bits(), !x.bits());
                }
            }
        }
        check::<f16, 1>();
        check::<bf16, 2>();
    }
}
