//! What differs between the emulated kinds of GPU.

use super::support::backend::Function;
use candle_core::DType;
use candle_mish::internals::{self, AffinePass, AffinePath, Fused, Path};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gpu {
    Cuda,
    Metal,
}

impl Gpu {
    pub const ALL: [Self; 2] = [Self::Cuda, Self::Metal];

    /// As in the names of tests and of the files here.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Metal => "metal",
        }
    }

    /// Whether it has f64.
    pub fn double(self) -> bool {
        self == Self::Cuda
    }

    pub fn dtypes(self) -> Vec<DType> {
        let double = self.double().then_some(DType::F64);
        [DType::F16, DType::BF16, DType::F32]
            .into_iter()
            .chain(double)
            .collect()
    }

    /// Every kernel that a plan of the fused neighbours can name.
    pub fn affine_kernels(self) -> Vec<String> {
        let passes = [AffinePass::Forward, AffinePass::Input, AffinePass::Sums];
        let mut names = vec![];
        for fused in Fused::ALL {
            for (pass, dtype) in passes
                .into_iter()
                .flat_map(|p| self.dtypes().into_iter().map(move |d| (p, d)))
            {
                let name = |path| internals::affine_kernel_name(fused, pass, dtype, path);
                names.extend(AffinePath::ALL.into_iter().filter_map(name));
            }
        }
        names
    }

    /// Every kernel that a plan can name.
    pub fn kernels(self) -> Vec<String> {
        let of = |f: Function| {
            let name = move |dtype| Path::ALL.map(|path| internals::kernel_name(planned(f), dtype, path));
            self.dtypes().into_iter().flat_map(name).flatten()
        };
        let mut names: Vec<_> = Function::all().into_iter().flat_map(of).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// What a plan knows the function as.
pub fn planned(f: Function) -> internals::Function {
    internals::Function {
        activation: f.activation,
        order: f.order as u8,
    }
}
