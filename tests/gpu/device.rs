//! What only a real device can fail at: concurrency, candle's graph, sizes, memory.

use super::support::backend::{assert_alike, bits, Backend, Candle, Function};
use super::support::fused::{self, CandleFused};
use super::support::inplace::{every_layout, OPS};
use super::support::layouts::tensor;
use super::support::sweep::every_input;
use super::support::ulp::Element;
use candle_core::{DType, Device, Tensor, Var};
use candle_mish::{mish, mish_affine, softplus, tanh_softplus, Activation, Derivative};
use half::{bf16, f16};

pub type Test = (&'static str, fn(&Device));

/// The tests, and whether they take minutes or most of a device's memory.
pub fn all() -> impl Iterator<Item = (&'static Test, bool)> {
    let large = LARGE.iter().map(|test| (test, true));
    SMALL.iter().map(|test| (test, false)).chain(large)
}

const SMALL: &[Test] = &[
    ("threads_at_once", threads),
    ("a_thousand_ops_in_a_row", in_a_row),
    ("two_ops_in_one_graph", one_graph),
    ("operands_freed_right_after_the_call", freed),
    ("out_of_memory_is_an_error", out_of_memory),
    ("bad_input", bad_input),
    ("in_place", every_layout),
    ("affine_values", |d| {
        fused::values_of_every_op(&CandleFused(d.clone()))
    }),
    ("affine_random_shapes_layouts_and_dims", |d| {
        fused::random_cases(&CandleFused(d.clone()), 400)
    }),
    ("affine_views", |d| {
        fused::layouts_of_every_op(&CandleFused(d.clone()))
    }),
    ("affine_empty", |d| fused::empty(&CandleFused(d.clone()))),
    ("affine_gradients", affine_gradients),
];

const LARGE: &[Test] = &[
    ("more_than_2_to_32_elements", huge),
    ("indices_of_64_bits", far),
    ("f32_every_input", |d| every_input(&Candle(d.clone()), 1 << 20)),
];

const MISH_D1: Function = Function {
    activation: Activation::Mish,
    order: 1,
};

/// Eight threads on one device, each with kernels that it is the first to ask for.
fn threads(device: &Device) {
    let work = |device: &Device| {
        let x = tensor::<f32>(&[301, 333], 1, device);
        let g = tensor::<f32>(&[333, 301], 2, device).t().unwrap();
        let apply = |f: Function| {
            let g = (f.order > 0).then_some(&g);
            bits::<f32>(&Candle(device.clone()).apply(f, &x, g).unwrap())
        };
        Function::plain().into_iter().map(apply).collect::<Vec<_>>()
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| work(device))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let expected = work(device);
    assert!(results.into_iter().all(|result| result == expected));
}

/// A chain without a synchronisation in between gives what the same ops give one at a time.
fn in_a_row(device: &Device) {
    let start = tensor::<f32>(&[70_001], 3, device).affine(0.0, 1.0).unwrap();
    let step = |x: &Tensor| (tanh_softplus(&softplus(&mish(x).unwrap()).unwrap()).unwrap() * 3.0).unwrap();
    let run = |synchronise: bool| {
        let mut x = start.clone();
        for _ in 0..333 {
            x = step(&x);
            if synchronise {
                device.synchronize().unwrap();
            }
        }
        bits::<f32>(&x)
    };
    assert_eq!(run(false), run(true));
}

/// Gradients through two of our ops and a shared input, against the same on the CPU in f64.
fn one_graph(device: &Device) {
    let dtype = if device.is_metal() { DType::F32 } else { DType::F64 };
    let values = tensor::<f32>(&[257, 129], 4, &Device::Cpu)
        .clamp(-20f32, 20f32)
        .unwrap();
    let gradient = |device: &Device, dtype: DType| {
        let x = Var::from_tensor(&values.to_dtype(dtype).unwrap().to_device(device).unwrap()).unwrap();
        let loss = (mish(&x.t().unwrap()).unwrap() * softplus(&x.t().unwrap()).unwrap()).unwrap();
        let loss = (loss.sum_all().unwrap() + tanh_softplus(&x).unwrap().sum_all().unwrap()).unwrap();
        let gradient = loss.backward().unwrap().get(&x).unwrap().clone();
        gradient
            .to_device(&Device::Cpu)
            .unwrap()
            .to_dtype(DType::F64)
            .unwrap()
    };
    let (ours, expected) = (gradient(device, dtype), gradient(&Device::Cpu, DType::F64));
    let error = (ours - expected).unwrap().abs().unwrap().max_all().unwrap();
    let (error, bound) = (
        error.to_scalar::<f64>().unwrap(),
        if dtype == DType::F64 { 1e-13 } else { 1e-4 },
    );
    assert!(error < bound, "gradients differ by {error:e}");
}

/// Gradients of all arguments through candle's graph, against the same on the CPU.
fn affine_gradients(device: &Device) {
    let cpu = &Device::Cpu;
    let values = [
        tensor::<f32>(&[7, 64, 33], 6, cpu),
        tensor::<f32>(&[64], 7, cpu),
        tensor::<f32>(&[64], 8, cpu),
    ]
    .map(|t| t.clamp(-4f32, 4f32).unwrap());
    let gradients = |device: &Device| {
        let vars = values
            .each_ref()
            .map(|t| Var::from_tensor(&t.to_device(device).unwrap()).unwrap());
        let [x, scale, shift] = &vars;
        let loss = mish_affine(x, scale, shift, 1)
            .unwrap()
            .sqr()
            .unwrap()
            .sum_all()
            .unwrap();
        let grads = loss.backward().unwrap();
        vars.map(|var| grads.get(&var).unwrap().to_device(cpu).unwrap())
    };
    for (ours, expected) in gradients(device).into_iter().zip(gradients(cpu)) {
        let largest = |t: Tensor| t.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        let error = largest((ours - &expected).unwrap()) / largest(expected);
        assert!(error < 1e-5, "gradients differ by {error:e} of the largest");
    }
}

/// The memory of an operand that is dropped while its kernel is on its way may serve the next one.
fn freed(device: &Device) {
    let expected = bits::<f32>(&mish(&tensor::<f32>(&[100_003], 5, device)).unwrap());
    for _ in 0..200 {
        let y = {
            let x = tensor::<f32>(&[100_003], 5, device);
            mish(&x).unwrap()
        };
        let overwrites = Tensor::full(7f32, 100_003, device).unwrap();
        let actual = bits::<f32>(&y);
        drop(overwrites);
        assert_eq!(actual, expected);
    }
}

/// Needs 26 GB; on Metal 52, as candle's buffers there are powers of two.
fn huge(device: &Device) {
    let n = (1usize << 32) + (1 << 20) + 5;
    let check = |y: &Tensor, expected: f64| {
        let expected = vec![f16::from_f64(expected).to_bits() as u64; 1000];
        for start in [0, (1 << 31) - 500, (1 << 32) - 500, y.elem_count() - 1000] {
            let part = y.narrow(0, start, 1000).unwrap().force_contiguous().unwrap();
            assert_eq!(bits::<f16>(&part), expected, "at {start}");
        }
    };
    let ln2 = f16::from_f64(std::f64::consts::LN_2).to_f64();
    let x = Tensor::zeros(n, DType::F16, device).unwrap();
    let y = softplus(&x).unwrap();
    check(&y, ln2);
    // Misaligned: the strided kernel, with 64-bit indices.
    let [x, g] = [x, y].map(|t| t.narrow(0, 1, n - 1).unwrap());
    let derivative = Derivative::new(Activation::Mish, 1).unwrap();
    check(&x.apply_op2(&g, derivative).unwrap(), 0.6 * ln2);
}

/// Every kernel for 64-bit indices, over few elements that lie far apart: 34 GB in f64.
fn far(device: &Device) {
    fn of<T: Element, C: Element>(device: &Device) {
        const DIMS: [usize; 2] = [2, 1000];
        let near = tensor::<T>(&DIMS, 9, device);
        let whole = Tensor::zeros((2, 1usize << 31), T::DTYPE, device).unwrap();
        let (far, g) = (
            whole.narrow(1, 8, DIMS[1]).unwrap(),
            tensor::<T>(&DIMS, 10, device),
        );
        let fill = || whole.slice_set(&near, 1, 8).unwrap();
        fill();
        let backend = Candle(device.clone());
        for f in Function::all() {
            let g = (f.order > 0).then_some(&g);
            let [far, near] = [&far, &near].map(|x| backend.apply(f, x, g).unwrap());
            assert_alike::<T>(&f, &far, &near);
        }
        for (name, in_place, op) in OPS {
            let expected = op(&near).unwrap();
            // The first call of a thread.
            std::thread::scope(|s| s.spawn(|| in_place(&far).unwrap()).join()).unwrap();
            assert_alike::<T>(&name, &far, &expected);
            fill();
        }
        fused::far::<T, C>(&CandleFused(device.clone()), [&far, &near], &g);
    }
    of::<f16, f32>(device);
    of::<bf16, f32>(device);
    of::<f32, f32>(device);
    if !device.is_metal() {
        of::<f64, f64>(device);
    }
}

fn out_of_memory(device: &Device) {
    let one = Tensor::ones(1, DType::F32, device).unwrap();
    let expected = mish(&one).unwrap().to_vec1::<f32>().unwrap();
    // 4 TiB.
    let result = mish(&one.broadcast_as(1usize << 40).unwrap());
    assert!(result.is_err(), "4 TiB were allocated");
    assert_eq!(mish(&one).unwrap().to_vec1::<f32>().unwrap(), expected);
}

fn bad_input(device: &Device) {
    let ones = |dims: &[usize], dtype, device: &Device| Tensor::ones(dims, dtype, device).unwrap();
    let refused = |x: &Tensor, g: &Tensor, parts: &[&str]| {
        let backend = Candle(device.clone());
        let message = backend
            .apply(MISH_D1, x, Some(g))
            .expect_err("bad input was taken")
            .to_string()
            .to_lowercase();
        parts
            .iter()
            .for_each(|part| assert!(message.contains(part), "{message:?} lacks {part:?}"));
    };
    let x = ones(&[2, 3], DType::F32, device);
    refused(
        &x,
        &ones(&[3, 2], DType::F32, device),
        &["mish_backward", "[2, 3]", "[3, 2]"],
    );
    refused(
        &x,
        &ones(&[2, 3], DType::F16, device),
        &["mish_backward", "f32", "f16"],
    );
    refused(&x, &ones(&[2, 3], DType::F32, &Device::Cpu), &["mish_backward"]);
    let integers = ones(&[2, 3], DType::U8, device);
    refused(&integers, &integers, &["mish_backward", "u8"]);
    if device.is_metal() {
        // No such type in MSL. candle makes tensors of it, so the op has to refuse it.
        let message = Tensor::zeros(3, DType::F64, &Device::Cpu)
            .and_then(|x| mish(&x.to_device(device)?))
            .map(|_| ())
            .unwrap_err();
        assert!(message.to_string().to_lowercase().contains("f64"), "{message}");
    }
}
