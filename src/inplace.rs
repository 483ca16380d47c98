//! Activations that overwrite their input, for inference.

use crate::activation::{Activation, Mish, Softplus, TanhSoftplus};
use crate::cpu;
use crate::op::compute_dtype;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "metal")]
use candle_core::MetalStorage;
use candle_core::{bail, CpuStorage, InplaceOp1, Layout, Result, Tensor};

/// [`mish`](crate::mish()) in place: every element of `xs` is overwritten by its Mish. For inference.
///
/// `xs` is f16, bf16, f32 or f64 and of any layout whose elements lie apart; of the storage behind a view, only the
/// view's own elements change. Values are those of [`mish`](crate::mish()), to the bit.
///
/// **Clones and views share storage**: `xs.clone()`, `xs.detach()`, a view and what it is a view of all change with
/// `xs`. So does what another tensor's gradient graph has kept of it, which candle cannot tell. On Metal `xs.copy()`
/// shares it as well (candle 0.11.1); `xs.force_contiguous()` is a copy everywhere.
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
/// if it is of another dtype, has more elements than its storage, or, on a GPU, too many dims.
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
    if xs.dims().contains(&0) && compute_dtype(xs.dtype()).is_some() {
        // candle takes the strides of some empty tensors for an overlap.
        return Ok(());
    }
    if xs.layout().has_internal_overlap() {
        bail!(
            "{}: elements of the layout overlap, shape {:?} with strides {:?}, expected each to have a place of its own",
            op.name(),
            xs.dims(),
            xs.stride()
        )
    }
    xs.inplace_op1(&op)
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

    #[cfg(feature = "metal")]
    fn metal_fwd(&self, x: &mut MetalStorage, layout: &Layout) -> Result<()> {
        crate::metal::in_place(self.0, x, layout, self.name())
    }
}
