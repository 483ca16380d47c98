//! The tables.

use crate::comparison::Way;
use crate::measure::{Errors, Peaks, Times, Tolerances};
use crate::memory;
use crate::table;

/// What was found out about one way.
pub struct Row {
    pub way: Way,
    pub times: Times,
    /// On the CPU only.
    pub peaks: Option<Peaks>,
    pub errors: Errors,
}

/// The step sizes of a prompt, `numbers` of them, all at once.
pub fn print_prompt(rows: &[Row], numbers: usize) {
    let header = [
        "step sizes of the prompt",
        "ms",
        "Gelem/s",
        "peak",
        "largest error",
        "of a single one",
    ];
    let line = |row: &Row| {
        let ms = row.times.step_sizes;
        [
            row.way.label().into(),
            format!("{ms:.3}"),
            format!("{:.3}", numbers as f64 / ms / 1e6),
            peak(row, |peaks| peaks.step_sizes),
            format!("{:.1e}", row.errors.step_size),
            format!("{:.1e}", row.errors.single_step_size),
        ]
    };
    table::print(header, rows.iter().map(line).collect());
}

pub fn print_steps(rows: &[Row]) {
    let header = ["one step", "ms", "step sizes in it", "peak", "largest error of y"];
    let line = |row: &Row| {
        let Times { step, step_size, .. } = row.times;
        [
            row.way.label().into(),
            format!("{step:.3}"),
            format!("{step_size:.4} = {:.2} %", 100.0 * step_size / step),
            peak(row, |peaks| peaks.step),
            format!("{:.1e}", row.errors.y),
        ]
    };
    table::print(header, rows.iter().map(line).collect());
}

fn peak(row: &Row, of: impl Fn(Peaks) -> usize) -> String {
    row.peaks
        .map_or("CPU only".into(), |peaks| memory::show(of(peaks)))
}

pub fn print_legend(tolerances: &Tolerances, runs: usize, steps: usize) {
    println!(
        "\
step sizes          softplus(dt + dt_bias), one per head and token
candle, composed    addition and softplus as a sequence of candle's ops
candle-mish         candle's addition, this crate's softplus
candle-mish, fused  softplus_bias
ms                  median of {runs}, the three taking turns; of a step from timers, the mean over {steps} steps
peak                the most bytes in use at once, beyond inputs and state, counted by the allocator
largest error       relative to the largest value, from candle's ops in f64 on the CPU; tolerance {:.1e}, for y
                    {:.1e}, see `tolerances` in measure.rs
of a single one     largest error relative to the step size that has it, which for a small one is what 1 + exp loses",
        tolerances.step_size, tolerances.y
    );
}
