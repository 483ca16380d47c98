//! What the command lines of the examples have in common.

use candle_core::{utils, Device};
use clap::Parser;
use std::error::Error;
use std::process::ExitCode;

/// Runs the program with its options; an error becomes a line on stderr and a failure.
pub fn main<O: Parser>(run: impl FnOnce(&O) -> Result<(), Box<dyn Error>>) -> ExitCode {
    match run(&O::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How many of something there are to be.
pub fn count(text: &str) -> Result<usize, String> {
    const MOST: usize = 1 << 20;
    match text.parse() {
        Ok(count) if (1..=MOST).contains(&count) => Ok(count),
        _ => Err(format!("expected a whole number from 1 to {MOST}")),
    }
}

/// The device of this name, the first of its kind.
pub fn device(name: &str) -> Result<Device, String> {
    let compiled_in = match name {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => utils::cuda_is_available(),
        "metal" => utils::metal_is_available(),
        _ => return Err("expected cpu, cuda or metal".into()),
    };
    if !compiled_in {
        return Err(format!(
            "this program was built without {name}; add `--features {name}` to the cargo command"
        ));
    }
    let device = if name == "cuda" {
        Device::new_cuda(0)
    } else {
        Device::new_metal(0)
    };
    device.map_err(|error| error.to_string())
}
