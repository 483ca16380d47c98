//! f16 and bf16: all 65,536 inputs, against correctly rounded values.

mod support;

use half::{bf16, f16};
use support::accuracy::{half, half_product};
use support::backend::{eval, Function, CPU};
use support::inputs::{every_half, Random};
use support::table::conclude;
use support::ulp::Element;

fn every_input<T: Element>(functions: &[Function]) {
    let rows: Vec<_> = functions.iter().map(|f| half::<T>(&CPU, *f)).collect();
    conclude(&format!("all inputs of {}", T::DTYPE.as_str()), &rows);
}

/// From some length on results are looked up instead of computed, which must not show: parts are shorter.
fn long_tensors_as_short_ones<T: Element>() {
    const PART: usize = 256;
    let x = every_half::<T>();
    let random = &mut Random(40);
    let mut finite = || x.iter().map(|_| random.finite()).collect::<Vec<T>>();
    let factors = [vec![T::from_f64(1.0); x.len()], finite(), finite()];
    for f in Function::all() {
        let factors = match f.order {
            0 => vec![None],
            _ => factors.iter().map(|g| Some(&g[..])).collect(),
        };
        for g in factors {
            let long = eval(&CPU, f, &x, g);
            let short = (0..x.len()).step_by(PART).flat_map(|i| {
                let part = i..i + PART;
                eval(&CPU, f, &x[part.clone()], g.map(|g| &g[part]))
            });
            for (i, (long, short)) in long.iter().zip(short).enumerate() {
                let (x, g) = (x[i].to_f64(), g.map(|g| g[i].to_f64()));
                let alike = long.bits() == short.bits() || long.to_f64().is_nan() && short.to_f64().is_nan();
                assert!(
                    alike,
                    "{f} of {x:e}, g {g:?}: {long:?} in a long tensor, {short:?} in a short one"
                );
            }
        }
    }
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

#[test]
fn f16_long_tensors_as_short_ones() {
    long_tensors_as_short_ones::<f16>();
}

#[test]
fn bf16_long_tensors_as_short_ones() {
    long_tensors_as_short_ones::<bf16>();
}
