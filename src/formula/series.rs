//! Taylor series of the activations and their derivatives, to about 100 bits.
//!
//! With p = exp(−|x|), the series of p is p·Σ(±t)ᵏ/k!, and those of the activations are made of quotients of polynomials
//! in p whose terms do not cancel:
//!
//! | | x < 0 | x ≥ 0 |
//! | --- | --- | --- |
//! | σ | p/(1 + p) | 1 − p/(1 + p) |
//! | T = tanh∘softplus | (p + p²/2)/(1 + p + p²/2) | 1 − 2p²/(1 + 2p + 2p²) |
//!
//! Softplus is an integral of σ, mish is x·T, and the series of a derivative is the derivative of the series:
//! section 6 of `docs/derivation.md`.

use crate::real::Real;
use crate::twin::Twin;

/// What is expanded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Curve {
    /// T, that is mish(x)/x: a multiple of x keeps its relative precision next to the root.
    MishD0,
    MishD1,
    MishD2,
    SoftplusD0,
    SoftplusD1,
    SoftplusD2,
    TanhSoftplusD0,
    TanhSoftplusD1,
    TanhSoftplusD2,
}

impl Curve {
    pub(crate) const COUNT: usize = Curve::TanhSoftplusD2 as usize + 1;

    /// Whether it has poles of a high order next to the real line, at ln √2 ± i·3π/4, and a root.
    pub(crate) const fn is_steep(self) -> bool {
        use Curve::*;
        matches!(self, MishD1 | MishD2 | TanhSoftplusD1 | TanhSoftplusD2)
    }
}

/// Terms of a series, the last of which may be left zero.
pub(crate) const TERMS: usize = 11;
pub(crate) type Series<R> = [Twin<R>; TERMS];

/// As many as the longest series in [`Expansion::log1p`] has.
const ODD: usize = 32;

/// Makes series.
pub(crate) struct Expansion<R> {
    /// How many terms.
    n: usize,
    /// 1/k
    inverses: [Twin<R>; 2 * ODD],
}

impl<R: Real> Expansion<R> {
    #[inline(always)]
    pub(crate) fn new(n: usize) -> Self {
        let mut inverses = [Twin::lit(1.0); 2 * ODD];
        for (k, inverse) in inverses.iter_mut().enumerate().skip(2) {
            *inverse = Twin::lit(k as f64).recip();
        }
        Self { n, inverses }
    }

    /// Of the curve at x, where exp(−|x|) is p.
    #[inline(always)]
    pub(crate) fn of(&self, curve: Curve, x: f64, p: Twin<R>) -> Series<R> {
        use Curve::*;
        match curve {
            SoftplusD0 => self.integral(self.softplus(x, p), self.sigmoid(x, p)),
            SoftplusD1 => self.sigmoid(x, p),
            SoftplusD2 => derivative(self.sigmoid(x, p)),
            MishD0 | TanhSoftplusD0 => self.gate(x, p),
            TanhSoftplusD1 => derivative(self.gate(x, p)),
            TanhSoftplusD2 => derivative(derivative(self.gate(x, p))),
            MishD1 => derivative(self.mish(x, p)),
            MishD2 => derivative(derivative(self.mish(x, p))),
        }
    }

    /// eˣ for |x| ≤ 1/16.
    #[inline(always)]
    pub(crate) fn exp(&self, x: f64) -> Twin<R> {
        let mut sum = Twin::lit(1.0);
        for k in (1..16).rev() {
            sum = sum.mul(self.inverses[k]).mul(Twin::lit(x)).add(Twin::lit(1.0));
        }
        sum
    }

    #[inline(always)]
    fn sigmoid(&self, x: f64, p: Twin<R>) -> Series<R> {
        let quotient = self.quotient([0.0, 1.0, 0.0], [1.0, 1.0, 0.0], x, p);
        if x < 0.0 {
            quotient
        } else {
            one_minus(quotient)
        }
    }

    #[inline(always)]
    fn gate(&self, x: f64, p: Twin<R>) -> Series<R> {
        if x < 0.0 {
            self.quotient([0.0, 1.0, 0.5], [1.0, 1.0, 0.5], x, p)
        } else {
            one_minus(self.quotient([0.0, 0.0, 2.0], [1.0, 2.0, 2.0], x, p))
        }
    }

    /// (x + t)·T
    #[inline(always)]
    fn mish(&self, x: f64, p: Twin<R>) -> Series<R> {
        let gate = self.gate(x, p);
        let mut series = gate.map(|term| term.mul(Twin::lit(x)));
        for (term, before) in series[1..].iter_mut().zip(gate) {
            *term = term.add(before);
        }
        series
    }

    /// max(x, 0) + log1p(p)
    #[inline(always)]
    fn softplus(&self, x: f64, p: Twin<R>) -> Twin<R> {
        // 2·artanh(u), of which so many terms leave out less than 2⁻⁸⁰.
        let u = p.mul(p.add(Twin::lit(2.0)).recip());
        let w = u.mul(u);
        let most = (0.25 * (-2.0 * x.abs()).exp()).min(1.0 / 9.0);
        let count = (80.0 / -most.log2()) as usize + 1;
        let mut sum = Twin::lit(0.0);
        for k in (0..=count.min(ODD - 1)).rev() {
            sum = sum.mul(w).add(self.inverses[2 * k + 1]);
        }
        Twin::lit(x.max(0.0)).add(sum.mul(u).scale(R::lit(2.0)))
    }

    /// Of the quotient of two polynomials in p of degree 2.
    #[inline(always)]
    fn quotient(&self, above: [f64; 3], below: [f64; 3], x: f64, p: Twin<R>) -> Series<R> {
        let (above, below) = (self.polynomial(above, x, p), self.polynomial(below, x, p));
        let inverse = below[0].recip();
        let mut series = [Twin::lit(0.0); TERMS];
        for k in 0..self.n {
            let mut rest = above[k];
            for j in 1..=k {
                rest = rest.add(below[j].mul(series[k - j]).scale(R::lit(-1.0)));
            }
            series[k] = rest.mul(inverse);
        }
        series
    }

    /// Of a + b·p + c·p².
    #[inline(always)]
    fn polynomial(&self, [a, b, c]: [f64; 3], x: f64, p: Twin<R>) -> Series<R> {
        let slope = if x < 0.0 { 1.0 } else { -1.0 };
        let (mut linear, mut square) = (p.mul(Twin::lit(b)), p.mul(p).mul(Twin::lit(c)));
        let mut series = [Twin::lit(0.0); TERMS];
        series[0] = Twin::lit(a).add(linear.add(square));
        for (k, term) in series[..self.n].iter_mut().enumerate().skip(1) {
            linear = linear.mul(self.inverses[k]).scale(R::lit(slope));
            square = square.mul(self.inverses[k]).scale(R::lit(2.0 * slope));
            *term = linear.add(square);
        }
        series
    }

    /// That with this first term.
    #[inline(always)]
    fn integral(&self, first: Twin<R>, series: Series<R>) -> Series<R> {
        let mut integral = [first; TERMS];
        for k in 1..TERMS {
            integral[k] = series[k - 1].mul(self.inverses[k]);
        }
        integral
    }
}

#[inline(always)]
fn one_minus<R: Real>(series: Series<R>) -> Series<R> {
    let mut negative = series.map(|term| term.scale(R::lit(-1.0)));
    negative[0] = negative[0].add(Twin::lit(1.0));
    negative
}

/// Its last term is lost.
#[inline(always)]
fn derivative<R: Real>(series: Series<R>) -> Series<R> {
    let mut derivative = [Twin::lit(0.0); TERMS];
    for k in 1..TERMS {
        derivative[k - 1] = series[k].mul(Twin::lit(k as f64));
    }
    derivative
}
