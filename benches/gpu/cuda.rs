//! A CUDA device, timed with its events.

use candle_core::cuda_backend::cudarc::driver::result::{device, mem_pool, memcpy_dtod_async};
use candle_core::cuda_backend::cudarc::driver::sys::CUdeviceptr;
use candle_core::cuda_backend::cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
use candle_core::cuda_backend::cudarc::driver::DevicePtr;
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::{bail, CudaDevice, DType, Device, Result, Storage, Tensor};

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

    /// A copy of a tensor's bytes.
    pub fn copy(&self, from: &Tensor) -> Result<impl FnMut() -> Result<()>> {
        let stream = self.0.cuda_stream();
        let bytes = from.elem_count() * from.dtype().size_in_bytes();
        let to = from.zeros_like()?;
        let (source, target) = (pointer(from)?, pointer(&to)?);
        let from = from.clone();
        Ok(move || {
            let _kept = (&from, &to);
            // SAFETY: both tensors are contiguous, of so many bytes, and live as long as this; the stream is theirs.
            unsafe { memcpy_dtod_async(target, source, bytes, stream.cu_stream()) }.w()
        })
    }
}

/// Where a contiguous tensor begins.
pub fn pointer(tensor: &Tensor) -> Result<CUdeviceptr> {
    let (storage, _) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        bail!("expected a tensor on a CUDA device")
    };
    let stream = storage.device.cuda_stream();
    Ok(match &storage.slice {
        CudaStorageSlice::F16(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::BF16(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::F32(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::F64(slice) => slice.device_ptr(&stream).0,
        _ => bail!("{:?} has no kernels", tensor.dtype()),
    })
}
