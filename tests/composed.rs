//! Against candle's own composed ops: the same values wherever those are accurate; and where they are not.

mod support;

use candle_core::{Device, Result, Tensor, Var};
use candle_mish::{mish, softplus, tanh_softplus};
use half::{bf16, f16};
use support::backend::values;
use support::contract::composed;
use support::table::show;
use support::ulp::Element;

type Op = fn(&Tensor) -> Result<Tensor>;

fn composed_softplus(x: &Tensor) -> Result<Tensor> {
    (x.exp()? + 1.0)?.log()
}

fn composed_tanh_softplus(x: &Tensor) -> Result<Tensor> {
    composed_softplus(x)?.tanh()
}

/// Ours beside what candle users write.
const PAIRS: [(&str, Op, Op); 3] = [
    ("mish", mish, candle_nn::ops::mish),
    ("softplus", softplus, composed_softplus),
    ("tanh_softplus", tanh_softplus, composed_tanh_softplus),
];

fn output_and_gradient<T: Element>(op: Op, x: &[T]) -> Result<[Vec<f64>; 2]> {
    let x = Var::from_tensor(&Tensor::from_slice(x, x.len(), &Device::Cpu)?)?;
    let y = op(&x)?;
    let grads = y.sum_all()?.backward()?;
    let wide = |t: &Tensor| values::<T>(t).iter().map(|v| v.to_f64()).collect();
    Ok([wide(&y), wide(grads.get(&x).unwrap())])
}

/// Outputs and gradients where exp neither overflows nor drowns in 1 +.
fn agree<T: Element>(low: f64, high: f64) {
    let x: Vec<T> = (0..=2000)
        .map(|i| T::from_f64(low + (high - low) * i as f64 / 2000.0))
        .collect();
    for (name, ours, theirs) in PAIRS {
        let (ours, theirs) = (
            output_and_gradient(ours, &x).unwrap(),
            output_and_gradient(theirs, &x).unwrap(),
        );
        for (what, (ours, theirs)) in ["", "′"].iter().zip(ours.iter().zip(&theirs)) {
            let mut worst = 0f64;
            for ((x, ours), theirs) in x.iter().zip(ours).zip(theirs) {
                let share = (ours - theirs).abs() / composed::<T>(x.to_f64());
                assert!(
                    share <= 1.0,
                    "{name}{what} of {x} in {:?}: {ours:e}, composed {theirs:e}",
                    T::DTYPE
                );
                worst = worst.max(share);
            }
            show(&format!(
                "{name}{what} in {:?}: {worst:.2} of the tolerance away from composed",
                T::DTYPE
            ));
        }
    }
}

#[test]
fn same_values_where_composed_ops_are_accurate() {
    agree::<f16>(-6.0, 11.0);
    agree::<bf16>(-4.0, 40.0);
    agree::<f32>(-15.0, 88.0);
}

/// Zeros in the tail: 1 + eˣ rounds to 1.
fn tail<T: Element>(at: f64) {
    let x = [T::from_f64(at)];
    for (name, ours, theirs) in PAIRS {
        let [output, _] = output_and_gradient(theirs, &x).unwrap();
        assert_eq!(output[0], 0.0, "composed {name} of {at} in {:?}", T::DTYPE);
        let [output, gradient] = output_and_gradient(ours, &x).unwrap();
        let (x, e) = (x[0].to_f64(), x[0].to_f64().exp());
        let (value, slope) = if name == "mish" {
            (x * e, (1.0 + x) * e)
        } else {
            (e, e)
        };
        // All but e² of the true value, and the rounding of the type.
        let tolerance = 2f64.powi(-T::FRACTION) + 2.0 * e;
        for (actual, expected) in [(output[0], value), (gradient[0], slope)] {
            let close = (actual / expected - 1.0).abs() <= tolerance;
            assert!(
                close,
                "{name} of {x} in {:?}: {actual:e}, expected {expected:e}",
                T::DTYPE
            );
        }
    }
}

#[test]
fn composed_ops_are_zero_in_the_tail() {
    tail::<f16>(-7.7);
    tail::<bf16>(-5.7);
    tail::<f32>(-16.7);
}

/// Infinity times zero in the gradient of log ∘ exp, once exp overflows.
fn overflow<T: Element>(below: f64, from: f64) {
    let x = [below, from, 2.0 * from].map(T::from_f64);
    for (name, ours, theirs) in PAIRS {
        let [_, gradient] = output_and_gradient(theirs, &x).unwrap();
        let nan: Vec<bool> = gradient.iter().map(|g| g.is_nan()).collect();
        assert_eq!(
            nan,
            [false, true, true],
            "composed {name} in {:?} at {x:?}: {gradient:?}",
            T::DTYPE
        );
        let [output, gradient] = output_and_gradient(ours, &x).unwrap();
        let one = |limit: f64| if name == "tanh_softplus" { 1.0 } else { limit };
        let slope = if name == "tanh_softplus" { 0.0 } else { 1.0 };
        for ((x, y), g) in x.iter().zip(output).zip(gradient) {
            let expected = one(x.to_f64());
            assert!(
                (y / expected - 1.0).abs() < 1e-5 && (g - slope).abs() < 1e-5,
                "{name} of {x}: {y}, {g}"
            );
        }
    }
}

#[test]
fn composed_gradients_are_nan_once_exp_overflows() {
    overflow::<f16>(11.08, 11.1);
    overflow::<bf16>(88.5, 89.0);
    overflow::<f32>(88.7, 88.73);
}

/// In the half types the composed op loses digits long before its tail is zero: how many, for the record.
#[test]
fn composed_ops_between() {
    fn worst<T: Element>() -> String {
        let x: Vec<T> = (0..=3000).map(|i| T::from_f64(-4.0 + i as f64 / 250.0)).collect();
        let exact: Vec<f64> = {
            let x = Tensor::from_vec(x.iter().map(|x| x.to_f64()).collect(), x.len(), &Device::Cpu).unwrap();
            mish(&x).unwrap().to_vec1().unwrap()
        };
        let [theirs, _] = output_and_gradient(candle_nn::ops::mish, &x).unwrap();
        let [ours, _] = output_and_gradient(mish, &x).unwrap();
        let error = |actual: &[f64]| {
            let relative = |(a, e): (&f64, &f64)| if *e == 0.0 { 0.0 } else { (a / e - 1.0).abs() };
            actual.iter().zip(&exact).map(relative).fold(0.0, f64::max)
        };
        assert!(error(&ours) <= 0.5001 * 2f64.powi(-T::FRACTION) && error(&theirs) > 10.0 * error(&ours));
        format!(
            "mish on [-4, 8] in {:?}, relative: composed {:.1e}, ours {:.1e}\n",
            T::DTYPE,
            error(&theirs),
            error(&ours)
        )
    }
    show(&(worst::<f16>() + &worst::<bf16>()));
}
