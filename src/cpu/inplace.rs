//! Activations whose output is their input.

use super::argument::Itself;
use super::output::{for_units, SendPtr};
use super::slice::{Kernel, One};
use super::walk::{for_runs, DIRECT_MIN};
use super::{unsupported, Isa, PARALLEL_MIN, UNIT};
use crate::activation::Activation;
use crate::extent::{element_count, within};
use crate::family::{with_family, Family};
use crate::plan::{by_stride, Collapsed};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, Layout, Result};
use std::mem::MaybeUninit;
use std::ops::Range;

const CACHE_LINE: usize = 64;
/// How far ahead of a block the next elements are asked for.
const AHEAD: usize = 1024;
/// Elements that are copied aside at a time, to be read while their place is written. With four times as many, the
/// time at 16 Mi is 1.5 times as long: all of a block is waited for, and then nothing is.
const BLOCK: usize = 256;

/// f(x) into x. Elements of the layout have to lie apart.
pub(crate) fn in_place(
    activation: Activation,
    x: &mut CpuStorage,
    layout: &Layout,
    op: &'static str,
) -> Result<()> {
    with_family!(activation, 0, x.dtype(), f => match x {
        CpuStorage::F16(x) => overwrite(op, f, x, layout),
        CpuStorage::BF16(x) => overwrite(op, f, x, layout),
        CpuStorage::F32(x) => overwrite(op, f, x, layout),
        CpuStorage::F64(x) => overwrite(op, f, x, layout),
        _ => Err(unsupported(x.dtype(), op)),
    })
}

fn overwrite<T: Kernel, F: Family>(op: &'static str, f: F, x: &mut [T], layout: &Layout) -> Result<()> {
    let len = element_count(op, layout, size_of::<T>())?;
    within(op, layout, x.len())?;
    if len == 0 {
        return Ok(());
    }
    let isa = Isa::get();
    let layout = by_stride(layout);
    let shape = Collapsed::new(layout.dims(), [&layout]);
    let (inner, [stride]) = shape.inner();
    let base = SendPtr::new(x.as_mut_ptr());
    let direct = stride == 1 && inner >= DIRECT_MIN;
    let run = |range: Range<usize>| {
        let mut aside = [MaybeUninit::<T>::uninit(); BLOCK];
        let mut results = [MaybeUninit::<T>::uninit(); BLOCK];
        let mut at = range.start;
        while at < range.end {
            let rest = BLOCK.min(range.end - at);
            // SAFETY: `within` has bounded every place; places lie apart, and no two calls get the same. What is read
            // of `aside` and `results` has been written before.
            let n = unsafe {
                if direct {
                    let [row] = shape.row_offsets(at / inner);
                    let places = base.get().add(row + at % inner);
                    // What comes before a cache line first: kernels write whole ones faster.
                    let n = match places.align_offset(CACHE_LINE) {
                        0 => rest,
                        lead => lead.min(rest),
                    };
                    let n = n.min(inner - at % inner);
                    std::ptr::copy_nonoverlapping(places, aside.as_mut_ptr().cast(), n);
                    prefetch(places.wrapping_add(AHEAD));
                    let x = std::slice::from_raw_parts(aside.as_ptr().cast(), n);
                    let places = std::slice::from_raw_parts_mut(places.cast(), n);
                    T::run(isa, f, x, Itself, One, places);
                    n
                } else {
                    for_runs(&shape, at..at + rest, |[first], done, n| {
                        let places = base.get().add(first);
                        for (i, value) in aside[done..done + n].iter_mut().enumerate() {
                            value.write(*places.add(i * stride));
                        }
                    });
                    let x = std::slice::from_raw_parts(aside.as_ptr().cast(), rest);
                    T::run(isa, f, x, Itself, One, &mut results[..rest]);
                    for_runs(&shape, at..at + rest, |[first], done, n| {
                        let places = base.get().add(first);
                        for (i, result) in results[done..done + n].iter().enumerate() {
                            *places.add(i * stride) = result.assume_init();
                        }
                    });
                    rest
                }
            };
            at += n;
        }
    };
    if len < PARALLEL_MIN {
        run(0..len);
        return Ok(());
    }
    // Units after the first begin on a cache line where all elements lie side by side.
    let shift = match direct {
        // SAFETY: the first place is within the storage.
        true => unsafe { base.get().add(layout.start_offset()) }
            .align_offset(CACHE_LINE)
            .min(UNIT),
        false => 0,
    };
    for_units((len - shift).div_ceil(UNIT), |unit| {
        let start = if unit == 0 { 0 } else { unit * UNIT + shift };
        run(start..len.min((unit + 1) * UNIT + shift))
    });
    Ok(())
}

/// Asks for a block that will be needed: the copy aside ends before the stores begin, so that a core has nothing else to
/// wait for memory with.
#[inline(always)]
fn prefetch<T>(from: *const T) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..BLOCK * size_of::<T>()).step_by(CACHE_LINE) {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        // SAFETY: x86-64 has SSE, and a prefetch of any address, mapped or not, changes nothing but the caches.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast::<i8>().wrapping_add(line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}
