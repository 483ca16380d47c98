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

/// Elements that are copied aside at a time, to be read while their place is written.
const BLOCK: usize = 1024;

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

fn overwrite<T: Kernel + Default, F: Family>(
    op: &'static str,
    f: F,
    x: &mut [T],
    layout: &Layout,
) -> Result<()> {
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
        let mut aside = [T::default(); BLOCK];
        let mut results = [MaybeUninit::uninit(); BLOCK];
        let mut at = range.start;
        while at < range.end {
            let most = if direct { inner - at % inner } else { BLOCK };
            let n = most.min(range.end - at).min(BLOCK);
            // SAFETY: `within` has bounded every place; places lie apart, and no two calls get the same.
            unsafe {
                for_runs(&shape, at..at + n, |[first], done, n| {
                    let places = base.get().add(first);
                    for (i, value) in aside[done..done + n].iter_mut().enumerate() {
                        *value = *places.add(i * stride);
                    }
                });
                if direct {
                    let [row] = shape.row_offsets(at / inner);
                    let places = base.get().add(row + at % inner).cast::<MaybeUninit<T>>();
                    let places = std::slice::from_raw_parts_mut(places, n);
                    T::run(isa, f, &aside[..n], Itself, One, places);
                } else {
                    T::run(isa, f, &aside[..n], Itself, One, &mut results[..n]);
                    for_runs(&shape, at..at + n, |[first], done, n| {
                        let places = base.get().add(first);
                        for (i, result) in results[done..done + n].iter().enumerate() {
                            *places.add(i * stride) = result.assume_init();
                        }
                    });
                }
            }
            at += n;
        }
    };
    if len < PARALLEL_MIN {
        run(0..len);
    } else {
        for_units(len.div_ceil(UNIT), |unit| {
            run(unit * UNIT..len.min((unit + 1) * UNIT))
        });
    }
    Ok(())
}
