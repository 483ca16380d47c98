//! Random ops, types, shapes, layouts, instruction sets and numbers of threads, against the reference in f64, with
//! poison around all memory: `cargo test --test property`. `PROPERTY_CASES` and `PROPERTY_SEED` ask for more, or others;
//! `cargo test --test property -- --ignored --nocapture` runs 100,000.

mod support;

use candle_core::Tensor;
use half::{bf16, f16};
use indicatif::{ProgressBar, ProgressStyle};
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::cell::RefCell;
use support::backend::{bits, values};
use support::case::{case, Case, Op};
use support::guard::{damaged, Guarded};
use support::operand::{Operand, Recipe};
use support::process::in_processes;
use support::table::{conclude, Row};
use support::ulp::Element;

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Threads and instruction sets, in processes of their own, as both are read once. What the processor lacks becomes the
/// best it has; an instruction set named from outside goes before these.
const SETTINGS: [(&str, &str); 5] = [
    ("1", ""),
    ("2", "avx2"),
    ("3", "baseline"),
    ("5", "avx512"),
    ("8", "avx512-halves"),
];

macro_rules! ensure {
    ($ok:expr, $($message:tt)*) => {
        if !$ok {
            return Err(format!($($message)*));
        }
    };
}

fn check(case: &Case) -> Result<Row, String> {
    use candle_core::DType::{BF16, F16, F32};
    let run = match case.dtype {
        F16 => run::<f16>,
        BF16 => run::<bf16>,
        F32 => run::<f32>,
        _ => run::<f64>,
    };
    let row = run(case).map_err(|e| e.to_string())??;
    let damaged = damaged();
    ensure!(damaged == 0, "{damaged} allocations were written past an end");
    Ok(row)
}

fn run<T: Element>(case: &Case) -> candle_core::Result<Result<Row, String>> {
    type Operands<T> = candle_core::Result<Vec<T>>;
    let make = || -> Operands<Operand> {
        let shapes = case.op.operands(&case.dims).into_iter();
        let operand = |((role, dims), recipe): ((_, Vec<_>), &Recipe)| recipe.operand::<T>(&dims, role);
        shapes.zip(&case.recipes).map(operand).collect()
    };
    let operands = make()?;
    let views: Vec<_> = operands.iter().map(|o| o.view.clone()).collect();
    let out = case.op.run(&views)?;
    let copies: Vec<_> = views
        .iter()
        .map(Tensor::force_contiguous)
        .collect::<Operands<_>>()?;
    let contiguous = values::<T>(&case.op.run(&copies)?);
    let untouched = make()?;
    let overwritten = make()?;
    case.op.run_in_place(&overwritten[0].view)?;
    let buffers = |operand: &Operand| bits::<T>(&operand.buffer);
    let judged = || {
        ensure!(
            operands.iter().map(buffers).eq(untouched.iter().map(buffers)),
            "an operand was written to"
        );
        ensure!(
            out.dims() == case.dims && out.dtype() == T::DTYPE,
            "the result is {out:?}"
        );
        let in_place = matches!(case.op, Op::InPlace(_));
        ensure!(
            in_place || out.is_contiguous(),
            "the result has strides {:?}",
            out.stride()
        );
        let actual = values::<T>(&out);
        for (i, (a, c)) in actual.iter().zip(&contiguous).enumerate() {
            ensure!(a.alike(*c), "element {i} is {a}, of contiguous operands {c}");
        }
        if in_place {
            ensure!(
                bits::<T>(&overwritten[0].view) == bits::<T>(&out),
                "overwritten with other values"
            );
            // Around a view there is nothing but NaN.
            let around = values::<T>(&overwritten[0].buffer)
                .into_iter()
                .zip(values::<T>(&untouched[0].buffer));
            let mut nan = around.filter(|(_, before)| before.to_f64().is_nan());
            ensure!(
                nan.all(|(after, _)| after.to_f64().is_nan()),
                "written to beside the view"
            );
        }
        let row = case.op.judge(
            &case.dims,
            &copies.iter().map(values::<T>).collect::<Vec<_>>(),
            &actual,
        );
        ensure!(row.passed(), "contract missed:\n{}", row.lines());
        Ok(row)
    };
    Ok(judged())
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, expected a number")),
    )
}

/// In a worker: its share of the cases.
fn run_cases(cases: u32, bar: &ProgressBar) {
    let threads = setting("CANDLE_NUM_THREADS").expect("set by in_processes");
    let isa = candle_mish::internals::cpu_isa();
    bar.set_message(format!("{threads} threads, {isa}"));
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&setting("PROPERTY_SEED").unwrap_or(0).to_le_bytes());
    seed[8..16].copy_from_slice(&threads.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    // Of every type, the row that came closest to its bound.
    let closest: RefCell<Vec<Row>> = RefCell::default();
    let elements = RefCell::new(0);
    let result = runner.run(&case(), |case| {
        let row = check(&case).map_err(proptest::test_runner::TestCaseError::fail)?;
        bar.inc(1);
        *elements.borrow_mut() += row.inputs;
        let mut closest = closest.borrow_mut();
        match closest.iter_mut().find(|other| other.dtype == row.dtype) {
            None => closest.push(row),
            Some(other) if row.share() > other.share() => *other = row,
            Some(_) => {}
        }
        Ok(())
    });
    bar.finish_and_clear();
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => panic!("{reason}\nwith {threads} threads, {isa}: {case:?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
    let title = format!(
        "{cases} cases, {} elements, {threads} threads, {isa}",
        elements.borrow()
    );
    conclude(&title, &closest.borrow());
}

fn in_all_settings(test: &str, cases: u64, bar: impl Fn(u64) -> ProgressBar) {
    let named = std::env::var("CANDLE_MISH_ISA").ok();
    let isa = |isa| named.as_deref().unwrap_or(isa);
    let settings =
        SETTINGS.map(|(threads, of)| vec![("CANDLE_NUM_THREADS", threads), ("CANDLE_MISH_ISA", isa(of))]);
    let share = cases.div_ceil(SETTINGS.len() as u64);
    in_processes(test, &settings, || {
        run_cases(share.try_into().expect("PROPERTY_CASES below 2³²"), &bar(share));
        vec![]
    });
}

#[test]
fn random_cases() {
    let cases = setting("PROPERTY_CASES").unwrap_or(2_000);
    in_all_settings("random_cases", cases, |_| ProgressBar::hidden());
}

#[test]
#[ignore = "takes minutes"]
fn a_hundred_thousand_random_cases() {
    let bar = |n| {
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent} %, {eta} left").unwrap();
        ProgressBar::new(n).with_style(style)
    };
    in_all_settings("a_hundred_thousand_random_cases", 100_000, bar);
}

/// The harness notices what it is there for.
#[test]
fn guard_zones_are_guarded() {
    for offset in [-1isize, 16] {
        let mut bytes = vec![0u8; 16];
        let at = bytes.as_mut_ptr().wrapping_offset(offset);
        // SAFETY: the allocator of this binary has a zone on either side of every allocation.
        unsafe { at.write(0) };
        drop(bytes);
        assert_eq!(damaged(), 1, "a write at {offset} of 16 bytes");
    }
}
