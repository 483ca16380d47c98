//! The Metal backend: translates a [`Plan`] into a dispatch. What can be wrong without a GPU is in `plan.rs` and
//! `msl.rs`.

use crate::extent::within;
use crate::msl::{self, Binder};
use crate::plan::{Function, Plan, Target, THREADS};
use candle_core::backend::BackendStorage;
use candle_core::{bail, Error, Layout, MetalDevice, MetalStorage, Result};
use candle_metal_kernels::metal::{Buffer, ComputeCommandEncoder, ComputePipeline, Library};
use candle_metal_kernels::MetalKernelError;
use objc2::available;
use objc2_metal::{MTLCompileOptions, MTLMathFloatingPointFunctions, MTLMathMode, MTLSize};
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::{PoisonError, RwLock};

/// Metal does not tell how many cores a GPU has. Apple's largest has 80; a smaller one takes the blocks in turns.
const TARGET: Target = Target {
    units: 80,
    double: false,
};

/// f(x), contiguous.
pub(crate) fn forward(function: Function, x: &MetalStorage, layout: &Layout) -> Result<MetalStorage> {
    dispatch(function, [x], [layout])
}

/// g·f⁽ᵏ⁾(x), contiguous; x and g have the same dtype.
pub(crate) fn derivative(
    function: Function,
    x: &MetalStorage,
    x_layout: &Layout,
    g: &MetalStorage,
    g_layout: &Layout,
) -> Result<MetalStorage> {
    dispatch(function, [x, g], [x_layout, g_layout])
}

/// The only place that binds buffers.
fn dispatch<const N: usize>(
    function: Function,
    operands: [&MetalStorage; N],
    layouts: [&Layout; N],
) -> Result<MetalStorage> {
    let (device, dtype) = (operands[0].device(), operands[0].dtype());
    let plan = Plan::new(function, dtype, layouts, TARGET)?;
    for (storage, layout) in operands.iter().zip(layouts) {
        within(
            function.name(),
            layout,
            storage.buffer().length() / dtype.size_in_bytes(),
        )?;
    }
    let n = layouts[0].shape().elem_count();
    let out = device
        .new_buffer_builder()
        .with_size_for(n, dtype)
        .with_label(function.name())
        .build()?;
    if let Some(plan) = plan {
        let pipeline = pipeline(device, function, &plan.kernel)?;
        let slices: [_; N] =
            std::array::from_fn(|i| (operands[i].buffer(), plan.offsets[i] * dtype.size_in_bytes()));
        // Last, as it holds the lock that allocations take as well.
        let guard = device.command_encoder()?;
        let encoder: &ComputeCommandEncoder = guard.as_ref();
        encoder.set_compute_pipeline_state(&pipeline);
        msl::bind(&mut Encoder(encoder), slices, (&out, 0), &plan.arguments);
        encoder.dispatch_thread_groups(line(plan.grid), line(THREADS));
    }
    Ok(MetalStorage::new(out, device.clone(), n, dtype))
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

/// What a device has compiled.
struct Kernels {
    library: Library,
    pipelines: BTreeMap<String, ComputePipeline>,
}

/// By the id of the GPU. candle's own cache takes candle's own sources only.
static KERNELS: RwLock<BTreeMap<u64, Kernels>> = RwLock::new(BTreeMap::new());

/// The kernel of a name, compiled once per device: whoever waited for the write lock looks again.
fn pipeline(device: &MetalDevice, function: Function, kernel: &str) -> Result<ComputePipeline> {
    let id = device.metal_device().registry_id();
    let known = |devices: &BTreeMap<u64, Kernels>| devices.get(&id)?.pipelines.get(kernel).cloned();
    // Whoever panics while holding the lock leaves the maps whole.
    let found = known(&KERNELS.read().unwrap_or_else(PoisonError::into_inner));
    if let Some(pipeline) = found {
        return Ok(pipeline);
    }
    let mut devices = KERNELS.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(pipeline) = known(&devices) {
        return Ok(pipeline);
    }
    let failed = |what: &str, error| failed(function, kernel, what, error);
    let device = device.metal_device();
    let kernels = match devices.entry(id) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(unknown) => unknown.insert(Kernels {
            library: device
                .new_library_with_source(msl::SOURCE, Some(&options()))
                .map_err(|e| failed("this system's Metal does not compile the source of", e))?,
            pipelines: BTreeMap::new(),
        }),
    };
    let pipeline = kernels
        .library
        .get_function(kernel, None)
        .map_err(|e| failed("the compiled library lacks", e))
        .and_then(|f| {
            device
                .new_compute_pipeline_state_with_function(&f)
                .map_err(|e| failed("this GPU's driver does not compile", e))
        })?;
    let most = pipeline.max_total_threads_per_threadgroup();
    if most < THREADS as usize {
        let op = function.name();
        bail!(
            "{op}: this GPU runs {kernel} with at most {most} threads in a group, expected {THREADS} or more"
        )
    }
    kernels.pipelines.insert(kernel.into(), pipeline.clone());
    Ok(pipeline)
}

fn failed(function: Function, kernel: &str, what: &str, error: MetalKernelError) -> Error {
    use MetalKernelError::{FailedToCreatePipeline, LoadFunctionError, LoadLibraryError};
    let why = match error {
        FailedToCreatePipeline(why) | LoadFunctionError(why) | LoadLibraryError(why) => why,
        other => other.to_string(),
    };
    Error::Msg(format!("{}: {what} {kernel}: {why}", function.name())).bt()
}

/// Without fast math: it reorders sums whose rounding errors the kernels keep, and takes NaN and ∞ to be absent.
fn options() -> objc2::rc::Retained<MTLCompileOptions> {
    let options = MTLCompileOptions::new();
    if available!(macos = 15, ios = 18) {
        options.setMathMode(MTLMathMode::Safe);
        options.setMathFloatingPointFunctions(MTLMathFloatingPointFunctions::Precise);
    } else {
        #[allow(deprecated)] // what later systems have instead is above
        options.setFastMathEnabled(false);
    }
    options
}
