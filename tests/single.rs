//! f32, densely sampled; `tests/exhaustive.rs` has every input.

mod support;

use support::backend::{Function, CPU};
use support::sweep::{directed, patterns, products, sweep, CHUNK};
use support::table::conclude;

#[test]
fn every_4099th_input() {
    let (chunks, inputs) = patterns(4099, CHUNK);
    conclude(
        "every 4099th input of f32",
        &sweep(&CPU, &Function::all(), chunks, inputs, |_| ()),
    );
}

#[test]
fn edges_and_where_results_vary() {
    let points = directed();
    let chunk = |i: usize| points.chunks(CHUNK).nth(i).unwrap().to_vec();
    let rows = sweep(
        &CPU,
        &Function::all(),
        points.len().div_ceil(CHUNK),
        chunk,
        |_| (),
    );
    conclude("directed inputs of f32", &rows);
}

#[test]
fn times_g() {
    let points = directed();
    let derivatives = Function::all().into_iter().filter(|f| f.order > 0);
    let rows: Vec<_> = derivatives.map(|f| products(&CPU, f, &points)).collect();
    conclude("directed inputs of f32, times g", &rows);
}
