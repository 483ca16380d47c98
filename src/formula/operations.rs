//! How many operations of each kind a formula takes: what its speed is bounded by, whatever else a processor does.

use crate::activation::Activation;
use crate::family::{with_family, Family};
use crate::real::{constants, Real};
use candle_core::DType;
use core::ops::{Add, Div, Mul, Neg, Sub};
use std::cell::Cell;

/// As instructions of AVX2.
#[derive(Clone, Copy, Debug, Default)]
struct Operations {
    /// Multiplications and FMAs.
    products: u32,
    /// Additions and subtractions.
    sums: u32,
    divisions: u32,
    /// Minima, comparisons, choices, and of integers.
    others: u32,
}

thread_local! {
    static DONE: Cell<Operations> = Cell::default();
}

fn count(add: impl FnOnce(&mut Operations)) {
    let mut done = DONE.get();
    add(&mut done);
    DONE.set(done);
}

/// A number that counts what is done with it.
#[derive(Clone, Copy)]
struct Counted<T>(T);

macro_rules! operator {
    ($($trait:ident $method:ident $kind:ident),*) => {$(
        impl<T: $trait<Output = T>> $trait for Counted<T> {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                count(|done| done.$kind += 1);
                Self(self.0.$method(other.0))
            }
        }
    )*};
}

operator!(Add add sums, Sub sub sums, Mul mul products, Div div divisions);

/// A part of the FMA that it goes to.
impl<T: Neg<Output = T>> Neg for Counted<T> {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

macro_rules! counted {
    ($t:ident, $precision:ident) => {
        impl Real for Counted<$t> {
            constants!($precision);

            fn lit(x: f64) -> Self {
                Self($t::lit(x))
            }
            fn fma(self, b: Self, c: Self) -> Self {
                count(|done| done.products += 1);
                Self(self.0.fma(b.0, c.0))
            }
            fn to_single(self) -> Self {
                count(|done| done.others += if size_of::<$t>() == 4 { 0 } else { 2 });
                Self(self.0.to_single())
            }
            fn exp2_of_magic(self) -> Self {
                count(|done| done.others += 1);
                Self(self.0.exp2_of_magic())
            }
            fn shortened(self) -> Self {
                count(|done| done.others += 2);
                Self(self.0.shortened())
            }
            fn abs(self) -> Self {
                count(|done| done.others += 1);
                Self(self.0.abs())
            }
            fn if_gt(a: Self, b: Self, t: Self, e: Self) -> Self {
                count(|done| done.others += 2);
                Self($t::if_gt(a.0, b.0, t.0, e.0))
            }
            fn if_negative(self, t: Self, e: Self) -> Self {
                count(|done| done.others += 1);
                Self(self.0.if_negative(t.0, e.0))
            }
            fn at_least(self, low: f64) -> Self {
                count(|done| done.others += 1);
                Self(self.0.at_least(low))
            }
            fn at_most(self, high: f64) -> Self {
                count(|done| done.others += 1);
                Self(self.0.at_most(high))
            }
        }
    };
}

counted!(f32, single);
counted!(f64, double);

/// Of f or f′, with the product with g.
fn operations<R: Real, F: Family>(f: F, order: u8) -> Operations {
    DONE.set(Operations::default());
    let y = f.eval(R::lit(-0.7));
    if order > 0 {
        let _ = R::lit(1.0) * y;
    }
    DONE.get()
}

#[test]
fn operations_of_every_formula() {
    for activation in Activation::ALL {
        for order in 0..=1 {
            with_family!(activation, order, DType::F32, f => {
                let name = activation.derivative_name(order);
                let [single, double] =
                    [operations::<Counted<f32>, _>(f, order), operations::<Counted<f64>, _>(f, order)];
                println!("{name:22} f32 {single:?}");
                println!("{name:22} f64 {double:?}");
                // One division each; polynomials of f64 have more terms.
                assert!(single.products < double.products, "{name}");
                assert_eq!([single.divisions, double.divisions], [1, 1], "{name}");
            });
        }
    }
}
