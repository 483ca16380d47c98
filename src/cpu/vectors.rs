//! Kernels over vectors of AVX-512 or AVX2: formulas in stages (`stages.rs`), or polynomials that are looked up
//! (`interpolated.rs`).

pub(super) mod avx2;
pub(super) mod avx512;
mod interpolated;
mod lookup;
mod stages;
mod vector;

use super::argument::Argument;
use super::isa::{Access, Isa};
use super::operand::{Input, Operand};
use super::placement::to_first_vector;
use super::prefetch::{prefetch, AHEAD, AHEAD_IN_PLACE};
use super::slice::Pass;
use super::{CACHE_LINE, UNIT};
use core::arch::x86_64::_mm_sfence;
pub(super) use interpolated::Interpolated;
pub(super) use stages::{Exact, Quick, Staged};
use std::mem::MaybeUninit;
pub(super) use vector::{Element, Vector};

/// A [`Pass`] over vectors.
pub(super) struct Blocks<'a, T, B, U, X, G> {
    pub(super) block: B,
    pub(super) pass: Pass<'a, (), U, X, G, T>,
    pub(super) isa: Isa,
}

/// Scale and shift of vector after vector: most panels are in one channel, or in a table.
macro_rules! for_parameters {
    ($cursor:expr, $n:expr, $t:ident, $lanes:ident, $u:ident, $i:ident, $parameters:ident => $body:expr) => {
        let mut done = 0;
        while done < $n {
            let (count, values) = $cursor.alike($n - done, $lanes);
            let count = count.min($n - done);
            match values {
                Values::Each([scale, shift]) if !$u::PLAIN => {
                    let scale = &scale.as_chunks::<{ $lanes }>().0[..count];
                    let shift = &shift.as_chunks::<{ $lanes }>().0[..count];
                    for k in 0..count {
                        let $i = done + k;
                        let $parameters = [Vector::load(&scale[k]), Vector::load(&shift[k])];
                        $body;
                    }
                }
                _ => {
                    let $parameters = match $u::PLAIN {
                        true => [<$t as Element<$lanes>>::Vector::lit(0.0); 2],
                        false => <$t as Element<$lanes>>::Vector::parameters(values),
                    };
                    for $i in done..done + count {
                        $body;
                    }
                }
            }
            done += count;
        }
    };
}

use for_parameters;

/// What is compiled for an instruction set, over vectors of `L` elements.
pub(super) trait Run<const L: usize> {
    fn run(self);
}

/// What is done with whole vectors.
pub(super) trait Block<T: Element<L>, const L: usize>: Copy {
    /// Without x, what `out` holds takes its place. If it `PREFETCHES`, operands are asked for ahead of their use; if it
    /// `STREAMS`, vectors have to be aligned.
    fn run<U: Argument<T::Compute>, const PREFETCHES: bool, const STREAMS: bool>(
        self,
        x: Option<&[[T; L]]>,
        u: U,
        g: Option<&[[T; L]]>,
        out: &mut [[MaybeUninit<T>; L]],
    );
}

impl<T, B, U, X, G, const L: usize> Run<L> for Blocks<'_, T, B, U, X, G>
where
    T: Element<L>,
    B: Block<T, L>,
    U: Argument<T::Compute>,
    X: Input<T>,
    G: Operand<T>,
{
    /// Calls [`Block::run`] for all of the output whose vectors do not straddle cache lines, or for all of its vectors where it is
    /// short, and for copies, padded with zeros, of what comes before and after.
    #[inline(always)]
    fn run(self) {
        let Self { block, pass, isa } = self;
        let Pass { x, u, g, out, .. } = pass;
        let len = out.len();
        let head = match isa.access {
            Access::Plain if size_of_val(out) < short::<[T; L]>(isa) => 0,
            _ if size_of::<[T; L]>() == CACHE_LINE => {
                let counts = U::PLAIN && size_of_val(out) >= LONG;
                let x = x.slice().filter(|_| counts).map(<[T]>::as_ptr);
                to_first_vector(isa, x, out.as_ptr()).min(len)
            }
            _ => out.as_ptr().align_offset(size_of::<[T; L]>()).min(len),
        };
        let (out_head, out) = out.split_at_mut(head);
        padded_block(block, x.part(0, head), u, g.part(0, head), out_head);
        let (x, u, g) = (x.part(head, len - head), u.skip(head), g.part(head, len - head));
        let (full, rest) = out.as_chunks_mut::<L>();
        let start = full.len() * L;
        let (x_full, g_full) = (
            x.slice().map(|x| x.as_chunks().0),
            g.slice().map(|g| g.as_chunks().0),
        );
        match isa.access {
            Access::Ahead if x_full.is_some() => block.run::<_, true, false>(x_full, u, g_full, full),
            Access::Streaming if x_full.is_some() => {
                block.run::<_, true, true>(x_full, u, g_full, full);
                // SAFETY: every x86-64 processor has it. Stores past the caches are in no order with others before this.
                unsafe { _mm_sfence() };
            }
            // In place, too: what is prefetched there are outputs.
            _ => block.run::<_, false, false>(x_full, u, g_full, full),
        }
        let n = rest.len();
        padded_block(block, x.part(start, n), u.skip(start), g.part(start, n), rest);
    }
}

/// Bytes of a unit of f32. What is shorter is a part of one, whose neighbours begin where a line does.
const LONG: usize = UNIT * size_of::<f32>();

/// Below so many bytes the extra blocks for the alignment cost more than unaligned stores do: all of which straddle two cache
/// lines if a vector is as long as a line, one of two if it is half as long. Units of large outputs are shorter, but their
/// stores may have to be aligned.
#[inline(always)]
fn short<V>(isa: Isa) -> usize {
    match size_of::<V>() {
        CACHE_LINE if !isa.in_halves => 4 * 1024,
        _ => 32 * 1024,
    }
}

/// A vector of fewer than `L` elements.
#[inline(always)]
fn padded_block<T, B, U, X, G, const L: usize>(block: B, x: X, u: U, g: G, out: &mut [MaybeUninit<T>])
where
    T: Element<L>,
    B: Block<T, L>,
    U: Argument<T::Compute>,
    X: Input<T>,
    G: Operand<T>,
{
    if out.is_empty() {
        return;
    }
    let pad = |from: &[T]| {
        let mut padded = [T::default(); L];
        padded[..from.len()].copy_from_slice(from);
        [padded]
    };
    let mut results = [[MaybeUninit::uninit(); L]];
    let (x, g) = (pad(x.read(out)), g.slice().map(pad));
    block.run::<_, false, false>(Some(&x), u, g.as_ref().map(|g| &g[..]), &mut results);
    out.copy_from_slice(&results[0][..out.len()]);
}

/// How many vectors the `panel`th panel of up to `vectors` has, of which `out` is the output, and x and g of them, of which as
/// much is asked for ahead if it `prefetches`.
#[inline(always)]
fn part<'a, T, const L: usize>(
    vectors: usize,
    prefetches: bool,
    panel: usize,
    x: Option<&'a [[T; L]]>,
    g: Option<&'a [[T; L]]>,
    out: &[[MaybeUninit<T>; L]],
) -> (usize, [Option<&'a [[T; L]]>; 2]) {
    let n = out.len();
    // What `chunks_mut` does not tell the compiler.
    assert!(n <= vectors);
    if x.is_none() {
        prefetch(out, AHEAD_IN_PLACE);
    }
    let of_panel = |all: &'a [[T; L]]| {
        let of_panel = &all[panel * vectors..][..n];
        if prefetches {
            prefetch(of_panel, AHEAD);
        }
        of_panel
    };
    (n, [x.map(of_panel), g.map(of_panel)])
}

/// The `i`th x, or what `out` holds in its place.
///
/// # Safety
/// Without x, `out` has to be initialised: see `InPlace`.
#[inline(always)]
unsafe fn load<T: Element<L>, const L: usize>(
    x: Option<&[[T; L]]>,
    out: &[[MaybeUninit<T>; L]],
    i: usize,
) -> T::Vector {
    T::load(match x {
        Some(x) => &x[i],
        // SAFETY: the caller answers for it.
        None => unsafe { &*(&raw const out[i]).cast() },
    })
}
