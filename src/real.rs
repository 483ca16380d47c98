//! The arithmetic that the formulas are written in: f32 and f64, one at a time, with or without a hardware FMA,
//! and the wider types of the vector backends.

use core::ops::{Add, Div, Mul, Neg, Sub};

/// A floating-point value, or several side by side, with the constants of its precision.
///
/// The polynomials are minimax fits; `docs/fits.py` prints them with their errors.
pub(crate) trait Real:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// log₂ e.
    const LOG2E: f64;
    /// ln 2 in two parts; products of the first with every exponent in use are exact.
    const LN2: [f64; 2];
    /// Adding it rounds to an integer k and leaves k + bias + `SCALE` in the low bits.
    const MAGIC: f64;
    /// The same for −SCALE.
    const MAGIC_DOWN: f64;
    /// 2^-SCALE: values that may underflow are carried times 2^SCALE.
    const UNSCALE: f64;
    /// Below it every activation has underflowed, and exp with `SCALE` has not.
    const LOWEST: f64;
    /// From here on 1 − tanh(softplus x) is below half an ulp of 1.
    const SATURATED: f64;
    /// (eʳ − 1 − r)/r² on |r| ≤ ln2/2.
    const EXP: &'static [f64];
    /// (2·artanh(u) − 2u)/u³ on 0 ≤ u ≤ ⅓, in powers of u²: log1p(t) with u = t/(2 + t).
    const LOG1P: &'static [f64];

    /// Below 1 by less than the square root of an ulp.
    const BELOW_ONE: f64;

    /// A constant.
    fn lit(x: f64) -> Self;
    /// What [`Real::lit`] makes of it.
    fn rounded(x: f64) -> f64;
    /// self·b + c, rounded once: residuals rely on it.
    fn fma(self, b: Self, c: Self) -> Self;
    /// self·b + c where a second rounding does no harm.
    fn mla(self, b: Self, c: Self) -> Self {
        self.fma(b, c)
    }
    /// 1/self to at least half of the bits; whoever calls it corrects the rest with a residual. From below at 2.5, where T = m/M
    /// then has a positive residual, and mish(−0) the sign that it should.
    #[inline(always)]
    fn recip(self) -> Self {
        Self::lit(Self::BELOW_ONE) / self
    }
    /// Rounded to f32.
    fn to_single(self) -> Self;
    /// 2^(k + SCALE) from `MAGIC` + k, 2^(k − SCALE) from `MAGIC_DOWN` + k.
    fn exp2_of_magic(self) -> Self;
    /// To two bits less than it has, to nearest.
    fn shortened(self) -> Self;
    fn abs(self) -> Self;
    /// `a > b ? t : e`; a NaN in a or b chooses e.
    fn if_gt(a: Self, b: Self, t: Self, e: Self) -> Self;
    /// `self < 0 ? t : e`; −0 and NaN may choose either.
    #[inline(always)]
    fn if_negative(self, t: Self, e: Self) -> Self {
        Self::if_gt(Self::lit(0.0), self, t, e)
    }

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
    pub(crate) const MAGIC_DOWN: f64 = MAGIC - 2.0 * 64.0;
    pub(crate) const UNSCALE: f64 = 1.0 / 18446744073709551616.0;
    pub(crate) const LOWEST: f64 = -125.0;
    pub(crate) fn rounded(x: f64) -> f64 {
        x as f32 as f64
    }
    pub(crate) const SATURATED: f64 = 12.0;
    pub(crate) const BELOW_ONE: f64 = 1.0 - 1.0 / (1 << 14) as f64;
    /// Relative error of eʳ 3.1e-09.
    pub(crate) const EXP: &[f64] = &[
        0.49999993451716157,
        0.16666520689870967,
        0.04166838736220404,
        0.008368709822203757,
        0.0013814613140192423,
    ];
    /// Relative error of log1p(t) 4.5e-09.
    pub(crate) const LOG1P: &[f64] = &[
        0.6666641628513784,
        0.4002152726325061,
        0.28001804934343916,
        0.28011988308236024,
    ];
}

/// Constants of f64 arithmetic.
pub(crate) mod double {
    pub(crate) const LN2: [f64; 2] = [0.6931471803691238, 1.9082149292705877e-10];
    pub(crate) const MAGIC: f64 = 6755399441055744.0 + 1023.0 + 128.0;
    pub(crate) const MAGIC_DOWN: f64 = MAGIC - 2.0 * 128.0;
    pub(crate) const UNSCALE: f64 = 1.0 / (18446744073709551616.0 * 18446744073709551616.0);
    pub(crate) const LOWEST: f64 = -760.0;
    pub(crate) fn rounded(x: f64) -> f64 {
        x
    }
    pub(crate) const SATURATED: f64 = 22.0;
    pub(crate) const BELOW_ONE: f64 = 1.0 - 1.0 / (1 << 30) as f64;
    /// Relative error of eʳ 3.6e-18.
    pub(crate) const EXP: &[f64] = &[
        0.5000000000000011,
        0.16666666666666413,
        0.041666666666530267,
        0.008333333333494336,
        0.0013888888943597627,
        0.00019841269506772397,
        2.4801493136217803e-05,
        2.7557586273364693e-06,
        2.7630233916204213e-07,
        2.5000069972484397e-08,
    ];
    /// Relative error of log1p(t) 4.9e-17.
    pub(crate) const LOG1P: &[f64] = &[
        0.666666666666777,
        0.3999999999604968,
        0.28571429057999315,
        0.2222219290456946,
        0.18182814074181367,
        0.15364295509030107,
        0.1358631429351992,
        0.09902821253378055,
        0.17739757338192702,
    ];
}

macro_rules! constants {
    ($precision:ident) => {
        const LOG2E: f64 = core::f64::consts::LOG2_E;
        const LN2: [f64; 2] = $crate::real::$precision::LN2;
        const MAGIC: f64 = $crate::real::$precision::MAGIC;
        const MAGIC_DOWN: f64 = $crate::real::$precision::MAGIC_DOWN;
        const UNSCALE: f64 = $crate::real::$precision::UNSCALE;
        const LOWEST: f64 = $crate::real::$precision::LOWEST;
        const SATURATED: f64 = $crate::real::$precision::SATURATED;
        const BELOW_ONE: f64 = $crate::real::$precision::BELOW_ONE;
        const EXP: &'static [f64] = $crate::real::$precision::EXP;
        const LOG1P: &'static [f64] = $crate::real::$precision::LOG1P;
        #[inline(always)]
        fn rounded(x: f64) -> f64 {
            $crate::real::$precision::rounded(x)
        }
    };
}
#[cfg(any(target_arch = "x86_64", test))] // for `cpu/vectors`, and to count operations
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
            fn shortened(self) -> Self {
                // A NaN may have all bits set; what is added to it later is one, too.
                $t::from_bits(self.to_bits().wrapping_add(2) & !3)
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
            fn shortened(self) -> Self {
                Self(self.0.shortened())
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
