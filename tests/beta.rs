//! Softplus with any β and threshold, not only those that networks have.

mod support;

use candle_mish::Softplus;
use half::{bf16, f16};
use support::backend::{eval, Function, CPU};
use support::contract::bound;
use support::process::on_instruction_sets;
use support::reference::exact;
use support::table::{conclude, Row, Worst};
use support::ulp::{self, Element};

const BETAS: [f64; 22] = [
    5e-324,
    1e-310,
    1e-300,
    1e-100,
    1e-45,
    1e-40,
    1e-38,
    1e-30,
    1e-12,
    1e-9,
    1e-6,
    0.1,
    3.0,
    1e6,
    1e9,
    1e12,
    1e30,
    1e38,
    1e40,
    1e100,
    1e300,
    f64::MAX,
];
/// 20.1 is no f32.
const THRESHOLDS: [f64; 5] = [f64::INFINITY, 20.0, 20.1, 2.0, f64::MIN];
/// βx, or x itself. e⁻⁷⁶⁰ has underflowed, and with a β comes back.
const PRODUCTS: [f64; 20] = [
    -1450.0, -800.0, -761.0, -759.0, -701.0, -699.0, -60.0, -50.0, -5.0, -1.0, -1e-5, 0.1, 1.0, 2.0, 19.0,
    20.05, 21.0, 50.0, 90.0, 800.0,
];

fn any<T: Element>() {
    let single = T::DTYPE != candle_core::DType::F64;
    let mut rows = vec![];
    for order in 0..3 {
        let mut row = None::<Row>;
        for beta in BETAS.into_iter().flat_map(|beta| [beta, -beta]) {
            for threshold in THRESHOLDS {
                let activation = Softplus::new(beta, threshold).unwrap().into();
                let f = Function { activation, order };
                let row = row.get_or_insert_with(|| {
                    Row::new::<T>(f, bound(support::contract::Side::Cpu, T::DTYPE, order))
                });
                // Next to a threshold, whose products are rounded to f32 unless the type is f64.
                let edge = threshold / beta;
                let x = PRODUCTS
                    .into_iter()
                    .flat_map(|u| [u / beta, u, u * 1e-30, u * 1e30])
                    .chain([edge, edge * (1.0 + 1e-7), edge * (1.0 - 1e-7)]);
                let x: Vec<T> = x
                    .map(T::from_f64)
                    .filter(|x| x.to_f64().is_finite() && x.to_f64() != 0.0)
                    .collect();
                // Vectors, and what is left over.
                let x: Vec<T> = x.iter().cycle().take(2 * x.len()).copied().collect();
                for (x, actual) in x.iter().zip(eval(&CPU, f, &x, None)) {
                    let x = x.to_f64();
                    let unrounded = exact(activation, x, single)[order];
                    row.inputs += 1;
                    let error = match actual.to_f64().is_nan() {
                        true => f64::INFINITY,
                        false => ulp::error(actual, &unrounded),
                    };
                    if error > row.worst.error {
                        row.function = f;
                    }
                    let (actual, expected) = (actual.to_f64(), unrounded.rounded());
                    row.take(
                        false,
                        Worst {
                            error,
                            x,
                            g: None,
                            actual,
                            expected,
                        },
                    );
                }
            }
        }
        rows.extend(row);
    }
    conclude(&format!("softplus with any beta in {}", T::DTYPE.as_str()), &rows);
}

#[test]
fn half_types() {
    any::<f16>();
    any::<bf16>();
}

#[test]
fn single() {
    any::<f32>();
}

#[test]
fn double_with_every_instruction_set() {
    on_instruction_sets("double_with_every_instruction_set", || {
        any::<f64>();
        vec![]
    });
}
