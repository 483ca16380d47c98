//! An allocator that counts: how many bytes are in use, and the most there ever were.
//!
//! Tensors on the CPU live in it, so what it counts during a step is what the step really holds.

use candle_core::Result;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

fn shrink(bytes: usize) {
    LIVE.fetch_sub(bytes, Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came; the counters do not touch the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise about `layout` is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: `memory` came from `System` with this layout, as all that this allocator hands out.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        shrink(layout.size());
        // SAFETY: as in `dealloc`; the caller's promise about `size` is the one that `System` asks for.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// The bytes in use now.
pub fn live() -> usize {
    LIVE.load(Relaxed)
}

/// The most bytes in use at once while this runs, beyond those in use before.
pub fn peak_during<T>(run: impl FnOnce() -> Result<T>) -> Result<usize> {
    let before = live();
    PEAK.store(before, Relaxed);
    run()?;
    Ok(PEAK.load(Relaxed) - before)
}

/// A number of bytes.
pub fn show(bytes: usize) -> String {
    let kib = bytes as f64 / 1024.0;
    if kib < 100_000.0 {
        format!("{kib:.0} KiB")
    } else {
        format!("{:.1} MiB", kib / 1024.0)
    }
}
