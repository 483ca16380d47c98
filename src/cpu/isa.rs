//! Which instructions to use: the one place where it is decided.

use std::sync::OnceLock;

/// An instruction set that the CPU backend has a path for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Isa {
    pub(super) arch: pulp::Arch,
    /// Whether the processor has AVX-512 with units of 256 bits, which take one half of a vector after the other: then
    /// polynomials and tables are faster than the formulas.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // only vectors ask
    pub(super) in_halves: bool,
    pub(super) access: Access,
}

/// How memory is read and written, where the path has a choice.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Access {
    #[default]
    Plain,
    /// Operands are asked for ahead of their use.
    Ahead,
    /// Inputs are, and stores go past the caches.
    Streaming,
}

/// x86-64 has an FMA from AVX2 on, wasm has none.
pub(super) const fn has_fma(is_scalar: bool) -> bool {
    cfg!(target_arch = "aarch64") || cfg!(target_arch = "x86_64") && !is_scalar
}

impl Isa {
    /// The best that this processor has, or what `CANDLE_MISH_ISA` names, if the processor has it:
    /// `baseline`, `avx2`, `avx512` or `avx512-halves`. Read once.
    pub(crate) fn get() -> Self {
        static ISA: OnceLock<Isa> = OnceLock::new();
        *ISA.get_or_init(|| {
            let wanted = std::env::var("CANDLE_MISH_ISA").unwrap_or_default();
            Self::by_name(&wanted).unwrap_or_else(Self::best)
        })
    }

    fn new(arch: pulp::Arch) -> Self {
        Self {
            arch,
            in_halves: false,
            access: Access::default(),
        }
    }

    fn best() -> Self {
        let arch = pulp::Arch::new();
        Self {
            in_halves: has_halves(arch),
            ..Self::new(arch)
        }
    }

    /// Whether there is an FMA: see [`has_fma`].
    pub(super) fn has_fma(self) -> bool {
        has_fma(matches!(self.arch, pulp::Arch::Scalar))
    }

    pub(super) fn accessing(self, access: Access) -> Self {
        Self { access, ..self }
    }

    #[cfg(target_arch = "x86_64")]
    fn by_name(name: &str) -> Option<Self> {
        match name {
            "baseline" => Some(Self::new(pulp::Arch::Scalar)),
            "avx2" => pulp::x86::V3::try_new().map(|v3| Self::new(pulp::Arch::V3(v3))),
            "avx512" => pulp::x86::V4::try_new().map(|v4| Self::new(pulp::Arch::V4(v4))),
            "avx512-halves" => Self::by_name("avx512").map(|isa| Self {
                in_halves: true,
                ..isa
            }),
            _ => None,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn by_name(name: &str) -> Option<Self> {
        (name == "baseline").then_some(Self::new(pulp::Arch::Scalar))
    }

    /// Whether units are of 512 bits.
    pub(super) fn has_wide_units(&self) -> bool {
        self.name() == "avx512"
    }

    /// The name, as `CANDLE_MISH_ISA` takes it where there is a choice.
    pub(crate) fn name(&self) -> &'static str {
        match self.arch {
            #[cfg(target_arch = "x86_64")]
            pulp::Arch::V4(_) if self.in_halves => "avx512-halves",
            #[cfg(target_arch = "x86_64")]
            pulp::Arch::V4(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            pulp::Arch::V3(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            pulp::Arch::Neon(_) => "neon",
            #[allow(unreachable_patterns)]
            _ => "baseline",
        }
    }
}

/// Whether a processor with AVX-512 says of itself that its units have 256 bits. AMD's do (APM, volume 3, CPUID function
/// 8000_001A: FP256 and FP512): Zen 4 has the first, Zen 5 on servers the second. Others have no such function.
#[cfg(target_arch = "x86_64")]
fn has_halves(arch: pulp::Arch) -> bool {
    const WIDTHS: u32 = 0x8000_001a;
    let cpuid = |function| core::arch::x86_64::__cpuid(function).eax;
    let has_widths = matches!(arch, pulp::Arch::V4(_)) && cpuid(0x8000_0000) >= WIDTHS;
    let [fp256, fp512] = [1 << 2, 1 << 3];
    has_widths && cpuid(WIDTHS) & (fp256 | fp512) == fp256
}

#[cfg(not(target_arch = "x86_64"))]
fn has_halves(_: pulp::Arch) -> bool {
    false
}
