//! The network: two convolutions, two linear layers, and an activation to choose.

use crate::random::uniform;
use candle_core::{DType, Device, Module, Result, Shape, Tensor, Var};
use candle_nn::{seq, Conv2d, Conv2dConfig, Linear, Sequential};
use rand::rngs::StdRng;
use rand::SeedableRng;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `candle_mish::Mish`
    Mish,
    /// `candle_nn::ops::mish`
    Composed,
    Relu,
    /// No activation: what is left shows what the others cost.
    Identity,
}

impl Activation {
    pub const COMPARED: [Self; 3] = [Self::Mish, Self::Composed, Self::Relu];

    pub fn label(self) -> &'static str {
        match self {
            Self::Mish => "Mish (candle-mish)",
            Self::Composed => "Mish (candle, composed)",
            Self::Relu => "ReLU",
            Self::Identity => "none",
        }
    }

    fn append_to(self, layers: Sequential) -> Sequential {
        match self {
            Self::Mish => layers.add(candle_mish::Mish),
            Self::Composed => layers.add_fn(candle_nn::ops::mish),
            Self::Relu => layers.add(candle_nn::Activation::Relu),
            Self::Identity => layers,
        }
    }

    pub fn apply(self, xs: &Tensor) -> Result<Tensor> {
        self.append_to(seq()).forward(xs)
    }
}

/// The weights and biases, layer by layer.
pub struct Parameters {
    pub vars: Vec<Var>,
}

impl Parameters {
    /// Weights uniform in ±√(6/inputs) (He et al. 2015) and biases of zero.
    pub fn new(seed: u64, device: &Device) -> Result<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let shapes: [Shape; 4] = [
            (16, 1, 3, 3).into(),
            (32, 16, 3, 3).into(),
            (64, 512).into(),
            (10, 64).into(),
        ];
        let mut vars = vec![];
        for shape in shapes {
            let outputs = shape.dims()[0];
            let bound = (6.0 / (shape.elem_count() / outputs) as f32).sqrt();
            let weights = uniform(shape, -bound..bound, &mut rng)?;
            vars.push(Var::from_tensor(&weights.to_device(device)?)?);
            vars.push(Var::zeros(outputs, DType::F32, device)?);
        }
        Ok(Self { vars })
    }

    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        let vars = self
            .vars
            .iter()
            .map(|var| Var::from_tensor(&var.to_dtype(dtype)?))
            .collect::<Result<_>>()?;
        Ok(Self { vars })
    }

    fn layer(&self, i: usize) -> (Tensor, Option<Tensor>) {
        (
            self.vars[2 * i].as_tensor().clone(),
            Some(self.vars[2 * i + 1].as_tensor().clone()),
        )
    }

    /// Images `[n, 1, 8, 8]` to logits `[n, 10]`.
    pub fn network(&self, activation: Activation) -> Sequential {
        let padded = Conv2dConfig {
            padding: 1,
            ..Default::default()
        };
        let conv = |i| {
            let (weight, bias) = self.layer(i);
            Conv2d::new(weight, bias, padded)
        };
        let linear = |i| {
            let (weight, bias) = self.layer(i);
            Linear::new(weight, bias)
        };
        let layers = activation.append_to(seq().add(conv(0)));
        let layers = activation.append_to(layers.add(conv(1)));
        let layers = layers.add_fn(|xs| xs.max_pool2d(2)?.flatten_from(1));
        activation.append_to(layers.add(linear(2))).add(linear(3))
    }

    /// What the three activations receive for these images.
    pub fn activation_inputs(&self, activation: Activation, pixels: &Tensor) -> Result<[Tensor; 3]> {
        let outputs = self.network(activation).forward_all(pixels)?;
        Ok([outputs[0].clone(), outputs[2].clone(), outputs[5].clone()])
    }
}
