//! AVX-512: four vectors at a time.
//!
//! The compiler vectorises the loops of `slice.rs` for AVX-512 too. What it cannot do is to replace a division,
//! which occupies the divider for 10 cycles per 16 elements, by `vrcp14`, which the formulas allow because they
//! correct the reciprocal by a residual; nor to interleave chains of dependent instructions.

mod convert;
mod vector;

use super::slice::{Factor, Pass};
use crate::family::Family;
use crate::formula::quick::Quick;
use crate::real::Real;
use convert::Narrow;
use pulp::{Simd, WithSimd};
use std::mem::MaybeUninit;
use vector::{F32, F64, LANES, LANES_F64};

/// A [`Pass`] in the vector types of this file.
pub(super) struct Vectors<P>(pub(super) P);

/// As [`Vectors`], for 16-bit types: both ends of the error interval of the value in f32 are rounded, and where
/// they differ the element is evaluated in f64.
pub(super) struct Halves<P>(pub(super) P);

/// What is done to `L` elements at a time. A trait and not a closure, as a closure would not be compiled for
/// AVX-512 unless it happened to be inlined.
trait Block<T, const L: usize> {
    fn block(&self, x: &[T; L], g: Option<&[T; L]>, out: &mut [MaybeUninit<T>; L]);
}

/// Calls `block` for every full block of output that begins on a cache line, and for copies, padded with zeros, of
/// what comes before and after.
#[inline(always)]
fn blocks<T: Copy + Default, const L: usize, F: Block<T, L>, G: Factor<T>>(pass: Pass<'_, F, G, T>) {
    let Pass { f, x, g, out } = pass;
    let head = match x.len() {
        0..SHORT => 0,
        _ => out.as_ptr().align_offset(CACHE_LINE).min(x.len()),
    };
    let (out_head, out) = out.split_at_mut(head);
    padded_block(&f, &x[..head], g.part(0, head), out_head);
    let (x, g) = (&x[head..], g.part(head, x.len() - head));
    let (full, rest) = x.as_chunks::<L>();
    let (out_full, out_rest) = out.as_chunks_mut::<L>();
    for (i, (x, out)) in full.iter().zip(out_full).enumerate() {
        f.block(x, g.slice().map(|g| &g.as_chunks::<L>().0[i]), out);
    }
    padded_block(&f, rest, g.part(x.len() - rest.len(), rest.len()), out_rest);
}

const CACHE_LINE: usize = 64;
/// Below this length an extra block for the alignment costs more than unaligned stores do.
const SHORT: usize = 1024;

/// A block of fewer than `L` elements.
#[inline(always)]
fn padded_block<T: Copy + Default, const L: usize, F: Block<T, L>, G: Factor<T>>(
    f: &F,
    x: &[T],
    g: G,
    out: &mut [MaybeUninit<T>],
) {
    if x.is_empty() {
        return;
    }
    let pad = |from: &[T]| {
        let mut padded = [T::default(); L];
        padded[..from.len()].copy_from_slice(from);
        padded
    };
    let mut results = [MaybeUninit::uninit(); L];
    f.block(&pad(x), g.slice().map(pad).as_ref(), &mut results);
    out.copy_from_slice(&results[..x.len()]);
}

struct InF32<F>(F);
struct InF64<F>(F);
struct InHalf<F>(F);

impl<F: Family> Block<f32, LANES> for InF32<F> {
    #[inline(always)]
    fn block(&self, x: &[f32; LANES], g: Option<&[f32; LANES]>, out: &mut [MaybeUninit<f32>; LANES]) {
        let mut y = self.0.eval(F32::load(x));
        if let Some(g) = g {
            y = F32::load(g) * y;
        }
        y.store(out)
    }
}

impl<F: Family> Block<f64, LANES_F64> for InF64<F> {
    #[inline(always)]
    fn block(
        &self,
        x: &[f64; LANES_F64],
        g: Option<&[f64; LANES_F64]>,
        out: &mut [MaybeUninit<f64>; LANES_F64],
    ) {
        let mut y = self.0.eval(F64::load(x));
        if let Some(g) = g {
            y = F64::load(g) * y;
        }
        y.store(out)
    }
}

impl<F: Family, T: Narrow> Block<T, LANES> for InHalf<F> {
    #[inline(always)]
    fn block(&self, x: &[T; LANES], g: Option<&[T; LANES]>, out: &mut [MaybeUninit<T>; LANES]) {
        let f = self.0;
        let Quick {
            mut value,
            mut magnitude,
        } = f.quick(F32::widen(x));
        if let Some(g) = g {
            let g = F32::widen(g);
            value = value * g;
            magnitude = magnitude * g.abs();
        }
        let error = F32::lit(F::QUICK_ERROR);
        let (low, high) = ((-magnitude).fma(error, value), magnitude.fma(error, value));
        for part in 0..LANES / LANES_F64 {
            let start = part * LANES_F64;
            let mut certain = true;
            for i in start / 16..(start + LANES_F64) / 16 {
                // SAFETY: only `WithSimd` for V4 gets here, which has the instructions; the array has `CHAINS` times 16 elements.
                certain &=
                    unsafe { T::round_interval(low.0[i], high.0[i], out.as_mut_ptr().add(16 * i).cast()) };
            }
            if !certain {
                let widen =
                    |from: &[T; LANES]| F64::widen(from[start..].first_chunk().expect("LANES is a multiple"));
                let mut y = f.eval(widen(x));
                if let Some(g) = g {
                    y = widen(g) * y;
                }
                y.narrow(&mut out[start..start + LANES_F64]);
            }
        }
    }
}

macro_rules! with_simd {
    ($wrapper:ident<$t:ty>, $block:ident $(, $narrow:ident)?) => {
        impl<F: Family, $($narrow: Narrow,)? G: Factor<$t>> WithSimd for $wrapper<Pass<'_, F, G, $t>> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) {
                let Pass { f, x, g, out } = self.0;
                blocks(Pass { f: $block(f), x, g, out })
            }
        }
    };
}

with_simd!(Vectors<f32>, InF32);
with_simd!(Vectors<f64>, InF64);
with_simd!(Halves<T>, InHalf, T);
