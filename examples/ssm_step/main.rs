//! A step of the selective state space of Mamba-2, whose step size is softplus(dt + dt_bias), run in three ways: with
//! candle's ops, with this crate's softplus, and with its `softplus_bias`. Compares time, memory and outputs.
//!
//! `cargo run --release --example ssm_step`; `-- --help` lists the options.

#[path = "../support/command.rs"]
mod command;
#[path = "../support/comparison.rs"]
mod comparison;
mod measure;
#[path = "../support/memory.rs"]
mod memory;
mod model;
#[path = "../support/precision.rs"]
mod precision;
#[path = "../support/random.rs"]
mod random;
mod report;
#[path = "../support/table.rs"]
mod table;
#[path = "../support/timing.rs"]
mod timing;

use candle_core::{utils, DType};
use clap::Parser;
use command::count;
use comparison::{Common, Way};
use measure::Work;
use model::{Layer, Projection, HEADS, HEAD_DIM, STATE};
use rand::rngs::StdRng;
use rand::SeedableRng;
use report::Row;
use std::error::Error;
use std::process::ExitCode;

/// Runs the selective state space of Mamba-2, whose step size is softplus(dt + dt_bias), with candle's ops, with the
/// softplus of candle-mish, and with its softplus_bias, and compares time, memory and outputs.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo run --release --example ssm_step --")]
struct Options {
    #[command(flatten)]
    common: Common,
    /// Tokens of a prompt, whose step sizes are computed at once.
    #[arg(long, value_parser = count, default_value = "4096")]
    tokens: usize,
    /// Steps of the recurrence, through the first tokens of the prompt.
    #[arg(long, value_parser = count, default_value = "64")]
    steps: usize,
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
    let Options { tokens, steps, .. } = *options;
    if steps > tokens {
        return Err(format!("--steps {steps}: expected at most the {tokens} of --tokens").into());
    }
    let mut rng = StdRng::seed_from_u64(seed);
    // The state is in f32 whatever the activations are: it is a long sum.
    let layer = Layer::random(&mut rng)?.to(dtype, DType::F32, device)?;
    let prompt = Projection::random(batch, tokens, &mut rng)?.to(dtype, device)?;
    let work = Work::new(layer, prompt, steps)?;
    let exact = work.exact()?;
    let reference = exact.outputs(Way::Composed)?;
    let tolerances = measure::tolerances(&exact, &reference, dtype)?;
    drop(exact);
    println!(
        "Mamba-2, {HEADS} heads of {HEAD_DIM}, state {STATE} in F32, activations in {dtype:?}\n{batch} x {tokens} tokens, {:?}, {} threads\n",
        device.location(),
        utils::get_num_threads(),
    );
    let times = measure::times(&work, runs)?;
    let mut rows = vec![];
    for (way, times) in Way::ALL.into_iter().zip(times) {
        let errors = work.outputs(way)?.errors(&reference)?;
        let peaks = measure::peaks(&work, way)?;
        rows.push(Row {
            way,
            times,
            peaks,
            errors,
        });
    }
    report::print_prompt(&rows, batch * tokens * HEADS);
    println!();
    report::print_steps(&rows);
    println!();
    report::print_legend(&tolerances, runs, steps);
    for row in &rows {
        row.way
            .check("a step size", row.errors.step_size, tolerances.step_size)?;
        row.way.check("an output", row.errors.y, tolerances.y)?;
    }
    Ok(())
}
