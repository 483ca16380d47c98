//! What memory.h is told and reports, and where it is.

/// `struct Region` of memory.h.
#[repr(C)]
pub struct Region {
    pub base: u64,
    pub bytes: u64,
    pub window: u64,
    pub window_bytes: u64,
    pub size: u64,
    pub data: *mut u8,
    pub writes: *mut u8,
}

impl Region {
    /// Elements of `size` bytes that are made up, and must not be written.
    pub fn new(base: u64, bytes: u64, size: u64) -> Self {
        Self {
            base,
            bytes,
            window: 0,
            window_bytes: 0,
            size,
            data: std::ptr::null_mut(),
            writes: std::ptr::null_mut(),
        }
    }
}

/// `struct Report` of memory.h.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Report {
    pub bytes_written: u64,
    pub fault_address: u64,
    pub fault: u32,
    pad: u32,
}

/// Where operands and output lie: apart, and aligned as allocations of a GPU are.
pub const BASES: [u64; 3] = [1 << 44, 2 << 44, 3 << 44];
