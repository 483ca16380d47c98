//! What an activation costs: time and memory of a training step, and NaN gradients.

use crate::data::Images;
use crate::memory;
use crate::network::{Activation, Parameters};
use crate::timing::take_turns;
use crate::train::{optimizer, step, BATCH};
use candle_core::{DType, Module, Result, Tensor, Var};
use candle_nn::loss;
use std::time::Instant;

/// Bytes of one training step.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// In use after forward, while the loss is alive: what the graph keeps for backward.
    pub kept: usize,
    /// The most in use at once during forward and backward.
    pub peak: usize,
}

/// Gradient entries that are NaN.
#[derive(Clone, Copy, Debug)]
pub struct NanGradients {
    pub nan: usize,
    pub of: usize,
}

impl NanGradients {
    fn count(grad: &Tensor) -> Result<Self> {
        let grad = grad.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(Self {
            nan: grad.iter().filter(|g| g.is_nan()).count(),
            of: grad.len(),
        })
    }

    fn add(&mut self, other: Self) {
        self.nan += other.nan;
        self.of += other.of;
    }
}

/// The number of values that go through an activation in one step.
pub fn activation_values(images: &Images) -> Result<usize> {
    let parameters = Parameters::new(0, images.pixels.device())?;
    let pixels = images.pixels.narrow(0, 0, BATCH)?;
    Ok(parameters
        .activation_inputs(Activation::Relu, &pixels)?
        .iter()
        .map(Tensor::elem_count)
        .sum())
}

/// Counted by the allocator of this program.
pub fn memory(activation: Activation, images: &Images) -> Result<Memory> {
    let batch = first_batch(images)?;
    let parameters = Parameters::new(0, images.pixels.device())?;
    let network = parameters.network(activation);
    let run = || {
        let before = memory::live();
        let mut kept = 0;
        let peak = memory::peak_during(|| {
            let loss = loss::cross_entropy(&network.forward(&batch.pixels)?, &batch.labels)?;
            kept = memory::live() - before;
            loss.backward()
        })?;
        Ok(Memory { kept, peak })
    };
    // The first run also pays for thread pools and tables.
    run()?;
    run()
}

/// The median times in milliseconds of a whole training step, and of forward and backward of its activations alone.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub step: f64,
    pub activations: f64,
}

/// How often each thing is timed.
pub const ROUNDS: usize = 41;

/// The activations take turns.
pub fn times(activations: &[Activation], images: &Images) -> Result<Vec<Times>> {
    let batch = first_batch(images)?;
    let device = batch.pixels.device();
    let mut runs = vec![];
    for &activation in activations {
        let parameters = Parameters::new(0, device)?;
        let inputs = parameters.activation_inputs(activation, &batch.pixels)?;
        let inputs = inputs.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
        let network = parameters.network(activation);
        runs.push((activation, network, optimizer(&parameters)?, inputs));
    }
    let medians = take_turns(&mut runs, ROUNDS, |(activation, network, optimizer, inputs)| {
        let start = Instant::now();
        step(network, optimizer, &batch)?;
        device.synchronize()?;
        let whole = start.elapsed();
        let start = Instant::now();
        for input in inputs {
            activation.apply(input)?.backward()?;
        }
        device.synchronize()?;
        Ok([whole, start.elapsed()])
    })?;
    let times = |[step, activations]: [f64; 2]| Times { step, activations };
    Ok(medians.into_iter().map(times).collect())
}

/// The activation's own backward on these inputs, in this type.
pub fn nan_in_activation(activation: Activation, inputs: &[Tensor], dtype: DType) -> Result<NanGradients> {
    let mut total = NanGradients { nan: 0, of: 0 };
    for input in inputs {
        let xs = Var::from_tensor(&input.to_dtype(dtype)?)?;
        let grads = activation.apply(&xs)?.backward()?;
        total.add(NanGradients::count(grads.get(&xs).expect("xs is a variable"))?);
    }
    Ok(total)
}

/// One whole step in this type, from pixels to the gradients of all parameters.
pub fn nan_in_step(
    activation: Activation,
    parameters: &Parameters,
    batch: &Images,
    dtype: DType,
) -> Result<NanGradients> {
    let parameters = parameters.to_dtype(dtype)?;
    let logits = parameters
        .network(activation)
        .forward(&batch.pixels.to_dtype(dtype)?)?;
    let grads = loss::cross_entropy(&logits.to_dtype(DType::F32)?, &batch.labels)?.backward()?;
    let mut total = NanGradients { nan: 0, of: 0 };
    for var in &parameters.vars {
        total.add(NanGradients::count(
            grads.get(var).expect("every parameter is used"),
        )?);
    }
    Ok(total)
}

pub fn first_batch(images: &Images) -> Result<Images> {
    Ok(Images {
        pixels: images.pixels.narrow(0, 0, BATCH)?,
        labels: images.labels.narrow(0, 0, BATCH)?,
    })
}
