//! What it costs where an output lies: throughput by the distance from the inputs to the output, modulo 4 KiB.
//!
//! ```sh
//! CANDLE_NUM_THREADS=1 taskset -c 0 cargo bench --bench placement
//! ```
//!
//! x is a view that begins such that the output, which comes from where `malloc` has it, is at the distance that is wanted.
//! g begins 16 bytes nearer to it. `docs/memory-notes.md` has what this is about, in the section on outputs that trail their inputs.

mod support;

use candle_core::{bail, CpuStorage, DType, Module, Result, Storage, Tensor};
use candle_mish::{Activation, Derivative};
use std::time::Instant;
use support::cases::normal;
use support::{machine, memory};

const PAGE: usize = 4096;
const ELEMENTS: usize = 1 << 17;
/// Bytes from the first of x to the first of the output.
const DISTANCES: [isize; 10] = [-16, 0, 16, 32, 48, 64, 80, 96, 112, 128];
const ROUNDS: usize = 30;
const CALLS: usize = 16;

fn main() -> Result<()> {
    memory::fresh_outputs();
    let threads = candle_core::utils::barrier_pool().n_workers() + 1;
    println!("{}\n", machine::describe(threads));
    println!("10⁶ elements per second, best samples, of 128 Ki elements; by the distance from x to the output in bytes.\n");
    println!(
        "| op | pass | dtype | {} |",
        DISTANCES.map(|d| d.to_string()).join(" | ")
    );
    println!("| --- | --- | --- | {} |", DISTANCES.map(|_| "---:").join(" | "));
    for activation in [Activation::Mish, Activation::ALL[1]] {
        for order in [0, 1] {
            for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
                let best = measure(activation, order, dtype)?;
                let pass = if order == 0 { "forward" } else { "backward" };
                let throughputs = best.map(|seconds| format!("{:.0}", ELEMENTS as f64 / seconds / 1e6));
                println!(
                    "| {activation} | {pass} | {} | {} |",
                    dtype.as_str(),
                    throughputs.join(" | ")
                );
            }
        }
    }
    Ok(())
}

/// Seconds a call, by distance.
fn measure(activation: Activation, order: usize, dtype: DType) -> Result<[f64; DISTANCES.len()]> {
    let with_room = ELEMENTS + PAGE / dtype.size_in_bytes();
    let (x, g) = (normal(with_room, dtype, 1)?, normal(with_room, dtype, 2)?);
    let run = |x: &Tensor, g: &Tensor| match order {
        0 => activation.forward(x),
        _ => x.apply_op2_no_bwd(g, &Derivative::new(activation, order)?),
    };
    let mut best = [f64::INFINITY; DISTANCES.len()];
    for _ in 0..ROUNDS {
        for (distance, best) in DISTANCES.into_iter().zip(&mut best) {
            let mut out = 0;
            let mut views = [x.narrow(0, 0, ELEMENTS)?, g.narrow(0, 0, ELEMENTS)?];
            // The next output comes to lie where the last one was.
            for _ in 0..8 {
                out = address(&run(&views[0], &views[1])?)?;
                views = [view(&x, out - distance)?, view(&g, out - distance + 16)?];
            }
            let start = Instant::now();
            for _ in 0..CALLS {
                run(&views[0], &views[1])?;
            }
            let seconds = start.elapsed().as_secs_f64() / CALLS as f64;
            if address(&run(&views[0], &views[1])?)? == out {
                *best = best.min(seconds);
            }
        }
    }
    if best.contains(&f64::INFINITY) {
        bail!("no output of {activation} came to lie at every distance")
    }
    Ok(best)
}

/// [`ELEMENTS`] from the first on that is at an address, but for a multiple of 4 KiB.
fn view(of: &Tensor, at: isize) -> Result<Tensor> {
    let bytes = (at - address(of)?).rem_euclid(PAGE as isize) as usize;
    of.narrow(0, bytes / of.dtype().size_in_bytes(), ELEMENTS)
}

/// Of the first element.
fn address(tensor: &Tensor) -> Result<isize> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        bail!("not on the CPU")
    };
    let first = match storage {
        CpuStorage::F32(values) => values.as_ptr().addr(),
        CpuStorage::F64(values) => values.as_ptr().addr(),
        CpuStorage::F16(values) => values.as_ptr().addr(),
        CpuStorage::BF16(values) => values.as_ptr().addr(),
        _ => bail!("{:?} is not measured", tensor.dtype()),
    };
    Ok((first + layout.start_offset() * tensor.dtype().size_in_bytes()) as isize)
}
