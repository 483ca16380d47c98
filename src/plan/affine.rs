//! Launches of the fused neighbours: f(x·scale + shift) and its gradients.

use super::arguments::divisor;
use super::{dtype_name, fragmented, reach, Collapsed, Target, INDEX_32, MAX_DIMS, VECTOR};
use crate::affine::Fused;
use crate::extent::element_count;
use candle_core::{DType, Error, Layout, Result, Shape};

/// What a kernel computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AffinePass {
    /// f(u).
    Forward,
    /// g·f′(u)·scale: the gradient of x.
    Input,
    /// Σ g·f′(u)·x and Σ g·f′(u) per channel: the gradients of scale and of shift.
    Sums,
}

/// The shape of a kernel's loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AffinePath {
    /// x and g contiguous and aligned to 16 bytes, fewer than 2³¹ elements.
    Channels,
    /// Any layout; all indices below 2³¹.
    Strided32,
    /// Any layout.
    Strided64,
}

impl AffinePath {
    pub const ALL: [Self; 3] = [Self::Channels, Self::Strided32, Self::Strided64];
}

/// `struct AffineArguments` of the kernels' sources, field by field.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AffineArguments {
    /// Elements; of one channel for sums.
    pub n: u64,
    /// Outermost first. Channels: the channels, and the elements of one that lie side by side. Sums: the channels,
    /// then the dims of one channel.
    pub dims: [u64; MAX_DIMS],
    /// In elements, of x, g, scale and shift.
    pub strides: [[u64; MAX_DIMS]; 4],
    pub multipliers: [u32; MAX_DIMS],
    pub shifts: [u32; MAX_DIMS],
    pub rank: u32,
    /// Threads that share the sums of a channel.
    pub parts: u32,
    /// Whether such threads are neighbours.
    pub together: u32,
    /// Whether scale and shift are f32 where x is narrower.
    pub single: [u32; 2],
    /// Channels: whether each element has a channel of its own, and vectors of elements have vectors of scale and shift,
    /// aligned to 16 bytes as well.
    pub adjacent: u32,
}

/// The tensors of a pass. A forward pass takes x for g, an op without a scale takes shift in its place.
#[derive(Clone, Copy, Debug)]
pub struct AffineLayouts<'a> {
    pub x: &'a Layout,
    pub g: &'a Layout,
    pub scale: &'a Layout,
    pub shift: &'a Layout,
}

/// One launch. Kernels take x, g (or x once more), scale, shift, the output and [`AffineArguments`].
#[derive(Clone, Debug)]
pub struct AffinePlan {
    pub kernel: String,
    /// Where x, g, scale and shift start in their storage, in elements.
    pub offsets: [usize; 4],
    pub arguments: AffineArguments,
    pub grid: u32,
    /// Of the output. Sums: one or two (of scale and) of shift, channels, parts.
    pub out: Shape,
}

/// Elements that a thread sums at least: one partial sum per thread is written and read again, in all less than 1/16
/// of what is read.
const SUMMED_MIN: usize = 64;
/// Threads of a multiprocessor that sums are spread over.
const SUMMING_THREADS: usize = 2048;
/// Neighbours that read neighbouring elements fill the 128 bytes of a transaction from here on, at 4 bytes each.
const TOGETHER_MIN: usize = 32;

impl AffinePlan {
    /// The output's shape where there is no launch: that of a tensor without elements, or sums of no channels.
    pub fn empty_shape(fused: Fused, pass: AffinePass, x: &Layout) -> Shape {
        match pass {
            AffinePass::Sums => Shape::from((1 + usize::from(fused.scaled()), 0, 1)),
            AffinePass::Forward | AffinePass::Input => x.shape().clone(),
        }
    }

    /// The launch for a channel per entry of `axis`; none if the output has no elements.
    ///
    /// # Errors
    /// If the dtype has no kernel, or a layout is more fragmented than [`MAX_DIMS`] dims can describe.
    pub fn new(
        fused: Fused,
        pass: AffinePass,
        dtype: DType,
        layouts: AffineLayouts,
        single: [bool; 2],
        axis: usize,
        target: Target,
    ) -> Result<Option<Self>> {
        let op = fused.pass_name(pass);
        if dtype_name(dtype).is_none() || dtype == DType::F64 && !target.double {
            return Err(Error::UnsupportedDTypeForOp(dtype, op).bt());
        }
        let AffineLayouts { x, g, scale, shift } = layouts;
        let n = element_count(op, x, dtype.size_in_bytes())?;
        // Nothing is read of an empty tensor, which may begin anywhere.
        let start = |l: &Layout| if n == 0 { 0 } else { l.start_offset() };
        let launch = match pass {
            AffinePass::Sums => sums([x, g], [scale, shift], axis, fused.scaled(), target),
            _ if n == 0 => None,
            _ => Some(elementwise([x, g], [scale, shift], axis, dtype, target)),
        };
        let Some(mut launch) = launch else { return Ok(None) };
        if launch.dims.len() > MAX_DIMS {
            return Err(fragmented(op, x.dims(), launch.dims.len()));
        }
        let arguments = &mut launch.arguments;
        arguments.rank = launch.dims.len() as u32;
        arguments.single = single.map(u32::from);
        let vectors = |(l, single): (&Layout, bool)| {
            let size = if single {
                dtype.size_in_bytes().max(4)
            } else {
                dtype.size_in_bytes()
            };
            l.stride()[0] == 1 && (l.start_offset() * size).is_multiple_of(VECTOR)
        };
        let adjacent = launch.path == AffinePath::Channels
            && launch.dims[1] == 1
            && launch.dims[0].is_multiple_of(VECTOR / dtype.size_in_bytes())
            && [(scale, single[0]), (shift, single[1])].into_iter().all(vectors);
        arguments.adjacent = u32::from(adjacent);
        for (d, &dim) in launch.dims.iter().enumerate() {
            arguments.dims[d] = dim as u64;
            if launch.path != AffinePath::Strided64 {
                (arguments.multipliers[d], arguments.shifts[d]) = divisor(dim.max(1) as u64);
            }
            for (to, from) in arguments.strides.iter_mut().zip(&launch.strides) {
                to[d] = from[d] as u64;
            }
        }
        Ok(Some(Self {
            kernel: affine_kernel_name(fused, pass, dtype, launch.path).expect("the dtype was checked"),
            offsets: [start(x), start(g), scale.start_offset(), shift.start_offset()],
            arguments: launch.arguments,
            grid: launch.grid,
            out: launch.out,
        }))
    }
}

struct Launch {
    path: AffinePath,
    dims: Vec<usize>,
    strides: [Vec<usize>; 4],
    /// Without what follows from the fields above.
    arguments: AffineArguments,
    grid: u32,
    out: Shape,
}

/// Whether indices of 32 bits do for n elements in these dims.
fn is_32(n: usize, dims: &[usize], strides: &[Vec<usize>]) -> bool {
    n <= INDEX_32 && strides.iter().all(|s| reach(dims, s) < INDEX_32)
}

fn elementwise(
    tensors: [&Layout; 2],
    parameters: [&Layout; 2],
    axis: usize,
    dtype: DType,
    target: Target,
) -> Launch {
    let [x, g] = tensors;
    let (n, vector) = (x.shape().elem_count(), VECTOR / dtype.size_in_bytes());
    let aligned = |l: &Layout| l.is_contiguous() && l.start_offset().is_multiple_of(vector);
    let arguments = AffineArguments {
        n: n as u64,
        ..AffineArguments::default()
    };
    let out = x.shape().clone();
    if n < INDEX_32 && aligned(x) && aligned(g) {
        let strides = |l: &Layout| vec![l.stride()[0], 0];
        return Launch {
            path: AffinePath::Channels,
            dims: vec![x.dims()[axis], x.dims()[axis + 1..].iter().product()],
            strides: [
                vec![0, 0],
                vec![0, 0],
                strides(parameters[0]),
                strides(parameters[1]),
            ],
            arguments,
            grid: target.grid(n.div_ceil(vector)),
            out,
        };
    }
    let [scale, shift] = parameters.map(|l| along(l, x, axis));
    let shape = Collapsed::new(x.dims(), [x, g, &scale, &shift]);
    let path = match is_32(n, &shape.dims, &shape.strides) {
        true => AffinePath::Strided32,
        false => AffinePath::Strided64,
    };
    Launch {
        path,
        dims: shape.dims,
        strides: shape.strides,
        arguments,
        grid: target.grid(n),
        out,
    }
}

/// A parameter as a view of x's shape, which is constant but along `axis`.
fn along(parameter: &Layout, x: &Layout, axis: usize) -> Layout {
    let mut strides = vec![0; x.dims().len()];
    strides[axis] = parameter.stride()[0];
    Layout::new(x.shape().clone(), strides, parameter.start_offset())
}

fn sums(
    tensors: [&Layout; 2],
    parameters: [&Layout; 2],
    axis: usize,
    scaled: bool,
    target: Target,
) -> Option<Launch> {
    let channels = tensors[0].dims()[axis];
    if channels == 0 {
        return None;
    }
    let without = |values: &[usize]| -> Vec<usize> {
        let kept = values.iter().enumerate().filter(|(i, _)| *i != axis);
        kept.map(|(_, v)| *v).collect()
    };
    let dims = without(tensors[0].dims());
    let rest = |l: &Layout| Layout::new(Shape::from(dims.as_slice()), without(l.stride()), 0);
    let [x, g] = tensors.map(rest);
    let shape = Collapsed::new(&dims, [&x, &g]);
    let n: usize = dims.iter().product();
    let (inner, [inner_stride, _]) = shape.inner();
    let together = inner_stride == 1 && inner >= TOGETHER_MIN;

    let with_channels = |stride: usize, rest: &[usize]| [&[stride], rest].concat();
    let zeros = vec![0; shape.dims.len()];
    let of = |i: usize| with_channels(tensors[i].stride()[axis], &shape.strides[i]);
    let of_parameter = |l: &Layout| with_channels(l.stride()[0], &zeros);
    let strides = [
        of(0),
        of(1),
        of_parameter(parameters[0]),
        of_parameter(parameters[1]),
    ];
    let dims = with_channels(channels, &shape.dims);
    let threads = target.units.clamp(1, super::UNITS_MAX) as usize * SUMMING_THREADS;
    let parts = n.div_ceil(SUMMED_MIN).min(threads.div_ceil(channels)).max(1);
    let indices = channels.saturating_mul(parts).max(channels.saturating_mul(n));
    let path = match is_32(indices, &dims, &strides) {
        true => AffinePath::Strided32,
        false => AffinePath::Strided64,
    };
    Some(Launch {
        path,
        dims,
        strides,
        arguments: AffineArguments {
            n: n as u64,
            parts: parts as u32,
            together: u32::from(together),
            ..AffineArguments::default()
        },
        grid: target.grid(channels * parts),
        out: Shape::from((1 + usize::from(scaled), channels, parts)),
    })
}

/// The kernel of a pass, if there is one for the dtype.
pub fn affine_kernel_name(fused: Fused, pass: AffinePass, dtype: DType, path: AffinePath) -> Option<String> {
    let pass_name = match pass {
        AffinePass::Forward => "",
        AffinePass::Input => "_d1",
        AffinePass::Sums => "_sums",
    };
    let path_name = match path {
        AffinePath::Channels if pass == AffinePass::Sums => return None,
        AffinePath::Channels => "channels",
        AffinePath::Strided32 => "strided32",
        AffinePath::Strided64 => "strided64",
    };
    Some([fused.name(), pass_name, "_", dtype_name(dtype)?, "_", path_name].concat())
}
