//! In place: the bits of the op that makes a new tensor, on the elements of the view and no others; or an error, and
//! nothing changed.

mod support;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_mish::*;
use support::inplace::{every_layout, OPS};

#[test]
fn every_layout_without_overlaps() {
    every_layout(&Device::Cpu);
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
            refused(
                name,
                in_place,
                &Tensor::ones((0, 3), dtype, &Device::Cpu)?,
                &[dtype.as_str()],
            );
        }
    }
    Ok(())
}
