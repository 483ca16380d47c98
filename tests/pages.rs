//! Page faults of outputs that fill 16 or 32 huge pages. A file of its own, as they are counted for the whole process.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use candle_core::{DType, Device, Result, Tensor};
use candle_mish::mish;

/// More than 511 where the first huge page cannot be had. Depends on what the kernel has been told of huge pages, and on where
/// it places mappings.
#[test]
#[ignore = "needs huge pages on demand, and mappings that are not aligned to them: Linux before 6.7, or from 6.13 on"]
fn page_faults() -> Result<()> {
    let faults = || {
        // SAFETY: a struct of integers, which the call fills.
        let usage = unsafe {
            let mut usage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_SELF, &mut usage);
            usage
        };
        usage.ru_minflt
    };
    // The smaller is the least that glibc maps in any case.
    for mib in [32, 64] {
        let x = Tensor::zeros((mib << 20) / 4, DType::F32, &Device::Cpu)?;
        let mut least = i64::MAX;
        for _ in 0..8 {
            let before = faults();
            let y = mish(&x)?;
            least = least.min(faults() - before);
            drop(y);
        }
        println!("{mib} MiB: {least} page faults");
        assert!(least < mib as i64, "{mib} MiB: {least} page faults");
    }
    Ok(())
}
