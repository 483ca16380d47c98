//! Bad input is an error that names the op, what came and what was expected. Nothing panics.

mod support;

use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, CustomOp2, DType, Device, Error, Module, Result, Storage, Tensor, Var, D};
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

const FLOATS: [DType; 4] = [DType::F16, DType::BF16, DType::F32, DType::F64];
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
    for f in Function::plain().into_iter().filter(|f| f.order > 0) {
        let name = Derivative::new(f.activation, f.order).unwrap().name();
        for x in FLOATS {
            for g in FLOATS.into_iter().chain([DType::U8]).filter(|g| *g != x) {
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
    refused(Softplus::new(1.0, -infinity), &["softplus", "threshold", "-inf"]);
    for threshold in [f64::MIN, infinity, 0.0, -3.0] {
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

/// Every function of x and, for a derivative, with g of the same view, is refused; so are the fused ops with channels
/// along the last dim.
fn every_op_refuses(x: &Tensor, parts: &[&str]) {
    for f in Function::all() {
        let g = (f.order > 0).then_some(x);
        refused(CPU.apply(f, x, g), &[&[f.activation.name()], parts].concat());
    }
    let channels = *x.dims().last().unwrap();
    let one = ones(&[1], x.dtype()).broadcast_as(channels).unwrap();
    let fused = |name| [&[name], parts].concat();
    refused(mish_affine(x, &one, &one, D::Minus1), &fused("mish_affine"));
    refused(mish_bias(x, &one, D::Minus1), &fused("mish_bias"));
    refused(softplus_bias(x, &one, D::Minus1), &fused("softplus_bias"));
}

/// A view may have more elements than memory: an error, where candle's own ops and `Vec::with_capacity` would end
/// the process.
#[test]
fn no_memory_for_the_result() {
    for dtype in FLOATS {
        let view = ones(&[1, 1], dtype).broadcast_as((1 << 47, 8)).unwrap();
        every_op_refuses(&view, &["no memory", "1125899906842624 elements"]);
        let row = ones(&[3], dtype).broadcast_as((1 << 50, 3)).unwrap();
        every_op_refuses(&row, &["no memory", "3377699720527872 elements"]);
    }
}

/// candle's product of the dims overflows here.
#[test]
fn more_elements_than_can_be_counted() {
    for dims in [
        [1 << 32, 1 << 32, 1],
        [1 << 40, 1 << 40, 1 << 40],
        [usize::MAX, 3, 1],
        [1 << 62, 1, 1],
        [0, 1 << 40, 1 << 40],
        [1 << 40, 0, 1 << 40],
    ] {
        let from = dims.map(|dim| dim.min(1));
        let view = ones(&from, DType::F64).broadcast_as(&dims).unwrap();
        every_op_refuses(&view, &["address space", &format!("{dims:?}")]);
        if !dims.contains(&0) {
            refused(mish_inplace(&view), &["mish_inplace", "overlap"]);
        }
    }
}

/// No elements, but dims that are large.
#[test]
fn empty_and_wide() {
    let view = ones(&[0, 1], DType::F32).broadcast_as((0, 1 << 40)).unwrap();
    for f in Function::all() {
        let out = CPU.apply(f, &view, (f.order > 0).then_some(&view)).unwrap();
        assert_eq!(out.dims(), [0, 1 << 40]);
    }
}

#[test]
fn storage_shorter_than_its_shape() {
    let short = |n: usize| {
        let storage = Storage::Cpu(CpuStorage::F32(vec![0.5; n]));
        Tensor::from_storage(storage, (4, 5), BackpropOp::none(), false)
    };
    let parts = ["[4, 5]", "past", "19 elements"];
    every_op_refuses(&short(19), &parts);
    every_op_refuses(&short(19).t().unwrap(), &["[5, 4]", "past", "19 elements"]);
    for in_place in [mish_inplace, softplus_inplace, tanh_softplus_inplace] {
        refused(in_place(&short(19)), &[&["_inplace"], &parts[..]].concat());
        in_place(&short(20)).unwrap();
    }
    let (x, bias) = (short(20), short(19).narrow(0, 3, 1).unwrap().squeeze(0).unwrap());
    refused(
        mish_bias(&x, &bias, 1),
        &["mish_bias", "[5]", "past", "19 elements"],
    );
    for f in Function::all().into_iter().filter(|f| f.order > 0) {
        refused(CPU.apply(f, &short(20), Some(&short(19))), &parts);
        CPU.apply(f, &short(20), Some(&short(20))).unwrap();
    }
}

#[test]
fn parameters_that_do_not_fit() {
    let f32s = |dims: &[usize]| ones(dims, DType::F32);
    let x = f32s(&[2, 3, 4]);
    let affine = |x: &Tensor, scale: &Tensor, shift: &Tensor, dim: usize| mish_affine(x, scale, shift, dim);
    // Length, rank, dim, dtype, in each argument; a broadcast is not assumed.
    refused(
        affine(&x, &f32s(&[4]), &f32s(&[3]), 1),
        &["mish_affine", "scale", "[4]", "[3]", "dim 1"],
    );
    refused(
        affine(&x, &f32s(&[3]), &f32s(&[2]), 1),
        &["mish_affine", "shift", "[2]", "[3]", "dim 1"],
    );
    refused(
        affine(&x, &f32s(&[1]), &f32s(&[3]), 1),
        &["mish_affine", "scale", "[1]", "[3]"],
    );
    refused(
        affine(&x, &f32s(&[1, 3, 1]), &f32s(&[3]), 1),
        &["mish_affine", "scale", "[1, 3, 1]"],
    );
    refused(
        affine(&x, &f32s(&[3]), &f32s(&[3]), 3),
        &["mish_affine", "[2, 3, 4]", "3"],
    );
    refused(affine(&f32s(&[]), &f32s(&[1]), &f32s(&[1]), 0), &["mish_affine"]);
    refused(
        affine(&x, &ones(&[3], DType::F16), &f32s(&[3]), 1),
        &["mish_affine", "scale", "f16", "f32"],
    );
    let half = ones(&[2, 3], DType::F16);
    refused(
        affine(&half, &f32s(&[3]), &ones(&[3], DType::BF16), 1),
        &["shift", "bf16", "f16", "f32"],
    );
    refused(
        affine(&half, &ones(&[3], DType::F64), &f32s(&[3]), 1),
        &["scale", "f64", "f16", "f32"],
    );
    for (name, op) in [
        (
            "mish_bias",
            mish_bias as fn(&Tensor, &Tensor, usize) -> Result<Tensor>,
        ),
        ("softplus_bias", softplus_bias),
    ] {
        refused(op(&x, &f32s(&[3]), 2), &[name, "bias", "[3]", "[4]", "dim 2"]);
        refused(op(&x, &f32s(&[4]), 3), &[name, "[2, 3, 4]"]);
        refused(op(&x, &ones(&[4], DType::F64), 2), &[name, "bias", "f64", "f32"]);
        for dtype in INTEGERS {
            refused(op(&ones(&[2], dtype), &f32s(&[2]), 0), &[name, dtype.as_str()]);
        }
    }
    refused(
        MishAffine::new(f32s(&[3]), f32s(&[4]), 1),
        &["mish_affine", "[3]", "[4]"],
    );
    refused(
        MishAffine::new(f32s(&[1, 3]), f32s(&[1, 3]), 1),
        &["mish_affine", "[1, 3]"],
    );
}
