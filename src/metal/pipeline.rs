//! Kernels as Metal compiles them, once per device.

use crate::msl;
use crate::plan::THREADS;
use candle_core::{bail, Error, MetalDevice, Result};
use candle_metal_kernels::metal::{ComputePipeline, Library};
use candle_metal_kernels::MetalKernelError;
use objc2_metal::{MTLCompileOptions, MTLMathFloatingPointFunctions, MTLMathMode};
use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::Deref;
use std::sync::{PoisonError, RwLock};

/// What a device has compiled.
struct Kernels {
    library: Library,
    pipelines: BTreeMap<String, ComputePipeline>,
}

/// By the id of the GPU. candle's own cache takes candle's own sources only.
static KERNELS: RwLock<BTreeMap<(u64, msl::Library), Kernels>> = RwLock::new(BTreeMap::new());

/// The kernel of a name, compiled once per device: whoever waited for the write lock looks again.
pub(super) fn pipeline(
    device: &MetalDevice,
    op: &str,
    library: msl::Library,
    kernel: &str,
) -> Result<ComputePipeline> {
    let id = (device.metal_device().registry_id(), library);
    let known = |all: &BTreeMap<_, Kernels>| all.get(&id)?.pipelines.get(kernel).cloned();
    // Whoever panics while holding the lock leaves the maps whole.
    let found = known(&KERNELS.read().unwrap_or_else(PoisonError::into_inner));
    if let Some(pipeline) = found {
        return Ok(pipeline);
    }
    let mut all = KERNELS.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(pipeline) = known(&all) {
        return Ok(pipeline);
    }
    let failed = |what: &str, error| failed(op, kernel, what, error);
    let device = device.metal_device();
    let kernels = match all.entry(id) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(unknown) => unknown.insert(Kernels {
            library: device
                .new_library_with_source(library.source(), Some(&*options()))
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
        bail!(
            "{op}: this GPU runs {kernel} with at most {most} threads in a group, expected {THREADS} or more"
        )
    }
    kernels.pipelines.insert(kernel.into(), pipeline.clone());
    Ok(pipeline)
}

fn failed(op: &str, kernel: &str, what: &str, error: MetalKernelError) -> Error {
    use MetalKernelError::{FailedToCreatePipeline, LoadFunctionError, LoadLibraryError};
    let why = match error {
        FailedToCreatePipeline(why) | LoadFunctionError(why) | LoadLibraryError(why) => why,
        other => other.to_string(),
    };
    Error::Msg(format!("{op}: {what} {kernel}: {why}")).bt()
}

/// Without fast math: it reorders sums whose rounding errors the kernels keep, and takes NaN and ∞ to be absent.
fn options() -> impl Deref<Target = MTLCompileOptions> {
    // Both came with macOS 15 and iOS 18, as did the residency sets without which candle opens no device.
    let options = MTLCompileOptions::new();
    options.setMathMode(MTLMathMode::Safe);
    options.setMathFloatingPointFunctions(MTLMathFloatingPointFunctions::Precise);
    options
}
