//! Where an output begins relative to an input, and what follows from it. `docs/memory-notes.md` has the figures, in the section on
//! outputs that trail their inputs.

use super::isa::{Access, Isa};
use super::CACHE_LINE;
use std::mem::MaybeUninit;

/// How many bytes an output begins after an input, but for a multiple of 4 KiB. A core seems to tell stores in flight apart by the
/// last 12 bits of their addresses, so that a load may wait for a store that it has nothing to do with. It is the rule rather
/// than the exception: `malloc` places tensors whose lengths are powers of two 16 bytes apart, but for such a multiple.
#[inline(always)]
pub(super) fn behind<O, I>(output: *const O, input: *const I) -> usize {
    output.addr().wrapping_sub(input.addr()) % 4096
}

/// How many elements of an output come before the first that a vector as long as a cache line should begin with, where what it is
/// computed from lies side by side from `x` on.
///
/// Units of 256 bits take a vector in halves, none of which crosses a line if it begins with one, or in its middle. Where that can be
/// had of either x or the output only, it is x, which is loaded twice; and stores cross lines with their first half, which costs less
/// than with the second.
#[inline(always)]
pub(super) fn to_first_vector<T>(isa: Isa, x: Option<*const T>, output: *const MaybeUninit<T>) -> usize {
    const HALF: usize = CACHE_LINE / 2;
    let into_line = match x {
        Some(x) if isa.in_halves && !matches!(isa.access, Access::Streaming) => {
            match behind(output, x) % HALF {
                0 => 0,
                apart => HALF + apart,
            }
        }
        _ => 0,
    };
    into_line.wrapping_sub(output.addr()) % CACHE_LINE / size_of::<T>()
}

#[cfg(test)]
mod tests {
    use super::{to_first_vector, Access, Isa, CACHE_LINE};
    use std::mem::MaybeUninit;

    #[test]
    fn where_vectors_begin() {
        fn check<T>() {
            let halves = Isa {
                in_halves: true,
                ..Isa::get()
            };
            let step = size_of::<T>();
            let line = || (0..CACHE_LINE).step_by(step);
            for (x, out) in line().flat_map(|x| line().map(move |out| (4096 + x, 4096 + out))) {
                let first = |isa, x: Option<usize>| {
                    let pointer = std::ptr::without_provenance::<MaybeUninit<T>>(out);
                    let first = to_first_vector(isa, x.map(std::ptr::without_provenance::<T>), pointer);
                    assert!(first < CACHE_LINE / step);
                    first * step
                };
                let halved = first(halves, Some(x));
                let apart = x.abs_diff(out) % 32 != 0;
                assert_eq!(
                    (out + halved) % CACHE_LINE > 32,
                    apart,
                    "x at {x}, output at {out}"
                );
                assert!((x + halved).is_multiple_of(32), "x at {x}, output at {out}");
                let whole = Isa {
                    in_halves: false,
                    ..halves
                };
                for (isa, x) in [
                    (halves, None),
                    (halves.accessing(Access::Streaming), Some(x)),
                    (whole, Some(x)),
                ] {
                    assert!((out + first(isa, x)).is_multiple_of(CACHE_LINE));
                }
            }
        }
        check::<f32>();
        check::<f64>();
    }
}
