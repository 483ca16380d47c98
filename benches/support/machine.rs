//! What the figures were measured on.

use std::process::Command;

/// CPU, cores, the path that the crate takes, and compiler, in one line.
pub fn describe(threads: usize) -> String {
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    let rustc = output("rustc", &["--version"]).unwrap_or("rustc of unknown version".into());
    format!(
        "{}, {cores} cores ({threads} threads used), {}, {rustc}",
        cpu(),
        candle_mish::internals::cpu_isa()
    )
}

fn cpu() -> String {
    let from_proc = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let value = |key: &str| {
            let line = text
                .lines()
                .find(|line| line.split(':').next().is_some_and(|k| k.trim() == key))?;
            Some(line.split_once(':')?.1.trim().to_string())
        };
        // The model's name alone can be as little as "Intel(R) Xeon(R) Processor".
        let (family, model) = (value("cpu family"), value("model"));
        let detail = family
            .zip(model)
            .map_or(String::new(), |(f, m)| format!(" (family {f}, model {m})"));
        Some(value("model name")? + &detail)
    });
    from_proc
        .or_else(|| output("sysctl", &["-n", "machdep.cpu.brand_string"]))
        .unwrap_or(format!("{} CPU", std::env::consts::ARCH))
}

/// How busy the machine was before: with other work on its cores no figure here is worth much, as a thread that
/// has no core holds up the other ones.
pub fn load() -> Option<String> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    Some(format!("Load average at the start: {}", text.split(' ').next()?))
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_string())
}
