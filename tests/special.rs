//! Every limit, signs of zero included; NaN; subnormals; no NaN or infinity that is not a limit.

mod support;

use half::{bf16, f16};
use support::backend::{Function, CPU};
use support::limits::*;

/// One check in every type; all failures are told.
macro_rules! every_type {
    ($check:ident, $($argument:expr),*) => {
        [$check::<f16>(&CPU, $($argument),*), $check::<bf16>(&CPU, $($argument),*),
         $check::<f32>(&CPU, $($argument),*), $check::<f64>(&CPU, $($argument),*)]
    };
}

fn conclude(checks: impl IntoIterator<Item = Check>) {
    let failures: Vec<String> = checks.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn limits() {
    conclude(
        Function::all()
            .into_iter()
            .flat_map(|f| every_type!(check_limits, f)),
    );
}

#[test]
fn nan_stays_nan() {
    conclude(
        Function::all()
            .into_iter()
            .flat_map(|f| every_type!(check_nan, f)),
    );
}

#[test]
fn special_factors() {
    let derivatives = Function::plain().into_iter().filter(|f| f.order > 0);
    conclude(derivatives.flat_map(|f| every_type!(check_factors, f)));
}

#[test]
fn finite_with_the_sign_of_the_true_value() {
    conclude(
        Function::all()
            .into_iter()
            .flat_map(|f| every_type!(check_finite_and_sign, f)),
    );
}

#[test]
fn subnormals() {
    conclude(every_type!(check_subnormals,));
}

#[test]
fn threshold() {
    conclude(every_type!(check_threshold, 20.0));
    conclude(every_type!(check_threshold, 5.0));
}
