//! AVX-512, in three stages.
//!
//! The compiler vectorises the loops of `slice.rs` for AVX-512 too. What it cannot do is to replace a division by
//! `vrcp14`, which the formulas allow because they correct the reciprocal by a residual; nor to run the stages of a
//! formula apart. A formula is a chain of some 110 cycles of dependent instructions, of which a core can hold a fixed
//! number, about 120 on a Zen 5, until their operands arrive. Loops over a panel that stays in L1, one per stage, shorten
//! the chain and the number of instructions that wait for it: `docs/cpu-notes.md` has the figures.

mod convert;
mod vector;

use super::argument::{Argument, Cursor, Span, Values, SPAN};
use super::round::VANISHED;
use super::slice::{quick_error, Factor, Pass};
use crate::family::Family;
use crate::formula::quick::Quick;
use crate::real::Real;
use convert::Narrow;
use pulp::{Simd, WithSimd};
use std::mem::MaybeUninit;
use vector::{store_halves, F32, F64, LANES, LANES_F64};

/// A [`Pass`] in the vector types of this file.
pub(super) struct Vectors<P>(pub(super) P);

/// As [`Vectors`], for 16-bit types: where the error of the value in f32 leaves open what it rounds to, the element is
/// evaluated in f64.
pub(super) struct Halves<P>(pub(super) P);

/// What is done to any number of vectors of `L` elements. A trait and not a closure, as a closure would not be compiled
/// for AVX-512 unless it happened to be inlined.
trait Block<T, U, const L: usize> {
    fn block(&self, x: &[[T; L]], u: U, g: Option<&[[T; L]]>, out: &mut [[MaybeUninit<T>; L]]);
}

/// Vectors between the stages of a formula: 1 KiB of L1 for each number that is kept.
const PANEL: usize = 16;
const _: () = assert!(PANEL * LANES <= SPAN);
/// Vectors of 16-bit types after which what f32 could not decide is evaluated in f64: about five elements in 4 Ki of f16,
/// where eight cost as much as one.
const HALVES: usize = 256;

/// Panels of x, g and out.
macro_rules! for_panels {
    ($size:ident, $x:ident, $g:ident, $out:ident => $body:expr) => {
        for (i, ($x, $out)) in $x.chunks($size).zip($out.chunks_mut($size)).enumerate() {
            let $g = $g.map(|g| &g[i * $size..][..$x.len()]);
            $body
        }
    };
}

/// Scale and shift of vector after vector. Most panels are in one channel, or in a table.
macro_rules! for_parameters {
    ($cursor:expr, $n:expr, $vector:ident, $lanes:expr, $u:ident, $i:ident, $parameters:ident => $body:expr) => {
        let span = $cursor.span($lanes * $n);
        if let Some(Span::Each([scale, shift])) = span {
            let (scale, shift) = (
                scale.as_chunks::<{ $lanes }>().0,
                shift.as_chunks::<{ $lanes }>().0,
            );
            for ($i, (scale, shift)) in scale.iter().zip(shift).enumerate() {
                let $parameters = [$vector::load(scale), $vector::load(shift)];
                $body;
            }
        } else {
            let same = match span {
                Some(Span::Same(same)) => Some($vector::parameters(Values::Same(same))),
                _ => None,
            };
            for $i in 0..$n {
                let $parameters = match same {
                    _ if $u::PLAIN => [$vector::lit(0.0); 2],
                    Some(same) => same,
                    None => $vector::parameters($cursor.next($lanes)),
                };
                $body;
            }
        }
    };
}

/// Calls `block` for all of the output whose vectors do not straddle cache lines, and for copies, padded with zeros, of
/// what comes before and after.
#[inline(always)]
fn blocks<T, C, const L: usize, F, U, G>(pass: Pass<'_, F, U, G, T>)
where
    T: Copy + Default,
    C: Copy,
    F: Block<T, U, L>,
    U: Argument<C>,
    G: Factor<T>,
{
    let Pass { f, x, u, g, out } = pass;
    let head = match x.len() {
        0..SHORT => 0,
        _ => out.as_ptr().align_offset(size_of::<[T; L]>()).min(x.len()),
    };
    let (out_head, out) = out.split_at_mut(head);
    padded_block(&f, &x[..head], u, g.part(0, head), out_head);
    let (x, u, g) = (&x[head..], u.skip(head), g.part(head, x.len() - head));
    let (full, rest) = x.as_chunks::<L>();
    let (out_full, out_rest) = out.as_chunks_mut::<L>();
    f.block(full, u, g.slice().map(|g| g.as_chunks().0), out_full);
    let start = x.len() - rest.len();
    padded_block(&f, rest, u.skip(start), g.part(start, rest.len()), out_rest);
}

/// Below this length an extra block for the alignment costs more than unaligned stores do.
const SHORT: usize = 1024;

/// A vector of fewer than `L` elements.
#[inline(always)]
fn padded_block<T, U: Copy, const L: usize, F, G>(f: &F, x: &[T], u: U, g: G, out: &mut [MaybeUninit<T>])
where
    T: Copy + Default,
    F: Block<T, U, L>,
    G: Factor<T>,
{
    if x.is_empty() {
        return;
    }
    let pad = |from: &[T]| {
        let mut padded = [T::default(); L];
        padded[..from.len()].copy_from_slice(from);
        [padded]
    };
    let mut results = [[MaybeUninit::uninit(); L]];
    let g = g.slice().map(pad);
    f.block(&pad(x), u, g.as_ref().map(|g| &g[..]), &mut results);
    out.copy_from_slice(&results[0][..x.len()]);
}

struct Whole<F>(F);
struct InHalf<F>(F);

macro_rules! whole {
    ($t:ident, $vector:ident, $lanes:ident) => {
        impl<F: Family, U: Argument<$t>> Block<$t, U, $lanes> for Whole<F> {
            #[inline(always)]
            fn block(
                &self,
                x: &[[$t; $lanes]],
                u: U,
                g: Option<&[[$t; $lanes]]>,
                out: &mut [[MaybeUninit<$t>; $lanes]],
                    ) {
                let f = self.0;
                let mut cursor = u.cursor();
                for_panels!(PANEL, x, g, out => {
                    let mut arguments = [MaybeUninit::uninit(); PANEL];
                    let mut scales = [MaybeUninit::uninit(); PANEL];
                    let mut exponentials = [MaybeUninit::uninit(); PANEL];
                    let mut reciprocals = [MaybeUninit::uninit(); PANEL];
                    // No closure: it would be compiled for AVX-512 only if it happened to be inlined.
                    for_parameters!(cursor, x.len(), $vector, $lanes, U, i, parameters => {
                        let mut x = $vector::load(&x[i]);
                        if !U::PLAIN {
                            let [scale, shift] = parameters;
                            x = x.fma(scale, shift);
                            arguments[i].write(x);
                            if U::CHAINED {
                                scales[i].write(scale);
                            }
                        }
                        exponentials[i].write(f.exponential(x))
                    });
                    let argument = |i: usize, x: &[$t; $lanes]| match U::PLAIN {
                        true => $vector::load(x),
                        // SAFETY: the loop before has written one for every x.
                        false => unsafe { arguments[i].assume_init() },
                    };
                    for (i, (x, r)) in x.iter().zip(&mut reciprocals).enumerate() {
                        // SAFETY: the loop before has written one for every x.
                        let e = unsafe { exponentials[i].assume_init() };
                        r.write(f.reciprocal(argument(i, x), e));
                    }
                    for (i, (x, out)) in x.iter().zip(out).enumerate() {
                        // SAFETY: as above.
                        let (e, r) = unsafe { (exponentials[i].assume_init(), reciprocals[i].assume_init()) };
                        let mut y = f.value(argument(i, x), e, r);
                        if let Some(g) = g {
                            y = $vector::load(&g[i]) * y;
                        }
                        if U::CHAINED {
                            // SAFETY: as above.
                            y = y * unsafe { scales[i].assume_init() };
                        }
                        y.store(out)
                    }
                });
            }
        }
    };
}

whole!(f32, F32, LANES);
whole!(f64, F64, LANES_F64);

impl<F: Family, T: Narrow, U: Argument<f32>> Block<T, U, LANES> for InHalf<F> {
    #[inline(always)]
    fn block(&self, x: &[[T; LANES]], u: U, g: Option<&[[T; LANES]]>, out: &mut [[MaybeUninit<T>; LANES]]) {
        let f = self.0;
        let mut cursor = u.cursor();
        let mut first = 0;
        for_panels!(HALVES, x, g, out => {
            let mut uncertain = [0; HALVES];
            let mut masks = uncertain.chunks_mut(PANEL);
            let mut any = 0;
            {
                let out = &mut *out;
                for_panels!(PANEL, x, g, out => {
                    let masks = masks.next().expect("as many as there are panels");
                    any |= in_f32::<F, T, U>(f, x, &mut cursor, g, out, masks);
                });
            }
            if any != 0 {
                let (x, g) = (x.as_flattened(), g.map(<[_]>::as_flattened));
                in_f64::<F, T, U>(f, x, u.skip(first), g, out.as_flattened_mut(), &uncertain);
            }
            first += HALVES * LANES;
        });
    }
}

/// Computes a panel in f32; sets a bit in `uncertain` where the error leaves open which 16 bits the result rounds to.
/// Returns what is set in any.
#[inline(always)]
fn in_f32<F: Family, T: Narrow, U: Argument<f32>>(
    f: F,
    x: &[[T; LANES]],
    cursor: &mut U::Cursor,
    g: Option<&[[T; LANES]]>,
    out: &mut [[MaybeUninit<T>; LANES]],
    uncertain: &mut [u16],
) -> u16 {
    let mut any = 0;
    let mut exponentials = [MaybeUninit::uninit(); PANEL];
    let mut reciprocals = [MaybeUninit::uninit(); PANEL];
    let mut scales = [MaybeUninit::uninit(); PANEL];
    for_parameters!(cursor, x.len(), F32, LANES, U, i, parameters => {
        let mut x = F32::widen(&x[i]);
        if !U::PLAIN {
            let [scale, shift] = parameters;
            x = x.fma(scale, shift);
            scales[i].write(scale);
        }
        exponentials[i].write((x, f.quick_exponential(x)))
    });
    for (e, r) in exponentials[..x.len()].iter().zip(&mut reciprocals) {
        // SAFETY: the loop before has written one for every x.
        let (x, e) = unsafe { e.assume_init() };
        r.write(f.quick_reciprocal(x, e));
    }
    for (i, (out, uncertain)) in out.iter_mut().zip(uncertain).enumerate() {
        // SAFETY: as above.
        let ((x, e), r) = unsafe { (exponentials[i].assume_init(), reciprocals[i].assume_init()) };
        let Quick { mut value, magnitude } = f.quick(x, e, r);
        let g = g.map(|g| F32::widen(&g[i]));
        let mut vanishing = 0;
        if let Some(g) = g {
            if T::WIDE {
                vanishing = value.zero_or_subnormal() & x.is_below(VANISHED);
            }
            value = value * g;
        }
        // SAFETY: as above, where there is a scale.
        let scale = U::CHAINED.then(|| unsafe { scales[i].assume_init() });
        if let Some(scale) = scale {
            value = value * scale;
        }
        if g.is_some() {
            // An infinite factor times an f(x) that underflows in f32 is NaN there, and infinite in f64.
            vanishing |= value.is_nan();
        }
        // SAFETY: only `WithSimd` for V4 gets here, which has the instructions.
        let (rounded, open) = unsafe {
            match magnitude {
                None => T::round_within_ulps::<F>(value.0, U::CHAINED),
                Some(magnitude) => {
                    let magnitude = g.map_or(magnitude, |g| magnitude * g.abs());
                    let magnitude = scale.map_or(magnitude, |scale| magnitude * scale.abs());
                    let error = F32::lit(quick_error::<F>(U::CHAINED));
                    let (low, high) = ((-magnitude).fma(error, value), magnitude.fma(error, value));
                    T::round_interval(low.0, high.0)
                }
            }
        };
        store_halves(rounded, out);
        *uncertain = vanishing | open;
        any |= *uncertain;
    }
    any
}

/// Replaces what `uncertain` has a bit for by the value in f64, rounded once.
#[inline(always)]
fn in_f64<F: Family, T: Narrow, U: Argument<f32>>(
    f: F,
    x: &[T],
    u: U,
    g: Option<&[T]>,
    out: &mut [MaybeUninit<T>],
    uncertain: &[u16; HALVES],
) {
    let (mut places, mut count) = ([0; LANES_F64], 0);
    // Most are zero: four at a time.
    for (i, masks) in uncertain.as_chunks::<4>().0.iter().enumerate() {
        let mut bits = masks
            .iter()
            .rev()
            .fold(0u64, |bits, mask| bits << 16 | *mask as u64);
        while bits != 0 {
            places[count] = 4 * LANES * i + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            count += 1;
            if count == LANES_F64 {
                replace(f, x, u, g, out, &places);
                count = 0;
            }
        }
    }
    replace(f, x, u, g, out, &places[..count]);
}

/// Evaluates up to eight elements in f64.
#[inline(always)]
fn replace<F: Family, T: Narrow, U: Argument<f32>>(
    f: F,
    x: &[T],
    u: U,
    g: Option<&[T]>,
    out: &mut [MaybeUninit<T>],
    places: &[usize],
) {
    if places.is_empty() {
        return;
    }
    let eight = |value: &dyn Fn(usize) -> f32| {
        let mut eight = [0.0; LANES_F64];
        for (to, place) in eight.iter_mut().zip(places) {
            *to = value(*place);
        }
        F64::of_singles(eight)
    };
    let mut y = f.eval(eight(&|at| {
        let x = x[at].widen();
        u.at(at).map_or(x, |[scale, shift]| x.mul_add(scale, shift))
    }));
    if let Some(g) = g {
        y = eight(&|at| g[at].widen()) * y;
    }
    if U::CHAINED {
        y = y * eight(&|at| u.at(at).map_or(1.0, |[scale, _]| scale));
    }
    for (place, y) in places.iter().zip(y.narrow::<T>()) {
        out[*place].write(y);
    }
}

macro_rules! with_simd {
    ($wrapper:ident<$t:ty, $c:ident>, $block:ident $(, $narrow:ident)?) => {
        impl<F: Family, $($narrow: Narrow,)? U: Argument<$c>, G: Factor<$t>> WithSimd for $wrapper<Pass<'_, F, U, G, $t>> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) {
                let Pass { f, x, u, g, out } = self.0;
                blocks(Pass { f: $block(f), x, u, g, out })
            }
        }
    };
}

with_simd!(Vectors<f32, f32>, Whole);
with_simd!(Vectors<f64, f64>, Whole);
with_simd!(Halves<T, f32>, InHalf, T);
