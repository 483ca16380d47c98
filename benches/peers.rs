//! Ours beside candle, PyTorch and JAX in one table, with the bars that this crate holds itself to.
//!
//! ```sh
//! PEERS_PYTHON=python3 cargo bench --bench peers -- --out benches/results/NAME.md
//! ```
//!
//! Options: `--out FILE.md` (also writes `FILE.json`), `--threads N` (2, for everyone), `--quick` (a few cases, to
//! see that it runs). A full run takes about 20 minutes.
//!
//! Sizes come one after the other, and at each size everyone is measured before the next size begins. All of that is done
//! three times, minutes apart; the table has the medians. Peers that cannot be run are left out with a note. The
//! interpreter is `PEERS_PYTHON`, or `python3`.

mod support;

use candle_core::{bail, DType, Error, Result};
use candle_mish::Activation;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;
use support::plan::{self, KI, MI, SIZES};
use support::{bars, bars::Bar, cases::Case, ceiling, machine, memory, python::Peers, report, report::Row};

struct Options {
    out: Option<PathBuf>,
    threads: usize,
    quick: bool,
}

fn main() -> Result<()> {
    let options = options()?;
    memory::fresh_outputs();
    // Read when candle starts its threads, which is later.
    std::env::set_var("CANDLE_NUM_THREADS", options.threads.to_string());
    let start = Instant::now();
    let mut peers = Peers::new(options.threads);
    peers.notes.extend(machine::load());
    let cases = |size| -> Vec<_> {
        plan::cases(size, options.quick)
            .into_iter()
            .map(Row::new)
            .collect()
    };
    let mut sizes: Vec<(usize, Vec<Row>)> = plan::sizes()
        .into_iter()
        .map(|size| (size, cases(size)))
        .collect();
    for lap in 0..if options.quick { 1 } else { LAPS } {
        let ceiling = ceiling::describe(options.threads);
        peers
            .notes
            .extend(ceiling.map(|line| format!("Before round {}: {line}", lap + 1)));
        for (size, rows) in &mut sizes {
            measure(*size, rows, lap, &mut peers)?;
            eprintln!(
                "round {}, {:>4} elements done after {:.0} s",
                lap + 1,
                plan::size_name(*size),
                start.elapsed().as_secs_f64()
            );
        }
    }
    let rows: Vec<_> = sizes.into_iter().flat_map(|(_, rows)| rows).collect();
    let bars = bars::evaluate(&rows);
    let undisturbed = bars::evaluate(&rows.iter().map(Row::undisturbed).collect::<Vec<_>>());
    let machine = machine::describe(options.threads);
    let text = markdown(&machine, &peers, [&bars, &undisturbed], &rows);
    println!("{text}");
    if let Some(out) = options.out {
        let value = json!({
            "machine": machine,
            "notes": peers.notes,
            "bars": bars::json(&bars, &undisturbed),
            "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
        });
        std::fs::write(&out, text)?;
        std::fs::write(out.with_extension("json"), format!("{value:#}\n"))?;
    }
    Ok(())
}

/// How often everyone is measured: a virtual machine that shares its cores is 1.6 times as fast in some minutes as in
/// others.
const LAPS: usize = 3;

/// All cases of one size, by everyone.
fn measure(size: usize, rows: &mut [Row], lap: usize, peers: &mut Peers) -> Result<()> {
    for row in &mut *rows {
        for (name, time) in row.case.race()?.run() {
            row.lap(name, time);
        }
        memory::fresh_outputs();
    }
    if SIZES.contains(&size) {
        // f32 has more ops than the other types where tensors are large.
        for is_f32 in [true, false] {
            let chosen = |case: &Case| (case.dtype == DType::F32) == is_f32;
            peers.measure("torch_cpu.py", &["--peers", "torch-eager"], rows, chosen);
            peers.measure("jax_cpu.py", &[], rows, chosen);
        }
    }
    // Two seconds of compilation each.
    if lap == 0 && [16 * KI, MI].contains(&size) {
        let chosen = |case: &Case| case.activation == Activation::Mish;
        peers.measure("torch_cpu.py", &["--peers", "torch-compile"], rows, chosen);
    }
    Ok(())
}

fn markdown(machine: &str, peers: &Peers, bars: [&[Bar]; 2], rows: &[Row]) -> String {
    let mut text = format!("# CPU\n\n{machine}.\n");
    for note in &peers.notes {
        text += &format!("{note}.\n");
    }
    text += "
Made by `cargo bench --bench peers`. Medians of three rounds of everything; inputs are 3·randn; outputs
are fresh in every call unless it says mapped. Where neighbours share the machine, best samples of everyone tell more.
Throughputs are in 10⁶ elements per second; GB/s counts what one fused kernel reads and writes. The copy is by memcpy,
on as many threads, into mapped memory. What is measured follows four calls of the same that are not. `train` is forward
and backward through candle's autograd.
";
    for (title, table) in [
        ("Bars", bars::markdown(bars)),
        ("Throughput", report::throughput(rows, true)),
        ("Small tensors", report::small(rows)),
    ] {
        text += &format!("\n## {title}\n\n{table}");
    }
    text
}

fn options() -> Result<Options> {
    let mut options = Options {
        out: None,
        threads: 2,
        quick: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || {
            args.next()
                .ok_or_else(|| Error::Msg(format!("{arg} needs a value")))
        };
        match arg.as_str() {
            "--bench" => {} // from cargo
            "--out" => options.out = Some(value()?.into()),
            "--threads" => options.threads = value()?.parse().map_err(Error::wrap)?,
            "--quick" => options.quick = true,
            other => bail!("unknown option {other:?}, expected --out, --threads or --quick"),
        }
    }
    Ok(options)
}
