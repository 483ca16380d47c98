//! skeleton
mod activation;
mod cpu;
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
