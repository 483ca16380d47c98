//! What every backend of the fused ops has to pass.

use super::super::backend::{self, assert_alike, values};
use super::super::inputs::Random;
use super::super::layouts::{embed, tensor, views, View};
use super::super::ulp::Element;
use super::cases::{case, moderate};
use super::values::{check_values, report, Worst};
use super::{Case, FusedBackend};
use candle_core::{DType, Result, Tensor};
use candle_mish::internals::Fused;

/// Rank 1 to 5, channels outermost and innermost, runs around every threshold of the backends.
pub const SHAPES: [&[usize]; 10] = [
    &[37],
    &[1],
    &[5, 24],
    &[3, 8, 50],
    &[2, 3, 9, 7],
    &[2, 5, 1, 1],
    &[1, 2, 300],
    &[2, 40, 17],
    &[1, 1, 1, 6],
    &[2, 3, 2, 1, 5],
];

/// The values of every op along every dim of every shape, the views of x and of g in turn.
fn check_shapes<T: Element, C: Element>(b: &dyn FusedBackend, shapes: &[&[usize]]) {
    let mut worst = [Worst::default(), Worst::default(), Worst::default()];
    let mut seed = 0;
    for fused in Fused::ALL {
        for dims in shapes {
            let views = views::<T>(dims, b.device());
            let narrowed: Vec<View> = views.iter().map(moderate).collect();
            for axis in 0..dims.len() {
                for (i, x) in narrowed.iter().enumerate().skip(axis % 2).step_by(2) {
                    seed += 1;
                    let g = &narrowed[(i * 3 + axis + 1) % narrowed.len()].1;
                    check_values::<T, C>(b, &case::<T>(fused, x, axis, seed), g, &mut worst);
                    if T::WIDTH < C::WIDTH {
                        check_values::<T, C>(b, &case::<C>(fused, x, axis, seed), g, &mut worst);
                    }
                }
            }
        }
    }
    report::<T>(&worst);
}

pub fn values_of_every_op(b: &dyn FusedBackend) {
    check_shapes::<half::f16, f32>(b, &SHAPES);
    check_shapes::<half::bf16, f32>(b, &SHAPES);
    check_shapes::<f32, f32>(b, &SHAPES);
    if b.double() {
        // 160 bits take their time.
        check_shapes::<f64, f64>(b, &[&[5, 24], &[2, 3, 9, 7], &[2, 5, 1, 1]]);
    }
}

/// Few rows of many channels, more than a thread sums at a time.
pub fn values_of_many_channels(b: &dyn FusedBackend) {
    let mut worst = [Worst::default(), Worst::default(), Worst::default()];
    for (dims, axis) in [(&[3, 33_013][..], 1), (&[1, 11_003, 3], 1)] {
        let contiguous = |seed| ("contiguous".to_string(), tensor::<f32>(dims, seed, b.device()));
        let [x, g] = [1, 2].map(|seed| moderate(&contiguous(seed)));
        for fused in Fused::ALL {
            check_values::<f32, f32>(b, &case::<f32>(fused, &x, axis, 4), &g.1, &mut worst);
        }
    }
    report::<f32>(&worst);
}

/// Shapes, views, dims and ops at random. Shapes without elements have a test of their own: candle itself panics over some.
pub fn random_cases(b: &dyn FusedBackend, cases: u64) {
    fn one<T: Element, C: Element>(b: &dyn FusedBackend, seed: u64, worst: &mut [Worst; 3]) {
        let random = &mut Random(seed);
        let mut below = |n: usize| random.bits() as usize % n;
        // 160 bits take their time.
        let rank = 1 + below(if T::DTYPE == DType::F64 { 2 } else { 4 });
        let dims: Vec<usize> = (0..rank).map(|_| [1, 2, 3, 5, 16, 17, 20][below(7)]).collect();
        let views = views::<T>(&dims, b.device());
        let (x, g) = (
            moderate(&views[below(views.len())]),
            moderate(&views[below(views.len())]),
        );
        let (fused, axis) = (Fused::ALL[below(Fused::ALL.len())], below(rank));
        let case = match below(2) {
            0 => case::<T>(fused, &x, axis, seed),
            _ => case::<C>(fused, &x, axis, seed),
        };
        check_values::<T, C>(b, &case, &g.1, worst);
    }
    let mut worst = [(); 4].map(|()| <[Worst; 3]>::default());
    for seed in 0..cases {
        match seed % 16 {
            0 if b.double() => one::<f64, f64>(b, seed, &mut worst[3]),
            k if k % 3 == 0 => one::<f32, f32>(b, seed, &mut worst[2]),
            k if k % 3 == 1 => one::<half::bf16, f32>(b, seed, &mut worst[1]),
            _ => one::<half::f16, f32>(b, seed, &mut worst[0]),
        }
    }
    report::<half::f16>(&worst[0]);
    report::<half::bf16>(&worst[1]);
    report::<f32>(&worst[2]);
    report::<f64>(&worst[3]);
}

/// Bits of every pass in a tensor that several threads have a part in, channels as rows and as columns.
pub fn large<T: Element>(b: &dyn FusedBackend) -> Vec<u64> {
    let cases = [
        (&[3, 40, 1021][..], 1),
        (&[3001, 41], 1),
        (&[3001, 41], 0),
        (&[5, 70, 353], 2),
        (&[2, 11_003, 3], 1),
    ];
    let mut bits = vec![];
    for fused in Fused::ALL {
        for (dims, axis) in cases {
            let x = ("contiguous".to_string(), tensor::<T>(dims, 7, b.device()));
            let g = tensor::<T>(dims, 8, b.device());
            let case = case::<T>(fused, &moderate(&x), axis, 8);
            for out in [b.forward(&case), b.input(&case, &g)] {
                bits.extend(backend::bits::<T>(&out.unwrap()));
            }
            let sums = b.sums(&case, &g).unwrap().to_dtype(DType::F64).unwrap();
            bits.extend(backend::bits::<f64>(&sums));
        }
    }
    bits
}

/// Bits of sums over a few elements each.
pub fn sums_of_many_channels(b: &dyn FusedBackend) -> Vec<u64> {
    let [x, g] = [1, 2].map(|seed| tensor::<f32>(&[2, 20_011], seed, b.device()));
    let view = moderate(&("contiguous".to_string(), x));
    let sums = |fused| b.sums(&case::<f32>(fused, &view, 1, 3), &g).unwrap();
    Fused::ALL
        .into_iter()
        .flat_map(|fused| backend::bits::<f32>(&sums(fused)))
        .collect()
}

/// A sum with an infinite term is infinite, or NaN if there are both.
pub fn infinite_sums(b: &dyn FusedBackend) {
    let infinity = f32::INFINITY;
    let rows = [
        [1f32, 1.0, 1.0],
        [infinity, -infinity, infinity],
        [2.0, 2.0, -infinity],
    ];
    let g = Tensor::new(&rows, b.device()).unwrap();
    let x = ("contiguous".to_string(), g.ones_like().unwrap());
    let case = case::<f32>(Fused::MishBias, &x, 1, 4);
    let sums = values::<f32>(&b.sums(&case, &g).unwrap());
    // Of the sign of f' there.
    let slopes = values::<f32>(&b.input(&case, &g.ones_like().unwrap()).unwrap());
    assert_eq!(
        (sums[0], sums[1]),
        (infinity.copysign(slopes[0]), (-infinity).copysign(-slopes[1]))
    );
    assert!(sums[2].is_nan());
}

/// A view gives the bits of a contiguous tensor in the passes by element.
fn check_layouts<T: Element>(b: &dyn FusedBackend, shapes: &[&[usize]]) {
    let mut seed = 100;
    for fused in Fused::ALL {
        for dims in shapes {
            for (axis, x) in (0..dims.len()).cycle().zip(views::<T>(dims, b.device())) {
                seed += 1;
                let g = tensor::<T>(dims, seed, b.device());
                let case = case::<T>(fused, &x, axis, seed);
                let plain = Case {
                    x: case.x.force_contiguous().unwrap(),
                    scale: case.scale.as_ref().map(|s| s.force_contiguous().unwrap()),
                    shift: case.shift.force_contiguous().unwrap(),
                    ..case.clone()
                };
                let embedded = embed(&g).unwrap();
                let pairs = [
                    (b.forward(&case), b.forward(&plain)),
                    (b.input(&case, &embedded), b.input(&plain, &g)),
                ];
                for (view, contiguous) in pairs {
                    assert_alike::<T>(&case, &view.unwrap(), &contiguous.unwrap());
                }
                // Another order of additions gives other bits; `values_of_every_op` bounds them.
                let [view, contiguous] = [b.sums(&case, &embedded), b.sums(&plain, &g)].map(Result::unwrap);
                assert_eq!(view.dims(), contiguous.dims(), "{case}");
            }
        }
    }
}

pub fn layouts_of_every_op(b: &dyn FusedBackend) {
    check_layouts::<half::f16>(b, &SHAPES);
    check_layouts::<half::bf16>(b, &SHAPES);
    check_layouts::<f32>(b, &SHAPES);
    if b.double() {
        check_layouts::<f64>(b, &SHAPES);
    }
}

/// Elements that lie far apart give the bits of the same ones side by side, in every pass.
pub fn far<T: Element, C: Element>(b: &dyn FusedBackend, [far, near]: [&Tensor; 2], g: &Tensor) {
    for fused in Fused::ALL {
        for axis in 0..near.rank() {
            let of = |x: &Tensor| case::<C>(fused, &("far".to_string(), x.clone()), axis, 4);
            let (far, near) = (of(far), of(near));
            assert_alike::<T>(&far, &b.forward(&far).unwrap(), &b.forward(&near).unwrap());
            assert_alike::<T>(&far, &b.input(&far, g).unwrap(), &b.input(&near, g).unwrap());
            assert_alike::<C>(&far, &b.sums(&far, g).unwrap(), &b.sums(&near, g).unwrap());
        }
    }
}

/// No elements, or no channels; sums of nothing are zeros.
pub fn empty(b: &dyn FusedBackend) {
    for fused in Fused::ALL {
        for dims in [&[0][..], &[0, 3], &[3, 0], &[2, 0, 3]] {
            for axis in 0..dims.len() {
                let x = ("contiguous".to_string(), tensor::<f32>(dims, 1, b.device()));
                let case = case::<f32>(fused, &x, axis, 4);
                for out in [b.forward(&case), b.input(&case, &x.1)] {
                    assert_eq!(out.unwrap().dims(), dims as &[usize], "{case}");
                }
                let sums = b.sums(&case, &x.1).unwrap();
                assert_eq!(
                    sums.dims(),
                    &[1 + usize::from(fused.scaled()), dims[axis]],
                    "{case}"
                );
                assert!(values::<f32>(&sums).iter().all(|s| *s == 0.0), "{case}");
            }
        }
    }
}
