//! The command line.

use candle_core::{utils, Device};
use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;

pub const USAGE: &str = "\
Trains a small convolutional network on 8x8 handwritten digits with candle-mish,
and compares it with candle's composed mish and with ReLU.

usage: cargo run --release --example digits -- [options]

  --device cpu|cuda|metal  where to train (default: cpu; the others need the feature of that name)
  --epochs N               passes over the training images (default: 10)
  --seed N                 seed of the split, the weights and the batches (default: 42)
  --out FILE               where the picture of the losses goes (default: target/digits-loss.svg)
  --help                   this text";

/// A plain message, as candle's own errors carry a backtrace that says nothing about a wrong option.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Debug)]
pub struct Options {
    pub device: Device,
    pub epochs: usize,
    pub seed: u64,
    pub out: PathBuf,
}

impl Options {
    /// The options, or `None` if help was asked for.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Option<Self>> {
        let mut options = Self {
            device: Device::Cpu,
            epochs: 10,
            seed: 42,
            out: PathBuf::from("target/digits-loss.svg"),
        };
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            if name == "--help" || name == "-h" {
                return Ok(None);
            }
            if !["--device", "--epochs", "--seed", "--out"].contains(&name.as_str()) {
                return Err(format!("unknown option {name:?}; --help lists the options").into());
            }
            let Some(value) = args.next() else {
                return Err(format!("{name} needs a value; --help lists the options").into());
            };
            match name.as_str() {
                "--device" => options.device = device(&value)?,
                "--epochs" => options.epochs = number(&name, &value)?,
                "--seed" => options.seed = number(&name, &value)?,
                _ => options.out = value.into(),
            }
        }
        if options.epochs == 0 {
            return Err("--epochs must be at least 1".into());
        }
        Ok(Some(options))
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T> {
    value
        .parse()
        .map_err(|_| format!("{name}: {value:?} is not a whole number in range").into())
}

fn device(name: &str) -> Result<Device> {
    let compiled_in = match name {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => utils::cuda_is_available(),
        "metal" => utils::metal_is_available(),
        _ => return Err(format!("unknown device {name:?}, expected cpu, cuda or metal").into()),
    };
    if !compiled_in {
        return Err(format!(
            "this program was built without {name}; add `--features {name}` to the cargo command"
        )
        .into());
    }
    let device = if name == "cuda" {
        Device::new_cuda(0)
    } else {
        Device::new_metal(0)
    };
    Ok(device?)
}
