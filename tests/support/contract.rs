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
    /// What also does next to a root, in absolute terms.
    pub absolute: f64,
    /// Whether every result has to be the nearest one.
    pub nearest: bool,
}

/// The bound in 16-bit types where not every input can be tried: what is computed in f32, off by eleven units of 2⁻²⁴ at
/// most, and rounded once.
pub const COMPUTED_IN_F32: f64 = 0.5 + 11.0 / (1 << 13) as f64;

/// The bound on g·f⁽ᵏ⁾(x) with g = 1.
pub fn bound(side: Side, dtype: DType, order: usize) -> Bound {
    let derivative = order > 0;
    let by_order = |forward, backward| if derivative { backward } else { forward };
    let (ulp, absolute) = match (side, dtype) {
        (Side::Cpu, DType::F16 | DType::BF16) => (0.5, 0.0),
        (Side::Cpu, DType::F32) => (by_order(1.5, 2.5), 2f64.powi(-24)),
        (Side::Cpu, DType::F64) => (by_order(2.0, 3.0), 2f64.powi(-52)),
        (Side::Device, DType::F16 | DType::BF16) => (COMPUTED_IN_F32, 0.0),
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

/// The bound over all inputs of a 16-bit type. On devices, too, every result is the nearest one, as constants are chosen for that,
/// but for softplus with a β.
pub fn every_input(side: Side, dtype: DType, f: Function) -> Bound {
    let bound = bound(side, dtype, f.order);
    let has_beta = matches!(f.activation, Activation::Softplus(softplus) if softplus.beta() != 1.0);
    Bound {
        nearest: bound.nearest || !has_beta,
        ..bound
    }
}

/// The bound with any g in 16-bit types, whose products round once, and with 1 ≤ |g| < 2 in wider ones, which round
/// f⁽ᵏ⁾ and then the product: half an ulp more, and the error of f⁽ᵏ⁾ counts up to twice as many ulps of the product.
pub fn product_bound(side: Side, dtype: DType, order: usize) -> Bound {
    let one = bound(side, dtype, order);
    match dtype {
        DType::F16 | DType::BF16 => Bound {
            ulp: COMPUTED_IN_F32,
            nearest: false,
            ..one
        },
        _ => Bound {
            ulp: 2.0 * one.ulp + 0.5,
            absolute: 2.0 * one.absolute,
            nearest: false,
        },
    }
}

/// Whether a zero is what flushing makes of the true value or of a factor of it: of a number that is no normal float,
/// give or take what rounding adds.
pub fn is_flushed(flushes: bool, actual: f64, factors: &[f64]) -> bool {
    const NORMAL: f64 = f32::MIN_POSITIVE as f64 * (1.0 + 1.0 / (1 << 20) as f64);
    flushes && actual == 0.0 && factors.iter().any(|v| *v != 0.0 && v.abs() < NORMAL)
}

/// A place where a derivative crosses zero and a relative bound means nothing.
#[derive(Clone, Copy, Debug)]
pub struct Root {
    pub activation: Activation,
    pub order: usize,
    pub x: f64,
    /// The half-width in x of what counts as next to it: where terms of 0.1 to 0.5 cancel to less than a tenth in
    /// mish′, to less than a fiftieth in the others. The tables print how much of it is made use of.
    pub near: f64,
}

/// mish has its minimum at the first.
pub const ROOTS: [Root; 4] = [
    root(Activation::Mish, 1, -1.192_431_214_515_495_2, 1.0 / 4.0),
    root(Activation::Mish, 2, -2.256_376_396_360_793, 1.0 / 16.0),
    root(Activation::Mish, 2, 1.490_571_179_485_428_5, 1.0 / 16.0),
    root(Activation::TanhSoftplus, 2, -0.117_400_979_628_739_4, 1.0 / 16.0),
];

const fn root(activation: Activation, order: usize, x: f64, near: f64) -> Root {
    Root {
        activation,
        order,
        x,
        near,
    }
}

fn roots(f: Function) -> impl Iterator<Item = &'static Root> {
    ROOTS
        .iter()
        .filter(move |root| (root.activation, root.order) == (f.activation, f.order))
}

/// Whether the absolute bound applies.
pub fn near_root(f: Function, x: f64) -> bool {
    roots(f).any(|root| (x - root.x).abs() <= root.near)
}

/// To the nearest root of f⁽ᵏ⁾.
pub fn root_distance(f: Function, x: f64) -> f64 {
    roots(f)
        .map(|root| (x - root.x).abs())
        .fold(f64::INFINITY, f64::min)
}

/// How far candle's composed ops may be from the true value in units of the type's rounding error times
/// max(1, |x|): each of the up to four roundings before the last is worth a unit or two.
pub fn composed<T: Element>(x: f64) -> f64 {
    3.0 * 2f64.powi(-T::FRACTION - 1) * x.abs().max(1.0)
}
