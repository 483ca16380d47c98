//! The tests that only an emulator allows. Those that it shares with real devices are in `checks.rs`.

use super::checks::single;
use super::gpu::{planned, Gpu};
use super::machine::Machine;
use super::support::backend::{eval, Backend, Function};
use super::support::inputs::{doubles, every_half, Random};
use super::support::layouts::check_positions;
use super::support::ulp::Element;
use super::{huge, inplace};
use candle_core::{DType, Device, Tensor};
use candle_mish::internals::{self, AffineArguments, Arguments, Plan};
use candle_mish::{Activation, Softplus};
use half::{bf16, f16};
use std::mem::{offset_of, size_of};

pub type Test = (&'static str, fn(&Machine));

pub const ALL: &[Test] = &[
    ("every_kernel_that_a_plan_can_name_exists", names),
    ("arguments_have_the_same_layout", arguments),
    ("conversions_of_the_shim_round_to_nearest_even", conversions),
    ("formula_h_is_formula_rs", same_formulas),
    ("approximate_reciprocal", reciprocal),
    ("any_number_of_multiprocessors", multiprocessors),
    ("strided_64_bit_gives_the_same", strided64),
    ("more_than_2_to_32_contiguous", huge::contiguous),
    ("more_than_2_to_32_vectors", huge::vectors),
    ("more_than_2_to_32_strided", huge::strided),
    ("indices_just_below_2_to_31", huge::last_of_32_bits),
    ("in_place", inplace::every_layout),
    ("bad_input", bad_input),
];

pub fn names(m: &Machine) {
    let missing: Vec<_> = m
        .kernels()
        .into_iter()
        .filter(|name| m.kernel(name).is_none())
        .collect();
    assert!(
        missing.is_empty(),
        "kernels that plans name and the source lacks: {missing:?}"
    );
}

/// Offsets of the fields of a struct, and its size, in the order of `FIELDS` in launch.h.
macro_rules! layout {
    ($struct:ty: $($field:ident)*) => {
        [$(offset_of!($struct, $field),)* size_of::<$struct>()]
    };
}

fn arguments(m: &Machine) {
    check_layout(
        m,
        layout!(Arguments: n dims strides multipliers shifts rank in_place beta beta_low threshold reserved
            beta_bits threshold_bits),
    );
}

pub fn affine_arguments(m: &Machine) {
    check_layout(
        m,
        layout!(AffineArguments: n dims strides multipliers shifts rank parts together single adjacent),
    );
}

fn check_layout<const N: usize>(m: &Machine, expected: [usize; N]) {
    let mut layout = [u64::MAX; N];
    // SAFETY: these are their types; `FIELDS` in launch.h has as many.
    let threads = unsafe {
        let fields = m.function::<extern "C" fn(&mut [u64; N])>("arguments_layout");
        fields.unwrap()(&mut layout);
        m.function::<extern "C" fn() -> u32>("threads").unwrap()()
    };
    assert_eq!(
        layout,
        expected.map(|at| at as u64),
        "offsets of the fields, and the size"
    );
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

/// The same operations in the same order: the same bits in f32 and f64. PTX has the device's reciprocal, which is rounded
/// once more: 1 ulp for an input in ten thousand at most.
fn same_formulas(m: &Machine) {
    let random = &mut Random(6);
    let mut x: Vec<f64> = doubles();
    x.extend((0..20_000).map(|_| -30.0 + 60.0 * random.unit()));
    let singles: Vec<f32> = x.iter().map(|x| *x as f32).collect();
    for f in Function::plain() {
        if m.gpu().double() {
            same_results(m, f, &x, |x| internals::formula_f64(planned(f), x));
        }
        // quick.h has forms of its own there.
        if f.order < 2 {
            same_results(m, f, &singles, |x| internals::formula_f32(planned(f), x));
        }
    }
}

fn same_results<T: Element>(m: &Machine, f: Function, x: &[T], formula: impl Fn(T) -> T) {
    let mut off_by_one = 0;
    for (x, y) in x.iter().zip(eval(m, f, x, None)) {
        let expected = formula(*x);
        // For Metal, which may take them for zero, subnormal results come about in another way.
        let subnormal = expected.to_f64() != 0.0 && expected.to_f64().abs() < 2f64.powi(T::EXPONENTS[0]);
        if y.alike(expected) || subnormal && m.gpu() == Gpu::Metal {
            continue;
        }
        let close = m.is_ptx() && y.bits().abs_diff(expected.bits()) == 1;
        assert!(
            close,
            "{f} of {x:?} in {:?}: formula.h {y:?}, formula.rs {expected:?}",
            T::DTYPE
        );
        off_by_one += 1;
    }
    assert!(
        10_000 * off_by_one <= x.len(),
        "{f}: {off_by_one} results of {} differ",
        x.len()
    );
}

/// A reciprocal that is off by what is allowed moves no 16-bit result at all, and f32 keeps its bound.
fn reciprocal(m: &Machine) {
    for recip in [-2, -1, 1, 2] {
        let off = m.variant(2, recip);
        single(&off, &format!("f32, reciprocal off by {recip}"));
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

/// From a grid of one block that loops to one in which nothing does.
fn multiprocessors(m: &Machine) {
    let f = Function {
        activation: Activation::Mish,
        order: 1,
    };
    for units in [1, 7, 132, 100_000] {
        check_positions::<f16>(&m.variant(units, 0), f);
        if m.gpu().double() {
            check_positions::<f64>(&m.variant(units, 0), f);
        }
    }
}

/// 64-bit plans of small tensors: the plan is told of an operand that reaches far.
fn strided64(m: &Machine) {
    for f in Function::plain() {
        huge::far_strides::<f16>(m, f);
        huge::far_strides::<bf16>(m, f);
        huge::far_strides::<f32>(m, f);
        if m.gpu().double() {
            huge::far_strides::<f64>(m, f);
        }
    }
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
        message.contains("contiguous") && message.contains("9 dims"),
        "{message}"
    );
    let message = Plan::in_place(
        "mish_inplace",
        Activation::Mish,
        DType::F32,
        x.layout(),
        m.target(),
    )
    .unwrap_err()
    .to_string();
    assert!(
        message.contains("mish_inplace") && message.contains("9 dims"),
        "{message}"
    );
    for (beta, order) in [(1e-30, 0), (1e30, 0), (-1e30, 1), (1e-30, 2)] {
        let f = Function {
            activation: Softplus::new(beta, 20.0).unwrap().into(),
            order,
        };
        let x = ones(&[2], DType::F32);
        let message = m.apply(f, &x, (order > 0).then_some(&x)).unwrap_err().to_string();
        assert!(
            message.contains("softplus") && message.contains(&format!("beta {beta:e}")),
            "{message}"
        );
    }
    let f = Function {
        activation: Softplus::new(1e-12, 20.0).unwrap().into(),
        order: 0,
    };
    let double = m.apply(f, &ones(&[2], DType::F64), None);
    match m.gpu().double() {
        true => drop(double.unwrap()),
        false => {
            let message = double.unwrap_err().to_string().to_lowercase();
            assert!(
                message.contains("softplus") && message.contains("f64"),
                "{message}"
            );
        }
    }
}
