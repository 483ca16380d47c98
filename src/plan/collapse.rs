//! Dims and strides with as few dims as the operands allow.

use candle_core::Layout;

/// The same elements with the dims of largest stride first: for an op in place, which may take them in any order.
pub(crate) fn by_stride(layout: &Layout) -> Layout {
    let mut order: Vec<usize> = (0..layout.dims().len()).collect();
    order.sort_by_key(|&d| std::cmp::Reverse(layout.stride()[d]));
    let of = |values: &[usize]| -> Vec<usize> { order.iter().map(|&d| values[d]).collect() };
    Layout::new(
        of(layout.dims()).into(),
        of(layout.stride()),
        layout.start_offset(),
    )
}

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

    /// The runs of the innermost dim from this one on.
    pub(crate) fn rows(&self, row: usize) -> Rows<'_, N> {
        let mut rows = Rows {
            shape: self,
            row,
            column: 0,
            offsets: self.row_offsets(row),
        };
        rows.column = row % rows.side();
        rows
    }
}

/// Walks along the runs of the innermost dim. Within the second innermost, a step is an addition: divisions would cost
/// more than a short run.
pub(crate) struct Rows<'a, const N: usize> {
    shape: &'a Collapsed<N>,
    row: usize,
    /// The index in the second innermost dim.
    column: usize,
    offsets: [usize; N],
}

impl<const N: usize> Rows<'_, N> {
    /// The second innermost dim.
    fn side(&self) -> usize {
        match self.shape.dims.len() {
            1 => 1,
            rank => self.shape.dims[rank - 2],
        }
    }

    pub(crate) fn offsets(&self) -> [usize; N] {
        self.offsets
    }

    pub(crate) fn advance(&mut self) {
        self.row += 1;
        self.column += 1;
        if self.column < self.side() {
            let axis = self.shape.dims.len() - 2;
            for (offset, strides) in self.offsets.iter_mut().zip(&self.shape.strides) {
                *offset += strides[axis];
            }
        } else {
            self.column = 0;
            self.offsets = self.shape.row_offsets(self.row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Shape;

    fn layout(dims: &[usize], strides: &[usize], offset: usize) -> Layout {
        Layout::new(Shape::from(dims), strides.to_vec(), offset)
    }

    fn collapse<const N: usize>(layouts: [&Layout; N]) -> (Vec<usize>, [Vec<usize>; N]) {
        let collapsed = Collapsed::new(layouts[0].dims(), layouts);
        (collapsed.dims, collapsed.strides)
    }

    #[test]
    fn contiguous_is_one_dim() {
        for dims in [&[2, 3, 4, 5][..], &[120], &[1, 120, 1], &[2, 1, 60]] {
            let x = Layout::contiguous(dims);
            assert_eq!(collapse([&x]), (vec![120], [vec![1]]));
            assert_eq!(collapse([&x, &x]), (vec![120], [vec![1], vec![1]]));
        }
        for dims in [&[][..], &[1], &[1, 1]] {
            assert_eq!(collapse([&Layout::contiguous(dims)]), (vec![1], [vec![1]]));
        }
    }

    #[test]
    fn dims_merge_only_where_one_stride_serves_both() {
        // A narrowed last dim, a transposition, a broadcast first, a broadcast last dim.
        assert_eq!(
            collapse([&layout(&[2, 3, 4], &[30, 10, 1], 7)]),
            (vec![6, 4], [vec![10, 1]])
        );
        assert_eq!(
            collapse([&layout(&[2, 3, 4], &[12, 1, 3], 0)]),
            (vec![2, 3, 4], [vec![12, 1, 3]])
        );
        assert_eq!(
            collapse([&layout(&[2, 3, 4], &[0, 4, 1], 0)]),
            (vec![2, 12], [vec![0, 1]])
        );
        assert_eq!(
            collapse([&layout(&[2, 3, 4], &[1, 0, 0], 0)]),
            (vec![2, 12], [vec![1, 0]])
        );
        // The same stride twice is no run.
        assert_eq!(
            collapse([&layout(&[3, 4], &[1, 1], 0)]),
            (vec![3, 4], [vec![1, 1]])
        );
    }

    #[test]
    fn in_place_a_transposed_tensor_is_one_run() {
        let x = layout(&[4, 2, 3], &[1, 12, 4], 5);
        assert_eq!(collapse([&by_stride(&x)]), (vec![24], [vec![1]]));
    }

    #[test]
    fn every_operand_has_a_say() {
        let (x, g) = (Layout::contiguous((2, 3, 4)), layout(&[2, 3, 4], &[0, 4, 1], 5));
        assert_eq!(collapse([&x, &g]), (vec![2, 12], [vec![12, 1], vec![0, 1]]));
        let g = layout(&[2, 3, 4], &[1, 2, 6], 0);
        assert_eq!(
            collapse([&x, &g]),
            (vec![2, 3, 4], [vec![12, 4, 1], vec![1, 2, 6]])
        );
    }
}
