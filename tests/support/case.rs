//! Random cases: an op, a type, a shape, and a layout for every operand.

use super::accuracy::REFERENCE_ERROR;
use super::backend::{Backend, Function, CPU, ORDERS, PARAMETERS};
use super::contract::{self, near_root, root_distance, Bound};
use super::operand::{recipe, shape, Recipe, Role};
use super::reference::Batch;
use super::table::{Row, Worst};
use super::ulp::{self, Element, Exact};
use candle_core::{DType, Result, Tensor};
use candle_mish::{Activation, Softplus};
use proptest::prelude::*;
use proptest::sample::select;

/// What a case runs. A further op is a further variant, and an arm of every `match` below.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// f(x), or g·f⁽ᵏ⁾(x).
    Function(Function),
}

impl Op {
    /// What the operands are, with their shapes, for a result of these dims.
    pub fn operands(&self, dims: &[usize]) -> Vec<(Role, Vec<usize>)> {
        match self {
            Self::Function(f) if f.order == 0 => vec![(Role::Input, dims.to_vec())],
            Self::Function(_) => vec![(Role::Input, dims.to_vec()), (Role::Factor, dims.to_vec())],
        }
    }

    pub fn run(&self, operands: &[Tensor]) -> Result<Tensor> {
        match self {
            Self::Function(f) => CPU.apply(*f, &operands[0], operands.get(1)),
        }
    }

    /// Results against the reference in f64; the operands' values in the order of the result's.
    pub fn judge<T: Element>(&self, operands: &[Vec<T>], actual: &[T]) -> Row {
        match self {
            Self::Function(f) => judge(*f, &operands[0], operands.get(1).map(Vec::as_slice), actual),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Case {
    pub op: Op,
    pub dtype: DType,
    pub dims: Vec<usize>,
    /// One for every operand that an op may have.
    pub recipes: [Recipe; 2],
}

pub fn case() -> impl Strategy<Value = Case> {
    let dtype = select(vec![DType::F32, DType::F16, DType::BF16, DType::F64]);
    let recipes = [recipe(), recipe()];
    (op(), dtype, shape(), recipes).prop_map(|(op, dtype, dims, recipes)| Case {
        op,
        dtype,
        dims,
        recipes,
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
    (activation, select(ORDERS.to_vec()))
        .prop_map(|(activation, order)| Op::Function(Function { activation, order }))
}

/// Below it the reference in f64 has lost its accuracy to an underflow of t²; βx may have overflowed in it, too.
const UNDERFLOW: f64 = f64::MIN_POSITIVE * (1u64 << 20) as f64;

/// The tolerance for results that are compared with the reference in f64. In f64 itself it is the reference's own
/// error: `tests/double.rs` has the contract.
fn tolerance(dtype: DType, order: usize, product: bool) -> Bound {
    let side = CPU.side();
    match dtype {
        DType::F64 => Bound {
            ulp: REFERENCE_ERROR * 2f64.powi(53) + contract::product_bound(side, dtype, order).ulp,
            absolute: 2f64.powi(-48),
            nearest: false,
        },
        DType::F32 if !product => contract::bound(side, dtype, order),
        _ => contract::product_bound(side, dtype, order),
    }
}

fn judge<T: Element>(f: Function, x: &[T], g: Option<&[T]>, actual: &[T]) -> Row {
    let mut row = Row::new::<T>(f, tolerance(T::DTYPE, f.order, g.is_some()));
    let mut reference = Vec::new();
    let single = T::DTYPE != DType::F64;
    Batch::new(x.iter().map(|x| x.to_f64()), Batch::beta(f)).values(f, single, &mut reference);
    let smallest = 2f64.powi(T::EXPONENTS[0]);
    for (i, (&actual, value)) in actual.iter().zip(reference).enumerate() {
        row.inputs += 1;
        let (x, g) = (x[i].to_f64(), g.map(|g| g[i].to_f64()));
        let expected = value * g.unwrap_or(1.0);
        let special = g.filter(|g| *g == 0.0 || !g.is_finite());
        if !x.is_finite() || special.is_some() {
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
