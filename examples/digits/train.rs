//! Training and testing.

use crate::data::{shuffled, Images};
use crate::network::{Activation, Parameters};
use crate::timing::progress_bar;
use candle_core::{DType, Module, Result, Tensor, D};
use candle_nn::{loss, AdamW, Optimizer, ParamsAdamW, Sequential};
use rand::rngs::StdRng;
use rand::SeedableRng;
use std::time::{Duration, Instant};

pub const BATCH: usize = 64;

/// A training that is over.
pub struct Outcome {
    pub activation: Activation,
    pub parameters: Parameters,
    /// The mean loss of each epoch.
    pub losses: Vec<f64>,
    /// Of the test images, from 0 to 1.
    pub accuracy: f64,
    pub took: Duration,
}

/// The same seed gives the same weights and the same batches to every activation.
pub fn train(
    activation: Activation,
    epochs: usize,
    seed: u64,
    train: &Images,
    test: &Images,
) -> Result<Outcome> {
    let parameters = Parameters::new(seed, train.pixels.device())?;
    let network = parameters.network(activation);
    let mut optimizer = optimizer(&parameters)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut losses = vec![];
    let start = Instant::now();
    let bar = progress_bar(activation.label(), epochs * train.len()?.div_ceil(BATCH));
    bar.set_message("epoch  1");
    for epoch in 0..epochs {
        optimizer.set_learning_rate(learning_rate(epoch, epochs));
        let order = shuffled(train.len()?, &mut rng);
        let mut sum = 0.0;
        for indices in order.chunks(BATCH) {
            let loss = step(&network, &mut optimizer, &train.select(indices)?)?;
            sum += f64::from(loss.to_scalar::<f32>()?) * indices.len() as f64;
            bar.inc(1);
        }
        losses.push(sum / order.len() as f64);
        bar.set_message(format!("epoch {:2}  loss {:.4}", epoch + 1, losses[epoch]));
    }
    bar.finish_and_clear();
    let accuracy = accuracy(&network, test)?;
    Ok(Outcome {
        activation,
        parameters,
        losses,
        accuracy,
        took: start.elapsed(),
    })
}

pub fn optimizer(parameters: &Parameters) -> Result<AdamW> {
    AdamW::new(
        parameters.vars.clone(),
        ParamsAdamW {
            lr: learning_rate(0, 1),
            ..Default::default()
        },
    )
}

/// From 0.006 down to 0 along half a cosine.
fn learning_rate(epoch: usize, epochs: usize) -> f64 {
    let done = epoch as f64 / epochs as f64;
    0.003 * (1.0 + (std::f64::consts::PI * done).cos())
}

/// Forward, backward and update; returns the loss.
pub fn step(network: &Sequential, optimizer: &mut AdamW, batch: &Images) -> Result<Tensor> {
    let loss = loss::cross_entropy(&network.forward(&batch.pixels)?, &batch.labels)?;
    optimizer.backward_step(&loss)?;
    Ok(loss)
}

fn accuracy(network: &Sequential, test: &Images) -> Result<f64> {
    let predicted = network.forward(&test.pixels)?.argmax(D::Minus1)?;
    let hits = predicted
        .eq(&test.labels)?
        .to_dtype(DType::F32)?
        .sum_all()?
        .to_scalar::<f32>()?;
    Ok(f64::from(hits) / test.len()? as f64)
}
