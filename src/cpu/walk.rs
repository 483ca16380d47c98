//! From any layout to contiguous runs: the kernels only ever see slices.

use super::output;
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
    values: &'a [T],
    /// Where elements are among the values; none where the values are the elements, as small tensors wait for the
    /// memory that it takes.
    shape: Option<Collapsed<1>>,
}

impl<'a, T: Copy> Source<'a, T> {
    /// # Errors
    /// If the layout reaches past the values.
    pub(super) fn new(op: &'static str, values: &'a [T], layout: &Layout) -> Result<Self> {
        if let Some(direct) = side_by_side(layout, values.len()) {
            let values = &values[direct];
            return Ok(Self { values, shape: None });
        }
        within(op, layout, values.len())?;
        let shape = Some(Collapsed::new(layout.dims(), [layout]));
        Ok(Self { values, shape })
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
        let gathered = output::collect(op, n, None, |_, range, out| {
            unary(self, range, out, |_, values, out| {
                for (to, value) in out.iter_mut().zip(values) {
                    to.write(*value);
                }
            })
        });
        gathered.map(Cow::Owned)
    }
}

/// Calls `kernel` with positions and slices of input and output that together cover positions `range` of the output.
pub(super) fn unary<T: Copy>(
    x: &Source<T>,
    range: Range<usize>,
    out: &mut [MaybeUninit<T>],
    kernel: impl Fn(usize, &[T], &mut [MaybeUninit<T>]),
) {
    let mut block = [MaybeUninit::uninit(); BLOCK];
    let mut at = range.start;
    while at < range.end {
        let n = step(x.direct(at), range.end - at);
        kernel(at, x.run(at, n, &mut block), &mut out[at - range.start..][..n]);
        at += n;
    }
}

/// As [`unary`], for two operands.
pub(super) fn binary<T: Copy>(
    [x, g]: [&Source<T>; 2],
    range: Range<usize>,
    out: &mut [MaybeUninit<T>],
    kernel: impl Fn(usize, &[T], &[T], &mut [MaybeUninit<T>]),
) {
    let mut blocks = [[MaybeUninit::uninit(); BLOCK]; 2];
    let [x_block, g_block] = &mut blocks;
    let mut at = range.start;
    while at < range.end {
        let n = step(x.direct(at).min(g.direct(at)), range.end - at);
        let (x, g) = (x.run(at, n, x_block), g.run(at, n, g_block));
        kernel(at, x, g, &mut out[at - range.start..][..n]);
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
