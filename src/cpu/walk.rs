//! From any layout to contiguous runs: the kernels only ever see slices.

use super::output;
use crate::extent::within;
use crate::plan::Collapsed;
use candle_core::{Layout, Result};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Runs at least this long go to the kernel as they are; shorter ones are gathered into blocks first.
pub(super) const DIRECT_MIN: usize = 256;
/// Elements gathered at a time: 2 operands of f64 take 8 KiB of stack and stay in L1.
const BLOCK: usize = 512;

/// Calls `kernel` with slices of input and output that together cover positions `range` of the output.
pub(super) fn unary<T: Copy>(
    x: &[T],
    shape: &Collapsed<1>,
    range: Range<usize>,
    out: &mut [MaybeUninit<T>],
    kernel: impl Fn(&[T], &mut [MaybeUninit<T>]),
) {
    let (len, [stride]) = shape.inner();
    if stride == 1 && (len >= DIRECT_MIN || shape.dims.len() == 1) {
        for_runs(shape, range, |[at], done, n| {
            kernel(&x[at..at + n], &mut out[done..done + n]);
        });
    } else {
        let mut block = [MaybeUninit::uninit(); BLOCK];
        for (start, out) in (range.start..).step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
            kernel(gather(x, shape, 0, start, out.len(), &mut block), out);
        }
    }
}

/// As [`unary`], for two operands.
pub(super) fn binary<T: Copy>(
    [x, g]: [&[T]; 2],
    shape: &Collapsed<2>,
    range: Range<usize>,
    out: &mut [MaybeUninit<T>],
    kernel: impl Fn(&[T], &[T], &mut [MaybeUninit<T>]),
) {
    let (len, strides) = shape.inner();
    if strides == [1, 1] && (len >= DIRECT_MIN || shape.dims.len() == 1) {
        for_runs(shape, range, |[at_x, at_g], done, n| {
            kernel(&x[at_x..at_x + n], &g[at_g..at_g + n], &mut out[done..done + n]);
        });
    } else {
        let mut blocks = [[MaybeUninit::uninit(); BLOCK]; 2];
        let [block_x, block_g] = &mut blocks;
        for (start, out) in (range.start..).step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let x = gather(x, shape, 0, start, out.len(), block_x);
            let g = gather(g, shape, 1, start, out.len(), block_g);
            kernel(x, g, out);
        }
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
    let mut at = range.start;
    while at < range.end {
        let (row, column) = (at / len, at % len);
        let n = (len - column).min(range.end - at);
        let mut offsets = shape.row_offsets(row);
        for (offset, stride) in offsets.iter_mut().zip(strides) {
            *offset += column * stride;
        }
        each(offsets, at - range.start, n);
        at += n;
    }
}

/// The `n` elements of one operand from position `start` on, contiguous.
fn gather<'a, T: Copy, const N: usize>(
    from: &'a [T],
    shape: &Collapsed<N>,
    operand: usize,
    start: usize,
    n: usize,
    block: &'a mut [MaybeUninit<T>],
) -> &'a [T] {
    let stride = shape.inner().1[operand];
    for_runs(shape, start..start + n, |offsets, done, n| {
        let at = offsets[operand];
        let run = &mut block[done..done + n];
        match stride {
            0 => run.fill(MaybeUninit::new(from[at])),
            _ => {
                for (to, value) in run.iter_mut().zip(from[at..].iter().step_by(stride)) {
                    to.write(*value);
                }
            }
        }
    });
    // SAFETY: the runs of `for_runs` cover start..start + n, so the first n elements have been written.
    unsafe { std::slice::from_raw_parts(block.as_ptr().cast(), n) }
}

/// One operand, whose elements are taken by their position.
pub(super) struct Source<'a, T> {
    values: &'a [T],
    shape: Collapsed<1>,
}

impl<'a, T: Copy> Source<'a, T> {
    pub(super) fn new(op: &'static str, values: &'a [T], layout: &Layout) -> Result<Self> {
        within(op, layout, values.len())?;
        let shape = Collapsed::new(layout.dims(), [layout]);
        Ok(Self { values, shape })
    }

    /// The `n` elements from position `start` on: where they lie, or gathered into `block`, which has room for them.
    pub(super) fn run<'b>(&'b self, start: usize, n: usize, block: &'b mut [MaybeUninit<T>]) -> &'b [T] {
        let (len, [stride]) = self.shape.inner();
        let column = start % len;
        if stride == 1 && column + n <= len {
            let [row] = self.shape.row_offsets(start / len);
            return &self.values[row + column..row + column + n];
        }
        gather(self.values, &self.shape, 0, start, n, block)
    }

    pub(super) fn to_vec(&self, op: &'static str) -> Result<Vec<T>>
    where
        T: Send + Sync,
    {
        let n = self.shape.dims.iter().product();
        output::collect(op, n, |range, out| {
            unary(self.values, &self.shape, range, out, |values, out| {
                for (to, value) in out.iter_mut().zip(values) {
                    to.write(*value);
                }
            })
        })
    }
}
