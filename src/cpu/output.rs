//! Outputs, filled by several threads.

use super::placement::to_first_vector;
use super::{pages, parallel_min, Isa, UNIT};
use candle_core::utils::barrier_pool;
use candle_core::Result;
use std::hint::spin_loop;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::OnceLock;
use std::thread;

/// How the elements of an output are divided.
#[derive(Clone, Copy)]
pub(super) enum Units<T> {
    /// So that units begin where vectors should: see [`to_first_vector`]. With the place of what the output is computed from, if that
    /// lies side by side.
    Vectors(Option<*const T>),
    /// In so many.
    Rows(usize),
}

/// A `Vec` of `len` elements, of which `fill` writes every range it is given, all of it.
///
/// Which thread gets which range has no influence on the values: `fill` sees positions only, and how to store. A range is a unit,
/// or everything, if that is little.
pub(super) fn collect<T: Copy + Send>(
    op: &'static str,
    len: usize,
    units: Units<T>,
    fill: impl Fn(Isa, Range<usize>, &mut [MaybeUninit<T>]) + Sync,
) -> Result<Vec<T>> {
    let mut out = pages::allocate(op, len)?;
    let whole = &mut out.spare_capacity_mut()[..len];
    let isa = Isa::get().accessing(pages::access(whole));
    if len < parallel_min::<T>() {
        fill(isa, 0..len, whole);
    } else {
        let base = SendPtr::new(whole.as_mut_ptr());
        let (unit, shift) = match units {
            Units::Vectors(x) => (UNIT, to_first_vector(isa, x, base.get())),
            Units::Rows(unit) => (unit, 0),
        };
        for_ranges(len, unit, shift, |range| {
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

/// How often a thread of candle's pool looks for more work before it sleeps, by default.
const LOOKS: usize = 25_000;

/// Calls `each` once for every unit, on candle's threads.
///
/// A thread first takes the units of its own contiguous share, which from one op to the next is about the same
/// and so may still be in its cache, then what others have not begun.
///
/// When all units are done the pool still waits for threads that were asleep, without giving way to them. One may have been
/// woken on the caller's processor, in particular where a virtual machine's other ones are halted: so the caller gives way until
/// all shares have been taken.
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
    let (caller, taken) = (thread::current().id(), AtomicUsize::new(0));
    pool.execute_chunked(shares, |mine| {
        taken.fetch_add(mine.len(), Ordering::Relaxed);
        for share in mine.flat_map(|first| (0..shares).map(move |i| (first + i) % shares)) {
            loop {
                let unit = next[share].unit.fetch_add(1, Ordering::Relaxed);
                if unit >= start(share + 1) {
                    break;
                }
                each(unit);
            }
        }
        if thread::current().id() == caller {
            while taken.load(Ordering::Relaxed) < shares {
                thread::yield_now();
            }
        } else {
            // Or this thread would take the share that the caller waits for. Not its share, which it may not get to before.
            let all_but_one = || taken.load(Ordering::Relaxed) >= shares - 1;
            for _ in (0..LOOKS).take_while(|_| !all_but_one()) {
                spin_loop();
            }
        }
    });
}

/// Calls `each` once for every unit of `unit` elements, of `len`; those after the first begin `shift` elements late, which is less
/// than `len`.
pub(super) fn for_ranges(len: usize, unit: usize, shift: usize, each: impl Fn(Range<usize>) + Sync) {
    for_units((len - shift).div_ceil(unit), |i| {
        let start = if i == 0 { 0 } else { i * unit + shift };
        each(start..len.min((i + 1) * unit + shift))
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
