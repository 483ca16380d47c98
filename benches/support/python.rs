//! The peers in Python: runs the scripts of `benches/peers` and reads what they print.

use super::cases::{Case, Pass};
use super::race::Time;
use super::report::Row;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

pub struct Peers {
    interpreter: String,
    threads: usize,
    /// Versions, and one line for each peer that is absent.
    pub notes: BTreeSet<String>,
    /// Scripts that failed and are not tried again.
    absent: Vec<&'static str>,
}

impl Peers {
    /// Peers run by `PEERS_PYTHON`, or `python3`.
    pub fn new(threads: usize) -> Self {
        let interpreter = std::env::var("PEERS_PYTHON").unwrap_or("python3".into());
        Self {
            interpreter,
            threads,
            notes: BTreeSet::new(),
            absent: vec![],
        }
    }

    /// Adds to those of `rows`, all of one size, that `chosen` names, what the script measures for them.
    pub fn measure(
        &mut self,
        script: &'static str,
        extra: &[&str],
        rows: &mut [Row],
        chosen: impl Fn(&Case) -> bool,
    ) {
        let cases: Vec<_> = rows
            .iter()
            .map(|row| row.case)
            .filter(|case| case.pass != Pass::Train && chosen(case))
            .collect();
        if cases.is_empty() || self.absent.contains(&script) {
            return;
        }
        let distinct = |of: fn(&Case) -> &'static str| {
            let names: BTreeSet<_> = cases.iter().map(of).collect();
            names.into_iter().collect::<Vec<_>>().join(",")
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("benches/peers")
            .join(script);
        let run = Command::new(&self.interpreter)
            .arg(path)
            .args(["--json", "--threads", &self.threads.to_string()])
            .args(["--sizes", &cases[0].elements.to_string()])
            .args(["--ops", &distinct(|case| case.activation.name())])
            .args(["--dtypes", &distinct(|case| case.dtype.as_str())])
            .args(["--passes", &distinct(|case| case.pass.name())])
            .args(extra)
            .output();
        let output = match run {
            Ok(output) => output,
            Err(error) => return self.give_up(script, &error.to_string()),
        };
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return self.give_up(script, errors.trim().lines().last().unwrap_or("no reason given"));
        }
        self.notes.extend(
            errors
                .lines()
                .filter(|l| l.contains("threads") || l.contains("skipped"))
                .map(String::from),
        );
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            add(line, rows);
        }
    }

    fn give_up(&mut self, script: &'static str, reason: &str) {
        self.absent.push(script);
        self.notes.insert(format!("{script} not run: {reason}"));
    }
}

/// Puts one line of output into the row that it belongs to.
fn add(line: &str, rows: &mut [Row]) {
    let Ok(found) = serde_json::from_str::<Value>(line) else {
        return;
    };
    let row = rows.iter_mut().find(|row| {
        found["op"] == row.case.activation.name()
            && found["pass"] == row.case.pass.name()
            && found["dtype"] == row.case.dtype.as_str()
            && found["elements"] == row.case.elements
            && !row.case.mapped
    });
    let seconds = |speed: &str| Some(found["elements"].as_f64()? / found[speed].as_f64()? / 1e6);
    if let (Some(row), Some(peer), Some(median), Some(min), Some(samples)) = (
        row,
        found["peer"].as_str(),
        seconds("melem_s"),
        seconds("best_melem_s"),
        found["samples"].as_u64(),
    ) {
        let samples = samples as usize;
        row.lap(peer, Time { median, min, samples });
    }
}
