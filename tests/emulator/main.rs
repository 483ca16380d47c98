//! The GPU kernels on the host: their source, compiled as C++, run through the plans that the device files launch.
//!
//! What this cannot show: speed, what a vendor's compiler makes of the source, and races between threads, which the
//! kernels have no occasion for, as no two touch the same element.

mod checks;
mod compiler;
mod huge;
mod machine;
mod outcome;
#[path = "../support/mod.rs"]
mod support;
mod tests;

use libtest_mimic::{Arguments, Trial};
use machine::Machine;
use outcome::outcome;

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
    let ignored = compiler.is_none();
    let trial = |name: &str, test: Box<dyn Fn(&Machine) + Send>| {
        let library = library.clone();
        let run = move || {
            let library = library.expect("tests are ignored without a compiler")?;
            // Two multiprocessors: loops over a grid repeat from 16 Ki elements on.
            let machine = Machine::new(&library, 2, 0);
            outcome(|| test(&machine))
        };
        Trial::test(format!("cuda::{name}"), run).with_ignored_flag(ignored)
    };
    let own = tests::ALL.iter().map(|(name, test)| trial(name, Box::new(test)));
    let shared = checks::ALL.iter().map(|(name, test)| {
        let test = move |machine: &Machine| {
            test(checks::Target {
                backend: machine,
                double: true,
            })
        };
        trial(name, Box::new(test))
    });
    let trials = own.chain(shared).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(Ok(library)) = library {
        // Left behind, it would only take space.
        let _ = std::fs::remove_file(library);
    }
    conclusion.exit();
}
