//! f32 and f64 by polynomials, one for each of many short segments.
//!
//! A segment is 1/64 or 1/128 long. Its polynomial in the distance t from its centre, of degree 2 in f32 and 5 in f64, has
//! its first coefficient in two parts: high + (low + t(c₁ + t(c₂ + …))) is off by the rounding of one sum and by what is
//! left out of the series, a few hundredths of an ulp in f32 and up to 0.8 in f64, away from roots. Where the formulas take
//! 28 to 57 operations, or f64 for a result in f32, this takes 14 in f32 and a load of one segment per element:
//! `docs/cpu-notes.md` has the figures. Segments reach from −64 to 32 in f32 and 40 in f64; beyond, `formula/tails.rs` has
//! what is left of the functions.

use super::isa::Isa;
use super::slice::{Arithmetic, Dispatch, Loop, Scalar};
use crate::formula::series::{Curve, Expansion, Series, TERMS};
use crate::real::Real;
use crate::twin::Twin;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

/// Where segments begin: exp(−64) = 2⁻⁹² leaves room for what is smaller by the 24 bits of an f32.
const LOW: i32 = -64;

/// Segments of equal length side by side.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    /// Centres lie that much apart, from `LOW` to `high`.
    per_unit: i32,
    high: i32,
    /// Added to x it leaves the centre of x's segment as the sum minus it, and the number of segments from 0 to there in
    /// the low bits.
    pub(super) magic: f64,
    /// The sum for the first segment and for the last.
    pub(super) ends: [f64; 2],
}

impl Grid {
    pub(super) const fn of<T: Segmented>(curve: Curve) -> Self {
        let per_unit = if curve.is_steep() {
            T::PER_UNIT_STEEP
        } else {
            T::PER_UNIT
        };
        let magic = T::MAGIC / per_unit as f64;
        Self {
            per_unit,
            high: T::HIGH,
            magic,
            ends: [magic + LOW as f64, magic + T::HIGH as f64],
        }
    }

    /// How many steps from 0 the first segment and the last are.
    fn range(self) -> RangeInclusive<i32> {
        LOW * self.per_unit..=self.high * self.per_unit
    }
}

/// The segments of a curve, one for each of [`Grid::range`].
pub(super) struct Segments<T: Segmented>(Box<[T::Segment]>);

/// An element type with such polynomials.
pub(super) trait Segmented: Copy + Sized + 'static {
    /// Coefficients: high, low, c₁, …
    type Segment: Send + Sync;
    const DEGREE: usize;
    /// Where segments end: far enough out for `tails.rs`, and T′ and T″, which decay as exp(−2x), not below 2⁻⁹² in f32.
    const HIGH: i32;
    /// How many segments there are between an integer and the next.
    const PER_UNIT: i32;
    /// The same for curves that are steep.
    const PER_UNIT_STEEP: i32;
    /// Added to a number, it leaves an integer in the low bits.
    const MAGIC: f64;

    /// Whether polynomials are faster with AVX2 than the formula, and so where AVX-512 looks them up. `has_beta` if x is
    /// multiplied by a β, which may take most elements beyond the segments.
    fn pays(curve: Curve, has_beta: bool) -> bool;
    /// From the first coefficient and the others.
    fn segment(first: Twin<f64>, others: &[f64]) -> Self::Segment;
    fn all() -> &'static [OnceLock<Option<Segments<Self>>>; Curve::COUNT];
}

impl<T: Segmented> Segments<T> {
    /// `None` if there is no memory for them.
    pub(super) fn of(isa: Isa, curve: Curve) -> Option<&'static Self> {
        T::all()[curve as usize]
            .get_or_init(|| {
                let mut segments = Vec::new();
                let count = Grid::of::<T>(curve).range().count();
                segments.try_reserve_exact(count).ok()?;
                isa.arch.dispatch(Dispatch(Fill::<T> {
                    curve,
                    segments: &mut segments,
                }));
                Some(Self(segments.into_boxed_slice()))
            })
            .as_ref()
    }

    pub(super) fn as_ptr(&self) -> *const T::Segment {
        self.0.as_ptr()
    }
}

/// Appends all segments of a curve. A loop for the sake of its instructions: it multiplies with FMAs.
struct Fill<'a, T: Segmented> {
    curve: Curve,
    segments: &'a mut Vec<T::Segment>,
}

impl<T: Segmented> Loop for Fill<'_, T> {
    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let grid = Grid::of::<T>(self.curve);
        // Two terms more than are kept, and two that are lost to derivatives.
        const { assert!(T::DEGREE + 5 <= TERMS) };
        let expansion = Expansion::<A::F64>::new(T::DEGREE + 5);
        let unit = 1.0 / grid.per_unit as f64;
        let step = expansion.exp(-unit);
        let growth = step.recip();
        // exp(LOW), by squares: LOW is a power of two, as is the number of segments in a unit.
        let mut p = step;
        for _ in 0..(-LOW * grid.per_unit).ilog2() {
            p = p.mul(p);
        }
        for k in grid.range() {
            let series = expansion.of(self.curve, k as f64 * unit, p);
            self.segments.push(segment::<T, A::F64>(series, unit / 2.0));
            p = p.mul(if k < 0 { growth } else { step });
        }
    }
}

/// Of a Taylor series: terms beyond the degree are replaced by what Chebyshev polynomials have in their stead, which are at
/// most 2^(1-n) times as large.
#[inline(always)]
fn segment<T: Segmented, R: Real + Scalar<f64>>(series: Series<R>, reach: f64) -> T::Segment {
    let mut c = series.map(|term| term.high.get() + term.low.get());
    let exact = c[0];
    for n in [T::DEGREE + 2, T::DEGREE + 1] {
        // tⁿ less Chebyshev's polynomial of degree n, scaled to the segment and to have tⁿ.
        let mut factor = c[n];
        for j in 1..=n / 2 {
            let (n, j) = (n as f64, j as f64);
            factor *= -reach * reach * (n - 2.0 * j + 2.0) * (n - 2.0 * j + 1.0) / (4.0 * j * (n - j));
            c[n as usize - 2 * j as usize] -= factor;
        }
    }
    let first = Twin::new(series[0].high.get(), series[0].low.get() + (c[0] - exact));
    T::segment(first, &c[1..=T::DEGREE])
}

macro_rules! segmented {
    ($t:ident, degree $degree:literal, $per_unit:literal or $steep:literal per unit up to $high:literal, magic $magic:expr, $segment:ident, pays $pays:expr) => {
        impl Segmented for $t {
            type Segment = $segment;
            const DEGREE: usize = $degree;
            const HIGH: i32 = $high;
            const PER_UNIT: i32 = $per_unit;
            const PER_UNIT_STEEP: i32 = $steep;
            const MAGIC: f64 = $magic;

            fn pays(curve: Curve, has_beta: bool) -> bool {
                ($pays)(curve, has_beta)
            }
            fn segment(first: Twin<f64>, others: &[f64]) -> $segment {
                // Towards zero, so that both parts have the same sign: x·T of −0 is −0 then.
                let mut high = first.high as $t;
                let mut low = (first.high - high as f64) + first.low;
                if (low < 0.0) != (high < 0.0) && low != 0.0 {
                    high = $t::from_bits(high.to_bits() - 1);
                    low = (first.high - high as f64) + first.low;
                }
                let mut coefficients = [0.0; $degree];
                for (to, c) in coefficients.iter_mut().zip(others) {
                    *to = *c as $t;
                }
                $segment::new(high, low as $t, coefficients)
            }

            fn all() -> &'static [OnceLock<Option<Segments<Self>>>; Curve::COUNT] {
                static SEGMENTS: [OnceLock<Option<Segments<$t>>>; Curve::COUNT] =
                    [const { OnceLock::new() }; Curve::COUNT];
                &SEGMENTS
            }
        }
    };
}

segmented!(f32, degree 2, 64 or 128 per unit up to 32, magic 12582912.0, Segment32, pays |_, _| true);
segmented!(f64, degree 5, 64 or 128 per unit up to 40, magic 6755399441055744.0, Segment64,
    pays |curve, has_beta| !(has_beta && curve == Curve::SoftplusD1));

/// high, low, c₁ and c₂. Aligned, so that it lies in one cache line.
#[repr(C, align(16))]
pub(super) struct Segment32([f32; 4]);

impl Segment32 {
    fn new(high: f32, low: f32, [c1, c2]: [f32; 2]) -> Self {
        Self([high, low, c1, c2])
    }

    /// The value at t, as `Family::multiple` takes it.
    #[inline(always)]
    pub(super) fn value<R: Real>([high, low, c1, c2]: [R; 4], t: R) -> Twin<R> {
        Twin::new(high, c2.fma(t, c1).fma(t, low))
    }
}

/// high, c₁ to c₄, and c₅, the lower half of whose bits is the upper half of low's: 20 bits are enough for either, as they
/// count for 2⁻³⁵ and 2⁻⁵³ of the value. Aligned, so that a pair lies in one cache line.
#[repr(C, align(16))]
pub(super) struct Segment64([f64; Self::LEN]);

impl Segment64 {
    pub(super) const LEN: usize = 6;

    fn new(high: f64, low: f64, [c1, c2, c3, c4, c5]: [f64; 5]) -> Self {
        let last = f64::from_bits(c5.to_bits() >> 32 << 32 | low.to_bits() >> 32);
        Self([high, c1, c2, c3, c4, last])
    }

    /// The value at t, as `Family::multiple` takes it. `low` is the lower half of c₅, whose value it does not change.
    #[inline(always)]
    pub(super) fn value<R: Real>([high, c1, c2, c3, c4, c5]: [R; Self::LEN], low: R, t: R) -> Twin<R> {
        // Two terms at a time: a chain of all of them takes registers for longer.
        let square = t * t;
        let [start, middle, end] = [c1.fma(t, low), c3.fma(t, c2), c5.fma(t, c4)];
        Twin::new(high, end.fma(square, middle).fma(square, start))
    }
}
