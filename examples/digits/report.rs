//! The table and the picture.

use crate::chart::{self, Chart, Line, BLUE, GREEN, ORANGE, SCALE};
use crate::measure::{Memory, NanGradients, Times, ROUNDS};
use crate::memory;
use crate::network::Activation;
use crate::table;
use crate::train::{Outcome, BATCH};
use candle_core::Result;
use std::ops::RangeInclusive;
use std::path::Path;

/// What was found out about one activation.
pub struct Row {
    pub label: &'static str,
    pub accuracy: f64,
    pub times: Times,
    /// The memory of the step, and what it keeps beyond a network without activations; on the CPU only.
    pub memory: Option<(Memory, usize)>,
    /// The activation's own backward in f32, bf16 and f16.
    pub nan: [NanGradients; 3],
    /// A whole step in f16.
    pub nan_step: NanGradients,
}

pub fn print_training(rows: &[Row], activation_values: usize) {
    let header = [
        "training, f32",
        "test accuracy",
        "ms/step",
        "activations",
        "kept",
        "by activations",
        "peak",
    ];
    let line = |row: &Row| {
        let [kept, by_activations, peak] = match &row.memory {
            Some((memory, activations)) => {
                let per_value = *activations as f64 / activation_values as f64;
                [
                    memory::show(memory.kept),
                    format!("{} = {per_value:.1} B/value", memory::show(*activations)),
                    memory::show(memory.peak),
                ]
            }
            None => std::array::from_fn(|_| "CPU only".into()),
        };
        let [step, activations] = [row.times.step, row.times.activations].map(|ms| format!("{ms:.2}"));
        [
            row.label.into(),
            format!("{:.2} %", 100.0 * row.accuracy),
            step,
            activations,
            kept,
            by_activations,
            peak,
        ]
    };
    table::print(header, rows.iter().map(line).collect());
    println!(
        "
ms/step         forward, backward and AdamW on a batch of {BATCH}, median of {ROUNDS}, the three taking turns
activations     forward and backward of that step's activations alone, {activation_values} values, in ms
kept            bytes the allocator has handed out and not got back after forward: what the graph holds for backward
by activations  how much of it is more than the same network keeps without activations
peak            the most in use at once during forward and backward"
    );
}

pub fn print_nan_gradients(rows: &[Row], inputs: RangeInclusive<f32>) {
    let header = ["NaN gradients", "f32", "bf16", "f16", "whole step in f16"];
    let cell = |nan: NanGradients| {
        if nan.nan == 0 {
            "0".into()
        } else {
            format!("{} of {}", nan.nan, nan.of)
        }
    };
    let line = |row: &Row| {
        let [f32, bf16, f16] = row.nan.map(cell);
        [row.label.into(), f32, bf16, f16, cell(row.nan_step)]
    };
    table::print(header, rows.iter().map(line).collect());
    println!(
        "
The pixels are left at 0 to 16 here, so that the activations see {:.1} to {:.1}. The types: backward of the
activations alone on these inputs; the whole step: the gradients of all parameters.",
        inputs.start(),
        inputs.end()
    );
}

pub fn draw_losses(outcomes: &[Outcome], file: &Path) -> Result<()> {
    let line = |outcome: &Outcome| Line {
        label: outcome.activation.label().into(),
        colour: match outcome.activation {
            Activation::Mish => BLUE,
            Activation::Composed => ORANGE,
            _ => GREEN,
        },
        dashed: outcome.activation == Activation::Composed,
        points: outcome
            .losses
            .iter()
            .enumerate()
            .map(|(epoch, loss)| (epoch as f64 + 1.0, *loss))
            .collect(),
    };
    let lines: Vec<_> = outcomes.iter().map(line).collect();
    let losses = || outcomes.iter().flat_map(|outcome| outcome.losses.iter().copied());
    let lowest = losses().fold(f64::INFINITY, f64::min) * 0.8;
    let highest = losses().fold(0.0, f64::max) * 1.25;
    let epochs = outcomes
        .iter()
        .map(|outcome| outcome.losses.len())
        .max()
        .unwrap_or(1);
    chart::page(file, (760, 480), |canvas| {
        let (top, bottom) = canvas.split_vertically(410 * SCALE);
        let chart = Chart {
            title: "Training loss on 8×8 digits",
            x_label: "epoch",
            y_label: "mean cross entropy",
            x: 1.0..(epochs as f64).max(2.0),
            y: lowest..highest,
            log_y: true,
            lines: &lines,
            bands: &[],
        };
        chart.draw(&top)?;
        chart::legend(&bottom, &lines, (75, 20), 230)?;
        chart::caption(
            &bottom,
            "Same weights at the start, same batches. In f32 the two forms of Mish train alike.",
            (75, 42),
        )
    })
}
