//! Where outputs come from: fresh pages or pages that are already mapped.
//!
//! glibc serves large allocations by mmap and gives them back when freed, so that every call that makes a new
//! output pays for page faults. Told not to use mmap and never to trim the heap, it hands out the memory of the
//! output that was dropped last, still mapped: what an allocator that keeps memory, or an op in place, would see.

use candle_core::utils::barrier_pool;
use std::mem::MaybeUninit;

const PAGE: usize = 4096;

/// Bytes from which on an allocation has a mapping of its own, after [`fresh_outputs`].
pub const OWN_MAPPING: usize = 32 << 20;

/// glibc's default in the state that its adaptive thresholds reach after large allocations: mmap above 32 MiB.
/// Set at the start, so that results do not depend on the order of cases.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn fresh_outputs() {
    const THRESHOLD: i32 = OWN_MAPPING as i32;
    // SAFETY: these only change the policy of later allocations and frees.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 65_536);
        libc::mallopt(libc::M_MMAP_THRESHOLD, THRESHOLD);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * THRESHOLD);
        libc::malloc_trim(0);
    }
}

/// Keeps freed memory mapped from here on.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn mapped_outputs() {
    // SAFETY: as above. A threshold of −1 disables trimming.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}

/// Whether these switches are there.
pub const CAN_KEEP_MAPPED: bool = cfg!(all(target_os = "linux", target_env = "gnu"));

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn fresh_outputs() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn mapped_outputs() {}

/// A new output of so many bytes, each page of it written to, and nothing computed: by as many threads as the ops have, on
/// the pages that they ask for.
pub fn fresh_pages(bytes: usize) -> Vec<u8> {
    let mut memory = Vec::with_capacity(bytes);
    advise_huge_pages(memory.spare_capacity_mut());
    let start = memory.as_mut_ptr() as usize;
    barrier_pool().execute_chunked(bytes / PAGE, |pages| {
        for page in pages {
            // SAFETY: within the allocation, and no two threads get the same page.
            unsafe { (start as *mut u8).add(page * PAGE).write_volatile(1) }
        }
    });
    memory
}

/// Asks for the 2 MiB pages that our outputs ask for.
pub fn advise_huge_pages(memory: &mut [MaybeUninit<u8>]) {
    #[cfg(target_os = "linux")]
    {
        let start = (memory.as_mut_ptr() as usize).next_multiple_of(PAGE);
        let end = (memory.as_mut_ptr() as usize + memory.len()) / PAGE * PAGE;
        if end > start + (8 << 20) {
            // SAFETY: the range is page-aligned and within the allocation; the advice does not change contents.
            unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}
