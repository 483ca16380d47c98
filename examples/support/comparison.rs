//! What the examples that run a network in three ways share: the ways, the options, and when outputs agree.

use crate::command::{count, device};
use crate::precision::dtype;
use candle_core::{DType, Device};
use clap::Args;

/// Around an activation and the op before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// The ops that candle has.
    Composed,
    /// This crate's activation after candle's op.
    Separate,
    /// This crate's op for both.
    Fused,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::Composed, Self::Separate, Self::Fused];

    pub fn label(self) -> &'static str {
        match self {
            Self::Composed => "candle, composed",
            Self::Separate => "candle-mish",
            Self::Fused => "candle-mish, fused",
        }
    }

    /// An error if the result of this way is off by more than the tolerance.
    pub fn check(self, what: &str, error: f64, tolerance: f64) -> Result<(), String> {
        if error <= tolerance {
            return Ok(());
        }
        Err(format!(
            "{}: {what} is off by {error:.1e}, expected at most {tolerance:.1e}",
            self.label()
        ))
    }
}

#[derive(Debug, Args)]
pub struct Common {
    /// Where to run: cpu, cuda or metal; the others need the feature of that name.
    #[arg(long, value_parser = device, default_value = "cpu")]
    pub device: Device,
    /// Type of the activations: f32, f16 or bf16.
    #[arg(long, value_parser = dtype, default_value = "f32")]
    pub dtype: DType,
    /// Inputs that are run at once.
    #[arg(long, value_parser = count, default_value = "1")]
    pub batch: usize,
    /// How often each of the three ways is timed.
    #[arg(long, value_parser = count, default_value = "7")]
    pub runs: usize,
    /// Seed of inputs and weights.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
}
