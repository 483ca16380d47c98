//! AVX-512: vectors of f32 and f64, two at a time, as arithmetic types for the formulas.
//!
//! The compiler vectorises the loops of `slice.rs` for AVX-512 too. What it cannot do is to replace a division,
//! which occupies the divider for 10 cycles per 16 elements, by `vrcp14`, which the formulas allow because they
//! correct the reciprocal by a residual; nor to interleave two chains of dependent instructions, which keeps both
//! FMA ports busier.

use super::round::Half;
use super::slice::{Factor, Pass};
use crate::family::Family;
use crate::formula::quick::Quick;
use crate::real::{constants, Real};
use core::arch::x86_64::*;
use core::ops::{Add, Div, Mul, Neg, Sub};
use half::{bf16, f16};
use pulp::{Simd, WithSimd};
use std::mem::MaybeUninit;

/// Vectors that are evaluated together.
const CHAINS: usize = 4;
const LANES: usize = 16 * CHAINS;
const LANES_F64: usize = 8 * CHAINS;

/// An array with one entry for each of the `CHAINS` registers.
macro_rules! each {
    ($i:ident => $value:expr) => {
        [
            { let $i = 0; $value },
            { let $i = 1; $value },
            { let $i = 2; $value },
            { let $i = 3; $value },
        ]
    };
}

/// A vector type over CHAINS registers.
///
/// The intrinsics are sound to call because values of these types are made only inside [`Simd::vectorize`] of
/// `pulp::x86::V4`, which exists only where the processor has AVX-512 F, BW, CD, DQ and VL.
macro_rules! vector {
    (
        $name:ident of $t:ident in $register:ident, $precision:ident,
        operators $($trait:ident $method:ident $op:ident),*;
        $set1:ident $xor:ident $abs:ident $fmadd:ident $min:ident $max:ident $blend:ident $compare:ident
        $rcp14:ident $newton:expr, shift $shift:ident<$mantissa:literal> $to_bits:ident $of_bits:ident
    ) => {
        #[derive(Clone, Copy)]
        struct $name([$register; CHAINS]);

        $(impl $trait for $name {
            type Output = Self;
            #[inline(always)]
            fn $method(self, b: Self) -> Self {
                Self(unsafe { each!(i => $op(self.0[i], b.0[i])) })
            }
        })*

        impl Neg for $name {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                Self(unsafe { each!(i => $xor(self.0[i], $set1(-0.0))) })
            }
        }

        impl $name {
            /// r improved by one Newton step: twice the bits.
            #[inline(always)]
            fn newton(self, r: Self) -> Self {
                (-r).fma(self, Self::lit(1.0)).fma(r, r)
            }
        }

        impl Real for $name {
            constants!($precision);

            #[inline(always)]
            fn lit(x: f64) -> Self {
                Self([unsafe { $set1(x as $t) }; CHAINS])
            }
            #[inline(always)]
            fn fma(self, b: Self, c: Self) -> Self {
                Self(unsafe { each!(i => $fmadd(self.0[i], b.0[i], c.0[i])) })
            }
            #[inline(always)]
            fn recip(self) -> Self {
                let mut r = Self(unsafe { each!(i => $rcp14(self.0[i])) });
                for _ in 0..$newton {
                    r = self.newton(r);
                }
                r
            }
            #[inline(always)]
            fn recip_full(self) -> Self {
                self.newton(self.recip())
            }
            #[inline(always)]
            fn to_single(self) -> Self {
                Self::round_to_single(self)
            }
            #[inline(always)]
            fn exp2_of_magic(self) -> Self {
                Self(unsafe {
                    each!(i => $of_bits($shift::<$mantissa>($to_bits(self.0[i]))))
                })
            }
            #[inline(always)]
            fn abs(self) -> Self {
                Self(unsafe { each!(i => $abs(self.0[i])) })
            }
            #[inline(always)]
            fn if_gt(a: Self, b: Self, t: Self, e: Self) -> Self {
                Self(unsafe {
                    each!(i => $blend($compare::<_CMP_GT_OQ>(a.0[i], b.0[i]), e.0[i], t.0[i]))
                })
            }
            // The instructions return their second operand where one is NaN.
            #[inline(always)]
            fn at_least(self, low: f64) -> Self {
                Self(unsafe { each!(i => $max($set1(low as $t), self.0[i])) })
            }
            #[inline(always)]
            fn at_most(self, high: f64) -> Self {
                Self(unsafe { each!(i => $min($set1(high as $t), self.0[i])) })
            }
        }
    };
}

vector!(
    F32 of f32 in __m512, single,
    operators Add add _mm512_add_ps, Sub sub _mm512_sub_ps, Mul mul _mm512_mul_ps, Div div _mm512_div_ps;
    _mm512_set1_ps _mm512_xor_ps _mm512_abs_ps _mm512_fmadd_ps _mm512_min_ps _mm512_max_ps _mm512_mask_blend_ps
    _mm512_cmp_ps_mask _mm512_rcp14_ps 0, shift _mm512_slli_epi32<23> _mm512_castps_si512 _mm512_castsi512_ps
);
vector!(
    F64 of f64 in __m512d, double,
    operators Add add _mm512_add_pd, Sub sub _mm512_sub_pd, Mul mul _mm512_mul_pd, Div div _mm512_div_pd;
    _mm512_set1_pd _mm512_xor_pd _mm512_abs_pd _mm512_fmadd_pd _mm512_min_pd _mm512_max_pd _mm512_mask_blend_pd
    _mm512_cmp_pd_mask _mm512_rcp14_pd 1, shift _mm512_slli_epi64<52> _mm512_castpd_si512 _mm512_castsi512_pd
);

impl F32 {
    #[inline(always)]
    fn round_to_single(self) -> Self {
        self
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: the array has `CHAINS` times 16 elements.
        Self(unsafe { each!(i => _mm512_loadu_ps(from.as_ptr().add(16 * i))) })
    }

    #[inline(always)]
    fn store(self, to: &mut [MaybeUninit<f32>; LANES]) {
        for (i, v) in self.0.into_iter().enumerate() {
            // SAFETY: as in `load`.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr().cast::<f32>().add(16 * i), v) }
        }
    }
}

impl F64 {
    #[inline(always)]
    fn round_to_single(self) -> Self {
        Self(unsafe { each!(i => _mm512_cvtps_pd(_mm512_cvtpd_ps(self.0[i]))) })
    }

    #[inline(always)]
    fn widen<T: Narrow>(from: &[T; LANES_F64]) -> Self {
        // SAFETY: the array has `CHAINS` times 8 elements of 16 bits.
        Self(unsafe {
            each!(i => {
                let eight = _mm_loadu_si128(from.as_ptr().add(8 * i).cast());
                _mm512_cvtps_pd(_mm512_castps512_ps256(T::expand(_mm256_castsi128_si256(eight))))
            })
        })
    }

    /// To 16 bits, through f32 rounded to odd: the second rounding comes out as a single one would.
    #[inline(always)]
    fn narrow<T: Narrow>(self, out: &mut [MaybeUninit<T>]) {
        assert_eq!(out.len(), LANES_F64);
        for i in 0..CHAINS {
            // SAFETY: the slice has `CHAINS` times 8 elements of 16 bits.
            unsafe {
                let short = T::contract(_mm512_castps256_ps512(half_to_odd(self.0[i])));
                _mm_storeu_si128(out.as_mut_ptr().add(8 * i).cast(), _mm256_castsi256_si128(short));
            }
        }
    }

    #[inline(always)]
    fn load(from: &[f64; LANES_F64]) -> Self {
        // SAFETY: the array has `CHAINS` times 8 elements.
        Self(unsafe { each!(i => _mm512_loadu_pd(from.as_ptr().add(8 * i))) })
    }

    #[inline(always)]
    fn store(self, to: &mut [MaybeUninit<f64>; LANES_F64]) {
        for (i, v) in self.0.into_iter().enumerate() {
            // SAFETY: as in `load`.
            unsafe { _mm512_storeu_pd(to.as_mut_ptr().cast::<f64>().add(8 * i), v) }
        }
    }
}

/// # Safety
/// AVX-512 F, DQ and VL must be there.
#[inline(always)]
unsafe fn half_to_odd(v: __m512d) -> __m256 {
    let short = _mm512_cvt_roundpd_ps::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(v);
    let inexact = _mm512_cmp_pd_mask::<_CMP_NEQ_OQ>(_mm512_cvtps_pd(short), v);
    let bits = _mm256_castps_si256(short);
    _mm256_castsi256_ps(_mm256_mask_or_epi32(bits, inexact, bits, _mm256_set1_epi32(1)))
}

/// A [`Pass`] in the vector types of this file.
pub(super) struct Vectors<P>(pub(super) P);

/// What is done to `L` elements at a time. A trait and not a closure, as a closure would not be compiled for
/// AVX-512 unless it happened to be inlined.
trait Block<T, const L: usize> {
    fn block(&self, x: &[T; L], g: Option<&[T; L]>, out: &mut [MaybeUninit<T>; L]);
}

/// Calls `block` for every full block of output that begins on a cache line, and for copies, padded with zeros, of
/// what comes before and after.
#[inline(always)]
fn blocks<T: Copy + Default, const L: usize, F: Block<T, L>, G: Factor<T>>(pass: Pass<'_, F, G, T>) {
    let Pass { f, x, g, out } = pass;
    let head = out.as_ptr().align_offset(CACHE_LINE).min(x.len());
    let (out_head, out) = out.split_at_mut(head);
    padded_block(&f, &x[..head], g.part(0, head), out_head);
    let (x, g) = (&x[head..], g.part(head, x.len() - head));
    let (full, rest) = x.as_chunks::<L>();
    let (out_full, out_rest) = out.as_chunks_mut::<L>();
    for (i, (x, out)) in full.iter().zip(out_full).enumerate() {
        f.block(x, g.slice().map(|g| &g.as_chunks::<L>().0[i]), out);
    }
    padded_block(&f, rest, g.part(x.len() - rest.len(), rest.len()), out_rest);
}

const CACHE_LINE: usize = 64;

/// A block of fewer than `L` elements.
#[inline(always)]
fn padded_block<T: Copy + Default, const L: usize, F: Block<T, L>, G: Factor<T>>(
    f: &F,
    x: &[T],
    g: G,
    out: &mut [MaybeUninit<T>],
) {
    if x.is_empty() {
        return;
    }
    let pad = |from: &[T]| {
        let mut padded = [T::default(); L];
        padded[..from.len()].copy_from_slice(from);
        padded
    };
    let mut results = [MaybeUninit::uninit(); L];
    f.block(&pad(x), g.slice().map(pad).as_ref(), &mut results);
    out.copy_from_slice(&results[..x.len()]);
}

struct InF32<F>(F);
struct InF64<F>(F);
struct InHalf<F>(F);

impl<F: Family> Block<f32, LANES> for InF32<F> {
    #[inline(always)]
    fn block(&self, x: &[f32; LANES], g: Option<&[f32; LANES]>, out: &mut [MaybeUninit<f32>; LANES]) {
        let mut y = self.0.eval(F32::load(x));
        if let Some(g) = g {
            y = F32::load(g) * y;
        }
        y.store(out)
    }
}

impl<F: Family> Block<f64, LANES_F64> for InF64<F> {
    #[inline(always)]
    fn block(&self, x: &[f64; LANES_F64], g: Option<&[f64; LANES_F64]>, out: &mut [MaybeUninit<f64>; LANES_F64]) {
        let mut y = self.0.eval(F64::load(x));
        if let Some(g) = g {
            y = F64::load(g) * y;
        }
        y.store(out)
    }
}

impl<F: Family, T: Narrow> Block<T, LANES> for InHalf<F> {
    #[inline(always)]
    fn block(&self, x: &[T; LANES], g: Option<&[T; LANES]>, out: &mut [MaybeUninit<T>; LANES]) {
        let f = self.0;
        let Quick {
            mut value,
            mut magnitude,
        } = f.quick(widen(x));
        if let Some(g) = g {
            let g = widen(g);
            value = value * g;
            magnitude = magnitude * g.abs();
        }
        let error = F32::lit(F::QUICK_ERROR);
        let (low, high) = ((-magnitude).fma(error, value), magnitude.fma(error, value));
        for part in 0..LANES / LANES_F64 {
            let start = part * LANES_F64;
            let mut certain = true;
            for i in start / 16..(start + LANES_F64) / 16 {
                // SAFETY: as for all intrinsics here; the array has `CHAINS` times 16 elements.
                certain &= unsafe { T::round_interval(low.0[i], high.0[i], out.as_mut_ptr().add(16 * i).cast()) };
            }
            if !certain {
                let widen = |from: &[T; LANES]| F64::widen(from[start..].first_chunk().expect("LANES is a multiple"));
                let mut y = f.eval(widen(x));
                if let Some(g) = g {
                    y = widen(g) * y;
                }
                y.narrow(&mut out[start..start + LANES_F64]);
            }
        }
    }
}

macro_rules! with_simd {
    ($wrapper:ident<$t:ty>, $block:ident $(, $narrow:ident)?) => {
        impl<F: Family, $($narrow: Narrow,)? G: Factor<$t>> WithSimd for $wrapper<Pass<'_, F, G, $t>> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) {
                let Pass { f, x, g, out } = self.0;
                blocks(Pass { f: $block(f), x, g, out })
            }
        }
    };
}

with_simd!(Vectors<f32>, InF32);
with_simd!(Vectors<f64>, InF64);
with_simd!(Halves<T>, InHalf, T);

/// As [`Vectors`], for 16-bit types: both ends of the error interval of the value in f32 are rounded, and where
/// they differ the element is evaluated in f64.
pub(super) struct Halves<P>(pub(super) P);

/// Conversions of 16 elements between f32 and 16 bits.
pub(super) trait Narrow: Half + Default {
    /// # Safety
    /// AVX-512 F, BW and VL must be there.
    unsafe fn expand(bits: __m256i) -> __m512;
    /// To nearest, ties to even.
    ///
    /// # Safety
    /// As for `expand`.
    unsafe fn contract(v: __m512) -> __m256i;
    /// Writes the rounding of every value between `low` and `high` to `out`, or returns false if they do not all
    /// round alike.
    ///
    /// # Safety
    /// As for `expand`; `out` must be good for 32 bytes.
    unsafe fn round_interval(low: __m512, high: __m512, out: *mut __m256i) -> bool;
}

#[inline(always)]
fn widen<T: Narrow>(x: &[T; LANES]) -> F32 {
    // SAFETY: the array has `CHAINS` times 16 elements.
    F32(unsafe { each!(i => T::expand(_mm256_loadu_si256(x.as_ptr().add(16 * i).cast()))) })
}

impl Narrow for f16 {
    #[inline(always)]
    unsafe fn expand(bits: __m256i) -> __m512 {
        _mm512_cvtph_ps(bits)
    }
    #[inline(always)]
    unsafe fn contract(v: __m512) -> __m256i {
        _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)
    }
    #[inline(always)]
    unsafe fn round_interval(low: __m512, high: __m512, out: *mut __m256i) -> bool {
        let (low, high) = (Self::contract(low), Self::contract(high));
        _mm256_storeu_si256(out, low);
        _mm256_cmpneq_epi16_mask(low, high) == 0
    }
}

impl Narrow for bf16 {
    #[inline(always)]
    unsafe fn expand(bits: __m256i) -> __m512 {
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
    }
    /// `vcvtneps2bf16` would flush subnormals.
    #[inline(always)]
    unsafe fn contract(v: __m512) -> __m256i {
        let bits = _mm512_castps_si512(v);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        // A NaN must not be carried into an infinity.
        let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x0040_0000));
        let kept = _mm512_mask_blend_epi32(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v), rounded, quiet);
        _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(kept))
    }
    /// Half an ulp is added to both and the rest cut off. Ties would be wrong, but a tie strictly inside the
    /// interval makes the ends differ, and so does one at its upper end; at its lower end the values lie above it.
    /// A NaN keeps its upper half, as the lower one is zero in whatever came from 16 bits.
    #[inline(always)]
    unsafe fn round_interval(low: __m512, high: __m512, out: *mut __m256i) -> bool {
        let half = _mm512_set1_epi32(0x8000);
        let low = _mm512_add_epi32(_mm512_castps_si512(low), half);
        let high = _mm512_add_epi32(_mm512_castps_si512(high), half);
        _mm256_storeu_si256(out, _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(low)));
        _mm512_test_epi32_mask(_mm512_xor_si512(low, high), _mm512_set1_epi32(!0xffff)) == 0
    }
}

