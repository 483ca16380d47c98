//! f16 and bf16: all 65,536 inputs, against correctly rounded values.

mod support;

use half::{bf16, f16};
use support::accuracy::{half, half_product};
use support::backend::{Function, CPU};
use support::table::conclude;
use support::ulp::Element;

fn every_input<T: Element>(functions: &[Function]) {
    let rows: Vec<_> = functions.iter().map(|f| half::<T>(&CPU, *f)).collect();
    conclude(&format!("all inputs of {}", T::DTYPE.as_str()), &rows);
}

fn every_input_times_g<T: Element>(functions: &[Function]) {
    let derivatives = functions.iter().filter(|f| f.order > 0);
    let rows: Vec<_> = derivatives.map(|f| half_product::<T>(&CPU, *f)).collect();
    conclude(&format!("all inputs of {}, times g", T::DTYPE.as_str()), &rows);
}

#[test]
fn f16_every_input() {
    every_input::<f16>(&Function::all());
}

#[test]
fn bf16_every_input() {
    every_input::<bf16>(&Function::all());
}

#[test]
fn f16_every_input_times_g() {
    every_input_times_g::<f16>(&Function::all());
}

#[test]
fn bf16_every_input_times_g() {
    every_input_times_g::<bf16>(&Function::all());
}
