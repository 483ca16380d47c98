//! The state-space part of a layer of Mamba-2 (Dao and Gu 2024), in the sizes of the model with 130 million parameters.
//! The convolution and SiLU before it, and the gate and norm after it, are left out.

use crate::comparison::Way;
use crate::precision::convert;
use crate::random::uniform;
use candle_core::{DType, Device, Result, Tensor, D};
use candle_mish::{softplus, softplus_bias};
use rand::rngs::StdRng;
use rand::Rng;

const INNER: usize = 1536;
pub const HEAD_DIM: usize = 64;
pub const HEADS: usize = INNER / HEAD_DIM;
pub const STATE: usize = 128;

/// What the input projection makes of tokens: side by side the gate, x, B, C and dt, whose views are therefore not
/// contiguous.
pub struct Projection(Tensor);

impl Projection {
    /// Random numbers of variance 1 in place of the projection.
    pub fn random(batch: usize, tokens: usize, rng: &mut StdRng) -> Result<Self> {
        let bound = 3f32.sqrt();
        let width = 2 * INNER + 2 * STATE + HEADS;
        Ok(Self(uniform((batch, tokens, width), -bound..bound, rng)?))
    }

    pub fn to(&self, dtype: DType, device: &Device) -> Result<Self> {
        Ok(Self(convert(&self.0, dtype, device)?))
    }

    pub fn token(&self, i: usize) -> Result<Self> {
        Ok(Self(self.0.get_on_dim(1, i)?))
    }

    fn x(&self) -> Result<Tensor> {
        self.0.narrow(D::Minus1, INNER, INNER)
    }

    fn b(&self) -> Result<Tensor> {
        self.0.narrow(D::Minus1, 2 * INNER, STATE)
    }

    fn c(&self) -> Result<Tensor> {
        self.0.narrow(D::Minus1, 2 * INNER + STATE, STATE)
    }

    /// `[batch, tokens, HEADS]`, or `[batch, HEADS]` of one token.
    pub fn dt(&self) -> Result<Tensor> {
        self.0.narrow(D::Minus1, 2 * INNER + 2 * STATE, HEADS)
    }
}

/// The parameters, one of each per head.
pub struct Layer {
    dt_bias: Tensor,
    a: Tensor,
    d: Tensor,
}

impl Layer {
    /// As Mamba-2 starts its training: softplus(dt_bias) log-uniform in 0.001 to 0.1, −A uniform in 1 to 16, D = 1.
    pub fn random(rng: &mut StdRng) -> Result<Self> {
        let dt_bias = |_| {
            let dt = rng.random_range(0.001f64.ln()..0.1f64.ln()).exp();
            (dt + (-(-dt).exp_m1()).ln()) as f32
        };
        let dt_bias: Vec<f32> = (0..HEADS).map(dt_bias).collect();
        Ok(Self {
            dt_bias: Tensor::new(dt_bias, &Device::Cpu)?,
            a: uniform(HEADS, 1.0..16.0, rng)?.neg()?,
            d: Tensor::ones(HEADS, DType::F32, &Device::Cpu)?,
        })
    }

    /// With dt in the type of the activations, and the state in another one.
    pub fn to(&self, activations: DType, state: DType, device: &Device) -> Result<Self> {
        Ok(Self {
            dt_bias: convert(&self.dt_bias, activations, device)?,
            a: convert(&self.a, state, device)?,
            d: convert(&self.d, state, device)?,
        })
    }

    /// softplus(dt + dt_bias).
    pub fn step_size(&self, way: Way, dt: &Tensor) -> Result<Tensor> {
        match way {
            Way::Composed => (dt.broadcast_add(&self.dt_bias)?.exp()? + 1.0)?.log(),
            Way::Separate => softplus(&dt.broadcast_add(&self.dt_bias)?),
            Way::Fused => softplus_bias(dt, &self.dt_bias, D::Minus1),
        }
    }

    pub fn empty_state(&self, prompt: &Projection) -> Result<Tensor> {
        let batch = prompt.0.dim(0)?;
        Tensor::zeros((batch, HEADS, HEAD_DIM, STATE), self.a.dtype(), self.a.device())
    }

    /// h ← exp(dt·A)·h + dt·x⊗B and y = h·C + D·x, for one token.
    pub fn advance(
        &self,
        state: &Tensor,
        step_size: &Tensor,
        token: &Projection,
    ) -> Result<(Tensor, Tensor)> {
        let wide = |tensor: Tensor| tensor.to_dtype(self.a.dtype());
        let batch = state.dim(0)?;
        let step_size = wide(step_size.clone())?;
        let decay = step_size
            .broadcast_mul(&self.a)?
            .exp()?
            .reshape((batch, HEADS, 1, 1))?;
        let x = wide(token.x()?)?.reshape((batch, HEADS, HEAD_DIM))?;
        let input = x
            .broadcast_mul(&step_size.unsqueeze(2)?)?
            .unsqueeze(3)?
            .broadcast_mul(&wide(token.b()?)?.reshape((batch, 1, 1, STATE))?)?;
        let state = (state.broadcast_mul(&decay)? + input)?;
        let c = wide(token.c()?)?.reshape((batch, STATE, 1))?;
        let read = state.reshape((batch, HEADS * HEAD_DIM, STATE))?.matmul(&c)?;
        let skipped = x.broadcast_mul(&self.d.unsqueeze(1)?)?;
        let y = (read.reshape(skipped.shape())? + skipped)?;
        Ok((y.to_dtype(token.0.dtype())?, state))
    }
}
