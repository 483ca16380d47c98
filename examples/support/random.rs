//! Random tensors from a generator of our own, because candle's on the CPU takes no seed.

use candle_core::{Device, Result, Shape, Tensor};
use rand::rngs::StdRng;
use rand::Rng;
use std::ops::Range;

/// Uniform, in f32 and on the CPU.
pub fn uniform(shape: impl Into<Shape>, range: Range<f32>, rng: &mut StdRng) -> Result<Tensor> {
    let shape = shape.into();
    let values: Vec<f32> = (0..shape.elem_count())
        .map(|_| rng.random_range(range.clone()))
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}
