//! A CUDA device, timed with its events.

use candle_core::cuda_backend::cudarc::driver::result::{device, mem_pool};
use candle_core::cuda_backend::cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
use candle_core::cuda_backend::WrapErr;
use candle_core::{CudaDevice, DType, Device, Result};

pub struct Gpu(CudaDevice);

impl Gpu {
    pub const DTYPES: &[DType] = &[DType::F16, DType::BF16, DType::F32, DType::F64];
    /// In a sample: events have a resolution of half a microsecond.
    pub const SAMPLE_SECONDS: f64 = 2e-3;
    /// Elements of a tensor.
    pub const LARGEST: usize = 1 << 28;

    pub fn open() -> Result<(Device, Self)> {
        let device = Device::new_cuda(0)?;
        let cuda = device.as_cuda_device()?.clone();
        // SAFETY: one stream only. Events for others would be part of what is timed.
        unsafe { cuda.disable_event_tracking() };
        // What has been freed is kept, as PyTorch's allocator does. By default the driver takes it back whenever the device is
        // waited for, and maps it anew within the next sample.
        let mut threshold = u64::MAX;
        // SAFETY: the context's device has a pool, and this attribute of it is a u64.
        unsafe {
            let pool = device::get_default_mem_pool(cuda.cuda_stream().context().cu_device()).w()?;
            mem_pool::set_attribute(
                pool,
                CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                (&raw mut threshold).cast(),
            )
            .w()?;
        }
        Ok((device, Self(cuda)))
    }

    /// Seconds of device time.
    pub fn time(&self, calls: usize, call: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
        let stream = self.0.cuda_stream();
        let start = stream.record_event(Some(CU_EVENT_DEFAULT)).w()?;
        for _ in 0..calls {
            call()?;
        }
        let end = stream.record_event(Some(CU_EVENT_DEFAULT)).w()?;
        Ok(f64::from(start.elapsed_ms(&end).w()?) / 1e3)
    }

    /// A copy of so many bytes.
    pub fn copy(&self, bytes: usize) -> Result<impl FnMut() -> Result<()>> {
        let stream = self.0.cuda_stream();
        let from = stream.alloc_zeros::<u8>(bytes).w()?;
        let mut to = stream.alloc_zeros::<u8>(bytes).w()?;
        Ok(move || stream.memcpy_dtod(&from, &mut to).w())
    }
}
