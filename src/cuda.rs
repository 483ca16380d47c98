//! The CUDA backend: translates a [`Plan`] into a launch. What can be wrong without a GPU is in `plan.rs`.

mod affine;
mod gpu;

use crate::activation::Activation;
use crate::extent::within;
use crate::plan::{Arguments, Function, Plan, THREADS};
pub(crate) use affine::affine;
use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, DevicePtrMut, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, CudaStorage, Error, Layout, Result};
use gpu::{Element, Gpu};

// SAFETY: `repr(C)` integers and floats without padding, as `struct Arguments` in cuda/activations.cu.
unsafe impl DeviceRepr for Arguments {}

/// f(x), contiguous.
pub(crate) fn forward(function: Function, x: &CudaStorage, layout: &Layout) -> Result<CudaStorage> {
    use CudaStorageSlice::{BF16, F16, F32, F64};
    let device = &x.device;
    match &x.slice {
        F16(x) => launch(function, device, [x], [layout]),
        BF16(x) => launch(function, device, [x], [layout]),
        F32(x) => launch(function, device, [x], [layout]),
        F64(x) => launch(function, device, [x], [layout]),
        _ => Err(unsupported(function, x)),
    }
}

/// g·f⁽ᵏ⁾(x), contiguous.
pub(crate) fn derivative(
    function: Function,
    x: &CudaStorage,
    x_layout: &Layout,
    g: &CudaStorage,
    g_layout: &Layout,
) -> Result<CudaStorage> {
    use CudaStorageSlice::{BF16, F16, F32, F64};
    let device = &x.device;
    let layouts = [x_layout, g_layout];
    match (&x.slice, &g.slice) {
        (F16(x), F16(g)) => launch(function, device, [x, g], layouts),
        (BF16(x), BF16(g)) => launch(function, device, [x, g], layouts),
        (F32(x), F32(g)) => launch(function, device, [x, g], layouts),
        (F64(x), F64(g)) => launch(function, device, [x, g], layouts),
        _ if x.dtype() != g.dtype() => {
            let (lhs, rhs, op) = (x.dtype(), g.dtype(), function.name());
            Err(Error::DTypeMismatchBinaryOp { lhs, rhs, op }.bt())
        }
        _ => Err(unsupported(function, x)),
    }
}

fn unsupported(function: Function, x: &CudaStorage) -> Error {
    Error::UnsupportedDTypeForOp(x.dtype(), function.name()).bt()
}

/// Operands in their order, then the output, then [`Arguments`].
fn launch<T: Element, const N: usize>(
    function: Function,
    device: &CudaDevice,
    operands: [&CudaSlice<T>; N],
    layouts: [&Layout; N],
) -> Result<CudaStorage> {
    for (slice, layout) in operands.iter().zip(layouts) {
        within(function.name(), layout, slice.len())?;
    }
    let stream = device.cuda_stream();
    let gpu = Gpu::of(stream.context())?;
    let plan = Plan::new(function, T::DTYPE, layouts, gpu.target())?;
    // SAFETY: the kernel writes every element; nothing reads them before it, as it runs on the stream that allocates.
    let mut out = unsafe { device.alloc::<T>(plan.as_ref().map_or(0, |plan| plan.arguments.n as usize))? };
    if let Some(plan) = plan {
        let kernel = gpu.kernel(T::ACTIVATIONS, &plan.kernel)?;
        let views: [_; N] = std::array::from_fn(|i| operands[i].slice(plan.offsets[i]..));
        let mut launch = stream.launch_builder(&kernel);
        for view in &views {
            launch.arg(view);
        }
        launch.arg(&mut out);
        launch.arg(&plan.arguments);
        // SAFETY: a kernel of this name takes N operands, an output and `Arguments`; the plan covers exactly the
        // elements of the layouts, which `within` has found to lie in the operands' storage.
        unsafe { launch.launch(config(plan.grid)) }.w()?;
    }
    Ok(CudaStorage::wrap_cuda_slice(out, device.clone()))
}

/// f(x) into x.
pub(crate) fn in_place(
    activation: Activation,
    x: &mut CudaStorage,
    layout: &Layout,
    op: &'static str,
) -> Result<()> {
    use CudaStorageSlice::{BF16, F16, F32, F64};
    let device = &x.device;
    match &mut x.slice {
        F16(x) => launch_in_place(op, activation, device, x, layout),
        BF16(x) => launch_in_place(op, activation, device, x, layout),
        F32(x) => launch_in_place(op, activation, device, x, layout),
        F64(x) => launch_in_place(op, activation, device, x, layout),
        _ => Err(Error::UnsupportedDTypeForOp(x.dtype(), op).bt()),
    }
}

/// The operand, which is the output as well, then [`Arguments`].
fn launch_in_place<T: Element>(
    op: &'static str,
    activation: Activation,
    device: &CudaDevice,
    x: &mut CudaSlice<T>,
    layout: &Layout,
) -> Result<()> {
    within(op, layout, x.len())?;
    let stream = device.cuda_stream();
    let gpu = Gpu::of(stream.context())?;
    let Some(plan) = Plan::in_place(op, activation, T::DTYPE, layout, gpu.target())? else {
        return Ok(());
    };
    let kernel = gpu.kernel(T::ACTIVATIONS, &plan.kernel)?;
    let mut view = x.slice_mut(plan.offsets[0]..);
    let (pointer, _written) = view.device_ptr_mut(&stream);
    let mut launch = stream.launch_builder(&kernel);
    launch.arg(&pointer);
    launch.arg(&pointer);
    launch.arg(&plan.arguments);
    // SAFETY: a kernel of this name takes an operand, an output and `Arguments`; every thread reads an element before
    // it writes the same one, and the elements of the layout lie within the storage, each in a place of its own.
    unsafe { launch.launch(config(plan.grid)) }.w()?;
    Ok(())
}

fn config(grid: u32) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (grid, 1, 1),
        block_dim: (THREADS, 1, 1),
        shared_mem_bytes: 0,
    }
}
