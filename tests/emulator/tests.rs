//! The tests: the checks that the CPU has to pass, on the emulated device, and those that only a device needs.

use super::huge;
use super::machine::{every_kernel, planned, Machine};
use super::support::accuracy::{double, half};
use super::support::backend::{eval, Backend, Function, PARAMETERS};
use super::support::contract::product_bound;
use super::support::inputs::{doubles, every_half, Random};
use super::support::layouts::*;
use super::support::limits::{self, Check};
use super::support::reference::Batch;
use super::support::sweep::{directed, patterns, sweep, CHUNK};
use super::support::table::{conclude, Row, Worst};
use super::support::ulp::{self, Element, Exact};
use candle_core::{DType, Device, Tensor};
use candle_mish::internals::{self, Plan};
use candle_mish::{Activation, Softplus};
use half::{bf16, f16};

type Test = (&'static str, fn(&Machine));

pub const ALL: &[Test] = &[
    ("cuda::every_kernel_that_a_plan_can_name_exists", names),
    ("cuda::arguments_have_the_same_layout", arguments),
    ("cuda::conversions_of_the_shim_round_to_nearest_even", conversions),
    ("cuda::formula_h_is_formula_rs", same_formulas),
    ("cuda::f16_every_input", |m| every_input::<f16>(m)),
    ("cuda::bf16_every_input", |m| every_input::<bf16>(m)),
    ("cuda::f16_every_input_times_g", |m| times_g::<f16>(m)),
    ("cuda::bf16_every_input_times_g", |m| times_g::<bf16>(m)),
    ("cuda::f32_every_16411th_input", f32_patterns),
    ("cuda::f32_edges_and_where_results_vary", f32_directed),
    ("cuda::f64", f64_points),
    ("cuda::approximate_reciprocal", reciprocal),
    ("cuda::limits_and_special_values", special),
    ("cuda::views_of_every_shape", views),
    ("cuda::every_pair_of_views", pairs_of_views),
    ("cuda::empty", empty),
    ("cuda::every_length_and_position", positions),
    ("cuda::strided_64_bit_gives_the_same", strided64),
    ("cuda::more_than_2_to_32_contiguous", huge::contiguous),
    ("cuda::more_than_2_to_32_strided", huge::strided),
    ("cuda::indices_just_below_2_to_31", huge::last_of_32_bits),
    ("cuda::bad_input", bad_input),
];

/// One statement for every type.
macro_rules! every_type {
    ($t:ident => $body:expr) => {{
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
        {
            type $t = f64;
            $body
        }
    }};
}

fn names(m: &Machine) {
    let missing: Vec<_> = every_kernel()
        .into_iter()
        // SAFETY: only the address is looked up.
        .filter(|name| unsafe { m.function::<*const ()>(name) }.is_none())
        .collect();
    assert!(
        missing.is_empty(),
        "kernels that plans name and the source lacks: {missing:?}"
    );
}

fn arguments(m: &Machine) {
    // SAFETY: these are their types.
    let (size, threads) = unsafe {
        let size = m.function::<extern "C" fn() -> u64>("arguments_size").unwrap();
        let threads = m.function::<extern "C" fn() -> u32>("threads").unwrap();
        (size(), threads())
    };
    assert_eq!(size as usize, std::mem::size_of::<internals::Arguments>());
    assert_eq!(threads, internals::THREADS);
}

fn conversions(m: &Machine) {
    // SAFETY: these are their types.
    let (to_f16, to_bf16, from_f16) = unsafe {
        (
            m.function::<extern "C" fn(f32) -> u16>("to_f16").unwrap(),
            m.function::<extern "C" fn(f32) -> u16>("to_bf16").unwrap(),
            m.function::<extern "C" fn(u16) -> f32>("from_f16").unwrap(),
        )
    };
    let random = &mut Random(5);
    let midpoints = every_half::<f16>().into_iter().map(|h| h.to_f32()).flat_map(|v| {
        let step = v.to_bits();
        [step, step + 0x0fff, step + 0x1000, step + 0x1001].map(f32::from_bits)
    });
    let any: Vec<f32> = (0..1_000_000)
        .map(|_| f32::from_bits(random.bits() as u32))
        .chain(midpoints)
        .collect();
    for v in any {
        assert!(f16::from_bits(to_f16(v)).alike(f16::from_f32(v)), "{v:e} to f16");
        assert!(
            bf16::from_bits(to_bf16(v)).alike(bf16::from_f32(v)),
            "{v:e} to bf16"
        );
    }
    for h in every_half::<f16>() {
        assert!(from_f16(h.to_bits()).alike(h.to_f32()), "{h} to f32");
    }
}

/// The same operations in the same order: the same bits in f32 and f64.
fn same_formulas(m: &Machine) {
    let random = &mut Random(6);
    let mut x: Vec<f64> = doubles();
    x.extend((0..20_000).map(|_| -30.0 + 60.0 * random.unit()));
    let singles: Vec<f32> = x.iter().map(|x| *x as f32).collect();
    for f in Function::plain() {
        for (x, y) in x.iter().zip(eval(m, f, &x, None)) {
            let expected = internals::formula_f64(planned(f), *x);
            assert!(
                y.alike(expected),
                "{f} of {x:e} in f64: formula.h {y:e}, formula.rs {expected:e}"
            );
        }
        // quick.h has forms of its own there.
        if f.order == 2 || (f.activation, f.order) == (Activation::TanhSoftplus, 1) {
            continue;
        }
        for (x, y) in singles.iter().zip(eval(m, f, &singles, None)) {
            let expected = internals::formula_f32(planned(f), *x);
            assert!(
                y.alike(expected),
                "{f} of {x:e} in f32: formula.h {y:e}, formula.rs {expected:e}"
            );
        }
    }
}

fn every_input<T: Element>(m: &Machine) {
    let rows: Vec<_> = Function::all().into_iter().map(|f| half::<T>(m, f)).collect();
    conclude(&format!("all inputs of {}", T::DTYPE.as_str()), &rows);
}

fn times_g<T: Element>(m: &Machine) {
    let derivatives = Function::all().into_iter().filter(|f| f.order > 0);
    let rows: Vec<_> = derivatives.map(|f| product::<T>(m, f)).collect();
    conclude(&format!("all inputs of {}, times g", T::DTYPE.as_str()), &rows);
}

/// g·f⁽ᵏ⁾ of all 65,536 inputs with several g for each: of any size, and between 1 and 2. f⁽ᵏ⁾ is a float before it
/// meets g, so below 2⁻¹²⁶ there is less of it left than a large g would show.
fn product<T: Element>(m: &Machine, f: Function) -> Row {
    let mut row = Row::new::<T>(f, product_bound(m.side(), T::DTYPE, f.order));
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
        let results = eval(m, f, &x, Some(&g));
        for (((x, g), actual), value) in x.iter().zip(&g).zip(results).zip(&reference) {
            let (x, g) = (x.to_f64(), g.to_f64());
            if value.abs() < 2f64.powi(-126) && g.abs() > 2.0 {
                continue;
            }
            let expected = Exact::of(value * g);
            row.inputs += 1;
            row.take_nearest(actual, ulp::nearest::<T>(&expected));
            let (error, actual, expected) = (ulp::error(actual, &expected), actual.to_f64(), value * g);
            row.take(
                false,
                Worst {
                    error,
                    x,
                    g: Some(g),
                    actual,
                    expected,
                },
            );
        }
    }
    row
}

fn f32_patterns(m: &Machine) {
    let (chunks, inputs) = patterns(16411);
    conclude(
        "every 16411th input of f32",
        &sweep(m, &Function::all(), chunks, inputs, |_| ()),
    );
}

fn f32_directed(m: &Machine) {
    let points = directed();
    let chunk = |i: usize| points.chunks(CHUNK).nth(i).unwrap().to_vec();
    let rows = sweep(m, &Function::all(), points.len().div_ceil(CHUNK), chunk, |_| ());
    conclude("directed inputs of f32", &rows);
}

fn f64_points(m: &Machine) {
    conclude("f64", &double(m, &Activation::ALL, &doubles()));
    let points: Vec<f64> = doubles().into_iter().step_by(4).collect();
    let activations = PARAMETERS.map(|(beta, threshold)| Softplus::new(beta, threshold).unwrap().into());
    conclude("f64, softplus with parameters", &double(m, &activations, &points));
}

/// A reciprocal that is off by what is allowed moves no 16-bit result at all, and f32 keeps its bound.
fn reciprocal(m: &Machine) {
    for recip in [-2, -1, 1, 2] {
        let off = m.variant(2, recip);
        let points = directed();
        let chunk = |i: usize| points.chunks(CHUNK).nth(i).unwrap().to_vec();
        let rows = sweep(
            &off,
            &Function::all(),
            points.len().div_ceil(CHUNK),
            chunk,
            |_| (),
        );
        conclude(&format!("f32, reciprocal off by {recip}"), &rows);
        for f in Function::plain() {
            let same = |a: Vec<u64>, b: Vec<u64>| assert_eq!(a, b, "{f}, reciprocal off by {recip}");
            let bits = |m: &Machine| {
                eval(m, f, &every_half::<f16>(), None)
                    .iter()
                    .map(|v| v.bits())
                    .collect()
            };
            same(bits(m), bits(&off));
            let bits = |m: &Machine| {
                eval(m, f, &every_half::<bf16>(), None)
                    .iter()
                    .map(|v| v.bits())
                    .collect()
            };
            same(bits(m), bits(&off));
        }
    }
}

fn special(m: &Machine) {
    let mut checks: Vec<Check> = vec![];
    every_type!(T => {
        checks.extend(Function::all().into_iter().map(|f| limits::check_limits::<T>(m, f)));
        checks.extend(Function::all().into_iter().map(|f| limits::check_nan::<T>(m, f)));
        checks.extend(Function::all().into_iter().map(|f| limits::check_finite_and_sign::<T>(m, f)));
        let derivatives = Function::plain().into_iter().filter(|f| f.order > 0);
        checks.extend(derivatives.map(|f| limits::check_factors::<T>(m, f)));
        checks.push(limits::check_subnormals::<T>(m));
        checks.extend([20.0, 5.0].map(|threshold| limits::check_threshold::<T>(m, threshold)));
    });
    let failures: Vec<String> = checks.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn views(m: &Machine) {
    every_type!(T => Function::all().into_iter().for_each(|f| check_shapes::<T>(m, f, &SHAPES, 2)));
}

fn pairs_of_views(m: &Machine) {
    let f = Function {
        activation: Activation::Mish,
        order: 1,
    };
    every_type!(T => check_shapes::<T>(m, f, &[&[19, 33], &[3, 5, 2, 7], &[2, 300], &[40, 31, 2]], usize::MAX));
}

fn empty(m: &Machine) {
    every_type!(T => Function::plain().into_iter().for_each(|f| check_empty::<T>(m, f)));
}

fn positions(m: &Machine) {
    for units in [1, 132] {
        let m = m.variant(units, 0);
        for order in 0..3 {
            every_type!(T => check_positions::<T>(&m, Function { activation: Activation::TanhSoftplus, order }));
        }
    }
}

/// 64-bit plans of small tensors: the plan is told of an operand that reaches far.
fn strided64(m: &Machine) {
    every_type!(T => Function::plain().into_iter().for_each(|f| huge::far_strides::<T>(m, f)));
}

fn bad_input(m: &Machine) {
    let ones = |dims: &[usize], dtype| Tensor::ones(dims, dtype, &Device::Cpu).unwrap();
    let plan = |x: &Tensor, g: &Tensor| {
        let f = internals::Function {
            activation: Activation::Mish,
            order: 1,
        };
        Plan::new(f, x.dtype(), [x.layout(), g.layout()], m.target())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let message = plan(&ones(&[2, 3], DType::F32), &ones(&[3, 2], DType::F32));
    for part in ["mish_backward", "[2, 3]", "[3, 2]"] {
        assert!(message.contains(part), "{message}");
    }
    let message = plan(&ones(&[2], DType::U8), &ones(&[2], DType::U8)).to_lowercase();
    assert!(
        message.contains("mish_backward") && message.contains("u8"),
        "{message}"
    );
    // Nine dims of two, every second element of a larger tensor in each.
    let mut x = ones(&[3; 9], DType::F32);
    for dim in 0..9 {
        x = x.narrow(dim, 0, 2).unwrap();
    }
    let message = plan(&x, &x);
    assert!(
        message.contains("contiguous()") && message.contains("9 dims"),
        "{message}"
    );
    let beta = Softplus::new(1e-30, 20.0).unwrap();
    let f = Function {
        activation: beta.into(),
        order: 0,
    };
    let message = m.apply(f, &ones(&[2], DType::F32), None).unwrap_err().to_string();
    assert!(
        message.contains("softplus") && message.contains("1e-30"),
        "{message}"
    );
    m.apply(f, &ones(&[2], DType::F64), None).unwrap();
}
