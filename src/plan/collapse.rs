//! Dims and strides with as few dims as the operands allow.

use candle_core::Layout;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Collapsed<const N: usize> {
    /// Outermost first; no dim of size 1, no two dims that every operand walks as one.
    pub(crate) dims: Vec<usize>,
    pub(crate) strides: [Vec<usize>; N],
    pub(crate) offsets: [usize; N],
}

impl<const N: usize> Collapsed<N> {
    /// Merges adjacent dims wherever one stride serves both in every operand.
    pub(crate) fn new(dims: &[usize], layouts: [&Layout; N]) -> Self {
        let mut merged = Self {
            dims: Vec::with_capacity(dims.len()),
            strides: std::array::from_fn(|_| Vec::with_capacity(dims.len())),
            offsets: layouts.map(Layout::start_offset),
        };
        for (axis, &dim) in dims.iter().enumerate() {
            if dim == 1 {
                continue;
            }
            let strides = layouts.map(|l| l.stride()[axis]);
            let last = merged.dims.len().wrapping_sub(1);
            let mergeable =
                merged.dims.last().is_some() && (0..N).all(|i| merged.strides[i][last] == strides[i] * dim);
            if mergeable {
                merged.dims[last] *= dim;
                for (of, stride) in merged.strides.iter_mut().zip(strides) {
                    of[last] = stride;
                }
            } else {
                merged.dims.push(dim);
                for (of, stride) in merged.strides.iter_mut().zip(strides) {
                    of.push(stride);
                }
            }
        }
        if merged.dims.is_empty() {
            merged.dims.push(1);
            for strides in &mut merged.strides {
                strides.push(1);
            }
        }
        merged
    }

    /// The innermost dim: its length and the stride of each operand.
    pub(crate) fn inner(&self) -> (usize, [usize; N]) {
        let last = self.dims.len() - 1;
        (self.dims[last], std::array::from_fn(|i| self.strides[i][last]))
    }

    /// Where each operand has the first element of the `row`th run of the innermost dim.
    pub(crate) fn row_offsets(&self, mut row: usize) -> [usize; N] {
        let mut offsets = self.offsets;
        for axis in (0..self.dims.len() - 1).rev() {
            let index = row % self.dims[axis];
            row /= self.dims[axis];
            for (i, offset) in offsets.iter_mut().enumerate() {
                *offset += index * self.strides[i][axis];
            }
        }
        offsets
    }
}
