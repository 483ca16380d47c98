//! Activations whose output is their input.

use super::operand::{InPlace, One};
use super::output::{for_ranges, SendPtr};
use super::placement::to_first_vector;
use super::slice::Kernel;
use super::table::Evaluation;
use super::walk::{for_runs, DIRECT_MIN};
use super::{parallel_min, unsupported, Isa, UNIT};
use crate::activation::Activation;
use crate::extent::{element_count, within};
use crate::family::{with_family, Family};
use crate::plan::{by_stride, Collapsed, Function};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, Layout, Result};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Elements that are gathered at a time where they do not lie side by side.
const BLOCK: usize = 256;

/// f(x) into x. Elements of the layout have to lie apart.
pub(crate) fn in_place(
    activation: Activation,
    x: &mut CpuStorage,
    layout: &Layout,
    op: &'static str,
) -> Result<()> {
    let function = Function { activation, order: 0 };
    with_family!(activation, 0, x.dtype(), f => match x {
        CpuStorage::F16(x) => overwrite(op, function, f, x, layout),
        CpuStorage::BF16(x) => overwrite(op, function, f, x, layout),
        CpuStorage::F32(x) => overwrite(op, function, f, x, layout),
        CpuStorage::F64(x) => overwrite(op, function, f, x, layout),
        _ => Err(unsupported(x.dtype(), op)),
    })
}

fn overwrite<T: Kernel, F: Family>(
    op: &'static str,
    function: Function,
    f: F,
    x: &mut [T],
    layout: &Layout,
) -> Result<()> {
    let len = element_count(op, layout, size_of::<T>())?;
    within(op, layout, x.len())?;
    if len == 0 {
        return Ok(());
    }
    let f = Evaluation::<T, F>::new(f, function, len);
    let isa = Isa::get();
    let layout = by_stride(layout);
    let shape = Collapsed::new(layout.dims(), [&layout]);
    let (inner, [stride]) = shape.inner();
    let base = SendPtr::new(x.as_mut_ptr());
    let direct = stride == 1 && inner >= DIRECT_MIN;
    // SAFETY, of all blocks below: `within` has bounded every place; places lie apart, and no two calls get the same.
    let side_by_side = |range: Range<usize>| {
        let mut at = range.start;
        while at < range.end {
            let [row] = shape.row_offsets(at / inner);
            let n = (inner - at % inner).min(range.end - at);
            // SAFETY: as above; a tensor's elements are initialised.
            let (x, places) = unsafe {
                let places = base.get().add(row + at % inner);
                (InPlace::new(), std::slice::from_raw_parts_mut(places.cast(), n))
            };
            f.run(isa, x, One, places);
            at += n;
        }
    };
    let gathered = |range: Range<usize>| {
        let mut block = [MaybeUninit::<T>::uninit(); BLOCK];
        for start in range.clone().step_by(BLOCK) {
            let block = &mut block[..BLOCK.min(range.end - start)];
            let places = start..start + block.len();
            for_runs(&shape, places.clone(), |[first], done, n| {
                for (i, value) in block[done..done + n].iter_mut().enumerate() {
                    // SAFETY: as above.
                    value.write(unsafe { *base.get().add(first + i * stride) });
                }
            });
            // SAFETY: the runs cover all of the block.
            f.run(isa, unsafe { InPlace::new() }, One, block);
            for_runs(&shape, places, |[first], done, n| {
                for (i, result) in block[done..done + n].iter().enumerate() {
                    // SAFETY: as above; the kernel has written all of the block.
                    unsafe { *base.get().add(first + i * stride) = result.assume_init() };
                }
            });
        }
    };
    let run = |range| match direct {
        true => side_by_side(range),
        false => gathered(range),
    };
    if len < parallel_min::<T>() {
        run(0..len);
        return Ok(());
    }
    // Units after the first begin on a cache line where all elements lie side by side.
    let shift = match direct {
        // SAFETY: the first place is within the storage.
        true => to_first_vector::<T>(isa, None, unsafe { base.get().add(layout.start_offset()) }.cast()),
        false => 0,
    };
    for_ranges(len, UNIT, shift, run);
    Ok(())
}
