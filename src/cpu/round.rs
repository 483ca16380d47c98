//! f64 to 16 bits, rounded once.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use std::mem::MaybeUninit;

/// f16 and bf16 as the CPU kernels use them.
pub(super) trait Half: Copy + Send + Sync + 'static {
    /// Whether a factor may bring into range what f32 can only hold as a subnormal, if at all.
    const WIDE: bool;
    /// Writes all of `to`, which is as long as `from`.
    fn widen(from: &[Self], to: &mut [f32]);
    /// f32 to nearest, ties to even; writes all of `to`, which is as long as `from`.
    fn narrow(from: &[f32], to: &mut [MaybeUninit<Self>]);
}

/// To f32 by rounding to odd: a later rounding to fewer than 22 bits then comes out as a single one would. `half`'s own
/// conversions from f64 go through f32 on some processors and round twice.
#[inline(always)]
pub(crate) fn to_odd(x: f64) -> f32 {
    let nearest = x as f32;
    let back = nearest as f64;
    let bits = nearest.to_bits();
    if back == x || x.is_nan() || bits & 1 == 1 && nearest.is_finite() {
        return nearest;
    }
    // An even neighbour was chosen: the odd one lies on the other side of x. For an overflow that is f32::MAX.
    if back.abs() > x.abs() {
        f32::from_bits(bits - 1)
    } else {
        f32::from_bits(bits + 1)
    }
}

macro_rules! half {
    ($t:ty, wide $wide:literal) => {
        impl Half for $t {
            const WIDE: bool = $wide;
            fn widen(from: &[Self], to: &mut [f32]) {
                from.convert_to_f32_slice(to);
            }
            fn narrow(from: &[f32], to: &mut [MaybeUninit<Self>]) {
                // SAFETY: any bits are a value of this type, and the conversion overwrites them all.
                let to = unsafe { std::slice::from_raw_parts_mut(to.as_mut_ptr().cast::<Self>(), to.len()) };
                to.convert_from_f32_slice(from);
            }
        }
    };
}

half!(f16, wide false);
half!(bf16, wide true);
