//! All 2³² inputs of f32: `cargo test --release --test exhaustive -- --ignored --nocapture`. Some 350 s of
//! processor time on a Zen 3 with AVX2, shared by all cores; several times as much without `--release`.

mod support;

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Instant;
use support::backend::{Function, CPU};
use support::sweep::{patterns, sweep};
use support::table::{conclude, show};

#[test]
#[ignore = "takes minutes"]
fn every_input_of_f32() {
    let (chunks, inputs) = patterns(1);
    let bar = ProgressBar::new(1 << 32);
    let style = ProgressStyle::with_template("{wide_bar} {percent} %, {eta} left").unwrap();
    bar.set_style(style);
    let start = Instant::now();
    let rows = sweep(&CPU, &Function::plain(), chunks, inputs, |n| bar.inc(n));
    bar.finish_and_clear();
    show(&format!("{:.0?}", start.elapsed()));
    conclude("every input of f32", &rows);
}
