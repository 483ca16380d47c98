//! What is kept of a GPU: its size, and the kernels that have been asked for. candle keeps modules as well, but looks a kernel
//! up in the driver for every launch, and loads a module once for every thread that finds it missing.

use crate::plan::Target;
use candle_core::cuda_backend::cudarc::driver::sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, CudaFunction, CudaModule, DeviceRepr};
use candle_core::cuda_backend::{CudaDType, WrapErr};
use candle_core::{Result, WithDType};
use half::{bf16, f16};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Kernels that are loaded together. There is a module for each element type, as the driver compiles a whole module when the
/// first of its kernels is asked for.
pub(super) struct Module {
    /// Among all.
    index: usize,
    ptx: &'static str,
}

/// An element type that there are kernels for.
pub(super) trait Element: CudaDType + DeviceRepr + WithDType {
    const ACTIVATIONS: Module;
    const AFFINE: Module;
}

macro_rules! module {
    ($index:expr, $source:literal, $t:ty) => {
        Module {
            index: $index,
            ptx: include_str!(concat!(
                env!("OUT_DIR"),
                "/",
                $source,
                "_",
                stringify!($t),
                ".ptx"
            )),
        }
    };
}

macro_rules! elements {
    ($($t:ty, $index:literal;)*) => {
        $(
            impl Element for $t {
                const ACTIVATIONS: Module = module!(2 * $index, "activations", $t);
                const AFFINE: Module = module!(2 * $index + 1, "affine", $t);
            }
        )*
        const MODULES: usize = 2 * [$($index),*].len();
    };
}
elements!(f16, 0; bf16, 1; f32, 2; f64, 3;);

/// Of a context, for as long as the process lasts: a primary context stays the same, and what is kept here keeps it.
pub(super) struct Gpu {
    context: Arc<CudaContext>,
    target: Target,
    loaded: RwLock<Loaded>,
}

#[derive(Default)]
struct Loaded {
    modules: [Option<Arc<CudaModule>>; MODULES],
    kernels: HashMap<String, CudaFunction>,
}

impl Gpu {
    pub(super) fn of(context: &Arc<CudaContext>) -> Result<&'static Self> {
        static GPUS: RwLock<Vec<&Gpu>> = RwLock::new(Vec::new());
        let find = |gpus: &[&'static Self]| {
            let same = |gpu: &&&Self| gpu.context.cu_ctx() == context.cu_ctx();
            gpus.iter().find(same).copied()
        };
        // Whoever panics while holding a lock leaves what it guards whole.
        if let Some(gpu) = find(&GPUS.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(gpu);
        }
        let mut gpus = GPUS.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(gpu) = find(&gpus) {
            return Ok(gpu);
        }
        let units = context.attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT).w()?;
        let gpu = Box::leak(Box::new(Self {
            context: context.clone(),
            target: Target {
                units: units as u32,
                double: true,
            },
            loaded: RwLock::default(),
        }));
        gpus.push(gpu);
        Ok(gpu)
    }

    pub(super) fn target(&self) -> Target {
        self.target
    }

    /// A kernel by its name, of the module that has it.
    pub(super) fn kernel(&self, module: Module, name: &str) -> Result<CudaFunction> {
        let find = |loaded: &Loaded| loaded.kernels.get(name).cloned();
        if let Some(kernel) = find(&self.loaded.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(kernel);
        }
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernel) = find(&loaded) {
            return Ok(kernel);
        }
        let of = match &loaded.modules[module.index] {
            Some(of) => of.clone(),
            None => {
                let of = self.context.load_module(module.ptx.into()).w()?;
                loaded.modules[module.index] = Some(of.clone());
                of
            }
        };
        // Ops in place come here without an allocation before, which would have bound it.
        self.context.bind_to_thread().w()?;
        let kernel = of.load_function(name).w()?;
        loaded.kernels.insert(name.to_string(), kernel.clone());
        Ok(kernel)
    }
}
