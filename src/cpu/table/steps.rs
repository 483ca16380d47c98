//! Elements looked up several at a time: loaded and stored together, as far as the instruction set allows.
//!
//! Of each element a core otherwise loads two bytes, loads a result and stores it, and its L1 takes one store a cycle. On
//! x86-64, eight are two loads, shifts, eight loads that put a result into a vector, and one store.

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
