//! Where glibc's mappings lie.
//!
//! It gives what has 32 MiB or more a mapping of its own, and writes to its first page, so that what is left of a huge page
//! from there on, up to 511 pages, is faulted in page by page. Mappings are placed one below the other, and so one that
//! is longer begins as much earlier: a little before a huge page, if it is as much longer as that takes.

use super::PAGE;
use std::collections::TryReserveError;

const HUGE: usize = 2 << 20;
/// So little of a mapping before its first huge page, or after its last, is not worth another one.
const LITTLE: usize = 64 << 10;
/// What glibc keeps in front of an allocation.
const HEADER: usize = 2 * size_of::<usize>();
/// From this many bytes on an allocation has a mapping of its own, whatever has been freed before.
const OWN_MAPPING: usize = 32 << 20;

/// Moves an empty `Vec` with room for `len` elements so that nearly all of it is in huge pages, if that can be had.
pub(super) fn align<T>(out: &mut Vec<T>, len: usize) -> Result<(), TryReserveError> {
    let bytes = len * size_of::<T>();
    if bytes < OWN_MAPPING {
        return Ok(());
    }
    // The second attempt is for a mapping that had to be placed elsewhere.
    for _ in 0..2 {
        let start = out.as_ptr().addr();
        if start % PAGE != HEADER {
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

/// How many bytes more to ask for than these, so that a mapping that ends where this one does begins a little before a huge
/// page, and the last huge page with `bytes` in it is all within. 0 if this one does.
fn more(bytes: usize, begin: usize, end: usize) -> usize {
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
    match last_is_within(end.saturating_sub(least + more)) {
        true => more,
        false => more + HUGE,
    }
}

#[cfg(test)]
mod tests {
    use super::{more, HEADER, HUGE, PAGE};

    /// Wherever a mapping ends, the longer one that ends there needs no longer one.
    #[test]
    fn a_longer_mapping_is_enough() {
        for (huge_pages, page) in (16..=33).flat_map(|n| (0..512).map(move |page| (n, page))) {
            for bytes in [0, 1 << 21, (1 << 21) - 4096, 2_796_202].map(|more| huge_pages * HUGE + more) {
                let end = (1000 << 30) + page * PAGE;
                let least = (HEADER + bytes).next_multiple_of(PAGE);
                let longer = least + more(bytes, end - least, end);
                let case = format!("{bytes} bytes up to page {page}: {least}, then {longer}");
                assert_eq!(more(bytes, end - longer, end), 0, "{case}");
                assert!(longer < least + 2 * HUGE + PAGE, "{case}");
                assert!(longer == least || !longer.is_multiple_of(HUGE), "{case}");
            }
        }
    }
}
