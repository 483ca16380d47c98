//! The kernels as candle loads them: a module for each element type, as the driver compiles a whole module when the first of
//! its kernels is asked for.

use candle_core::cuda_backend::cudarc::driver::DeviceRepr;
use candle_core::cuda_backend::{CudaDType, DeviceId};
use candle_core::{CudaDevice, Result, WithDType};
use half::{bf16, f16};
use std::sync::{PoisonError, RwLock};

/// PTX, and the name that candle keeps it by, per device, for all crates of the process.
#[derive(Clone, Copy)]
pub(super) struct Module {
    name: &'static str,
    ptx: &'static str,
}

/// An element type that there are kernels for.
pub(super) trait Element: CudaDType + DeviceRepr + WithDType {
    const ACTIVATIONS: Module;
    const AFFINE: Module;
}

macro_rules! module {
    ($source:literal, $t:ty) => {
        Module {
            name: concat!(
                "candle-mish ",
                env!("CARGO_PKG_VERSION"),
                " ",
                $source,
                " ",
                stringify!($t)
            ),
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
    ($($t:ty),*) => {$(
        impl Element for $t {
            const ACTIVATIONS: Module = module!("activations", $t);
            const AFFINE: Module = module!("affine", $t);
        }
    )*};
}
elements!(f16, bf16, f32, f64);

impl Module {
    /// What `find` returns for its name and PTX, one of its kernels. candle loads a module for every thread that finds none, and
    /// keeps the last: so that no kernel is queued of one that is unloaded, a module that has not been loaded is looked for
    /// by one thread at a time.
    pub(super) fn in_turn<K>(
        self,
        device: &CudaDevice,
        find: impl Fn(&str, &'static str) -> Result<K>,
    ) -> Result<K> {
        static LOADED: RwLock<Vec<(DeviceId, &str)>> = RwLock::new(Vec::new());
        let key = (device.id(), self.name);
        // Whoever panics while holding the lock leaves the list whole.
        let is_loaded = LOADED
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&key);
        if is_loaded {
            return find(self.name, self.ptx);
        }
        let mut loaded = LOADED.write().unwrap_or_else(PoisonError::into_inner);
        let kernel = find(self.name, self.ptx)?;
        if !loaded.contains(&key) {
            loaded.push(key);
        }
        Ok(kernel)
    }
}
