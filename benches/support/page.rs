//! A bench as a page in Markdown, which is printed, and written to where `--out` says.

use super::machine;
use candle_core::utils::barrier_pool;
use candle_core::Result;
use std::env::args;

/// Whether there is something to measure: not from `cargo test --benches`.
pub fn is_wanted() -> bool {
    args().any(|a| a == "--bench")
}

/// Title and machine.
pub fn begin(title: &str) -> String {
    let threads = barrier_pool().n_workers() + 1;
    let load = machine::load().map_or(String::new(), |load| load + ".\n");
    format!("# {title}\n\n{}.\n{load}", machine::describe(threads))
}

pub fn publish(text: &str) -> Result<()> {
    println!("{text}");
    if let Some(out) = args().skip_while(|a| a != "--out").nth(1) {
        std::fs::write(out, text)?;
    }
    Ok(())
}
