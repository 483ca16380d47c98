//! `torch.autograd.gradcheck` and `gradgradcheck` for candle functions, in f64: the Jacobian that
//! backward gives, row by row, against central differences, entry by entry.
//!
//! Tolerances are PyTorch's: step 1e-6 and `|analytic − numeric| ≤ 1e-5 + 1e-3·|numeric|`. As there,
//! inputs must be f64, two backward passes must agree to the bit, and a zero gradient of the output
//! must give zero gradients of the inputs.

use candle_core::{DType, Device, Result, Tensor, Var};
use std::sync::Once;

const EPS: f64 = 1e-6;
const ATOL: f64 = 1e-5;
const RTOL: f64 = 1e-3;

type Check = std::result::Result<(), String>;

/// Checks the gradient of `f` in every input. `f` gets tensors that are variables; its output may
/// have any shape. On failure says which entry of which Jacobian is off, and by how much.
pub fn gradcheck(f: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor]) -> Check {
    keep_gradient_graph();
    for (i, input) in inputs.iter().enumerate() {
        if input.dtype() != DType::F64 {
            return Err(format!("input {i} is {:?}: gradcheck needs f64", input.dtype()));
        }
    }
    let (analytic, zero_for_zero) = analytic_jacobians(&f, inputs)?;
    let mut largest = 0f64;
    for (i, rows) in analytic.iter().enumerate() {
        for column in 0..inputs[i].elem_count() {
            let numeric = numeric_column(&f, inputs, i, column).map_err(|e| e.to_string())?;
            if numeric.len() != rows.len() {
                return Err(format!(
                    "the output has {} elements, then {}",
                    rows.len(),
                    numeric.len()
                ));
            }
            for (row, (n, a)) in numeric.iter().zip(rows.iter().map(|r| r[column])).enumerate() {
                let error = (a - n).abs();
                // A NaN on either side is not close.
                let close = error <= ATOL + RTOL * n.abs();
                if !close {
                    return Err(format!(
                        "d output[{row}] / d input {i}[{column}]: backward {a:e}, central difference {n:e}"
                    ));
                }
                largest = largest.max(error);
            }
        }
    }
    if !zero_for_zero {
        return Err("backward not multiplied by grad_out: not zero where that is".into());
    }
    println!("gradcheck: largest |analytic - numeric| {largest:.1e}");
    Ok(())
}

/// Checks the second derivatives: `gradcheck` of (inputs, grad_out) ↦ the inputs' gradients, with a
/// random `grad_out`. Needs gradients that are themselves part of a graph; see [`keep_gradient_graph`].
pub fn gradgradcheck(f: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor]) -> Check {
    keep_gradient_graph();
    graph_is_kept()?;
    let grad_out = || -> Result<Tensor> {
        let out = f(inputs)?;
        Tensor::from_vec(randn(out.elem_count(), 1), out.shape(), out.device())
    };
    let mut args = inputs.to_vec();
    args.push(grad_out().map_err(|e| e.to_string())?);
    let gradients = |args: &[Tensor]| {
        let (xs, grad_out) = args.split_at(inputs.len());
        let grads = (f(xs)? * &grad_out[0])?.sum_all()?.backward()?;
        let flat = xs.iter().map(|x| match grads.get(x) {
            Some(grad) => grad.flatten_all(),
            None => x.zeros_like()?.flatten_all(),
        });
        Tensor::cat(&flat.collect::<Result<Vec<_>>>()?, 0)
    };
    gradcheck(gradients, &args)
}

/// Candle detaches every gradient it computes, so that a second backward pass would miss the part
/// that flows through the first, unless `CANDLE_GRAD_DO_NOT_DETACH` is set before a thread's first
/// `backward`. Call this at the top of a test that calls `backward` before these checks do.
pub fn keep_gradient_graph() {
    static SET: Once = Once::new();
    SET.call_once(|| std::env::set_var("CANDLE_GRAD_DO_NOT_DETACH", "1"));
}

/// `n` standard normal values, the same for the same seed (splitmix64, Box-Muller).
pub fn randn(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 // in [0, 1)
    };
    let normal = |_| {
        let radius = (-2. * (1. - uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * uniform()).cos()
    };
    (0..n).map(normal).collect()
}

/// `[input][output element][input element]`.
type Jacobians = Vec<Vec<Vec<f64>>>;

/// The Jacobians, from one backward pass per output element, and whether a zero gradient of the output
/// gives zeros.
fn analytic_jacobians(
    f: &impl Fn(&[Tensor]) -> Result<Tensor>,
    inputs: &[Tensor],
) -> std::result::Result<(Jacobians, bool), String> {
    let run = || -> Result<_> {
        let vars = variables(inputs)?;
        let out = f(&vars)?;
        let n = out.elem_count();
        let row = |grad_out: Vec<f64>| gradients(&out, &vars, grad_out);
        let bits = |r: &[Vec<f64>]| r.concat().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let mut jacobians = vec![Vec::with_capacity(n); inputs.len()];
        let mut repeatable = true;
        for i in 0..n {
            let one_hot: Vec<f64> = (0..n).map(|j| f64::from(u8::from(i == j))).collect();
            let (first, second) = (row(one_hot.clone())?, row(one_hot)?);
            repeatable &= bits(&first) == bits(&second);
            for (jacobian, row) in jacobians.iter_mut().zip(first) {
                jacobian.push(row);
            }
        }
        let zero_for_zero = row(vec![0.; n])?.concat().iter().all(|&v| v == 0.);
        Ok((repeatable, jacobians, zero_for_zero))
    };
    match run() {
        Err(e) => Err(e.to_string()),
        Ok((false, ..)) => Err("two backward passes gave different gradients".into()),
        Ok((true, jacobians, zero_for_zero)) => Ok((jacobians, zero_for_zero)),
    }
}

/// The gradients of `Σ out · grad_out`; zeros for an input that backward does not reach.
fn gradients(out: &Tensor, vars: &[Tensor], grad_out: Vec<f64>) -> Result<Vec<Vec<f64>>> {
    let grad_out = Tensor::from_vec(grad_out, out.shape(), out.device())?;
    let grads = (out * grad_out)?.sum_all()?.backward()?;
    let values = |var: &Tensor| match grads.get(var) {
        Some(grad) if grad.shape() == var.shape() => grad.flatten_all()?.to_vec1::<f64>(),
        Some(grad) => candle_core::bail!("gradient {:?} of input {:?}", grad.shape(), var.shape()),
        None => Ok(vec![0.; var.elem_count()]),
    };
    vars.iter().map(values).collect()
}

/// Central differences of every output element in element `column` of input `i`.
fn numeric_column(
    f: &impl Fn(&[Tensor]) -> Result<Tensor>,
    inputs: &[Tensor],
    i: usize,
    column: usize,
) -> Result<Vec<f64>> {
    let shifted = |step: f64| -> Result<Vec<f64>> {
        let mut values = inputs[i].flatten_all()?.to_vec1::<f64>()?;
        values[column] += step;
        let mut inputs = inputs.to_vec();
        inputs[i] = Tensor::from_vec(values, inputs[i].shape(), inputs[i].device())?;
        // Variables here too: the function that `gradgradcheck` passes calls backward itself.
        f(&variables(&inputs)?)?.flatten_all()?.to_vec1::<f64>()
    };
    let (above, below) = (shifted(EPS)?, shifted(-EPS)?);
    Ok(above
        .iter()
        .zip(&below)
        .map(|(a, b)| (a - b) / (2. * EPS))
        .collect())
}

fn variables(inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    inputs
        .iter()
        .map(|t| Ok(Var::from_tensor(t)?.into_inner()))
        .collect()
}

/// The gradient of x⁴ written as (x²)² has a gradient of its own, 12x², of which a detached graph
/// gives only a third.
fn graph_is_kept() -> Check {
    let second = || -> Result<f64> {
        let x = Var::new(1f64, &Device::Cpu)?;
        let grads = x.sqr()?.sqr()?.backward()?;
        let second = grads.get(&x).expect("x is a variable").backward()?;
        second.get(&x).expect("the gradient depends on x").to_scalar()
    };
    match second() {
        Ok(12.) => Ok(()),
        Ok(_) => Err("this thread called backward before keep_gradient_graph()".into()),
        Err(e) => Err(e.to_string()),
    }
}
