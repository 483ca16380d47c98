//! In place: the bits of the op that makes a new tensor, on the elements of the view and no others; or an error, and
//! nothing changed.

mod support;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_mish::*;
use half::{bf16, f16};
use support::backend::bits;
use support::layouts::{tensor, SHAPES};
use support::ulp::Element;

type Op = (
    &'static str,
    fn(&Tensor) -> Result<()>,
    fn(&Tensor) -> Result<Tensor>,
);

const OPS: [Op; 3] = [
    ("mish_inplace", mish_inplace, mish),
    ("softplus_inplace", softplus_inplace, softplus),
    ("tanh_softplus_inplace", tanh_softplus_inplace, tanh_softplus),
];

/// Tensors, each with a view of it whose elements lie apart. What is not in the view is NaN.
fn views<T: Element>(dims: &[usize]) -> Result<Vec<(Tensor, Tensor)>> {
    let t = tensor::<T>(dims, 3, &Device::Cpu);
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
        let whole = inner.copy()?;
        views.push((whole.clone(), whole.permute(reversed.clone())?));
        views.push((inner.clone(), inner));
    }
    Ok(views)
}

fn check<T: Element>(dims: &[usize]) {
    for (name, in_place, op) in OPS {
        for (whole, view) in views::<T>(dims).unwrap() {
            let expected = bits::<T>(&op(&view).unwrap());
            in_place(&view).unwrap();
            let what = || format!("{name} of {:?} {:?} {:?}", T::DTYPE, view.dims(), view.stride());
            assert_eq!(bits::<T>(&view), expected, "{}", what());
            // Everything around the view is NaN, and still is.
            let around = whole.elem_count() - view.elem_count();
            let nan = support::backend::values::<T>(&whole)
                .iter()
                .filter(|v| v.to_f64().is_nan())
                .count();
            assert_eq!(nan, around, "{}", what());
        }
    }
}

#[test]
fn every_layout_without_overlaps() {
    for dims in SHAPES
        .iter()
        .chain(&[&[260, 127][..], &[70, 3, 157], &[40_001], &[0], &[2, 0, 3]])
    {
        check::<f16>(dims);
        check::<bf16>(dims);
        check::<f32>(dims);
        check::<f64>(dims);
    }
}

#[test]
fn clones_share_storage() -> Result<()> {
    let x = Tensor::new(&[1f32, -2.0], &Device::Cpu)?;
    let (clone, copy) = (x.clone(), x.copy()?);
    mish_inplace(&x)?;
    assert_eq!(clone.to_vec1::<f32>()?, x.to_vec1::<f32>()?);
    assert_eq!(copy.to_vec1::<f32>()?, [1.0, -2.0]);
    Ok(())
}

/// An error that names the parts, with the bits as they were.
#[track_caller]
fn refused(name: &str, in_place: fn(&Tensor) -> Result<()>, x: &Tensor, parts: &[&str]) {
    let before = x
        .flatten_all()
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap()
        .to_vec1::<f64>()
        .unwrap();
    let message = in_place(x).expect_err("bad input was taken").to_string();
    for part in parts.iter().chain(&[name]) {
        assert!(
            message.to_lowercase().contains(&part.to_lowercase()),
            "{message:?} does not name {part:?}"
        );
    }
    let after = x
        .flatten_all()
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap()
        .to_vec1::<f64>()
        .unwrap();
    assert_eq!(before, after);
}

#[test]
fn what_a_gradient_depends_on_is_refused() -> Result<()> {
    for (name, in_place, _) in OPS {
        let var = Var::from_tensor(&Tensor::new(&[1f32, -2.0], &Device::Cpu)?)?;
        refused(name, in_place, &var, &["a variable"]);
        let tracked = (var.as_tensor() * 2.0)?;
        refused(name, in_place, &tracked, &["gradient graph"]);
        refused(name, in_place, &tracked.reshape((2, 1))?, &["gradient graph"]);
        in_place(&tracked.detach())?;
    }
    Ok(())
}

#[test]
fn overlaps_are_refused() -> Result<()> {
    let x = Tensor::new(&[1f32, -2.0, 3.0], &Device::Cpu)?;
    for (name, in_place, _) in OPS {
        refused(
            name,
            in_place,
            &x.broadcast_as((2, 3))?,
            &["overlap", "[2, 3]", "[0, 1]"],
        );
        refused(
            name,
            in_place,
            &x.narrow(0, 1, 1)?.broadcast_as((4,))?,
            &["overlap", "[4]"],
        );
    }
    Ok(())
}

#[test]
fn other_dtypes_are_refused() -> Result<()> {
    for (name, in_place, _) in OPS {
        for dtype in [DType::U8, DType::U32, DType::I64] {
            refused(
                name,
                in_place,
                &Tensor::ones(3, dtype, &Device::Cpu)?,
                &[dtype.as_str()],
            );
        }
    }
    Ok(())
}
