//! On a CUDA or Metal device: ours, candle's composed op, candle's relu and a copy within the device; and what a call
//! on few elements costs the host.
//!
//! Outputs are fresh in every call, from the driver's or candle's pool; the copy writes into memory it has.
//!   cargo bench --features cuda --bench gpu [-- --json] [-- --sizes 1048576,67108864]
//!   cargo bench --features cuda --bench gpu -- --first-calls
//!   ncu … cargo bench --features cuda --bench gpu -- --once --sizes 67108864
//! and the same with metal; with cuda also what else the contiguous kernels could be launched like (variants.rs):
//!   ci/cuda-variants FOLDER && cargo bench --features cuda --bench gpu -- --variants FOLDER [--sizes 67108864]

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "metal")]
mod metal;
#[cfg(feature = "cuda")]
mod variants;

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_mish::{Activation, Derivative};
use std::time::Instant;

#[cfg(feature = "cuda")]
use cuda::Gpu;
#[cfg(all(feature = "metal", not(feature = "cuda")))]
use metal::Gpu;

/// Up to what the device has the memory for.
const SIZES: [usize; 7] = [1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28];
/// Beyond it, candle's composed op with its four temporaries would measure the allocator.
const COMPOSED_MAX: usize = 1 << 26;
const SAMPLES: usize = 21;

struct Bench {
    device: Device,
    gpu: Gpu,
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
    /// Seconds per call: the median of the samples.
    fn seconds(&self, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
        let mut sample =
            |calls: usize| Ok::<_, candle_core::Error>(self.gpu.time(calls, &mut call)? / calls as f64);
        sample(3)?;
        let calls = (Gpu::SAMPLE_SECONDS / sample(10)?).ceil().clamp(1.0, 1000.0) as usize;
        let samples = (0..SAMPLES).map(|_| sample(calls)).collect::<Result<Vec<_>>>()?;
        Ok(median(samples))
    }

    /// An idle device has low clocks, and takes a while to raise them.
    fn warm_up(&self) -> Result<()> {
        let x = self.tensor(1 << 20, DType::F32)?;
        let (start, mut copy) = (Instant::now(), self.gpu.copy(&x)?);
        while start.elapsed().as_secs_f64() < 0.3 {
            self.gpu.time(100, &mut copy)?;
        }
        Ok(())
    }

    fn tensor(&self, n: usize, dtype: DType) -> Result<Tensor> {
        Tensor::randn(0f32, 3f32, n, &self.device)?.to_dtype(dtype)
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
        // What reads and writes 2n, with values as ours have, whose bits cost power.
        let (x, g) = (self.tensor(n, dtype)?, self.tensor(n, dtype)?);
        let copy = self.seconds(self.gpu.copy(&x)?)?;
        let case = |op, pass| Case {
            op,
            pass,
            dtype,
            n,
            copy,
        };
        self.row(&case("copy", "forward"), "copy", copy);
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

    /// Every op and pass, for a profiler.
    fn once(&self, dtype: DType, n: usize) -> Result<()> {
        let (x, g) = (self.tensor(n, dtype)?, self.tensor(n, dtype)?);
        for activation in Activation::ALL {
            activation.forward(&x)?;
            x.apply_op2_no_bwd(&g, &Derivative::new(activation, 1)?)?;
        }
        self.device.synchronize()
    }

    /// Milliseconds of the first call of a process, in which the driver compiles what it has not kept.
    fn first_calls(&self) -> Result<()> {
        let x = Tensor::ones((2, 3), DType::F32, &self.device)?;
        let row = Tensor::ones(3, DType::F32, &self.device)?;
        println!("| first call | ms |\n| --- | ---: |");
        let measure = |what: &str, call: &dyn Fn() -> Result<Tensor>| -> Result<()> {
            self.device.synchronize()?;
            let start = Instant::now();
            call()?;
            self.device.synchronize()?;
            println!("| {what} | {:.1} |", start.elapsed().as_secs_f64() * 1e3);
            Ok(())
        };
        measure("relu", &|| x.relu())?;
        measure("mish", &|| candle_mish::mish(&x))?;
        measure("mish, again", &|| candle_mish::mish(&x))?;
        measure("mish_affine", &|| candle_mish::mish_affine(&x, &row, &row, 1))
    }

    /// Microseconds of host time per call: calls that are queued, without waiting for the device. In turns.
    fn launch_overhead(&self) -> Result<()> {
        const CALLS: u32 = 500;
        let x = self.tensor(1024, DType::F32)?;
        let transposed = self.tensor(1024, DType::F32)?.reshape((32, 32))?.t()?;
        let ops: [(&str, &dyn Fn() -> Result<Tensor>); 4] = [
            ("mish", &|| candle_mish::mish(&x)),
            ("relu", &|| x.relu()),
            ("mish, transposed", &|| candle_mish::mish(&transposed)),
            ("relu, transposed", &|| transposed.relu()),
        ];
        let mut samples = [(); 4].map(|()| Vec::new());
        // The first round is for what comes with first calls.
        for round in 0..=SAMPLES {
            for ((_, call), samples) in ops.iter().zip(&mut samples) {
                self.device.synchronize()?;
                let start = Instant::now();
                for _ in 0..CALLS {
                    call()?;
                }
                let micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS);
                if round > 0 {
                    samples.push(micros);
                }
            }
        }
        self.device.synchronize()?;
        if !self.json {
            println!("\n| host time of a call on 1024 elements | us | quartiles |\n| --- | ---: | ---: |");
        }
        for ((what, _), samples) in ops.iter().zip(samples) {
            let [low, middle, high] = quartiles(samples);
            if self.json {
                let figures = format!("\"us\": {middle:.3}, \"low\": {low:.3}, \"high\": {high:.3}");
                println!(
                    "{{\"peer\": \"candle launch\", \"op\": \"{what}\", \"elements\": 1024, {figures}}}"
                );
            } else {
                println!("| {what} | {middle:.2} | {low:.2} to {high:.2} |");
            }
        }
        Ok(())
    }
}

fn median(samples: Vec<f64>) -> f64 {
    quartiles(samples)[1]
}

fn quartiles(mut samples: Vec<f64>) -> [f64; 3] {
    samples.sort_by(f64::total_cmp);
    [1, 2, 3].map(|k| samples[k * (samples.len() - 1) / 4])
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
    let chosen: Option<Vec<usize>> = sizes.map(|list| {
        let numbers = list.split(',').map(str::parse);
        numbers
            .collect::<std::result::Result<_, _>>()
            .expect("--sizes takes numbers of elements")
    });
    let (device, gpu) = Gpu::open()?;
    #[cfg(feature = "cuda")]
    if let Some(at) = arguments.iter().position(|a| a == "--variants") {
        let folder = arguments.get(at + 1).expect("--variants takes a folder");
        let n = chosen.map_or(variants::N, |sizes| sizes[0]);
        return variants::run(&device, &gpu, folder.as_ref(), n);
    }
    let all = || SIZES.into_iter().filter(|n| *n <= Gpu::LARGEST).collect();
    let sizes = chosen.unwrap_or_else(all);
    let bench = Bench {
        device,
        gpu,
        json: arguments.iter().any(|a| a == "--json"),
    };
    if arguments.iter().any(|a| a == "--first-calls") {
        return bench.first_calls();
    }
    if arguments.iter().any(|a| a == "--once") {
        return Gpu::DTYPES
            .iter()
            .try_for_each(|dtype| sizes.iter().try_for_each(|n| bench.once(*dtype, *n)));
    }
    if !bench.json {
        println!("| op | dtype | elements | contender | us | GB/s | of copy |\n| --- | --- | --- | --- | --- | --- | --- |");
    }
    bench.warm_up()?;
    for &dtype in Gpu::DTYPES {
        for &n in &sizes {
            bench.size(dtype, n)?;
        }
    }
    bench.launch_overhead()
}
