//! The CPU backend: output memory, threads, and the walk over layouts. The arithmetic is in `cpu/slice.rs`.

mod affine;
mod argument;
mod half_types;
mod inplace;
mod isa;
mod operand;
mod output;
mod pages;
#[cfg(target_arch = "x86_64")]
mod piecewise;
mod placement;
mod prefetch;
mod slice;
mod table;
mod transposed;
#[cfg(target_arch = "x86_64")]
mod vectors;
mod walk;

use crate::activation::Activation;
use crate::extent::{element_count, side_by_side};
use crate::family::{with_family, Family};
use crate::plan::Function;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Error, Layout, Result};
use operand::One;
use output::Units;
use slice::Kernel;
use table::Evaluation;
use walk::Source;

pub(crate) use affine::affine;
#[cfg(test)]
pub(crate) use half_types::to_odd;
pub(crate) use inplace::in_place;
pub(crate) use isa::Isa;

/// From this many elements on a second thread is asked: one core takes 16 µs for 32 Ki elements of Mish in f32, with AVX2, and
/// 25 for 16 Ki in f64. A thread of candle's pool that has been used within the last millisecond answers in less than 1 µs,
/// others in 5 to 30.
const fn parallel_min<T>() -> usize {
    if size_of::<T>() > 4 {
        16 * 1024
    } else {
        32 * 1024
    }
}
/// Elements that a thread takes at a time, 1 to 6 µs of work: what the others may have to wait for at the end.
const UNIT: usize = 4 * 1024;
/// Bytes in a cache line.
const CACHE_LINE: usize = 64;

/// f⁽⁰⁾(x), contiguous.
///
/// Inlined where the activation is known: what was stored of it a moment ago is loaded in other parts otherwise, which
/// takes 5 ns.
#[inline(always)]
pub(crate) fn forward(activation: Activation, x: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
    let function = Function { activation, order: 0 };
    with_family!(activation, 0, x.dtype(), f => {
        match x {
            CpuStorage::F32(x) => Ok(CpuStorage::F32(unary(function, f, x, layout)?)),
            CpuStorage::F64(x) => Ok(CpuStorage::F64(unary(function, f, x, layout)?)),
            CpuStorage::F16(x) => Ok(CpuStorage::F16(unary(function, f, x, layout)?)),
            CpuStorage::BF16(x) => Ok(CpuStorage::BF16(unary(function, f, x, layout)?)),
            _ => Err(unsupported(x.dtype(), function.name())),
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
    let function = Function { activation, order };
    let layouts = [x_layout, g_layout];
    with_family!(activation, order, x.dtype(), f => {
        match (x, g) {
            (F32(x), F32(g)) => Ok(F32(binary(function, f, x, g, layouts)?)),
            (F64(x), F64(g)) => Ok(F64(binary(function, f, x, g, layouts)?)),
            (F16(x), F16(g)) => Ok(F16(binary(function, f, x, g, layouts)?)),
            (BF16(x), BF16(g)) => Ok(BF16(binary(function, f, x, g, layouts)?)),
            (x, _) => Err(unsupported(x.dtype(), function.name())),
        }
    })
}

fn unsupported(dtype: DType, op: &'static str) -> Error {
    Error::UnsupportedDTypeForOp(dtype, op).bt()
}

fn unary<T: Kernel, F: Family>(function: Function, f: F, x: &[T], layout: &Layout) -> Result<Vec<T>> {
    let op = function.name();
    if let Some(direct) = side_by_side(layout, x.len()) {
        let x = &x[direct];
        let f = Evaluation::<T, F>::new(f, function, x.len());
        let units = Units::Vectors(Some(x.as_ptr()));
        return output::collect(op, x.len(), units, |isa, range, out| {
            f.run(isa, &x[range], One, out)
        });
    }
    let len = element_count(op, layout, size_of::<T>())?;
    if len == 0 {
        return Ok(Vec::new());
    }
    let x = Source::new(op, x, layout)?;
    let f = Evaluation::<T, F>::new(f, function, len);
    output::collect(op, len, walk::units([&x], len), |isa, range, out| {
        walk::runs([&x], range, out, |_, [x], out| f.run(isa, x, One, out))
    })
}

fn binary<T: Kernel, F: Family>(
    function: Function,
    f: F,
    x: &[T],
    g: &[T],
    [x_layout, g_layout]: [&Layout; 2],
) -> Result<Vec<T>> {
    let op = function.name();
    if let (Some(x_direct), Some(g_direct)) =
        (side_by_side(x_layout, x.len()), side_by_side(g_layout, g.len()))
    {
        let (x, g) = (&x[x_direct], &g[g_direct]);
        let f = Evaluation::<T, F>::new(f, function, x.len());
        let units = Units::Vectors(Some(x.as_ptr()));
        return output::collect(op, x.len(), units, |isa, range, out| {
            f.run(isa, &x[range.clone()], &g[range], out)
        });
    }
    let len = element_count(op, x_layout, size_of::<T>())?;
    if len == 0 {
        return Ok(Vec::new());
    }
    let (x, g) = (Source::new(op, x, x_layout)?, Source::new(op, g, g_layout)?);
    let f = Evaluation::<T, F>::new(f, function, len);
    let sources = [&x, &g];
    output::collect(op, len, walk::units(sources, len), |isa, range, out| {
        walk::runs(sources, range, out, |_, [x, g], out| f.run(isa, x, g, out))
    })
}
