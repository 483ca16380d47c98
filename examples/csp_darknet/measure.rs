//! What the three ways cost, and how far their outputs are from the true ones.

use crate::backbone::{Backbone, Output};
use crate::comparison::Way;
use crate::epilogue::{activate, epilogue, normalise};
use crate::memory;
use crate::precision::{convert, relative_to_largest, rounding};
use crate::timing::take_turns;
use crate::weights::Tensors;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use std::time::{Duration, Instant};

/// Of a forward pass, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub whole: f64,
    pub norm: f64,
    pub activation: f64,
}

/// With timers around batch norm and activation; a GPU finishes what it was given before each reading.
pub fn times(backbone: &Backbone, images: &Tensor, runs: usize) -> Result<Vec<Times>> {
    let device = images.device();
    let now = || device.synchronize().map(|()| Instant::now());
    let medians = take_turns(&mut Way::ALL.clone(), runs, |way| {
        let [mut norm, mut activation] = [Duration::ZERO; 2];
        let start = now()?;
        let outputs = backbone.forward(images, &mut |unit, xs| {
            let start = now()?;
            let xs = normalise(*way, unit, xs)?;
            let between = now()?;
            let ys = activate(*way, unit, &xs)?;
            norm += between - start;
            activation += now()? - between;
            Ok(ys)
        })?;
        drop(outputs);
        Ok([now()? - start, norm, activation])
    })?;
    let times = |[whole, norm, activation]: [f64; 3]| Times {
        whole,
        norm,
        activation,
    };
    Ok(medians.into_iter().map(times).collect())
}

/// The most bytes in use at once during a forward pass, beyond the weights and the images. On the CPU only.
pub fn peak_memory(backbone: &Backbone, images: &Tensor, way: Way) -> Result<Option<usize>> {
    let on_cpu = images.device().is_cpu();
    on_cpu
        .then(|| memory::peak_during(|| forward(backbone, images, way)))
        .transpose()
}

fn forward(backbone: &Backbone, images: &Tensor, way: Way) -> Result<Vec<Output>> {
    backbone.forward(images, &mut |unit, xs| epilogue(way, unit, xs))
}

/// The outputs from the same weights and images in f64, of candle's own ops on the CPU.
pub fn reference(weights: &Tensors, images: &Tensor) -> Result<Vec<Output>> {
    let parameters = VarBuilder::from_tensors(weights.clone(), DType::F64, &Device::Cpu);
    let images = convert(images, DType::F64, &Device::Cpu)?;
    forward(&Backbone::new(parameters)?, &images, Way::Composed)
}

/// The most that a right output may be off. Of the roundings on the way each may have either sign, so that n of them
/// add up like √n: in each unit up to ten to the type (one after the convolution, four in batch norm, five in composed
/// mish), and in f32 one per product of the convolution, of which the widest has 512·3·3.
pub fn tolerance(backbone: &Backbone, dtype: DType) -> f64 {
    let to_type = 10.0 * rounding(dtype).powi(2);
    let in_sums = 4608.0 * rounding(DType::F32).powi(2);
    (backbone.units() as f64 * (to_type + in_sums)).sqrt()
}

/// The largest error of each output, relative to the largest value of that output.
pub fn errors(backbone: &Backbone, images: &Tensor, way: Way, reference: &[Output]) -> Result<Vec<f64>> {
    forward(backbone, images, way)?
        .iter()
        .zip(reference)
        .map(|(output, exact)| relative_to_largest(&output.features, &exact.features))
        .collect()
}
