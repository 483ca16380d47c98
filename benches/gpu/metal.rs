//! A Metal device, timed by the clock of the host around a wait for all that was queued: candle keeps the command
//! buffers to itself, and with them the device's own times.

use candle_core::{bail, DType, Device, MetalDevice, Result, Storage, Tensor};
use std::time::Instant;

pub struct Gpu(MetalDevice);

impl Gpu {
    /// MSL has no f64.
    pub const DTYPES: &[DType] = &[DType::F16, DType::BF16, DType::F32];
    /// In a sample: the wait takes some 0.1 ms.
    pub const SAMPLE_SECONDS: f64 = 2e-2;
    /// Elements of a tensor: four of f32 take 1 GiB, of the 7 GB that the smallest machines have.
    pub const LARGEST: usize = 1 << 26;

    pub fn open() -> Result<(Device, Self)> {
        let device = Device::new_metal(0)?;
        let metal = device.as_metal_device()?.clone();
        Ok((device, Self(metal)))
    }

    /// Seconds until all calls are done.
    pub fn time(&self, calls: usize, call: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
        self.0.wait_until_completed()?;
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        self.0.wait_until_completed()?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// A blit of a tensor's bytes.
    pub fn copy(&self, from: &Tensor) -> Result<impl FnMut() -> Result<()>> {
        let device = self.0.clone();
        let bytes = from.elem_count() * from.dtype().size_in_bytes();
        let (storage, _) = from.storage_and_layout();
        let Storage::Metal(storage) = &*storage else {
            bail!("expected a tensor on a Metal device")
        };
        let from = storage.buffer().clone();
        let to = device.new_buffer_builder().with_zeros(bytes).build()?;
        Ok(move || {
            let mut blit = device.blit_command_encoder()?;
            blit.copy_from_buffer(&from, 0, &to, 0, bytes);
            Ok(())
        })
    }
}
