//! f64 against 160-bit arithmetic.

mod support;

use candle_mish::{Activation, Softplus};
use support::accuracy::double;
use support::backend::{CPU, PARAMETERS};
use support::inputs::{doubles, edges_of};
use support::table::conclude;

#[test]
fn activations() {
    conclude("f64", &double(&CPU, &Activation::ALL, &doubles()));
}

#[test]
fn softplus_with_parameters() {
    let activations = PARAMETERS.map(|(beta, threshold)| Softplus::new(beta, threshold).unwrap().into());
    let mut points = edges_of::<f64>(1);
    points.extend(doubles().iter().step_by(4));
    conclude("f64", &double(&CPU, &activations, &points));
}
