//! First and second derivatives of the public functions against central differences, and the proof
//! that the check itself can fail.

mod support;

use candle_core::{bail, CpuStorage, CustomOp1, DType, Device, Error, Layout, Result, Shape, Tensor};
use candle_mish::{mish, softplus, softplus_with, tanh_softplus};
use std::sync::atomic::{AtomicU32, Ordering};
use support::gradcheck::{gradcheck, gradgradcheck, randn};

type Check = std::result::Result<(), String>;
type Function = fn(&Tensor) -> Result<Tensor>;

fn tensor(values: &[f64]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

/// Both tails, both sides of zero, the roots of the first and second derivatives to four digits, and 24
/// random points.
fn points() -> Vec<f64> {
    let mut points = vec![
        -30., -12., -6.8, -2.2564, -1.1924, -0.1174, -1e-3, 1e-3, 1.4906, 8., 30.,
    ];
    points.extend(randn(24, 7).iter().map(|v| 3. * v));
    points
}

/// x², with the backward under test.
struct Square(fn(x: &Tensor, grad: &Tensor) -> Result<Option<Tensor>>);

impl CustomOp1 for Square {
    fn name(&self) -> &'static str {
        "square"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (CpuStorage::F64(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            bail!("contiguous f64 only")
        };
        let squares = values[start..end].iter().map(|x| x * x).collect();
        Ok((CpuStorage::F64(squares), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        (self.0)(x, grad)
    }
}

fn square(bwd: fn(&Tensor, &Tensor) -> Result<Option<Tensor>>) -> impl Fn(&[Tensor]) -> Result<Tensor> {
    move |args: &[Tensor]| args[0].apply_op1(Square(bwd))
}

#[track_caller]
fn rejected(check: Check, why: &str) {
    let message = check.expect_err("must be rejected");
    assert!(message.contains(why), "rejected for another reason: {message}");
}

#[test]
fn the_check_accepts_a_right_gradient() {
    let x = [tensor(&[-1.5, 0.3, 2.])];
    let right = || square(|x, g| Ok(Some((x * g)?.affine(2., 0.)?)));
    gradcheck(right(), &x).unwrap();
    gradgradcheck(right(), &x).unwrap();
    // Two inputs, a reduction, an input that does not matter.
    let args = [tensor(&[0.5, -2.]), tensor(&[3., 0.25]), tensor(&[1.])];
    let f = |args: &[Tensor]| (args[0].sqr()? * &args[1])?.sum_all();
    gradcheck(f, &args).unwrap();
    gradgradcheck(f, &args).unwrap();
}

#[test]
fn the_check_rejects_wrong_gradients() {
    let x = [tensor(&[-1.5, 0.3, 2.])];
    let wrong_factor = square(|x, g| Ok(Some((x * g)?.affine(2.01, 0.)?)));
    rejected(gradcheck(wrong_factor, &x), "central difference");
    let wrong_sign = square(|x, g| Ok(Some((x * g)?.affine(-2., 0.)?)));
    rejected(gradcheck(wrong_sign, &x), "central difference");
    rejected(gradcheck(square(|_, _| Ok(None)), &x), "central difference");
    let nan = square(|x, g| Ok(Some((x * g)?.affine(f64::NAN, 0.)?)));
    rejected(gradcheck(nan, &x), "central difference");
    // Right while grad_out is 1, which is all that `loss.backward()` of a plain sum would show.
    let grad_out_ignored = || square(|x, _| Ok(Some(x.affine(2., 0.)?)));
    rejected(gradcheck(grad_out_ignored(), &x), "central difference");
    rejected(gradcheck(grad_out_ignored(), &[tensor(&[0.3])]), "grad_out");
    // Right on the diagonal, wrong off it.
    let mixes_elements = square(|x, g| {
        let others = g.sum_all()?.broadcast_sub(g)?;
        Ok(Some(((x * g)?.affine(2., 0.)? + others)?))
    });
    rejected(gradcheck(mixes_elements, &x), "central difference");
    // Off by no more than the tolerance allows, but by something else each time.
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let not_repeatable = square(|x, g| {
        let factor = 2. + 1e-9 * f64::from(CALLS.fetch_add(1, Ordering::Relaxed));
        Ok(Some((x * g)?.affine(factor, 0.)?))
    });
    rejected(gradcheck(not_repeatable, &x), "different");
    let not_in_the_graph = |args: &[Tensor]| args[0].apply_op1_no_bwd(&Square(|_, _| Ok(None)));
    rejected(gradcheck(not_in_the_graph, &x), "central difference");
    let not_supported = square(|_, _| Err(Error::BackwardNotSupported { op: "square" }));
    rejected(gradcheck(not_supported, &x), "square");
    rejected(
        gradcheck(|args| args[0].sqr(), &[x[0].to_dtype(DType::F32).unwrap()]),
        "f64",
    );
}

/// A backward whose first derivative is right and whose own derivative is lost or wrong.
#[test]
fn the_check_rejects_wrong_second_derivatives() {
    let x = [tensor(&[-1.5, 0.3, 2.])];
    let lost = || square(|x, g| Ok(Some((x.detach() * g)?.affine(2., 0.)?)));
    gradcheck(lost(), &x).unwrap();
    rejected(gradgradcheck(lost(), &x), "central difference");
    let grad_out_lost = || square(|x, g| Ok(Some((x * g.detach())?.affine(2., 0.)?)));
    gradcheck(grad_out_lost(), &x).unwrap();
    rejected(gradgradcheck(grad_out_lost(), &x), "d input 1");
}

#[track_caller]
fn first_and_second(f: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor]) {
    gradcheck(&f, inputs).unwrap_or_else(|e| panic!("first derivative: {e}"));
    gradgradcheck(&f, inputs).unwrap_or_else(|e| panic!("second derivative: {e}"));
}

#[test]
fn softplus_with_any_beta_and_threshold() {
    // Every finite edge lies within the points, so both of its sides are checked.
    let unlimited = f64::INFINITY;
    for (beta, threshold) in [
        (1., 20.),
        (-1.5, 20.),
        (-1.5, 2.),
        (0.25, 1.),
        (3., 2.),
        (2., unlimited),
    ] {
        let edge = threshold / beta;
        // At the edge the function jumps: no difference quotient across it.
        let x: Vec<f64> = points().into_iter().filter(|x| (x - edge).abs() > 1e-3).collect();
        println!("beta {beta}, threshold {threshold}");
        first_and_second(|args| softplus_with(&args[0], beta, threshold), &[tensor(&x)]);
    }
}

fn check_activation(f: Function) {
    let x = tensor(&points());
    let matrix = [x.reshape((5, 7)).unwrap()];
    let row = x.narrow(0, 3, 4).unwrap();
    let half = (&row * 0.5).unwrap();
    first_and_second(|args| f(&args[0]), &[x]);
    // A view in, and a gradient that arrives transposed.
    first_and_second(|args| (f(&args[0].t()?)? * 2.)?.t(), &matrix);
    // A broadcast input collects the gradient of every copy.
    first_and_second(
        |args| f(&args[0].broadcast_as((2, 4))?),
        std::slice::from_ref(&row),
    );
    // Behind and in front of other ops, one of them the same activation.
    first_and_second(|args| f(&(f(&args[0])? * &args[1])?), &[row, half]);
}

#[test]
fn mish_gradients() {
    check_activation(mish)
}

#[test]
fn softplus_gradients() {
    check_activation(softplus)
}

#[test]
fn tanh_softplus_gradients() {
    check_activation(tanh_softplus)
}
