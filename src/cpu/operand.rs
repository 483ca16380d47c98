//! What a kernel reads besides its parameters: x, and perhaps what f(x) is multiplied by.

use std::mem::MaybeUninit;

/// As many elements as the output has, side by side.
pub(super) trait Operand<T>: Copy {
    /// Where they are, if they are anywhere.
    fn slice(&self) -> Option<&[T]>;
    fn part(self, start: usize, len: usize) -> Self;
}

impl<T: Copy> Operand<T> for &[T] {
    #[inline(always)]
    fn slice(&self) -> Option<&[T]> {
        Some(self)
    }
    #[inline(always)]
    fn part(self, start: usize, len: usize) -> Self {
        &self[start..start + len]
    }
}

macro_rules! without_slice {
    ($t:ident) => {
        impl<T> Operand<T> for $t {
            #[inline(always)]
            fn slice(&self) -> Option<&[T]> {
                None
            }
            #[inline(always)]
            fn part(self, _: usize, _: usize) -> Self {
                self
            }
        }
    };
}

/// No factor: a forward pass.
#[derive(Clone, Copy)]
pub(super) struct One;

/// The x that the output holds.
#[derive(Clone, Copy)]
pub(super) struct InPlace(());

without_slice!(One);
without_slice!(InPlace);

impl InPlace {
    /// # Safety
    /// All of the output that it is used with has to be initialised.
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// x: a slice, or [`InPlace`].
///
/// # Safety
/// Where there is no slice, the output is known to be initialised.
pub(super) unsafe trait Input<T: Copy>: Operand<T> {
    #[inline(always)]
    fn read<'a>(&'a self, out: &'a [MaybeUninit<T>]) -> &'a [T] {
        self.slice().unwrap_or_else(|| {
            // SAFETY: what this trait promises.
            unsafe { std::slice::from_raw_parts(out.as_ptr().cast(), out.len()) }
        })
    }

    /// The `i`th x, or what is held where its result goes.
    #[inline(always)]
    fn get(&self, i: usize, held: &MaybeUninit<T>) -> T {
        match self.slice() {
            Some(x) => x[i],
            // SAFETY: what this trait promises.
            None => unsafe { held.assume_init() },
        }
    }
}

// SAFETY: there is a slice.
unsafe impl<T: Copy> Input<T> for &[T] {}
// SAFETY: who makes one promises it.
unsafe impl<T: Copy> Input<T> for InPlace {}
