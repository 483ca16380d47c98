//! The accuracy checks of 16-bit types and of f64.

use super::backend::{eval, Backend, Function, ORDERS};
use super::contract::{self, near_root, root_distance};
use super::inputs::{every_half, Random};
use super::parallel::parallel;
use super::reference::{exact, exact_at, Batch, Point};
use super::table::{merged, Row, Worst};
use super::ulp::{self, Element, Exact};
use candle_core::DType;
use candle_mish::{Activation, Softplus};

/// The relative error of the reference in f64 is less, at [`REFERENCE_AWAY`] from the roots: rounding βx costs |βx|
/// half-ulps, 708 of them before exp underflows.
pub const REFERENCE_ERROR: f64 = 1.0 / (1u64 << 43) as f64;
pub const REFERENCE_AWAY: f64 = 1.0 / 64.0;

/// f⁽ᵏ⁾ of all 65,536 inputs.
pub fn half<T: Element>(backend: &dyn Backend, f: Function) -> Row {
    let x = every_half::<T>();
    let actual = eval(backend, f, &x, None);
    let mut row = Row::new::<T>(f, contract::every_input(backend.side(), T::DTYPE, f));
    let mut reference = Vec::new();
    Batch::new(x.iter().map(|x| x.to_f64()), Batch::beta(f)).values(f, true, &mut reference);
    for ((x, actual), value) in x.iter().zip(actual).zip(reference) {
        row.inputs += 1;
        let x = x.to_f64();
        if !x.is_finite() || !value.is_finite() {
            row.take_special(x, actual, T::from_f64(value));
            continue;
        }
        let (unrounded, nearest) = match ulp::nearest_of::<T>(value, REFERENCE_ERROR) {
            Some(bits) if root_distance(f, x) > REFERENCE_AWAY => (Exact::of(value), bits),
            _ => {
                let unrounded = exact(f.activation, x, true)[f.order];
                (unrounded, ulp::nearest::<T>(&unrounded))
            }
        };
        if contract::is_flushed(backend.flushes(), actual.to_f64(), &[value]) {
            continue;
        }
        row.take_nearest(actual, nearest);
        let error = ulp::error(actual, &unrounded);
        row.take(
            false,
            Worst {
                error,
                x,
                g: None,
                actual: actual.to_f64(),
                expected: value,
            },
        );
    }
    row
}

/// g·f⁽ᵏ⁾ of all 65,536 inputs with several g for each: of any size, and between 1 and 2.
pub fn half_product<T: Element>(backend: &dyn Backend, f: Function) -> Row {
    let x = every_half::<T>();
    let mut row = Row::new::<T>(f, contract::product_bound(backend.side(), T::DTYPE, f.order));
    let mut reference = Vec::new();
    Batch::new(x.iter().map(|x| x.to_f64()), Batch::beta(f)).values(f, true, &mut reference);
    let random = &mut Random(16);
    for round in 0..4 {
        let g: Vec<T> = x
            .iter()
            .map(|_| {
                if round % 2 == 0 {
                    random.finite()
                } else {
                    random.factor()
                }
            })
            .collect();
        let actual = eval(backend, f, &x, Some(&g));
        for (((x, g), actual), value) in x.iter().zip(&g).zip(actual).zip(&reference) {
            row.inputs += 1;
            let (x, g) = (x.to_f64(), g.to_f64());
            let product = value * g;
            if !x.is_finite() {
                row.take_special(x, actual, T::from_f64(product));
                continue;
            }
            let unrounded = Exact::of(product);
            let error = ulp::error(actual, &unrounded);
            row.take_nearest(actual, ulp::nearest::<T>(&unrounded));
            row.take(
                false,
                Worst {
                    error,
                    x,
                    g: Some(g),
                    actual: actual.to_f64(),
                    expected: product,
                },
            );
        }
    }
    row
}

/// f, f′ and f″ in f64 at `points` against 160-bit arithmetic.
pub fn double(backend: &dyn Backend, activations: &[Activation], points: &[f64]) -> Vec<Row> {
    const CHUNK: usize = 256;
    let functions = Function::of(activations);
    let actual: Vec<Vec<f64>> = functions
        .iter()
        .map(|f| eval(backend, *f, points, None))
        .collect();
    let rows = || {
        let row = |f: &Function| Row::new::<f64>(*f, contract::bound(backend.side(), DType::F64, f.order));
        functions.iter().map(row).collect::<Vec<_>>()
    };
    let check = |rows: &mut Vec<Row>, i: usize| {
        let point = Point::new(points[i]);
        for (a, activation) in activations.iter().enumerate() {
            let expected = match activation {
                Activation::Softplus(s) if *s != Softplus::default() => exact(*activation, points[i], false),
                _ => exact_at(&point, *activation, points[i]),
            };
            for order in ORDERS {
                let row = &mut rows[a * ORDERS.len() + order];
                let (x, actual, expected) = (points[i], actual[a * ORDERS.len() + order][i], expected[order]);
                row.inputs += 1;
                let found = Worst {
                    error: ulp::error(actual, &expected),
                    x,
                    g: None,
                    actual,
                    expected: expected.rounded(),
                };
                row.take(near_root(row.function, x), found);
            }
        }
    };
    let check = |rows: &mut Vec<Row>, chunk: usize| {
        let end = points.len().min((chunk + 1) * CHUNK);
        (chunk * CHUNK..end).for_each(|i| check(rows, i));
    };
    merged(parallel(points.len().div_ceil(CHUNK), rows, check))
}
