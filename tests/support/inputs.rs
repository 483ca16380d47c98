//! Inputs, from four generators: directed cases, edges, log-spaced, seeded random.

use super::backend::PARAMETERS;
use super::contract::ROOTS;
use super::ulp::Element;
use std::f64::consts::LN_2;

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In \[0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Any finite number, every bit pattern as likely.
    pub fn finite<T: Element>(&mut self) -> T {
        loop {
            let value = T::from_bits(self.bits() >> (64 - T::WIDTH));
            if value.to_f64().is_finite() {
                return value;
            }
        }
    }

    /// ±1 to ±2, every significand as likely.
    pub fn factor<T: Element>(&mut self) -> T {
        let random = self.bits();
        let fraction = random & ((1 << T::FRACTION) - 1);
        let sign = random >> 63 << (T::WIDTH - 1);
        T::from_bits(sign | T::from_f64(1.0).bits() | fraction)
    }
}

/// Every value of a 16-bit type.
pub fn every_half<T: Element>() -> Vec<T> {
    (0..=u16::MAX as u64).map(T::from_bits).collect()
}

/// Zero, subnormals, the smallest normal numbers, and where 1 + x rounds to 1.
const SMALL: &[f64] = &[
    0.0, 5e-324, 1e-320, 2.3e-308, 1e-300, 1.4e-45, 1.2e-38, 1e-30, 8.7e-19, 1.1e-16, 6e-8, 6.2e-5, 2.4e-4,
    1e-3, 0.25, 0.5, 1.0, 2.0,
];

/// 1 − tanh(softplus x) and 1 − σ(x) drop below half an ulp of 1, in one type after the other.
const SATURATION: &[f64] = &[
    3.8, 5.0, 6.9, 8.3, 9.0, 11.09, 12.0, 16.6, 17.3, 18.4, 19.1, 20.0, 22.0, 36.0, 36.7, 37.4, 44.0,
];

/// eˣ and e²ˣ over- and underflow.
const EXP_RANGE: &[f64] = &[
    44.4, 51.99, 88.0, 88.72, 88.73, 103.3, 103.97, 104.0, 108.7, 110.0, 125.0, 127.0, 128.0, 256.0, 354.2,
    372.6, 708.4, 709.78, 709.79, 744.4, 745.13, 745.14, 746.0, 751.7, 752.0, 780.0, 1023.0, 1024.0, 2048.0,
];

/// Range reductions break.
const LARGE: &[f64] = &[
    65504.0,
    8.72e6,
    1e7,
    2.147e9,
    4.295e9,
    1e19,
    3e38,
    3.4e38,
    1e100,
    1e300,
    f64::MAX,
];

/// Points where an implementation changes its ways: rounding to T may merge some.
pub fn edges() -> Vec<f64> {
    let mut points = [SMALL, SATURATION, EXP_RANGE, LARGE].concat();
    // Range reduction by ln 2 switches at odd multiples of half of it.
    points.extend((1..2200).map(|k| 0.5 * k as f64 * LN_2));
    // Segments of polynomials meet half way between multiples of 1/32, 1/64 or 1/128, of which there is one in every unit
    // here, and end half a segment beyond a whole number.
    for per_unit in [32, 64, 128] {
        let half = 0.5 / per_unit as f64;
        points.extend((0..64).map(|k| k as f64 + half * (2 * (37 * k % per_unit) + 1) as f64));
        points.extend([32.0, 40.0, 64.0].map(|end| end + half));
        points.extend(
            PARAMETERS
                .iter()
                .flat_map(|(beta, _)| [32.0, 40.0, 64.0].map(|end| ((end + half) / beta).abs())),
        );
    }
    points.extend(
        PARAMETERS
            .iter()
            .map(|(beta, threshold)| (threshold / beta).abs())
            .filter(|x| x.is_finite()),
    );
    points.extend(ROOTS.iter().map(|root| root.x.abs()));
    let negative: Vec<f64> = points.iter().map(|x| -x).collect();
    [points, negative].concat()
}

/// The edges in `T`, each with `n` neighbours on both sides.
pub fn edges_of<T: Element>(n: u64) -> Vec<T> {
    let values = edges()
        .into_iter()
        .map(T::from_f64)
        .filter(|x| x.to_f64().is_finite());
    let around = |x: T| {
        let sign = 1 << (T::WIDTH - 1);
        let (sign, magnitude) = (x.bits() & sign, x.bits() & !sign);
        (magnitude.saturating_sub(n)..=magnitude + n).map(move |m| T::from_bits(sign | m))
    };
    values
        .flat_map(around)
        .filter(|x| x.to_f64().is_finite())
        .collect()
}

/// `n` magnitudes from `low` to `high`, evenly spaced in their logarithm, with both signs.
pub fn log_spaced(low: f64, high: f64, n: usize) -> Vec<f64> {
    let (from, to) = (low.ln(), high.ln());
    let magnitude = |i| (from + (to - from) * i as f64 / (n - 1) as f64).exp();
    (0..n).map(magnitude).flat_map(|x| [x, -x]).collect()
}

/// `n` points spread evenly at random between `low` and `high`.
pub fn uniform(random: &mut Random, low: f64, high: f64, n: usize) -> Vec<f64> {
    (0..n).map(|_| low + (high - low) * random.unit()).collect()
}

/// f64 inputs from all four generators.
pub fn doubles() -> Vec<f64> {
    let random = &mut Random(64);
    let mut points = edges_of::<f64>(1);
    points.extend(log_spaced(1e-308, 1e308, 2000));
    points.extend(log_spaced(1e-6, 1e3, 3000));
    points.extend(uniform(random, -40.0, 40.0, 8000));
    points.extend(uniform(random, -750.0, 10.0, 4000));
    points.extend(uniform(random, -746.0, -707.0, 2000));
    points.extend(uniform(random, -3.0, 3.0, 4000));
    points.extend((0..2000).map(|_| random.finite::<f64>()));
    for root in ROOTS.map(|root| root.x) {
        for distance in [1e-12, 1e-8, 1e-4, 1e-2, 0.1] {
            points.extend(uniform(random, root - distance, root + distance, 100));
        }
    }
    points
}
