//! The error of a result against an unrounded value, in ulps of the result's type.
//!
//! One ulp is the spacing of the type in the binade of the *unrounded* value, down to the spacing of its subnormals.
//! Nothing here goes through `half::f16::from_f64`, which rounds twice on processors with F16C.

use candle_core::WithDType;
use half::{bf16, f16};

/// A floating-point type of candle.
pub trait Element: WithDType + std::fmt::Debug {
    /// Bits after the leading one.
    const FRACTION: i32;
    /// Exponents of the smallest and the largest normal numbers.
    const EXPONENTS: [i32; 2];
    fn from_bits(bits: u64) -> Self;
    fn bits(self) -> u64;

    const WIDTH: u32 = 8 * std::mem::size_of::<Self>() as u32;

    fn sign(self) -> bool {
        self.bits() >> (Self::WIDTH - 1) == 1
    }
    /// ±0 count as alike only with the same sign; every NaN is like every other.
    fn alike(self, other: Self) -> bool {
        self.bits() == other.bits() || self.to_f64().is_nan() && other.to_f64().is_nan()
    }
}

macro_rules! element {
    ($t:ty, $fraction:expr, $exponents:expr) => {
        impl Element for $t {
            const FRACTION: i32 = $fraction;
            const EXPONENTS: [i32; 2] = $exponents;
            fn from_bits(bits: u64) -> Self {
                <$t>::from_bits(bits as _)
            }
            fn bits(self) -> u64 {
                self.to_bits() as u64
            }
        }
    };
}

element!(f16, 10, [-14, 15]);
element!(bf16, 7, [-126, 127]);
element!(f32, 23, [-126, 127]);
element!(f64, 52, [-1022, 1023]);

/// (high + low)·2^exponent with 1 ≤ |high| < 2, or zero; `low` is what high rounds away.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    pub high: f64,
    pub low: f64,
    pub exponent: i32,
}

impl Exact {
    /// A finite f64.
    pub fn of(x: f64) -> Self {
        if x == 0.0 {
            return Self {
                high: x,
                low: 0.0,
                exponent: 0,
            };
        }
        let (normal, shift) = if x.abs() < f64::MIN_POSITIVE {
            (x * pow2(64), 64)
        } else {
            (x, 0)
        };
        let exponent = (normal.to_bits() >> 52 & 0x7ff) as i32 - 1023;
        let high = scale(normal, -exponent);
        Self {
            high,
            low: 0.0,
            exponent: exponent - shift,
        }
    }

    /// Rounded to f64, for messages.
    pub fn rounded(&self) -> f64 {
        scale(self.high + self.low, self.exponent)
    }
}

/// 2ⁿ for a normal result.
fn pow2(n: i32) -> f64 {
    assert!((-1022..=1023).contains(&n));
    f64::from_bits(((n + 1023) as u64) << 52)
}

/// x·2ⁿ, exact unless the result is subnormal or infinite.
pub fn scale(x: f64, n: i32) -> f64 {
    let n = n.clamp(-4000, 4000);
    let (step, rest) = (n / 4, n - n / 4 * 3);
    x * pow2(step) * pow2(step) * pow2(step) * pow2(rest)
}

/// The exponent of one ulp of `T` in the binade of `exact`.
fn ulp_exponent<T: Element>(exact: &Exact) -> i32 {
    let [min, max] = T::EXPONENTS;
    let exponent = if exact.high == 0.0 { min } else { exact.exponent };
    exponent.clamp(min, max) - T::FRACTION
}

/// One ulp of `T` at x.
pub fn ulp<T: Element>(x: f64) -> f64 {
    scale(1.0, ulp_exponent::<T>(&Exact::of(x)))
}

/// |actual − exact| in ulps. An infinite result counts as the power of two that overflow stands for; a NaN is
/// infinitely wrong.
pub fn error<T: Element>(actual: T, exact: &Exact) -> f64 {
    let ulp = ulp_exponent::<T>(exact);
    let wide = actual.to_f64();
    let overflow = scale(1.0, T::EXPONENTS[1] + 1 - ulp);
    let actual = match wide {
        wide if wide.is_nan() => return f64::INFINITY,
        wide if wide.is_infinite() => overflow.copysign(wide),
        wide => scale(wide, -ulp),
    };
    let [high, low] = [exact.high, exact.low].map(|part| scale(part, exact.exponent - ulp));
    if high.abs() >= overflow && actual == overflow.copysign(high) {
        return 0.0;
    }
    ((actual - high) - low).abs()
}

/// The bits of the nearest `T`, ties to even: decided on the unrounded value.
pub fn nearest<T: Element>(exact: &Exact) -> u64 {
    let ulp = ulp_exponent::<T>(exact);
    let sign = (exact.high.is_sign_negative() as u64) << (T::WIDTH - 1);
    let magnitude = scale(exact.high.abs(), exact.exponent - ulp);
    let low = exact.low * exact.high.signum();
    let (whole, part) = (magnitude.floor(), magnitude.fract());
    let up = match part.partial_cmp(&0.5).unwrap() {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => low > 0.0 || low == 0.0 && whole % 2.0 == 1.0,
    };
    if exact.exponent > T::EXPONENTS[1] {
        return sign | T::from_f64(f64::INFINITY).bits();
    }
    // Subnormals have exponent bits 0 and count ulps; every normal binade adds its leading one to the exponent
    // bits. A carry runs into them as it should, up to infinity.
    let binade = (ulp - (T::EXPONENTS[0] - T::FRACTION)) as u64;
    sign | ((binade << T::FRACTION) + whole as u64 + up as u64)
}

/// As [`nearest`] for a value known to within ±`relative`, if both ends of that interval round alike.
pub fn nearest_of<T: Element>(value: f64, relative: f64) -> Option<u64> {
    let ends = [1.0 - relative, 1.0 + relative].map(|factor| nearest::<T>(&Exact::of(value * factor)));
    (ends[0] == ends[1]).then_some(ends[0])
}
