//! Where exp(−|x|) no longer counts next to 1: below −64, and above 32 in f32 or 40 in f64. A limit is left, or a
//! multiple of an exponential: section 4 of `docs/derivation.md`.

use super::series::Curve;
use super::{by_sign, exp, minus_abs};
use crate::family::Family;
use crate::real::Real;
use crate::twin::{fast_two_sum, Twin};

/// What a curve becomes above.
enum Above {
    /// x
    Argument,
    /// (a + b·x)·exp(−rate·x)
    Exponential { a: f64, b: f64, rate: f64 },
}

/// The a and b of (a + b·x)·exp(x), which a curve becomes below, and what it becomes above.
#[inline(always)]
fn tails(curve: Curve) -> ([f64; 2], Above) {
    use Curve::*;
    let above = |a, b, rate| Above::Exponential { a, b, rate };
    match curve {
        MishD0 | SoftplusD0 => ([1.0, 0.0], Above::Argument),
        MishD1 => ([1.0, 1.0], above(1.0, 0.0, 0.0)),
        MishD2 => ([2.0, 1.0], above(8.0, -8.0, 2.0)),
        SoftplusD1 | TanhSoftplusD0 => ([1.0, 0.0], above(1.0, 0.0, 0.0)),
        SoftplusD2 => ([1.0, 0.0], above(1.0, 0.0, 1.0)),
        TanhSoftplusD1 => ([1.0, 0.0], above(4.0, 0.0, 2.0)),
        TanhSoftplusD2 => ([1.0, 0.0], above(-8.0, 0.0, 2.0)),
    }
}

/// f⁽ᵏ⁾(x) there, or NaN if x is; for other x a number of no meaning.
#[inline(always)]
pub(crate) fn tail<F: Family, R: Real>(f: F, x: R) -> R {
    let ([a, b], above) = tails(F::CURVE);
    let ([c, d], rate) = match above {
        Above::Exponential { a, b, rate } => ([a, b], rate),
        Above::Argument => ([0.0; 2], 0.0),
    };
    let Twin { high: u, low } = f.argument(x);
    // Where the exponential is lost anyway; what x is multiplied by is finite then.
    let inside = |x: R| x.at_least(R::LOWEST).at_most(-R::LOWEST);
    let near = inside(u);
    let line = |a, b| match b {
        0.0 => R::lit(a),
        _ => R::lit(b).mla(near, R::lit(a)),
    };
    let factor = near.if_negative(line(a, b), line(c, d));
    // Where nothing is left, no number that underflows on the way to it, which takes 50 cycles on a Zen 3.
    let argument = minus_abs(near * by_sign(near, 1.0, rate));
    // NaN if x is. Not negative: it keeps the sign of what it is multiplied by.
    let zero = -argument * R::lit(0.0);
    let left = |v: R| R::if_gt(argument, R::lit(R::LOWEST), v, zero);
    let e = exp(left(argument), Some(low * by_sign(near, 1.0, -rate)));
    let e = fast_two_sum(e.high, e.low);
    let value = f.multiple(inside(x), Twin::new(e.high * factor, e.low * factor)) * left(R::lit(R::UNSCALE));
    let smooth = match above {
        Above::Argument => u.if_negative(value, x),
        Above::Exponential { .. } => value,
    };
    f.branch(x, smooth)
}
