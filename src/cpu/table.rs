//! Functions of f16 and bf16 by table: what all 65,536 inputs become.
//!
//! A table is made by the kernels that compute, so which of the two an element goes through shows in nothing but the time.
//! In the caches a core looks up 2.6 to 5.4·10⁹ elements per second, whatever the function. With AVX2 it computes less than half as
//! many of mish′, and less than a tenth of a second derivative: `docs/cpu-notes.md` has the figures.
//!
//! `table/steps.rs` looks up several at a time, `table/products.rs` multiplies what it looks up, `table/kept.rs` has the tables
//! of the process.

mod kept;
mod products;
mod steps;

use super::argument::Itself;
use super::half_types::{half_factors, Half};
use super::isa::{Access, Isa};
use super::operand::{Input, One, Operand};
use super::slice::{Arithmetic, Dispatch, Kernel, Loop, Pass};
#[cfg(target_arch = "x86_64")]
use super::vectors::{avx2, avx512};
use crate::family::Family;
use crate::plan::Function;
use half::{bf16, f16};
use kept::Tables;
use products::{Products, Slices};
use std::mem::MaybeUninit;
use std::sync::Arc;
use steps::{look_up, Step, STEP};

/// Inputs of a type.
const INPUTS: usize = 1 << 16;
/// From this many elements on a table pays. 16 Ki elements of mish′ in f16 take 8 µs instead of 16, and 45 where the table
/// has to come from memory first.
const MIN: usize = 16 * 1024;
/// The same of what takes f64 to compute, 0.2·10⁹ elements per second or fewer.
const MIN_OVER_F64: usize = 1024;

/// f⁽ᵏ⁾, to be computed or looked up.
pub(super) struct Evaluation<T: Kernel, F> {
    f: F,
    table: Option<Arc<T::Table>>,
}

impl<T: Kernel, F: Family> Evaluation<T, F> {
    /// For an op on `len` elements; `f` is `function`.
    pub(super) fn new(f: F, function: Function, len: usize) -> Self {
        let table = T::Table::find(f, function, len);
        Self { f, table }
    }

    /// As [`Kernel::run`].
    pub(super) fn run<X: Input<T>, G: Operand<T>>(&self, isa: Isa, x: X, g: G, out: &mut [MaybeUninit<T>]) {
        match &self.table {
            Some(table) => {
                let (f, u) = (self.f, Itself);
                table.look_up(isa, Pass { f, x, u, g, out })
            }
            None => T::run(isa, self.f, x, Itself, g, out),
        }
    }
}

/// What a function makes of every element of type T.
pub(super) trait Table<T: Copy>: Sized + Send + Sync {
    /// The table, where it pays in an op on `len` elements.
    fn find<F: Family>(f: F, function: Function, len: usize) -> Option<Arc<Self>>;
    fn look_up<F: Family, X: Input<T>, G: Operand<T>>(&self, isa: Isa, pass: Pass<F, Itself, X, G, T>);
}

/// Of a type with too many elements.
pub(super) enum NoTable {}

impl<T: Copy> Table<T> for NoTable {
    fn find<F: Family>(_: F, _: Function, _: usize) -> Option<Arc<Self>> {
        None
    }
    fn look_up<F: Family, X: Input<T>, G: Operand<T>>(&self, _: Isa, _: Pass<F, Itself, X, G, T>) {
        match *self {}
    }
}

/// Of f16 or bf16, by the bits of x.
pub(super) enum HalfTable<T> {
    /// f, rounded.
    Results(Box<[T; INPUTS]>),
    /// f⁽ᵏ⁾ as [`half_factors`] has it, to be multiplied by g.
    Factors(Box<[f32; INPUTS]>),
}

impl<T: Tabulated> Table<T> for HalfTable<T> {
    fn find<F: Family>(f: F, function: Function, len: usize) -> Option<Arc<Self>> {
        let isa = Isa::get();
        let min = match F::QUICK {
            Some(_) if isa.has_fma() => MIN,
            _ => MIN_OVER_F64,
        };
        // With units of 512 bits the kernel computes as many, and leaves the caches to others. Last, as small tensors wait
        // for it.
        let pays = len >= min && !(F::QUICK.is_some() && isa.has_wide_units());
        match pays {
            false => None,
            true => T::tables().find(function, len, || make(isa, f, function.order)),
        }
    }

    fn look_up<F: Family, X: Input<T>, G: Operand<T>>(&self, isa: Isa, pass: Pass<F, Itself, X, G, T>) {
        let Pass { f, x, u, g, out } = pass;
        assert!(x.slice().is_none_or(|x| x.len() == out.len()));
        assert!(g.slice().is_none_or(|g| g.len() == out.len()));
        match (self, x.slice(), g.slice()) {
            (Self::Results(results), _, None) => results_of(results, x, out),
            (Self::Factors(factors), Some(x), Some(g)) => T::run_products(
                isa,
                Products {
                    factors,
                    x,
                    g,
                    out,
                    compute: &|x, g, out| T::run(isa, f, x, u, g, out),
                    prefetches: !matches!(isa.access, Access::Plain),
                },
            ),
            // No op asks for these.
            _ => T::run(isa, f, x, u, g, out),
        }
    }
}

/// Not once for every function: of copies of this loop some took 1.6 times as long as others.
#[inline(never)]
fn results_of<T: Tabulated, X: Input<T>>(results: &[T; INPUTS], x: X, out: &mut [MaybeUninit<T>]) {
    let (steps, rest) = out.as_chunks_mut::<STEP>();
    let full = steps.len() * STEP;
    match x.slice() {
        Some(x) => look_up(results, x.as_chunks().0, steps),
        None => {
            for (i, out) in steps.iter_mut().enumerate() {
                let x = x.part(i * STEP, STEP);
                let x = x.read(out).first_chunk().expect("a step");
                Step::of(x).write(results, out);
            }
        }
    }
    let x = x.part(full, rest.len());
    for (i, out) in rest.iter_mut().enumerate() {
        out.write(results[x.get(i, out).bits() as usize]);
    }
}

/// `None` if there is no memory for it.
fn make<T: Tabulated, F: Family>(isa: Isa, f: F, order: u8) -> Option<HalfTable<T>> {
    let mut inputs = with_room::<T>()?;
    inputs.extend((0..=u16::MAX).map(T::of_bits));
    if order > 0 {
        let mut factors = with_room()?;
        factors.resize(INPUTS, 0.0);
        isa.arch.dispatch(Dispatch(Factors {
            f,
            x: &inputs,
            out: &mut factors,
        }));
        return Some(HalfTable::Factors(factors.into_boxed_slice().try_into().ok()?));
    }
    let mut results = with_room()?;
    let room = &mut results.spare_capacity_mut()[..INPUTS];
    T::run(isa, f, &inputs[..], Itself, One, room);
    // SAFETY: `run` has written all of them.
    unsafe { results.set_len(INPUTS) };
    Some(HalfTable::Results(results.into_boxed_slice().try_into().ok()?))
}

fn with_room<V>() -> Option<Vec<V>> {
    let mut values = Vec::new();
    values.try_reserve_exact(INPUTS).ok()?;
    Some(values)
}

/// [`half_factors`], to be compiled for every instruction set.
struct Factors<'a, T, F> {
    f: F,
    x: &'a [T],
    out: &'a mut [f32],
}

impl<T: Half, F: Family> Loop for Factors<'_, T, F> {
    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        half_factors::<T, A, F>(self.f, self.x, self.out)
    }
}

/// f16 and bf16.
trait Tabulated: Half + Kernel<Compute = f32> + Default {
    fn of_bits(bits: u16) -> Self;
    fn bits(self) -> u16;
    fn tables() -> &'static Tables<Self>;
    fn run_products(isa: Isa, products: Products<Self>);
}

macro_rules! tabulated {
    ($($t:ident)*) => {$(
        impl Tabulated for $t {
            fn of_bits(bits: u16) -> Self {
                Self::from_bits(bits)
            }
            fn bits(self) -> u16 {
                self.to_bits()
            }
            fn tables() -> &'static Tables<Self> {
                static TABLES: Tables<$t> = Tables::new();
                &TABLES
            }
            fn run_products(isa: Isa, products: Products<Self>) {
                match isa.arch {
                    #[cfg(target_arch = "x86_64")]
                    pulp::Arch::V4(v4) => avx512::run::<16>(v4, products),
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: it is.
                    pulp::Arch::V3(v3) if avx2::is_complete(v3) => unsafe { avx2::run::<8>(v3, products) },
                    _ => products.run_by::<Slices>(),
                }
            }
        }
    )*};
}

tabulated!(f16 bf16);
