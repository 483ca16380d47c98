//! Bad input is an error that names the op, what came and what was expected. Nothing panics.

mod support;

use candle_core::{CustomOp2, DType, Device, Error, Module, Result, Tensor, Var};
use candle_mish::*;
use support::backend::{Backend, Function, CPU};

/// The message of an error has every part in it, in capitals or not: candle has dtypes both ways.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, parts: &[&str]) {
    let message = result.expect_err("bad input was taken").to_string();
    let lower = message.to_lowercase();
    let missing: Vec<_> = parts
        .iter()
        .filter(|part| !lower.contains(&part.to_lowercase()))
        .collect();
    assert!(missing.is_empty(), "{message:?} does not name {missing:?}");
}

fn ones(dims: &[usize], dtype: DType) -> Tensor {
    Tensor::ones(dims, dtype, &Device::Cpu).unwrap()
}

const INTEGERS: [DType; 3] = [DType::U8, DType::U32, DType::I64];

#[test]
fn integers_forward() {
    for dtype in INTEGERS {
        let x = ones(&[3], dtype);
        for activation in Activation::ALL {
            refused(activation.forward(&x), &[activation.name(), dtype.as_str()]);
        }
        refused(mish(&x), &["mish", dtype.as_str()]);
        refused(softplus(&x), &["softplus", dtype.as_str()]);
        refused(softplus_with(&x, 2.0, 20.0), &["softplus", dtype.as_str()]);
        refused(tanh_softplus(&x), &["tanh_softplus", dtype.as_str()]);
    }
}

#[test]
fn integers_backward() {
    for f in Function::plain().into_iter().filter(|f| f.order > 0) {
        let name = Derivative::new(f.activation, f.order).unwrap().name();
        for dtype in INTEGERS {
            let x = ones(&[3], dtype);
            refused(CPU.apply(f, &x, Some(&x)), &[name, dtype.as_str()]);
        }
    }
}

/// Empty tensors are no excuse.
#[test]
fn integers_without_elements() {
    for activation in Activation::ALL {
        refused(
            activation.forward(&ones(&[0], DType::U8)),
            &[activation.name(), "u8"],
        );
    }
}

#[test]
fn operands_of_different_types() {
    let floats = [DType::F16, DType::BF16, DType::F32, DType::F64];
    for f in Function::plain().into_iter().filter(|f| f.order > 0) {
        let name = Derivative::new(f.activation, f.order).unwrap().name();
        for x in floats {
            for g in floats.into_iter().chain([DType::U8]).filter(|g| *g != x) {
                let result = CPU.apply(f, &ones(&[3], x), Some(&ones(&[3], g)));
                refused(result, &[name, x.as_str(), g.as_str()]);
            }
        }
    }
}

#[test]
fn operands_of_different_shapes() {
    let shapes: [([&[usize]; 2], [&str; 2]); 6] = [
        ([&[3], &[4]], ["[3]", "[4]"]),
        ([&[4], &[3]], ["[4]", "[3]"]),
        ([&[2, 3], &[3, 2]], ["[2, 3]", "[3, 2]"]),
        ([&[2, 3], &[6]], ["[2, 3]", "[6]"]),
        ([&[2, 3], &[1, 3]], ["[2, 3]", "[1, 3]"]),
        ([&[0], &[1]], ["[0]", "[1]"]),
    ];
    for f in Function::plain().into_iter().filter(|f| f.order > 0) {
        let name = Derivative::new(f.activation, f.order).unwrap().name();
        for ([x, g], [x_name, g_name]) in shapes {
            let result = CPU.apply(f, &ones(x, DType::F32), Some(&ones(g, DType::F32)));
            refused(result, &[name, x_name, g_name]);
        }
    }
}

#[test]
fn parameters_of_softplus() {
    let infinity = f64::INFINITY;
    for (beta, name) in [
        (0.0, "0"),
        (-0.0, "0"),
        (infinity, "inf"),
        (-infinity, "-inf"),
        (f64::NAN, "NaN"),
    ] {
        let parts = ["softplus", "beta", "finite", "non-zero", name];
        refused(Softplus::new(beta, 20.0), &parts);
        refused(softplus_with(&ones(&[1], DType::F32), beta, 20.0), &parts);
    }
    refused(Softplus::new(1.0, f64::NAN), &["softplus", "threshold", "NaN"]);
    for threshold in [-infinity, infinity, 0.0, -3.0] {
        Softplus::new(-2.5, threshold).unwrap();
    }
}

#[test]
fn names() {
    for activation in Activation::ALL {
        assert_eq!(activation.name().parse::<Activation>().unwrap(), activation);
        assert_eq!(activation.to_string(), activation.name());
    }
    for unknown in ["relu", "", "Mish", " mish", "tanh-softplus"] {
        let quoted = format!("{unknown:?}");
        refused(
            unknown.parse::<Activation>(),
            &[&quoted, "mish", "softplus", "tanh_softplus"],
        );
    }
}

#[test]
fn orders() {
    for activation in Activation::ALL {
        for (order, name) in [(0, "0"), (3, "3"), (usize::MAX, "18446744073709551615")] {
            refused(
                Derivative::new(activation, order),
                &[activation.name(), name, "1 or 2"],
            );
        }
    }
}

/// A third derivative is refused, not silently zero.
#[test]
fn third_derivative() {
    for activation in Activation::ALL {
        let x = Var::from_tensor(&ones(&[3], DType::F64)).unwrap();
        let second = Derivative::new(activation, 2).unwrap();
        let out = x.apply_op2(&x.ones_like().unwrap(), second).unwrap();
        match out.sum_all().unwrap().backward() {
            Err(Error::BackwardNotSupported { op }) => assert!(op.contains(activation.name()), "{op}"),
            Err(Error::WithBacktrace { inner, .. }) => {
                assert!(matches!(*inner, Error::BackwardNotSupported { .. }))
            }
            other => panic!("{activation}: {:?}", other.map(|_| "a gradient")),
        }
    }
}
