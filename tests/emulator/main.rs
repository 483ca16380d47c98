//! The GPU kernels on the host: their source, compiled as C++, run through the plans that the device files launch.
//!
//! What this cannot show: speed, what a vendor's compiler makes of the source, and races between threads, which the
//! kernels have no occasion for, as no two touch the same element.

mod affine;
mod checks;
mod compiler;
mod gpu;
mod huge;
mod inplace;
mod machine;
mod memory;
mod metal;
mod outcome;
#[path = "../support/mod.rs"]
mod support;
mod tests;

use candle_mish::internals::MetalLibrary as Source;
use compiler::Kernels;
use gpu::Gpu;
use libtest_mimic::{Arguments, Failed, Trial};
use machine::Machine;
use outcome::outcome;
use std::sync::Arc;

fn main() {
    let arguments = Arguments::from_args();
    let of_gpu = |gpu| [Source::Activations, Source::Affine].map(|source| Arc::new(Kernels::of(gpu, source)));
    let kernels = Gpu::ALL.map(of_gpu).concat();
    if !kernels[0].has_compiler() {
        eprintln!("no C++ compiler was found ($CXX, c++, g++, clang++): the emulator's tests are ignored");
    }
    let trials = kernels.iter().flat_map(trials).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    kernels.iter().for_each(|kernels| kernels.clean_up());
    conclusion.exit();
}

type Run = Box<dyn FnOnce(&Arc<Kernels>) -> Result<(), Failed> + Send>;

fn trials(kernels: &Arc<Kernels>) -> Vec<Trial> {
    let trial = |name: &str, run: Run| {
        let (name, kernels) = (format!("{}::{name}", kernels.gpu.name()), kernels.clone());
        let ignored = !kernels.has_compiler();
        Trial::test(name, move || run(&kernels)).with_ignored_flag(ignored)
    };
    // Two multiprocessors: loops over a grid repeat from 16 Ki elements on.
    let machine = |kernels: &Arc<Kernels>| Ok::<_, Failed>(Machine::new(kernels, 2)?);
    let on_machine = |name: &str, test: fn(&Machine)| {
        trial(
            name,
            Box::new(move |kernels| machine(kernels).and_then(|m| outcome(|| test(&m)))),
        )
    };
    let shared = |(name, test): &checks::Test| {
        let test = *test;
        let run = move |kernels: &Arc<Kernels>| {
            let machine = machine(kernels)?;
            let double = kernels.gpu.double();
            outcome(|| {
                test(checks::Target {
                    backend: &machine,
                    double,
                })
            })
        };
        trial(name, Box::new(run))
    };
    if kernels.source == Source::Affine {
        let mut trials: Vec<_> = affine::ALL
            .iter()
            .map(|(name, test)| on_machine(name, *test))
            .collect();
        if kernels.gpu == Gpu::Metal {
            let flushing = on_machine(
                "affine_where_subnormal_floats_are_flushed",
                metal::affine_flushing,
            );
            trials.extend([
                on_machine(
                    "affine_buffers_are_bound_where_the_source_has_them",
                    metal::affine_buffers,
                ),
                flushing.with_ignored_flag(!kernels.has_compiler() || !metal::CAN_FLUSH),
            ]);
        }
        return trials;
    }
    let mut trials: Vec<_> = checks::all(kernels.gpu.double()).map(shared).collect();
    trials.extend(tests::ALL.iter().map(|(name, test)| on_machine(name, *test)));
    if kernels.gpu == Gpu::Metal {
        let flushing = on_machine("where_subnormal_floats_are_flushed", metal::flushing);
        let spaces = trial(
            "address_spaces_do_not_mix",
            Box::new(|kernels| outcome(|| metal::address_spaces(kernels))),
        );
        trials.extend([
            on_machine("buffers_are_bound_where_the_source_has_them", metal::buffers),
            trial(
                "the_encoder_is_told_inputs_from_outputs",
                Box::new(|_| outcome(metal::encoder)),
            ),
            flushing.with_ignored_flag(!kernels.has_compiler() || !metal::CAN_FLUSH),
            spaces.with_ignored_flag(!kernels.has_address_spaces()),
        ]);
    }
    trials
}
