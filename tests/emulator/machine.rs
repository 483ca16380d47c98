//! Runs plans on the emulated device, as `src/cuda.rs` and `src/metal.rs` do on a real one, and checks every access to
//! memory.

use super::compiler::Kernels;
use super::gpu::{planned, Gpu};
use super::memory::{Region, Report, Writes, BASES};
use super::metal::{self, Slice};
use super::support::backend::{Backend, Function};
use super::support::contract::Side;
use super::support::ulp::Element;
use candle_core::{bail, CpuStorage, Device, Layout, Result, Storage, Tensor};
use candle_mish::internals::{self, MetalLibrary as Source, Plan, Target};
use half::{bf16, f16};
use libloading::{Library, Symbol};
use std::ffi::c_void;
use std::ops::Range;
use std::sync::Arc;

/// `struct Launch` of launch.h.
#[repr(C)]
struct Launch {
    pointers: *const u64,
    arguments: *const c_void,
    arguments_size: u64,
    write_limit: u64,
    pointer_count: u32,
    grid: u32,
    first: u32,
    last: u32,
    recip: i32,
    flush: u32,
}

type Emulate = unsafe extern "C" fn(*mut c_void, *const Launch, *mut Region, *mut Report);

/// A device of the given size.
pub struct Machine {
    kernels: Arc<Kernels>,
    library: Library,
    target: Target,
    /// By how many ulps its approximate reciprocal is off.
    recip: i32,
    flush: bool,
}

impl Machine {
    pub fn new(kernels: &Arc<Kernels>, units: u32) -> std::result::Result<Self, String> {
        let path = kernels.library()?;
        // SAFETY: the library has been compiled from this repository and runs nothing when it is loaded.
        let library = unsafe { Library::new(path) }.map_err(|error| error.to_string())?;
        let double = kernels.gpu.double();
        Ok(Self {
            kernels: kernels.clone(),
            library,
            target: Target { units, double },
            recip: 0,
            flush: false,
        })
    }

    /// Another device that runs the same kernels.
    pub fn variant(&self, units: u32, recip: i32) -> Self {
        Self {
            recip,
            ..Self::new(&self.kernels, units).expect("the emulator's library, once more")
        }
    }

    /// One that takes floats below the smallest normal number for zero.
    pub fn flushing(&self) -> Self {
        Self {
            flush: true,
            ..self.variant(self.target.units, self.recip)
        }
    }

    pub fn gpu(&self) -> Gpu {
        self.kernels.gpu
    }

    /// Whether its kernels are those of PTX.
    pub fn is_ptx(&self) -> bool {
        self.kernels.are_ptx()
    }

    /// Every kernel that a plan can name.
    pub fn kernels(&self) -> Vec<String> {
        match self.kernels.source {
            Source::Activations => self.gpu().kernels(),
            Source::Affine => self.gpu().affine_kernels(),
        }
    }

    pub fn target(&self) -> Target {
        self.target
    }

    /// A function of the library.
    ///
    /// # Safety
    /// `F` has to be its type.
    pub unsafe fn function<F>(&self, name: &str) -> Option<Symbol<'_, F>> {
        // SAFETY: the caller vouches for the type.
        unsafe { self.library.get(name.as_bytes()) }.ok()
    }

    /// The address of a kernel.
    pub fn kernel(&self, name: &str) -> Option<*mut c_void> {
        let prefix = if self.is_ptx() { "ptx_" } else { "" };
        // SAFETY: only the address is looked up.
        unsafe {
            self.function::<*mut c_void>(&format!("{prefix}{name}"))?
                .try_as_raw_ptr()
        }
    }

    /// Blocks `blocks` of a plan's grid; regions are the operands' and the output's.
    pub fn launch<const N: usize>(
        &self,
        plan: &Plan<N>,
        size: usize,
        blocks: Range<u32>,
        regions: &mut [Region],
    ) -> Report {
        assert_eq!(regions.len(), N + 1);
        let operands: [_; N] = std::array::from_fn(|i| (&regions[i], plan.offsets[i] * size));
        let pointers = self.pointers(operands, (&regions[N], 0), &plan.arguments);
        self.launch_kernel(
            &plan.kernel,
            &pointers,
            &plan.arguments,
            plan.grid,
            blocks,
            regions,
        )
    }

    /// What a kernel gets for these operands and this output.
    pub fn pointers<A: Copy, const N: usize>(
        &self,
        operands: [Slice; N],
        out: Slice,
        arguments: &A,
    ) -> Vec<u64> {
        match self.gpu() {
            Gpu::Cuda => {
                let address = |(region, offset): &Slice| region.base + *offset as u64;
                operands.iter().chain([&out]).map(address).collect()
            }
            Gpu::Metal => metal::pointers(operands, out, arguments),
        }
    }

    /// Blocks `blocks` of a grid of a kernel over these pointers, each of which lies in the region of its index.
    pub fn launch_kernel<A: Copy>(
        &self,
        kernel: &str,
        pointers: &[u64],
        arguments: &A,
        grid: u32,
        blocks: Range<u32>,
        regions: &mut [Region],
    ) -> Report {
        let mut report = Report::default();
        assert_eq!(pointers.len(), regions.len());
        let writable = regions.iter().filter(|region| !region.writes.is_null());
        let share = writable.map(|region| region.bytes).sum::<u64>() / u64::from(grid);
        let launch = Launch {
            pointers: pointers.as_ptr(),
            arguments: std::ptr::from_ref(arguments).cast(),
            arguments_size: std::mem::size_of::<A>() as u64,
            // Blocks differ by a round of the loop at most; anything that ends stays well below twice its share.
            write_limit: 2 * share * blocks.len() as u64 + (1 << 20),
            pointer_count: pointers.len() as u32,
            grid,
            first: blocks.start,
            last: blocks.end,
            recip: self.recip,
            flush: self.flush.into(),
        };
        // SAFETY: `emulate` has this type, and refuses sizes of `A` that its kernels do not have; the regions' pointers
        // are valid for their windows.
        unsafe {
            let emulate = self.function::<Emulate>("emulate").expect("emulate");
            let address = self
                .kernel(kernel)
                .unwrap_or_else(|| panic!("there is no kernel {kernel}"));
            emulate(address, &launch, regions.as_mut_ptr(), &mut report);
        }
        report
    }

    /// The whole grid over operands in memory. Fails on any access outside of them, and unless every element of the
    /// output is written exactly once.
    fn run<T: Element, const N: usize>(
        &self,
        f: internals::Function,
        operands: [&[T]; N],
        layouts: [&Layout; N],
    ) -> Result<Vec<T>> {
        let size = std::mem::size_of::<T>();
        let n = layouts[0].shape().elem_count();
        let out = vec![T::from_f64(f64::NAN); n];
        let Some(plan) = Plan::new(f, T::DTYPE, layouts, self.target)? else {
            return Ok(out);
        };
        let mut writes = Writes::new(n * size);
        let inputs = operands.iter().zip(BASES);
        let mut regions: Vec<Region> = inputs.map(|(t, base)| Writes::region(t, base, None)).collect();
        regions.push(Writes::region(&out, BASES[N], Some(&mut writes)));
        let report = self.launch(&plan, size, 0..plan.grid, &mut regions);
        assert_eq!(
            report.fault, 0,
            "{}: {report:x?} of {plan:?} over {layouts:?}",
            plan.kernel
        );
        for (i, count) in writes.of_elements(size).enumerate() {
            assert_eq!(count, 1, "{}: writes of element {i}, {plan:?}", plan.kernel);
        }
        assert_eq!(report.bytes_written, (n * size) as u64);
        Ok(out)
    }

    fn unary<T: Element>(&self, f: internals::Function, x: &[T], layout: &Layout) -> Result<Tensor> {
        Tensor::from_vec(self.run(f, [x], [layout])?, layout.shape(), &Device::Cpu)
    }

    fn binary<T: Element>(
        &self,
        f: internals::Function,
        x: &[T],
        g: &[T],
        layouts: [&Layout; 2],
    ) -> Result<Tensor> {
        Tensor::from_vec(self.run(f, [x, g], layouts)?, layouts[0].shape(), &Device::Cpu)
    }
}

impl Backend for Machine {
    fn name(&self) -> String {
        let (gpu, units, recip) = (self.gpu(), self.target.units, self.recip);
        let ptx = if self.is_ptx() { " from PTX" } else { "" };
        let flush = if self.flush { ", flushing to zero" } else { "" };
        format!("emulated {gpu:?}{ptx}, {units} multiprocessors, reciprocal off by {recip}{flush}")
    }

    fn side(&self) -> Side {
        Side::Device
    }

    fn flushes(&self) -> bool {
        self.flush
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn apply(&self, f: Function, x: &Tensor, g: Option<&Tensor>) -> Result<Tensor> {
        use CpuStorage::{BF16, F16, F32, F64};
        let ones = match g {
            None if f.order > 0 => Some(x.ones_like()?),
            _ => None,
        };
        let f_plan = planned(f);
        let (x, x_layout) = x.storage_and_layout();
        let Storage::Cpu(x) = &*x else {
            bail!("the emulator takes tensors of the CPU")
        };
        let Some(g) = g.or(ones.as_ref()) else {
            return match x {
                F16(x) => self.unary::<f16>(f_plan, x, x_layout),
                BF16(x) => self.unary::<bf16>(f_plan, x, x_layout),
                F32(x) => self.unary::<f32>(f_plan, x, x_layout),
                F64(x) => self.unary::<f64>(f_plan, x, x_layout),
                _ => bail!("no such type"),
            };
        };
        let (g, g_layout) = g.storage_and_layout();
        let Storage::Cpu(g) = &*g else {
            bail!("the emulator takes tensors of the CPU")
        };
        let layouts = [x_layout, g_layout];
        match (x, g) {
            (F16(x), F16(g)) => self.binary::<f16>(f_plan, x, g, layouts),
            (BF16(x), BF16(g)) => self.binary::<bf16>(f_plan, x, g, layouts),
            (F32(x), F32(g)) => self.binary::<f32>(f_plan, x, g, layouts),
            (F64(x), F64(g)) => self.binary::<f64>(f_plan, x, g, layouts),
            _ => bail!("no such types"),
        }
    }
}
