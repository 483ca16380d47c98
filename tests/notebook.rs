//! The "Mish Derivatives" notebook, cell by cell, on its own input range: 100 points
//! `randn + (−500, −490, …, 490)`. Its three `autograd.Function`s are written out below in f64, with
//! the threshold, the `log1p(exp x)` and the `1 − exp(−sp)` they have there; the crate's functions
//! take the place of the PyTorch ones they are compared with. (The cells that differentiate
//! symbolically are in `docs/derivation.py`.)

mod support;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_mish::{mish, softplus, softplus_with, tanh_softplus};
use support::gradcheck::{gradcheck, randn};

type Function = fn(&Tensor) -> Result<Tensor>;

const N: usize = 100;
const THRESHOLD: f64 = 20.;

/// In \[2\]. In f32, as there; the f64 checks convert these very values.
fn inp() -> Vec<f32> {
    let noise = randn(N, 2019);
    noise
        .iter()
        .enumerate()
        .map(|(i, v)| *v as f32 + (10. * i as f32 - 500.))
        .collect()
}

/// What the upstream layer would send back.
fn grad_out() -> Vec<f32> {
    randn(N, 2020).iter().map(|v| *v as f32).collect()
}

/// `torch.allclose(actual, expected)` with its default tolerances, which lets no NaN through.
#[track_caller]
fn allclose(actual: &[f64], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len());
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let close = (a - e).abs() <= 1e-8 + 1e-5 * e.abs();
        assert!(close, "at {i}, x = {}: {a:e}, expected {e:e}", inp()[i]);
    }
}

/// The line that every forward and two of the three backwards start with.
fn sp(x: f64) -> f64 {
    if x < THRESHOLD {
        x.exp().ln_1p()
    } else {
        x
    }
}

/// One `autograd.Function`: the output, what `save_for_backward` keeps, and the gradient from that.
struct Reference {
    forward: fn(x: f64) -> f64,
    saved: fn(x: f64) -> f64,
    backward: fn(saved: f64) -> f64,
}

/// In \[4\]: saves the output.
const SOFT_PLUS_TEST: Reference = Reference {
    forward: sp,
    saved: sp,
    backward: |y| 1. - (-y).exp(),
};

/// In \[8\]: saves the input and rebuilds softplus from it.
const TANH_SP_TEST: Reference = Reference {
    forward: |x| sp(x).tanh(),
    saved: |x| x,
    backward: |x| {
        let sp = sp(x);
        let grad_sp = 1. - (-sp).exp();
        let tanhsp = sp.tanh();
        (1. - tanhsp * tanhsp) * grad_sp
    },
};

/// In \[15\]: saves the input and rebuilds softplus from it.
const MISH_TEST: Reference = Reference {
    forward: |x| x * sp(x).tanh(),
    saved: |x| x,
    backward: |x| {
        let sp = sp(x);
        let grad_sp = 1. - (-sp).exp();
        let tsp = sp.tanh();
        let grad_tsp = (1. - tsp * tsp) * grad_sp;
        x * grad_tsp + tsp
    },
};

fn to_f64(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Output and input gradient of `ours` in `dtype`, for the notebook's input and [`grad_out`].
fn run(ours: Function, dtype: DType) -> Result<(Vec<f64>, Vec<f64>)> {
    let x = Var::from_tensor(&Tensor::new(inp(), &Device::Cpu)?.to_dtype(dtype)?)?;
    let g = Tensor::new(grad_out(), &Device::Cpu)?.to_dtype(dtype)?;
    let y = ours(&x)?;
    let grads = (&y * g)?.sum_all()?.backward()?;
    Ok((
        to_f64(&y),
        to_f64(grads.get(&x).expect("a gradient for the input")),
    ))
}

#[track_caller]
fn forward_cell(ours: Function, notebook: &Reference) {
    let expected: Vec<f64> = inp().iter().map(|&x| (notebook.forward)(x.into())).collect();
    for dtype in [DType::F32, DType::F64] {
        allclose(&run(ours, dtype).unwrap().0, &expected);
    }
}

#[track_caller]
fn backward_cell(ours: Function, notebook: &Reference) {
    let grad = |(x, g): (f32, f32)| f64::from(g) * (notebook.backward)((notebook.saved)(x.into()));
    let expected: Vec<f64> = inp().into_iter().zip(grad_out()).map(grad).collect();
    for dtype in [DType::F32, DType::F64] {
        allclose(&run(ours, dtype).unwrap().1, &expected);
    }
}

#[track_caller]
fn gradcheck_cell(ours: Function) {
    let inp = Tensor::new(inp(), &Device::Cpu)
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap();
    gradcheck(|args| ours(&args[0]), &[inp]).unwrap();
}

/// `F.softplus`, with the threshold at which PyTorch switches to the identity.
fn torch_softplus(xs: &Tensor) -> Result<Tensor> {
    softplus_with(xs, 1., THRESHOLD)
}

#[test]
fn in_5_softplus_forward() {
    forward_cell(softplus, &SOFT_PLUS_TEST);
    forward_cell(torch_softplus, &SOFT_PLUS_TEST);
}

#[test]
fn in_4_softplus_backward_from_the_saved_output() {
    backward_cell(softplus, &SOFT_PLUS_TEST);
    backward_cell(torch_softplus, &SOFT_PLUS_TEST);
}

#[test]
fn in_6_softplus_gradcheck() {
    gradcheck_cell(softplus);
    gradcheck_cell(torch_softplus);
}

#[test]
fn in_9_tanh_softplus_forward() {
    forward_cell(tanh_softplus, &TANH_SP_TEST);
}

#[test]
fn in_8_tanh_softplus_backward_from_the_saved_input() {
    backward_cell(tanh_softplus, &TANH_SP_TEST);
}

#[test]
fn in_10_tanh_softplus_gradcheck() {
    gradcheck_cell(tanh_softplus);
}

#[test]
fn in_16_mish_forward() {
    forward_cell(mish, &MISH_TEST);
}

#[test]
fn in_15_mish_backward_from_the_saved_input() {
    backward_cell(mish, &MISH_TEST);
}

/// There the cell repeats the check of `TanhSPTest`; here it is Mish's own.
#[test]
fn in_17_mish_gradcheck() {
    gradcheck_cell(mish);
}

/// `allclose` hides behind its 1e-8 what `1 − exp(−sp)` loses: in f32 it is 0 below x ≈ −17.3, in
/// f64 below −37.4, where the gradient of softplus is still eˣ to the last digit.
#[test]
fn where_the_saved_output_has_cancelled_ours_has_not() {
    let below_f32 = -18f32;
    assert_eq!(1. - (-(below_f32.exp().ln_1p())).exp(), 0.);
    let below_f64 = -38f64;
    assert_eq!((SOFT_PLUS_TEST.backward)(sp(below_f64)), 0.);
    let x = [f64::from(below_f32), below_f64];
    for dtype in [DType::F32, DType::F64] {
        let x_var =
            Var::from_tensor(&Tensor::new(&x, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()).unwrap();
        let grads = softplus(&x_var).unwrap().sum_all().unwrap().backward().unwrap();
        for (x, grad) in x.iter().zip(to_f64(grads.get(&x_var).unwrap())) {
            let sigmoid = x.exp() / (1. + x.exp());
            assert!(
                (grad / sigmoid - 1.).abs() < 1e-6,
                "x = {x}: {grad:e}, expected {sigmoid:e}"
            );
        }
    }
}
