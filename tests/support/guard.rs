//! An allocator that shows what else than the data was read or written. Every allocation lies between two guard zones,
//! and all of it, zones included, begins as bytes of 0xFF: a NaN in every floating-point type. What is read past an end
//! or never written then turns a result into NaN, and what is written past an end is found when memory is freed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// `#[global_allocator]` of a test binary.
pub struct Guarded;

/// Sanitizers watch the true bounds, and what has never been written, when they are left alone: `ci/sanitize` compiles
/// with this variable.
const ACTIVE: bool = option_env!("CANDLE_MISH_UNGUARDED").is_none();
/// Two of the widest vectors, on either side.
const ZONE: usize = 128;
const POISON: u8 = 0xFF;

static DAMAGED: AtomicUsize = AtomicUsize::new(0);

/// Allocations freed since the last call whose guard zones had been written to.
pub fn damaged() -> usize {
    DAMAGED.swap(0, Relaxed)
}

/// The allocation with its zones, and the length of the first one.
fn widened(layout: Layout) -> Option<(Layout, usize)> {
    let zone = ZONE.max(layout.align());
    let size = layout.size().checked_add(zone + ZONE)?;
    Some((Layout::from_size_align(size, layout.align()).ok()?, zone))
}

// SAFETY: memory comes from the system's allocator, larger than was asked for by the zones; what lies between them has
// the size that was asked for, and its alignment, as the first zone is a multiple of it.
unsafe impl GlobalAlloc for Guarded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !ACTIVE {
            // SAFETY: the caller keeps the rules of this very call.
            return unsafe { System.alloc(layout) };
        }
        let Some((wide, zone)) = widened(layout) else {
            return std::ptr::null_mut();
        };
        // SAFETY: the size of `wide` is not zero.
        let start = unsafe { System.alloc(wide) };
        if start.is_null() {
            return start;
        }
        // SAFETY: `start` is good for `wide.size()` bytes, of which `zone` is a part.
        unsafe {
            start.write_bytes(POISON, wide.size());
            start.add(zone)
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if !ACTIVE {
            // SAFETY: the caller keeps the rules of this very call.
            return unsafe { System.dealloc(memory, layout) };
        }
        let Some((wide, zone)) = widened(layout) else {
            return;
        };
        // SAFETY: `memory` came from `alloc` with this layout, so that `zone` bytes before it and `ZONE` after its end
        // belong to the same allocation.
        unsafe {
            let start = memory.sub(zone);
            let before = std::slice::from_raw_parts(start, zone);
            let after = std::slice::from_raw_parts(memory.add(layout.size()), ZONE);
            if before.iter().chain(after).any(|byte| *byte != POISON) {
                DAMAGED.fetch_add(1, Relaxed);
            }
            System.dealloc(start, wide)
        }
    }
}
