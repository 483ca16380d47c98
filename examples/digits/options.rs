//! The command line.

use crate::command::{count, device};
use candle_core::Device;
use clap::Parser;
use std::path::PathBuf;

/// Trains a small convolutional network on 8x8 handwritten digits with candle-mish, and compares it with candle's
/// composed mish and with ReLU.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo run --release --example digits --")]
pub struct Options {
    /// Where to train: cpu, cuda or metal; the others need the feature of that name.
    #[arg(long, value_parser = device, default_value = "cpu")]
    pub device: Device,
    /// Passes over the training images.
    #[arg(long, value_parser = count, default_value = "10")]
    pub epochs: usize,
    /// Seed of the split, the weights and the batches.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Where the picture of the losses goes.
    #[arg(long, default_value = "target/digits-loss.svg")]
    pub out: PathBuf,
}
