//! The CUDA backend: translates a [`Plan`] into a launch. What can be wrong without a GPU is in `plan.rs`.

use crate::extent::within;
use crate::plan::{Arguments, Function, Plan, Target, THREADS};
use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DeviceRepr, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::{CudaDType, CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, CudaStorage, Error, Layout, Result, WithDType};

const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/activations.ptx"));
/// candle keeps modules by this name, per device, for all crates of the process.
const MODULE: &str = concat!("candle-mish ", env!("CARGO_PKG_VERSION"), " activations");

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
fn launch<T: CudaDType + DeviceRepr + WithDType, const N: usize>(
    function: Function,
    device: &CudaDevice,
    operands: [&CudaSlice<T>; N],
    layouts: [&Layout; N],
) -> Result<CudaStorage> {
    for (slice, layout) in operands.iter().zip(layouts) {
        within(function.name(), layout, slice.len())?;
    }
    let plan = Plan::new(function, T::DTYPE, layouts, target(device)?)?;
    // SAFETY: the kernel writes every element; nothing reads them before it, as it runs on the stream that allocates.
    let mut out = unsafe { device.alloc::<T>(plan.as_ref().map_or(0, |plan| plan.arguments.n as usize))? };
    if let Some(plan) = plan {
        let kernel = device.get_or_load_custom_func(&plan.kernel, MODULE, PTX)?;
        let views: Vec<_> = operands
            .iter()
            .zip(plan.offsets)
            .map(|(slice, start)| slice.slice(start..))
            .collect();
        let mut launch = kernel.builder();
        for view in &views {
            launch.arg(view);
        }
        launch.arg(&mut out);
        launch.arg(&plan.arguments);
        let config = LaunchConfig {
            grid_dim: (plan.grid, 1, 1),
            block_dim: (THREADS, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: a kernel of this name takes N operands, an output and `Arguments`; the plan covers exactly the
        // elements of the layouts, which `within` has found to lie in the operands' storage.
        unsafe { launch.launch(config) }.w()?;
    }
    Ok(CudaStorage::wrap_cuda_slice(out, device.clone()))
}

fn target(device: &CudaDevice) -> Result<Target> {
    let stream = device.cuda_stream();
    let units = stream
        .context()
        .attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
        .w()?;
    Ok(Target { units: units as u32 })
}
