//! Measuring: contenders take turns, so that whatever slows the machine for a while slows all of them.

use candle_core::Result;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rounds of a race, and so samples of each contender.
pub const ROUNDS: usize = 11;
/// What a sample lasts at least.
const SAMPLE: f64 = 5e-3;
/// Calls before a sample. As in the loops of the Python peers, where four and more come before, large outputs then get pages
/// that these have freed; those of seconds ago a virtual machine's host has taken back, and the first calls pay for that.
const BEFORE: u64 = 4;
/// A contender whose single call takes longer than this takes part in a quarter of the rounds only: candle's
/// composed ops need seconds where ours needs milliseconds.
const SLOW: f64 = 0.1;

/// Seconds per call.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    pub median: f64,
    pub min: f64,
    pub samples: usize,
}

/// The median of one of several contenders.
pub fn seconds(times: &[(&str, Time)], name: &str) -> Option<f64> {
    let (_, time) = times.iter().find(|(n, _)| *n == name)?;
    Some(time.median)
}

/// Contenders that do the same work; the first is ours.
#[derive(Default)]
pub struct Race {
    contenders: Vec<Contender>,
    round: usize,
}

struct Contender {
    name: &'static str,
    call: Box<dyn FnMut()>,
    /// Seconds, from the warm-up.
    estimate: f64,
    samples: Vec<f64>,
}

impl Race {
    /// Adds a contender and warms it up. The result of `call` is dropped within the measured time.
    pub fn add<R>(&mut self, name: &'static str, mut call: impl FnMut() -> Result<R> + 'static) {
        let mut contender = Contender {
            name,
            call: Box::new(move || drop(black_box(call().expect("what is measured does not fail")))),
            estimate: 0.0,
            samples: Vec::with_capacity(2 * ROUNDS),
        };
        contender.warm_up();
        self.contenders.push(contender);
    }

    /// One sample of every contender in turn; returns what a call of the first took. The first round counts as
    /// warm-up: by then every contender has made its allocations.
    pub fn round(&mut self) -> Duration {
        let round = self.round;
        self.round += 1;
        let mut first = None;
        for contender in &mut self.contenders {
            if contender.estimate > SLOW && round % 4 != 1 {
                continue;
            }
            if contender.estimate <= SLOW {
                contender.batch(BEFORE);
            }
            let seconds = contender.batch(contender.calls());
            first.get_or_insert(seconds);
            if round > 0 {
                contender.samples.push(seconds);
            }
        }
        Duration::from_secs_f64(first.unwrap_or(self.contenders[0].estimate))
    }

    /// All rounds, where no harness asks for them one by one.
    pub fn run(mut self) -> Vec<(&'static str, Time)> {
        for _ in 0..=ROUNDS {
            self.round();
        }
        self.finish()
    }

    /// What each contender took, in the order of adding.
    pub fn finish(self) -> Vec<(&'static str, Time)> {
        self.contenders
            .into_iter()
            .map(|c| (c.name, Time::of(c.samples)))
            .collect()
    }
}

impl Contender {
    fn warm_up(&mut self) {
        // Not the first: it may be the one that gets memory from the machine.
        self.batch(1);
        self.estimate = self.batch(1);
        if self.estimate > SLOW {
            return;
        }
        self.estimate = self.batch(3);
        let mut calls = 1;
        while self.estimate * (calls as f64) < SAMPLE {
            calls *= 2;
            self.estimate = self.batch(calls);
        }
    }

    /// Calls per sample. 1.2: aim beyond the minimum, as the estimate is one.
    fn calls(&self) -> u64 {
        (1.2 * SAMPLE / self.estimate).ceil().max(1.0) as u64
    }

    /// Seconds per call over `calls` calls.
    fn batch(&mut self, calls: u64) -> f64 {
        let start = Instant::now();
        for _ in 0..calls {
            (self.call)();
        }
        start.elapsed().as_secs_f64() / calls as f64
    }
}

impl Time {
    fn of(samples: Vec<f64>) -> Self {
        Self {
            min: samples.iter().copied().fold(f64::NAN, f64::min),
            samples: samples.len(),
            median: median(samples),
        }
    }

    /// Of several races of the same contenders: the median of the medians.
    pub fn of_laps(laps: &[Self]) -> Self {
        Self {
            median: median(laps.iter().map(|lap| lap.median).collect()),
            min: laps.iter().map(|lap| lap.min).fold(f64::NAN, f64::min),
            samples: laps.iter().map(|lap| lap.samples).sum(),
        }
    }
}

/// The upper one of two; NaN of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
