//! Operands whose rows lie side by side, and the elements of a row apart: transposed matrices, channels that come last but are
//! stored first, and the other way round.
//!
//! Element by element, each of a row is in a cache line of its own, of which the rows that follow need the rest; by then it may
//! be gone, soonest where the distance is a power of two, as only a few places in a cache are for lines that far apart. So several
//! rows are taken at a time: a tile, which reads whole lines, and of large tensors several of them on each page of memory.
//! `docs/memory-notes.md` has the figures.

use super::walk::{Source, DIRECT_MIN};
use super::CACHE_LINE;
use crate::plan::Collapsed;
use candle_core::utils::barrier_pool;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Bytes of a tile's rows that lie side by side, and columns of a tile; more of either where there are fewer of the other.
const SIDE: usize = 4 * CACHE_LINE;
const WIDTH: usize = 128;
/// Rows side by side from which on a tile pays, and the fewest in a unit of work.
const ROWS_MIN: usize = 4;
/// Rows and columns that are loaded and stored as vectors.
const SQUARE: usize = 4;

/// The memory of a tile.
#[repr(C, align(64))]
struct Tile([MaybeUninit<u8>; SIDE * WIDTH]);

impl Tile {
    const fn elements<T>() -> usize {
        SIDE * WIDTH / size_of::<T>()
    }

    fn of<T: Copy>(&mut self) -> &mut [MaybeUninit<T>] {
        const { assert!(align_of::<T>() <= align_of::<Self>()) };
        // SAFETY: so many elements fit, and may be uninitialised.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), Self::elements::<T>()) }
    }
}

/// Rows of `columns` elements that are `stride` apart; `side` rows lie side by side, then as many elsewhere.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Transposed {
    side: usize,
    columns: usize,
    stride: usize,
}

impl Transposed {
    pub(super) fn of<T>(shape: &Collapsed<1>) -> Option<Self> {
        let (columns, [stride]) = shape.inner();
        let axis = shape.dims.len().checked_sub(2)?;
        let side = shape.dims[axis];
        // Without elements there are no tiles.
        if stride <= 1 || shape.strides[0][axis] != 1 || columns == 0 || side < ROWS_MIN {
            return None;
        }
        let this = Self {
            side,
            columns,
            stride,
        };
        let (rows, width) = this.tile::<T>();
        (rows * width >= DIRECT_MIN).then_some(this)
    }

    /// Rows and columns of a tile.
    fn tile<T>(self) -> (usize, usize) {
        let tiles = self.columns.div_ceil(WIDTH);
        let line = CACHE_LINE / size_of::<T>();
        let width = self
            .columns
            .div_ceil(tiles)
            .next_multiple_of(line)
            .min(self.columns);
        ((Tile::elements::<T>() / width).min(self.side), width)
    }

    /// Elements of a unit of work, of `len`: rows of a tile, or fewer if there would not be two units for each thread.
    pub(super) fn unit<T>(self, len: usize) -> usize {
        let units = 2 * (barrier_pool().n_workers() + 1);
        let (mut rows, _) = self.tile::<T>();
        while rows >= 2 * ROWS_MIN && rows * self.columns * units > len {
            rows /= 2;
        }
        rows * self.columns
    }

    /// The elements of these rows in these columns, row after row.
    fn gather<T: Copy>(
        self,
        source: &Source<T>,
        row: usize,
        rows: usize,
        columns: Range<usize>,
        tile: &mut [MaybeUninit<T>],
    ) {
        let width = columns.len();
        let [start] = source.shape.as_ref().map_or([0], |shape| shape.row_offsets(row));
        let line = |i: usize| &source.values[start + (columns.start + i) * self.stride..][..rows];
        let whole = width / SQUARE * SQUARE;
        for i in (0..whole).step_by(SQUARE) {
            let lines: [_; SQUARE] = std::array::from_fn(|k| line(i + k).as_chunks::<SQUARE>());
            for q in 0..rows / SQUARE {
                let square = lines.map(|(chunks, _)| chunks[q]);
                for r in 0..SQUARE {
                    let to = &mut tile[(q * SQUARE + r) * width + i..][..SQUARE];
                    to.copy_from_slice(&square.map(|column| MaybeUninit::new(column[r])));
                }
            }
            for (k, (_, rest)) in lines.iter().enumerate() {
                for (r, value) in (rows / SQUARE * SQUARE..).zip(*rest) {
                    tile[r * width + i + k].write(*value);
                }
            }
        }
        for i in whole..width {
            for (r, value) in line(i).iter().enumerate() {
                tile[r * width + i].write(*value);
            }
        }
    }
}

/// As [`super::walk::runs`], where at least one of the operands has these rows.
#[inline(never)]
pub(super) fn tiles<T: Copy, const N: usize>(
    shape: Transposed,
    sources: [&Source<T>; N],
    range: Range<usize>,
    out: &mut [MaybeUninit<T>],
    kernel: impl Fn(usize, [&[T]; N], &mut [MaybeUninit<T>]),
) {
    let is_tiled = sources.map(|source| source.transposed == Some(shape));
    let Transposed { side, columns, .. } = shape;
    let (rows_max, width) = shape.tile::<T>();
    let mut blocks = [const { Tile([MaybeUninit::uninit(); SIDE * WIDTH]) }; N];
    let (mut row, end) = (range.start / columns, range.end / columns);
    while row < end {
        let rows = rows_max.min(end - row).min(side - row % side);
        for first in (0..columns).step_by(width) {
            let n = width.min(columns - first);
            for ((source, is_tiled), block) in sources.iter().zip(is_tiled).zip(&mut blocks) {
                if is_tiled {
                    shape.gather(source, row, rows, first..first + n, block.of());
                }
            }
            // A tile of whole rows is a single run.
            let (runs, run) = if n == columns { (1, rows * n) } else { (rows, n) };
            for k in 0..runs {
                let at = (row + k) * columns + first;
                let mut values = [&[][..]; N];
                for (((values, source), is_tiled), block) in
                    values.iter_mut().zip(sources).zip(is_tiled).zip(&mut blocks)
                {
                    *values = match is_tiled {
                        // SAFETY: `gather` has written rows·n elements.
                        true => unsafe { block.of()[k * run..][..run].assume_init_ref() },
                        false => source.run(at, run, block.of()),
                    };
                }
                kernel(at, values, &mut out[at - range.start..][..run]);
            }
        }
        row += rows;
    }
}
