//! What a kernel gets besides pointers.

use super::Collapsed;
use crate::activation::{Activation, Softplus};
use candle_core::{bail, Result};

/// The most dims that a layout may keep after merging.
pub const MAX_DIMS: usize = 8;

/// `struct Arguments` of the kernels' sources, field by field. It goes by value: no upload per call, and nothing that
/// a graph capture would refuse.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Arguments {
    pub n: u64,
    /// Outermost first.
    pub dims: [u64; MAX_DIMS],
    /// In elements, of x and of g.
    pub strides: [[u64; MAX_DIMS]; 2],
    /// `i / dims[d] = (mulhi(i, multipliers[d]) + i) >> shifts[d]` for i below 2³¹.
    pub multipliers: [u32; MAX_DIMS],
    pub shifts: [u32; MAX_DIMS],
    pub rank: u32,
    /// Whether the output is x's storage, laid out as x is.
    pub in_place: u32,
    /// β = beta + beta_low.
    pub beta: f32,
    pub beta_low: f32,
    pub threshold: f32,
    pub reserved: u32,
    /// The bits of the f64 parameters: Metal has no such type.
    pub beta_bits: u64,
    pub threshold_bits: u64,
}

/// β and 1/β times a scaled result stay within f32; in f64, what they bring back of what has underflowed is below 2⁻¹⁰²².
const BETA: std::ops::RangeInclusive<f64> = 1.0 / BETA_MAX..=BETA_MAX;
const BETA_MAX: f64 = (1u64 << 60) as f64;

impl Arguments {
    /// Of operands that all have their elements side by side.
    pub(super) fn contiguous(n: usize) -> Self {
        Self {
            n: n as u64,
            ..Self::default()
        }
    }

    pub(super) fn strided<const N: usize>(n: usize, shape: &Collapsed<N>, with_divisors: bool) -> Self {
        let mut arguments = Self {
            rank: shape.dims.len() as u32,
            ..Self::contiguous(n)
        };
        for (d, &dim) in shape.dims.iter().enumerate() {
            arguments.dims[d] = dim as u64;
            for (to, from) in arguments.strides.iter_mut().zip(&shape.strides) {
                to[d] = from[d] as u64;
            }
            if with_divisors {
                (arguments.multipliers[d], arguments.shifts[d]) = divisor(dim as u64);
            }
        }
        arguments
    }

    /// With softplus' parameters, as far as the activation has any.
    pub(super) fn with_parameters(mut self, activation: Activation, op: &str) -> Result<Self> {
        let softplus = match activation {
            Activation::Softplus(softplus) => softplus,
            _ => Softplus::default(),
        };
        let (beta, threshold) = (softplus.beta(), softplus.threshold());
        if !BETA.contains(&beta.abs()) {
            bail!("{op}: beta {beta:e} is out of range on a GPU, expected 2^-60 to 2^60 in magnitude")
        }
        self.beta = beta as f32;
        self.beta_low = (beta - f64::from(self.beta)) as f32;
        self.threshold = threshold as f32;
        self.beta_bits = beta.to_bits();
        self.threshold_bits = threshold.to_bits();
        Ok(self)
    }
}

/// Division by multiplication (Granlund and Montgomery): exact for every dividend below 2³¹.
pub(super) fn divisor(d: u64) -> (u32, u32) {
    let shift = d.next_power_of_two().trailing_zeros();
    let multiplier = (((1u64 << shift) - d) << 32) / d + 1;
    (multiplier as u32, shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_by_multiplication_is_exact() {
        let powers = (0..31).flat_map(|b| [(1u64 << b) - 1, 1 << b, (1 << b) + 1]);
        let divisors: Vec<u64> = powers
            .chain([3, 5, 7, 10, 641, 1000, 6_700_417, 1_000_003])
            .collect();
        for &d in divisors.iter().filter(|d| **d > 0) {
            let (multiplier, shift) = divisor(d);
            for q in [0, 1, 2, 3, 1000, (1 << 31) / d] {
                for i in [q * d, (q * d).saturating_sub(1), q * d + d - 1, (1 << 31) - 1] {
                    let i = i.min((1 << 31) - 1) as u32;
                    let high = (u64::from(i) * u64::from(multiplier)) >> 32;
                    let sum = high as u32 + i;
                    assert_eq!(u64::from(sum >> shift), u64::from(i) / d, "{i} / {d}");
                }
            }
        }
    }
}
