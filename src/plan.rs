//! A launch as plain data, free of any device: which kernel, over which dims, from which offset, with which grid.
//!
//! `cuda.rs` and `metal.rs` only translate a [`Plan`]; `tests/emulator` runs the kernels' source with the same plans.

mod affine;
mod arguments;
mod collapse;

use crate::activation::Activation;
use crate::extent;
pub use affine::{affine_kernel_name, AffineArguments, AffineLayouts, AffinePass, AffinePath, AffinePlan};
pub use arguments::{Arguments, MAX_DIMS};
use candle_core::{DType, Error, Layout, Result};
pub(crate) use collapse::{by_stride, Collapsed};

/// Threads of a block, as in the kernels' sources.
pub const THREADS: u32 = 256;
/// Bytes that a thread of the contiguous path takes at a time.
const VECTOR: usize = 16;
/// More blocks than this per multiprocessor would each start a loop that never repeats: eight are resident at a
/// time, and four rounds even out differences between them.
const BLOCKS_PER_UNIT: u32 = 32;
/// Below it, 32-bit indices and the multiplications that stand for divisions are exact.
const INDEX_32: usize = 1 << 31;
/// No device has as many multiprocessors. A strided loop's index runs past the end by four rounds of the grid at
/// most, and so stays below 2³².
const UNITS_MAX: u32 = 4096;

/// f, f′ or f″ of an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Function {
    pub activation: Activation,
    pub order: u8,
}

impl Function {
    /// As an op, in error messages.
    pub(crate) fn name(&self) -> &'static str {
        self.activation.derivative_name(self.order)
    }
}

/// What a plan has to know of the device.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Multiprocessors or cores.
    pub units: u32,
    /// Whether there is f64.
    pub double: bool,
}

impl Target {
    /// Blocks of a loop over so many items.
    fn grid(self, items: usize) -> u32 {
        let most = BLOCKS_PER_UNIT * self.units.clamp(1, UNITS_MAX);
        items.div_ceil(THREADS as usize).clamp(1, most as usize) as u32
    }
}

/// The shape of a kernel's loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Path {
    /// Every operand contiguous and aligned to 16 bytes.
    Contiguous,
    /// Any layout; indices of operands and of the output below 2³¹.
    Strided32,
    /// Any layout.
    Strided64,
}

impl Path {
    pub const ALL: [Self; 3] = [Self::Contiguous, Self::Strided32, Self::Strided64];

    fn name(self) -> &'static str {
        match self {
            Self::Contiguous => "contiguous",
            Self::Strided32 => "strided32",
            Self::Strided64 => "strided64",
        }
    }
}

/// One launch over N operands, the first of which is x.
#[derive(Clone, Debug)]
pub struct Plan<const N: usize> {
    pub kernel: String,
    pub path: Path,
    /// Where each operand starts in its storage, in elements.
    pub offsets: [usize; N],
    pub arguments: Arguments,
    /// Blocks of [`THREADS`] threads.
    pub grid: u32,
}

impl<const N: usize> Plan<N> {
    /// The launch for operands of these layouts; none if there are no elements.
    ///
    /// The storages themselves are taken to be aligned to 16 bytes, as every allocation of a GPU is.
    ///
    /// # Errors
    /// If the shapes differ, the dtype has no kernel, β does not fit the type, or a layout is more fragmented than
    /// [`MAX_DIMS`] dims can describe.
    pub fn new(
        function: Function,
        dtype: DType,
        layouts: [&Layout; N],
        target: Target,
    ) -> Result<Option<Self>> {
        Self::of(
            function.name(),
            layouts[0].dims(),
            function,
            dtype,
            layouts,
            target,
        )
    }

    /// The same, for errors that name the op and the shape as they were called.
    fn of(
        op: &'static str,
        shown: &[usize],
        function: Function,
        dtype: DType,
        layouts: [&Layout; N],
        target: Target,
    ) -> Result<Option<Self>> {
        let dims = layouts[0].dims();
        if let Some(other) = layouts.iter().find(|l| l.dims() != dims) {
            let (lhs, rhs) = (layouts[0].shape().clone(), other.shape().clone());
            return Err(Error::ShapeMismatchBinaryOp { lhs, rhs, op }.bt());
        }
        if dtype_name(dtype).is_none() || dtype == DType::F64 && !target.double {
            return Err(Error::UnsupportedDTypeForOp(dtype, op).bt());
        }
        let n = extent::element_count(op, layouts[0], dtype.size_in_bytes())?;
        if n == 0 {
            return Ok(None);
        }
        let vector = VECTOR / dtype.size_in_bytes();
        let aligned = |l: &Layout| l.is_contiguous() && l.start_offset().is_multiple_of(vector);
        let (path, arguments, items) = if layouts.into_iter().all(aligned) {
            (Path::Contiguous, Arguments::contiguous(n), n / vector)
        } else {
            let shape = Collapsed::new(dims, layouts);
            if shape.dims.len() > MAX_DIMS {
                return Err(fragmented(op, shown, shape.dims.len()));
            }
            let path = strided(&shape, n);
            (path, Arguments::strided(n, &shape, path == Path::Strided32), n)
        };
        Ok(Some(Self {
            kernel: kernel_name(function, dtype, path).expect("the dtype was checked"),
            path,
            offsets: layouts.map(Layout::start_offset),
            arguments: arguments.with_parameters(function.activation, op)?,
            grid: target.grid(items),
        }))
    }
}

impl Plan<1> {
    /// The launch of an activation whose output is its operand; none if there are no elements.
    ///
    /// # Errors
    /// As for [`Plan::new`].
    pub fn in_place(
        op: &'static str,
        activation: Activation,
        dtype: DType,
        layout: &Layout,
        target: Target,
    ) -> Result<Option<Self>> {
        let function = Function { activation, order: 0 };
        let mut plan = Self::of(op, layout.dims(), function, dtype, [&by_stride(layout)], target)?;
        if let Some(plan) = &mut plan {
            plan.arguments.in_place = 1;
        }
        Ok(plan)
    }
}

/// A layout that a kernel has too few dims for.
fn fragmented(op: &str, dims: &[usize], kept: usize) -> Error {
    let message = format!(
        "{op}: a layout of {dims:?} keeps {kept} dims after merging, expected at most {MAX_DIMS}, as a contiguous copy has"
    );
    Error::Msg(message).bt()
}

fn strided<const N: usize>(shape: &Collapsed<N>, n: usize) -> Path {
    match n <= INDEX_32 && shape.strides.iter().all(|s| reach(&shape.dims, s) < INDEX_32) {
        true => Path::Strided32,
        false => Path::Strided64,
    }
}

/// The largest index of an operand, from its start.
fn reach(dims: &[usize], strides: &[usize]) -> usize {
    dims.iter()
        .zip(strides)
        .map(|(d, s)| d.saturating_sub(1) * s)
        .sum()
}

/// The name of a dtype in the kernels' names.
fn dtype_name(dtype: DType) -> Option<&'static str> {
    match dtype {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => Some(dtype.as_str()),
        _ => None,
    }
}

/// The kernel of a function, if there is one for the dtype.
pub fn kernel_name(function: Function, dtype: DType, path: Path) -> Option<String> {
    let parameters = match function.activation {
        Activation::Softplus(softplus) if softplus.is_plain() => "",
        Activation::Softplus(softplus) if softplus.beta() == 1.0 => "_thresholded",
        Activation::Softplus(_) => "_parametric",
        _ => "",
    };
    let order = ["", "_d1", "_d2"][function.order as usize];
    let (name, dtype) = (function.activation.name(), dtype_name(dtype)?);
    // `format!` would take a plan from 115 to 200 ns, which a launch waits for.
    Some([name, parameters, order, "_", dtype, "_", path.name()].concat())
}
