//! Kernels over contiguous slices, per element type. One evaluation serves every length and position: what an
//! element becomes does not depend on its neighbours.

#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::isa::Isa;
use super::round::{Half, VANISHED};
use crate::family::Family;
use crate::real::{Real, Unfused};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use pulp::{Simd, WithSimd};
use std::mem::MaybeUninit;

/// An element type with its kernel.
pub(super) trait Kernel: Copy + Send + Sync + 'static {
    /// out = f(x), times g where there is one. All of `out` is written.
    fn run<F: Family, G: Factor<Self>>(isa: Isa, f: F, x: &[Self], g: G, out: &mut [MaybeUninit<Self>]);
}

/// What f(x) is multiplied by.
pub(super) trait Factor<T>: Copy {
    fn slice(&self) -> Option<&[T]>;
    fn part(self, start: usize, len: usize) -> Self;
}

/// Nothing: a forward pass.
#[derive(Clone, Copy)]
pub(super) struct One;

impl<T> Factor<T> for One {
    #[inline(always)]
    fn part(self, _: usize, _: usize) -> Self {
        self
    }
    #[inline(always)]
    fn slice(&self) -> Option<&[T]> {
        None
    }
}

impl<T: Copy> Factor<T> for &[T] {
    #[inline(always)]
    fn part(self, start: usize, len: usize) -> Self {
        &self[start..start + len]
    }
    #[inline(always)]
    fn slice(&self) -> Option<&[T]> {
        Some(self)
    }
}

/// The scalar types that stand for f32 and f64 in a loop that the compiler vectorises.
trait Arithmetic {
    type F32: Real + Scalar<f32>;
    type F64: Real + Scalar<f64>;
}

trait Scalar<T> {
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

struct WithFma;
struct WithoutFma;

impl Arithmetic for WithFma {
    type F32 = f32;
    type F64 = f64;
}

impl Arithmetic for WithoutFma {
    type F32 = Unfused<f32>;
    type F64 = Unfused<f64>;
}

/// A loop to be compiled for every instruction set.
trait Loop {
    fn run<A: Arithmetic>(self);
}

struct Dispatch<L>(L);

impl<L: Loop> WithSimd for Dispatch<L> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // x86-64 has an FMA from AVX2 on, wasm has none.
        if cfg!(target_arch = "aarch64") || cfg!(target_arch = "x86_64") && !S::IS_SCALAR {
            self.0.run::<WithFma>()
        } else {
            self.0.run::<WithoutFma>()
        }
    }
}

/// One pass over slices of equal length.
pub(super) struct Pass<'a, F, G, T> {
    pub(super) f: F,
    pub(super) x: &'a [T],
    pub(super) g: G,
    pub(super) out: &'a mut [MaybeUninit<T>],
}

impl<F: Family, G: Factor<f32>> Loop for Pass<'_, F, G, f32> {
    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for (i, (x, out)) in self.x.iter().zip(self.out).enumerate() {
            if F::SINGLE {
                let y = self.f.eval(A::F32::of(*x)).get();
                out.write(self.g.slice().map_or(y, |g| g[i] * y));
            } else {
                let y = self.f.eval(A::F64::of(*x as f64)).get();
                out.write(self.g.slice().map_or(y, |g| g[i] as f64 * y) as f32);
            }
        }
    }
}

impl<F: Family, G: Factor<f64>> Loop for Pass<'_, F, G, f64> {
    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for (i, (x, out)) in self.x.iter().zip(self.out).enumerate() {
            let y = self.f.eval(A::F64::of(*x)).get();
            out.write(self.g.slice().map_or(y, |g| g[i] * y));
        }
    }
}

macro_rules! kernel {
    ($t:ident, $vectors:ident, $has_vectors:expr) => {
        impl Kernel for $t {
            fn run<F: Family, G: Factor<Self>>(
                isa: Isa,
                f: F,
                x: &[Self],
                g: G,
                out: &mut [MaybeUninit<Self>],
            ) {
                assert_eq!(x.len(), out.len());
                assert!(g.slice().is_none_or(|g| g.len() == x.len()));
                let pass = Pass { f, x, g, out };
                match isa.0 {
                    #[cfg(target_arch = "x86_64")]
                    pulp::Arch::V4(v4) if $has_vectors => pulp::Simd::vectorize(v4, avx512::$vectors(pass)),
                    arch => arch.dispatch(Dispatch(pass)),
                }
            }
        }
    };
}

kernel!(f32, Vectors, F::SINGLE);
kernel!(f64, Vectors, true);
kernel!(f16, Halves, F::QUICK);
kernel!(bf16, Halves, F::QUICK);

/// Elements of a 16-bit type that are widened at a time.
const CHUNK: usize = 128;

macro_rules! half_pass {
    ($t:ident) => {
        impl<F: Family, G: Factor<$t>> Loop for Pass<'_, F, G, $t> {
            #[inline(always)]
            fn run<A: Arithmetic>(self) {
                let chunks = self.x.chunks(CHUNK).zip(self.out.chunks_mut(CHUNK));
                for (i, (x, out)) in chunks.enumerate() {
                    half_chunk::<$t, A, F, G>(self.f, x, self.g.part(i * CHUNK, x.len()), out);
                }
            }
        }
    };
}

half_pass!(f16);
half_pass!(bf16);

/// Up to `CHUNK` elements: in f32 where both ends of its error interval round to the same 16 bits, in f64 where
/// they do not.
#[inline(always)]
fn half_chunk<T: Half, A: Arithmetic, F: Family, G: Factor<T>>(
    f: F,
    x: &[T],
    g: G,
    out: &mut [MaybeUninit<T>],
) where
    [T]: HalfFloatSliceExt,
{
    let n = x.len();
    let mut wide = [0f32; CHUNK];
    x.convert_to_f32_slice(&mut wide[..n]);
    let mut factors = [1f32; CHUNK];
    if let Some(g) = g.slice() {
        g.convert_to_f32_slice(&mut factors[..n]);
    }
    if !F::QUICK {
        for (x, g) in wide.iter_mut().zip(&factors) {
            let y = f.eval(A::F64::of(*x as f64)).get();
            *x = super::round::to_odd(*g as f64 * y);
        }
        T::narrow(&wide[..n], out);
        return;
    }
    let (mut low, mut high) = ([0f32; CHUNK], [0f32; CHUNK]);
    for i in 0..CHUNK {
        let x = A::F32::of(wide[i]);
        let e = f.quick_exponential(x);
        let y = f.quick(x, e, f.quick_reciprocal(x, e));
        let g = A::F32::of(factors[i]);
        let magnitude = y.magnitude.unwrap_or(y.value.abs());
        let (value, error) = (y.value * g, magnitude * g.abs() * A::F32::lit(F::QUICK_ERROR));
        low[i] = (value - error).get();
        high[i] = (value + error).get();
        if T::WIDE && g.get() != 1.0 && y.value.get().abs() < f32::MIN_POSITIVE && wide[i].abs() < VANISHED {
            high[i] = f32::NAN;
        }
    }
    let mut other = [MaybeUninit::uninit(); CHUNK];
    T::narrow(&low[..n], out);
    T::narrow(&high[..n], &mut other[..n]);
    for i in 0..n {
        // SAFETY: `narrow` has written the first n elements of both.
        let alike = unsafe { out[i].assume_init().bits() == other[i].assume_init().bits() };
        if !alike {
            let y = f.eval(A::F64::of(x[i].widen())).get();
            out[i].write(T::nearest(g.slice().map_or(y, |g| g[i].widen() * y)));
        }
    }
}
