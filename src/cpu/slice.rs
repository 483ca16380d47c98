//! Kernels over contiguous slices, per element type. One evaluation serves every length and position: what an
//! element becomes does not depend on its neighbours.

use super::argument::{fill, Argument};
#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::isa::Isa;
use super::round::{to_odd, Half};
use crate::family::Family;
use crate::formula::quick::{product, Constants, VANISHING};
use crate::real::{Real, Unfused};
use half::{bf16, f16};
use pulp::{Simd, WithSimd};
use std::mem::MaybeUninit;

/// An element type with its kernel.
pub(super) trait Kernel: Copy + Send + Sync + 'static {
    /// What values are computed in.
    type Compute: Copy + Send + Sync;

    /// out = f(u), times g where there is one. All of `out` is written.
    fn run<F: Family, U: Argument<Self::Compute>, X: Operand<Self>, G: Operand<Self>>(
        isa: Isa,
        f: F,
        x: X,
        u: U,
        g: G,
        out: &mut [MaybeUninit<Self>],
    );
}

/// x, or what f(x) is multiplied by.
pub(super) trait Operand<T>: Copy {
    /// What is side by side in memory, if it is there.
    fn slice(&self) -> Option<&[T]>;
    fn part(self, start: usize, len: usize) -> Self;

    /// x: where it has no slice it is [`InPlace`].
    #[inline(always)]
    fn read<'a>(&'a self, out: &'a [MaybeUninit<T>]) -> &'a [T] {
        // SAFETY: whoever made an `InPlace` has initialised the output.
        self.slice()
            .unwrap_or_else(|| unsafe { std::slice::from_raw_parts(out.as_ptr().cast(), out.len()) })
    }

    /// The `i`th x, or what is held where its result goes.
    #[inline(always)]
    fn get(&self, i: usize, held: &MaybeUninit<T>) -> T
    where
        T: Copy,
    {
        match self.slice() {
            Some(x) => x[i],
            // SAFETY: as for `read`.
            None => unsafe { held.assume_init() },
        }
    }
}

/// For g: nothing, a forward pass.
#[derive(Clone, Copy)]
pub(super) struct One;

/// For x: what the output holds.
#[derive(Clone, Copy)]
pub(super) struct InPlace(());

impl InPlace {
    /// # Safety
    /// All of the output that it is used with has to be initialised.
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

macro_rules! without_slice {
    ($($t:ident)*) => {$(
        impl<T> Operand<T> for $t {
            #[inline(always)]
            fn slice(&self) -> Option<&[T]> {
                None
            }
            #[inline(always)]
            fn part(self, _: usize, _: usize) -> Self {
                self
            }
        }
    )*};
}

without_slice!(One InPlace);

impl<T: Copy> Operand<T> for &[T] {
    #[inline(always)]
    fn slice(&self) -> Option<&[T]> {
        Some(self)
    }
    #[inline(always)]
    fn part(self, start: usize, len: usize) -> Self {
        &self[start..start + len]
    }
}

/// The scalar types that stand for f32 and f64 in a loop that the compiler vectorises.
trait Arithmetic {
    /// Whether there is an FMA.
    const FUSED: bool;
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
pub(super) struct Pass<'a, F, U, X, G, T> {
    pub(super) f: F,
    pub(super) x: X,
    pub(super) u: U,
    pub(super) g: G,
    pub(super) out: &'a mut [MaybeUninit<T>],
}

/// Elements whose scale and shift are laid out at a time, and elements of a 16-bit type that are widened at a time.
const CHUNK: usize = 128;

impl<F: Family, U: Argument<f32>, X: Operand<f32>, G: Operand<f32>> Loop for Pass<'_, F, U, X, G, f32> {
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
                let x = A::F32::of(x.get(i, out));
                let u = if U::PLAIN {
                    x
                } else {
                    x.fma(A::F32::of(scale), A::F32::of(shift))
                };
                if F::SINGLE {
                    let y = self.f.eval(u).get();
                    let y = g.slice().map_or(y, |g| g[i] * y);
                    out.write(if U::CHAINED { y * scale } else { y });
                } else {
                    let y = self.f.eval(A::F64::of(u.get() as f64)).get();
                    let y = g.slice().map_or(y, |g| g[i] as f64 * y);
                    out.write((if U::CHAINED { y * scale as f64 } else { y }) as f32);
                }
            }
        }
    }
}

impl<F: Family, U: Argument<f64>, X: Operand<f64>, G: Operand<f64>> Loop for Pass<'_, F, U, X, G, f64> {
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

macro_rules! kernel {
    ($t:ident in $compute:ident, $vectors:ident, $has_vectors:expr) => {
        impl Kernel for $t {
            type Compute = $compute;

            fn run<F: Family, U: Argument<Self::Compute>, X: Operand<Self>, G: Operand<Self>>(
                isa: Isa,
                f: F,
                x: X,
                u: U,
                g: G,
                out: &mut [MaybeUninit<Self>],
            ) {
                assert!(x.slice().is_none_or(|x| x.len() == out.len()));
                assert!(g.slice().is_none_or(|g| g.len() == out.len()));
                let pass = Pass { f, x, u, g, out };
                match isa.0 {
                    #[cfg(target_arch = "x86_64")]
                    pulp::Arch::V4(v4) if $has_vectors => pulp::Simd::vectorize(v4, avx512::$vectors(pass)),
                    arch => arch.dispatch(Dispatch(pass)),
                }
            }
        }
    };
}

kernel!(f32 in f32, Vectors, F::SINGLE);
kernel!(f64 in f64, Vectors, true);
kernel!(f16 in f32, Halves, F::QUICK.is_some());
kernel!(bf16 in f32, Halves, F::QUICK.is_some());

macro_rules! half_loop {
    ($t:ident) => {
        impl<F: Family, U: Argument<f32>, X: Operand<$t>, G: Operand<$t>> Loop for Pass<'_, F, U, X, G, $t> {
            #[inline(always)]
            fn run<A: Arithmetic>(self) {
                half_pass::<$t, A, _, _, _, _>(self)
            }
        }
    };
}

half_loop!(f16);
half_loop!(bf16);

/// In f32 where there are constants for it, which ask for an FMA, otherwise in f64.
#[inline(always)]
fn half_pass<T: Half, A: Arithmetic, F: Family, U: Argument<f32>, X: Operand<T>, G: Operand<T>>(
    pass: Pass<'_, F, U, X, G, T>,
) {
    let mut cursor = pass.u.cursor();
    for (i, out) in pass.out.chunks_mut(CHUNK).enumerate() {
        let n = out.len();
        let (x, g) = (pass.x.part(i * CHUNK, n), pass.g.part(i * CHUNK, n));
        let mut chunk = Chunk {
            x: [0.0; CHUNK],
            affine: [[1.0; CHUNK], [0.0; CHUNK]],
            g: [1.0; CHUNK],
        };
        T::widen(x.read(out), &mut chunk.x[..n]);
        if !U::PLAIN {
            fill(&mut cursor, n, &mut chunk.affine);
        }
        if let Some(g) = g.slice() {
            T::widen(g, &mut chunk.g[..n]);
        }
        let results = match F::QUICK {
            Some(c) if A::FUSED => chunk.in_f32::<A, F, U>(pass.f, c, T::WIDE && g.slice().is_some()),
            _ => chunk.in_f64::<A, F, U>(pass.f),
        };
        T::narrow(&results[..n], out);
    }
}

/// As `half_pass` in f64, for the few elements that AVX-512 leaves.
#[cold]
pub(super) fn half_in_f64<T: Half, F: Family, U: Argument<f32>>(pass: Pass<'_, F, U, &[T], &[T], T>) {
    half_pass::<T, WithoutFma, _, _, _, _>(pass)
}

/// Elements of a 16-bit type, widened, with their scale and shift, and factors.
struct Chunk {
    x: [f32; CHUNK],
    affine: [[f32; CHUNK]; 2],
    g: [f32; CHUNK],
}

impl Chunk {
    #[inline(always)]
    fn argument<A: Arithmetic, U: Argument<f32>>(&self, i: usize) -> A::F32 {
        let (x, [scale, shift]) = (A::F32::of(self.x[i]), &self.affine);
        match U::PLAIN {
            true => x,
            false => x.fma(A::F32::of(scale[i]), A::F32::of(shift[i])),
        }
    }

    #[inline(always)]
    fn in_f32<A: Arithmetic, F: Family, U: Argument<f32>>(
        &self,
        f: F,
        c: &Constants,
        wide: bool,
    ) -> [f32; CHUNK] {
        let mut results = [0.0; CHUNK];
        let mut least = f32::INFINITY;
        for (i, result) in results.iter_mut().enumerate() {
            let x = self.argument::<A, U>(i);
            let e = f.quick_exponential(x, c);
            let mut y = f.quick(x, e, f.quick_reciprocal(x, e, c), c);
            if F::QUICK_SCALED {
                least = least.min(y.abs().get());
                y = product(y, A::F32::of(self.g[i]));
            }
            if U::CHAINED {
                y = y * A::F32::of(self.affine[0][i]);
            }
            *result = y.get();
        }
        match wide && least < VANISHING as f32 {
            true => self.in_f64::<A, F, U>(f),
            false => results,
        }
    }

    /// Rounded to odd.
    #[inline(always)]
    fn in_f64<A: Arithmetic, F: Family, U: Argument<f32>>(&self, f: F) -> [f32; CHUNK] {
        let mut results = [0.0; CHUNK];
        for (i, result) in results.iter_mut().enumerate() {
            let x = self.argument::<A, U>(i).get() as f64;
            let mut y = self.g[i] as f64 * f.eval(A::F64::of(x)).get();
            if U::CHAINED {
                y *= self.affine[0][i] as f64;
            }
            *result = to_odd(y);
        }
        results
    }
}
