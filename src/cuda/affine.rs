//! The fused neighbours: translates an [`AffinePlan`] into a launch.

use super::config;
use super::gpu::{Element, Gpu};
use crate::affine::{Operands, Request};
use crate::extent::within;
use crate::plan::{AffineArguments, AffineLayouts, AffinePass, AffinePlan};
use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::sys::CUdeviceptr;
use candle_core::cuda_backend::cudarc::driver::{CudaStream, DeviceRepr, PushKernelArg, SyncOnDrop};
use candle_core::cuda_backend::{CudaDType, CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, CudaStorage, Error, Layout, Result, Shape, WithDType};
use half::{bf16, f16};

// SAFETY: `repr(C)` integers without padding, as `struct AffineArguments` in cuda/affine.cu.
unsafe impl DeviceRepr for AffineArguments {}

/// The result of a pass, and its shape. Sums have the shape (1 or 2, channels, parts): of scale, if there is one, and of
/// shift, in the type that is computed in.
pub(crate) fn affine(request: Request, operands: Operands<CudaStorage>) -> Result<(CudaStorage, Shape)> {
    use CudaStorageSlice::{BF16, F16, F32, F64};
    match &operands.x.0.slice {
        F16(_) => launch::<f16, f32>(request, operands),
        BF16(_) => launch::<bf16, f32>(request, operands),
        F32(_) => launch::<f32, f32>(request, operands),
        F64(_) => launch::<f64, f64>(request, operands),
        _ => Err(Error::UnsupportedDTypeForOp(operands.x.0.dtype(), request.name()).bt()),
    }
}

/// x, g (or x once more), scale (or shift once more), shift, the output, then [`AffineArguments`].
fn launch<T, C>(request: Request, operands: Operands<CudaStorage>) -> Result<(CudaStorage, Shape)>
where
    T: Element,
    C: CudaDType + DeviceRepr + WithDType,
{
    let op = request.name();
    operands.check_shapes(op)?;
    let [(x, lx), (g, lg), (scale, l_scale), (shift, l_shift)] = operands.tensors();
    let device = &x.device;
    let (x, g) = (x.as_cuda_slice::<T>()?, g.as_cuda_slice::<T>()?);
    let layouts = AffineLayouts {
        x: lx,
        g: lg,
        scale: l_scale,
        shift: l_shift,
    };
    let single = [scale, shift].map(|s| s.dtype() == C::DTYPE);
    let stream = device.cuda_stream();
    let gpu = Gpu::of(stream.context())?;
    let plan = AffinePlan::new(
        request.fused,
        request.pass,
        T::DTYPE,
        layouts,
        single,
        request.axis,
        gpu.target(),
    )?;
    let Some(plan) = plan else {
        return empty::<T, C>(request, device, lx);
    };
    let kernel = gpu.kernel(T::AFFINE, &plan.kernel)?;
    within(op, lx, x.len())?;
    within(op, lg, g.len())?;
    let [x_at, g_at, ..] = plan.offsets;
    let (x, g) = (x.slice(x_at..), g.slice(g_at..));
    let (scale, _scale_read) = pointer::<T, C>(op, scale, l_scale, &stream)?;
    let (shift, _shift_read) = pointer::<T, C>(op, shift, l_shift, &stream)?;
    let n = plan.out.elem_count();
    macro_rules! launch {
        ($out:ty) => {{
            // SAFETY: the kernel writes every element; nothing reads them before it, as it runs on the stream that
            // allocates.
            let mut out = unsafe { device.alloc::<$out>(n)? };
            let mut launch = stream.launch_builder(&kernel);
            launch.arg(&x).arg(&g).arg(&scale).arg(&shift).arg(&mut out).arg(&plan.arguments);
            // SAFETY: a kernel of this name takes these arguments; the plan covers exactly the elements of the layouts,
            // which lie within the operands' storage.
            unsafe { launch.launch(config(plan.grid)) }.w()?;
            CudaStorage::wrap_cuda_slice(out, device.clone())
        }};
    }
    let out = match request.pass {
        AffinePass::Sums => launch!(C),
        _ => launch!(T),
    };
    Ok((out, plan.out))
}

/// Where scale or shift begins, which is of the tensor's type or of the one that is computed in; and what has to be kept
/// until the kernel has been launched.
fn pointer<'a, T: CudaDType + DeviceRepr + 'a, C: CudaDType + DeviceRepr + WithDType + 'a>(
    op: &'static str,
    storage: &'a CudaStorage,
    layout: &Layout,
    stream: &'a CudaStream,
) -> Result<(CUdeviceptr, SyncOnDrop<'a>)> {
    fn of<'a, U: CudaDType + DeviceRepr + 'a>(
        op: &'static str,
        storage: &'a CudaStorage,
        layout: &Layout,
        stream: &'a CudaStream,
    ) -> Result<(CUdeviceptr, SyncOnDrop<'a>)> {
        let slice = storage.as_cuda_slice::<U>()?;
        within(op, layout, slice.len())?;
        Ok(slice.slice(layout.start_offset()..).view_ptr(stream))
    }
    match storage.dtype() == C::DTYPE {
        true => of::<C>(op, storage, layout, stream),
        false => of::<T>(op, storage, layout, stream),
    }
}

/// Of a tensor without elements, or sums of no channels.
fn empty<T: CudaDType + DeviceRepr, C: CudaDType + DeviceRepr>(
    request: Request,
    device: &CudaDevice,
    x: &Layout,
) -> Result<(CudaStorage, Shape)> {
    // SAFETY: there is nothing to initialise.
    let out = unsafe {
        match request.pass {
            AffinePass::Sums => CudaStorage::wrap_cuda_slice(device.alloc::<C>(0)?, device.clone()),
            _ => CudaStorage::wrap_cuda_slice(device.alloc::<T>(0)?, device.clone()),
        }
    };
    Ok((out, AffinePlan::empty_shape(request.fused, request.pass, x)))
}
