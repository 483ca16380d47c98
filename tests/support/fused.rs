//! The fused neighbours: what is under test. `fused/cases.rs` makes arguments, `fused/values.rs` compares with arithmetic of
//! more precision, `fused/checks.rs` has the checks that take the backend as an argument.

use super::backend::{moved, Function};
use super::contract::Side;
use candle_core::{DType, Device, Result, Tensor};
use candle_mish::internals::{fused_backward, AffinePass, Fused};
use candle_mish::{mish_affine, mish_bias, softplus_bias};
use std::fmt;

mod cases;
mod checks;
mod values;

#[allow(unused_imports)] // not every binary has checks of them
pub use checks::*;

/// Something that evaluates the fused ops.
pub trait FusedBackend: Sync {
    fn side(&self) -> Side;
    fn device(&self) -> &Device;
    /// Whether there is f64.
    fn double(&self) -> bool;
    /// Whether it takes subnormal floats for zero.
    fn flushes(&self) -> bool {
        false
    }
    fn forward(&self, case: &Case) -> Result<Tensor>;
    /// The gradient of x.
    fn input(&self, case: &Case, g: &Tensor) -> Result<Tensor>;
    /// The gradients of scale, if there is one, and shift as rows.
    fn sums(&self, case: &Case, g: &Tensor) -> Result<Tensor>;
}

/// The arguments of a fused op.
#[derive(Clone, Debug)]
pub struct Case {
    pub fused: Fused,
    pub x: Tensor,
    pub axis: usize,
    /// None if the op has none.
    pub scale: Option<Tensor>,
    pub shift: Tensor,
    /// What kind of view x and the parameters are.
    pub what: String,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fused, x, axis, what, ..
        } = self;
        let parameters = self.shift.dtype();
        write!(
            f,
            "{} in {:?} of {:?} along dim {axis}, {parameters:?} parameters, {what} {:?}",
            fused.name(),
            x.dtype(),
            x.dims(),
            x.stride()
        )
    }
}

impl Case {
    /// Scale, if there is one, and shift in the type that is computed in.
    pub fn rows(&self) -> Result<Tensor> {
        let wide = if self.x.dtype() == DType::F64 {
            DType::F64
        } else {
            DType::F32
        };
        let rows: Vec<_> = self.scale.iter().chain([&self.shift]).collect();
        Tensor::stack(&rows, 0)?.to_dtype(wide)
    }

    fn function(&self, order: usize) -> Function {
        let activation = self.fused.activation();
        Function { activation, order }
    }
}

/// The crate's ops as candle runs them on a device. Operands are made on the CPU and moved, each with its layout.
pub struct CandleFused(pub Device);

pub const CPU: CandleFused = CandleFused(Device::Cpu);

impl CandleFused {
    fn backward(&self, pass: AffinePass, case: &Case, g: &Tensor) -> Result<Tensor> {
        let [x, rows, g] = [&case.x, &case.rows()?, g].map(|t| moved(t, &self.0));
        moved(
            &fused_backward(case.fused, pass, case.axis, &x?, &rows?, &g?)?,
            &Device::Cpu,
        )
    }
}

impl FusedBackend for CandleFused {
    fn side(&self) -> Side {
        match self.0 {
            Device::Cpu => Side::Cpu,
            _ => Side::Device,
        }
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn double(&self) -> bool {
        !self.0.is_metal()
    }

    fn flushes(&self) -> bool {
        self.0.is_metal()
    }

    fn forward(&self, case: &Case) -> Result<Tensor> {
        let [x, shift] = [&case.x, &case.shift].map(|t| moved(t, &self.0));
        let (x, shift, axis) = (&x?, &shift?, case.axis);
        let scale = case.scale.as_ref().map(|t| moved(t, &self.0)).transpose()?;
        let out = match (case.fused, &scale) {
            (Fused::MishAffine, Some(scale)) => mish_affine(x, scale, shift, axis),
            (Fused::MishBias, None) => mish_bias(x, shift, axis),
            (Fused::SoftplusBias, None) => softplus_bias(x, shift, axis),
            (fused, _) => panic!("{}: a scale or none", fused.name()),
        };
        moved(&out?, &Device::Cpu)
    }

    fn input(&self, case: &Case, g: &Tensor) -> Result<Tensor> {
        self.backward(AffinePass::Input, case, g)
    }

    fn sums(&self, case: &Case, g: &Tensor) -> Result<Tensor> {
        self.backward(AffinePass::Sums, case, g)?.sum(2)
    }
}
