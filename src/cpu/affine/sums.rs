//! Σ g·f′(u)·x and Σ g·f′(u) of every channel, in f64: the gradients of scale and of shift.
//!
//! Which elements are added in which order follows from the shape alone, not from the number of threads.

use super::{filled, Float, Parameters, Scalar, Shape, BLOCK};
use crate::cpu::output;
use crate::cpu::slice::Kernel;
use crate::cpu::walk::Source;
use crate::cpu::Isa;
use crate::family::Family;
use candle_core::{Error, Result};
use std::mem::MaybeUninit;
use std::ops::Range;

/// At most so many partial sums of a channel, and at least so many elements in each unit of work.
const UNITS_MAX: usize = 64;
const UNIT_MIN: usize = 32 * 1024;
/// Where channels are narrow, each element of a period has partial sums of its own, of 16 bytes: so many periods in a unit
/// make that 4 bytes for an element of x.
const PERIODS_MIN: usize = 4;

/// One row for scale, one for shift; one value per channel.
pub(super) fn sums<T: Float, F: Family>(
    op: &'static str,
    f: F,
    sources: [&Source<T>; 2],
    parameters: &Parameters<'_, T::Compute>,
    shape: Shape,
    len: usize,
) -> Result<[Vec<f64>; 2]> {
    let mut totals = [filled(op, shape.channels, 0.0)?, filled(op, shape.channels, 0.0)?];
    if len == 0 {
        return Ok(totals);
    }
    let (row, unit) = division(shape, len);
    let parts = output::map_units(row.div_ceil(unit), |i| {
        let columns = i * unit..row.min((i + 1) * unit);
        let mut part = Part::new(op, shape, &columns)?;
        for start in (0..len).step_by(row) {
            let range = start + columns.start..start + columns.end;
            products(f, sources, parameters, range, |start, x, product| {
                part.add(start, x, product)
            });
        }
        Ok::<_, Error>(part)
    });
    for part in parts {
        part?.add_to(&mut totals);
    }
    Ok(totals)
}

/// How elements are divided: the length of a row, and how many side by side in each row make a unit.
fn division(shape: Shape, len: usize) -> (usize, usize) {
    let period = shape.period();
    if shape.is_narrow() && period >= UNIT_MIN {
        // Columns: no more partial sums than there are elements in a period, however many units there are.
        return (period, period.div_ceil(UNITS_MAX).next_multiple_of(BLOCK));
    }
    // One row: whole periods of a table, whole runs of a channel.
    let (step, least) = match shape.is_narrow() {
        true => (period, PERIODS_MIN),
        false => (shape.inner, 1),
    };
    let steps = len.div_ceil(UNITS_MAX).max(UNIT_MIN).div_ceil(step).max(least);
    (len, step * steps)
}

/// Calls `each` with the position, the values of x and those of g·f′(u) of block after block.
fn products<T: Float, F: Family>(
    f: F,
    [x, g]: [&Source<T>; 2],
    parameters: &Parameters<'_, T::Compute>,
    range: Range<usize>,
    mut each: impl FnMut(usize, &[T::Compute], &[T::Compute]),
) {
    let isa = Isa::get();
    let (mut x_block, mut g_block) = ([MaybeUninit::uninit(); BLOCK], [MaybeUninit::uninit(); BLOCK]);
    let mut wide = [[T::Compute::default(); BLOCK]; 2];
    let mut product = [MaybeUninit::uninit(); BLOCK];
    let mut start = range.start;
    while start < range.end {
        let n = BLOCK.min(range.end - start);
        let [x_wide, g_wide] = &mut wide;
        T::widen(x.run(start, n, &mut x_block), &mut x_wide[..n]);
        T::widen(g.run(start, n, &mut g_block), &mut g_wide[..n]);
        let (x, g) = (&x_wide[..n], &g_wide[..n]);
        T::Compute::run(isa, f, x, parameters.from::<false>(start), g, &mut product[..n]);
        // SAFETY: `run` has written the first n elements.
        let product = unsafe { std::slice::from_raw_parts(product.as_ptr().cast(), n) };
        each(start, x, product);
        start += n;
    }
}

/// The sums of a unit.
struct Part {
    shape: Shape,
    /// Of the first run, or of the first element within a period.
    first: usize,
    /// Per run of a channel, or per element of a period.
    sums: Vec<[f64; 2]>,
}

impl Part {
    fn new(op: &'static str, shape: Shape, columns: &Range<usize>) -> Result<Self> {
        let (first, len) = match shape.is_narrow() {
            true => (columns.start % shape.period(), columns.len().min(shape.period())),
            false => {
                let runs = columns.len().div_ceil(shape.inner);
                (columns.start / shape.inner, runs.min(shape.channels))
            }
        };
        Ok(Self {
            shape,
            first,
            sums: filled(op, len, [0.0; 2])?,
        })
    }

    fn add<C: Scalar>(&mut self, start: usize, x: &[C], product: &[C]) {
        let inner = self.shape.inner;
        let mut done = 0;
        while done < x.len() {
            let at = start + done;
            if self.shape.is_narrow() {
                let from = at % self.shape.period() - self.first;
                let n = (self.sums.len() - from).min(x.len() - done);
                let values = x[done..].iter().zip(&product[done..]);
                for (sum, (x, product)) in self.sums[from..from + n].iter_mut().zip(values) {
                    let product: f64 = (*product).into();
                    sum[0] += product * (*x).into();
                    sum[1] += product;
                }
                done += n;
            } else {
                let n = (inner - at % inner).min(x.len() - done);
                let [times_x, plain] = dot(&x[done..done + n], &product[done..done + n]);
                let run = (at / inner - self.first) % self.shape.channels;
                self.sums[run][0] += times_x;
                self.sums[run][1] += plain;
                done += n;
            }
        }
    }

    fn add_to(&self, totals: &mut [Vec<f64>; 2]) {
        for (i, sum) in self.sums.iter().enumerate() {
            let channel = match self.shape.is_narrow() {
                true => (self.first + i) / self.shape.inner,
                false => (self.first + i) % self.shape.channels,
            };
            totals[0][channel] += sum[0];
            totals[1][channel] += sum[1];
        }
    }
}

/// Σ x·product and Σ product, in as many chains as two vectors of AVX-512 have lanes.
fn dot<C: Scalar>(x: &[C], product: &[C]) -> [f64; 2] {
    const CHAINS: usize = 16;
    let mut sums = [[0.0; CHAINS]; 2];
    let mut add = |x: &[C], product: &[C]| {
        for (i, (x, product)) in x.iter().zip(product).enumerate() {
            let product: f64 = (*product).into();
            sums[0][i] += product * (*x).into();
            sums[1][i] += product;
        }
    };
    let ((x, x_rest), (product, product_rest)) = (x.as_chunks::<CHAINS>(), product.as_chunks::<CHAINS>());
    for (x, product) in x.iter().zip(product) {
        add(x, product);
    }
    add(x_rest, product_rest);
    sums.map(|sums| sums.iter().sum())
}
