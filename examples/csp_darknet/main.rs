//! The backbone of YOLOv4, whose 72 convolutions are each followed by batch norm and Mish, run in three ways: with
//! candle's composed mish, with this crate's, and with batch norm folded into `mish_affine`. Compares time, memory
//! and outputs.
//!
//! `cargo run --release --example csp_darknet`; `-- --help` lists the options.

mod backbone;
#[path = "../support/command.rs"]
mod command;
#[path = "../support/comparison.rs"]
mod comparison;
mod epilogue;
mod measure;
#[path = "../support/memory.rs"]
mod memory;
#[path = "../support/precision.rs"]
mod precision;
#[path = "../support/random.rs"]
mod random;
mod report;
#[path = "../support/table.rs"]
mod table;
#[path = "../support/timing.rs"]
mod timing;
mod weights;

use backbone::{conv_dtype, Backbone, STRIDE};
use candle_core::utils;
use candle_nn::VarBuilder;
use clap::Parser;
use comparison::{Common, Way};
use report::Row;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use timing::progress_bar;

/// Runs CSPDarknet53, the backbone of YOLOv4, with candle's composed mish, with that of candle-mish, and with batch
/// norm folded into its mish_affine, and compares time, memory and outputs.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo run --release --example csp_darknet --")]
struct Options {
    #[command(flatten)]
    common: Common,
    /// Width and height of the images, a multiple of 32 up to 4096.
    #[arg(long, value_parser = size, default_value = "224")]
    size: usize,
    /// A safetensors file with trained weights, named module_list.N.Conv2d.weight and module_list.N.BatchNorm2d.weight,
    /// .bias, .running_mean and .running_var, where N is the number of the layer in yolov4.cfg; without it they are
    /// random.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

fn size(text: &str) -> Result<usize, String> {
    const MOST: usize = 4096;
    match text.parse() {
        Ok(size) if (1..=MOST).contains(&size) && size % STRIDE == 0 => Ok(size),
        _ => Err(format!("expected a multiple of {STRIDE} from {STRIDE} to {MOST}")),
    }
}

fn main() -> ExitCode {
    command::main(run)
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let Common {
        ref device,
        dtype,
        batch,
        runs,
        seed,
    } = options.common;
    let size = options.size;
    let bar = progress_bar("preparing", 3).with_message("weights");
    let weights = match &options.weights {
        Some(file) => weights::load(file)?,
        None => weights::random(seed)?,
    };
    let weights = weights::rounded(weights, dtype)?;
    bar.inc(1);
    bar.set_message("reference");
    let images = weights::images(seed, batch, size)?.to_dtype(dtype)?;
    let reference = measure::reference(&weights, &images)?;
    bar.inc(1);
    bar.set_message("outputs");
    let backbone = Backbone::new(VarBuilder::from_tensors(weights, dtype, device))?;
    let images = images.to_device(device)?;
    let mut errors = vec![];
    for way in Way::ALL {
        errors.push(measure::errors(&backbone, &images, way, &reference)?);
    }
    bar.finish_and_clear();

    println!(
        "CSPDarknet53, {} convolutions in {:?}, activations in {dtype:?}\n{batch} x 3 x {size} x {size}, {:?}, {} threads\n",
        backbone.units(),
        conv_dtype(dtype, device),
        device.location(),
        utils::get_num_threads(),
    );
    let times = measure::times(&backbone, &images, runs)?;
    let mut rows = vec![];
    for ((way, times), errors) in Way::ALL.into_iter().zip(times).zip(errors) {
        let peak = measure::peak_memory(&backbone, &images, way)?;
        rows.push(Row {
            way,
            times,
            peak,
            errors,
        });
    }
    report::print_costs(&rows, batch, runs);
    println!();
    let tolerance = measure::tolerance(&backbone, dtype);
    report::print_errors(&rows, &reference, tolerance);
    for row in &rows {
        for (error, output) in row.errors.iter().zip(&reference) {
            let what = format!("the output of layer {}", output.layer);
            row.way.check(&what, *error, tolerance)?;
        }
    }
    Ok(())
}
