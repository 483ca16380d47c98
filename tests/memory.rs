//! What a training step keeps alive, counted by the allocator: of this crate's ops the input only, of candle's
//! composed ones five tensors.

mod support;

use candle_core::{Device, Result, Tensor, Var};
use candle_mish::{mish, mish_affine, mish_bias, softplus, tanh_softplus};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use support::table::show;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: the caller keeps the rules of this very call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the rules of this very call.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Op = fn(&Tensor) -> Result<Tensor>;

const N: usize = 1 << 20;
const CHANNELS: usize = 1024;

/// In tensors of N f32 values, rounded; what else is allocated has to be small beside them.
fn tensors(bytes: usize) -> usize {
    let size = N * std::mem::size_of::<f32>();
    let n = (bytes + size / 2) / size;
    assert!(
        bytes.abs_diff(n * size) < size / 50,
        "{bytes} bytes are no whole number of tensors"
    );
    n
}

/// Tensors alive for the sake of the op's backward pass, its input among them, and the most that were alive at a
/// time on top of the input.
fn training_step(op: Op) -> [usize; 2] {
    let run = || -> Result<[usize; 2]> {
        // Threads, tables and other things that stay are there after a first step.
        let x = Var::from_tensor(&Tensor::full(0.5f32, N, &Device::Cpu)?)?;
        op(&x)?.sum_all()?.backward()?;
        drop(x);
        let empty = LIVE.load(Relaxed);
        let x = Var::from_tensor(&Tensor::full(0.5f32, N, &Device::Cpu)?)?;
        let with_input = LIVE.load(Relaxed);
        assert_eq!(tensors(with_input - empty), 1);
        PEAK.store(with_input, Relaxed);
        let y = op(&x)?;
        // All but the output, whose fate is the next op's business.
        let retained = tensors(LIVE.load(Relaxed) - empty) - 1;
        let grads = y.sum_all()?.backward()?;
        let peak = tensors(PEAK.load(Relaxed) - with_input);
        assert!(grads.get(&x).is_some());
        Ok([retained, peak])
    };
    run().unwrap()
}

fn rows(x: &Tensor) -> Result<Tensor> {
    x.reshape((N / CHANNELS, CHANNELS))
}

fn parameter() -> Result<Tensor> {
    Tensor::ones(CHANNELS, candle_core::DType::F32, &Device::Cpu)
}

/// One test, as the count is the whole process's.
#[test]
fn retained_by_a_training_step() {
    let softplus_composed: Op = |x| (x.exp()? + 1.0)?.log();
    // With x as 1024 channels of 1024 elements each; parameters are small beside it.
    let affine: Op = |x| mish_affine(&rows(x)?, &parameter()?, &parameter()?, 0);
    let bias: Op = |x| mish_bias(&rows(x)?, &parameter()?, 1);
    let affine_composed: Op = |x| {
        let scaled = rows(x)?
            .broadcast_mul(&parameter()?)?
            .broadcast_add(&parameter()?)?;
        candle_nn::ops::mish(&scaled)
    };
    let ops: [(&str, Op, usize); 8] = [
        ("mish", mish, 1),
        ("softplus", softplus, 1),
        ("tanh_softplus", tanh_softplus, 1),
        ("mish_affine", affine, 1),
        ("mish_bias", bias, 1),
        ("candle_nn::ops::mish", candle_nn::ops::mish, 5),
        ("candle scale, shift and mish", affine_composed, 7),
        ("candle log(exp(x) + 1)", softplus_composed, 3),
    ];
    let lines = ops.map(|(name, op, expected)| {
        let [retained, peak] = training_step(op);
        assert_eq!(retained, expected, "{name}");
        format!("{name}: {retained} tensors retained, {peak} more than the input at the peak of the step\n")
    });
    show(&lines.concat());
}
