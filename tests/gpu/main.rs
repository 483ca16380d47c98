//! The suite on every GPU that this build has a backend for and the machine a device: ignored without one, failing
//! without one under `REQUIRE_GPU=cuda` or `REQUIRE_GPU=metal`. `-- --include-ignored` adds all 2³² inputs of f32 and a
//! tensor of more than 2³² elements.

#[path = "../emulator/checks.rs"]
mod checks;
mod device;
#[path = "../emulator/outcome.rs"]
mod outcome;
#[path = "../support/mod.rs"]
mod support;

use checks::Target;
use libtest_mimic::{Arguments, Failed, Trial};
use outcome::outcome;
use support::backend::Candle;

fn main() {
    let arguments = Arguments::from_args();
    let devices = devices();
    let mut trials = vec![];
    for (kind, opened) in &devices {
        let Ok(device) = opened else { continue };
        for (index, device) in device.iter().enumerate() {
            let double = *kind == "cuda";
            for (name, test) in checks::all(double) {
                let (device, test) = (device.clone(), *test);
                let run = move || {
                    let backend = Candle(device.clone());
                    outcome(|| {
                        test(Target {
                            backend: &backend,
                            double,
                        })
                    })
                };
                trials.push(Trial::test(format!("{kind}:{index}::{name}"), run));
            }
            for ((name, test), large) in device::all() {
                let (device, test) = (device.clone(), *test);
                let run = move || outcome(|| test(&device));
                trials.push(Trial::test(format!("{kind}:{index}::{name}"), run).with_ignored_flag(large));
            }
        }
    }
    let required = std::env::var("REQUIRE_GPU").unwrap_or_default();
    for (kind, opened) in devices {
        let Err(why) = opened else { continue };
        if required == kind {
            let run = move || Err(Failed::from(format!("REQUIRE_GPU={kind}: {why}")));
            trials.push(Trial::test(format!("{kind}::has_a_device"), run));
            continue;
        }
        let names = checks::all(kind == "cuda").map(|(name, _)| name);
        for name in names.chain(device::all().map(|((name, _), _)| name)) {
            // With --include-ignored it runs after all.
            let why = why.clone();
            let run = move || Err(Failed::from(why));
            trials.push(Trial::test(format!("{kind}::{name}"), run).with_ignored_flag(true));
        }
        eprintln!("{kind}: {why}");
    }
    if !["", "cuda", "metal"].contains(&required.as_str()) {
        let message = format!("REQUIRE_GPU is {required:?}, expected cuda or metal");
        trials.push(Trial::test("require_gpu", || Err(Failed::from(message))));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

type Devices = Result<Vec<candle_core::Device>, String>;

/// Every device of either kind, or why there is none.
fn devices() -> [(&'static str, Devices); 2] {
    let all = |built: bool, kind: &str, open: &dyn Fn(usize) -> Option<candle_core::Device>| {
        if !built {
            return Err(format!("this build lacks the feature {kind}"));
        }
        let devices: Vec<_> = (0..16).map_while(open).collect();
        match devices.is_empty() {
            true => Err("no device".to_string()),
            false => Ok(devices),
        }
    };
    // Without a driver or a device, these fail or panic, depending on what is missing.
    let quietly = |open: fn(usize) -> candle_core::Result<candle_core::Device>| {
        move |index| std::panic::catch_unwind(|| open(index).ok()).ok().flatten()
    };
    let cuda = all(
        cfg!(feature = "cuda"),
        "cuda",
        &quietly(candle_core::Device::new_cuda),
    );
    let metal = all(
        candle_core::utils::metal_is_available(),
        "metal",
        &quietly(candle_core::Device::new_metal),
    );
    [("cuda", cuda), ("metal", metal)]
}
