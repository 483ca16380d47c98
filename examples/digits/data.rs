//! The digits, shuffled and split.

use candle_core::{safetensors, DType, Device, Result, Tensor};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::SeedableRng;

/// Images `[n, 1, 8, 8]` in f32 with values 0 to 1, and labels `[n]` in u32.
pub struct Images {
    pub pixels: Tensor,
    pub labels: Tensor,
}

impl Images {
    pub fn len(&self) -> Result<usize> {
        self.labels.dim(0)
    }

    pub fn select(&self, indices: &[u32]) -> Result<Self> {
        let indices = Tensor::new(indices, self.labels.device())?;
        Ok(Self {
            pixels: self.pixels.index_select(&indices, 0)?,
            labels: self.labels.index_select(&indices, 0)?,
        })
    }
}

/// The training and the test images: 80 % and 20 % of all, at random.
pub fn load(seed: u64, device: &Device) -> Result<(Images, Images)> {
    let tensors = safetensors::load_buffer(include_bytes!("../data/digits.safetensors"), device)?;
    let all = Images {
        pixels: (tensors["images"].to_dtype(DType::F32)?.unsqueeze(1)? / 16.0)?,
        labels: tensors["labels"].to_dtype(DType::U32)?,
    };
    let order = shuffled(all.len()?, &mut StdRng::seed_from_u64(seed));
    let (train, test) = order.split_at(order.len() * 4 / 5);
    Ok((all.select(train)?, all.select(test)?))
}

/// The numbers from 0 to n − 1 in random order.
pub fn shuffled(n: usize, rng: &mut StdRng) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.shuffle(rng);
    order
}
