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

/// Counts the writes to each byte of a region.
pub struct Writes(Vec<u8>);

impl Writes {
    pub fn new(bytes: usize) -> Self {
        Self(vec![0; bytes])
    }

    /// A region over these values. `counted` where they may be written.
    pub fn region<T>(values: &[T], base: u64, counted: Option<&mut Self>) -> Region {
        let (bytes, size) = (
            std::mem::size_of_val(values) as u64,
            std::mem::size_of::<T>() as u64,
        );
        Region {
            window_bytes: bytes,
            data: values.as_ptr() as *mut u8,
            writes: counted.map_or(std::ptr::null_mut(), |writes| writes.0.as_mut_ptr()),
            ..Region::new(base, bytes, size)
        }
    }

    /// How often the elements of `size` bytes were written, all bytes of each alike.
    pub fn of_elements(&self, size: usize) -> impl Iterator<Item = u8> + '_ {
        self.0.chunks(size).map(|bytes| {
            assert!(
                bytes.iter().all(|count| *count == bytes[0]),
                "a part of an element is written"
            );
            bytes[0]
        })
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
pub const BASES: [u64; 5] = [1 << 44, 2 << 44, 3 << 44, 4 << 44, 5 << 44];
