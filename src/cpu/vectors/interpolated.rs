//! The polynomials of `piecewise.rs`, over vectors.

use super::super::argument::{Argument, Cursor, Values, SPAN};
use super::super::isa::Isa;
use super::super::piecewise::{Grid, Segmented, Segments};
use super::super::placement::behind;
use super::super::prefetch::{prefetch, AHEAD_BY_VECTOR, AHEAD_OF_STORES};
use super::lookup::Lookup;
use super::vector::{Element, Vector};
use super::{for_parameters, load, part, Block, CACHE_LINE};
use crate::family::Family;
use crate::formula::tails::tail;
use crate::real::Real;
use std::mem::MaybeUninit;

/// f⁽ᵏ⁾ by polynomials.
#[derive(Clone, Copy)]
pub(in super::super) struct Interpolated<F, T: Segmented> {
    f: F,
    /// Of F's curve.
    segments: &'static Segments<T>,
}

impl<F: Family, T: Segmented> Interpolated<F, T> {
    const GRID: Grid = Grid::of::<T>(F::CURVE);

    /// Where there are such polynomials.
    pub(in super::super) fn new(isa: Isa, f: F) -> Option<Self> {
        let segments = if f.is_moderate() {
            Segments::of(isa, F::CURVE)
        } else {
            None
        };
        Some(Self {
            f,
            segments: segments?,
        })
    }
}

/// Vectors whose segments are looked up at a time, 1 KiB: it takes until then that what has been stored can be loaded in
/// parts.
const fn vectors<T, const L: usize>() -> usize {
    1024 / size_of::<[T; L]>()
}
/// The same of the shortest vectors.
const PANEL: usize = 32;

/// Whether inputs are asked for vector by vector, in the second loop: with as many lines as a panel has at a time AVX-512 asks
/// for more than a core can wait for.
const fn by_vector<T, const L: usize>() -> bool {
    size_of::<[T; L]>() == CACHE_LINE
}

/// How many turns before theirs vectors are loaded where the output trails an input.
const EARLY: usize = 2;

/// The vectors of an input that are loaded before their turn.
#[derive(Clone, Copy)]
struct Early<V>([V; EARLY]);

impl<V: Copy> Early<V> {
    /// Takes one that has been loaded, for the one whose turn it is.
    #[inline(always)]
    fn turn(&mut self, loaded: V) -> V {
        let [this, next] = self.0;
        self.0 = [next, loaded];
        this
    }
}

/// Whether the load of one vector of an input seems to depend on the store of the one before.
#[inline(always)]
fn trails<T, const L: usize>(out: &[[MaybeUninit<T>; L]], input: Option<&[[T; L]]>) -> bool {
    let vector = size_of::<[T; L]>();
    input.is_some_and(|input| {
        let behind = behind(out.as_ptr(), input.as_ptr());
        out.len() > EARLY && behind > vector / 2 && behind < 2 * vector
    })
}

/// What is kept of a panel between its two loops.
struct Panel<T: Element<L, Vector: Lookup<L>>, const L: usize> {
    /// What f is applied to, unless it is x.
    arguments: [MaybeUninit<T::Vector>; PANEL],
    scales: [MaybeUninit<T::Vector>; PANEL],
    /// One more than vectors: the second loop loads it, but does not use it.
    numbers: [MaybeUninit<<T::Vector as Lookup<L>>::Numbers>; PANEL + 1],
}

impl<F, T, const L: usize> Block<T, L> for Interpolated<F, T>
where
    F: Family,
    T: Segmented + Element<L, Compute = T, Vector: Lookup<L>>,
{
    #[inline(always)]
    fn run<U: Argument<T>, const PREFETCHES: bool, const STREAMS: bool>(
        self,
        x: Option<&[[T; L]]>,
        u: U,
        g: Option<&[[T; L]]>,
        out: &mut [[MaybeUninit<T>; L]],
    ) {
        const { assert!(vectors::<T, L>() <= PANEL && vectors::<T, L>() * L <= SPAN) };
        let Grid { magic, ends, .. } = Self::GRID;
        let mut cursor = u.cursor();
        let vectors = vectors::<T, L>();
        let is_early = by_vector::<T, L>() && (trails(out, x) || trails(out, g));
        for (panel, out) in out.chunks_mut(vectors).enumerate() {
            let (n, [x, g]) = part(vectors, PREFETCHES && !by_vector::<T, L>(), panel, x, g, out);
            let mut panel = Panel::<T, L> {
                arguments: [MaybeUninit::uninit(); PANEL],
                scales: [MaybeUninit::uninit(); PANEL],
                numbers: [MaybeUninit::uninit(); PANEL + 1],
            };
            let mut furthest = T::Vector::nearest();
            for_parameters!(cursor, n, T, L, U, i, parameters => {
                // SAFETY: this element of `out` has not been overwritten yet.
                let mut value = unsafe { load(x, out, i) };
                if !U::PLAIN {
                    let [scale, shift] = parameters;
                    value = value.fma(scale, shift);
                    panel.arguments[i].write(value);
                    if U::CHAINED {
                        panel.scales[i].write(scale);
                    }
                }
                panel.numbers[i].write(self.f.place(value, magic).numbers(ends, &mut furthest));
            });
            panel.numbers[n].write(Default::default());
            match (is_early, T::Vector::is_beyond(furthest, ends)) {
                (false, false) => self.evaluate::<U, PREFETCHES, STREAMS, false, false, L>(&panel, x, g, out),
                (false, true) => self.evaluate::<U, PREFETCHES, STREAMS, false, true, L>(&panel, x, g, out),
                (true, false) => self.evaluate::<U, PREFETCHES, STREAMS, true, false, L>(&panel, x, g, out),
                (true, true) => self.evaluate::<U, PREFETCHES, STREAMS, true, true, L>(&panel, x, g, out),
            }
        }
    }
}

impl<F: Family, T: Segmented> Interpolated<F, T> {
    /// The second loop over a panel, in which there may be `TAILS`. Inputs are loaded in their turn, or `IS_EARLY`.
    #[inline(always)]
    fn evaluate<
        U: Argument<T>,
        const PREFETCHES: bool,
        const STREAMS: bool,
        const IS_EARLY: bool,
        const TAILS: bool,
        const L: usize,
    >(
        self,
        panel: &Panel<T, L>,
        x: Option<&[[T; L]]>,
        g: Option<&[[T; L]]>,
        out: &mut [[MaybeUninit<T>; L]],
    ) where
        T: Element<L, Compute = T, Vector: Lookup<L>>,
    {
        let Self { f, segments } = self;
        let Grid { magic, ends, .. } = Self::GRID;
        // SAFETY: the first loop has written one for every i, and one more.
        let numbers = |i: usize| unsafe { panel.numbers[i].assume_init() };
        let mut next = numbers(0);
        let last = out.len() - 1;
        let mut early = [Early([T::Vector::lit(0.0); EARLY]); 2];
        if IS_EARLY {
            for i in 0..EARLY {
                // SAFETY: as in the first loop.
                early[0].turn(unsafe { load(x, out, i.min(last)) });
                if let Some(g) = g {
                    early[1].turn(T::load(&g[i.min(last)]));
                }
            }
        }
        for i in 0..out.len() {
            let later = (i + EARLY).min(last);
            if PREFETCHES && by_vector::<T, L>() {
                // No loop over the two, which was a call, out of AVX-512.
                if let Some(x) = x {
                    prefetch(&x[i..=i], AHEAD_BY_VECTOR);
                }
                if let Some(g) = g {
                    prefetch(&g[i..=i], AHEAD_BY_VECTOR);
                }
                if !STREAMS {
                    prefetch(&out[i..=i], AHEAD_OF_STORES);
                }
            }
            // A vector early: coefficients that wait for their number hold registers, of which a core runs out.
            let current = std::mem::replace(&mut next, numbers(i + 1));
            let value = match U::PLAIN {
                // SAFETY: as in the first loop.
                true if IS_EARLY => early[0].turn(unsafe { load(x, out, later) }),
                // SAFETY: as in the first loop.
                true => unsafe { load(x, out, i) },
                // SAFETY: the first loop has written it.
                false => unsafe { panel.arguments[i].assume_init() },
            };
            let place = f.place(value, magic);
            let t = f.distance(value, place - T::Vector::lit(magic));
            // SAFETY: the numbers are of this grid.
            let polynomial = unsafe { T::Vector::polynomials(segments, current, t) };
            let mut y = f.branch(value, f.multiple(value, polynomial));
            if TAILS {
                let outside = place.outside(ends);
                if T::Vector::is_any(outside) {
                    y = T::Vector::choose(outside, tail(f, value), y);
                }
            }
            if let Some(g) = g {
                y = y * match IS_EARLY {
                    true => early[1].turn(T::load(&g[later])),
                    false => T::load(&g[i]),
                };
            }
            if U::CHAINED {
                // SAFETY: the first loop has written it.
                y = y * unsafe { panel.scales[i].assume_init() };
            }
            match STREAMS {
                true => T::stream(y, &mut out[i]),
                false => T::store(y, &mut out[i]),
            }
        }
    }
}
