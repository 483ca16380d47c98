//! The arithmetic that the formulas are written in: f32 and f64, one at a time, with or without a hardware FMA,
//! and the wider types of the vector backends.

use core::ops::{Add, Div, Mul, Neg, Sub};

/// A floating-point value, or several side by side, with the constants of its precision.
///
/// The polynomials are Chebyshev fits; `docs/derivation.py` prints them with their errors.
pub(crate) trait Real:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// log₂ e.
    const LOG2E: f64;
    /// ln 2 in two parts; products of the first with every exponent in use are exact.
    const LN2: [f64; 2];
    /// Adding it rounds to an integer k and leaves k + bias + `SCALE` in the low bits.
    const MAGIC: f64;
    /// 2^-SCALE: values that may underflow are carried times 2^SCALE.
    const UNSCALE: f64;
    /// Below it every activation has underflowed, and exp with `SCALE` has not.
    const LOWEST: f64;
    /// From here on 1 − tanh(softplus x) is below half an ulp of 1.
    const SATURATED: f64;
    /// (eʳ − 1 − r)/r² on |r| ≤ ln2/2.
    const EXP: &'static [f64];
    /// log1p(t)/t − ⅞ on 0 ≤ t ≤ 1, in powers of t − ½: in powers of t the terms alternate and cancel.
    const LOG1P: &'static [f64];

    /// Below 1 by less than the square root of an ulp.
    const BELOW_ONE: f64;
    /// Whether softplus carries low parts. In f64 it meets its 2 ulp without, and with them it would not be 4 times
    /// as fast as the best that others have.
    const SOFTPLUS_LOW: bool;

    /// A constant.
    fn lit(x: f64) -> Self;
    /// self·b + c, rounded once: residuals rely on it.
    fn fma(self, b: Self, c: Self) -> Self;
    /// self·b + c where a second rounding does no harm.
    fn mla(self, b: Self, c: Self) -> Self {
        self.fma(b, c)
    }
    /// 1/self to at least half of the bits; whoever calls it corrects the rest with a residual. From below: T = m/M
    /// then has a positive residual, and mish(−0) the sign that it should.
    fn recip(self) -> Self {
        Self::lit(Self::BELOW_ONE) / self
    }
    /// 1/self to all bits but the last.
    fn recip_full(self) -> Self {
        Self::lit(1.0) / self
    }
    /// Rounded to f32.
    fn to_single(self) -> Self;
    /// 2^(k + SCALE) from `MAGIC` + k.
    fn exp2_of_magic(self) -> Self;
    fn abs(self) -> Self;
    /// `a > b ? t : e`; a NaN in a or b chooses e.
    fn if_gt(a: Self, b: Self, t: Self, e: Self) -> Self;

    /// The larger of self and `low`, NaN if self is.
    fn at_least(self, low: f64) -> Self {
        let low = Self::lit(low);
        Self::if_gt(low, self, low, self)
    }
    /// The smaller of self and `high`, NaN if self is.
    fn at_most(self, high: f64) -> Self {
        let high = Self::lit(high);
        Self::if_gt(self, high, high, self)
    }
}

/// Constants of f32 arithmetic, shared with the vector types of the same precision.
pub(crate) mod single {
    pub(crate) const LN2: [f64; 2] = [0.693359375, -2.12194440e-4];
    pub(crate) const MAGIC: f64 = 12582912.0 + 127.0 + 64.0;
    pub(crate) const UNSCALE: f64 = 1.0 / 18446744073709551616.0;
    pub(crate) const LOWEST: f64 = -125.0;
    pub(crate) const SATURATED: f64 = 12.0;
    pub(crate) const BELOW_ONE: f64 = 1.0 - 1.0 / (1 << 14) as f64;
    pub(crate) const SOFTPLUS_LOW: bool = true;
    /// Relative error of eʳ 7.8e-9.
    pub(crate) const EXP: &[f64] = &[
        0.5,
        0.16666576845993977,
        0.04166655443768594,
        0.008363202971575855,
        0.0013926213466332444,
    ];
    /// Error 5.2e-9.
    pub(crate) const LOG1P: &[f64] = &[
        -0.06406978008675736,
        -0.28852710137197934,
        0.13260901577718714,
        -0.06768818965399573,
        0.03663523416633938,
        -0.020563182432163537,
        0.011577685182382747,
        -0.006788016951938559,
        0.005250270678070283,
        -0.00317605701843196,
    ];
}

/// Constants of f64 arithmetic.
pub(crate) mod double {
    pub(crate) const LN2: [f64; 2] = [0.6931471803691238, 1.9082149292705877e-10];
    pub(crate) const MAGIC: f64 = 6755399441055744.0 + 1023.0 + 128.0;
    pub(crate) const UNSCALE: f64 = 1.0 / (18446744073709551616.0 * 18446744073709551616.0);
    pub(crate) const LOWEST: f64 = -780.0;
    pub(crate) const SATURATED: f64 = 22.0;
    pub(crate) const BELOW_ONE: f64 = 1.0 - 1.0 / (1 << 30) as f64;
    pub(crate) const SOFTPLUS_LOW: bool = false;
    /// Relative error of eʳ 1.3e-17.
    pub(crate) const EXP: &[f64] = &[
        0.5,
        0.16666666666666669,
        0.04166666666662399,
        0.008333333333330051,
        0.0013888888917281794,
        0.00019841269863105968,
        2.480152119021773e-05,
        2.7557268378684192e-06,
        2.7620138719733994e-07,
        2.5100424157005067e-08,
    ];
    /// Error 6.3e-17.
    pub(crate) const LOG1P: &[f64] = &[
        -0.06406978378367129,
        -0.28852709909932417,
        0.13260975375423856,
        -0.06768864331089912,
        0.03661185451843157,
        -0.020548811923727203,
        0.0118337923524883,
        -0.0069453948270976965,
        0.004136172789768747,
        -0.0024918437652768142,
        0.0015154776207416951,
        -0.0009288311935813331,
        0.0005722017261368499,
        -0.00035498226327422935,
        0.0002259431432899234,
        -0.00014150731614573502,
        7.315086658536465e-05,
        -4.601575302993469e-05,
        5.878444502337901e-05,
        -3.736111090625511e-05,
    ];
}

macro_rules! constants {
    ($precision:ident) => {
        const LOG2E: f64 = core::f64::consts::LOG2_E;
        const LN2: [f64; 2] = $crate::real::$precision::LN2;
        const MAGIC: f64 = $crate::real::$precision::MAGIC;
        const UNSCALE: f64 = $crate::real::$precision::UNSCALE;
        const LOWEST: f64 = $crate::real::$precision::LOWEST;
        const SATURATED: f64 = $crate::real::$precision::SATURATED;
        const BELOW_ONE: f64 = $crate::real::$precision::BELOW_ONE;
        const SOFTPLUS_LOW: bool = $crate::real::$precision::SOFTPLUS_LOW;
        const EXP: &'static [f64] = $crate::real::$precision::EXP;
        const LOG1P: &'static [f64] = $crate::real::$precision::LOG1P;
    };
}
#[cfg(target_arch = "x86_64")] // of `cpu/avx512`
pub(crate) use constants;

macro_rules! fused {
    ($t:ident, $precision:ident, $mantissa:expr) => {
        impl Real for $t {
            constants!($precision);
            #[inline(always)]
            fn lit(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn fma(self, b: Self, c: Self) -> Self {
                self.mul_add(b, c)
            }
            #[inline(always)]
            fn to_single(self) -> Self {
                self as f32 as $t
            }
            #[inline(always)]
            fn exp2_of_magic(self) -> Self {
                $t::from_bits(self.to_bits() << $mantissa)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline(always)]
            fn if_gt(a: Self, b: Self, t: Self, e: Self) -> Self {
                if a > b {
                    t
                } else {
                    e
                }
            }
        }
    };
}

fused!(f32, single, 23);
fused!(f64, double, 52);

/// f32 or f64 on processors without an FMA instruction, where `mul_add` would call a library function.
#[derive(Clone, Copy)]
pub(crate) struct Unfused<T>(pub(crate) T);

macro_rules! operator {
    ($trait:ident, $method:ident, $op:tt) => {
        impl<T: $trait<Output = T>> $trait for Unfused<T> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(self.0 $op other.0)
            }
        }
    };
}

operator!(Add, add, +);
operator!(Sub, sub, -);
operator!(Mul, mul, *);
operator!(Div, div, /);

impl<T: Neg<Output = T>> Neg for Unfused<T> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

macro_rules! unfused {
    ($t:ident, $precision:ident, $fma:expr) => {
        impl Real for Unfused<$t> {
            constants!($precision);
            #[inline(always)]
            fn lit(x: f64) -> Self {
                Self(x as $t)
            }
            #[inline(always)]
            fn fma(self, b: Self, c: Self) -> Self {
                let fma: fn($t, $t, $t) -> $t = $fma;
                Self(fma(self.0, b.0, c.0))
            }
            #[inline(always)]
            fn mla(self, b: Self, c: Self) -> Self {
                Self(self.0 * b.0 + c.0)
            }
            #[inline(always)]
            fn to_single(self) -> Self {
                Self(self.0.to_single())
            }
            #[inline(always)]
            fn exp2_of_magic(self) -> Self {
                Self(self.0.exp2_of_magic())
            }
            #[inline(always)]
            fn abs(self) -> Self {
                Self(self.0.abs())
            }
            #[inline(always)]
            fn if_gt(a: Self, b: Self, t: Self, e: Self) -> Self {
                Self($t::if_gt(a.0, b.0, t.0, e.0))
            }
        }
    };
}

// The product of two f32 is exact in f64. Adding a zero would lose the sign of another.
unfused!(f32, single, |a, b, c| {
    let product = a as f64 * b as f64;
    (if c == 0.0 { product } else { product + c as f64 }) as f32
});
unfused!(f64, double, dekker_fma);

/// a·b + c from Veltkamp's split and Dekker's product; as accurate as an FMA to within 2⁻¹⁰⁴ of a·b while
/// a and b stay below 2⁹⁹⁶.
#[inline(always)]
fn dekker_fma(a: f64, b: f64, c: f64) -> f64 {
    const SPLIT: f64 = 134217729.0;
    let halves = |v: f64| {
        let t = v * SPLIT;
        let high = t - (t - v);
        (high, v - high)
    };
    let product = a * b;
    let ((ah, al), (bh, bl)) = (halves(a), halves(b));
    let low = ((ah * bh - product) + ah * bl + al * bh) + al * bl;
    let sum = product + c;
    let part = sum - product;
    let rest = ((product - (sum - part)) + (c - part)) + low;
    // Infinities leave a NaN in `rest`; adding a zero to an underflowed product would lose its sign.
    if c == 0.0 {
        product
    } else if rest.is_nan() {
        sum
    } else {
        sum + rest
    }
}
