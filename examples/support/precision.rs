//! The types that the examples compute in, and how far results are from a reference.

use candle_core::{DType, Device, Result, Tensor};

/// The type of this name.
pub fn dtype(name: &str) -> std::result::Result<DType, String> {
    match name {
        "f32" => Ok(DType::F32),
        "f16" => Ok(DType::F16),
        "bf16" => Ok(DType::BF16),
        _ => Err("expected f32, f16 or bf16".into()),
    }
}

/// The most that rounding to this type changes a number, relative to it.
pub fn rounding(dtype: DType) -> f64 {
    let digits = match dtype {
        DType::BF16 => 8,
        DType::F16 => 11,
        DType::F32 => 24,
        _ => 53,
    };
    0.5f64.powi(digits)
}

/// max|ys − reference| / max|reference|; infinite if there is a NaN in `ys`.
pub fn relative_to_largest(ys: &Tensor, reference: &Tensor) -> Result<f64> {
    let (ys, reference) = (values(ys)?, values(reference)?);
    let distances = ys.iter().zip(&reference).map(|(y, exact)| y - exact);
    Ok(largest(distances) / largest(reference.iter().copied()))
}

/// The largest magnitude; infinity if there is a NaN.
pub fn largest(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers
        .map(|x| if x.is_nan() { f64::INFINITY } else { x.abs() })
        .fold(0.0, f64::max)
}

pub fn values(xs: &Tensor) -> Result<Vec<f64>> {
    convert(xs, DType::F64, &Device::Cpu)?.flatten_all()?.to_vec1()
}

/// By way of the CPU, as not every device has f64.
pub fn convert(xs: &Tensor, dtype: DType, device: &Device) -> Result<Tensor> {
    xs.to_device(&Device::Cpu)?.to_dtype(dtype)?.to_device(device)
}
