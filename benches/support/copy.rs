//! The yardstick: a copy by memcpy, by as many threads as the ops have, into memory that is already mapped.

use candle_core::utils::barrier_pool;
use candle_core::{DType, Device, Result, Storage, Tensor};

/// Below this a second thread costs more than it saves: waking one takes some 5 µs, the time in which a core
/// copies 128 KiB within its L2.
const PARALLEL_MIN: usize = 256 * 1024;
/// Bytes per unit of work. Long enough for memcpy to run at full speed, short enough to balance the threads.
const UNIT: usize = 64 * 1024;

/// Source and destination of a copy. The source is a tensor as candle makes them; the destination has the huge
/// pages that our outputs have.
pub struct ParallelCopy {
    from: Tensor,
    to: Vec<u8>,
}

impl ParallelCopy {
    /// A copy that reads and writes `bytes` in all.
    pub fn moving(bytes: usize) -> Result<Self> {
        let len = bytes / 2;
        let mut to = Vec::with_capacity(len);
        super::memory::advise_huge_pages(&mut to);
        to.resize(len, 1);
        let from = Tensor::ones(len, DType::U8, &Device::Cpu)?;
        Ok(Self { from, to })
    }

    pub fn run(&mut self) -> Result<()> {
        let (storage, _) = self.from.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else {
            unreachable!()
        };
        let from = storage.as_slice::<u8>().expect("made as u8");
        if from.len() < PARALLEL_MIN {
            self.to.copy_from_slice(from);
            return Ok(());
        }
        let to = self.to.as_mut_ptr() as usize;
        barrier_pool().execute_chunked(from.len().div_ceil(UNIT), |units| {
            for unit in units {
                let part = &from[unit * UNIT..from.len().min((unit + 1) * UNIT)];
                // SAFETY: `to` is as long as `from`, and no two calls get the same unit.
                let to =
                    unsafe { std::slice::from_raw_parts_mut((to as *mut u8).add(unit * UNIT), part.len()) };
                to.copy_from_slice(part);
            }
        });
        Ok(())
    }
}
