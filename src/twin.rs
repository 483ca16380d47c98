//! Sums of two: double the precision where a single rounding would show.

use crate::real::Real;

/// high + low, with `low` far below `high`.
#[derive(Clone, Copy)]
pub(crate) struct Twin<R> {
    pub(crate) high: R,
    pub(crate) low: R,
}

/// a + b with |a| ≥ |b|, exactly (Dekker).
#[inline(always)]
pub(crate) fn fast_two_sum<R: Real>(a: R, b: R) -> Twin<R> {
    let high = a + b;
    Twin::new(high, b - (high - a))
}

/// a·b, exactly.
#[inline(always)]
pub(crate) fn two_product<R: Real>(a: R, b: R) -> Twin<R> {
    let high = a * b;
    Twin::new(high, a.fma(b, -high))
}

impl<R> From<Twin<R>> for [R; 2] {
    #[inline(always)]
    fn from(twin: Twin<R>) -> Self {
        [twin.high, twin.low]
    }
}

impl<R: Real> Twin<R> {
    #[inline(always)]
    pub(crate) fn new(high: R, low: R) -> Self {
        Self { high, low }
    }

    #[inline(always)]
    pub(crate) fn lit(x: f64) -> Self {
        Self::new(R::lit(x), R::lit(0.0))
    }

    /// high + low, of which the first has the bits that fit.
    #[inline(always)]
    pub(crate) fn split(high: f64, low: f64) -> Self {
        let short = R::rounded(high);
        Self::new(R::lit(short), R::lit((high - short) + low))
    }

    #[inline(always)]
    pub(crate) fn sum(self) -> R {
        self.high + self.low
    }

    /// Times a power of two.
    #[inline(always)]
    pub(crate) fn scale(self, factor: R) -> Self {
        Self::new(self.high * factor, self.low * factor)
    }

    #[inline(always)]
    pub(crate) fn add(self, other: Self) -> Self {
        // Knuth's two-sum: no assumption on which is larger.
        let high = self.high + other.high;
        let part = high - self.high;
        let low = (self.high - (high - part)) + (other.high - part);
        fast_two_sum(high, low + (self.low + other.low))
    }

    #[inline(always)]
    pub(crate) fn mul(self, other: Self) -> Self {
        let product = two_product(self.high, other.high);
        let low = self.high.mla(other.low, self.low.mla(other.high, product.low));
        fast_two_sum(product.high, low)
    }

    #[inline(always)]
    pub(crate) fn recip(self) -> Self {
        // Two Newton steps: the approximation has at least half of the bits.
        let one = R::lit(1.0);
        let r = self.high.recip();
        let r = (-r).fma(self.high, one).mla(r, r);
        let rest = (-r).fma(self.high, one);
        let rest = (-r).mla(self.low, rest);
        fast_two_sum(r, rest * r)
    }
}
