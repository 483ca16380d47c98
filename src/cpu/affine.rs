//! The fused neighbours: f(x·scale + shift), its gradient in x, and the sums over channels that are those of scale
//! and shift.

mod parameters;
mod sums;

use super::argument::{SPAN, STEP};
use super::operand::One;
use super::output;
use super::pages;
use super::slice::Kernel;
use super::unsupported;
use super::walk::{self, Source};
use crate::affine::{Operands, Request};
use crate::extent::element_count;
use crate::family::{with_fused_family, Family};
use crate::plan::AffinePass;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, Error, Layout, Result};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use parameters::Parameters;
use std::borrow::Cow;

/// Elements of x and g that are gathered at a time, where they do not lie side by side.
const BLOCK: usize = 1024;

/// Where the channels are in the output, in the order of its elements.
#[derive(Clone, Copy)]
struct Shape {
    channels: usize,
    /// Elements of one channel that lie side by side.
    inner: usize,
}

impl Shape {
    fn new(layout: &Layout, axis: usize) -> Self {
        let dims = layout.dims();
        Self {
            channels: dims[axis],
            inner: dims[axis + 1..].iter().product(),
        }
    }

    fn period(self) -> usize {
        self.channels * self.inner
    }

    /// Whether a vector may have elements of more than two channels.
    fn is_narrow(self) -> bool {
        self.inner < STEP
    }
}

/// An element type as candle stores it.
trait Stored: Kernel + Default {
    fn of(storage: &CpuStorage) -> Option<&[Self]>;
    fn storage(values: Vec<Self>) -> CpuStorage;
}

/// An element type that is computed in f32 or f64.
trait Float: Stored<Compute: Scalar> {
    /// Fills `to`, which is as long as `from`.
    fn widen(from: &[Self], to: &mut [Self::Compute]);
}

/// f32 or f64.
trait Scalar: Stored<Compute = Self> + Into<f64> {
    const ONES: &'static [Self; SPAN];
    fn round(x: f64) -> Self;
}

macro_rules! float {
    ($t:ident, $variant:ident, $from:ident, $to:ident => $widen:expr) => {
        impl Stored for $t {
            fn of(storage: &CpuStorage) -> Option<&[Self]> {
                match storage {
                    CpuStorage::$variant(values) => Some(values),
                    _ => None,
                }
            }
            fn storage(values: Vec<Self>) -> CpuStorage {
                CpuStorage::$variant(values)
            }
        }

        impl Float for $t {
            fn widen($from: &[Self], $to: &mut [Self::Compute]) {
                $widen
            }
        }
    };
}

float!(f16, F16, from, to => from.convert_to_f32_slice(to));
float!(bf16, BF16, from, to => from.convert_to_f32_slice(to));
float!(f32, F32, from, to => to.copy_from_slice(from));
float!(f64, F64, from, to => to.copy_from_slice(from));

impl Scalar for f32 {
    const ONES: &'static [Self; SPAN] = &[1.0; SPAN];
    fn round(x: f64) -> Self {
        x as f32
    }
}

impl Scalar for f64 {
    const ONES: &'static [Self; SPAN] = &[1.0; SPAN];
    fn round(x: f64) -> Self {
        x
    }
}

/// The result of a pass, and its shape. Sums have the shape (1 or 2, channels, 1): of scale, if there is one, and of
/// shift, in the type that is computed in.
pub(crate) fn affine(
    request: Request,
    operands: Operands<CpuStorage>,
) -> Result<(CpuStorage, candle_core::Shape)> {
    match operands.x.0 {
        CpuStorage::F16(_) => typed::<f16>(request, operands),
        CpuStorage::BF16(_) => typed::<bf16>(request, operands),
        CpuStorage::F32(_) => typed::<f32>(request, operands),
        CpuStorage::F64(_) => typed::<f64>(request, operands),
        other => Err(unsupported(other.dtype(), request.name())),
    }
}

fn typed<T: Float>(
    request: Request,
    operands: Operands<CpuStorage>,
) -> Result<(CpuStorage, candle_core::Shape)> {
    let op = request.name();
    operands.check_shapes(op)?;
    let (x, lx) = (values_of::<T>(&operands, operands.x.0, op)?, operands.x.1);
    let len = element_count(op, lx, size_of::<T>())?;
    let channels = Shape::new(lx, request.axis);
    let scale = operands.scale.as_ref().map(|scale| parameter::<T>(scale, op));
    let shift = parameter::<T>(&operands.shift, op)?;
    let parameters = Parameters::new(op, channels, scale.transpose()?, shift, len)?;
    let shape = lx.shape().clone();
    let x = Source::new(op, x, lx)?;
    let Some((g, lg)) = operands.g else {
        return with_fused_family!(request.fused, 0, f => {
            let out = elementwise::<T, _, false>(op, f, &x, None, &parameters, len)?;
            Ok((T::storage(out), shape))
        });
    };
    let g = Source::new(op, values_of::<T>(&operands, g, op)?, lg)?;
    with_fused_family!(request.fused, 1, f => match request.pass {
        AffinePass::Sums => {
            let sums = sums::sums::<T, _>(op, f, [&x, &g], &parameters, channels, len)?;
            let rows = if request.fused.scaled() { &sums[..] } else { &sums[1..] };
            let mut values = pages::allocate(op, rows.len() * channels.channels)?;
            values.extend(rows.iter().flatten().map(|sum| T::Compute::round(*sum)));
            Ok((T::Compute::storage(values), candle_core::Shape::from((rows.len(), channels.channels, 1))))
        }
        _ => {
            let out = elementwise::<T, _, true>(op, f, &x, Some(&g), &parameters, len)?;
            Ok((T::storage(out), shape))
        }
    })
}

/// A value so many times.
fn filled<T: Copy>(op: &'static str, len: usize, value: T) -> Result<Vec<T>> {
    let mut values = pages::allocate(op, len)?;
    values.resize(len, value);
    Ok(values)
}

/// The values of a tensor that has to be of x's type.
fn values_of<'a, T: Float>(
    operands: &Operands<CpuStorage>,
    storage: &'a CpuStorage,
    op: &'static str,
) -> Result<&'a [T]> {
    T::of(storage).ok_or_else(|| {
        let (lhs, rhs) = (operands.x.0.dtype(), storage.dtype());
        Error::DTypeMismatchBinaryOp { lhs, rhs, op }.bt()
    })
}

/// The values of scale or shift, which are of the tensor's type or of the one that is computed in.
fn parameter<'a, T: Float>(
    (storage, layout): &(&'a CpuStorage, Cow<Layout>),
    op: &'static str,
) -> Result<Cow<'a, [T::Compute]>> {
    if let Some(values) = T::Compute::of(storage) {
        return Source::new(op, values, layout)?.values(op);
    }
    let Some(values) = T::of(storage) else {
        return Err(unsupported(storage.dtype(), op));
    };
    let values = Source::new(op, values, layout)?.values(op)?;
    let mut wide = filled(op, values.len(), T::Compute::default())?;
    T::widen(&values, &mut wide);
    Ok(Cow::Owned(wide))
}

fn elementwise<T: Float, F: Family, const CHAINED: bool>(
    op: &'static str,
    f: F,
    x: &Source<T>,
    g: Option<&Source<T>>,
    parameters: &Parameters<T::Compute>,
    len: usize,
) -> Result<Vec<T>> {
    match g {
        Some(g) => output::collect(op, len, walk::units([x, g], len), |isa, range, out| {
            walk::runs([x, g], range, out, |at, [x, g], out| {
                T::run(isa, f, x, parameters.from::<CHAINED>(at), g, out)
            })
        }),
        None => output::collect(op, len, walk::units([x], len), |isa, range, out| {
            walk::runs([x], range, out, |at, [x], out| {
                T::run(isa, f, x, parameters.from::<CHAINED>(at), One, out)
            })
        }),
    }
}
