//! The fused neighbours: values against arithmetic of more precision, layouts, threads, instruction sets, gradients,
//! batch norm.

mod support;

use candle_core::{DType, Device, Module, ModuleT, Result, Tensor, Var};
use candle_mish::*;
use half::{bf16, f16};
use support::fused::{self, CPU};
use support::gradcheck::{gradcheck, randn};
use support::process::{checksum, in_processes, on_instruction_sets};

#[test]
fn values() {
    fused::values_of_every_op(&CPU);
}

#[test]
fn random_shapes_layouts_and_dims() {
    fused::random_cases(&CPU, 1500);
}

#[test]
fn layouts() {
    fused::layouts_of_every_op(&CPU);
}

#[test]
fn values_of_many_channels() {
    fused::values_of_many_channels(&CPU);
}

#[test]
fn empty() {
    fused::empty(&CPU);
}

#[test]
fn infinite_sums() {
    fused::infinite_sums(&CPU);
}

fn checksums() -> Vec<u8> {
    let sum = |bits: Vec<u64>| checksum(bits.into_iter().flat_map(u64::to_le_bytes)).to_le_bytes();
    let halves = [sum(fused::large::<f16>(&CPU)), sum(fused::large::<bf16>(&CPU))];
    let others = [sum(fused::large::<f32>(&CPU)), sum(fused::large::<f64>(&CPU))];
    [halves, others].concat().concat()
}

#[test]
fn any_number_of_threads() {
    let threads = ["1", "2", "5"].map(|n| vec![("CANDLE_NUM_THREADS", n)]);
    if let Some(results) = in_processes("any_number_of_threads", &threads, checksums) {
        assert_eq!(results[0].len(), 4 * std::mem::size_of_val(&checksum([])));
        assert!(
            results.iter().all(|r| *r == results[0]),
            "results depend on the number of threads"
        );
    }
}

/// All paths that the processor has keep the same bounds.
#[test]
fn every_instruction_set() {
    on_instruction_sets("every_instruction_set", || {
        fused::random_cases(&CPU, 600);
        vec![1]
    });
}

fn random(dims: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(randn(dims.iter().product(), seed), dims, &Device::Cpu).unwrap()
}

/// Of rows that lie side by side several are taken at a time.
#[test]
fn transposed() -> Result<()> {
    let stored = random(&[2, 150, 301], 1);
    let x = stored.transpose(1, 2)?;
    for axis in 0..3 {
        let [scale, shift] = [2, 3].map(|seed| random(&x.dims()[axis..=axis], seed));
        let of = |x: &Tensor| {
            mish_affine(x, &scale, &shift, axis)?
                .flatten_all()?
                .to_vec1::<f64>()
        };
        assert_eq!(of(&x)?, of(&x.contiguous()?)?, "along dim {axis}");
    }
    Ok(())
}

#[test]
fn gradients_of_every_argument() {
    for (dims, axis) in [
        (&[2, 3, 4][..], 1),
        (&[5, 3], 1),
        (&[3, 2, 2], 0),
        (&[2, 2, 3], 2),
        (&[3], 0),
    ] {
        let n = dims[axis];
        let args = [random(dims, 1), random(&[n], 2), random(&[n], 3)];
        gradcheck(|a| mish_affine(&a[0], &a[1], &a[2], axis), &args).unwrap();
        gradcheck(|a| mish_bias(&a[0], &a[1], axis), &args[..2]).unwrap();
        gradcheck(|a| softplus_bias(&a[0], &a[1], axis), &args[..2]).unwrap();
    }
}

/// x through a transposition, parameters of which each channel shares one, or is used twice.
#[test]
fn gradients_through_views() {
    let args = [random(&[4, 3], 1), random(&[1], 2), random(&[3], 3)];
    let broadcast = |a: &[Tensor]| mish_affine(&a[0].t()?, &a[1].broadcast_as(3)?, &a[2], 0);
    gradcheck(broadcast, &args).unwrap();
    let twice = |a: &[Tensor]| mish_affine(&a[0], &a[1], &a[1], 1);
    gradcheck(twice, &[random(&[4, 3], 1), random(&[3], 2)]).unwrap();
}

/// The gradients have the dtypes of their arguments, and only arguments that are variables have any.
#[test]
fn dtypes_of_gradients() -> Result<()> {
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        for parameters in [dtype, DType::F32] {
            let x = Var::from_tensor(&random(&[2, 3, 4], 1).to_dtype(dtype)?)?;
            let [scale, shift] = [2, 3].map(|seed| random(&[3], seed).to_dtype(parameters).unwrap());
            let (scale, shift) = (Var::from_tensor(&scale)?, Var::from_tensor(&shift)?);
            let grads = mish_affine(&x, &scale, &shift, 1)?.backward()?;
            for var in [&x, &scale, &shift] {
                let grad = grads.get(var).expect("a gradient");
                assert_eq!((grad.dtype(), grad.dims()), (var.dtype(), var.dims()));
            }
            let grads = mish_affine(&x, &scale.as_detached_tensor(), &shift, 1)?.backward()?;
            assert!(grads.get(&scale).is_none() && grads.get(&shift).is_some());
            let grads = mish_bias(&x.as_detached_tensor(), &shift, 1)?.backward()?;
            assert!(grads.get(&x).is_none() && grads.get(&shift).is_some());
        }
    }
    Ok(())
}

/// Parameters in f32 are not rounded to x's type on the way to gradients, nor are theirs.
#[test]
fn gradients_with_parameters_in_f32() -> Result<()> {
    let gradients = |dtype: DType, parameters: DType| -> Result<[Vec<f64>; 3]> {
        // Values that bf16 has, and parameters that it has not.
        let x = ((Tensor::arange(0f32, 24f32, &Device::Cpu)?.reshape((2, 3, 4))? - 12.0)? * 0.125)?;
        let x = Var::from_tensor(&x.to_dtype(dtype)?)?;
        let [scale, shift] = [[1.0007f32, 0.9991, 1.2003], [0.3003, -0.1007, 0.7013]];
        let scale = Var::from_tensor(&Tensor::new(&scale, &Device::Cpu)?.to_dtype(parameters)?)?;
        let shift = Var::from_tensor(&Tensor::new(&shift, &Device::Cpu)?.to_dtype(parameters)?)?;
        let grads = mish_affine(&x, &scale, &shift, 1)?.backward()?;
        let of = |var: &Var| {
            grads
                .get(var)
                .unwrap()
                .to_dtype(DType::F64)?
                .flatten_all()?
                .to_vec1()
        };
        Ok([of(&x)?, of(&scale)?, of(&shift)?])
    };
    let exact = gradients(DType::F64, DType::F64)?;
    for (dtype, half_ulp) in [(DType::F16, 1.0 / 2048.0), (DType::BF16, 1.0 / 256.0)] {
        let ours = gradients(dtype, DType::F32)?;
        for (what, tolerance) in [(0, 1.01 * half_ulp), (1, 1e-6), (2, 1e-6)] {
            let largest = exact[what].iter().fold(0f64, |a, b| a.max(b.abs()));
            for (ours, exact) in ours[what].iter().zip(&exact[what]) {
                let allowed = tolerance * if what == 0 { exact.abs() } else { largest };
                assert!(
                    (ours - exact).abs() <= allowed,
                    "{dtype:?}, gradient {what}: {ours}, expected {exact}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn layers_keep_their_dim() -> Result<()> {
    for dim in 0..3 {
        let x = random(&[4, 4, 4], 1);
        let [scale, shift] = [2, 3].map(|seed| random(&[4], seed));
        let layer = MishAffine::new(scale.clone(), shift.clone(), dim)?;
        let expected = mish_affine(&x, &scale, &shift, dim)?;
        assert_eq!(
            layer.forward(&x)?.flatten_all()?.to_vec1::<f64>()?,
            expected.flatten_all()?.to_vec1::<f64>()?
        );
    }
    Ok(())
}

/// Sums over many elements of a 16-bit type: each rounds once, and not in between.
#[test]
fn sums_are_not_in_half_precision() -> Result<()> {
    let n = 40_000;
    let x = Tensor::full(0.75f32, (n, 2), &Device::Cpu)?;
    let gradient = |dtype: DType| -> Result<Vec<f64>> {
        let bias = Var::from_tensor(&Tensor::new(&[0.5f32, -0.25], &Device::Cpu)?.to_dtype(dtype)?)?;
        // Gradients of 1/n, so that the sums stay within f16.
        let out = (mish_bias(&x.to_dtype(dtype)?, &bias, 1)? * (1.0 / n as f64))?;
        out.backward()?
            .get(&bias)
            .unwrap()
            .to_dtype(DType::F64)?
            .to_vec1()
    };
    let exact = gradient(DType::F64)?;
    // 1/n is rounded by up to 2⁻⁸ before it comes to us in bf16, 2⁻¹⁰ as a subnormal of f16; a sum in bf16 would stop growing
    // at 256 terms.
    for (dtype, tolerance) in [(DType::BF16, 0.008), (DType::F16, 0.004), (DType::F32, 1e-6)] {
        for (sum, exact) in gradient(dtype)?.iter().zip(&exact) {
            assert!(
                (sum / exact - 1.0).abs() < tolerance,
                "{dtype:?}: {sum}, expected {exact}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_second_derivative_is_not_supported() -> Result<()> {
    support::gradcheck::keep_gradient_graph();
    let x = Var::from_tensor(&random(&[2, 3], 1))?;
    let bias = Var::from_tensor(&random(&[3], 2))?;
    let grads = mish_bias(&x, &bias, 1)?.backward()?;
    for (var, op) in [
        (&x, "mish_bias_backward"),
        (&bias, "mish_bias_parameters_backward"),
    ] {
        let message = grads.get(var).unwrap().backward().unwrap_err().to_string();
        assert!(
            message.contains("not supported") && message.contains(op),
            "{message}"
        );
    }
    Ok(())
}

#[test]
fn batch_norm_is_folded() -> Result<()> {
    let device = &Device::Cpu;
    let (mean, variance) = (random(&[5], 1), (random(&[5], 2).sqr()? + 0.01)?);
    let (weight, bias) = (random(&[5], 3), random(&[5], 4));
    let x = random(&[2, 5, 3, 7], 5);
    for dtype in [DType::F64, DType::F32] {
        let of = |t: &Tensor| t.to_dtype(dtype).unwrap();
        let norms = [
            candle_nn::BatchNorm::new(5, of(&mean), of(&variance), of(&weight), of(&bias), 1e-3)?,
            candle_nn::BatchNorm::new_no_bias(5, of(&mean), of(&variance), 1e-3)?,
        ];
        for norm in norms {
            let folded = MishAffine::from_batch_norm(&norm)?;
            let (a, b) = (folded.scale(), folded.shift());
            assert_eq!((a.dtype(), a.dims(), b.dims()), (dtype, &[5][..], &[5][..]));
            let apart = mish(&norm.forward_t(&of(&x), false)?)?;
            let difference = (folded.forward(&of(&x))? - apart)?.abs()?.max_all()?;
            let difference = difference.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            // A few roundings of values up to about 20.
            let allowed = if dtype == DType::F64 { 2e-14 } else { 1e-5 };
            assert!(difference < allowed, "{dtype:?}: {difference:e}");
        }
    }
    for dtype in [DType::F16, DType::BF16] {
        let of = |t: &Tensor| t.to_dtype(dtype).unwrap();
        let norm = candle_nn::BatchNorm::new(5, of(&mean), of(&variance), of(&weight), of(&bias), 1e-3)?;
        assert_eq!(MishAffine::from_batch_norm(&norm)?.scale().dtype(), DType::F32);
    }
    // Exact to rounding: against the same in f64, from f32 parameters.
    let single = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
    let norm = candle_nn::BatchNorm::new(
        5,
        single(&mean),
        single(&variance),
        single(&weight),
        single(&bias),
        1e-3,
    )?;
    let folded = MishAffine::from_batch_norm(&norm)?;
    let values = |t: &Tensor| single(t).to_dtype(DType::F64)?.to_vec1::<f64>();
    let (mean, variance, weight, bias) = (
        values(&mean)?,
        values(&variance)?,
        values(&weight)?,
        values(&bias)?,
    );
    let (scale, shift) = (folded.scale().to_vec1::<f32>()?, folded.shift().to_vec1::<f32>()?);
    for i in 0..5 {
        let exact = weight[i] / (variance[i] + 1e-3).sqrt();
        assert_eq!(scale[i], exact as f32);
        assert_eq!(shift[i], (bias[i] - mean[i] * exact) as f32);
    }
    assert_eq!(device.location(), folded.scale().device().location());
    Ok(())
}
