//! The fused ops as candle sees them, and the wiring of backward.

use super::Fused;
use crate::cpu;
use crate::op::compute_dtype;
use crate::plan::AffinePass;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "metal")]
use candle_core::MetalStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Error, Layout, Result, Shape, Tensor};
use std::borrow::Cow;

/// The tensors of a pass, on one device.
pub(crate) struct Operands<'a, S> {
    pub(crate) x: (&'a S, &'a Layout),
    /// None in a forward pass.
    pub(crate) g: Option<(&'a S, &'a Layout)>,
    /// None if the op has no scale.
    pub(crate) scale: Option<(&'a S, Cow<'a, Layout>)>,
    pub(crate) shift: (&'a S, Cow<'a, Layout>),
}

impl<S> Operands<'_, S> {
    /// What the GPU kernels take: x, g or x once more, scale or shift in its place, and shift.
    #[cfg(any(feature = "cuda", feature = "metal"))]
    pub(crate) fn tensors(&self) -> [(&S, &Layout); 4] {
        let (shift, l_shift) = &self.shift;
        let (scale, l_scale) = self.scale.as_ref().unwrap_or(&self.shift);
        [
            self.x,
            self.g.unwrap_or(self.x),
            (scale, l_scale),
            (shift, l_shift),
        ]
    }

    /// # Errors
    /// If x and g differ in shape.
    pub(crate) fn check_shapes(&self, op: &'static str) -> Result<()> {
        match (self.x.1.shape(), self.g.map(|(_, lg)| lg.shape())) {
            (x, Some(g)) if x != g => {
                let (lhs, rhs) = (x.clone(), g.clone());
                Err(Error::ShapeMismatchBinaryOp { lhs, rhs, op }.bt())
            }
            _ => Ok(()),
        }
    }
}

/// What is to be computed.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) fused: Fused,
    pub(crate) pass: AffinePass,
    /// The dim that the channels lie along.
    pub(crate) axis: usize,
}

impl Request {
    pub(crate) fn name(&self) -> &'static str {
        self.fused.pass_name(self.pass)
    }
}

/// (x, scale, shift) ↦ f(x·scale + shift).
pub(super) struct ScaleShift {
    pub(super) fused: Fused,
    pub(super) axis: usize,
}

/// (x, bias) ↦ f(x + bias).
pub(super) struct Bias {
    pub(super) fused: Fused,
    pub(super) axis: usize,
}

/// (x, parameters, g) ↦ the gradient of x, or the partial sums of those of the parameters. Parameters are rows of
/// values of the type that is computed in: of scale, if there is one, and of shift.
struct Backward(Request);

/// Implements the forward passes of an op by what the backends have.
macro_rules! forward {
    ($op:ident, $request:expr, ($($storage:ident $layout:ident),*) => $operands:expr) => {
        fn cpu_fwd(&self, $($storage: &CpuStorage, $layout: &Layout),*) -> Result<(CpuStorage, Shape)> {
            let $op = self;
            cpu::affine($request, $operands)
        }

        #[cfg(feature = "cuda")]
        fn cuda_fwd(&self, $($storage: &CudaStorage, $layout: &Layout),*) -> Result<(CudaStorage, Shape)> {
            let $op = self;
            crate::cuda::affine($request, $operands)
        }

        #[cfg(feature = "metal")]
        fn metal_fwd(&self, $($storage: &MetalStorage, $layout: &Layout),*) -> Result<(MetalStorage, Shape)> {
            let $op = self;
            crate::metal::affine($request, $operands)
        }
    };
}

impl CustomOp3 for ScaleShift {
    fn name(&self) -> &'static str {
        self.fused.name()
    }

    forward! {
        op, Request { fused: op.fused, pass: AffinePass::Forward, axis: op.axis },
        (x lx, scale l_scale, shift l_shift) => Operands {
            x: (x, lx),
            g: None,
            scale: Some((scale, Cow::Borrowed(l_scale))),
            shift: (shift, Cow::Borrowed(l_shift)),
        }
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let wide = wide_dtype(x);
        let rows = Tensor::stack(&[scale.to_dtype(wide)?, shift.to_dtype(wide)?], 0)?;
        let wrt_x = input_gradient(self.fused, self.axis, x, &rows, grad)?;
        if !scale.track_op() && !shift.track_op() {
            return Ok((wrt_x, None, None));
        }
        let sums = parameter_gradients(self.fused, self.axis, x, &rows, grad)?;
        let of = |row: usize, parameter: &Tensor| match parameter.track_op() {
            true => sums.get(row)?.to_dtype(parameter.dtype()).map(Some),
            false => Ok(None),
        };
        Ok((wrt_x, of(0, scale)?, of(1, shift)?))
    }
}

impl CustomOp2 for Bias {
    fn name(&self) -> &'static str {
        self.fused.name()
    }

    forward! {
        op, Request { fused: op.fused, pass: AffinePass::Forward, axis: op.axis },
        (x lx, bias l_bias) => Operands {
            x: (x, lx),
            g: None,
            scale: None,
            shift: (bias, Cow::Borrowed(l_bias)),
        }
    }

    fn bwd(
        &self,
        x: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let rows = bias.to_dtype(wide_dtype(x))?.unsqueeze(0)?;
        let wrt_x = input_gradient(self.fused, self.axis, x, &rows, grad)?;
        if !bias.track_op() {
            return Ok((wrt_x, None));
        }
        let sums = parameter_gradients(self.fused, self.axis, x, &rows, grad)?;
        Ok((wrt_x, Some(sums.get(0)?.to_dtype(bias.dtype())?)))
    }
}

impl CustomOp3 for Backward {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    forward! {
        op, op.0,
        (x lx, rows l_rows, g lg) => Operands {
            x: (x, lx),
            g: Some((g, lg)),
            scale: op.0.fused.scaled().then(|| (rows, row(l_rows, 0))),
            shift: (rows, row(l_rows, l_rows.dims()[0] - 1)),
        }
    }
}

/// One row of a matrix.
fn row(matrix: &Layout, index: usize) -> Cow<'static, Layout> {
    let (start, strides) = (matrix.start_offset(), matrix.stride());
    let shape = Shape::from(matrix.dims()[1]);
    Cow::Owned(Layout::new(shape, vec![strides[1]], start + index * strides[0]))
}

/// The dtype that x is computed in; ops on other dtypes have no backward, as they have no forward.
fn wide_dtype(x: &Tensor) -> DType {
    compute_dtype(x.dtype()).unwrap_or(x.dtype())
}

/// The pass of a backward as an op of its own.
pub(crate) fn backward(
    fused: Fused,
    pass: AffinePass,
    axis: usize,
    x: &Tensor,
    rows: &Tensor,
    grad: &Tensor,
) -> Result<Tensor> {
    x.apply_op3(rows, grad, Backward(Request { fused, pass, axis }))
}

fn input_gradient(
    fused: Fused,
    axis: usize,
    x: &Tensor,
    rows: &Tensor,
    grad: &Tensor,
) -> Result<Option<Tensor>> {
    match x.track_op() {
        true => backward(fused, AffinePass::Input, axis, x, rows, grad).map(Some),
        false => Ok(None),
    }
}

/// One row per row of parameters, in the type that is computed in.
fn parameter_gradients(
    fused: Fused,
    axis: usize,
    x: &Tensor,
    rows: &Tensor,
    grad: &Tensor,
) -> Result<Tensor> {
    let partial = backward(fused, AffinePass::Sums, axis, x, rows, grad)?;
    match partial.dim(2)? {
        1 => partial.squeeze(2),
        _ => partial.sum(2),
    }
}
