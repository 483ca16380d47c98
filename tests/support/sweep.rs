//! f32 against the f64 reference, fast enough for all 2³² inputs.

use super::backend::{eval, Backend, Function};
use super::contract::{self, is_flushed, near_root};
use super::inputs::{edges_of, uniform, Random};
use super::parallel::parallel;
use super::reference::Batch;
use super::table::{conclude, merged, show, Row, Worst};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Instant;

/// Inputs by the chunk: few enough that the CPU backend does them in the calling thread, as the other threads are busy
/// with chunks of their own, and that all of a chunk's values stay in L2.
pub const CHUNK: usize = 4 * 1024;

/// Every `stride`th bit pattern: the number of chunks of a length, and what each consists of.
pub fn patterns(stride: u64, length: usize) -> (usize, impl Fn(usize) -> Vec<f32>) {
    let n = (1u64 << 32).div_ceil(stride);
    let chunk = move |i: usize| {
        let start = (i * length) as u64;
        let end = n.min(start + length as u64);
        (start..end)
            .map(|k| f32::from_bits((k * stride) as u32))
            .collect()
    };
    (n.div_ceil(length as u64) as usize, chunk)
}

/// f, f′ and f″ of all 2³² inputs, with a progress bar.
pub fn every_input(backend: &dyn Backend, length: usize) {
    let (chunks, inputs) = patterns(1, length);
    let style = ProgressStyle::with_template("{wide_bar} {percent} %, {eta} left").unwrap();
    let bar = ProgressBar::new(1 << 32).with_style(style);
    let start = Instant::now();
    let rows = sweep(backend, &Function::plain(), chunks, inputs, |n| bar.inc(n));
    bar.finish_and_clear();
    show(&format!("{:.0?}", start.elapsed()));
    conclude("every input of f32", &rows);
}

/// The edges with their neighbours, and random points where results are neither saturated nor all zeros.
pub fn directed() -> Vec<f32> {
    let random = &mut Random(32);
    let mut points = edges_of::<f32>(40);
    for (low, high) in [
        (-20.0, 20.0),
        (-104.0, -86.0),
        (-1.3, -1.1),
        (-2.4, -2.1),
        (1.4, 1.6),
        (-0.2, 0.1),
    ] {
        points.extend(uniform(random, low, high, 50_000).iter().map(|x| *x as f32));
    }
    points
}

/// f, f′ and f″ as `functions` lists them, over chunks of inputs. `done` is called with a chunk's length when it is.
pub fn sweep(
    backend: &dyn Backend,
    functions: &[Function],
    chunks: usize,
    inputs: impl Fn(usize) -> Vec<f32> + Sync,
    done: impl Fn(u64) + Sync,
) -> Vec<Row> {
    let row = |f: &Function| {
        Row::new::<f32>(
            *f,
            contract::bound(backend.side(), candle_core::DType::F32, f.order),
        )
    };
    let state = || {
        (
            functions.iter().map(row).collect::<Vec<_>>(),
            Workspace::default(),
        )
    };
    let work = |(rows, space): &mut (Vec<Row>, Workspace), chunk: usize| {
        let x = inputs(chunk);
        let mut beta = f64::NAN;
        for row in rows {
            if Batch::beta(row.function) != beta {
                beta = Batch::beta(row.function);
                space.batch.set(x.iter().map(|x| *x as f64), beta);
            }
            let actual = eval(backend, row.function, &x, None);
            space.batch.values(row.function, true, &mut space.expected);
            compare(row, &x, &actual, space, backend.flushes());
        }
        done(x.len() as u64);
    };
    merged(
        parallel(chunks, state, work)
            .into_iter()
            .map(|(rows, _)| rows)
            .collect(),
    )
}

#[derive(Default)]
struct Workspace {
    batch: Batch,
    expected: Vec<f64>,
    error: Vec<f64>,
}

fn compare(row: &mut Row, x: &[f32], actual: &[f32], space: &mut Workspace, flushes: bool) {
    row.inputs += x.len() as u64;
    space.error.clear();
    let pairs = actual.iter().zip(&space.expected);
    space
        .error
        .extend(pairs.map(|(actual, expected)| error(*actual, *expected)));
    for (i, &error) in space.error.iter().enumerate() {
        if error > row.worst.error || error.is_nan() {
            let (x, actual, expected) = (x[i] as f64, actual[i], space.expected[i]);
            if !x.is_finite() {
                row.take_special(x, actual, expected as f32);
                continue;
            }
            if is_flushed(flushes, actual as f64, &[x, expected]) {
                continue;
            }
            let error = if actual.is_nan() { f64::INFINITY } else { error };
            row.take(
                near_root(row.function, x),
                Worst {
                    error,
                    x,
                    g: None,
                    actual: actual as f64,
                    expected,
                },
            );
        }
    }
}

/// g·f⁽ᵏ⁾ with a random g between ±1 and ±2 for every x.
pub fn products(backend: &dyn Backend, f: Function, x: &[f32]) -> Row {
    let mut row = Row::new::<f32>(
        f,
        contract::product_bound(backend.side(), candle_core::DType::F32, f.order),
    );
    let random = &mut Random(33);
    let g: Vec<f32> = x.iter().map(|_| random.factor()).collect();
    let actual = eval(backend, f, x, Some(&g));
    let mut space = Workspace::default();
    space.batch.set(x.iter().map(|x| *x as f64), Batch::beta(f));
    space.batch.values(f, true, &mut space.expected);
    space
        .expected
        .iter_mut()
        .zip(&g)
        .for_each(|(value, g)| *value *= *g as f64);
    compare(&mut row, x, &actual, &mut space, backend.flushes());
    row
}

/// As `ulp::error`, without branches, for values in the range of f32.
#[inline(always)]
fn error(actual: f32, expected: f64) -> f64 {
    let exponent = (expected.to_bits() >> 52 & 0x7ff).clamp(1023 - 126, 1023 + 127);
    let per_ulp = f64::from_bits((2 * 1023 + 23 - exponent) << 52);
    (actual as f64 - expected).abs() * per_ulp
}
