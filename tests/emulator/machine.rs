//! Runs plans on the emulated device, as `src/cuda.rs` does on a real one, and checks every access to memory.

use super::support::backend::{Backend, Function};
use super::support::contract::Side;
use super::support::ulp::Element;
use candle_core::{bail, CpuStorage, DType, Device, Layout, Result, Storage, Tensor};
use candle_mish::internals::{self, Arguments, Plan, Target};
use half::{bf16, f16};
use libloading::{Library, Symbol};
use std::ffi::c_void;
use std::path::{Path, PathBuf};

/// `struct Region` of memory.h.
#[repr(C)]
pub struct Region {
    pub base: u64,
    pub bytes: u64,
    pub window: u64,
    pub window_bytes: u64,
    pub size: u64,
    pub data: *mut u8,
    pub writes: *mut u8,
}

/// `struct Report` of memory.h.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Report {
    pub bytes_written: u64,
    pub fault_address: u64,
    pub fault: u32,
    pad: u32,
}

type Emulate = unsafe extern "C" fn(
    *mut c_void,
    u32,
    *const u64,
    Arguments,
    u32,
    u32,
    u32,
    *mut Region,
    i32,
    *mut Report,
);

/// Where operands and output lie: apart, and aligned as allocations of a GPU are.
pub const BASES: [u64; 3] = [1 << 44, 2 << 44, 3 << 44];

/// A device of the given size. `recip` is by how many ulps its approximate reciprocal is off.
pub struct Machine {
    path: PathBuf,
    library: Library,
    target: Target,
    recip: i32,
}

impl Machine {
    pub fn new(path: &Path, units: u32, recip: i32) -> Self {
        // SAFETY: the library has been compiled from this repository and runs nothing when it is loaded.
        let library = unsafe { Library::new(path) }.expect("the emulator's library");
        Self {
            path: path.into(),
            library,
            target: Target { units },
            recip,
        }
    }

    /// Another device that runs the same kernels.
    pub fn variant(&self, units: u32, recip: i32) -> Self {
        Self::new(&self.path, units, recip)
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

    /// Blocks `blocks` of a plan's grid; regions are the operands' and the output's.
    pub fn launch<const N: usize>(
        &self,
        plan: &Plan<N>,
        size: usize,
        blocks: std::ops::Range<u32>,
        regions: &mut [Region],
    ) -> Report {
        let mut report = Report::default();
        assert_eq!(regions.len(), N + 1);
        let mut pointers: Vec<u64> = regions.iter().map(|r| r.base).collect();
        for (pointer, offset) in pointers.iter_mut().zip(plan.offsets) {
            *pointer += (offset * size) as u64;
        }
        // SAFETY: `emulate` and the kernels have these types; the regions' pointers are valid for their windows.
        unsafe {
            let emulate = self.function::<Emulate>("emulate").expect("emulate");
            let kernel = self.function::<*mut c_void>(&plan.kernel);
            let kernel = kernel.unwrap_or_else(|| panic!("there is no kernel {}", plan.kernel));
            let kernel = kernel.try_as_raw_ptr().expect("an address");
            emulate(
                kernel,
                N as u32,
                pointers.as_ptr(),
                plan.arguments,
                plan.grid,
                blocks.start,
                blocks.end,
                regions.as_mut_ptr(),
                self.recip,
                &mut report,
            );
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
        let mut out = vec![T::from_f64(f64::NAN); n];
        let Some(plan) = Plan::new(f, T::DTYPE, layouts, self.target)? else {
            return Ok(out);
        };
        let mut writes = vec![0u8; n * size];
        let region = |i: usize, len: usize, data: *mut u8, writes: *mut u8| {
            let bytes = (len * size) as u64;
            let size = size as u64;
            Region {
                base: BASES[i],
                bytes,
                window: 0,
                window_bytes: bytes,
                size,
                data,
                writes,
            }
        };
        let inputs = operands.iter().enumerate();
        let mut regions: Vec<Region> = inputs
            .map(|(i, t)| region(i, t.len(), t.as_ptr() as *mut u8, std::ptr::null_mut()))
            .collect();
        regions.push(region(N, n, out.as_mut_ptr().cast(), writes.as_mut_ptr()));
        let report = self.launch(&plan, size, 0..plan.grid, &mut regions);
        assert_eq!(
            report.fault, 0,
            "{}: {report:x?} of {plan:?} over {layouts:?}",
            plan.kernel
        );
        let wrong = writes.iter().position(|count| *count != 1);
        if let Some(i) = wrong {
            panic!(
                "{}: element {} is written {} times, {plan:?}",
                plan.kernel,
                i / size,
                writes[i]
            );
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

/// What a plan knows the function as.
pub fn planned(f: Function) -> internals::Function {
    internals::Function {
        activation: f.activation,
        order: f.order as u8,
    }
}

impl Backend for Machine {
    fn name(&self) -> String {
        format!(
            "emulated CUDA, {} multiprocessors, reciprocal off by {}",
            self.target.units, self.recip
        )
    }

    fn side(&self) -> Side {
        Side::Device
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

/// Every kernel that a plan can name.
pub fn every_kernel() -> Vec<String> {
    let dtypes = [DType::F16, DType::BF16, DType::F32, DType::F64];
    let of = |f: Function| {
        let name =
            move |dtype| internals::Path::ALL.map(|path| internals::kernel_name(planned(f), dtype, path));
        dtypes.into_iter().flat_map(name).flatten()
    };
    let mut names: Vec<_> = Function::all().into_iter().flat_map(of).collect();
    names.sort();
    names.dedup();
    names
}
