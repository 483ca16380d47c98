//! The Metal backend: translates a [`Plan`] into a dispatch. What can be wrong without a GPU is in `plan.rs` and
//! `msl.rs`.

mod affine;
mod pipeline;

use crate::activation::Activation;
use crate::extent::within;
use crate::msl::{self, Binder, Slice};
use crate::plan::{Arguments, Function, Plan, Target, THREADS};
pub(crate) use affine::affine;
use candle_core::backend::BackendStorage;
use candle_core::{DType, Error, Layout, MetalDevice, MetalStorage, Result};
use candle_metal_kernels::metal::{Buffer, ComputeCommandEncoder};
use objc2_metal::MTLSize;
use pipeline::pipeline;

/// Metal does not tell how many cores a GPU has. Apple's largest has 80; a smaller one takes the blocks in turns.
const TARGET: Target = Target {
    units: 80,
    double: false,
};

/// f(x), contiguous.
pub(crate) fn forward(function: Function, x: &MetalStorage, layout: &Layout) -> Result<MetalStorage> {
    elementwise(function, [x], [layout])
}

/// g·f⁽ᵏ⁾(x), contiguous; x and g have the same dtype.
pub(crate) fn derivative(
    function: Function,
    x: &MetalStorage,
    x_layout: &Layout,
    g: &MetalStorage,
    g_layout: &Layout,
) -> Result<MetalStorage> {
    elementwise(function, [x, g], [x_layout, g_layout])
}

fn elementwise<const N: usize>(
    function: Function,
    operands: [&MetalStorage; N],
    layouts: [&Layout; N],
) -> Result<MetalStorage> {
    let (device, dtype, op) = (operands[0].device(), operands[0].dtype(), function.name());
    let plan = Plan::new(function, dtype, layouts, TARGET)?;
    for (storage, layout) in operands.iter().zip(layouts) {
        in_buffer(op, storage, layout)?;
    }
    let n = layouts[0].shape().elem_count();
    let out = device
        .new_buffer_builder()
        .with_size_for(n, dtype)
        .with_label(op)
        .build()?;
    if let Some(plan) = plan {
        let slices: [_; N] = std::array::from_fn(|i| slice(operands[i], plan.offsets[i]));
        dispatch(device, op, &Launch::from(&plan), slices, (&out, 0))?;
    }
    Ok(MetalStorage::new(out, device.clone(), n, dtype))
}

/// f(x) into x.
pub(crate) fn in_place(
    activation: Activation,
    x: &mut MetalStorage,
    layout: &Layout,
    op: &'static str,
) -> Result<()> {
    if !matches!(x.dtype(), DType::F16 | DType::BF16 | DType::F32) {
        return Err(Error::UnsupportedDTypeForOp(x.dtype(), op).bt());
    }
    in_buffer(op, x, layout)?;
    match Plan::in_place(op, activation, x.dtype(), layout, TARGET)? {
        Some(plan) => {
            let x_slice = slice(x, plan.offsets[0]);
            dispatch(x.device(), op, &Launch::from(&plan), [x_slice], x_slice)
        }
        None => Ok(()),
    }
}

/// Nothing, if every element lies within the buffer.
fn in_buffer(op: &'static str, storage: &MetalStorage, layout: &Layout) -> Result<()> {
    within(
        op,
        layout,
        storage.buffer().length() / storage.dtype().size_in_bytes(),
    )
}

/// The elements of a storage from one on.
fn slice(storage: &MetalStorage, start: usize) -> Slice<'_, Buffer> {
    (storage.buffer(), start * storage.dtype().size_in_bytes())
}

/// What a plan says of a dispatch.
struct Launch<'a, A> {
    library: msl::Library,
    kernel: &'a str,
    arguments: &'a A,
    grid: u32,
}

impl<'a, const N: usize> From<&'a Plan<N>> for Launch<'a, Arguments> {
    fn from(plan: &'a Plan<N>) -> Self {
        Self {
            library: msl::Library::Activations,
            kernel: &plan.kernel,
            arguments: &plan.arguments,
            grid: plan.grid,
        }
    }
}

/// The only place that binds buffers.
fn dispatch<A: Copy, const N: usize>(
    device: &MetalDevice,
    op: &str,
    launch: &Launch<A>,
    operands: [Slice<Buffer>; N],
    out: Slice<Buffer>,
) -> Result<()> {
    let pipeline = pipeline(device, op, launch.library, launch.kernel)?;
    // Last, as it holds the lock that allocations take as well.
    let guard = device.command_encoder()?;
    let encoder: &ComputeCommandEncoder = guard.as_ref();
    encoder.set_compute_pipeline_state(&pipeline);
    msl::bind(&mut Encoder(encoder), operands, out, launch.arguments);
    encoder.dispatch_thread_groups(line(launch.grid), line(THREADS));
    Ok(())
}

fn line(width: u32) -> MTLSize {
    MTLSize {
        width: width as usize,
        height: 1,
        depth: 1,
    }
}

struct Encoder<'a>(&'a ComputeCommandEncoder);

impl Binder for Encoder<'_> {
    type Buffer = Buffer;

    fn input(&mut self, index: usize, buffer: &Buffer, offset: usize) {
        self.0.set_input_buffer(index, Some(buffer), offset);
    }

    fn output(&mut self, index: usize, buffer: &Buffer, offset: usize) {
        self.0.set_output_buffer(index, Some(buffer), offset);
    }

    fn arguments<A: Copy>(&mut self, index: usize, arguments: &A) {
        self.0.set_bytes(index, arguments);
    }
}
