//! The weights, random or from a file, under the names that they have in github.com/WongKinYiu/PyTorch_YOLOv4: with N
//! the layer's number in `yolov4.cfg`, where routes and shortcuts count,
//!
//! | name | shape |
//! | --- | --- |
//! | `module_list.N.Conv2d.weight` | outputs, inputs, kernel, kernel |
//! | `module_list.N.BatchNorm2d.weight`, `.bias`, `.running_mean`, `.running_var` | outputs |
//!
//! Other tensors, such as those of the neck and the heads, are ignored.

use crate::backbone::{Backbone, Unit};
use crate::random::uniform;
use candle_core::{safetensors, DType, Device, IndexOp, Result, Tensor, Var};
use candle_nn::{ModuleT, VarBuilder, VarMap};
use rand::rngs::StdRng;
use rand::SeedableRng;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::ops::Range;
use std::path::Path;

pub type Tensors = HashMap<String, Tensor>;

/// The tensors of the file, among them all that the network needs.
pub fn load(file: &Path) -> std::result::Result<Tensors, Box<dyn Error>> {
    let checked = || {
        let tensors = safetensors::load(file, &Device::Cpu)?;
        let parameters = VarBuilder::from_tensors(tensors.clone(), DType::F32, &Device::Cpu);
        Backbone::new(parameters).map(|_| tensors)
    };
    checked().map_err(|error| format!("{}: {error}", file.display()).into())
}

/// The weights as a network of this type has them.
pub fn rounded(weights: Tensors, dtype: DType) -> Result<Tensors> {
    let round = |(name, tensor): (String, Tensor)| Ok((name, tensor.to_dtype(dtype)?));
    weights.into_iter().map(round).collect()
}

/// Weights under which activations keep their scale from layer to layer, as in a trained network.
pub fn random(seed: u64) -> Result<Tensors> {
    let variables = VarMap::new();
    let backbone = Backbone::new(VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu))?;
    let named: BTreeMap<_, _> = variables
        .data()
        .lock()
        .expect("no one panicked")
        .clone()
        .into_iter()
        .collect();
    let mut rng = StdRng::seed_from_u64(seed);
    for (name, variable) in &named {
        // Of the variance 1/inputs; its scale does not matter in front of a batch norm.
        if name.ends_with("Conv2d.weight") {
            let bound = (3.0 / variable.i(0)?.elem_count() as f32).sqrt();
            set(variable, -bound..bound, &mut rng)?;
        } else if name.ends_with("BatchNorm2d.weight") {
            set(variable, 0.8..1.2, &mut rng)?;
        } else if name.ends_with("BatchNorm2d.bias") {
            set(variable, -0.2..0.2, &mut rng)?;
        }
    }
    // The statistics of each batch norm, from what its convolution makes of a small image; spread around those of the
    // layer, as those of each channel would blow up the noise in channels that hardly vary.
    let image = images(seed, 1, 64)?;
    backbone.forward(&image, &mut |unit: &Unit, xs: Tensor| {
        let power = xs.sqr()?.mean_all()?.to_scalar::<f32>()?;
        let mean = 0.2 * power.sqrt();
        let running_mean = Var::from_tensor(unit.norm.running_mean())?;
        set(&running_mean, -mean..mean, &mut rng)?;
        let running_var = Var::from_tensor(unit.norm.running_var())?;
        set(&running_var, 0.5 * power..2.0 * power, &mut rng)?;
        Ok(candle_mish::mish(&unit.norm.forward_t(&xs, false)?)?.detach())
    })?;
    Ok(named
        .into_iter()
        .map(|(name, variable)| (name, variable.as_detached_tensor()))
        .collect())
}

fn set(variable: &Var, range: Range<f32>, rng: &mut StdRng) -> Result<()> {
    variable.set(&uniform(variable.shape(), range, rng)?)
}

/// Random pixels from 0 to 1, `[n, 3, size, size]`.
pub fn images(seed: u64, n: usize, size: usize) -> Result<Tensor> {
    uniform((n, 3, size, size), 0.0..1.0, &mut StdRng::seed_from_u64(seed))
}
