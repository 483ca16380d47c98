//! Finds a host C++ compiler and makes a library of a kernel source.

use super::gpu::Gpu;
use candle_mish::internals::MetalLibrary as Source;
use std::path::{Path, PathBuf};
use std::process::{id, Command, Output};
use std::sync::OnceLock;

/// Kernels of one source for a kind of GPU as a shared library, made when the first test asks for it.
pub struct Kernels {
    pub gpu: Gpu,
    pub source: Source,
    compiler: Option<String>,
    /// What `ci/cuda-ptx` has made of the PTX of both CUDA sources: kernels in the place of the sources' own.
    ptx: Option<PathBuf>,
    library: OnceLock<Result<PathBuf, String>>,
    spliced: OnceLock<Result<PathBuf, String>>,
}

impl Kernels {
    pub fn of(gpu: Gpu, source: Source) -> Self {
        Self {
            gpu,
            source,
            compiler: find(gpu),
            ptx: std::env::var_os("EMULATED_PTX")
                .filter(|_| gpu == Gpu::Cuda)
                .map(PathBuf::from),
            library: OnceLock::new(),
            spliced: OnceLock::new(),
        }
    }

    /// Without one, the tests are ignored.
    pub fn has_compiler(&self) -> bool {
        self.compiler.is_some()
    }

    /// Whether its kernels are those of PTX.
    pub fn are_ptx(&self) -> bool {
        self.ptx.is_some()
    }

    /// Whether MSL's address spaces are told apart.
    pub fn has_address_spaces(&self) -> bool {
        let version = self.compiler.as_deref().and_then(version);
        version.is_some_and(|text| text.contains("clang"))
    }

    pub fn library(&self) -> Result<&Path, String> {
        let make = || {
            let library = temporary(&format!(
                "emulator-{}-{:?}-{}.so",
                self.gpu.name(),
                self.source,
                id()
            ));
            let source = folder().join(self.gpu.name()).with_extension("cpp");
            self.compile(&source, &["-shared", "-o", library.to_str().unwrap()])?;
            Ok(library)
        };
        self.library.get_or_init(make).as_deref().map_err(String::clone)
    }

    /// A source that includes a shim, with the warnings that the kernels have.
    ///
    /// Nothing may be contracted: both vendors' compilers are told the same, so that all round alike.
    pub fn compile(&self, source: &Path, options: &[&str]) -> Result<(), String> {
        let compiler = self.compiler.as_deref().ok_or("no C++ compiler was found")?;
        let mut command = Command::new(compiler);
        command.args(["-O2", "-ffp-contract=off", "-fPIC", "-fvisibility=hidden"]);
        // -Wno-attributes: [[buffer(0)]] and its like say nothing to a host compiler.
        command.args([
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-unknown-pragmas",
            "-Wno-attributes",
        ]);
        if self.source == Source::Affine {
            command.arg("-DEMULATE_AFFINE");
        }
        match self.gpu {
            Gpu::Cuda => {
                command.arg("-std=c++17");
                if let Some(folder) = &self.ptx {
                    let name = format!("{:?}.h", self.source).to_lowercase();
                    command.arg(format!("-DEMULATED_PTX={:?}", folder.join(name)));
                }
            }
            Gpu::Metal => {
                // MSL is C++14 and has no double.
                command.args(["-std=c++14", "-Wdouble-promotion"]);
                command.arg(format!("-DSPLICED_SOURCE={:?}", self.spliced()?));
            }
        }
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("fma") {
            command.arg("-mfma");
        }
        command
            .arg("-I")
            .arg(folder().join("include"))
            .arg("-I")
            .arg(folder());
        command.args(options).arg(source);
        let output = command.output().map_err(|e| format!("{compiler}: {e}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!(
                "{command:?} failed:\n{}",
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }

    /// The source that Metal compiles, as a file.
    fn spliced(&self) -> Result<&Path, String> {
        let make = || {
            let path = temporary(&format!("spliced-{:?}-{}.metal", self.source, id()));
            std::fs::write(&path, self.source.source()).map_err(|e| format!("{path:?}: {e}"))?;
            Ok(path)
        };
        self.spliced.get_or_init(make).as_deref().map_err(String::clone)
    }

    /// Left behind, the files would only take space.
    pub fn clean_up(&self) {
        for path in [&self.library, &self.spliced]
            .into_iter()
            .filter_map(|file| file.get()?.as_ref().ok())
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emulator")
}

/// Names in it have the process's id: test binaries of other features may run at the same time.
pub fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// What `$CXX` names, which has to run; else the first of the usual names that does. For Metal, clang comes first.
fn find(gpu: Gpu) -> Option<String> {
    match std::env::var("CXX") {
        Ok(name) if !name.is_empty() => {
            assert!(version(&name).is_some(), "CXX names {name:?}, which does not run");
            Some(name)
        }
        _ => {
            let mut names = ["c++", "g++", "clang++"];
            if gpu == Gpu::Metal {
                names.rotate_right(1);
            }
            names
                .into_iter()
                .find(|name| version(name).is_some())
                .map(String::from)
        }
    }
}

fn version(compiler: &str) -> Option<String> {
    let succeeds = |output: Output| {
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    Command::new(compiler)
        .arg("--version")
        .output()
        .ok()
        .and_then(succeeds)
}
