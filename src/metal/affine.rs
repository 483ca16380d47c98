//! The fused neighbours: translates an [`AffinePlan`] into a dispatch.

use super::{dispatch, in_buffer, slice, Launch, TARGET};
use crate::affine::{Operands, Request};
use crate::msl::Library;
use crate::plan::{AffineArguments, AffineLayouts, AffinePass, AffinePlan};
use candle_core::backend::BackendStorage;
use candle_core::{DType, Error, MetalStorage, Result, Shape};

impl<'a> From<&'a AffinePlan> for Launch<'a, AffineArguments> {
    fn from(plan: &'a AffinePlan) -> Self {
        Self {
            library: Library::Affine,
            kernel: &plan.kernel,
            arguments: &plan.arguments,
            grid: plan.grid,
        }
    }
}

/// The result of a pass, and its shape. Sums have the shape (1 or 2, channels, parts): of scale, if there is one, and of
/// shift, in f32.
pub(crate) fn affine(request: Request, operands: Operands<MetalStorage>) -> Result<(MetalStorage, Shape)> {
    let op = request.name();
    operands.check_shapes(op)?;
    let tensors = operands.tensors();
    let [(x, lx), (g, lg), (scale, l_scale), (shift, l_shift)] = tensors;
    let (device, dtype) = (x.device(), x.dtype());
    let expected = [(g.dtype(), false), (scale.dtype(), true), (shift.dtype(), true)];
    for (other, is_parameter) in expected {
        if other != dtype && !(is_parameter && other == DType::F32) {
            let (lhs, rhs) = (dtype, other);
            return Err(Error::DTypeMismatchBinaryOp { lhs, rhs, op }.bt());
        }
    }
    for (storage, layout) in tensors {
        in_buffer(op, storage, layout)?;
    }
    let layouts = AffineLayouts {
        x: lx,
        g: lg,
        scale: l_scale,
        shift: l_shift,
    };
    let single = [scale, shift].map(|s| s.dtype() == DType::F32);
    let plan = AffinePlan::new(
        request.fused,
        request.pass,
        dtype,
        layouts,
        single,
        request.axis,
        TARGET,
    )?;
    let shape = match &plan {
        Some(plan) => plan.out.clone(),
        None => AffinePlan::empty_shape(request.fused, request.pass, lx),
    };
    let out_dtype = match request.pass {
        AffinePass::Sums => DType::F32,
        AffinePass::Forward | AffinePass::Input => dtype,
    };
    let n = shape.elem_count();
    let out = device
        .new_buffer_builder()
        .with_size_for(n, out_dtype)
        .with_label(op)
        .build()?;
    if let Some(plan) = &plan {
        let slices: [_; 4] = std::array::from_fn(|i| slice(tensors[i].0, plan.offsets[i]));
        dispatch(device, op, &Launch::from(plan), slices, (&out, 0))?;
    }
    Ok((MetalStorage::new(out, device.clone(), n, out_dtype), shape))
}
