//! Scale, shift and Mish as a layer.

use super::mish_affine;
use candle_core::{bail, DType, Device, Module, Result, Tensor};
use candle_nn::BatchNorm;

/// mish(x·scale + shift) as a layer, for example batch norm in inference followed by Mish.
///
/// ```
/// use candle_core::{DType, Device, Module, ModuleT, Tensor};
/// use candle_mish::{mish, MishAffine};
/// use candle_nn::{batch_norm, VarBuilder, VarMap};
///
/// let vars = VarMap::new();
/// let norm = batch_norm(3, 1e-5, VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
/// let xs = Tensor::randn(0f32, 1f32, (2, 3, 8, 8), &Device::Cpu)?;
/// let folded = MishAffine::from_batch_norm(&norm)?.forward(&xs)?;
/// let apart = mish(&norm.forward_t(&xs, false)?)?;
/// assert!((folded - apart)?.abs()?.max_all()?.to_scalar::<f32>()? < 1e-5);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MishAffine {
    scale: Tensor,
    shift: Tensor,
    dim: usize,
}

impl MishAffine {
    /// A layer over dim `dim` of its input. `scale` and `shift` are as in [`mish_affine`].
    ///
    /// # Errors
    /// If `scale` and `shift` are not of rank 1 and equally long.
    pub fn new(scale: Tensor, shift: Tensor, dim: usize) -> Result<Self> {
        if scale.rank() != 1 || scale.dims() != shift.dims() {
            bail!(
                "mish_affine: scale has the shape {:?} and shift {:?}, expected [n] for both",
                scale.dims(),
                shift.dims()
            )
        }
        Ok(Self { scale, shift, dim })
    }

    /// Batch norm in inference followed by Mish: scale = weight/√(variance + ε) and shift = bias − mean·scale, over dim 1.
    ///
    /// Both are computed in f64 and rounded once, to f32 if the layer's parameters are f32 or narrower.
    /// They are no part of the gradient graph of the layer.
    ///
    /// # Errors
    /// If the device of the layer's tensors cannot take their values to the CPU or back.
    pub fn from_batch_norm(norm: &BatchNorm) -> Result<Self> {
        let mean = norm.running_mean();
        let (device, dtype) = (mean.device(), mean.dtype());
        // On the CPU, as not every device has f64.
        let wide = |t: &Tensor| t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64);
        let deviation = (wide(norm.running_var())? + norm.eps())?.sqrt()?;
        let (scale, shift) = match norm.weight_and_bias() {
            Some((weight, bias)) => {
                let scale = (wide(weight)? / deviation)?;
                let shift = (wide(bias)? - (wide(mean)? * &scale)?)?;
                (scale, shift)
            }
            None => {
                let scale = deviation.recip()?;
                let shift = (wide(mean)? * &scale)?.neg()?;
                (scale, shift)
            }
        };
        let dtype = if dtype == DType::F64 { dtype } else { DType::F32 };
        let finish = |t: Tensor| t.to_dtype(dtype)?.to_device(device);
        Self::new(finish(scale)?, finish(shift)?, 1)
    }

    /// The factors, one per channel.
    pub fn scale(&self) -> &Tensor {
        &self.scale
    }

    /// The summands, one per channel.
    pub fn shift(&self) -> &Tensor {
        &self.shift
    }
}

impl Module for MishAffine {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        mish_affine(xs, &self.scale, &self.shift, self.dim)
    }
}
