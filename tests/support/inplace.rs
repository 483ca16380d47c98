//! Ops in place against those that make a new tensor.

use super::backend::{bits, values};
use super::layouts::{tensor, SHAPES};
use super::ulp::Element;
use candle_core::{Device, Result, Tensor};
use candle_mish::*;
use half::{bf16, f16};

pub type Op = (
    &'static str,
    fn(&Tensor) -> Result<()>,
    fn(&Tensor) -> Result<Tensor>,
);

pub const OPS: [Op; 3] = [
    ("mish_inplace", mish_inplace, mish),
    ("softplus_inplace", softplus_inplace, softplus),
    ("tanh_softplus_inplace", tanh_softplus_inplace, tanh_softplus),
];

/// Tensors, each with a view of it whose elements lie apart. What is not in the view is NaN.
fn views<T: Element>(dims: &[usize], device: &Device) -> Result<Vec<(Tensor, Tensor)>> {
    let t = tensor::<T>(dims, 3, device);
    let reversed: Vec<usize> = (0..dims.len()).rev().collect();
    let mut views = vec![];
    for inner in [t.clone(), t.permute(reversed.clone())?.force_contiguous()?] {
        if inner.elem_count() > 0 && inner.rank() > 0 {
            let padded: Vec<usize> = inner.dims().iter().map(|n| n + 2).collect();
            let nan = Tensor::full(f32::NAN, padded, t.device())?.to_dtype(t.dtype())?;
            let ranges: Vec<_> = inner.dims().iter().map(|n| 1..n + 1).collect();
            for order in [(0..dims.len()).collect(), reversed.clone()] {
                let wide = nan.slice_assign(&ranges, &inner)?;
                let narrow = |view: Tensor, (dim, n): (usize, &usize)| view.narrow(dim, 1, *n);
                let view = inner.dims().iter().enumerate().try_fold(wide.clone(), narrow)?;
                views.push((wide, view.permute(order)?));
            }
        }
        // On Metal, candle 0.11.1's `copy` shares storage.
        let whole = inner.force_contiguous()?;
        views.push((whole.clone(), whole.permute(reversed.clone())?));
        views.push((inner.clone(), inner));
    }
    Ok(views)
}

fn check<T: Element>(dims: &[usize], device: &Device) {
    for (name, in_place, op) in OPS {
        for (whole, view) in views::<T>(dims, device).unwrap() {
            let expected = bits::<T>(&op(&view).unwrap());
            in_place(&view).unwrap();
            let what = || format!("{name} of {:?} {:?} {:?}", T::DTYPE, view.dims(), view.stride());
            assert_eq!(bits::<T>(&view), expected, "{}", what());
            // Everything around the view is NaN, and still is.
            let around = whole.elem_count() - view.elem_count();
            let nan = values::<T>(&whole).iter().filter(|v| v.to_f64().is_nan()).count();
            assert_eq!(nan, around, "{}", what());
        }
    }
}

/// The bits of the op that makes a new tensor, on the elements of the view and no others.
pub fn every_layout(device: &Device) {
    let more = [&[260, 127][..], &[70, 3, 157], &[40_001], &[0], &[2, 0, 3]];
    for dims in SHAPES.iter().chain(&more) {
        check::<f16>(dims, device);
        check::<bf16>(dims, device);
        check::<f32>(dims, device);
        if !device.is_metal() {
            check::<f64>(dims, device);
        }
    }
}
