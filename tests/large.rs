//! Outputs of 32 MiB and more, on fresh pages and on pages that are already mapped, to which several threads store past
//! the caches where they have AVX-512 or AVX2: the bits are those of small tensors.

mod support;

use candle_core::{CpuStorage, Result, Storage, Tensor};
use candle_mish::mish_affine;
use half::{bf16, f16};
use support::backend::{bits, values, Backend, Function, CPU};
use support::layouts::tensor;
use support::ulp::Element;

/// Odd, so that rows lie at every alignment and end within vectors.
const COLS: usize = 8191;
const MIN_BYTES: usize = 32 << 20;

/// Keeps freed memory mapped, if the allocator is glibc's.
fn keep_mapped() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: these only change the policy of later allocations and frees. Sanitizers answer 0 and do nothing.
    return unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0) == 1 && libc::mallopt(libc::M_TRIM_THRESHOLD, -1) == 1
    };
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}

fn address(t: &Tensor) -> usize {
    match &*t.storage_and_layout().0 {
        Storage::Cpu(CpuStorage::F16(v)) => v.as_ptr().addr(),
        Storage::Cpu(CpuStorage::BF16(v)) => v.as_ptr().addr(),
        Storage::Cpu(CpuStorage::F32(v)) => v.as_ptr().addr(),
        Storage::Cpu(CpuStorage::F64(v)) => v.as_ptr().addr(),
        _ => unreachable!("made on the CPU in one of these types"),
    }
}

/// `op` on rows that repeat one; if memory `keeps` mapped, until the output lies where the one before did.
fn check<T: Element>(what: &str, keeps: bool, op: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<()> {
    let rows = MIN_BYTES / size_of::<T>() / COLS + 1;
    let row = |seed| tensor::<T>(&[1, COLS], seed, CPU.device());
    let [x, g] = [row(1), row(2)];
    let expected = bits::<T>(&op(&x, &g)?);
    let [x, g] = [x, g].map(|t| t.repeat((rows, 1)));
    let (x, g) = (x?, g?);
    let mut before = 0;
    for round in 0..3 {
        let y = op(&x, &g)?;
        let is_mapped = std::mem::replace(&mut before, address(&y)) == before;
        if keeps && !is_mapped {
            assert!(round < 2, "{what} {:?}: never into mapped memory", T::DTYPE);
            continue;
        }
        for (i, row) in values::<T>(&y).chunks(COLS).enumerate() {
            let same = row.iter().map(|y| y.bits()).eq(expected.iter().copied());
            assert!(
                same,
                "{what} {:?}: row {i} differs, mapped: {is_mapped}",
                T::DTYPE
            );
        }
        break;
    }
    Ok(())
}

fn check_all<T: Element>(keeps: bool) -> Result<()> {
    for f in Function::plain() {
        check::<T>(&f.to_string(), keeps, |x, g| {
            CPU.apply(f, x, (f.order > 0).then_some(g))
        })?;
    }
    let parameters = |seed| tensor::<T>(&[COLS], seed, CPU.device());
    let (scale, shift) = (parameters(3), parameters(4));
    check::<T>("mish_affine", keeps, |x, _| mish_affine(x, &scale, &shift, 1))
}

fn check_every_type(keeps: bool) -> Result<()> {
    check_all::<f16>(keeps)?;
    check_all::<bf16>(keeps)?;
    check_all::<f32>(keeps)?;
    check_all::<f64>(keeps)
}

// One test, as the allocator's policy and the number of threads are those of the process.
#[test]
fn fresh_and_mapped_outputs() -> Result<()> {
    // Read when candle starts its threads, which is later.
    std::env::set_var("CANDLE_NUM_THREADS", "2");
    check_every_type(false)?;
    if keep_mapped() {
        check_every_type(true)?;
    }
    Ok(())
}
