//! On a CUDA device, timed with its events: ours, candle's composed op, candle's relu and a device-to-device copy;
//! and what a call on few elements costs the host.
//!
//! Outputs are fresh in every call, from the driver's pool; the copy writes into memory it has.
//!   cargo bench --features cuda --bench gpu [-- --json] [-- --sizes 1048576,67108864]

use candle_core::cuda_backend::cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use candle_core::cuda_backend::WrapErr;
use candle_core::{CudaDevice, DType, Device, Module, Result, Tensor};
use candle_mish::{Activation, Derivative};
use std::time::Instant;

const SIZES: [usize; 7] = [1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28];
const DTYPES: [DType; 3] = [DType::F16, DType::BF16, DType::F32];
/// Beyond it, candle's composed op with its four temporaries would measure the allocator.
const COMPOSED_MAX: usize = 1 << 26;
const SAMPLES: usize = 21;
/// Of device time in a sample: events have a resolution of half a microsecond.
const SAMPLE_SECONDS: f64 = 2e-3;

struct Bench {
    device: Device,
    cuda: CudaDevice,
    json: bool,
}

/// What is timed, and the seconds that a copy of n elements takes.
struct Case {
    op: &'static str,
    pass: &'static str,
    dtype: DType,
    n: usize,
    copy: f64,
}

impl Bench {
    /// Seconds of device time per call: the median of the samples.
    fn seconds(&self, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
        let stream = self.cuda.cuda_stream();
        let mut sample = |calls: usize| -> Result<f64> {
            let start = stream.record_event(Some(CU_EVENT_DEFAULT)).w()?;
            for _ in 0..calls {
                call()?;
            }
            let end = stream.record_event(Some(CU_EVENT_DEFAULT)).w()?;
            Ok(f64::from(start.elapsed_ms(&end).w()?) / 1e3 / calls as f64)
        };
        sample(3)?;
        let calls = (SAMPLE_SECONDS / sample(10)?).ceil().clamp(1.0, 1000.0) as usize;
        let mut samples = (0..SAMPLES).map(|_| sample(calls)).collect::<Result<Vec<_>>>()?;
        samples.sort_by(f64::total_cmp);
        Ok(samples[SAMPLES / 2])
    }

    fn tensor(&self, n: usize, dtype: DType) -> Result<Tensor> {
        Tensor::randn(0f32, 3f32, n, &self.device)?.to_dtype(dtype)
    }

    /// A copy of one tensor to another: what reads and writes 2n.
    fn copy(&self, n: usize, dtype: DType) -> Result<f64> {
        let bytes = n * dtype.size_in_bytes();
        let stream = self.cuda.cuda_stream();
        let from = stream.alloc_zeros::<u8>(bytes).w()?;
        let mut to = stream.alloc_zeros::<u8>(bytes).w()?;
        self.seconds(|| stream.memcpy_dtod(&from, &mut to).w())
    }

    fn row(&self, case: &Case, contender: &str, seconds: f64) {
        let Case {
            op,
            pass,
            dtype,
            n,
            copy,
        } = *case;
        let tensors = if pass == "forward" { 2 } else { 3 };
        let gb = (tensors * n * dtype.size_in_bytes()) as f64 / seconds / 1e9;
        let of_copy = 100.0 * gb / ((2 * n * dtype.size_in_bytes()) as f64 / copy / 1e9);
        let (dtype, micros) = (dtype.as_str(), seconds * 1e6);
        if self.json {
            let what = format!("\"peer\": \"candle {contender}\", \"op\": \"{op}\", \"pass\": \"{pass}\"");
            let figures = format!("\"us\": {micros:.3}, \"gb_s\": {gb:.1}, \"copy\": {of_copy:.1}");
            println!("{{{what}, \"dtype\": \"{dtype}\", \"elements\": {n}, {figures}}}");
        } else {
            println!(
                "| {op} {pass} | {dtype} | {n} | {contender} | {micros:.1} | {gb:.0} | {of_copy:.0} % |"
            );
        }
    }

    fn size(&self, dtype: DType, n: usize) -> Result<()> {
        let copy = self.copy(n, dtype)?;
        let case = |op, pass| Case {
            op,
            pass,
            dtype,
            n,
            copy,
        };
        self.row(&case("copy", "forward"), "copy", copy);
        let (x, g) = (self.tensor(n, dtype)?, self.tensor(n, dtype)?);
        let relu = self.seconds(|| x.relu().map(drop))?;
        self.row(&case("relu", "forward"), "relu", relu);
        for activation in Activation::ALL {
            let (forward, backward) = (
                case(activation.name(), "forward"),
                case(activation.name(), "backward"),
            );
            self.row(
                &forward,
                "ours",
                self.seconds(|| activation.forward(&x).map(drop))?,
            );
            if n <= COMPOSED_MAX {
                let seconds = self.seconds(|| composed(activation, &x).map(drop))?;
                self.row(&forward, "composed", seconds);
            }
            let op = Derivative::new(activation, 1)?;
            let seconds = self.seconds(|| x.apply_op2_no_bwd(&g, &op).map(drop))?;
            self.row(&backward, "ours", seconds);
        }
        Ok(())
    }

    /// Microseconds of host time per call: calls that are queued, without waiting for the device.
    fn launch_overhead(&self) -> Result<()> {
        const CALLS: u32 = 2000;
        let x = self.tensor(1024, DType::F32)?;
        let transposed = self.tensor(1024, DType::F32)?.reshape((32, 32))?.t()?;
        let measure = |what: &str, call: &dyn Fn() -> Result<Tensor>| -> Result<()> {
            for _ in 0..100 {
                call()?;
            }
            self.device.synchronize()?;
            let start = Instant::now();
            for _ in 0..CALLS {
                call()?;
            }
            let micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS);
            self.device.synchronize()?;
            if self.json {
                println!("{{\"peer\": \"candle launch\", \"op\": \"{what}\", \"elements\": 1024, \"us\": {micros:.3}}}");
            } else {
                println!("| {what} | {micros:.2} |");
            }
            Ok(())
        };
        if !self.json {
            println!("\n| host time of a call on 1024 elements | us |\n| --- | --- |");
        }
        measure("mish", &|| candle_mish::mish(&x))?;
        measure("mish, transposed", &|| candle_mish::mish(&transposed))?;
        measure("relu", &|| x.relu())?;
        measure("relu, transposed", &|| transposed.relu())
    }
}

/// The op as candle's users write it without this crate.
fn composed(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Mish => candle_nn::ops::mish(x),
        Activation::Softplus(_) => (x.exp()? + 1.)?.log(),
        Activation::TanhSoftplus => (x.exp()? + 1.)?.log()?.tanh(),
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let sizes = arguments
        .iter()
        .position(|a| a == "--sizes")
        .and_then(|i| arguments.get(i + 1));
    let sizes: Vec<usize> = match sizes {
        Some(list) => list
            .split(',')
            .map(|n| n.parse().expect("--sizes takes numbers of elements"))
            .collect(),
        None => SIZES.to_vec(),
    };
    let device = Device::new_cuda(0)?;
    let cuda = device.as_cuda_device()?.clone();
    // SAFETY: one stream only. Events for others would be part of what is timed.
    unsafe { cuda.disable_event_tracking() };
    let bench = Bench {
        device,
        cuda,
        json: arguments.iter().any(|a| a == "--json"),
    };
    if !bench.json {
        println!("| op | dtype | elements | contender | us | GB/s | of copy |\n| --- | --- | --- | --- | --- | --- | --- |");
    }
    for dtype in DTYPES {
        for &n in &sizes {
            bench.size(dtype, n)?;
        }
    }
    bench.launch_overhead()
}
