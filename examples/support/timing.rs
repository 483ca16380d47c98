//! Timing, with the progress shown.

use candle_core::Result;
use indicatif::{ProgressBar, ProgressStyle};
use std::borrow::Cow;
use std::time::Duration;

/// Rounds before the first that counts: they pay for thread pools and page faults.
const WARM_UP: usize = 2;

/// What `measure` returns for each contender, in milliseconds, as the median over `rounds`. The contenders take turns,
/// so that a disturbance from outside hits all of them.
pub fn take_turns<C, const N: usize>(
    contenders: &mut [C],
    rounds: usize,
    mut measure: impl FnMut(&mut C) -> Result<[Duration; N]>,
) -> Result<Vec<[f64; N]>> {
    let bar = progress_bar("timing", (WARM_UP + rounds) * contenders.len());
    let mut samples = vec![[const { vec![] }; N]; contenders.len()];
    for round in 0..WARM_UP + rounds {
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            let times = measure(contender)?;
            if round >= WARM_UP {
                for (samples, time) in samples.iter_mut().zip(times) {
                    samples.push(time);
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(samples.into_iter().map(|all| all.map(median)).collect())
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// Shown on a terminal only.
pub fn progress_bar(prefix: impl Into<Cow<'static, str>>, steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:24} [{bar:30}] {pos}/{len}  {msg}  {elapsed}")
        .expect("the template is valid")
        .progress_chars("=> ");
    ProgressBar::new(steps as u64)
        .with_style(style)
        .with_prefix(prefix)
}
