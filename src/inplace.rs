//! Activations that overwrite their input, for inference.

use crate::activation::{Activation, Mish, Softplus, TanhSoftplus};
use crate::cpu;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{bail, CpuStorage, InplaceOp1, Layout, Result, Tensor};

/// [`mish`](crate::mish()) in place: every element of `xs` is overwritten by its Mish. For inference.
///
/// `xs` is f16, bf16, f32 or f64 and of any layout whose elements lie apart; of the storage behind a view, only the
/// view's own elements change. Values are those of [`mish`](crate::mish()), to the bit.
///
/// **Clones and views share storage**: `xs.clone()`, `xs.detach()`, a view and what it is a view of all change with
/// `xs`. So does what another tensor's gradient graph has kept of it, which candle cannot tell.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// let xs = Tensor::randn(0f32, 1f32, (2, 3), &Device::Cpu)?;
/// let ys = candle_mish::mish(&xs)?;
/// candle_mish::mish_inplace(&xs)?;
/// assert_eq!(xs.to_vec2::<f32>()?, ys.to_vec2::<f32>()?);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// With `xs` unchanged: if it is a variable or depends on one, if elements overlap (as those of a broadcast view do),
/// or if it is of another dtype.
pub fn mish_inplace(xs: &Tensor) -> Result<()> {
    apply(Mish.into(), xs)
}

/// [`softplus`](crate::softplus()) in place, as [`mish_inplace`].
pub fn softplus_inplace(xs: &Tensor) -> Result<()> {
    apply(Softplus::default().into(), xs)
}

/// [`tanh_softplus`](crate::tanh_softplus()) in place, as [`mish_inplace`].
pub fn tanh_softplus_inplace(xs: &Tensor) -> Result<()> {
    apply(TanhSoftplus.into(), xs)
}

fn apply(activation: Activation, xs: &Tensor) -> Result<()> {
    let op = InPlace(activation);
    if xs.track_op() {
        let what = if xs.is_variable() {
            "a variable"
        } else {
            "part of a gradient graph"
        };
        bail!(
            "{}: the tensor is {what}, expected one that no gradient depends on; use {activation} instead",
            op.name()
        )
    }
    if overlaps(xs.layout()) {
        bail!(
            "{}: elements of the layout overlap, shape {:?} with strides {:?}, expected each to have a place of its own",
            op.name(),
            xs.dims(),
            xs.stride()
        )
    }
    xs.inplace_op1(&op)
}

/// Whether two elements may share a place: whether, with dims sorted by stride, one does not reach beyond all smaller
/// ones. Every view that candle can make of a tensor without overlaps passes.
fn overlaps(layout: &Layout) -> bool {
    if layout.shape().elem_count() == 0 {
        return false;
    }
    let dims = layout.dims().iter().zip(layout.stride());
    let mut dims: Vec<_> = dims.filter(|(dim, _)| **dim > 1).collect();
    dims.sort_by_key(|(_, stride)| **stride);
    let mut reach = 0;
    dims.into_iter().any(|(dim, stride)| {
        let overlaps = *stride <= reach;
        reach += (dim - 1) * stride;
        overlaps
    })
}

struct InPlace(Activation);

impl InplaceOp1 for InPlace {
    fn name(&self) -> &'static str {
        match self.0 {
            Activation::Mish => "mish_inplace",
            Activation::Softplus(_) => "softplus_inplace",
            Activation::TanhSoftplus => "tanh_softplus_inplace",
        }
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> Result<()> {
        cpu::in_place(self.0, x, layout, self.name())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &mut CudaStorage, layout: &Layout) -> Result<()> {
        crate::cuda::in_place(self.0, x, layout, self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Shape;

    #[test]
    fn overlaps_are_found() {
        let overlaps = |dims: &[usize], strides: &[usize]| {
            overlaps(&Layout::new(Shape::from(dims), strides.to_vec(), 3))
        };
        for (dims, strides) in [
            (&[][..], &[][..]),
            (&[4], &[1]),
            (&[4, 5], &[5, 1]),
            (&[4, 5], &[1, 4]),
            (&[4, 5], &[20, 2]),
            (&[2, 1, 3], &[3, 0, 1]),
            (&[0, 5], &[0, 0]),
        ] {
            assert!(!overlaps(dims, strides), "{dims:?} {strides:?}");
        }
        for (dims, strides) in [
            (&[2][..], &[0][..]),
            (&[4, 5], &[0, 1]),
            (&[4, 5], &[4, 1]),
            (&[3, 3], &[1, 1]),
            (&[2, 3], &[1, 1]),
        ] {
            assert!(overlaps(dims, strides), "{dims:?} {strides:?}");
        }
    }
}
