//! Finds a host C++ compiler and makes a library of a kernel source.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The first of `$CXX`, `c++`, `g++` and `clang++` that runs. What `$CXX` names has to.
pub fn find() -> Option<String> {
    let runs = |name: &str| {
        Command::new(name)
            .arg("--version")
            .output()
            .is_ok_and(|o| o.status.success())
    };
    match std::env::var("CXX") {
        Ok(name) if !name.is_empty() => {
            assert!(runs(&name), "CXX names {name:?}, which does not run");
            Some(name)
        }
        _ => ["c++", "g++", "clang++"]
            .into_iter()
            .find(|name| runs(name))
            .map(String::from),
    }
}

/// `tests/emulator/{name}.cpp` as a shared library.
///
/// Nothing may be contracted: `-fmad=false` holds for nvcc as well, so that both round alike.
pub fn build(compiler: &str, name: &str) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emulator");
    // Test binaries of other features may build at the same time.
    let library =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("emulator-{name}-{}.so", std::process::id()));
    let mut command = Command::new(compiler);
    command.args([
        "-std=c++17",
        "-O2",
        "-ffp-contract=off",
        "-shared",
        "-fPIC",
        "-fvisibility=hidden",
    ]);
    command.args(["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]);
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("fma") {
        command.arg("-mfma");
    }
    command.arg("-I").arg(folder.join("include"));
    command
        .arg("-o")
        .arg(&library)
        .arg(folder.join(name).with_extension("cpp"));
    let output = command.output().map_err(|e| format!("{compiler}: {e}"))?;
    match output.status.success() {
        true => Ok(library),
        false => Err(format!(
            "{command:?} failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}
