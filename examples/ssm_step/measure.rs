//! What the three ways cost, and how far their results are from the true ones.

use crate::comparison::Way;
use crate::memory;
use crate::model::{Layer, Projection, STATE};
use crate::precision::{largest, relative_to_largest, rounding, values};
use crate::timing::take_turns;
use candle_core::{DType, Device, Result, Tensor};
use std::time::{Duration, Instant};

/// softplus(dt + dt_bias) of a whole prompt is over in microseconds: a sample is this many of them.
const CALLS: u32 = 20;

/// What is run: tokens all at once, and then the first of them one by one.
pub struct Work {
    pub layer: Layer,
    pub prompt: Projection,
    pub tokens: Vec<Projection>,
}

impl Work {
    pub fn new(layer: Layer, prompt: Projection, steps: usize) -> Result<Self> {
        let tokens = (0..steps).map(|i| prompt.token(i)).collect::<Result<_>>()?;
        Ok(Self {
            layer,
            prompt,
            tokens,
        })
    }

    /// The same in f64 on the CPU.
    pub fn exact(&self) -> Result<Self> {
        let layer = self.layer.to(DType::F64, DType::F64, &Device::Cpu)?;
        let prompt = self.prompt.to(DType::F64, &Device::Cpu)?;
        Self::new(layer, prompt, self.tokens.len())
    }

    pub fn outputs(&self, way: Way) -> Result<Outputs> {
        self.outputs_with(|dt| self.layer.step_size(way, dt))
    }

    fn outputs_with(&self, step_size: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Outputs> {
        let mut state = self.layer.empty_state(&self.prompt)?;
        let mut ys = vec![];
        for token in &self.tokens {
            let (y, next) = self.layer.advance(&state, &step_size(&token.dt()?)?, token)?;
            ys.push(y);
            state = next;
        }
        Ok(Outputs {
            step_sizes: step_size(&self.prompt.dt()?)?,
            ys: Tensor::stack(&ys, 0)?,
        })
    }
}

pub struct Outputs {
    step_sizes: Tensor,
    ys: Tensor,
}

#[derive(Clone, Copy, Debug)]
pub struct Errors {
    /// Relative to the largest step size.
    pub step_size: f64,
    /// Relative to the very step size that is off.
    pub single_step_size: f64,
    /// Relative to the largest y.
    pub y: f64,
}

impl Outputs {
    pub fn errors(&self, exact: &Self) -> Result<Errors> {
        let pairs = values(&self.step_sizes)?
            .into_iter()
            .zip(values(&exact.step_sizes)?);
        Ok(Errors {
            step_size: relative_to_largest(&self.step_sizes, &exact.step_sizes)?,
            single_step_size: largest(pairs.map(|(ours, exact)| (ours - exact) / exact)),
            y: relative_to_largest(&self.ys, &exact.ys)?,
        })
    }
}

/// The most that right outputs may be off, relative to the largest ones.
#[derive(Clone, Copy, Debug)]
pub struct Tolerances {
    pub step_size: f64,
    pub y: f64,
}

/// With u the rounding to `dtype`, v = dt + dt_bias and s = softplus(v): rounding v and exp(v) changes s by at most
/// (|v| + 2)·u·σ(v), rounding 1 + exp(v) in candle's ops by u, rounding the result by less than 3·u·s. What step sizes
/// that are all off by that do to y is found out by trying; roundings in the sums over state and tokens come on top,
/// and the one of y.
pub fn tolerances(work: &Work, outputs: &Outputs, dtype: DType) -> Result<Tolerances> {
    let u = rounding(dtype);
    let off = |s: &f64| {
        let v = s.exp_m1().ln();
        u * (1.0 + (v.abs() + 2.0) * (1.0 - (-s).exp()) + 3.0 * s)
    };
    let off = largest(values(&outputs.step_sizes)?.iter().map(off));
    let shifted = work.outputs_with(|dt| work.layer.step_size(Way::Composed, dt)? + off)?;
    let errors = shifted.errors(outputs)?;
    let in_sums = ((STATE + work.tokens.len()) as f64).sqrt() * rounding(DType::F32);
    Ok(Tolerances {
        step_size: errors.step_size,
        y: errors.y + in_sums + u,
    })
}

/// The most bytes in use at once, beyond the inputs and the state before. On the CPU only.
#[derive(Clone, Copy, Debug)]
pub struct Peaks {
    pub step_sizes: usize,
    pub step: usize,
}

pub fn peaks(work: &Work, way: Way) -> Result<Option<Peaks>> {
    let (layer, token) = (&work.layer, &work.tokens[0]);
    let state = layer.empty_state(&work.prompt)?;
    if !state.device().is_cpu() {
        return Ok(None);
    }
    Ok(Some(Peaks {
        step_sizes: memory::peak_during(|| layer.step_size(way, &work.prompt.dt()?))?,
        step: memory::peak_during(|| layer.advance(&state, &layer.step_size(way, &token.dt()?)?, token))?,
    }))
}

/// In milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// softplus(dt + dt_bias) of the prompt.
    pub step_sizes: f64,
    /// One step of the recurrence.
    pub step: f64,
    /// The softplus(dt + dt_bias) of that.
    pub step_size: f64,
}

/// With timers around the step size; a GPU finishes what it was given before each reading.
pub fn times(work: &Work, runs: usize) -> Result<Vec<Times>> {
    let empty = work.layer.empty_state(&work.prompt)?;
    let now = || empty.device().synchronize().map(|()| Instant::now());
    let medians = take_turns(&mut Way::ALL.clone(), runs, |&mut way| {
        let start = now()?;
        for _ in 0..CALLS {
            work.layer.step_size(way, &work.prompt.dt()?)?;
        }
        let step_sizes = (now()? - start) / CALLS;
        let [mut step, mut step_size] = [Duration::ZERO; 2];
        let mut state = empty.clone();
        for token in &work.tokens {
            let start = now()?;
            let size = work.layer.step_size(way, &token.dt()?)?;
            step_size += now()? - start;
            (_, state) = work.layer.advance(&state, &size, token)?;
            step += now()? - start;
        }
        let per_token = |sum: Duration| sum / work.tokens.len() as u32;
        Ok([step_sizes, per_token(step), per_token(step_size)])
    })?;
    let times = |[step_sizes, step, step_size]: [f64; 3]| Times {
        step_sizes,
        step,
        step_size,
    };
    Ok(medians.into_iter().map(times).collect())
}
