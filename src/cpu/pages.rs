//! The memory of outputs: uninitialised, in huge pages where it is large; and how large operands are accessed.

#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod mapping;

use super::isa::Access;
use candle_core::{bail, Result};
use std::mem::MaybeUninit;

/// Bytes from which on an output gets huge pages, and operands are asked for before they are used. Operands of fewer may lie in
/// the caches, where asking for them costs a derivative 3 %.
const LARGE: usize = 8 << 20;

/// An empty `Vec` with room for `len` elements.
pub(super) fn allocate<T>(op: &'static str, len: usize) -> Result<Vec<T>> {
    let mut out = Vec::new();
    // `Vec::with_capacity` would end the process.
    let result = out.try_reserve_exact(len);
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    let result = result.and_then(|()| mapping::align(&mut out, len));
    if let Err(error) = result {
        let bytes = len.saturating_mul(size_of::<T>());
        bail!("{op}: no memory for a result of {len} elements, {bytes} bytes: {error}")
    }
    if len * size_of::<T>() >= LARGE {
        ask_for_huge_pages(out.spare_capacity_mut());
    }
    Ok(out)
}

/// How to access the operands of an op with this output.
pub(super) fn access<T>(out: &[MaybeUninit<T>]) -> Access {
    if size_of_val(out) < LARGE {
        Access::Plain
    } else if streaming_pays(out) {
        Access::Streaming
    } else {
        Access::Ahead
    }
}

#[cfg(target_os = "linux")]
const PAGE: usize = 4096;

/// Asks for 2 MiB pages: a fresh 64 MiB output otherwise takes 16,384 page faults, which cost more than the arithmetic.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages<T>(memory: &mut [MaybeUninit<T>]) {
    let start = memory.as_ptr().addr() / PAGE * PAGE;
    let end = (memory.as_ptr().addr() + size_of_val(memory)).next_multiple_of(PAGE);
    // SAFETY: all of these pages hold a part of an allocation that we own, and the advice does not change contents.
    unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages<T>(_: &mut [MaybeUninit<T>]) {}

/// Whether stores past the caches pay: for outputs that are no smaller than a last-level cache often is, by several threads,
/// as one alone does not use up the memory's bandwidth, and on pages that the kernel does not clear on the way, which
/// brings them into the caches.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn streaming_pays<T>(memory: &[MaybeUninit<T>]) -> bool {
    const MIN_BYTES: usize = 32 << 20;
    let bytes = size_of_val(memory);
    if bytes < MIN_BYTES || candle_core::utils::barrier_pool().n_workers() == 0 {
        return false;
    }
    let mapped = |at: usize| {
        let page = (memory.as_ptr().addr() + at) / PAGE * PAGE;
        let mut resident = 0u8;
        // SAFETY: only looks at the page table, and writes one byte for one page.
        let result = unsafe { libc::mincore(page as *mut libc::c_void, PAGE, &mut resident) };
        result == 0 && resident & 1 == 1
    };
    [bytes / 4, bytes / 2, bytes / 4 * 3].into_iter().all(mapped)
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn streaming_pays<T>(_: &[MaybeUninit<T>]) -> bool {
    false
}
