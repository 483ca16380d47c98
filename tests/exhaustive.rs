//! All 2³² inputs of f32: `cargo test --release --test exhaustive -- --ignored --nocapture`. Some 200 s of
//! processor time on a Zen 3 with AVX2, shared by all cores; several times as much without `--release`.

mod support;

use support::backend::CPU;
use support::sweep::{every_input, CHUNK};

#[test]
#[ignore = "takes minutes"]
fn every_input_of_f32() {
    every_input(&CPU, CHUNK);
}
