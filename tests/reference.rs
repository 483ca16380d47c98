//! The references themselves: the functions and derivatives against their definitions, the f64 one against the
//! 160-bit one, the measure of error against cases worked out by hand.

mod support;

use candle_mish::Activation;
use dashu_float::ops::Abs;
use dashu_float::DBig;
use half::{bf16, f16};
use support::accuracy::{REFERENCE_AWAY, REFERENCE_ERROR};
use support::backend::{Function, ORDERS};
use support::contract::{root_distance, ROOTS};
use support::inputs::{every_half, log_spaced};
use support::reference::{exact, real, real_of, Batch, Point, Real};
use support::table::show;
use support::ulp::{error, nearest, scale, Element, Exact};

/// The definitions, with as many digits as `x` has.
fn by_definition(activation: Activation, x: &Real, precision: usize) -> Real {
    let one = || real_of(1.0, precision);
    let softplus = (one() + x.exp()).ln();
    let tanh = |x: &Real| {
        let e = (x * real_of(2.0, precision)).exp();
        (&e - one()) / (e + one())
    };
    match activation {
        Activation::Mish => x * tanh(&softplus),
        Activation::TanhSoftplus => tanh(&softplus),
        Activation::Softplus(_) => softplus,
    }
}

/// Central differences in 1000-bit arithmetic with a step of 2⁻¹⁵⁰: an error of 2⁻³⁰⁰ from the third derivative
/// and one of 2⁻⁷⁰⁰ from rounding.
#[test]
fn forms_agree_with_definitions() {
    const PRECISION: usize = 1000;
    let step = real_of(scale(1.0, -150), PRECISION);
    let mut worst = 0f64;
    for x in [
        -80.0, -20.5, -6.8, -2.3, -1.2, -0.7, -1e-3, 1e-3, 0.37, 1.5, 4.0, 12.25, 33.0,
    ] {
        let at = real_of(x, PRECISION);
        for activation in Activation::ALL {
            let f = |x: &Real| by_definition(activation, x, PRECISION);
            let (below, middle, above) = (f(&(&at - &step)), f(&at), f(&(&at + &step)));
            let first = (&above - &below) / (&step * real_of(2.0, PRECISION));
            let second = (above + below - &middle * real_of(2.0, PRECISION)) / (&step * &step);
            let values = Point::new(x).values(activation);
            for (order, (expected, actual)) in [middle, first, second].into_iter().zip(values).enumerate() {
                let error = ((&actual - &expected) / expected).abs().to_f64().value();
                assert!(
                    error < 2f64.powi(-140),
                    "{activation}, order {order}, x = {x}: {error:e}"
                );
                worst = worst.max(error);
            }
        }
    }
    show(&format!(
        "160-bit reference against definitions: relative error {worst:.1e} at most"
    ));
}

/// e and ln 2 to 60 digits, and that exp and ln undo each other.
#[test]
fn multiprecision_arithmetic() {
    let close = |actual: Real, expected: &str| {
        let expected: Real = expected
            .parse::<DBig>()
            .unwrap()
            .to_binary()
            .value()
            .with_rounding();
        let error = (actual - expected).abs().to_f64().value();
        assert!(error < 2f64.powi(-150), "{error:e}");
    };
    close(
        real(1.0).exp(),
        "2.71828182845904523536028747135266249775724709369995957496696763",
    );
    close(
        real(1.0).ln_1p(),
        "0.693147180559945309417232121458176568075500134360255254120680009",
    );
    for x in log_spaced(1e-12, 700.0, 300) {
        let back = real_of(x, 200).exp().ln();
        let error = (back - real_of(x, 200)).abs().to_f64().value();
        assert!(error < 2f64.powi(-170), "ln exp {x:e} is off by {error:e}");
    }
}

#[test]
fn reference_in_f64() {
    let mut points = log_spaced(1e-30, 800.0, 1000);
    points.extend(log_spaced(1e-3, 40.0, 1000));
    let functions = Function::all();
    // By activation, since the multiprecision reference gives all orders at once.
    let lines = functions.chunks(ORDERS.len()).map(|orders| {
        let beta = Batch::beta(orders[0]);
        // Before t and its multiples lose digits to underflow.
        let points: Vec<f64> = points
            .iter()
            .copied()
            .filter(|x| (beta * x).abs() < 700.0)
            .collect();
        let batch = Batch::new(points.iter().copied(), beta);
        let expected: Vec<[Exact; 3]> = points
            .iter()
            .map(|x| exact(orders[0].activation, *x, true))
            .collect();
        orders
            .iter()
            .map(|f| compare_with_batch(*f, &points, &batch, &expected))
            .collect::<String>()
    });
    show(&lines.collect::<String>());
}

fn compare_with_batch(f: Function, points: &[f64], batch: &Batch, expected: &[[Exact; 3]]) -> String {
    let mut values = Vec::new();
    batch.values(f, true, &mut values);
    let mut worst = (0.0, 0.0);
    for ((&x, value), expected) in points
        .iter()
        .zip(values)
        .zip(expected)
        .filter(|((x, _), _)| root_distance(f, **x) > REFERENCE_AWAY)
    {
        let relative = error(value, &expected[f.order]) * 2f64.powi(-52);
        if relative > worst.0 {
            worst = (relative, x);
        }
    }
    assert!(worst.0 < REFERENCE_ERROR, "{f}: {worst:?}");
    format!(
        "{f}: relative error {:.1e} at most, at x = {:e}\n",
        worst.0, worst.1
    )
}

/// The listed roots are roots, and there are no others.
#[test]
fn roots() {
    let positive = |f: Function, x: f64| exact(f.activation, x, false)[f.order].high > 0.0;
    let grid = log_spaced(0.01, 700.0, 1000);
    for f in Function::plain() {
        let listed = ROOTS
            .iter()
            .filter(|root| (root.activation, root.order) == (f.activation, f.order));
        for side in [-1.0, 1.0] {
            let signs = grid.iter().filter(|x| **x * side > 0.0).map(|x| positive(f, *x));
            let signs: Vec<bool> = signs.collect();
            let changes = signs.windows(2).filter(|pair| pair[0] != pair[1]).count();
            let roots: Vec<_> = listed.clone().filter(|root| root.x * side > 0.0).collect();
            // mish itself and nothing else changes its sign at zero, between the sides.
            assert_eq!(changes, roots.len(), "{f}");
            for root in roots {
                let [below, above] = [-1e-15, 1e-15].map(|distance| positive(f, root.x + distance));
                assert_ne!(below, above, "{f} at {}", root.x);
            }
        }
    }
}

/// Every finite number is the nearest to itself; the next representable one is an ulp away; halfway points go to even.
fn measure_of<T: Element>() {
    let finite: Vec<T> = every_half::<T>()
        .into_iter()
        .filter(|x| x.to_f64().is_finite())
        .collect();
    for x in finite {
        let (value, exact) = (x.to_f64(), Exact::of(x.to_f64()));
        assert_eq!((nearest::<T>(&exact), error(x, &exact)), (x.bits(), 0.0), "{x}");
        let next = T::from_bits(x.bits() + 1);
        let half = match next.to_f64() {
            next if next.is_finite() => next / 2.0 + value / 2.0,
            _ => value + (value - T::from_bits(x.bits() - 1).to_f64()) / 2.0,
        };
        let halfway = Exact::of(half);
        assert_eq!([error(x, &halfway), error(next, &halfway)], [0.5, 0.5], "{x}");
        let even = if x.bits() & 1 == 0 { x } else { next };
        assert_eq!(nearest::<T>(&halfway), even.bits(), "{x} {half:e}");
        let above = Exact {
            low: 1e-30_f64.copysign(half),
            ..halfway
        };
        let below = Exact {
            low: -1e-30_f64.copysign(half),
            ..halfway
        };
        assert_eq!(
            [nearest::<T>(&above), nearest::<T>(&below)],
            [next.bits(), x.bits()],
            "{x}"
        );
    }
}

#[test]
fn measure() {
    measure_of::<f16>();
    measure_of::<bf16>();
    // The smallest f32, and what lies far below it.
    let tiny = f32::from_bits(1);
    assert_eq!(error(0f32, &Exact::of(tiny as f64)), 1.0);
    assert_eq!(
        error(
            tiny,
            &Exact {
                high: 1.0,
                low: 0.0,
                exponent: -20000
            }
        ),
        1.0
    );
    assert_eq!(
        error(
            1.0 + f64::EPSILON,
            &Exact {
                high: 1.0,
                low: 0.25 * f64::EPSILON,
                exponent: 0
            }
        ),
        0.75
    );
    assert_eq!(error(f64::from_bits(3), &Exact::of(f64::from_bits(1))), 2.0);
    assert_eq!(error(f32::NAN, &Exact::of(1.0)), f64::INFINITY);
    assert_eq!(error(f16::INFINITY, &Exact::of(1e9)), 0.0);
    assert!(error(f16::MAX, &Exact::of(1e9)) > 1e6);
}
