//! Special values: limits, signs of zero, NaN, the largest and the smallest inputs. A bound in ulps hides these.
//! Every check returns what it found wrong, the first case of each function.

use super::backend::{eval, Backend, Function};
use super::contract::{bound, is_flushed, root_distance};
use super::inputs::{edges_of, every_half, Random};
use super::reference::Batch;
use super::ulp::{self, Element, Exact};
use candle_core::DType;
use candle_mish::{Activation, Softplus};
use std::f64::consts::LN_2;

pub type Check = Result<(), String>;

macro_rules! ensure {
    ($ok:expr, $($message:tt)*) => {
        if !$ok {
            return Err(format!($($message)*));
        }
    };
}

/// f, f′ and f″ at −∞, ±0 and +∞. A zero has the sign of the values on the way to it; `None` at zero: the sign of x.
fn limits(activation: Activation) -> [[Option<f64>; 3]; 3] {
    let row = |low: f64, middle: f64, high: f64| [Some(low), Some(middle), Some(high)];
    let inf = f64::INFINITY;
    match activation {
        Activation::Mish => [
            [Some(-0.0), None, Some(inf)],
            row(-0.0, 0.6, 1.0),
            row(-0.0, 0.64, -0.0),
        ],
        Activation::TanhSoftplus => [row(0.0, 0.6, 1.0), row(0.0, 0.32, 0.0), row(0.0, -0.032, -0.0)],
        Activation::Softplus(s) => {
            let beta = s.beta();
            let mut limits = [
                row(0.0 / beta, LN_2 / beta, inf),
                row(0.0, 0.5, 1.0),
                row(
                    0.0 * beta,
                    0.25 * beta,
                    if s.threshold() < inf { 0.0 } else { 0.0 * beta },
                ),
            ];
            if beta < 0.0 {
                // The linear side is the negative one: what is at +∞ above belongs to −∞, and the other way round.
                limits.iter_mut().for_each(|row| row.swap(0, 2));
                limits[0][0] = Some(-inf);
            }
            limits
        }
    }
}

fn alike<T: Element>(actual: T, expected: f64) -> bool {
    actual.alike(T::from_f64(expected))
}

/// The table above, and that nothing changes on the way to the infinities.
pub fn check_limits<T: Element>(backend: &dyn Backend, f: Function) -> Check {
    let mut x = vec![
        T::from_f64(f64::NEG_INFINITY),
        T::from_f64(-0.0),
        T::from_f64(0.0),
        T::from_f64(f64::INFINITY),
    ];
    let far = [1e4, 65504.0, 1e7, 2f64.powi(32), 3e38, 1e300, f64::MAX];
    let far = far
        .into_iter()
        .map(T::from_f64)
        .filter(|x| x.to_f64().is_finite());
    x.extend(far.flat_map(|x| [x, T::from_f64(-x.to_f64())]));
    let all = limits(f.activation);
    let (limits, slopes) = (all[f.order], all[1]);
    for (x, actual) in x.iter().zip(eval(backend, f, &x, None)) {
        let x = x.to_f64();
        let side = if x < 0.0 { 0 } else { 1 + (x > 0.0) as usize };
        let expected = match limits[side] {
            None => x,
            // Nothing but the asymptote is left, which goes through zero.
            Some(limit) if limit.is_infinite() => slopes[side].map_or(x, |slope| x * slope),
            Some(limit) => limit,
        };
        let exact = expected == 0.0 || x != 0.0 || expected == x;
        let ok = match exact {
            true => alike(actual, expected),
            false => ulp::error(actual, &Exact::of(expected)) <= bound(backend.side(), T::DTYPE, f.order).ulp,
        };
        ensure!(
            ok,
            "{f} of {x:e} in {:?} is {:e}, expected {expected:e}",
            T::DTYPE,
            actual.to_f64()
        );
    }
    Ok(())
}

/// NaN in, whatever its sign and payload, NaN out: from either operand.
pub fn check_nan<T: Element>(backend: &dyn Backend, f: Function) -> Check {
    let infinity = T::from_f64(f64::INFINITY).bits();
    let sign = 1 << (T::WIDTH - 1);
    let payloads = [1, 1 << (T::FRACTION - 1), (1 << T::FRACTION) - 1];
    let nans: Vec<T> = payloads
        .iter()
        .flat_map(|p| [infinity | p, sign | infinity | p])
        .map(T::from_bits)
        .collect();
    let numbers = vec![T::from_f64(1.5); nans.len()];
    let mut results = eval(backend, f, &nans, None);
    if f.order > 0 {
        results.extend(eval(backend, f, &nans, Some(&numbers)));
        results.extend(eval(backend, f, &numbers, Some(&nans)));
    }
    ensure!(
        results.iter().all(|y| y.to_f64().is_nan()),
        "{f} in {:?}: NaN became {results:?}",
        T::DTYPE
    );
    Ok(())
}

/// A special g multiplies f⁽ᵏ⁾ as IEEE 754 has it; x where f⁽ᵏ⁾ is a limit or well away from underflow.
pub fn check_factors<T: Element>(backend: &dyn Backend, f: Function) -> Check {
    let x = [f64::NEG_INFINITY, -1.0, -0.0, 0.0, 1.0, f64::INFINITY].map(T::from_f64);
    let alone = eval(backend, f, &x, None);
    for g in [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, 2.0] {
        for ((x, y), alone) in x
            .iter()
            .zip(eval(backend, f, &x, Some(&[T::from_f64(g); 6])))
            .zip(&alone)
        {
            let expected = g * alone.to_f64();
            let (x, dtype) = (x.to_f64(), T::DTYPE);
            ensure!(
                alike(y, expected),
                "{f} of {x:e} in {dtype:?} times {g}: {:e}, expected {expected:e}",
                y.to_f64()
            );
        }
    }
    Ok(())
}

/// A finite x gives a finite result with the sign of the true value, also where that underflows to zero.
pub fn check_finite_and_sign<T: Element>(backend: &dyn Backend, f: Function) -> Check {
    let random = &mut Random(8);
    let x: Vec<T> = match T::DTYPE {
        DType::F16 | DType::BF16 => every_half(),
        _ => (0..200_000)
            .map(|_| random.finite())
            .chain(edges_of::<T>(3))
            .collect(),
    };
    let x: Vec<T> = x.into_iter().filter(|x| x.to_f64().is_finite()).collect();
    let mut reference = Vec::new();
    let single = T::DTYPE != DType::F64;
    Batch::new(x.iter().map(|x| x.to_f64()), Batch::beta(f)).values(f, single, &mut reference);
    for ((x, y), expected) in x.iter().zip(eval(backend, f, &x, None)).zip(reference) {
        let (x, dtype, value) = (x.to_f64(), T::DTYPE, y.to_f64());
        // f64 has products that overflow on the way in the reference.
        // What is flushed may have either sign (MSL 8.5).
        let sign = y.sign() == expected.is_sign_negative()
            || root_distance(f, x) < 1e-6
            || !expected.is_finite()
            || is_flushed(backend.flushes(), value, &[expected, x]);
        ensure!(
            value.is_finite() && sign,
            "{f} of {x:e} in {dtype:?}: {value:e}, expected {expected:e}"
        );
    }
    Ok(())
}

/// Subnormal inputs are not taken for zero, nor are subnormal results flushed, but where the device cannot do
/// otherwise: mish(x) = 0.6x + O(x²).
pub fn check_subnormals<T: Element>(backend: &dyn Backend) -> Check {
    let mish = Function {
        activation: Activation::Mish,
        order: 0,
    };
    let x: Vec<T> = [1u64, 2, 3, 5, 100, (1 << T::FRACTION) - 1]
        .map(T::from_bits)
        .to_vec();
    for (x, y) in x.iter().zip(eval(backend, mish, &x, None)) {
        let error = (y.bits() as f64 - 0.6 * x.bits() as f64).abs();
        let kept = error <= bound(backend.side(), T::DTYPE, 0).ulp && (y.bits() > 0 || x.bits() < 3);
        let ok = kept || is_flushed(backend.flushes(), y.to_f64(), &[x.to_f64()]);
        ensure!(ok, "mish({:e}) in {:?} is {:e}", x.to_f64(), T::DTYPE, y.to_f64());
    }
    Ok(())
}

/// βx = threshold is on the smooth side; the next number up is on the linear one, to the bit.
pub fn check_threshold<T: Element>(backend: &dyn Backend, threshold: f64) -> Check {
    let softplus = Activation::Softplus(Softplus::new(1.0, threshold).unwrap());
    let at = T::from_f64(threshold);
    let x = [at, T::from_bits(at.bits() + 1)];
    for f in Function::of(&[softplus]) {
        let plain = Function {
            activation: Softplus::default().into(),
            ..f
        };
        let y = eval(backend, f, &x, None);
        let error = ulp::error(y[0], &Exact::of(eval(backend, plain, &x, None)[0].to_f64()));
        let smooth = error <= 2.0 * bound(backend.side(), T::DTYPE, f.order).ulp;
        ensure!(
            smooth,
            "{f} of {threshold} in {:?} is {:e}",
            T::DTYPE,
            y[0].to_f64()
        );
        let linear = alike(y[1], [x[1].to_f64(), 1.0, 0.0][f.order]);
        ensure!(
            linear,
            "{f} just above {threshold} in {:?} is {:e}",
            T::DTYPE,
            y[1].to_f64()
        );
    }
    Ok(())
}
