//! The tables.

use crate::backbone::Output;
use crate::comparison::Way;
use crate::measure::Times;
use crate::memory;
use crate::table;

/// What was found out about one way.
pub struct Row {
    pub way: Way,
    /// Of a forward pass.
    pub times: Times,
    /// In bytes; on the CPU only.
    pub peak: Option<usize>,
    /// Of each output.
    pub errors: Vec<f64>,
}

pub fn print_costs(rows: &[Row], batch: usize, runs: usize) {
    let header = ["per image", "ms", "batch norm", "Mish", "both", "peak"];
    let line = |row: &Row| {
        let Times {
            whole,
            norm,
            activation,
        } = row.times;
        let part = |ms: f64| format!("{:.2} = {:4.1} %", ms / batch as f64, 100.0 * ms / whole);
        [
            row.way.label().into(),
            format!("{:.2}", whole / batch as f64),
            match row.way {
                Way::Fused => "in Mish".into(),
                _ => part(norm),
            },
            part(activation),
            format!("{:.1} %", 100.0 * (norm + activation) / whole),
            row.peak.map_or("CPU only".into(), memory::show),
        ]
    };
    table::print(header, rows.iter().map(line).collect());
    println!(
        "
candle, composed    batch norm and Mish as sequences of candle's ops
candle-mish         candle's batch norm, this crate's mish
candle-mish, fused  batch norm folded into the scale and shift of mish_affine
ms                  median of {runs} forward passes of a batch of {batch}, the three taking turns
batch norm, Mish    ms and share of the pass, from timers around each of them
peak                the most bytes in use at once during a pass, beyond weights and images, counted by the allocator"
    );
}

pub fn print_errors(rows: &[Row], reference: &[Output], tolerance: f64) {
    let mut header = ["largest error"; 1 + Way::ALL.len()];
    for (cell, row) in header[1..].iter_mut().zip(rows) {
        *cell = row.way.label();
    }
    let line = |(i, output): (usize, &Output)| {
        let sizes: Vec<String> = output.features.dims()[1..].iter().map(usize::to_string).collect();
        let mut cells = [const { String::new() }; 1 + Way::ALL.len()];
        cells[0] = format!("layer {}: {}", output.layer, sizes.join(" x "));
        for (cell, row) in cells[1..].iter_mut().zip(rows) {
            *cell = format!("{:.1e}", row.errors[i]);
        }
        cells
    };
    table::print(header, reference.iter().enumerate().map(line).collect());
    println!(
        "
Relative to the largest value of that output, which comes from the same weights and images in f64, by candle's ops on
the CPU. Tolerance: {tolerance:.1e}, see `tolerance` in measure.rs."
    );
}
