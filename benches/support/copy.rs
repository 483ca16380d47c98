//! The yardstick: a copy by memcpy, by as many threads as the ops have, into memory that is already mapped.

use super::memory::{self, OWN_MAPPING};
use candle_core::utils::barrier_pool;
use candle_core::Result;

/// Below this a second thread costs more than it saves: waking one takes some 5 µs, the time in which a core
/// copies 128 KiB within its L2.
const PARALLEL_MIN: usize = 256 * 1024;
/// Bytes per unit of work. Long enough for memcpy to run at full speed, short enough to balance the threads.
const UNIT: usize = 64 * 1024;

/// Source and destination of a copy. The source is in small pages, as tensors that candle makes; the destination has the huge
/// pages that our outputs have.
pub struct ParallelCopy {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl ParallelCopy {
    /// A copy that reads and writes `bytes` in all.
    pub fn moving(bytes: usize) -> Self {
        let len = bytes / 2;
        // In this order: where both are from the heap, a destination that trails its source by 16 bytes takes twice as long.
        let mut to = apart(len);
        memory::advise_huge_pages(&mut to.spare_capacity_mut()[..len]);
        to.resize(len, 1);
        let mut from = apart(len);
        from.resize(len, 1);
        Self { from, to }
    }

    pub fn run(&mut self) -> Result<()> {
        let from = &self.from[..];
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

/// Room for so many bytes in a mapping of its own. Between a tensor and the next, it would place the outputs of the ops that the
/// copy is compared to: 48 bytes behind their inputs, but for a multiple of 4 KiB, where these are up to 15 % slower than 16 bytes
/// behind.
fn apart(len: usize) -> Vec<u8> {
    Vec::with_capacity(len.max(OWN_MAPPING))
}
