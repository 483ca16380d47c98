//! The memory of outputs: uninitialised, in huge pages where it is large; and how large operands are accessed.

use super::isa::Access;
use candle_core::{bail, Result};
use std::collections::TryReserveError;
use std::mem::MaybeUninit;

/// Bytes from which on an output gets huge pages, and inputs are asked for before they are used. Operands of fewer may lie in
/// the caches, where asking for them costs a derivative 3 %.
const LARGE: usize = 8 << 20;

/// An empty `Vec` with room for `len` elements.
pub(super) fn allocate<T>(op: &'static str, len: usize) -> Result<Vec<T>> {
    let mut out = Vec::new();
    // `Vec::with_capacity` would end the process.
    let mut result = out.try_reserve_exact(len);
    if result.is_ok() && len * size_of::<T>() >= LARGE {
        result = huge::ask_for(&mut out, len);
    }
    if let Err(error) = result {
        let bytes = len.saturating_mul(size_of::<T>());
        bail!("{op}: no memory for a result of {len} elements, {bytes} bytes: {error}")
    }
    Ok(out)
}

/// How to access the operands of an op with this output.
pub(super) fn access<T>(out: &[MaybeUninit<T>]) -> Access {
    match size_of_val(out) >= LARGE {
        true => Access {
            prefetches: true,
            streams: streaming_pays(out),
        },
        false => Access::default(),
    }
}

#[cfg(target_os = "linux")]
const PAGE: usize = 4096;

#[cfg(target_os = "linux")]
mod huge {
    use super::{TryReserveError, PAGE};

    /// Asks for 2 MiB pages: a fresh 64 MiB output otherwise takes 16,384 page faults, which cost more than the arithmetic.
    pub(super) fn ask_for<T>(out: &mut Vec<T>, len: usize) -> Result<(), TryReserveError> {
        #[cfg(target_env = "gnu")]
        align(out, len)?;
        let memory = out.spare_capacity_mut();
        let start = memory.as_ptr().addr() / PAGE * PAGE;
        let end = (memory.as_ptr().addr() + size_of_val(memory)).next_multiple_of(PAGE);
        // SAFETY: all of these pages hold a part of an allocation that we own, and the advice does not change contents.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
        Ok(())
    }

    #[cfg(target_env = "gnu")]
    const HUGE: usize = 2 << 20;
    /// So little of a mapping before its first huge page, or after its last, is not worth another one.
    #[cfg(target_env = "gnu")]
    const LITTLE: usize = 64 << 10;
    /// What glibc keeps in front of an allocation.
    #[cfg(target_env = "gnu")]
    const HEADER: usize = 2 * size_of::<usize>();

    /// Moves an allocation so that nearly all of it is in huge pages, if that can be had.
    ///
    /// glibc gives what is larger than 32 MiB a mapping of its own, and writes to its first page, so that what is left of
    /// a huge page from there on, up to 511 pages, is faulted in page by page. Mappings are placed one below the
    /// other, and so one that is longer begins as much earlier.
    #[cfg(target_env = "gnu")]
    fn align<T>(out: &mut Vec<T>, len: usize) -> Result<(), TryReserveError> {
        const OWN_MAPPING: usize = 32 << 20;
        let bytes = len * size_of::<T>();
        // The second attempt is for a mapping that had to be placed elsewhere.
        for _ in 0..2 {
            let start = out.as_ptr().addr();
            if bytes <= OWN_MAPPING || start % PAGE != HEADER {
                break;
            }
            let end = (start + out.capacity() * size_of::<T>()).next_multiple_of(PAGE);
            match more(bytes, start - HEADER, end) {
                0 => break,
                more => {
                    *out = Vec::new();
                    out.try_reserve_exact(len + more / size_of::<T>())
                        .or_else(|_| out.try_reserve_exact(len))?;
                }
            }
        }
        Ok(())
    }

    /// How many bytes more to ask for than these, so that a mapping that ends where this one does begins a little before
    /// a huge page, and the last huge page with `bytes` in it is all within. 0 if this one does.
    #[cfg(target_env = "gnu")]
    pub(super) fn more(bytes: usize, begin: usize, end: usize) -> usize {
        let last_is_within = |begin: usize| {
            let last = begin + HEADER + bytes;
            last % HUGE <= LITTLE || last.next_multiple_of(HUGE) <= end
        };
        let before = (HUGE - begin % HUGE) % HUGE;
        if (PAGE..=LITTLE).contains(&before) && last_is_within(begin) {
            return 0;
        }
        let least = (HEADER + bytes).next_multiple_of(PAGE);
        let mut more = (end - least + PAGE) % HUGE;
        // Linux aligns a mapping of whole huge pages to one.
        if (least + more).is_multiple_of(HUGE) {
            more += PAGE;
        }
        match last_is_within(end - least - more) {
            true => more,
            false => more + HUGE,
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod huge {
    use super::TryReserveError;

    pub(super) fn ask_for<T>(_: &mut Vec<T>, _: usize) -> Result<(), TryReserveError> {
        Ok(())
    }
}

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

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::{huge::more, LARGE, PAGE};

    const HUGE: usize = 2 << 20;

    /// Wherever a mapping ends, the longer one that ends there needs no longer one.
    #[test]
    fn a_longer_mapping_is_enough() {
        let huge_pages = 16..=33;
        for (bytes, page) in huge_pages.flat_map(|n| (0..512).map(move |page| (n * HUGE, page))) {
            for bytes in [bytes, bytes + LARGE / 3, bytes - 4096] {
                let end = (1000 << 30) + page * PAGE;
                let least = (bytes + 16).next_multiple_of(PAGE);
                let longer = least + more(bytes, end - least, end);
                assert_eq!(
                    more(bytes, end - longer, end),
                    0,
                    "{bytes} bytes up to page {page}"
                );
                assert!(longer < least + 2 * HUGE + PAGE);
                assert!(
                    longer == least || !longer.is_multiple_of(HUGE),
                    "{bytes} bytes: aligned"
                );
            }
        }
    }
}
