//! f16 and bf16: conversions, and the loops for what `vectors.rs` does not do.

use super::argument::{fill, Argument, Itself};
use super::operand::{Input, Operand};
use super::slice::{Arithmetic, Loop, Pass, Scalar, CHUNK};
use crate::family::Family;
use crate::formula::quick::product;
use crate::real::Real;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use std::mem::MaybeUninit;

/// f16 and bf16 as the CPU kernels use them.
pub(super) trait Half: Copy + Send + Sync + 'static {
    /// Whether a factor may bring into range what f32 can only hold as a subnormal, if at all.
    const WIDE: bool;
    /// Writes all of `to`, which is as long as `from`.
    fn widen(from: &[Self], to: &mut [f32]);
    /// f32 to nearest, ties to even; writes all of `to`, which is as long as `from`.
    fn narrow(from: &[f32], to: &mut [MaybeUninit<Self>]);
}

/// To f32 by rounding to odd: a later rounding to fewer than 22 bits then comes out as a single one would. `half`'s own
/// conversions from f64 go through f32 on some processors and round twice.
#[inline(always)]
pub(crate) fn to_odd(x: f64) -> f32 {
    let nearest = x as f32;
    let back = nearest as f64;
    let bits = nearest.to_bits();
    if back == x || x.is_nan() || bits & 1 == 1 && nearest.is_finite() {
        return nearest;
    }
    // An even neighbour was chosen: the odd one lies on the other side of x. For an overflow that is f32::MAX.
    if back.abs() > x.abs() {
        f32::from_bits(bits - 1)
    } else {
        f32::from_bits(bits + 1)
    }
}

macro_rules! half {
    ($t:ty, wide $wide:literal) => {
        impl Half for $t {
            const WIDE: bool = $wide;
            fn widen(from: &[Self], to: &mut [f32]) {
                from.convert_to_f32_slice(to);
            }
            fn narrow(from: &[f32], to: &mut [MaybeUninit<Self>]) {
                // SAFETY: the conversion writes every element and reads none, and any bits are a value of this type.
                let to = unsafe { std::slice::from_raw_parts_mut(to.as_mut_ptr().cast::<Self>(), to.len()) };
                to.convert_from_f32_slice(from);
            }
        }
    };
}

half!(f16, wide false);
half!(bf16, wide true);

macro_rules! half_loop {
    ($t:ident) => {
        impl<F: Family, U: Argument<f32>, X: Input<$t>, G: Operand<$t>> Loop for Pass<'_, F, U, X, G, $t> {
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
pub(super) fn half_pass<T: Half, A: Arithmetic, F: Family, U: Argument<f32>, X: Input<T>, G: Operand<T>>(
    pass: Pass<'_, F, U, X, G, T>,
) {
    let mut cursor = pass.u.cursor();
    for (i, out) in pass.out.chunks_mut(CHUNK).enumerate() {
        let n = out.len();
        let (x, g) = (pass.x.part(i * CHUNK, n), pass.g.part(i * CHUNK, n));
        let mut chunk = Chunk::NEUTRAL;
        T::widen(x.read(out), &mut chunk.x[..n]);
        if !U::PLAIN {
            fill(&mut cursor, n, &mut chunk.affine);
        }
        if let Some(g) = g.slice() {
            T::widen(g, &mut chunk.g[..n]);
        }
        let results = match g.slice() {
            Some(_) => chunk.products::<T, A, F, U>(pass.f),
            None => chunk.factors::<A, F, U>(pass.f).0,
        };
        T::narrow(&results[..n], out);
    }
}

/// What [`half_pass`] multiplies by g, where there is no scale and shift; `to` is as long as x.
#[inline(always)]
pub(super) fn half_factors<T: Half, A: Arithmetic, F: Family>(f: F, x: &[T], to: &mut [f32]) {
    for (x, to) in x.chunks(CHUNK).zip(to.chunks_mut(CHUNK)) {
        let mut chunk = Chunk::NEUTRAL;
        T::widen(x, &mut chunk.x[..x.len()]);
        let (factors, _) = chunk.factors::<A, F, Itself>(f);
        to.copy_from_slice(&factors[..to.len()]);
    }
}

/// Whether only a large g can bring a factor back into the range of f32's normal numbers.
#[inline(always)]
pub(super) fn vanishes(factor: f32) -> bool {
    factor.abs() < f32::MIN_POSITIVE
}

/// 2⁻¹⁵⁰, half of the least f32: of less nothing is left.
const HALF_LEAST: f64 = f32::from_bits(1) as f64 / 2.0;

/// Elements of a 16-bit type, widened, with their scale and shift, and factors.
struct Chunk {
    x: [f32; CHUNK],
    affine: [[f32; CHUNK]; 2],
    g: [f32; CHUNK],
}

impl Chunk {
    const NEUTRAL: Self = Self {
        x: [0.0; CHUNK],
        affine: [[1.0; CHUNK], [0.0; CHUNK]],
        g: [1.0; CHUNK],
    };

    #[inline(always)]
    fn argument<A: Arithmetic, U: Argument<f32>>(&self, i: usize) -> A::F32 {
        let (x, [scale, shift]) = (A::F32::of(self.x[i]), &self.affine);
        match U::PLAIN {
            true => x,
            false => x.fma(A::F32::of(scale[i]), A::F32::of(shift[i])),
        }
    }

    /// f⁽ᵏ⁾, to be rounded once more; 0 for less than 2⁻¹⁵⁰. And in f64, where that is what it was evaluated in.
    #[inline(always)]
    fn factors<A: Arithmetic, F: Family, U: Argument<f32>>(
        &self,
        f: F,
    ) -> ([f32; CHUNK], Option<[f64; CHUNK]>) {
        let mut factors = [0.0; CHUNK];
        match F::QUICK {
            Some(c) if A::FUSED => {
                for (i, factor) in factors.iter_mut().enumerate() {
                    let x = self.argument::<A, U>(i);
                    let e = f.quick_exponential(x, c);
                    let y = f.quick(x, e, f.quick_reciprocal(x, e, c), c);
                    *factor = match F::QUICK_SCALED {
                        true => product(y, A::F32::of(1.0)).get(),
                        false => y.get(),
                    };
                }
                (factors, None)
            }
            _ => {
                let wide = self.in_f64::<A, F, U>(f);
                for (factor, y) in factors.iter_mut().zip(wide) {
                    *factor = match y.abs() < HALF_LEAST {
                        true => 0f32.copysign(y as f32),
                        false => to_odd(y),
                    };
                }
                (factors, Some(wide))
            }
        }
    }

    /// f⁽ᵏ⁾·g, and times the scale for a derivative by x.
    #[inline(always)]
    fn products<T: Half, A: Arithmetic, F: Family, U: Argument<f32>>(&self, f: F) -> [f32; CHUNK] {
        let scale = |i: usize| if U::CHAINED { self.affine[0][i] } else { 1.0 };
        let (factors, wide) = self.factors::<A, F, U>(f);
        let mut products = [0.0; CHUNK];
        for (i, y) in products.iter_mut().enumerate() {
            *y = factors[i] * self.g[i] * scale(i);
        }
        if T::WIDE && factors.iter().any(|factor| vanishes(*factor)) {
            let wide = match wide {
                Some(wide) => wide,
                None => self.in_f64::<A, F, U>(f),
            };
            // One by one, as no result may depend on its neighbours.
            for i in (0..CHUNK).filter(|i| vanishes(factors[*i])) {
                products[i] = to_odd(wide[i] * self.g[i] as f64 * scale(i) as f64);
            }
        }
        products
    }

    #[inline(always)]
    fn in_f64<A: Arithmetic, F: Family, U: Argument<f32>>(&self, f: F) -> [f64; CHUNK] {
        let (mut results, mut exponentials) = ([0.0; CHUNK], [0.0; CHUNK]);
        let x = |i| A::F64::of(self.argument::<A, U>(i).get() as f64);
        for (i, e) in exponentials.iter_mut().enumerate() {
            *e = f.wide_exponential(x(i)).get();
        }
        for (i, (result, e)) in results.iter_mut().zip(exponentials).enumerate() {
            *result = f.wide(x(i), A::F64::of(e)).get();
        }
        results
    }
}
