//! From any layout to contiguous runs: the kernels only ever see slices.

use super::output::{self, Units};
use super::transposed::{tiles, Transposed};
use crate::extent::{side_by_side, within};
use crate::plan::Collapsed;
use candle_core::{Layout, Result};
use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Runs at least this long go to the kernel as they are; shorter ones are gathered into blocks first.
pub(super) const DIRECT_MIN: usize = 256;
/// Elements gathered at a time: 2 operands of f64 take 8 KiB of stack and stay in L1.
const BLOCK: usize = 512;

/// One operand, whose elements are taken by their position.
pub(super) struct Source<'a, T> {
    pub(super) values: &'a [T],
    /// Where elements are among the values; none where the values are the elements, as small tensors wait for the
    /// memory that it takes.
    pub(super) shape: Option<Collapsed<1>>,
    /// Whether the elements of a row lie apart, and rows side by side.
    pub(super) transposed: Option<Transposed>,
}

impl<'a, T: Copy> Source<'a, T> {
    /// # Errors
    /// If the layout reaches past the values.
    pub(super) fn new(op: &'static str, values: &'a [T], layout: &Layout) -> Result<Self> {
        if let Some(direct) = side_by_side(layout, values.len()) {
            let values = &values[direct];
            return Ok(Self {
                values,
                shape: None,
                transposed: None,
            });
        }
        within(op, layout, values.len())?;
        let shape = Collapsed::new(layout.dims(), [layout]);
        Ok(Self {
            values,
            transposed: Transposed::of::<T>(&shape),
            shape: Some(shape),
        })
    }

    /// How many elements from position `start` on lie side by side.
    fn direct(&self, start: usize) -> usize {
        match self.shape.as_ref().map(Collapsed::inner) {
            None => self.values.len() - start,
            Some((len, [1])) => len - start % len,
            Some(_) => 0,
        }
    }

    /// The `n` elements from position `start` on: where they lie, or gathered into `block`, which has room for them.
    pub(super) fn run<'b>(&'b self, start: usize, n: usize, block: &'b mut [MaybeUninit<T>]) -> &'b [T] {
        let Some(shape) = &self.shape else {
            return &self.values[start..start + n];
        };
        let (len, [stride]) = shape.inner();
        if n <= self.direct(start) {
            let [row] = shape.row_offsets(start / len);
            let at = row + start % len;
            return &self.values[at..at + n];
        }
        for_runs(shape, start..start + n, |[at], done, n| {
            let run = &mut block[done..done + n];
            match stride {
                0 => run.fill(MaybeUninit::new(self.values[at])),
                1 => {
                    for (to, value) in run.iter_mut().zip(&self.values[at..at + n]) {
                        to.write(*value);
                    }
                }
                _ => {
                    for (to, value) in run.iter_mut().zip(self.values[at..].iter().step_by(stride)) {
                        to.write(*value);
                    }
                }
            }
        });
        // SAFETY: the runs of `for_runs` cover start..start + n, so the first n elements have been written.
        unsafe { std::slice::from_raw_parts(block.as_ptr().cast(), n) }
    }

    /// All elements: where they lie, or gathered.
    pub(super) fn values(&self, op: &'static str) -> Result<Cow<'a, [T]>>
    where
        T: Send + Sync,
    {
        let Some(shape) = &self.shape else {
            return Ok(Cow::Borrowed(self.values));
        };
        let n = shape.dims.iter().product();
        let gathered = output::collect(op, n, units([self], n), |_, range, out| {
            runs([self], range, out, |_, [values], out| {
                for (to, value) in out.iter_mut().zip(values) {
                    to.write(*value);
                }
            })
        });
        gathered.map(Cow::Owned)
    }
}

/// How the output of an op on these operands is to be divided, so that [`runs`] gets whole rows of what is transposed.
pub(super) fn units<T: Copy, const N: usize>(sources: [&Source<T>; N], len: usize) -> Units<T> {
    match sources.iter().find_map(|source| source.transposed) {
        Some(rows) => Units::Rows(rows.unit::<T>(len)),
        None => Units::Vectors(None),
    }
}

/// Calls `kernel` with positions and slices of inputs and output that together cover positions `range` of the output, which has to
/// be a unit of [`units`], or everything.
pub(super) fn runs<T: Copy, const N: usize>(
    sources: [&Source<T>; N],
    range: Range<usize>,
    out: &mut [MaybeUninit<T>],
    kernel: impl Fn(usize, [&[T]; N], &mut [MaybeUninit<T>]),
) {
    if let Some(rows) = sources.iter().find_map(|source| source.transposed) {
        return tiles(rows, sources, range, out, kernel);
    }
    let mut blocks = [[MaybeUninit::uninit(); BLOCK]; N];
    let mut at = range.start;
    while at < range.end {
        let direct = sources.iter().map(|source| source.direct(at)).min();
        let n = step(direct.unwrap_or(0), range.end - at);
        let mut values = [&[][..]; N];
        for ((values, source), block) in values.iter_mut().zip(sources).zip(&mut blocks) {
            *values = source.run(at, n, block);
        }
        kernel(at, values, &mut out[at - range.start..][..n]);
        at += n;
    }
}

/// How many elements to take of `rest`, where so many lie side by side in every operand.
fn step(direct: usize, rest: usize) -> usize {
    if direct >= DIRECT_MIN.min(rest) {
        direct.min(rest)
    } else {
        BLOCK.min(rest)
    }
}

/// Calls `each` with the operands' offsets, the number of elements done before, and the length of every run of
/// the innermost dim within `range`.
pub(super) fn for_runs<const N: usize>(
    shape: &Collapsed<N>,
    range: Range<usize>,
    mut each: impl FnMut([usize; N], usize, usize),
) {
    let (len, strides) = shape.inner();
    let mut rows = shape.rows(range.start / len);
    let (mut at, mut column) = (range.start, range.start % len);
    while at < range.end {
        let n = (len - column).min(range.end - at);
        let mut offsets = rows.offsets();
        for (offset, stride) in offsets.iter_mut().zip(strides) {
            *offset += column * stride;
        }
        each(offsets, at - range.start, n);
        rows.advance();
        (at, column) = (at + n, 0);
    }
}
