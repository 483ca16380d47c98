//! The CPU backend: output allocation, threads, and the walk over layouts. The arithmetic is in `cpu/slice.rs`.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod isa;
mod output;
mod round;
mod slice;
mod walk;

use crate::activation::Activation;
use crate::family::{with_family, Family};
use crate::plan::Collapsed;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Error, Layout, Result};
use slice::{Kernel, One};

pub(crate) use isa::Isa;

/// From this many elements on a second thread is asked: one core takes 6 µs for 16 Ki elements of Mish in f32, and
/// a thread of candle's pool that has been used within the last millisecond answers in less than 1 µs.
const PARALLEL_MIN: usize = 16 * 1024;
/// Elements that a thread takes at a time, about 1.5 µs of work: what the others may have to wait for at the end.
const UNIT: usize = 4 * 1024;

/// f⁽⁰⁾(x), contiguous.
pub(crate) fn forward(activation: Activation, x: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
    with_family!(activation, 0, x.dtype(), f => {
        match x {
            CpuStorage::F32(x) => Ok(CpuStorage::F32(unary(f, x, layout))),
            CpuStorage::F64(x) => Ok(CpuStorage::F64(unary(f, x, layout))),
            CpuStorage::F16(x) => Ok(CpuStorage::F16(unary(f, x, layout))),
            CpuStorage::BF16(x) => Ok(CpuStorage::BF16(unary(f, x, layout))),
            _ => Err(unsupported(x.dtype(), activation.name())),
        }
    })
}

/// g·f⁽ᵏ⁾(x), contiguous.
pub(crate) fn derivative(
    activation: Activation,
    order: u8,
    x: &CpuStorage,
    x_layout: &Layout,
    g: &CpuStorage,
    g_layout: &Layout,
) -> Result<CpuStorage> {
    use CpuStorage::{BF16, F16, F32, F64};
    let layouts = [x_layout, g_layout];
    with_family!(activation, order, x.dtype(), f => {
        match (x, g) {
            (F32(x), F32(g)) => Ok(F32(binary(f, x, g, layouts))),
            (F64(x), F64(g)) => Ok(F64(binary(f, x, g, layouts))),
            (F16(x), F16(g)) => Ok(F16(binary(f, x, g, layouts))),
            (BF16(x), BF16(g)) => Ok(BF16(binary(f, x, g, layouts))),
            (x, _) => Err(unsupported(x.dtype(), activation.derivative_name(order))),
        }
    })
}

fn unsupported(dtype: DType, op: &'static str) -> Error {
    Error::UnsupportedDTypeForOp(dtype, op).bt()
}

fn unary<T: Kernel, F: Family>(f: F, x: &[T], layout: &Layout) -> Vec<T> {
    let isa = Isa::get();
    let len = layout.shape().elem_count();
    if let Some((start, end)) = layout.contiguous_offsets() {
        let x = &x[start..end];
        return output::collect(len, |range, out, stores| {
            T::run(isa, f, &x[range], One, out, stores)
        });
    }
    let shape = Collapsed::new(layout.dims(), [layout]);
    output::collect(len, |range, out, stores| {
        walk::unary(x, &shape, range, out, |x, out| {
            T::run(isa, f, x, One, out, stores)
        })
    })
}

fn binary<T: Kernel, F: Family>(f: F, x: &[T], g: &[T], layouts: [&Layout; 2]) -> Vec<T> {
    let isa = Isa::get();
    let len = layouts[0].shape().elem_count();
    if let [Some((x_start, x_end)), Some((g_start, g_end))] = layouts.map(Layout::contiguous_offsets) {
        let (x, g) = (&x[x_start..x_end], &g[g_start..g_end]);
        return output::collect(len, |range, out, stores| {
            T::run(isa, f, &x[range.clone()], &g[range], out, stores)
        });
    }
    let shape = Collapsed::new(layouts[0].dims(), layouts);
    output::collect(len, |range, out, stores| {
        walk::binary([x, g], &shape, range, out, |x, g, out| {
            T::run(isa, f, x, g, out, stores)
        })
    })
}
