//! AVX-512: four vectors at a time.
//!
//! The compiler vectorises the loops of `slice.rs` for AVX-512 too. What it cannot do is to replace a division,
//! which occupies the divider for 10 cycles per 16 elements, by `vrcp14`, which the formulas allow because they
//! correct the reciprocal by a residual; nor to interleave chains of dependent instructions.

mod convert;
mod vector;

use super::slice::{quick_error, Argument, Factor, Pass};
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
trait Block<T, C, const L: usize> {
    fn block(&self, x: &[T; L], u: Option<[&[C; L]; 2]>, g: Option<&[T; L]>, out: &mut [MaybeUninit<T>; L]);
}

/// Calls `block` for every full block of output that begins on a cache line, and for copies, padded with zeros, of
/// what comes before and after.
#[inline(always)]
fn blocks<T, C, const L: usize, F, U, G>(pass: Pass<'_, F, U, G, T>)
where
    T: Copy + Default,
    C: Copy + Default,
    F: Block<T, C, L>,
    U: Argument<C>,
    G: Factor<T>,
{
    let Pass { f, x, u, g, out } = pass;
    let head = match x.len() {
        0..SHORT => 0,
        _ => out.as_ptr().align_offset(CACHE_LINE).min(x.len()),
    };
    let (out_head, out) = out.split_at_mut(head);
    padded_block(&f, &x[..head], u.part(0, head), g.part(0, head), out_head);
    let len = x.len() - head;
    let (x, u, g) = (&x[head..], u.part(head, len), g.part(head, len));
    let (full, rest) = x.as_chunks::<L>();
    let (out_full, out_rest) = out.as_chunks_mut::<L>();
    for (i, (x, out)) in full.iter().zip(out_full).enumerate() {
        let u = u.slices().map(|u| u.map(|u| &u.as_chunks::<L>().0[i]));
        f.block(x, u, g.slice().map(|g| &g.as_chunks::<L>().0[i]), out);
    }
    let start = len - rest.len();
    padded_block(
        &f,
        rest,
        u.part(start, rest.len()),
        g.part(start, rest.len()),
        out_rest,
    );
}

const CACHE_LINE: usize = 64;
/// Below this length an extra block for the alignment costs more than unaligned stores do.
const SHORT: usize = 1024;

/// A block of fewer than `L` elements.
#[inline(always)]
fn padded_block<T, C, const L: usize, F, U, G>(f: &F, x: &[T], u: U, g: G, out: &mut [MaybeUninit<T>])
where
    T: Copy + Default,
    C: Copy + Default,
    F: Block<T, C, L>,
    U: Argument<C>,
    G: Factor<T>,
{
    if x.is_empty() {
        return;
    }
    let u = u.slices().map(|u| u.map(padded::<C, L>));
    let u = u.as_ref().map(|u| u.each_ref());
    let mut results = [MaybeUninit::uninit(); L];
    f.block(&padded(x), u, g.slice().map(padded).as_ref(), &mut results);
    out.copy_from_slice(&results[..x.len()]);
}

#[inline(always)]
fn padded<T: Copy + Default, const L: usize>(from: &[T]) -> [T; L] {
    let mut padded = [T::default(); L];
    padded[..from.len()].copy_from_slice(from);
    padded
}

/// A formula over vectors of f32 or f64, and whether a derivative has the scale as a factor.
struct Full<F, const CHAINED: bool>(F);
/// The same for 16-bit types.
struct InHalf<F, const CHAINED: bool>(F);

macro_rules! full {
    ($t:ident, $vector:ident, $lanes:ident) => {
        impl<F: Family, const CHAINED: bool> Block<$t, $t, $lanes> for Full<F, CHAINED> {
            #[inline(always)]
            fn block(
                &self,
                x: &[$t; $lanes],
                u: Option<[&[$t; $lanes]; 2]>,
                g: Option<&[$t; $lanes]>,
                out: &mut [MaybeUninit<$t>; $lanes],
            ) {
                let x = $vector::load(x);
                let mut y = self.0.eval(match u {
                    Some([scale, shift]) => x.fma($vector::load(scale), $vector::load(shift)),
                    None => x,
                });
                if let Some(g) = g {
                    y = $vector::load(g) * y;
                }
                if let Some([scale, _]) = u.filter(|_| CHAINED) {
                    y = y * $vector::load(scale);
                }
                y.store(out)
            }
        }
    };
}

full!(f32, F32, LANES);
full!(f64, F64, LANES_F64);

impl<F: Family, T: Narrow, const CHAINED: bool> Block<T, f32, LANES> for InHalf<F, CHAINED> {
    #[inline(always)]
    fn block(
        &self,
        x: &[T; LANES],
        u: Option<[&[f32; LANES]; 2]>,
        g: Option<&[T; LANES]>,
        out: &mut [MaybeUninit<T>; LANES],
    ) {
        let f = self.0;
        let argument = match u {
            Some([scale, shift]) => F32::widen(x).fma(F32::load(scale), F32::load(shift)),
            None => F32::widen(x),
        };
        let Quick {
            mut value,
            mut magnitude,
        } = f.quick(argument);
        if let Some(g) = g {
            let g = F32::widen(g);
            value = value * g;
            magnitude = magnitude * g.abs();
        }
        let chain = u.filter(|_| CHAINED).map(|[scale, _]| scale);
        if let Some(scale) = chain.map(F32::load) {
            value = value * scale;
            magnitude = magnitude * scale.abs();
        }
        let error = F32::lit(quick_error::<F>(CHAINED));
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
                let mut y = f.eval(argument.widen_part(part));
                if let Some(g) = g {
                    y = widen(g) * y;
                }
                if let Some(scale) = chain {
                    y = y * F32::load(scale).widen_part(part);
                }
                y.narrow(&mut out[start..start + LANES_F64]);
            }
        }
    }
}

macro_rules! with_simd {
    ($wrapper:ident<$t:ty, $c:ident>, $block:ident $(, $narrow:ident)?) => {
        impl<F: Family, $($narrow: Narrow,)? U: Argument<$c>, G: Factor<$t>> WithSimd for $wrapper<Pass<'_, F, U, G, $t>> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) {
                let Pass { f, x, u, g, out } = self.0;
                // A const parameter cannot be `U::CHAINED` itself.
                if U::CHAINED {
                    blocks(Pass { f: $block::<F, true>(f), x, u, g, out })
                } else {
                    blocks(Pass { f: $block::<F, false>(f), x, u, g, out })
                }
            }
        }
    };
}

with_simd!(Vectors<f32, f32>, Full);
with_simd!(Vectors<f64, f64>, Full);
with_simd!(Halves<T, f32>, InHalf, T);
