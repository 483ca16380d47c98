//! The accuracy contract: every tolerance of the tests. Errors are against the unrounded true value, in ulps of the
//! result's type.

use super::backend::Function;
use super::ulp::Element;
use candle_core::DType;
use candle_mish::Activation;

/// Where a result was computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    Cpu,
    /// CUDA, Metal, and emulations of them.
    Device,
}

#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Everywhere but next to a root.
    pub ulp: f64,
    /// What also does within `NEAR_ROOT` of a root, in absolute terms.
    pub absolute: f64,
    /// Whether every result has to be the nearest one.
    pub nearest: bool,
}

/// The bound on g·f⁽ᵏ⁾(x) with g = 1.
pub fn bound(side: Side, dtype: DType, order: usize) -> Bound {
    let derivative = order > 0;
    let by_order = |forward, backward| if derivative { backward } else { forward };
    let (ulp, absolute) = match (side, dtype) {
        (Side::Cpu, DType::F16 | DType::BF16) => (0.5, 0.0),
        (Side::Cpu, DType::F32) => (by_order(1.5, 2.5), 2f64.powi(-24)),
        (Side::Cpu, DType::F64) => (by_order(2.0, 3.0), 2f64.powi(-52)),
        (Side::Device, DType::F16 | DType::BF16) => (0.501, 0.0),
        (Side::Device, DType::F32) => (by_order(2.0, 3.0), 2f64.powi(-24)),
        (Side::Device, DType::F64) => (by_order(2.0, 3.0), 2f64.powi(-52)),
        (_, other) => panic!("no bound for {other:?}"),
    };
    Bound {
        ulp,
        absolute,
        nearest: side == Side::Cpu && dtype.size_in_bytes() == 2,
    }
}

/// The bound with any g: 16-bit products round once; wider ones round f⁽ᵏ⁾ and then the product, which adds half an
/// ulp, and the error of f⁽ᵏ⁾ may be worth twice as many ulps of a product in the binade below.
pub fn product_bound(side: Side, dtype: DType, order: usize) -> Bound {
    let one = bound(side, dtype, order);
    match dtype {
        DType::F16 | DType::BF16 => Bound {
            ulp: 0.501,
            nearest: false,
            ..one
        },
        _ => Bound {
            ulp: 2.0 * one.ulp + 0.5,
            nearest: false,
            ..one
        },
    }
}

/// Where derivatives cross zero and a relative bound means nothing. mish has its minimum at the first.
pub const ROOTS: [(Activation, usize, f64); 4] = [
    (Activation::Mish, 1, -1.192_431_214_515_495_2),
    (Activation::Mish, 2, -2.256_376_396_360_793_1),
    (Activation::Mish, 2, 1.490_571_179_485_428_5),
    (Activation::TanhSoftplus, 2, -0.117_400_979_628_739_39),
];

/// The half-width in x of what counts as next to a root. The derivatives' slopes there are 0.11 to 0.27, so that
/// within it they are below 2⁻⁷, where an ulp of f32 is 2⁻³¹ at most.
pub const NEAR_ROOT: f64 = 1.0 / 64.0;

pub fn near_root(f: Function, x: f64) -> bool {
    root_distance(f, x) <= NEAR_ROOT
}

/// To the nearest root of f⁽ᵏ⁾.
pub fn root_distance(f: Function, x: f64) -> f64 {
    let of_f = ROOTS
        .iter()
        .filter(|(activation, order, _)| *activation == f.activation && *order == f.order);
    of_f.map(|(_, _, root)| (x - root).abs())
        .fold(f64::INFINITY, f64::min)
}

/// How far candle's composed ops may be from the true value in units of the type's rounding error times
/// max(1, |x|): each of the up to four roundings before the last is worth a unit or two.
pub fn composed<T: Element>(x: f64) -> f64 {
    3.0 * 2f64.powi(-T::FRACTION - 1) * x.abs().max(1.0)
}
