//! Random cases: an op, a type, a shape, and a layout for every operand.

use super::accuracy::REFERENCE_ERROR;
use super::backend::{Backend, Function, CPU, ORDERS, PARAMETERS};
use super::contract::{self, near_root, root_distance, Bound};
use super::operand::{recipe, shape, Recipe, Role, MAX_RANK};
use super::reference::Batch;
use super::table::{Row, Worst};
use super::ulp::{self, Element, Exact};
use candle_core::{DType, Result, Tensor};
use candle_mish::internals::{fused_backward, AffinePass, Fused};
use candle_mish::{
    mish_affine, mish_bias, mish_inplace, softplus_bias, softplus_inplace, tanh_softplus_inplace,
};
use candle_mish::{Activation, Softplus};
use proptest::prelude::*;
use proptest::sample::select;

/// What a case runs. A further op is a further variant, and an arm of every `match` below.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// f(x), or g·f⁽ᵏ⁾(x).
    Function(Function),
    /// f(x·scale + shift), or its gradient in x; channels lie along dim `axis`, modulo the rank.
    Fused {
        fused: Fused,
        backward: bool,
        axis: usize,
    },
    /// f(x) into x.
    InPlace(Activation),
}

impl Op {
    /// What the operands are, with their shapes, for a result of these dims.
    pub fn operands(&self, dims: &[usize]) -> Vec<(Role, Vec<usize>)> {
        let x = (Role::Input, dims.to_vec());
        let g = (Role::Factor, dims.to_vec());
        match self {
            Self::Function(f) if f.order == 0 => vec![x],
            Self::Function(_) => vec![x, g],
            Self::Fused {
                fused,
                backward,
                axis,
            } => {
                let channels = vec![dims[axis % dims.len()]];
                let scale = fused.scaled().then(|| (Role::Factor, channels.clone()));
                let operands = [
                    Some(x),
                    scale,
                    Some((Role::Input, channels)),
                    backward.then_some(g),
                ];
                operands.into_iter().flatten().collect()
            }
            Self::InPlace(_) => vec![x],
        }
    }

    /// Of an op in place, what it makes of a copy.
    pub fn run(&self, operands: &[Tensor]) -> Result<Tensor> {
        match *self {
            Self::Function(f) => CPU.apply(f, &operands[0], operands.get(1)),
            Self::Fused {
                fused,
                backward,
                axis,
            } => {
                let (x, axis) = (&operands[0], axis % operands[0].rank());
                let (parameters, g) = operands[1..].split_at(1 + usize::from(fused.scaled()));
                if backward {
                    let wide = if x.dtype() == DType::F64 {
                        DType::F64
                    } else {
                        DType::F32
                    };
                    let rows = Tensor::stack(parameters, 0)?.to_dtype(wide)?;
                    return fused_backward(fused, AffinePass::Input, axis, x, &rows, &g[0]);
                }
                match (fused, parameters) {
                    (Fused::MishAffine, [scale, shift]) => mish_affine(x, scale, shift, axis),
                    (Fused::MishBias, [bias]) => mish_bias(x, bias, axis),
                    (Fused::SoftplusBias, [bias]) => softplus_bias(x, bias, axis),
                    (fused, _) => panic!("{}: a scale or none", fused.name()),
                }
            }
            Self::InPlace(_) => {
                let copy = operands[0].copy()?;
                self.run_in_place(&copy)?;
                Ok(copy)
            }
        }
    }

    /// Overwrites x, if this is an op in place.
    pub fn run_in_place(&self, x: &Tensor) -> Result<()> {
        match self {
            Self::InPlace(Activation::Mish) => mish_inplace(x),
            Self::InPlace(Activation::Softplus(_)) => softplus_inplace(x),
            Self::InPlace(Activation::TanhSoftplus) => tanh_softplus_inplace(x),
            Self::Function(_) | Self::Fused { .. } => Ok(()),
        }
    }

    /// Results against the reference in f64; the operands' values in the order of the result's.
    pub fn judge<T: Element>(&self, dims: &[usize], operands: &[Vec<T>], actual: &[T]) -> Row {
        let wide = |values: &[T]| -> Vec<f64> { values.iter().map(|v| v.to_f64()).collect() };
        match *self {
            Self::Function(f) => {
                let g = operands.get(1).map(|g| wide(g));
                let bound = tolerance(T::DTYPE, f.order, g.is_some().into());
                judge(f, bound, &wide(&operands[0]), g.as_deref(), actual)
            }
            Self::InPlace(activation) => {
                let bound = tolerance(T::DTYPE, 0, 0);
                judge(
                    Function { activation, order: 0 },
                    bound,
                    &wide(&operands[0]),
                    None,
                    actual,
                )
            }
            Self::Fused {
                fused,
                backward,
                axis,
            } => {
                let f = Function {
                    activation: fused.activation(),
                    order: usize::from(backward),
                };
                let (count, inner) = (
                    dims[axis % dims.len()],
                    dims[axis % dims.len() + 1..].iter().product::<usize>(),
                );
                let channel = |i: usize| i / inner % count;
                let (parameters, g) = operands[1..].split_at(1 + usize::from(fused.scaled()));
                let scale = |i| match parameters {
                    [scale, _] => scale[channel(i)].to_f64(),
                    _ => 1.0,
                };
                let shift = |i| parameters[parameters.len() - 1][channel(i)].to_f64();
                let x = operands[0].iter().enumerate();
                let u: Vec<_> = x
                    .map(|(i, x)| argument(T::DTYPE, x.to_f64(), scale(i), shift(i)))
                    .collect();
                // With the scale, which is the other factor of the gradient of x.
                let g: Option<Vec<_>> = g
                    .first()
                    .map(|g| g.iter().enumerate().map(|(i, g)| g.to_f64() * scale(i)).collect());
                let factors = usize::from(backward) * parameters.len();
                judge(f, tolerance(T::DTYPE, f.order, factors), &u, g.as_deref(), actual)
            }
        }
    }
}

/// x·scale + shift, rounded once to the type that is computed in.
fn argument(dtype: DType, x: f64, scale: f64, shift: f64) -> f64 {
    match dtype {
        DType::F64 => x.mul_add(scale, shift),
        _ => (x as f32).mul_add(scale as f32, shift as f32).into(),
    }
}

#[derive(Clone, Debug)]
pub struct Case {
    pub op: Op,
    pub dtype: DType,
    pub dims: Vec<usize>,
    /// One for every operand that an op may have.
    pub recipes: [Recipe; 4],
}

pub fn case() -> impl Strategy<Value = Case> {
    let dtype = select(vec![DType::F32, DType::F16, DType::BF16, DType::F64]);
    let recipes = prop::array::uniform4(recipe());
    (op(), dtype, shape(), recipes).prop_map(|(op, dtype, mut dims, mut recipes)| {
        match op {
            // Channels need a dim.
            Op::Fused { .. } if dims.is_empty() => dims.push(1),
            Op::InPlace(_) => recipes[0].keep_apart(),
            _ => {}
        }
        Case {
            op,
            dtype,
            dims,
            recipes,
        }
    })
}

fn op() -> impl Strategy<Value = Op> {
    let exponent = -6.0..6.0f64;
    let threshold = prop_oneof![1 => Just(f64::INFINITY), 2 => -10.0..30.0f64];
    let random = (exponent, any::<bool>(), threshold).prop_map(|(exponent, negative, threshold)| {
        let beta = exponent.exp2() * if negative { -1.0 } else { 1.0 };
        (beta, threshold)
    });
    let parametric = prop_oneof![select(PARAMETERS.to_vec()), random]
        .prop_map(|(beta, threshold)| Activation::from(Softplus::new(beta, threshold).unwrap()));
    let activation = prop_oneof![3 => select(Activation::ALL.to_vec()), 1 => parametric];
    let function = (activation, select(ORDERS.to_vec()))
        .prop_map(|(activation, order)| Op::Function(Function { activation, order }));
    let fused =
        (select(Fused::ALL.to_vec()), any::<bool>(), 0..MAX_RANK).prop_map(|(fused, backward, axis)| {
            Op::Fused {
                fused,
                backward,
                axis,
            }
        });
    let in_place = select(Activation::ALL.to_vec()).prop_map(Op::InPlace);
    prop_oneof![6 => function, 3 => fused, 1 => in_place]
}

/// Below it the reference in f64 has lost its accuracy to an underflow of t²; βx may have overflowed in it, too.
const UNDERFLOW: f64 = f64::MIN_POSITIVE * (1u64 << 20) as f64;

/// The tolerance for results that are compared with the reference in f64. In f64 itself it is the reference's own
/// error: `tests/double.rs` has the contract. A second factor is one more rounding, and the error of f⁽ᵏ⁾ times up to 4.
fn tolerance(dtype: DType, order: usize, factors: usize) -> Bound {
    let side = CPU.side();
    let one = match dtype {
        DType::F64 => Bound {
            ulp: REFERENCE_ERROR * 2f64.powi(53) + contract::product_bound(side, dtype, order).ulp,
            absolute: 2f64.powi(-48),
            nearest: false,
        },
        DType::F32 if factors == 0 => contract::bound(side, dtype, order),
        _ => contract::product_bound(side, dtype, order),
    };
    match factors {
        0 | 1 => one,
        _ => Bound {
            ulp: one.ulp
                + 0.5
                    * if dtype.size_in_bytes() == 2 {
                        2f64.powi(-12)
                    } else {
                        2.0
                    },
            absolute: 2.0 * one.absolute,
            nearest: false,
        },
    }
}

/// `x` may have more digits than `T`.
fn judge<T: Element>(f: Function, bound: Bound, x: &[f64], g: Option<&[f64]>, actual: &[T]) -> Row {
    let mut row = Row::new::<T>(f, bound);
    let mut reference = Vec::new();
    let single = T::DTYPE != DType::F64;
    Batch::new(x.iter().copied(), Batch::beta(f)).values(f, single, &mut reference);
    let smallest = 2f64.powi(T::EXPONENTS[0]);
    for (i, (&actual, value)) in actual.iter().zip(reference).enumerate() {
        row.inputs += 1;
        let (x, g) = (x[i], g.map(|g| g[i]));
        let expected = value * g.unwrap_or(1.0);
        let special = g.filter(|g| *g == 0.0 || !g.is_finite());
        // A product with a limit of f⁽ᵏ⁾ is one like others.
        let product = g.is_some() && expected.is_finite() && expected != 0.0;
        if !(x.is_finite() || product) || special.is_some() {
            // Where the type has no such small number, ∞ times it is NaN; next to a root its sign is anyone's guess.
            let certain = value.abs() >= smallest && root_distance(f, x) > 1e-6;
            if certain || !x.is_finite() || g.is_some_and(f64::is_nan) {
                row.take_special(x, actual, T::from_f64(expected));
            }
            continue;
        }
        if !single && (value.abs() < UNDERFLOW || value.is_infinite()) {
            continue;
        }
        let error = ulp::error(actual, &Exact::of(expected));
        let (actual, next_to_root) = (actual.to_f64(), near_root(f, x));
        row.take(
            next_to_root,
            Worst {
                error,
                x,
                g,
                actual,
                expected,
            },
        );
    }
    row
}
