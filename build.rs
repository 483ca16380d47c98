//! Compiles the CUDA kernels to PTX; without the feature `cuda` there is nothing to do. Metal compiles its source when
//! it runs.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    cuda::compile();
}

#[cfg(feature = "cuda")]
mod cuda {
    use std::fs::File;
    use std::path::PathBuf;
    use std::time::SystemTime;

    /// Every later GPU compiles PTX of this capability to its own code. From 90 on cudaforge would ask for code that
    /// is tied to one generation.
    const NEWEST: usize = 80;

    /// The kernels of each source for each element type, as files that include the former.
    fn modules() -> Vec<PathBuf> {
        let folder = |variable| PathBuf::from(std::env::var_os(variable).expect("cargo sets it"));
        let (root, out) = (folder("CARGO_MANIFEST_DIR"), folder("OUT_DIR"));
        let module = |source: &str, name: &str| {
            let (element, included) = (name.to_uppercase(), root.join("cuda").join(source));
            let path = out.join(format!("{source}_{name}.cu"));
            let text = format!(
                "#define MISH_TYPE {name}\n#define MISH_ELEMENT {element}\n#include \"{}.cu\"\n",
                included.display().to_string().replace('\\', "/")
            );
            // Older than this build, or cargo would take it for changed the next time.
            std::fs::write(&path, text)
                .and_then(|()| {
                    File::options()
                        .write(true)
                        .open(&path)?
                        .set_modified(SystemTime::UNIX_EPOCH)
                })
                .expect("OUT_DIR is writable");
            path
        };
        ["activations", "affine"]
            .iter()
            .flat_map(|source| ["f16", "bf16", "f32", "f64"].map(|name| module(source, name)))
            .collect()
    }

    pub fn compile() {
        for name in ["NVCC", "CUDA_HOME", "PATH"] {
            println!("cargo:rerun-if-env-changed={name}");
        }
        let capability = cudaforge::detect_compute_cap().map_or(NEWEST, |arch| arch.base().min(NEWEST));
        let result = cudaforge::KernelBuilder::new()
            .source_files(modules())
            .watch([
                "cuda/activations.cu",
                "cuda/affine.cu",
                "cuda/elements.cuh",
                "src/real.h",
                "src/formula.h",
                "src/quick.h",
            ])
            .compute_cap(capability)
            .arg("-std=c++17")
            .arg("-O3")
            // Low parts rely on products and sums that are rounded apart; formula.h says where they are not.
            .arg("-fmad=false")
            .build_ptx();
        if let Err(error) = result {
            eprintln!(
                "the feature `cuda` of candle-mish compiles its kernels with nvcc, which failed: {error}\n\
                 Install the CUDA toolkit, version 12 or later, with a C++ compiler that it supports, and put nvcc on \
                 PATH or set NVCC to it. In the repository, `ci/cuda-setup` installs a toolkit from PyPI."
            );
            std::process::exit(1);
        }
    }
}
