//! What is measured: one activation, pass, element type and size, and what it runs against.

use super::copy::ParallelCopy;
use super::memory;
use super::plan::SIZES;
use super::race::Race;
use candle_core::{DType, Device, Module, Result, Tensor, Var};
use candle_mish::{Activation, Derivative, Softplus};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::f64::consts::TAU;

/// The names of the contenders.
pub const OURS: &str = "ours";
pub const COMPOSED: &str = "composed";
pub const RELU: &str = "relu";
pub const COPY: &str = "copy";
pub const FRESH: &str = "fresh pages";

/// From this size on, outputs are on pages of their own.
const FRESH_MIN: usize = 16 << 20;

/// Up to this size every case also runs candle's composed op, beyond only Mish in f32, which takes seconds a call.
const COMPOSED_MAX: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pass {
    /// x ↦ f(x).
    Forward,
    /// (x, g) ↦ g·f′(x), the kernel alone.
    Backward,
    /// (x, g) ↦ g·f″(x), the same.
    Second,
    /// Forward and backward through candle's autograd, from a gradient of ones. Both sides pay for candle's own
    /// part: making the ones, and filling a gradient with zeros and adding to it, once per tensor.
    Train,
}

impl Pass {
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Second => "second derivative",
            Self::Train => "train",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    pub activation: Activation,
    pub pass: Pass,
    pub dtype: DType,
    pub elements: usize,
    /// Whether outputs go to memory that is already mapped.
    pub mapped: bool,
}

impl Case {
    /// The activation, with its parameters where they are not the default.
    pub fn op(&self) -> String {
        match self.activation {
            Activation::Softplus(s) if s != Softplus::default() => {
                format!("softplus({}, {})", s.beta(), s.threshold())
            }
            other => other.to_string(),
        }
    }

    /// The bytes that one fused kernel has to read and write: 2n forward, 3n backward.
    pub fn bytes(&self) -> Option<usize> {
        let tensors = match self.pass {
            Pass::Forward => 2,
            Pass::Backward | Pass::Second => 3,
            Pass::Train => return None,
        };
        Some(tensors * self.elements * self.dtype.size_in_bytes())
    }

    /// The contenders, warmed up. Leaves `memory::fresh_outputs` to be called after the race.
    pub fn race(&self) -> Result<Race> {
        let Self {
            activation,
            dtype,
            elements,
            ..
        } = *self;
        let x = normal(elements, dtype, 1)?;
        if self.mapped {
            memory::mapped_outputs();
        }
        let composed = composed(&activation);
        // Between the sizes of the throughput cases only the cost of a call counts, against relu.
        let is_main = SIZES.contains(&elements);
        let is_mish_f32 = activation == Activation::Mish && dtype == DType::F32;
        let run_composed = is_main
            && Activation::ALL.contains(&activation)
            && !self.mapped
            && (elements <= COMPOSED_MAX || is_mish_f32);
        let mut race = Race::default();
        match self.pass {
            Pass::Forward => {
                let input = x.clone();
                race.add(OURS, move || activation.forward(&input));
                if run_composed {
                    let input = x.clone();
                    race.add(COMPOSED, move || composed(&input));
                }
            }
            Pass::Backward | Pass::Second => {
                let (x, g) = (x.clone(), normal(elements, dtype, 2)?);
                let order = if self.pass == Pass::Second { 2 } else { 1 };
                let op = Derivative::new(activation, order)?;
                race.add(OURS, move || x.apply_op2(&g, op));
            }
            Pass::Train => {
                let input = Var::from_tensor(&x)?;
                race.add(OURS, move || activation.forward(&input)?.backward());
                if run_composed {
                    let input = Var::from_tensor(&x)?;
                    race.add(COMPOSED, move || composed(&input)?.backward());
                }
                return Ok(race);
            }
        }
        if !self.mapped {
            race.add(RELU, move || x.relu());
            if elements >= FRESH_MIN {
                let bytes = elements * dtype.size_in_bytes();
                race.add(FRESH, move || Ok(memory::fresh_pages(bytes)));
            }
        }
        if let Some(bytes) = self.bytes().filter(|_| is_main) {
            let mut copy = ParallelCopy::moving(bytes);
            race.add(COPY, move || copy.run());
        }
        Ok(race)
    }
}

/// The op as candle's users write it without this crate.
fn composed(activation: &Activation) -> fn(&Tensor) -> Result<Tensor> {
    match activation {
        Activation::Mish => candle_nn::ops::mish,
        Activation::Softplus(_) => |x| (x.exp()? + 1.)?.log(),
        Activation::TanhSoftplus => |x| (x.exp()? + 1.)?.log()?.tanh(),
    }
}

/// 3·randn, the same in every run: up to 64 Ki values by Box and Muller, repeated.
pub fn normal(elements: usize, dtype: DType, seed: u64) -> Result<Tensor> {
    const PERIOD: usize = 1 << 16;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut uniform = || rng.random::<f64>();
    let values: Vec<f64> = (0..elements.min(PERIOD))
        .map(|_| 3.0 * (-2.0 * (1.0 - uniform()).ln()).sqrt() * (TAU * uniform()).cos())
        .collect();
    let period = Tensor::new(values, &Device::Cpu)?.to_dtype(dtype)?;
    period
        .repeat(elements.div_ceil(PERIOD))?
        .narrow(0, 0, elements)?
        .contiguous()
}
