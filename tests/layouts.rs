//! Views: offsets, strides, broadcasts, empty tensors, every length. The bits are those of a contiguous evaluation,
//! whatever the layout, the position in the buffer and the number of threads.

mod support;

use candle_core::Tensor;
use half::{bf16, f16};
use support::backend::{bits, eval, Backend, Function, CPU};
use support::inputs::every_half;
use support::layouts::*;
use support::process::{checksum, in_processes};
use support::ulp::Element;

/// One check in every type for every function.
macro_rules! every_type {
    ($check:ident $(, $argument:expr)*) => {
        for f in Function::plain() {
            $check::<f16>(&CPU, f $(, $argument)*);
            $check::<bf16>(&CPU, f $(, $argument)*);
            $check::<f32>(&CPU, f $(, $argument)*);
            $check::<f64>(&CPU, f $(, $argument)*);
        }
    };
}

#[test]
fn views_of_every_shape() {
    every_type!(check_shapes, &SHAPES, 2);
}

#[test]
fn views_in_several_threads() {
    every_type!(check_shapes, &[&[260, 127], &[70, 3, 157]], 1);
}

/// Of rows that lie side by side several are taken at a time: more and fewer than are, of more and fewer elements.
#[test]
fn transposed() {
    fn check<T: Element>(backend: &dyn Backend, f: Function) {
        for dims in [
            [1, 300, 131],
            [3, 70, 257],
            [2, 5, 1000],
            [9, 4, 400],
            [1, 4099, 5],
            [2, 33, 384],
        ] {
            let views = |seed| -> [View; 3] {
                let t = tensor::<T>(&dims, seed, backend.device());
                let stored = t.transpose(1, 2).unwrap().force_contiguous().unwrap();
                let embedded = embed(&stored).unwrap().transpose(1, 2).unwrap();
                [
                    ("contiguous".into(), t),
                    ("transposed".into(), stored.transpose(1, 2).unwrap()),
                    ("transposed, embedded".into(), embedded),
                ]
            };
            let (x, g) = (views(1), views(2));
            match f.order {
                0 => x.iter().for_each(|x| check_view::<T>(backend, f, x, None)),
                _ => {
                    let pairs = x.iter().flat_map(|x| g.iter().map(move |g| (x, g)));
                    pairs.for_each(|(x, g)| check_view::<T>(backend, f, x, Some(g)));
                }
            }
        }
    }
    every_type!(check);
}

#[test]
fn every_pair_of_views() {
    let mish = |order| Function {
        activation: candle_mish::Activation::Mish,
        order,
    };
    check_shapes::<f32>(&CPU, mish(1), &[&[19, 33], &[3, 5, 2, 7], &[2, 300]], usize::MAX);
    check_shapes::<bf16>(&CPU, mish(2), &[&[19, 33], &[3, 5, 2, 7], &[2, 300]], usize::MAX);
}

#[test]
fn views_with_parameters() {
    for f in Function::parametric() {
        check_shapes::<f32>(&CPU, f, &[&[19, 33]], 2);
        check_shapes::<f16>(&CPU, f, &[&[19, 33]], 2);
    }
}

#[test]
fn empty() {
    every_type!(check_empty);
}

#[test]
fn every_length_and_position() {
    every_type!(check_positions);
}

/// Where vectors begin depends on where an input and the output do, in tensors of several units.
#[test]
fn any_place_in_memory() {
    fn check<T: Element>(f: Function) {
        const N: usize = 40_000;
        let all = |seed| tensor::<T>(&[N + 64], seed, CPU.device());
        let (x, g) = (all(30), (f.order > 0).then(|| all(31)));
        let whole = bits::<T>(&CPU.apply(f, &x, g.as_ref()).unwrap());
        for start in (0..64 / size_of::<T>()).chain([63]) {
            let part = |t: &Tensor| t.narrow(0, start, N).unwrap();
            let y = CPU.apply(f, &part(&x), g.as_ref().map(part).as_ref()).unwrap();
            assert!(
                bits::<T>(&y) == whole[start..][..N],
                "{f} in {:?} from {start} on",
                T::DTYPE
            );
        }
    }
    for f in Function::plain() {
        check::<f16>(f);
        check::<f32>(f);
        check::<f64>(f);
    }
}

/// In other company the same values: where an f⁽ᵏ⁾ that underflows in f32 meets an infinite g, too.
#[test]
fn any_neighbours() {
    fn check<T: Element>(f: Function) {
        let x = every_half::<T>();
        let shuffled = |i: usize| i.wrapping_mul(40_503) % x.len(); // odd, so that each comes once
        let other: Vec<T> = (0..x.len()).map(|i| x[shuffled(i)]).collect();
        for g in [f64::INFINITY, f64::NEG_INFINITY, 1.5] {
            let g = vec![T::from_f64(g); x.len()];
            let results = eval(&CPU, f, &x, Some(&g));
            for (i, result) in eval(&CPU, f, &other, Some(&g)).into_iter().enumerate() {
                let (x, g, there) = (other[i], g[i], results[shuffled(i)]);
                assert!(
                    result.alike(there),
                    "{f} of {x} times {g}: {result}, elsewhere {there}"
                );
            }
        }
    }
    for f in Function::all().into_iter().filter(|f| f.order > 0) {
        check::<f16>(f);
        check::<bf16>(f);
    }
}

#[test]
fn any_number_of_threads() {
    let threads = ["1", "2", "5"].map(|n| vec![("CANDLE_NUM_THREADS", n)]);
    let work = || {
        let sums = Function::plain().into_iter().flat_map(|f| {
            let large = [
                large::<f16>(&CPU, f),
                large::<bf16>(&CPU, f),
                large::<f32>(&CPU, f),
                large::<f64>(&CPU, f),
            ];
            large.map(|bits| checksum(bits.into_iter().flat_map(u64::to_le_bytes)))
        });
        sums.flat_map(u64::to_le_bytes).collect()
    };
    if let Some(results) = in_processes("any_number_of_threads", &threads, work) {
        assert!(!results[0].is_empty());
        assert!(
            results.iter().all(|result| *result == results[0]),
            "results depend on the number of threads"
        );
    }
}
