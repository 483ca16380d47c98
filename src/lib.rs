//! skeleton
mod activation;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod family;
mod formula;
mod op;
mod plan;
mod real;
mod twin;

pub use activation::{Activation, Mish, Softplus, TanhSoftplus};
pub use op::Derivative;

use candle_core::{Result, Tensor};

/// mish
pub fn mish(xs: &Tensor) -> Result<Tensor> {
    xs.apply_op1(Mish)
}

/// softplus
pub fn softplus(xs: &Tensor) -> Result<Tensor> {
    xs.apply_op1(Softplus::default())
}

/// softplus with PyTorch's parameters
pub fn softplus_with(xs: &Tensor, beta: f64, threshold: f64) -> Result<Tensor> {
    xs.apply_op1(Softplus::new(beta, threshold)?)
}

/// tanh of softplus
pub fn tanh_softplus(xs: &Tensor) -> Result<Tensor> {
    xs.apply_op1(TanhSoftplus)
}

/// What the kernels' emulator in `tests/emulator` runs on and compares with: it has to make the same plans as the
/// device files do. No part of the public interface; it changes without notice.
#[doc(hidden)]
pub mod internals {
    pub use crate::plan::{kernel_name, Arguments, Function, Path, Plan, Target, MAX_DIMS, THREADS};

    /// f⁽ᵏ⁾(x) as `formula.rs` evaluates it in f32.
    pub fn formula_f32(function: Function, x: f32) -> f32 {
        use crate::family::Family as _;
        crate::family::with_family!(function.activation, function.order, candle_core::DType::F32, f => f.eval(x))
    }

    /// f⁽ᵏ⁾(x) as `formula.rs` evaluates it in f64.
    pub fn formula_f64(function: Function, x: f64) -> f64 {
        use crate::family::Family as _;
        crate::family::with_family!(function.activation, function.order, candle_core::DType::F64, f => f.eval(x))
    }
}
