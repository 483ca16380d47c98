//! Layouts: every view of the same values gives the same bits.

use super::backend::{bits, eval, new, values, Backend, Function};
use super::inputs::{edges_of, Random};
use super::ulp::Element;
use candle_core::{Device, Result, Tensor};

/// A view with what it is.
pub type View = (String, Tensor);

/// `n` values, of which some are special: NaN excepted, which is what buffers are poisoned with.
pub fn samples<T: Element>(n: usize, seed: u64) -> Vec<T> {
    let random = &mut Random(seed);
    let edges = edges_of::<T>(0);
    let sample = |_| match random.bits() % 4 {
        0 => edges[random.bits() as usize % edges.len()],
        _ => T::from_f64(24.0 * random.unit() - 14.0),
    };
    (0..n).map(sample).collect()
}

pub fn tensor<T: Element>(dims: &[usize], seed: u64, device: &Device) -> Tensor {
    new(&samples::<T>(dims.iter().product(), seed), dims, device).unwrap()
}

/// The same values as a view into a buffer with NaN on every side, in every dim.
pub fn embed(t: &Tensor) -> Result<Tensor> {
    let (mut buffer, mut before) = (t.clone(), vec![]);
    for dim in 0..t.rank() {
        let pads = [dim % 2 + 1, 1].map(|n| {
            let mut dims = buffer.dims().to_vec();
            dims[dim] = n;
            Tensor::full(f32::NAN, dims, t.device())?.to_dtype(t.dtype())
        });
        let [left, right] = pads;
        buffer = Tensor::cat(&[left?, buffer, right?], dim)?;
        before.push(dim % 2 + 1);
    }
    let narrow = |(view, (dim, start)): (Tensor, (usize, usize))| view.narrow(dim, start, t.dim(dim)?);
    before
        .into_iter()
        .enumerate()
        .try_fold(buffer, |view, at| narrow((view, at)))
}

/// The same values with a stride in the last dim.
fn stepped(t: &Tensor) -> Result<Tensor> {
    let last = t.rank();
    embed(&t.unsqueeze(last)?)?.squeeze(last)
}

/// Views of one shape with independent values, of every kind.
pub fn views<T: Element>(dims: &[usize], device: &Device) -> Vec<View> {
    let make = || -> Result<Vec<View>> {
        let new = |dims: &[usize], seed| tensor::<T>(dims, seed, device);
        let t = new(dims, 1);
        let reversed: Vec<usize> = (0..dims.len()).rev().collect();
        let other_way = |t: &Tensor| t.permute(reversed.clone());
        let mut views = vec![
            ("contiguous".to_string(), t.clone()),
            ("embedded".into(), embed(&t)?),
            ("stepped".into(), stepped(&t)?),
            ("permuted".into(), other_way(&other_way(&t)?.force_contiguous()?)?),
            (
                "permuted, embedded".into(),
                other_way(&embed(&other_way(&t)?.force_contiguous()?)?)?,
            ),
            (
                "one value".into(),
                new(&[1, 1], 2)
                    .narrow(1, 0, 1)?
                    .broadcast_as((1, 1))?
                    .reshape(())?
                    .broadcast_as(dims)?,
            ),
        ];
        for kept in 0..dims.len() {
            // All but one dim have a stride of 0.
            let mut one = vec![1; dims.len()];
            one[kept] = dims[kept];
            let name = format!("broadcast but for dim {kept}");
            views.push((name.clone(), new(&one, 3).broadcast_as(dims)?));
            views.push((name + ", stepped", stepped(&new(&one, 4))?.broadcast_as(dims)?));
            // One dim has.
            let mut rest = dims.to_vec();
            rest[kept] = 1;
            views.push((
                format!("broadcast along dim {kept}"),
                embed(&new(&rest, 5))?.broadcast_as(dims)?,
            ));
        }
        Ok(views)
    };
    make().unwrap()
}

/// The view of x, with one of g for a derivative, against a contiguous evaluation of the same values.
#[track_caller]
pub fn check_view<T: Element>(backend: &dyn Backend, f: Function, (x_name, x): &View, g: Option<&View>) {
    let what = || {
        let (dims, dtype, g) = (x.dims(), T::DTYPE, g.map_or("none", |g| &g.0));
        format!("{f} in {dtype:?} of {dims:?}, x {x_name} {:?}, g {g}", x.stride())
    };
    let g_values = g.map(|(_, g)| values::<T>(g));
    let expected = eval::<T>(backend, f, &values::<T>(x), g_values.as_deref());
    let out = backend
        .apply(f, x, g.map(|g| &g.1))
        .unwrap_or_else(|e| panic!("{}: {e}", what()));
    assert_eq!((out.dims(), out.dtype()), (x.dims(), x.dtype()), "{}", what());
    let actual = values::<T>(&out);
    let differs = actual.iter().zip(&expected).position(|(a, e)| !a.alike(*e));
    if let Some(i) = differs {
        panic!(
            "{}: element {i} is {}, contiguous {}",
            what(),
            actual[i],
            expected[i]
        );
    }
}

/// Shapes of every rank: rank 0, dims of size 1, runs shorter and longer than a block.
pub const SHAPES: [&[usize]; 9] = [
    &[],
    &[1],
    &[37],
    &[1, 1, 1],
    &[19, 33],
    &[3, 1, 70],
    &[2, 300],
    &[3, 5, 2, 7],
    &[2, 1, 3, 1, 4, 2],
];

/// Every view of every shape; a derivative with `partners` kinds of view for g, in turn.
pub fn check_shapes<T: Element>(backend: &dyn Backend, f: Function, shapes: &[&[usize]], partners: usize) {
    for dims in shapes {
        let views = views::<T>(dims, backend.device());
        for (i, x) in views.iter().enumerate() {
            if f.order == 0 {
                check_view::<T>(backend, f, x, None);
            } else {
                let others = views
                    .iter()
                    .cycle()
                    .skip(i.wrapping_mul(3))
                    .take(partners.min(views.len()));
                others.for_each(|g| check_view::<T>(backend, f, x, Some(g)));
            }
        }
    }
}

/// No elements, in any dim, contiguous or not.
pub fn check_empty<T: Element>(backend: &dyn Backend, f: Function) {
    for dims in [&[0][..], &[0, 3], &[3, 0], &[2, 0, 3], &[0, 0]] {
        let t = tensor::<T>(dims, 1, backend.device());
        let reversed: Vec<usize> = (0..dims.len()).rev().collect();
        let narrowed = tensor::<T>(&[5], 1, backend.device()).narrow(0, 2, 0).unwrap();
        for x in [t.clone(), t.permute(reversed).unwrap(), narrowed] {
            let g = (f.order > 0).then_some(&x);
            let out = backend
                .apply(f, &x, g)
                .unwrap_or_else(|e| panic!("{f} of {dims:?}: {e}"));
            assert_eq!((out.dims(), out.dtype()), (x.dims(), T::DTYPE), "{f}");
        }
    }
}

/// Lengths around every vector width, block, unit of work and threshold for threads.
pub fn lengths() -> Vec<usize> {
    let around = |n: usize| [n - 1, n, n + 1, n + 7];
    let edges = [128, 256, 512, 1024, 8192, 16384, 32768, 40960, 65536, 98304];
    (1..=70).chain(edges.into_iter().flat_map(around)).collect()
}

/// A value gives the same bits wherever it is, in a buffer of any length: against an evaluation on its own.
pub fn check_positions<T: Element>(backend: &dyn Backend, f: Function) {
    const N: usize = 67; // coprime to every vector width
    let (x, g) = (samples::<T>(N, 10), samples::<T>(N, 11));
    let g_of = |g: &[T]| (f.order > 0).then(|| g.to_vec());
    let alone: Vec<T> = (0..N)
        .map(|i| eval(backend, f, &x[i..=i], g_of(&g[i..=i]).as_deref())[0])
        .collect();
    for (shift, n) in lengths().into_iter().enumerate() {
        let spread = |values: &[T]| -> Vec<T> { (0..n).map(|i| values[(i + shift) % N]).collect() };
        let (x, g) = (spread(&x), g_of(&spread(&g)));
        // A view at an odd offset as well, with NaN around.
        let view = |values: &[T]| embed(&new(values, &[n], backend.device())?);
        let views = || Ok::<_, candle_core::Error>((view(&x)?, g.as_deref().map(view).transpose()?));
        let (x_view, g_view) = views().unwrap();
        let in_view = values(&backend.apply(f, &x_view, g_view.as_ref()).unwrap());
        for out in [eval(backend, f, &x, g.as_deref()), in_view] {
            assert_eq!(out.len(), n);
            for (i, (y, alone)) in out.into_iter().zip(spread(&alone)).enumerate() {
                let dtype = T::DTYPE;
                assert!(
                    y.alike(alone),
                    "{f} in {dtype:?}: element {i} of {n} is {y}, on its own {alone}"
                );
            }
        }
    }
}

/// The bits of results that several threads have a part in.
pub fn large<T: Element>(backend: &dyn Backend, f: Function) -> Vec<u64> {
    let x = tensor::<T>(&[301, 333], 20, backend.device());
    let g = tensor::<T>(&[333], 21, backend.device())
        .broadcast_as((301, 333))
        .unwrap();
    let g = (f.order > 0).then_some(g);
    let transposed = |t: &Tensor| t.t().unwrap();
    let whole = backend.apply(f, &x, g.as_ref()).unwrap();
    let across = backend
        .apply(f, &transposed(&x), g.as_ref().map(transposed).as_ref())
        .unwrap();
    [bits::<T>(&whole), bits::<T>(&across)].concat()
}
