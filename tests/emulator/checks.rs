//! What every device has to pass, a real one as well as an emulated one.

use super::support::accuracy::{double, half};
use super::support::backend::{eval, Backend, Function, PARAMETERS};
use super::support::contract::{is_flushed, product_bound};
use super::support::inputs::{doubles, every_half, Random};
use super::support::layouts::*;
use super::support::limits::{self, Check};
use super::support::reference::Batch;
use super::support::sweep::{directed, patterns, sweep, CHUNK};
use super::support::table::{conclude, Row, Worst};
use super::support::ulp::{self, Element, Exact};
use candle_mish::{Activation, Softplus};
use half::{bf16, f16};

/// A backend, and whether it has f64.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub backend: &'a dyn Backend,
    pub double: bool,
}

pub type Test = (&'static str, fn(Target));

/// The tests of a device, of which there is one less without f64.
pub fn all(double: bool) -> impl Iterator<Item = &'static Test> {
    ALL.iter().filter(move |(name, _)| double || *name != "f64")
}

const ALL: &[Test] = &[
    ("f16_every_input", |t| every_input::<f16>(t)),
    ("bf16_every_input", |t| every_input::<bf16>(t)),
    ("f16_every_input_times_g", |t| times_g::<f16>(t)),
    ("bf16_every_input_times_g", |t| times_g::<bf16>(t)),
    ("f32_every_16411th_input", f32_patterns),
    ("f32_edges_and_where_results_vary", f32_directed),
    ("f64", f64_points),
    ("limits_and_special_values", special),
    ("views_of_every_shape", views),
    ("every_pair_of_views", pairs_of_views),
    ("empty", empty),
    ("every_length_and_position", positions),
];

/// One statement for every type that the backend has.
macro_rules! every_type {
    ($target:expr, $t:ident => $body:expr) => {{
        {
            type $t = f16;
            $body
        }
        {
            type $t = bf16;
            $body
        }
        {
            type $t = f32;
            $body
        }
        if $target.double {
            type $t = f64;
            $body
        }
    }};
}

fn every_input<T: Element>(t: Target) {
    let rows: Vec<_> = Function::all()
        .into_iter()
        .map(|f| half::<T>(t.backend, f))
        .collect();
    conclude(&format!("all inputs of {}", T::DTYPE.as_str()), &rows);
}

fn times_g<T: Element>(t: Target) {
    let derivatives = Function::all().into_iter().filter(|f| f.order > 0);
    let rows: Vec<_> = derivatives.map(|f| product::<T>(t.backend, f)).collect();
    conclude(&format!("all inputs of {}, times g", T::DTYPE.as_str()), &rows);
}

/// g·f⁽ᵏ⁾ of all 65,536 inputs with several g for each: of any size, and between 1 and 2. f⁽ᵏ⁾ is a float before it
/// meets g, so below 2⁻¹²⁶ there is less of it left than a large g would show.
fn product<T: Element>(backend: &dyn Backend, f: Function) -> Row {
    let mut row = Row::new::<T>(f, product_bound(backend.side(), T::DTYPE, f.order));
    let x: Vec<T> = every_half()
        .into_iter()
        .filter(|x: &T| x.to_f64().is_finite())
        .collect();
    let mut reference = Vec::new();
    Batch::new(x.iter().map(|x| x.to_f64()), Batch::beta(f)).values(f, true, &mut reference);
    let random = &mut Random(16);
    for round in 0..4 {
        let g: Vec<T> = match round % 2 {
            0 => x.iter().map(|_| random.finite()).collect(),
            _ => x.iter().map(|_| random.factor()).collect(),
        };
        let results = eval(backend, f, &x, Some(&g));
        for (((x, g), actual), value) in x.iter().zip(&g).zip(results).zip(&reference) {
            let (x, g) = (x.to_f64(), g.to_f64());
            if value.abs() < 2f64.powi(-126) && g.abs() > 2.0 {
                continue;
            }
            let unrounded = Exact::of(value * g);
            row.inputs += 1;
            if is_flushed(backend.flushes(), actual.to_f64(), &[*value, g, value * g]) {
                continue;
            }
            row.take_nearest(actual, ulp::nearest::<T>(&unrounded));
            let found = Worst {
                error: ulp::error(actual, &unrounded),
                x,
                g: Some(g),
                actual: actual.to_f64(),
                expected: value * g,
            };
            row.take(false, found);
        }
    }
    row
}

fn f32_patterns(t: Target) {
    let (chunks, inputs) = patterns(16411, CHUNK);
    let rows = sweep(t.backend, &Function::all(), chunks, inputs, |_| ());
    conclude("every 16411th input of f32", &rows);
}

fn f32_directed(t: Target) {
    single(t.backend, "directed inputs of f32");
}

/// The directed inputs of f32.
pub fn single(backend: &dyn Backend, title: &str) {
    let points = directed();
    let chunk = |i: usize| points.chunks(CHUNK).nth(i).unwrap().to_vec();
    let chunks = points.len().div_ceil(CHUNK);
    conclude(title, &sweep(backend, &Function::all(), chunks, chunk, |_| ()));
}

fn f64_points(t: Target) {
    conclude("f64", &double(t.backend, &Activation::ALL, &doubles()));
    let points: Vec<f64> = doubles().into_iter().step_by(4).collect();
    let activations = PARAMETERS.map(|(beta, threshold)| Softplus::new(beta, threshold).unwrap().into());
    let rows = double(t.backend, &activations, &points);
    conclude("f64, softplus with parameters", &rows);
}

fn special(t: Target) {
    let mut checks: Vec<Check> = vec![];
    let b = t.backend;
    every_type!(t, T => {
        checks.extend(Function::all().into_iter().map(|f| limits::check_limits::<T>(b, f)));
        checks.extend(Function::all().into_iter().map(|f| limits::check_nan::<T>(b, f)));
        checks.extend(Function::all().into_iter().map(|f| limits::check_finite_and_sign::<T>(b, f)));
        let derivatives = Function::plain().into_iter().filter(|f| f.order > 0);
        checks.extend(derivatives.map(|f| limits::check_factors::<T>(b, f)));
        checks.push(limits::check_subnormals::<T>(b));
        checks.extend([20.0, 5.0].map(|threshold| limits::check_threshold::<T>(b, threshold)));
    });
    let failures: Vec<String> = checks.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn views(t: Target) {
    every_type!(t, T => Function::all().into_iter().for_each(|f| check_shapes::<T>(t.backend, f, &SHAPES, 2)));
}

fn pairs_of_views(t: Target) {
    let f = Function {
        activation: Activation::Mish,
        order: 1,
    };
    let shapes: &[&[usize]] = &[&[19, 33], &[3, 5, 2, 7], &[2, 300], &[40, 31, 2]];
    every_type!(t, T => check_shapes::<T>(t.backend, f, shapes, usize::MAX));
}

fn empty(t: Target) {
    every_type!(t, T => Function::plain().into_iter().for_each(|f| check_empty::<T>(t.backend, f)));
}

fn positions(t: Target) {
    let activation = Activation::TanhSoftplus;
    for order in 0..3 {
        every_type!(t, T => check_positions::<T>(t.backend, Function { activation, order }));
    }
}
