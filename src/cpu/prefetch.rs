//! Operands that come from memory, asked for before they are used. How far before is measured: `docs/memory-notes.md` has what other
//! distances do.

#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;

/// How far before its use an input is asked for, in bytes.
pub(super) const AHEAD: usize = 2048;
/// The same where each vector is asked for on its own.
#[cfg(target_arch = "x86_64")]
pub(super) const AHEAD_BY_VECTOR: usize = 3072;
/// The same where it is the output as well: with pages of 4 KiB, a core has nothing else to wait for memory with.
#[cfg(target_arch = "x86_64")]
pub(super) const AHEAD_IN_PLACE: usize = 4096;
/// The same of an output, whose lines stores otherwise wait for.
pub(super) const AHEAD_OF_STORES: usize = 1024;

/// Asks for as much as this part, so many bytes `ahead` of it. All of its lines: processors ask for more by themselves only where
/// they miss the first. Does nothing on processors other than x86-64.
#[inline(always)]
pub(super) fn prefetch<T>(part: &[T], ahead: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..size_of_val(part)).step_by(super::CACHE_LINE) {
        // SAFETY: a prefetch of any address, mapped or not, changes nothing but the caches.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(part.as_ptr().cast::<i8>().wrapping_add(ahead + line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (part, ahead);
}
