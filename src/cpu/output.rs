//! Output memory: allocated uninitialised, backed by huge pages where large, filled by several threads.

use super::isa::{Access, Isa};
use super::{parallel_min, UNIT};
use candle_core::utils::barrier_pool;
use candle_core::{bail, Result};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::OnceLock;

/// Bytes from which on an output gets huge pages, and inputs are asked for before they are used. Operands of fewer may lie in
/// the caches, where asking for them costs a derivative 3 %.
const LARGE: usize = 8 << 20;

/// A `Vec` of `len` elements, of which `fill` writes every range it is given, all of it.
///
/// Which thread gets which range has no influence on the values: `fill` sees positions only, and how to store.
pub(super) fn collect<T: Copy + Send>(
    op: &'static str,
    len: usize,
    fill: impl Fn(Isa, Range<usize>, &mut [MaybeUninit<T>]) + Sync,
) -> Result<Vec<T>> {
    let mut out = Vec::new();
    // `Vec::with_capacity` would end the process.
    if let Err(error) = out.try_reserve_exact(len) {
        let bytes = len.saturating_mul(std::mem::size_of::<T>());
        bail!("{op}: no memory for a result of {len} elements, {bytes} bytes: {error}")
    }
    let mut access = Access::default();
    if len * size_of::<T>() >= LARGE {
        advise_huge_pages(out.spare_capacity_mut());
        access.prefetches = true;
        access.streams = streaming_pays(&out.spare_capacity_mut()[..len]);
    }
    let isa = Isa::get().accessing(access);
    let whole = &mut out.spare_capacity_mut()[..len];
    if len < parallel_min::<T>() {
        fill(isa, 0..len, whole);
    } else {
        let base = SendPtr::new(whole.as_mut_ptr());
        for_ranges(len, to_cache_line(base.get()), |range| {
            // SAFETY: `range` lies within the allocation, and no two calls get the same unit.
            let part = unsafe { std::slice::from_raw_parts_mut(base.get().add(range.start), range.len()) };
            fill(isa, range, part);
        });
    }
    // SAFETY: `fill` has written all of 0..len.
    unsafe { out.set_len(len) };
    Ok(out)
}

/// The next unit of a share, which its thread asks for every microsecond, apart from the others' by two cache lines.
/// Not aligned to them: that takes 0.1 µs to allocate.
#[derive(Default)]
struct Next {
    unit: AtomicUsize,
    _apart: [usize; 15],
}

/// Calls `each` once for every unit, on candle's threads.
///
/// A thread first takes the units of its own contiguous share, which from one op to the next is about the same
/// and so may still be in its cache, then what others have not begun.
fn for_units(units: usize, each: impl Fn(usize) + Sync) {
    let pool = barrier_pool();
    let shares = pool.n_workers() + 1;
    let start = |share: usize| share * units / shares;
    let next: Vec<_> = (0..shares)
        .map(|share| Next {
            unit: start(share).into(),
            ..Next::default()
        })
        .collect();
    pool.execute_chunked(shares, |mine| {
        for share in mine.flat_map(|first| (0..shares).map(move |i| (first + i) % shares)) {
            loop {
                let unit = next[share].unit.fetch_add(1, Ordering::Relaxed);
                if unit >= start(share + 1) {
                    break;
                }
                each(unit);
            }
        }
    });
}

/// Elements before the first that begins on a cache line, or a unit if there is none.
pub(super) fn to_cache_line<T>(first: *const T) -> usize {
    const CACHE_LINE: usize = 64;
    first.align_offset(CACHE_LINE).min(UNIT)
}

/// Calls `each` once for every unit of `len` elements; those after the first begin `shift` elements late. `len` is a unit at
/// least.
pub(super) fn for_ranges(len: usize, shift: usize, each: impl Fn(Range<usize>) + Sync) {
    for_units((len - shift).div_ceil(UNIT), |unit| {
        let start = if unit == 0 { 0 } else { unit * UNIT + shift };
        each(start..len.min((unit + 1) * UNIT + shift))
    });
}

/// The results of `each` for every unit, in order.
pub(super) fn map_units<T: Send + Sync>(units: usize, each: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let results: Vec<OnceLock<T>> = (0..units).map(|_| OnceLock::new()).collect();
    let run = |unit: usize| {
        // Every unit is taken once.
        let _ = results[unit].set(each(unit));
    };
    match units {
        0 | 1 => (0..units).for_each(run),
        _ => for_units(units, run),
    }
    results.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// A pointer that threads may share; what they do with it is theirs to answer for.
pub(super) struct SendPtr<T>(*mut T);

impl<T> SendPtr<T> {
    pub(super) fn new(pointer: *mut T) -> Self {
        Self(pointer)
    }

    pub(super) fn get(&self) -> *mut T {
        self.0
    }
}

// SAFETY: the pointer is only used for disjoint parts of an allocation that outlives the threads' work.
unsafe impl<T: Send> Sync for SendPtr<T> {}

#[cfg(target_os = "linux")]
const PAGE: usize = 4096;

/// Asks for 2 MiB pages: a fresh 64 MiB output otherwise takes 16,384 page faults, which cost more than the
/// arithmetic.
#[cfg(target_os = "linux")]
fn advise_huge_pages<T>(memory: &mut [MaybeUninit<T>]) {
    let bytes = std::mem::size_of_val(memory);
    let start = (memory.as_mut_ptr() as usize).next_multiple_of(PAGE);
    let end = (memory.as_mut_ptr() as usize + bytes) / PAGE * PAGE;
    // SAFETY: the range is page-aligned and inside an allocation that we own; the advice does not change contents.
    unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages<T>(_: &mut [MaybeUninit<T>]) {}

/// Whether stores past the caches pay: for outputs that are no smaller than a last-level cache often is, by several threads,
/// as one alone does not use up the memory's bandwidth, and on pages that the kernel does not clear on the way, which
/// brings them into the caches.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn streaming_pays<T>(memory: &[MaybeUninit<T>]) -> bool {
    const MIN_BYTES: usize = 32 << 20;
    let bytes = std::mem::size_of_val(memory);
    if bytes < MIN_BYTES || barrier_pool().n_workers() == 0 {
        return false;
    }
    let mapped = |at: usize| {
        let page = (memory.as_ptr() as usize + at) / PAGE * PAGE;
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
