//! The fused neighbours on the emulated device, as `src/cuda/affine.rs` and `src/metal/affine.rs` launch them.

use super::huge::position;
use super::machine::Machine;
use super::memory::{Region, Writes, BASES};
use super::support::backend::Backend;
use super::support::contract::Side;
use super::support::fused::{self, Case, FusedBackend};
use super::support::layouts::samples;
use super::support::ulp::Element;
use super::tests::{affine_arguments, names, Test};
use candle_core::{bail, CpuStorage, DType, Device, Layout, Result, Shape, Storage, Tensor};
use candle_mish::internals::{AffineLayouts, AffinePass, AffinePlan, Fused};
use half::{bf16, f16};
use std::mem::size_of;

pub const ALL: &[Test] = &[
    ("affine_kernels_that_a_plan_can_name_exist", names),
    ("affine_arguments_have_the_same_layout", affine_arguments),
    ("affine_values", |m| fused::values_of_every_op(m)),
    ("affine_random_shapes_layouts_and_dims", |m| {
        fused::random_cases(m, 600)
    }),
    ("affine_views", |m| fused::layouts_of_every_op(m)),
    ("affine_empty", |m| fused::empty(m)),
    ("affine_any_number_of_multiprocessors", multiprocessors),
    ("affine_more_channels_than_threads", many_channels),
    ("affine_far_strides", far_strides),
    ("affine_vectors_of_parameters", vectors_of_parameters),
    ("affine_more_than_2_to_31_elements", many_elements),
    ("affine_infinite_sums", |m| fused::infinite_sums(m)),
];

/// Forward over x and parameters that are rows of their own.
fn planned(
    m: &Machine,
    dtype: DType,
    x: &Layout,
    [scale, shift]: &[Layout; 2],
    single: bool,
    axis: usize,
) -> AffinePlan {
    let layouts = AffineLayouts {
        x,
        g: x,
        scale,
        shift,
    };
    let (fused, pass) = (Fused::MishAffine, AffinePass::Forward);
    AffinePlan::new(fused, pass, dtype, layouts, [single; 2], axis, m.target())
        .unwrap()
        .unwrap()
}

/// Vectors are counted in 32 bits up to 2³¹ elements.
fn many_elements(m: &Machine) {
    let sizes = [(1 << 31) - 8, 1 << 31, (1 << 31) + 8];
    for (n, path) in sizes.into_iter().zip(["channels", "strided32", "strided64"]) {
        let (x, rows) = (
            Layout::contiguous((n / 8, 8)),
            [0, 0].map(|_| Layout::contiguous(8)),
        );
        let kernel = planned(m, DType::F16, &x, &rows, false, 1).kernel;
        assert!(kernel.ends_with(path), "{kernel} for {n} elements");
    }
}

/// Scale and shift are read by the vector where channels come last, side by side, aligned, and no vector goes across the last.
fn vectors_of_parameters(m: &Machine) {
    let adjacent = |dims: (usize, usize), axis: usize, dtype: DType, offsets: [usize; 2], single: bool| {
        let x = Layout::contiguous(dims);
        let rows = offsets.map(|offset| Layout::contiguous_with_offset(x.dims()[axis], offset));
        planned(m, dtype, &x, &rows, single, axis).arguments.adjacent
    };
    assert_eq!(adjacent((5, 24), 1, DType::F16, [0, 0], false), 1);
    assert_eq!(adjacent((5, 24), 1, DType::F16, [8, 16], false), 1);
    assert_eq!(adjacent((5, 24), 1, DType::F16, [4, 0], true), 1);
    assert_eq!(adjacent((5, 24), 1, DType::F16, [0, 4], false), 0);
    assert_eq!(adjacent((5, 24), 1, DType::F16, [2, 0], true), 0);
    assert_eq!(adjacent((5, 20), 1, DType::F16, [0, 0], false), 0);
    assert_eq!(adjacent((5, 20), 1, DType::F32, [4, 0], true), 1);
    assert_eq!(adjacent((24, 5), 0, DType::F32, [0, 0], true), 0);
}

/// Sums are spread over more or fewer threads; elements are not to notice.
fn multiprocessors(m: &Machine) {
    for units in [1, 7, 132] {
        fused::random_cases(&m.variant(units, 0), 100);
    }
}

/// More sums than a grid has threads, 8192 with one multiprocessor, and fewer.
fn many_channels(m: &Machine) {
    let [looping, not] = [1, 132].map(|units| fused::sums_of_many_channels(&m.variant(units, 0)));
    assert!(looping == not);
}

/// The values of a storage, whatever their type, as bytes.
trait Typed: Element {
    fn of(storage: &CpuStorage) -> Option<&[Self]>;
}

macro_rules! typed {
    ($($t:ident $variant:ident),*) => {$(
        impl Typed for $t {
            fn of(storage: &CpuStorage) -> Option<&[Self]> {
                match storage {
                    CpuStorage::$variant(values) => Some(values),
                    _ => None,
                }
            }
        }
    )*};
}

typed!(f16 F16, bf16 BF16, f32 F32, f64 F64);

/// A region over a parameter, which is of either type.
fn parameter<T: Typed, C: Typed>(storage: &CpuStorage, base: u64) -> Region {
    match (T::of(storage), C::of(storage)) {
        (Some(values), _) => Writes::region(values, base, None),
        (_, Some(values)) => Writes::region(values, base, None),
        _ => panic!("neither x's type nor what it is computed in"),
    }
}

/// A pass over tensors of T, which is computed in C; its result is of type O.
fn run<T: Typed, C: Typed, O: Typed>(
    m: &Machine,
    pass: AffinePass,
    case: &Case,
    g: Option<&Tensor>,
    parameters: [&Tensor; 2],
) -> Result<Tensor> {
    let [scale, shift] = parameters;
    let single = parameters.map(|p| p.dtype() == C::DTYPE);
    let layouts = AffineLayouts {
        x: case.x.layout(),
        g: g.unwrap_or(&case.x).layout(),
        scale: scale.layout(),
        shift: shift.layout(),
    };
    let plan = AffinePlan::new(case.fused, pass, T::DTYPE, layouts, single, case.axis, m.target())?;
    let Some(plan) = plan else {
        let shape = AffinePlan::empty_shape(case.fused, pass, case.x.layout());
        return Tensor::zeros(shape, O::DTYPE, &Device::Cpu);
    };
    let storages = [&case.x, g.unwrap_or(&case.x), scale, shift].map(|t| t.storage_and_layout().0);
    let cpu = |i: usize| match &*storages[i] {
        Storage::Cpu(storage) => storage,
        _ => panic!("the emulator takes tensors of the CPU"),
    };
    let tensor = |i: usize| Writes::region(T::of(cpu(i)).expect("x's type"), BASES[i], None);
    let operands = [
        tensor(0),
        tensor(1),
        parameter::<T, C>(cpu(2), BASES[2]),
        parameter::<T, C>(cpu(3), BASES[3]),
    ];
    let out = launch::<O>(m, &plan, operands);
    drop(storages);
    Tensor::from_vec(out, plan.out, &Device::Cpu)
}

/// The whole grid. Every element of the output has to be written once.
fn launch<O: Element>(m: &Machine, plan: &AffinePlan, operands: [Region; 4]) -> Vec<O> {
    let out = vec![O::from_f64(f64::NAN); plan.out.elem_count()];
    let mut writes = Writes::new(std::mem::size_of_val(&out[..]));
    let mut regions = Vec::from(operands);
    regions.push(Writes::region(&out, BASES[4], Some(&mut writes)));
    let operands =
        std::array::from_fn::<_, 4, _>(|i| (&regions[i], plan.offsets[i] * regions[i].size as usize));
    let pointers = m.pointers(operands, (&regions[4], 0), &plan.arguments);
    let report = m.launch_kernel(
        &plan.kernel,
        &pointers,
        &plan.arguments,
        plan.grid,
        0..plan.grid,
        &mut regions,
    );
    assert_eq!(report.fault, 0, "{report:x?} of {plan:?}");
    for (i, count) in writes.of_elements(size_of::<O>()).enumerate() {
        assert_eq!(count, 1, "writes of element {i}, {plan:?}");
    }
    out
}

/// 64-bit indices: x and g reach far beyond what there is, and have values that are made up from the index.
fn far_strides(m: &Machine) {
    far::<f16, f16>(m, AffinePass::Forward);
    far::<bf16, bf16>(m, AffinePass::Input);
    far::<f16, f32>(m, AffinePass::Sums);
    far::<f32, f32>(m, AffinePass::Forward);
    far::<f32, f32>(m, AffinePass::Input);
    far::<f32, f32>(m, AffinePass::Sums);
    if m.gpu().double() {
        far::<f64, f64>(m, AffinePass::Forward);
        far::<f64, f64>(m, AffinePass::Input);
        far::<f64, f64>(m, AffinePass::Sums);
    }
}

fn far<T: Element, O: Element>(m: &Machine, pass: AffinePass) {
    const DIMS: [usize; 3] = [5, 7, 9];
    const FAR: usize = 1 << 31;
    let size = size_of::<T>();
    let layout = |strides: [usize; 3], offset| Layout::new(Shape::from(&DIMS[..]), strides.to_vec(), offset);
    let (x, g) = (layout([2, FAR, 10], 3), layout([FAR, 9, 1], 0));
    let near = Layout::contiguous(&DIMS[..]);
    let made_up = |layout: &Layout| -> Vec<T> {
        // SAFETY: this is its type.
        let bits = unsafe { m.function::<extern "C" fn(u64, u64) -> u64>("made_up_bits") }.unwrap();
        let value = |at: usize| T::from_bits(bits(at as u64, size as u64));
        (0..layout.shape().elem_count())
            .map(|i| value(position(layout, i)))
            .collect()
    };
    let (x_values, g_values) = (made_up(&x), made_up(&g));
    for (fused, axis) in Fused::ALL.into_iter().flat_map(|f| [(f, 0), (f, 1), (f, 2)]) {
        let parameters = samples::<T>(DIMS[axis], 40);
        let row = Layout::contiguous(DIMS[axis]);
        let plan = |x: &Layout, g: &Layout| {
            let g = if pass == AffinePass::Forward { x } else { g };
            let (scale, shift) = (&row, &row);
            let layouts = AffineLayouts { x, g, scale, shift };
            AffinePlan::new(fused, pass, T::DTYPE, layouts, [false; 2], axis, m.target())
                .unwrap()
                .unwrap()
        };
        let values = [2, 3].map(|i| Writes::region(&parameters, BASES[i], None));
        let [scale, shift] = values;
        let unbacked = |i: usize| Region::new(BASES[i], (16 * FAR * size) as u64, size as u64);
        let far = plan(&x, &g);
        assert!(far.kernel.ends_with("strided64"), "{}", far.kernel);
        let actual = launch::<O>(m, &far, [unbacked(0), unbacked(1), scale, shift]);
        let [scale, shift] = [2, 3].map(|i| Writes::region(&parameters, BASES[i], None));
        let tensors = [
            Writes::region(&x_values, BASES[0], None),
            Writes::region(&g_values, BASES[1], None),
        ];
        let [x_near, g_near] = tensors;
        let expected = launch::<O>(m, &plan(&near, &near), [x_near, g_near, scale, shift]);
        let differs = actual.iter().zip(&expected).position(|(a, e)| !a.alike(*e));
        assert_eq!(differs, None, "{} along dim {axis}", far.kernel);
    }
}

/// The pass in the types of the case.
fn typed(
    m: &Machine,
    pass: AffinePass,
    case: &Case,
    g: Option<&Tensor>,
    parameters: [&Tensor; 2],
) -> Result<Tensor> {
    let sums = pass == AffinePass::Sums;
    match case.x.dtype() {
        DType::F16 if sums => run::<f16, f32, f32>(m, pass, case, g, parameters),
        DType::F16 => run::<f16, f32, f16>(m, pass, case, g, parameters),
        DType::BF16 if sums => run::<bf16, f32, f32>(m, pass, case, g, parameters),
        DType::BF16 => run::<bf16, f32, bf16>(m, pass, case, g, parameters),
        DType::F32 => run::<f32, f32, f32>(m, pass, case, g, parameters),
        DType::F64 => run::<f64, f64, f64>(m, pass, case, g, parameters),
        other => bail!("no such type: {other:?}"),
    }
}

/// The rows of parameters as tensors of their own: scale, or shift in its place, and shift.
fn rows(case: &Case) -> Result<[Tensor; 2]> {
    let rows = case.rows()?;
    Ok([rows.get(0)?, rows.get(rows.dim(0)? - 1)?])
}

impl FusedBackend for Machine {
    fn side(&self) -> Side {
        Side::Device
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn flushes(&self) -> bool {
        Backend::flushes(self)
    }

    fn double(&self) -> bool {
        self.gpu().double()
    }

    fn forward(&self, case: &Case) -> Result<Tensor> {
        let scale = case.scale.as_ref().unwrap_or(&case.shift);
        typed(self, AffinePass::Forward, case, None, [scale, &case.shift])
    }

    fn input(&self, case: &Case, g: &Tensor) -> Result<Tensor> {
        let rows = rows(case)?;
        typed(self, AffinePass::Input, case, Some(g), rows.each_ref())
    }

    fn sums(&self, case: &Case, g: &Tensor) -> Result<Tensor> {
        let rows = rows(case)?;
        typed(self, AffinePass::Sums, case, Some(g), rows.each_ref())?.sum(2)
    }
}
