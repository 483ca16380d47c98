//! Settings that a process reads once: a test runs itself again in processes of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where a worker puts its result.
const RESULT: &str = "CANDLE_MISH_TEST_RESULT";

/// Runs `work` in one process per element of `settings`, which are environment variables, and returns what each
/// came to. `test` is the name of the calling test; in the worker processes this function does the work, stores it
/// and returns `None`, and the test is to end there.
pub fn in_processes(
    test: &str,
    settings: &[Vec<(&str, &str)>],
    work: impl Fn() -> Vec<u8>,
) -> Option<Vec<Vec<u8>>> {
    if let Some(path) = std::env::var_os(RESULT) {
        std::fs::write(path, work()).unwrap();
        return None;
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let run = |(i, setting): (usize, &Vec<(&str, &str)>)| {
        let path = folder.join(format!("{test}-{}-{i}", std::process::id()));
        let status = this_program()
            .args(["--exact", test, "--nocapture", "--include-ignored", "-q"])
            .env(RESULT, &path)
            .envs(setting.iter().copied())
            .stdout(Stdio::null()) // the worker's own count of its one test
            .status()
            .unwrap();
        if !status.success() {
            return Err(format!("{setting:?}: {status}"));
        }
        let result = std::fs::read(&path).expect("the worker ran the test that was named");
        std::fs::remove_file(&path).unwrap();
        Ok(result)
    };
    // All of them run, also after one has failed.
    let results: Vec<_> = settings.iter().enumerate().map(run).collect();
    let failed: Vec<_> = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    Some(results.into_iter().flatten().collect())
}

/// The paths that this processor has, by the names that `CANDLE_MISH_ISA` takes.
pub fn instruction_sets() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        [
            ("baseline", true),
            ("avx2", avx2),
            ("avx512", avx512),
            ("avx512-halves", avx512),
        ]
        .into_iter()
        .filter_map(|(name, has)| has.then_some(name))
        .collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    vec!["baseline", ""]
}

/// This executable, started as cargo has started it: by an emulator or by valgrind where cargo's variable
/// `CARGO_TARGET_<TRIPLE>_RUNNER` names one.
fn this_program() -> Command {
    let executable = std::env::current_exe().unwrap();
    let prefix = format!("CARGO_TARGET_{}_", std::env::consts::ARCH.to_uppercase());
    let runner = std::env::vars().find(|(name, _)| name.starts_with(&prefix) && name.ends_with("_RUNNER"));
    let words = runner.as_ref().map_or("", |(_, words)| words);
    let mut words = words.split_whitespace();
    let Some(program) = words.next() else {
        return Command::new(executable);
    };
    let mut command = Command::new(program);
    command.args(words).arg(executable);
    command
}

/// As [`in_processes`], a process for each of [`instruction_sets`].
pub fn on_instruction_sets(test: &str, work: impl Fn() -> Vec<u8>) -> Option<Vec<Vec<u8>>> {
    let settings: Vec<_> = instruction_sets()
        .into_iter()
        .map(|isa| vec![("CANDLE_MISH_ISA", isa)])
        .collect();
    in_processes(test, &settings, work)
}

/// FNV-1a.
pub fn checksum(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte| (hash ^ byte as u64).wrapping_mul(0x100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}
