//! How `src/metal.rs` binds buffers, and what only MSL has.

use super::checks;
use super::compiler::{temporary, Kernels};
use super::machine::Machine;
use super::memory::{Region, BASES};
use super::support::fused;
use candle_mish::internals::{self, AffineArguments, Arguments, Binder, MetalLibrary};
use std::mem::size_of;

/// Whether the host has a mode that takes subnormal floats for zero.
pub const CAN_FLUSH: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// What was bound at one index.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Input(u64),
    Output(u64),
    Arguments(usize),
}

/// Stands in for an encoder.
#[derive(Default)]
struct Recorder(Vec<Option<Bound>>);

impl Recorder {
    fn bind(&mut self, index: usize, what: Bound) {
        self.0.resize(self.0.len().max(index + 1), None);
        let before = self.0[index].replace(what);
        assert_eq!(before, None, "buffer {index} is bound twice");
    }
}

impl Binder for Recorder {
    type Buffer = Region;

    fn input(&mut self, index: usize, buffer: &Region, offset: usize) {
        self.bind(index, Bound::Input(buffer.base + offset as u64));
    }

    fn output(&mut self, index: usize, buffer: &Region, offset: usize) {
        self.bind(index, Bound::Output(buffer.base + offset as u64));
    }

    fn arguments<A: Copy>(&mut self, index: usize, _: &A) {
        self.bind(index, Bound::Arguments(size_of::<A>()));
    }
}

/// A region and the byte in it where a buffer starts.
pub type Slice<'a> = (&'a Region, usize);

/// The buffers of a kernel by their index, as an encoder would have them.
fn bound<A: Copy, const N: usize>(operands: [Slice; N], out: Slice, arguments: &A) -> Vec<Bound> {
    let mut recorder = Recorder::default();
    internals::bind(&mut recorder, operands, out, arguments);
    let all: Option<Vec<_>> = recorder.0.into_iter().collect();
    all.expect("a buffer is missing among those bound")
}

/// The addresses that the kernel gets. What it may write is bound as an output, or candle would not order its
/// accesses.
pub fn pointers<A: Copy, const N: usize>(operands: [Slice; N], out: Slice, arguments: &A) -> Vec<u64> {
    let mut bound = bound(operands, out, arguments);
    assert_eq!(bound.pop(), Some(Bound::Arguments(size_of::<A>())));
    let address = |what: &Bound| match *what {
        Bound::Input(at) | Bound::Output(at) => at,
        Bound::Arguments(_) => panic!("arguments in between"),
    };
    let output = Bound::Output(out.0.base + out.1 as u64);
    assert!(
        bound.contains(&output),
        "what is written is not bound as an output"
    );
    bound.iter().map(address).collect()
}

/// The parameters of the macro that declares kernels, in order: each declaration with its `[[buffer(n)]]`.
fn parameters(source: &str, shell: &str) -> Vec<(String, usize)> {
    let start = format!("#define {shell}(name, E, ");
    let text = &source[source.find(&start).expect("a macro for kernels") + start.len()..];
    let text = text[..text.find("\n\n").unwrap()].replace("\\\n", "");
    let buffer = |part: &str| {
        let (declaration, attribute) = part.rsplit_once("[[buffer(")?;
        let (index, _) = attribute.split_once(")]]")?;
        let declaration = declaration.rsplit_once('(').map_or(declaration, |(_, last)| last);
        Some((declaration.trim().to_string(), index.parse().unwrap()))
    };
    text.split([',', '{']).filter_map(buffer).collect()
}

/// Index by index, what is bound is what the kernels of a macro declare; in the emulator, parameters go by position.
fn check_buffers<A: Copy, const N: usize>(
    library: MetalLibrary,
    shell: &str,
    struct_name: &str,
    arguments: &A,
) {
    let regions: [_; N] = std::array::from_fn(|i| Region::new(BASES[i], 16, 4));
    let out = Region::new(BASES[BASES.len() - 1], 16, 4);
    let bound = bound(regions.each_ref().map(|region| (region, 0)), (&out, 0), arguments);
    let parameters = parameters(library.source(), shell);
    assert_eq!(parameters.len(), bound.len(), "{shell}: {parameters:?}");
    for (position, ((declaration, index), bound)) in parameters.iter().zip(bound).enumerate() {
        let declares = match bound {
            Bound::Input(_) => declaration.starts_with("device const "),
            Bound::Output(_) => declaration.starts_with("device candle_mish::"),
            Bound::Arguments(_) => declaration.starts_with(&format!("constant {struct_name} &")),
        };
        assert!(
            declares && *index == position,
            "{shell}: {bound:?} is bound at {position}, the source has {declaration:?} at {index}"
        );
    }
}

pub fn buffers(_: &Machine) {
    let arguments = Arguments::default();
    check_buffers::<_, 1>(MetalLibrary::Activations, "FORWARD", "Arguments", &arguments);
    check_buffers::<_, 2>(MetalLibrary::Activations, "DERIVATIVE", "Arguments", &arguments);
}

pub fn affine_buffers(_: &Machine) {
    check_buffers::<_, 4>(
        MetalLibrary::Affine,
        "KERNEL",
        "AffineArguments",
        &AffineArguments::default(),
    );
}

/// `src/metal.rs` has what no other test here reaches: the calls to candle's encoder, which look alike and of which a
/// wrong one compiles and races. Each is in one place, the method of its name.
pub fn encoder() {
    let source = include_str!("../../src/metal.rs");
    let others = [
        include_str!("../../src/metal/affine.rs"),
        include_str!("../../src/metal/pipeline.rs"),
    ];
    for (method, call) in [
        ("fn input(", ".set_input_buffer(index, Some(buffer), offset)"),
        ("fn output(", ".set_output_buffer(index, Some(buffer), offset)"),
        ("fn arguments<A: Copy>(", ".set_bytes(index, arguments)"),
    ] {
        let (_, body) = source.split_once(method).expect("a method of Binder");
        let body = &body[..body.find("}\n").unwrap()];
        assert!(body.contains(call), "{method} does not call {call}:{body}");
    }
    for call in [
        "set_input_buffer",
        "set_output_buffer",
        "set_bytes",
        "set_param",
        "msl::bind(",
    ] {
        let times = source.matches(call).count();
        let expected = usize::from(call != "set_param");
        assert_eq!(times, expected, "{call} in src/metal.rs");
        assert!(
            !others.iter().any(|other| other.contains(call)),
            "{call} below src/metal"
        );
    }
}

/// Apple's GPUs take subnormal floats for zero, as operands and as results. The kernels scale what is on its way, so
/// that only what is subnormal in the end is lost: everything else keeps its bound.
pub fn flushing(m: &Machine) {
    let machine = m.flushing();
    let target = checks::Target {
        backend: &machine,
        double: false,
    };
    for name in FLUSHING {
        let (_, test) = checks::all(false).find(|(other, _)| *other == name).unwrap();
        test(target);
    }
}

/// The same of the fused ops.
pub fn affine_flushing(m: &Machine) {
    let machine = m.flushing();
    fused::values_of_every_op(&machine);
    fused::random_cases(&machine, 300);
}

const FLUSHING: [&str; 6] = [
    "f16_every_input",
    "bf16_every_input",
    "f16_every_input_times_g",
    "bf16_every_input_times_g",
    "f32_edges_and_where_results_vary",
    "limits_and_special_values",
];

/// A pointer to one address space does not become one to another.
pub fn address_spaces(kernels: &Kernels) {
    let compiles = |name: &str, function: &str| {
        let source = temporary(&format!("spaces-{name}-{}.cpp", std::process::id()));
        let text = format!("#include \"metal_shim.h\"\nstruct S {{ float f; }};\n{function}\n");
        std::fs::write(&source, text).unwrap();
        let result = kernels.compile(&source, &["-fsyntax-only", "-Wno-unused-function"]);
        std::fs::remove_file(&source).unwrap();
        result
    };
    for (name, function) in [
        ("load", "uint f(device const uint *p) { return MISH_LOAD(p); }"),
        ("field", "float f(constant S &s) { return s.f; }"),
    ] {
        compiles(name, function).unwrap();
    }
    for (name, function) in [
        (
            "device-constant",
            "constant const uint *f(device const uint *p) { return p; }",
        ),
        (
            "constant-device",
            "float g(device S &); float f(constant S &s) { return g(s); }",
        ),
        ("device-thread", "uint *f(device uint *p) { return p; }"),
        ("thread-device", "device uint *f(thread uint *p) { return p; }"),
        (
            "threadgroup-device",
            "device uint *f(threadgroup uint *p) { return p; }",
        ),
        (
            "load-constant",
            "uint f(constant const uint *p) { return MISH_LOAD(p); }",
        ),
        (
            "store-const",
            "void f(device const uint *p) { MISH_STORE(p, 1u); }",
        ),
        ("double", "float f(float x) { return x * 0.5; }"),
    ] {
        let result = compiles(name, function);
        assert!(
            result.is_err(),
            "{name}: this compiles, and MSL would refuse it: {function}"
        );
    }
}
