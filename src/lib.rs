#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

// The table (activation), the maths (real, twin, formula, family), the ops (op), what both device-free sides of a
// launch share (plan, extent, msl), and the backends (cpu, cuda, metal).
mod activation;
mod affine;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod extent;
mod family;
mod formula;
mod inplace;
#[cfg(feature = "metal")]
mod metal;
// Public, as `plan` is, only through the hidden module below.
#[allow(missing_docs)]
mod msl;
mod op;
// Public only through the hidden module below.
#[allow(missing_docs)]
mod plan;
mod real;
mod twin;

pub use activation::{Activation, Mish, Softplus, TanhSoftplus};
pub use affine::{mish_affine, mish_bias, softplus_bias, MishAffine};
pub use inplace::{mish_inplace, softplus_inplace, tanh_softplus_inplace};
pub use op::Derivative;

use candle_core::{Module, Result, Tensor};

/// Mish, `x · tanh(softplus(x))`, of every element.
///
/// Any shape and layout, f16, bf16, f32 or f64; the result is contiguous and of the same shape and dtype.
/// Differentiable twice; only `xs` is kept for backward. Half types are correctly rounded, f32 is within 1.5 ulp (2 on a GPU) and
/// f64 within 2 ulp of the true value, in both tails too.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// let xs = Tensor::new(&[-20f32, -1.0, 0.0, 2.0], &Device::Cpu)?;
/// let ys = candle_mish::mish(&xs)?.to_vec1::<f32>()?;
/// assert_eq!(ys[2], 0.0);
/// assert!((ys[0] / -4.122307e-8 - 1.0).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// `UnsupportedDTypeForOp` for other dtypes. If there is no memory for the result, or none could be addressed; if `xs` has more
/// elements than its storage; on a GPU if more than 8 dims are left after those that can be merged have been.
pub fn mish(xs: &Tensor) -> Result<Tensor> {
    Mish.forward(xs)
}

/// Softplus, `log(1 + exp(x))`, of every element: β = 1, and no threshold, as none is needed.
///
/// Shapes, dtypes, accuracy, gradients and errors are as for [`mish`].
pub fn softplus(xs: &Tensor) -> Result<Tensor> {
    Softplus::default().forward(xs)
}

/// Softplus with PyTorch's parameters, `βx > threshold ? x : log(1 + exp(βx)) / β`.
///
/// The same test chooses the branch of the derivative. PyTorch's defaults are `beta` 1 and `threshold` 20; an
/// infinite threshold means none.
///
/// With a β other than 1, half types on a GPU are within 0.5014 ulp.
///
/// # Errors
/// As for [`mish`]; and if `beta` is zero or not finite, `threshold` is NaN or −∞, or on a GPU the magnitude of `beta` is not
/// within 2⁻⁶⁰ to 2⁶⁰.
pub fn softplus_with(xs: &Tensor, beta: f64, threshold: f64) -> Result<Tensor> {
    Softplus::new(beta, threshold)?.forward(xs)
}

/// `tanh(softplus(x))` of every element, the gate of [`mish`].
///
/// Shapes, dtypes, accuracy, gradients and errors are as for [`mish`].
pub fn tanh_softplus(xs: &Tensor) -> Result<Tensor> {
    TanhSoftplus.forward(xs)
}

/// What the kernels' emulator in `tests/emulator` runs on and compares with: it has to make the same plans as the
/// device files do. No part of the public interface; it changes without notice.
#[doc(hidden)]
pub mod internals {
    use candle_core::{Result, Tensor};

    pub use crate::affine::Fused;
    pub use crate::msl::{bind, Binder, Library as MetalLibrary};
    pub use crate::plan::{
        affine_kernel_name, kernel_name, AffineArguments, AffineLayouts, AffinePass, AffinePath, AffinePlan,
        Arguments, Function, Path, Plan, Target, MAX_DIMS, THREADS,
    };

    /// f⁽ᵏ⁾(x) as `formula.rs` evaluates it in f32.
    pub fn formula_f32(function: Function, x: f32) -> f32 {
        crate::family::with_family!(function.activation, function.order, candle_core::DType::F32, f => f.eval(x))
    }

    /// f⁽ᵏ⁾(x) as `formula.rs` evaluates it in f64.
    pub fn formula_f64(function: Function, x: f64) -> f64 {
        crate::family::with_family!(function.activation, function.order, candle_core::DType::F64, f => f.eval(x))
    }

    /// A pass of a fused op's backward: `rows` are the parameters' values, of scale if there is one and of shift.
    pub fn fused_backward(
        fused: Fused,
        pass: AffinePass,
        axis: usize,
        x: &Tensor,
        rows: &Tensor,
        g: &Tensor,
    ) -> Result<Tensor> {
        crate::affine::backward(fused, pass, axis, x, rows, g)
    }

    /// The path on the CPU: `avx512`, `avx512-halves`, `avx2`, `neon` or `baseline`.
    pub fn cpu_isa() -> &'static str {
        crate::cpu::Isa::get().name()
    }
}
