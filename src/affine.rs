//! The fused neighbours: an activation of x·scale + shift, or of x + bias, in one pass over memory.

mod layer;
mod op;

use crate::activation::{Activation, Softplus};
use crate::op::compute_dtype;
use crate::plan::AffinePass;
use candle_core::{bail, shape::Dim, DType, Result, Tensor};
pub use layer::MishAffine;
pub(crate) use op::{backward, Operands, Request};
use op::{Bias, ScaleShift};

/// The table of fused ops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fused {
    /// mish(x·scale + shift).
    MishAffine,
    /// mish(x + bias).
    MishBias,
    /// softplus(x + bias).
    SoftplusBias,
}

impl Fused {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::MishAffine, Self::MishBias, Self::SoftplusBias];

    /// The name of the function, and the beginning of its kernels' names.
    pub fn name(self) -> &'static str {
        match self {
            Self::MishAffine => "mish_affine",
            Self::MishBias => "mish_bias",
            Self::SoftplusBias => "softplus_bias",
        }
    }

    /// What is applied to x·scale + shift.
    pub fn activation(self) -> Activation {
        match self {
            Self::MishAffine | Self::MishBias => Activation::Mish,
            Self::SoftplusBias => Activation::Softplus(Softplus::default()),
        }
    }

    /// Whether there is a scale.
    pub fn scaled(self) -> bool {
        self == Self::MishAffine
    }

    /// The name of a pass as an op, for error messages and graphs.
    pub(crate) fn pass_name(self, pass: AffinePass) -> &'static str {
        match (self, pass) {
            (_, AffinePass::Forward) => self.name(),
            (Self::MishAffine, AffinePass::Input) => "mish_affine_backward",
            (Self::MishBias, AffinePass::Input) => "mish_bias_backward",
            (Self::SoftplusBias, AffinePass::Input) => "softplus_bias_backward",
            (Self::MishAffine, AffinePass::Sums) => "mish_affine_parameters_backward",
            (Self::MishBias, AffinePass::Sums) => "mish_bias_parameters_backward",
            (Self::SoftplusBias, AffinePass::Sums) => "softplus_bias_parameters_backward",
        }
    }
}

/// Mish of `xs·scale + shift`, where `scale` and `shift` have one value per entry of `dim`: what follows a convolution
/// with batch norm in inference, in one pass over memory.
///
/// `xs` has any shape of rank 1 or more, any layout, and is f16, bf16, f32 or f64. `scale` and `shift` have the shape
/// (n,) with n the size of `dim`, any layout, and the dtype of `xs` or f32. The result is contiguous and of the shape
/// and dtype of `xs`. In 16-bit types `xs·scale + shift` is rounded once to f32, and Mish of that once to the result, but for what f32 is
/// off by (0.5014 ulp in all); in f32 and f64 Mish has the accuracy of [`mish`](crate::mish()).
///
/// Differentiable once in all three arguments; only they are kept for backward. The gradient of `xs` is one pass, those
/// of `scale` and `shift` are one more, with sums in f64 on the CPU and compensated sums on a GPU. A second derivative is
/// `BackwardNotSupported`; compose [`mish`](crate::mish()) with candle's ops for that.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// let xs = Tensor::randn(0f32, 1f32, (2, 3, 8, 8), &Device::Cpu)?;
/// let scale = Tensor::new(&[1f32, 2.0, 0.5], &Device::Cpu)?;
/// let shift = Tensor::new(&[0f32, -1.0, 0.25], &Device::Cpu)?;
/// let ys = candle_mish::mish_affine(&xs, &scale, &shift, 1)?;
/// assert_eq!(ys.dims(), xs.dims());
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// If `dim` is out of range, `scale` or `shift` has another shape, dtype or device than it should, or `xs` is of another
/// dtype than those above; and as for [`mish`](crate::mish()), if there is no memory, a storage is too short, or a GPU has too few dims.
pub fn mish_affine<D: Dim>(xs: &Tensor, scale: &Tensor, shift: &Tensor, dim: D) -> Result<Tensor> {
    let fused = Fused::MishAffine;
    let axis = dim.to_index(xs.shape(), fused.name())?;
    let scale = parameter(fused, "scale", xs, scale, axis)?;
    let shift = parameter(fused, "shift", xs, shift, axis)?;
    xs.apply_op3(&scale, &shift, ScaleShift { fused, axis })
}

/// Mish of `xs + bias`, where `bias` has one value per entry of `dim`.
///
/// Shapes, dtypes, accuracy, gradients and errors are as for [`mish_affine`].
pub fn mish_bias<D: Dim>(xs: &Tensor, bias: &Tensor, dim: D) -> Result<Tensor> {
    with_bias(Fused::MishBias, xs, bias, dim)
}

/// Softplus (β = 1, no threshold) of `xs + bias`, where `bias` has one value per entry of `dim`: the time step of Mamba
/// and of Gated DeltaNet, `softplus(dt + dt_bias)`.
///
/// Shapes, dtypes, accuracy, gradients and errors are as for [`mish_affine`].
///
/// ```
/// use candle_core::{Device, D, Tensor};
///
/// let dt = Tensor::randn(0f32, 1f32, (2, 5, 24), &Device::Cpu)?;
/// let dt_bias = Tensor::randn(0f32, 1f32, 24, &Device::Cpu)?;
/// let dt = candle_mish::softplus_bias(&dt, &dt_bias, D::Minus1)?;
/// assert_eq!(dt.dims(), &[2, 5, 24]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn softplus_bias<D: Dim>(xs: &Tensor, bias: &Tensor, dim: D) -> Result<Tensor> {
    with_bias(Fused::SoftplusBias, xs, bias, dim)
}

fn with_bias<D: Dim>(fused: Fused, xs: &Tensor, bias: &Tensor, dim: D) -> Result<Tensor> {
    let axis = dim.to_index(xs.shape(), fused.name())?;
    let bias = parameter(fused, "bias", xs, bias, axis)?;
    xs.apply_op2(&bias, Bias { fused, axis })
}

/// The parameter as the kernels take it, once it is known to fit.
fn parameter(fused: Fused, name: &str, xs: &Tensor, value: &Tensor, axis: usize) -> Result<Tensor> {
    let (op, dtype) = (fused.name(), xs.dtype());
    if compute_dtype(dtype).is_none() {
        return Err(candle_core::Error::UnsupportedDTypeForOp(dtype, op).bt());
    }
    let channels = xs.dims()[axis];
    if value.dims() != [channels] {
        bail!(
            "{op}: {name} has the shape {:?}, expected [{channels}], one value per entry of dim {axis} of xs {:?}",
            value.dims(),
            xs.dims()
        )
    }
    if value.dtype() != dtype && value.dtype() != DType::F32 {
        let expected = match dtype {
            DType::F32 => "F32".to_string(),
            _ => format!("{dtype:?} as xs, or F32"),
        };
        bail!("{op}: {name} is {:?}, expected {expected}", value.dtype())
    }
    if !value.device().same_device(xs.device()) {
        bail!(
            "{op}: {name} is on {:?}, expected {:?}, where xs is",
            value.device().location(),
            xs.device().location()
        )
    }
    // Half types read f32 parameters as they are; for f64 this is exact.
    match dtype {
        DType::F64 => value.to_dtype(dtype),
        _ => Ok(value.clone()),
    }
}
