//! Which blocks, loads and grids the contiguous kernels are fastest with: every kernel of every variant that
//! `ci/cuda-variants` has compiled, in grids of several sizes, in turns.

use super::cuda::{pointer, Gpu};
use super::median;
use candle_core::cuda_backend::cudarc::driver::sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
use candle_core::cuda_backend::cudarc::driver::sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK;
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaModule, CudaStream, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;
use candle_core::cuda_backend::WrapErr;
use candle_core::{bail, CudaDevice, DType, Device, Layout, Module, Result, Tensor};
use candle_mish::internals::{Arguments, Function, Plan, Target, THREADS};
use candle_mish::{Activation, Derivative, Softplus};
use indicatif::ProgressIterator;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Elements, where nobody asks for others.
pub const N: usize = 1 << 26;
const ROUNDS: usize = 11;
/// Blocks at most.
#[derive(Clone, Copy)]
enum Grid {
    /// So many times what the multiprocessors hold at once.
    Waves(u32),
    /// So many blocks of 256 threads per multiprocessor, or as many threads in other blocks.
    Blocks(u32),
    /// No thread has to loop.
    All,
}

const GRIDS: [Grid; 6] = [
    Grid::Waves(1),
    Grid::Waves(2),
    Grid::Waves(4),
    Grid::Blocks(32),
    Grid::Blocks(64),
    Grid::All,
];

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Waves(n) => write!(f, "{n}× resident"),
            Self::Blocks(n) => write!(f, "{n}"),
            Self::All => write!(f, "all"),
        }
    }
}

/// A variant of all kernels.
struct Variant {
    name: String,
    module: Arc<CudaModule>,
}

/// A kernel of a variant with its grid.
struct Launch {
    function: CudaFunction,
    config: LaunchConfig,
}

/// Times all kernels on n elements with the variants in a folder, and prints percents of the copy, the best worst one first.
pub fn run(device: &Device, gpu: &Gpu, folder: &Path, n: usize) -> Result<()> {
    let cuda = device.as_cuda_device()?;
    let variants = variants(cuda, folder)?;
    let functions = [Activation::Mish, Softplus::default().into()]
        .into_iter()
        .flat_map(|activation| [0, 1].map(|order| Function { activation, order }));
    let kernels: Vec<_> = functions
        .flat_map(|f| Gpu::DTYPES.iter().map(move |dtype| (f, *dtype)))
        .collect();
    let columns = kernels
        .iter()
        .progress()
        .map(|(f, dtype)| column(device, gpu, &variants, *f, *dtype, n))
        .collect::<Result<Vec<_>>>()?;

    let mut rows: Vec<_> = variants
        .iter()
        .flat_map(|v| GRIDS.map(|grid| (v.name.as_str(), grid)))
        .enumerate()
        .map(|(i, row)| (row, columns.iter().map(|column| column[i]).collect::<Vec<_>>()))
        .collect();
    // f64 is bound by arithmetic on most devices.
    let worst = |row: &[f64]| {
        let narrow = row
            .iter()
            .zip(&kernels)
            .filter(|(_, (_, dtype))| *dtype != DType::F64);
        narrow.map(|(percent, _)| *percent).fold(f64::INFINITY, f64::min)
    };
    rows.sort_by(|(_, a), (_, b)| worst(b).total_cmp(&worst(a)));
    println!(
        "Percents of the copy at {n} elements, median of {ROUNDS}; the worst is of f16, bf16 and f32.\n"
    );
    let heads = kernels.iter().map(|(f, dtype)| {
        let prime = if f.order == 0 { "" } else { "′" };
        format!("{}{prime} {}", f.activation, dtype.as_str())
    });
    println!(
        "| variant | grid | worst | {} |",
        heads.collect::<Vec<_>>().join(" | ")
    );
    println!("| --- | ---: | ---: |{}", " ---: |".repeat(kernels.len()));
    for ((name, grid), row) in &rows {
        let cells: Vec<_> = row.iter().map(|percent| format!("{percent:.1}")).collect();
        println!("| {name} | {grid} | {:.1} | {} |", worst(row), cells.join(" | "));
    }
    Ok(())
}

fn variants(device: &CudaDevice, folder: &Path) -> Result<Vec<Variant>> {
    let mut paths = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "ptx"));
    paths.sort();
    if paths.is_empty() {
        bail!("{} has no .ptx: ci/cuda-variants makes them", folder.display())
    }
    let context = device.cuda_stream().context().clone();
    let variant = |path: std::path::PathBuf| {
        Ok(Variant {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into(),
            module: context.load_module(Ptx::from_file(path)).w()?,
        })
    };
    paths.into_iter().map(variant).collect()
}

/// A kernel by name, and what it is called with.
struct Call {
    kernel: String,
    arguments: Arguments,
    operands: Vec<Tensor>,
    out: Tensor,
    /// The crate's results.
    expected: Tensor,
    stream: Arc<CudaStream>,
}

impl Call {
    fn new(device: &Device, f: Function, dtype: DType, n: usize) -> Result<Self> {
        let random = |_| Tensor::randn(0f32, 3f32, n, device)?.to_dtype(dtype);
        let operands = (0..=f.order.min(1)).map(random).collect::<Result<Vec<_>>>()?;
        // Grids do not come from the plan.
        let target = Target {
            units: 1,
            double: true,
        };
        let layout = Layout::contiguous(n);
        let (planned, expected) = match &operands[..] {
            [x, g] => {
                let plan = Plan::new(f, dtype, [&layout; 2], target)?;
                let derivative = Derivative::new(f.activation, f.order as usize)?;
                let expected = x.apply_op2_no_bwd(g, &derivative)?;
                (plan.map(|plan| (plan.kernel, plan.arguments)), expected)
            }
            _ => {
                let plan = Plan::new(f, dtype, [&layout], target)?;
                let expected = f.activation.forward(&operands[0])?;
                (plan.map(|plan| (plan.kernel, plan.arguments)), expected)
            }
        };
        let (kernel, arguments) = planned.expect("there are elements");
        Ok(Self {
            kernel,
            arguments,
            out: operands[0].zeros_like()?,
            operands,
            expected,
            stream: device.as_cuda_device()?.cuda_stream(),
        })
    }

    fn run(&self, launch: &Launch) -> Result<()> {
        let tensors = self.operands.iter().chain([&self.out]);
        let pointers = tensors.map(pointer).collect::<Result<Vec<_>>>()?;
        let mut builder = self.stream.launch_builder(&launch.function);
        for pointer in &pointers {
            builder.arg(pointer);
        }
        builder.arg(&self.arguments);
        // SAFETY: a variant's kernels take what the crate's do: operands and an output of equal length, and `Arguments`.
        unsafe { builder.launch(launch.config) }.w().map(drop)
    }

    /// The kernel of every variant, with all of its grids, once it is known to compute what the crate's does.
    fn launches(&self, variants: &[Variant]) -> Result<Vec<Launch>> {
        let units = self
            .stream
            .context()
            .attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
        let units = units.w()? as u32;
        let items = (self.out.elem_count() * self.out.dtype().size_in_bytes() / 16) as u32;
        let mut launches = Vec::new();
        for variant in variants {
            let function = variant.module.load_function(&self.kernel).w()?;
            let threads = function
                .get_attribute(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)
                .w()? as u32;
            let resident = function
                .occupancy_max_active_blocks_per_multiprocessor(threads, 0, None)
                .w()?;
            for grid in GRIDS {
                let blocks = items.div_ceil(threads);
                let most = match grid {
                    Grid::Waves(waves) => waves * units * resident,
                    Grid::Blocks(count) => count * units * THREADS / threads,
                    Grid::All => blocks,
                };
                let launch = Launch {
                    function: function.clone(),
                    config: LaunchConfig {
                        grid_dim: (blocks.min(most), 1, 1),
                        block_dim: (threads, 1, 1),
                        shared_mem_bytes: 0,
                    },
                };
                self.out.zero_set()?;
                self.run(&launch)?;
                // candle sums all of a tensor in a single block, which takes it 40 ms.
                let differ = self.out.ne(&self.expected)?.to_dtype(DType::F32)?;
                let differ = differ
                    .reshape((1 << 10, ()))?
                    .sum(1)?
                    .sum_all()?
                    .to_scalar::<f32>()?;
                if differ > 0.0 {
                    let (variant, kernel) = (&variant.name, &self.kernel);
                    bail!("{variant}: {differ} results of {kernel} differ from the crate's")
                }
                launches.push(launch);
            }
        }
        Ok(launches)
    }
}

/// Percents of the copy of one kernel, for every variant and grid.
fn column(
    device: &Device,
    gpu: &Gpu,
    variants: &[Variant],
    f: Function,
    dtype: DType,
    n: usize,
) -> Result<Vec<f64>> {
    let call = Call::new(device, f, dtype, n)?;
    let launches = call.launches(variants)?;
    let bytes = n * dtype.size_in_bytes();
    let mut copy = gpu.copy(&call.operands[0])?;
    let calls = (Gpu::SAMPLE_SECONDS / gpu.time(10, &mut copy)? * 10.0).ceil() as usize;
    let mut copies = Vec::new();
    let mut samples = vec![Vec::new(); launches.len()];
    for _ in 0..ROUNDS {
        copies.push(gpu.time(calls, &mut copy)?);
        for (launch, samples) in launches.iter().zip(&mut samples) {
            samples.push(gpu.time(calls, &mut || call.run(launch))?);
        }
    }
    let copied = 2.0 * bytes as f64 / median(copies);
    let moved = ((call.operands.len() + 1) * bytes) as f64;
    let percent = |samples| 100.0 * moved / median(samples) / copied;
    Ok(samples.into_iter().map(percent).collect())
}
