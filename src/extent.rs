//! How many elements a layout has and how far it reaches: checked before anything is computed from it, as candle
//! multiplies dims and strides unchecked: `elem_count` of a broadcast to 2³² × 2³² is 0, or a panic in debug builds.

use candle_core::{bail, Layout, Result};
use std::ops::Range;

/// The number of elements, if a contiguous result of this shape fits into memory at all.
///
/// # Errors
/// If it does not. A dim of 0 is no excuse for the others, as a contiguous layout's strides are their products.
pub(crate) fn element_count(op: &'static str, layout: &Layout, size: usize) -> Result<usize> {
    let dims = layout.dims();
    let bytes = dims
        .iter()
        .try_fold(size, |product, dim| product.checked_mul(*dim.max(&1)));
    match bytes {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(dims.iter().product()),
        _ => bail!("{op}: a contiguous result of shape {dims:?} is larger than the address space"),
    }
}

/// Nothing, if every element lies within a storage of `len` elements.
///
/// # Errors
/// If one does not: `Tensor::from_storage` takes any shape for any storage.
pub(crate) fn within(op: &'static str, layout: &Layout, len: usize) -> Result<()> {
    let (dims, strides) = (layout.dims(), layout.stride());
    if dims.contains(&0) {
        return Ok(());
    }
    let last = dims
        .iter()
        .zip(strides)
        .try_fold(layout.start_offset(), |last, (dim, stride)| {
            last.checked_add((dim - 1).checked_mul(*stride)?)
        });
    if last.is_none_or(|last| last >= len) {
        let offset = layout.start_offset();
        bail!("{op}: a layout of {dims:?} with strides {strides:?} from {offset} on reaches past the storage of {len} elements")
    }
    Ok(())
}

/// Where all elements lie side by side and within a storage of `len`, where they do: what [`element_count`] and [`within`]
/// check of other layouts, in one loop, as small tensors wait for it. `None` if there are no elements.
pub(crate) fn side_by_side(layout: &Layout, len: usize) -> Option<Range<usize>> {
    let mut count = 1usize;
    for (&dim, &stride) in layout.dims().iter().zip(layout.stride()).rev() {
        if dim != 1 && stride != count {
            return None;
        }
        count = count.checked_mul(dim)?;
    }
    let start = layout.start_offset();
    let end = start.checked_add(count)?;
    (count > 0 && end <= len).then_some(start..end)
}
