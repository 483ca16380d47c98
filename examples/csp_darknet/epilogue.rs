//! Batch norm and Mish in the three ways.

use crate::backbone::Unit;
use crate::comparison::Way;
use candle_core::{Result, Tensor};
use candle_nn::{ops, Module, ModuleT};

pub fn epilogue(way: Way, unit: &Unit, xs: Tensor) -> Result<Tensor> {
    activate(way, unit, &normalise(way, unit, xs)?)
}

/// What comes before the activation; nothing where batch norm is a part of that.
pub fn normalise(way: Way, unit: &Unit, xs: Tensor) -> Result<Tensor> {
    match way {
        Way::Composed | Way::Separate => unit.norm.forward_t(&xs, false),
        Way::Fused => Ok(xs),
    }
}

pub fn activate(way: Way, unit: &Unit, xs: &Tensor) -> Result<Tensor> {
    match way {
        Way::Composed => ops::mish(xs),
        Way::Separate => candle_mish::mish(xs),
        Way::Fused => unit.folded.forward(xs),
    }
}
