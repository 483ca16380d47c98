//! The fused neighbours against arithmetic of more precision, in any layout.
//!
//! A result may be off by what the contract allows f, f′ and the type, and by what rounding u = x·scale + shift once, in
//! the type that is computed in, does to it: |f′(u)| or |f″(u)| times half an ulp of u.

use super::backend::{values, Function};
use super::contract::{bound, near_root, Side};
use super::inputs::Random;
use super::layouts::{embed, tensor, views, View};
use super::reference::{real, to_exact, Batch, Point, Real};
use super::ulp::{ulp, Element};
use candle_core::{DType, Device, Result, Tensor};
use candle_mish::internals::{fused_backward, AffinePass, Fused};
use candle_mish::{mish_affine, mish_bias, softplus_bias};
use std::fmt;

/// Something that evaluates the fused ops.
pub trait FusedBackend: Sync {
    fn side(&self) -> Side;
    fn device(&self) -> &Device;
    /// Whether there is f64.
    fn double(&self) -> bool;
    fn forward(&self, case: &Case) -> Result<Tensor>;
    /// The gradient of x.
    fn input(&self, case: &Case, g: &Tensor) -> Result<Tensor>;
    /// The gradients of scale, if there is one, and shift as rows.
    fn sums(&self, case: &Case, g: &Tensor) -> Result<Tensor>;
}

/// The arguments of a fused op.
#[derive(Clone, Debug)]
pub struct Case {
    pub fused: Fused,
    pub x: Tensor,
    pub axis: usize,
    /// None if the op has none.
    pub scale: Option<Tensor>,
    pub shift: Tensor,
    /// What kind of view x and the parameters are.
    pub what: String,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fused, x, axis, what, ..
        } = self;
        let parameters = self.shift.dtype();
        write!(
            f,
            "{} in {:?} of {:?} along dim {axis}, {parameters:?} parameters, {what} {:?}",
            fused.name(),
            x.dtype(),
            x.dims(),
            x.stride()
        )
    }
}

impl Case {
    /// Scale, if there is one, and shift in the type that is computed in.
    pub fn rows(&self) -> Result<Tensor> {
        let wide = if self.x.dtype() == DType::F64 {
            DType::F64
        } else {
            DType::F32
        };
        let rows: Vec<_> = self.scale.iter().chain([&self.shift]).collect();
        Tensor::stack(&rows, 0)?.to_dtype(wide)
    }

    fn function(&self, order: usize) -> Function {
        let activation = self.fused.activation();
        Function { activation, order }
    }
}

/// The crate's ops as candle runs them.
pub struct CandleFused(pub Device);

pub const CPU: CandleFused = CandleFused(Device::Cpu);

impl FusedBackend for CandleFused {
    fn side(&self) -> Side {
        match self.0 {
            Device::Cpu => Side::Cpu,
            _ => Side::Device,
        }
    }

    fn device(&self) -> &Device {
        &self.0
    }

    fn double(&self) -> bool {
        !self.0.is_metal()
    }

    fn forward(&self, case: &Case) -> Result<Tensor> {
        let Case { x, shift, axis, .. } = case;
        match (case.fused, &case.scale) {
            (Fused::MishAffine, Some(scale)) => mish_affine(x, scale, shift, *axis),
            (Fused::MishBias, None) => mish_bias(x, shift, *axis),
            (Fused::SoftplusBias, None) => softplus_bias(x, shift, *axis),
            (fused, _) => panic!("{}: a scale or none", fused.name()),
        }
    }

    fn input(&self, case: &Case, g: &Tensor) -> Result<Tensor> {
        fused_backward(
            case.fused,
            AffinePass::Input,
            case.axis,
            &case.x,
            &case.rows()?,
            g,
        )
    }

    fn sums(&self, case: &Case, g: &Tensor) -> Result<Tensor> {
        fused_backward(case.fused, AffinePass::Sums, case.axis, &case.x, &case.rows()?, g)?.sum(2)
    }
}

/// The worst error so far, in units of what is allowed.
#[derive(Debug, Default)]
struct Worst {
    error: f64,
    line: String,
}

impl Worst {
    fn take(&mut self, error: f64, allowed: f64, what: impl FnOnce() -> String) {
        let error = match error {
            0.0 => 0.0,
            error if error.is_nan() => f64::INFINITY,
            error => error / allowed,
        };
        if error > self.error {
            self.error = error;
            self.line = format!("{error:.3} of what is allowed: {}", what());
        }
    }
}

/// |actual − exact|, without rounding what is exact.
fn distance(actual: f64, exact: &Real) -> f64 {
    match actual.is_finite() {
        true => (real(actual) - exact).to_f64().value().abs(),
        false => f64::NAN,
    }
}

/// f, f′ and f″ at u of one element.
struct Exactly {
    f: [Real; 3],
    /// What rounding u does to u.
    du: f64,
    u: f64,
}

impl Exactly {
    /// In 160 bits if u is computed in f64, otherwise in f64.
    fn new<C: Element>(case: &Case, x: f64, scale: f64, shift: f64) -> Self {
        let activation = case.fused.activation();
        let (f, u) = if C::DTYPE == DType::F64 {
            let u = real(x) * real(scale) + real(shift);
            let rounded = u.to_f64().value();
            // An exact zero has no precision of its own.
            let point = if rounded == 0.0 {
                Point::new(0.0)
            } else {
                Point::of(u)
            };
            (point.values(activation), rounded)
        } else {
            // The product is exact.
            let u = x * scale + shift;
            let batch = Batch::new(std::iter::once(u), 1.0);
            let value = |order| {
                let mut out = vec![];
                batch.values(Function { activation, order }, true, &mut out);
                real(out[0])
            };
            ([0, 1, 2].map(value), u)
        };
        let du = 0.5 * ulp::<C>(u);
        Self { f, du, u }
    }

    fn of(&self, order: usize) -> f64 {
        to_exact(self.f[order].clone()).rounded()
    }

    /// What f′ in the type C may be off by, from its own error and that of u.
    fn allowed_d1<C: Element>(&self, case: &Case, side: Side) -> f64 {
        let one = bound(side, C::DTYPE, 1);
        let own = one.ulp * ulp::<C>(self.of(1));
        let own = match near_root(case.function(1), self.u) {
            true => own.max(one.absolute),
            false => own,
        };
        own + self.of(2).abs() * self.du
    }
}

/// Forward, and backward with g, of a case in T, which is computed in C.
fn check_values<T: Element, C: Element>(
    b: &dyn FusedBackend,
    case: &Case,
    g: &Tensor,
    worst: &mut [Worst; 3],
) {
    let (side, narrow) = (b.side(), T::WIDTH < C::WIDTH);
    let wide = |t: &Tensor| -> Vec<f64> {
        // There, as a device may lack the type.
        let t = t.to_device(&Device::Cpu).unwrap();
        values::<f64>(&t.to_dtype(DType::F64).unwrap())
    };
    let fail = |e: candle_core::Error| -> Tensor { panic!("{case}: {e}") };
    let (x, g_values) = (wide(&case.x), wide(g));
    let (scale, shift) = (case.scale.as_ref().map(wide), wide(&case.shift));
    let outputs = [
        b.forward(case).unwrap_or_else(fail),
        b.input(case, g).unwrap_or_else(fail),
    ];
    let sums = b.sums(case, g).unwrap_or_else(fail);
    for out in &outputs {
        assert_eq!((out.dims(), out.dtype()), (case.x.dims(), T::DTYPE), "{case}");
    }
    let [forward, input] = outputs.map(|out| values::<T>(&out));
    let channels = shift.len();
    let rows = 1 + usize::from(scale.is_some());
    assert_eq!(
        (sums.dims(), sums.dtype()),
        (&[rows, channels][..], C::DTYPE),
        "{case}"
    );
    let inner: usize = case.x.dims()[case.axis + 1..].iter().product();
    let mut totals = vec![[real(0.0), real(0.0)]; channels];
    let mut allowances = vec![[0.0, 0.0]; channels];
    let unit = 0.5 * 2f64.powi(-C::FRACTION);
    let count = x.len() as f64 / channels as f64;
    for (i, &x) in x.iter().enumerate() {
        let channel = i / inner % channels;
        let (a, s, g) = (
            scale.as_ref().map_or(1.0, |a| a[channel]),
            shift[channel],
            g_values[i],
        );
        let e = Exactly::new::<C>(case, x, a, s);
        let what = |actual: T, expected: f64| {
            format!("{case}, element {i}: x = {x:e}, scale {a:e}, shift {s:e}, g {g:e}: {actual}, expected {expected:e}")
        };

        let own = bound(side, T::DTYPE, 0).ulp * ulp::<T>(e.of(0));
        let allowed = own * (1.0 + 1e-9) + e.of(1).abs() * e.du;
        worst[0].take(distance(forward[i].to_f64(), &e.f[0]), allowed, || {
            what(forward[i], e.of(0))
        });

        let d1 = e.allowed_d1::<C>(case, side);
        let exact = real(g) * real(a) * &e.f[1];
        let rounded = to_exact(exact.clone()).rounded();
        // Two products, each rounded, the last one perhaps into the subnormals, and a narrow type once more.
        let products = 2.0 * unit * rounded.abs() + ulp::<C>(0.0) * (1.0 + a.abs());
        let last = if narrow { 0.501 * ulp::<T>(rounded) } else { 0.0 };
        let allowed = (g * a).abs() * d1 + products + last;
        worst[1].take(distance(input[i].to_f64(), &exact), allowed, || {
            what(input[i], rounded)
        });

        let terms = [real(g) * &e.f[1] * real(x), real(g) * &e.f[1]];
        for (row, term) in terms.into_iter().enumerate() {
            let factor = if row == 0 { g * x } else { g };
            // Products, and the sum itself: in f64 on the CPU, compensated but for what candle adds up on a device.
            let roundings = 4.0 + count / if C::DTYPE == DType::F64 { 1.0 } else { 64.0 };
            let magnitude = to_exact(term.clone()).rounded().abs();
            allowances[channel][row] += factor.abs() * d1 + roundings * unit * magnitude + ulp::<C>(0.0);
            totals[channel][row] = &totals[channel][row] + term;
        }
    }
    let sums = wide(&sums);
    for channel in 0..channels {
        for row in 0..rows {
            // A single row is that of shift.
            let kind = row + 2 - rows;
            let (actual, total) = (sums[row * channels + channel], &totals[channel][kind]);
            let what = || format!("{case}, sum {kind} of channel {channel}: {actual:e}");
            let allowed = allowances[channel][kind] + unit * actual.abs();
            worst[2].take(distance(actual, total), allowed, what);
        }
    }
}

/// `n` values from `low` to `high`.
fn parameters<T: Element>(n: usize, seed: u64, low: f64, high: f64) -> Tensor {
    let random = &mut Random(seed);
    let values = (0..n).map(|_| T::from_f64(low + (high - low) * random.unit()));
    Tensor::from_vec(values.collect::<Vec<T>>(), n, &Device::Cpu).unwrap()
}

/// Parameters of one op for a dim of n entries, as they are or as views.
fn with_parameters<P: Element>(
    fused: Fused,
    n: usize,
    seed: u64,
    device: &Device,
) -> (Option<Tensor>, Tensor, String) {
    let make = |seed, low, high| parameters::<P>(n, seed, low, high).to_device(device).unwrap();
    let (scale, shift) = (make(seed, -1.5, 2.0), make(seed + 1, -3.0, 2.0));
    let (scale, shift, what) = match seed % 4 {
        0 => (scale, shift, "parameters contiguous"),
        1 => (
            embed(&scale).unwrap(),
            embed(&shift).unwrap(),
            "parameters embedded",
        ),
        2 => {
            let columns = Tensor::stack(&[&scale, &shift], 1).unwrap();
            let column = |i| columns.narrow(1, i, 1).unwrap().squeeze(1).unwrap();
            (column(0), column(1), "parameters interleaved")
        }
        _ => match n {
            0 => (scale, shift, "parameters contiguous"),
            _ => {
                let one = |t: &Tensor| t.narrow(0, 0, 1).unwrap().broadcast_as(n).unwrap();
                (one(&scale), shift, "one scale for all")
            }
        },
    };
    (fused.scaled().then_some(scale), shift, what.to_string())
}

/// A case over this view.
fn case<P: Element>(fused: Fused, (name, x): &View, axis: usize, seed: u64) -> Case {
    let (scale, shift, what) = with_parameters::<P>(fused, x.dims()[axis], seed, x.device());
    Case {
        fused,
        x: x.clone(),
        axis,
        scale,
        shift,
        what: format!("x {name}, {what}"),
    }
}

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

/// The view with values of which products with parameters stay within every type.
fn moderate((name, view): &View) -> View {
    let limited = view.clamp(-20.0, 20.0).unwrap();
    // The clamp has made it contiguous: the same kind of view again, of what it holds.
    let again = match view.is_contiguous() {
        true => limited,
        false => relaid(view, &limited).unwrap(),
    };
    (name.clone(), again)
}

/// The values of `from`, which has the shape of `like`, laid out as `like` is: strides are kept, a broadcast dim holds its
/// first value.
fn relaid(like: &Tensor, from: &Tensor) -> Result<Tensor> {
    let mut order: Vec<usize> = (0..like.rank()).collect();
    order.sort_by_key(|d| std::cmp::Reverse(like.stride()[*d]));
    let mut inverse = vec![0; order.len()];
    order.iter().enumerate().for_each(|(i, d)| inverse[*d] = i);
    let mut first = from.clone();
    for (dim, stride) in like.stride().iter().enumerate() {
        if *stride == 0 {
            first = first.narrow(dim, 0, 1)?;
        }
    }
    let permuted = first.permute(order)?.force_contiguous()?;
    embed(&permuted)?.permute(inverse)?.broadcast_as(like.dims())
}

fn report<T: Element>(worst: &[Worst; 3]) {
    for (kind, worst) in ["forward", "gradient of x", "gradients of scale and shift"]
        .iter()
        .zip(worst)
    {
        // A device may lack the type.
        if !worst.line.is_empty() {
            println!("{:?} {kind}: {}", T::DTYPE, worst.line);
        }
    }
    let above: Vec<_> = worst.iter().filter(|w| w.error > 1.0).map(|w| &w.line).collect();
    assert!(above.is_empty(), "{:?}: {above:#?}", T::DTYPE);
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
    ];
    let mut bits = vec![];
    for fused in Fused::ALL {
        for (dims, axis) in cases {
            let x = ("contiguous".to_string(), tensor::<T>(dims, 7, b.device()));
            let g = tensor::<T>(dims, 8, b.device());
            let case = case::<T>(fused, &moderate(&x), axis, 8);
            for out in [b.forward(&case), b.input(&case, &g)] {
                bits.extend(super::backend::bits::<T>(&out.unwrap()));
            }
            let sums = b.sums(&case, &g).unwrap().to_dtype(DType::F64).unwrap();
            bits.extend(super::backend::bits::<f64>(&sums));
        }
    }
    bits
}

/// A view gives the bits of a contiguous tensor, in every pass.
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
                    let (view, contiguous) = (values::<T>(&view.unwrap()), values::<T>(&contiguous.unwrap()));
                    let differs = view.iter().zip(&contiguous).position(|(a, e)| !a.alike(*e));
                    assert_eq!(differs, None, "{case}");
                }
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
