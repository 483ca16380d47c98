//! The ops as candle sees them: `CustomOp1`, `CustomOp2`, `Module`, validation and the wiring of backward.

use crate::activation::{Activation, Mish, Softplus, TanhSoftplus};
use crate::cpu;
#[cfg(any(feature = "cuda", feature = "metal"))]
use crate::plan::Function;
use candle_core::backend::BackendStorage;
use candle_core::op::BackpropOp;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "metal")]
use candle_core::MetalStorage;
use candle_core::{
    bail, CpuStorage, CustomOp1, CustomOp2, DType, Error, Layout, Module, Result, Shape, Storage, Tensor,
};

/// The highest derivative that is computed; one more is `BackwardNotSupported`.
pub(crate) const MAX_ORDER: u8 = 2;

/// The dtype that values of this dtype are computed in, if there is one.
pub(crate) fn compute_dtype(dtype: DType) -> Option<DType> {
    match dtype {
        DType::F16 | DType::BF16 | DType::F32 => Some(DType::F32),
        DType::F64 => Some(DType::F64),
        _ => None,
    }
}

/// The op (x, g) ↦ g·f⁽ᵏ⁾(x): what backward is made of.
///
/// Its own backward is the same op: ∂/∂g is the derivative of order k applied to (x, G), and ∂/∂x the one
/// of order k+1 applied to (x, g·G).
///
/// x and g have any layout, and shape and dtype in common: `ShapeMismatchBinaryOp` and `DTypeMismatchBinaryOp` otherwise. Other errors,
/// dtypes and the result's layout are as for [`mish`](crate::mish()); f32 is within 2.5 ulp (3 on a GPU) with g = 1, f64 within 3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Derivative {
    activation: Activation,
    order: u8,
}

impl Derivative {
    /// The derivative of `order` 1 or 2 of an activation.
    ///
    /// # Errors
    /// If `order` is neither 1 nor 2.
    pub fn new(activation: impl Into<Activation>, order: usize) -> Result<Self> {
        let activation = activation.into();
        if order == 0 || order > MAX_ORDER as usize {
            bail!("{activation}: derivative of order {order} was asked for, expected 1 or 2")
        }
        Ok(Self {
            activation,
            order: order as u8,
        })
    }
}

impl Derivative {
    /// x and g must agree in shape and dtype; their layouts need not.
    fn check<S: BackendStorage>(&self, x: &S, lx: &Layout, g: &S, lg: &Layout) -> Result<()> {
        let op = self.name();
        if lx.shape() != lg.shape() {
            let (lhs, rhs) = (lx.shape().clone(), lg.shape().clone());
            return Err(Error::ShapeMismatchBinaryOp { lhs, rhs, op }.bt());
        }
        if x.dtype() != g.dtype() {
            let (lhs, rhs) = (x.dtype(), g.dtype());
            return Err(Error::DTypeMismatchBinaryOp { lhs, rhs, op }.bt());
        }
        Ok(())
    }
}

impl CustomOp2 for Derivative {
    fn name(&self) -> &'static str {
        self.activation.derivative_name(self.order)
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        g: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.check(x, lx, g, lg)?;
        let out = cpu::derivative(self.activation, self.order, x, lx, g, lg)?;
        Ok((out, lx.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        g: &CudaStorage,
        lg: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.check(x, lx, g, lg)?;
        let function = Function {
            activation: self.activation,
            order: self.order,
        };
        let out = crate::cuda::derivative(function, x, lx, g, lg)?;
        Ok((out, lx.shape().clone()))
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(
        &self,
        x: &MetalStorage,
        lx: &Layout,
        g: &MetalStorage,
        lg: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.check(x, lx, g, lg)?;
        let function = Function {
            activation: self.activation,
            order: self.order,
        };
        let out = crate::metal::derivative(function, x, lx, g, lg)?;
        Ok((out, lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        g: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let wrt_x = if !x.track_op() {
            None
        } else if self.order < MAX_ORDER {
            let next = Self {
                order: self.order + 1,
                ..*self
            };
            Some(x.apply_op2(&(g * grad)?, next)?)
        } else {
            return Err(Error::BackwardNotSupported { op: self.name() }.bt());
        };
        let wrt_g = match g.track_op() {
            true => Some(x.apply_op2(grad, *self)?),
            false => None,
        };
        Ok((wrt_x, wrt_g))
    }
}

/// As [`Tensor::apply_op1_no_bwd`], which takes 15 ns longer on a CPU, of 150 for a small tensor: it hands the result through a
/// trait object and two more types. (`apply_op1` keeps a copy of the op, for two allocations.)
#[inline(always)]
fn forward_untracked<A: CustomOp1 + Copy + Into<Activation>>(op: A, xs: &Tensor) -> Result<Tensor> {
    let (storage, layout) = xs.storage_and_layout();
    if let Storage::Cpu(x) = &*storage {
        let out = Storage::Cpu(cpu::forward(op.into(), x, layout)?);
        return Ok(Tensor::from_storage(
            out,
            layout.shape(),
            BackpropOp::none(),
            false,
        ));
    }
    // Not to be locked twice: a thread that waits to write would come between.
    drop(storage);
    xs.apply_op1_no_bwd(&op)
}

macro_rules! activation_op {
    ($ty:ty) => {
        impl CustomOp1 for $ty {
            fn name(&self) -> &'static str {
                Activation::from(*self).name()
            }

            fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
                let out = cpu::forward((*self).into(), x, layout)?;
                Ok((out, layout.shape().clone()))
            }

            #[cfg(feature = "cuda")]
            fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
                let function = Function {
                    activation: (*self).into(),
                    order: 0,
                };
                let out = crate::cuda::forward(function, x, layout)?;
                Ok((out, layout.shape().clone()))
            }

            #[cfg(feature = "metal")]
            fn metal_fwd(&self, x: &MetalStorage, layout: &Layout) -> Result<(MetalStorage, Shape)> {
                let function = Function {
                    activation: (*self).into(),
                    order: 0,
                };
                let out = crate::metal::forward(function, x, layout)?;
                Ok((out, layout.shape().clone()))
            }

            fn bwd(&self, x: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
                let op = Derivative {
                    activation: (*self).into(),
                    order: 1,
                };
                Ok(Some(x.apply_op2(grad, op)?))
            }
        }

        impl Module for $ty {
            fn forward(&self, xs: &Tensor) -> Result<Tensor> {
                match xs.track_op() {
                    true => xs.apply_op1(*self),
                    false => forward_untracked(*self, xs),
                }
            }
        }
    };
}

activation_op!(Mish);
activation_op!(Softplus);
activation_op!(TanhSoftplus);

impl Module for Activation {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        match self {
            Self::Mish => Mish.forward(xs),
            Self::Softplus(softplus) => softplus.forward(xs),
            Self::TanhSoftplus => TanhSoftplus.forward(xs),
        }
    }
}
