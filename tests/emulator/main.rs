//! The GPU kernels on the host: their source, compiled as C++, run through the plans that the device files launch.
//!
//! What this cannot show: speed, what a vendor's compiler makes of the source, and races between threads, which the
//! kernels have no occasion for, as no two touch the same element.

mod compiler;
mod huge;
mod machine;
#[path = "../support/mod.rs"]
mod support;
mod tests;

use libtest_mimic::{Arguments, Failed, Trial};
use machine::Machine;
use std::panic::{catch_unwind, AssertUnwindSafe};

fn main() {
    let arguments = Arguments::from_args();
    let compiler = compiler::find();
    if compiler.is_none() {
        eprintln!("no C++ compiler was found ($CXX, c++, g++, clang++): the emulator's tests are ignored");
    }
    // Listing and filtered-out runs need no library.
    let library = match (&compiler, arguments.list) {
        (Some(compiler), false) => Some(compiler::build(compiler, "cuda")),
        _ => None,
    };
    let trial = |(name, test): &(&'static str, fn(&Machine))| {
        let (library, test) = (library.clone(), *test);
        let run = move || {
            let library = library.expect("tests are ignored without a compiler")?;
            // Two multiprocessors: loops over a grid repeat from 16 Ki elements on.
            let machine = Machine::new(&library, 2, 0);
            catch_unwind(AssertUnwindSafe(|| test(&machine))).map_err(|panic| {
                let message = panic.downcast_ref::<String>().cloned();
                let message = message.or(panic.downcast_ref::<&str>().map(|s| s.to_string()));
                Failed::from(message.unwrap_or_default())
            })
        };
        Trial::test(*name, run).with_ignored_flag(compiler.is_none())
    };
    let trials = tests::ALL.iter().map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(Ok(library)) = library {
        // Left behind, it would only take space.
        let _ = std::fs::remove_file(library);
    }
    conclusion.exit();
}
