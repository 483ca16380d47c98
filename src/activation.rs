//! The table of activations: their names and parameters.
//!
//! A fourth activation starts here; `CONTRIBUTING.md` lists the other places.

use candle_core::{bail, Error, Result};
use std::fmt;
use std::str::FromStr;

#[cfg(feature = "serde")]
mod config;

/// Mish, `x · tanh(softplus(x))` ([Misra 2019](https://arxiv.org/abs/1908.08681)).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mish;

/// `tanh(softplus(x))`, the gate of [`Mish`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TanhSoftplus;

/// Softplus with PyTorch's parameters: `βx > threshold ? x : log(1 + exp(βx)) / β`.
///
/// [`Softplus::default`] has β = 1 and no threshold, because the form used here is accurate without one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softplus {
    beta: f64,
    threshold: f64,
}

impl Default for Softplus {
    fn default() -> Self {
        Self::PLAIN
    }
}

impl Softplus {
    const PLAIN: Self = Self {
        beta: 1.0,
        threshold: f64::INFINITY,
    };

    /// Softplus with the given β and threshold, as in `torch.nn.functional.softplus`.
    ///
    /// # Errors
    /// If `beta` is zero, infinite or NaN, or `threshold` is NaN or −∞.
    pub fn new(beta: f64, threshold: f64) -> Result<Self> {
        if !beta.is_finite() || beta == 0.0 {
            bail!("softplus: beta must be finite and non-zero, got {beta}")
        }
        if threshold.is_nan() || threshold == f64::NEG_INFINITY {
            bail!("softplus: threshold must be a number or infinity, got {threshold}")
        }
        Ok(Self { beta, threshold })
    }

    /// The factor on the input.
    pub fn beta(&self) -> f64 {
        self.beta
    }

    /// The value of `βx` above which the function is the identity.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The threshold as PyTorch tests it: in f32 unless the tensor is f64.
    pub(crate) fn threshold_in(&self, single: bool) -> f64 {
        match single {
            true => self.threshold as f32 as f64,
            false => self.threshold,
        }
    }

    /// Whether neither β nor 1/β brings back what has underflowed.
    pub(crate) fn is_moderate(&self) -> bool {
        (1e-6..=1e6).contains(&self.beta.abs())
    }

    /// Whether this is log(1 + exp(x)) for every x.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// An activation by name, as a model's `config.json` has it.
///
/// With the feature `serde`, a name such as `"mish"` is read and written as a string, and softplus with parameters
/// as `{"softplus": {"beta": 2.0, "threshold": 20.0}}`. A missing β is 1; without `threshold` there is none, where
/// PyTorch's default is 20.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(into = "config::Config", try_from = "config::Config")
)]
pub enum Activation {
    /// See [`Mish`].
    Mish,
    /// See [`Softplus`].
    Softplus(Softplus),
    /// See [`TanhSoftplus`].
    TanhSoftplus,
}

impl Activation {
    /// Every activation of this crate, with default parameters.
    pub const ALL: [Self; 3] = [Self::Mish, Self::Softplus(Softplus::PLAIN), Self::TanhSoftplus];

    /// The name, as in configuration files: `mish`, `softplus` or `tanh_softplus`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mish => "mish",
            Self::Softplus(_) => "softplus",
            Self::TanhSoftplus => "tanh_softplus",
        }
    }

    /// The name of the derivative of this order as an op, for error messages and graphs.
    pub(crate) fn derivative_name(&self, order: u8) -> &'static str {
        match (self, order) {
            (_, 0) => self.name(),
            (Self::Mish, 1) => "mish_backward",
            (Self::Mish, _) => "mish_double_backward",
            (Self::Softplus(_), 1) => "softplus_backward",
            (Self::Softplus(_), _) => "softplus_double_backward",
            (Self::TanhSoftplus, 1) => "tanh_softplus_backward",
            (Self::TanhSoftplus, _) => "tanh_softplus_double_backward",
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|a| a.name() == name) {
            Some(activation) => Ok(activation),
            None => {
                let known: Vec<_> = Self::ALL.iter().map(Self::name).collect();
                bail!("unknown activation {name:?}, expected one of {known:?}")
            }
        }
    }
}

impl From<Mish> for Activation {
    fn from(_: Mish) -> Self {
        Self::Mish
    }
}

impl From<Softplus> for Activation {
    fn from(softplus: Softplus) -> Self {
        Self::Softplus(softplus)
    }
}

impl From<TanhSoftplus> for Activation {
    fn from(_: TanhSoftplus) -> Self {
        Self::TanhSoftplus
    }
}
