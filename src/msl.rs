//! What Metal compiles and how a kernel's buffers are bound, free of any device: `metal.rs` and `tests/emulator` share
//! it.

/// What is compiled as one, when the first of its kernels is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Library {
    Activations,
    Affine,
}

/// Headers first: Metal compiles one string, without an include path.
macro_rules! spliced {
    ($file:literal) => {
        concat!(
            include_str!("real.h"),
            include_str!("formula.h"),
            include_str!("quick.h"),
            include_str!("../metal/elements.h"),
            include_str!($file),
        )
    };
}

impl Library {
    /// The source of the kernels.
    pub fn source(self) -> &'static str {
        match self {
            Self::Activations => spliced!("../metal/activations.metal"),
            Self::Affine => spliced!("../metal/affine.metal"),
        }
    }
}

/// Where a kernel's buffers go: an encoder, or what stands in for one in tests.
pub trait Binder {
    type Buffer;

    /// A buffer that the kernel reads, from this byte on.
    fn input(&mut self, index: usize, buffer: &Self::Buffer, offset: usize);
    /// A buffer that the kernel writes. candle orders kernels by what they have bound so: an output that is bound as
    /// an input races with whoever reads it next.
    fn output(&mut self, index: usize, buffer: &Self::Buffer, offset: usize);
    /// The struct of arguments, by value.
    fn arguments<A: Copy>(&mut self, index: usize, arguments: &A);
}

/// A buffer and the byte at which its elements start.
pub type Slice<'a, B> = (&'a B, usize);

/// Binds operands in their order, then the output, then the arguments: as the `[[buffer(n)]]` of the kernels.
pub fn bind<B: Binder, A: Copy, const N: usize>(
    to: &mut B,
    operands: [Slice<B::Buffer>; N],
    out: Slice<B::Buffer>,
    arguments: &A,
) {
    for (index, (buffer, offset)) in operands.into_iter().enumerate() {
        to.input(index, buffer, offset);
    }
    to.output(N, out.0, out.1);
    to.arguments(N + 1, arguments);
}
