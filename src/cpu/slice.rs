//! Kernels over contiguous slices, per element type. One evaluation serves every length and position: what an
//! element becomes does not depend on its neighbours.

use super::argument::{fill, Argument};
use super::isa::{has_fma, Isa};
use super::operand::{Input, Operand};
#[cfg(target_arch = "x86_64")]
use super::piecewise::Segmented;
use super::table::{HalfTable, NoTable, Table};
#[cfg(target_arch = "x86_64")]
use super::vectors::{avx2, avx512, Blocks, Exact, Interpolated, Quick, Staged};
use crate::family::Family;
use crate::real::{Real, Unfused};
use half::{bf16, f16};
use pulp::{Simd, WithSimd};
use std::mem::MaybeUninit;

/// An element type with its kernel.
pub(super) trait Kernel: Copy + Send + Sync + 'static {
    /// What values are computed in.
    type Compute: Copy + Send + Sync;
    /// What may stand in for [`Kernel::run`].
    type Table: Table<Self>;

    /// out = f(u), times g where there is one. All of `out` is written.
    fn run<F: Family, U: Argument<Self::Compute>, X: Input<Self>, G: Operand<Self>>(
        isa: Isa,
        f: F,
        x: X,
        u: U,
        g: G,
        out: &mut [MaybeUninit<Self>],
    );
}

/// The scalar types that stand for f32 and f64 in a loop that the compiler vectorises.
pub(super) trait Arithmetic {
    /// Whether there is an FMA.
    const FUSED: bool;
    type F32: Real + Scalar<f32>;
    type F64: Real + Scalar<f64>;
}

pub(super) trait Scalar<T> {
    fn of(x: T) -> Self;
    fn get(self) -> T;
}

macro_rules! scalar {
    ($($t:ident)*) => {$(
        impl Scalar<$t> for $t {
            #[inline(always)]
            fn of(x: $t) -> Self {
                x
            }
            #[inline(always)]
            fn get(self) -> $t {
                self
            }
        }
        impl Scalar<$t> for Unfused<$t> {
            #[inline(always)]
            fn of(x: $t) -> Self {
                Self(x)
            }
            #[inline(always)]
            fn get(self) -> $t {
                self.0
            }
        }
    )*};
}

scalar!(f32 f64);

pub(super) struct WithFma;
struct WithoutFma;

impl Arithmetic for WithFma {
    const FUSED: bool = true;
    type F32 = f32;
    type F64 = f64;
}

impl Arithmetic for WithoutFma {
    const FUSED: bool = false;
    type F32 = Unfused<f32>;
    type F64 = Unfused<f64>;
}

/// A loop to be compiled for every instruction set.
pub(super) trait Loop {
    fn run<A: Arithmetic>(self);
}

pub(super) struct Dispatch<L>(pub(super) L);

impl<L: Loop> WithSimd for Dispatch<L> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if has_fma(S::IS_SCALAR) {
            self.0.run::<WithFma>()
        } else {
            self.0.run::<WithoutFma>()
        }
    }
}

/// One pass over slices of equal length.
pub(super) struct Pass<'a, F, U, X, G, T> {
    pub(super) f: F,
    pub(super) x: X,
    pub(super) u: U,
    pub(super) g: G,
    pub(super) out: &'a mut [MaybeUninit<T>],
}

/// Elements whose scale and shift are laid out at a time, and elements of a 16-bit type that are widened at a time.
pub(super) const CHUNK: usize = 128;

impl<F: Family, U: Argument<f32>, X: Input<f32>, G: Operand<f32>> Loop for Pass<'_, F, U, X, G, f32> {
    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let mut cursor = self.u.cursor();
        for (chunk, out) in self.out.chunks_mut(CHUNK).enumerate() {
            let mut affine = [[1.0; CHUNK], [0.0; CHUNK]];
            if !U::PLAIN {
                fill(&mut cursor, out.len(), &mut affine);
            }
            let x = self.x.part(chunk * CHUNK, out.len());
            let g = self.g.part(chunk * CHUNK, out.len());
            let argument = |i: usize, out: &MaybeUninit<f32>| {
                let x = A::F32::of(x.get(i, out));
                match U::PLAIN {
                    true => x,
                    false => x.fma(A::F32::of(affine[0][i]), A::F32::of(affine[1][i])),
                }
            };
            if F::SINGLE {
                for (i, out) in out.iter_mut().enumerate() {
                    let y = self.f.eval(argument(i, out)).get();
                    let y = g.slice().map_or(y, |g| g[i] * y);
                    out.write(if U::CHAINED { y * affine[0][i] } else { y });
                }
                continue;
            }
            let wide = |i: usize, out: &MaybeUninit<f32>| A::F64::of(argument(i, out).get() as f64);
            let mut exponentials = [0.0; CHUNK];
            for (i, (e, out)) in exponentials.iter_mut().zip(out.iter()).enumerate() {
                *e = self.f.wide_exponential(wide(i, out)).get();
            }
            for (i, (out, e)) in out.iter_mut().zip(exponentials).enumerate() {
                let y = self.f.wide(wide(i, out), A::F64::of(e)).get();
                let y = g.slice().map_or(y, |g| g[i] as f64 * y);
                out.write((if U::CHAINED { y * affine[0][i] as f64 } else { y }) as f32);
            }
        }
    }
}

impl<F: Family, U: Argument<f64>, X: Input<f64>, G: Operand<f64>> Loop for Pass<'_, F, U, X, G, f64> {
    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let mut cursor = self.u.cursor();
        for (chunk, out) in self.out.chunks_mut(CHUNK).enumerate() {
            let mut affine = [[1.0; CHUNK], [0.0; CHUNK]];
            if !U::PLAIN {
                fill(&mut cursor, out.len(), &mut affine);
            }
            let x = self.x.part(chunk * CHUNK, out.len());
            let g = self.g.part(chunk * CHUNK, out.len());
            for (i, out) in out.iter_mut().enumerate() {
                let [scale, shift] = affine.each_ref().map(|a| a[i]);
                let x = A::F64::of(x.get(i, out));
                let u = if U::PLAIN {
                    x
                } else {
                    x.fma(A::F64::of(scale), A::F64::of(shift))
                };
                let y = self.f.eval(u).get();
                let y = g.slice().map_or(y, |g| g[i] * y);
                out.write(if U::CHAINED { y * scale } else { y });
            }
        }
    }
}

/// Returns once the blocks have run, if there are instructions for vectors.
#[cfg(target_arch = "x86_64")]
macro_rules! run {
    ($isa:ident, $avx512:literal or $avx2:literal, $blocks:expr) => {
        match $isa.arch {
            pulp::Arch::V4(v4) => return avx512::run::<$avx512>(v4, $blocks),
            pulp::Arch::V3(v3) if avx2::is_complete(v3) => {
                // SAFETY: it is.
                return unsafe { avx2::run::<$avx2>(v3, $blocks) };
            }
            _ => {}
        }
    };
}

macro_rules! kernel {
    (
        $t:ident in $compute:ident, $table:ty, $stages:ident over $avx512:literal or $avx2:literal, if $is_staged:expr
        $(, $polynomials:ident)?
    ) => {
        impl Kernel for $t {
            type Compute = $compute;
            type Table = $table;

            fn run<F: Family, U: Argument<Self::Compute>, X: Input<Self>, G: Operand<Self>>(
                isa: Isa,
                f: F,
                x: X,
                u: U,
                g: G,
                out: &mut [MaybeUninit<Self>],
            ) {
                assert!(x.slice().is_none_or(|x| x.len() == out.len()));
                assert!(g.slice().is_none_or(|g| g.len() == out.len()));
                $(
                    #[cfg(target_arch = "x86_64")]
                    if let Some(block) = $polynomials::<$t, F>(isa, f) {
                        let pass = Pass { f: (), x, u, g, out: &mut *out };
                        run!(isa, $avx512 or $avx2, Blocks { block, pass, isa });
                    }
                )?
                #[cfg(target_arch = "x86_64")]
                if $is_staged {
                    let block = Staged($stages(f));
                    let pass = Pass { f: (), x, u, g, out: &mut *out };
                    run!(isa, $avx512 or $avx2, Blocks { block, pass, isa });
                }
                isa.arch.dispatch(Dispatch(Pass { f, x, u, g, out }))
            }
        }
    };
}

/// What evaluates f by polynomials, where these are faster. With AVX-512 the formulas are, but for those that f32 is not
/// enough for, and where a vector goes through its units in halves.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn polynomials<T: Segmented, F: Family>(isa: Isa, f: F) -> Option<Interpolated<F, T>> {
    let pays = match isa.arch {
        pulp::Arch::V4(_) => isa.in_halves || !F::SINGLE,
        pulp::Arch::V3(v3) => avx2::is_complete(v3),
        _ => false,
    };
    match pays && T::pays(F::CURVE, F::HAS_BETA) {
        true => Interpolated::new(isa, f),
        false => None,
    }
}

kernel!(f32 in f32, NoTable, Exact over 16 or 8, if F::SINGLE, polynomials);
kernel!(f64 in f64, NoTable, Exact over 8 or 4, if true, polynomials);
kernel!(f16 in f32, HalfTable<f16>, Quick over 16 or 8, if F::QUICK.is_some());
kernel!(bf16 in f32, HalfTable<bf16>, Quick over 16 or 8, if F::QUICK.is_some());
