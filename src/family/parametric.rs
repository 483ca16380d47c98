//! Softplus with PyTorch's parameters, as a type.

use super::Family;
use crate::activation::Softplus;
use crate::formula;
use crate::formula::quick::Constants;
use crate::formula::series::Curve;
use crate::real::Real;
use crate::twin::Twin;

/// Softplus with β, and perhaps a threshold.
#[derive(Clone, Copy)]
pub(crate) struct Parametric<const ORDER: u8> {
    pub(crate) softplus: Softplus,
    /// Whether the tensor is f32 or narrower, as the threshold is then tested in f32.
    pub(crate) single: bool,
}

impl<const ORDER: u8> Family for Parametric<ORDER> {
    const SINGLE: bool = false;
    const QUICK: Option<&'static Constants> = None;
    const CURVE: Curve = match ORDER {
        0 => Curve::SoftplusD0,
        1 => Curve::SoftplusD1,
        _ => Curve::SoftplusD2,
    };
    const HAS_BETA: bool = true;

    #[inline(always)]
    fn exponential<R: Real>(self, x: R) -> Twin<R> {
        formula::exp_parametric(x, ORDER, &self.softplus)
    }

    #[inline(always)]
    fn reciprocal<R: Real>(self, x: R, e: Twin<R>) -> [R; 2] {
        formula::parametric_reciprocal(x, e, ORDER)
    }

    #[inline(always)]
    fn value<R: Real>(self, x: R, e: Twin<R>, r: [R; 2]) -> R {
        formula::softplus_parametric(x, e, r, ORDER, &self.softplus, self.single)
    }

    #[inline(always)]
    fn is_moderate(self) -> bool {
        self.softplus.is_moderate()
    }
    #[inline(always)]
    fn argument<R: Real>(self, x: R) -> Twin<R> {
        formula::beta_x(x, &self.softplus)
    }
    #[inline(always)]
    fn place<R: Real>(self, x: R, magic: f64) -> R {
        x.fma(R::lit(self.softplus.beta()), R::lit(magic))
    }
    #[inline(always)]
    fn distance<R: Real>(self, x: R, centre: R) -> R {
        let beta = Twin::split(self.softplus.beta(), 0.0);
        x.fma(beta.low, x.fma(beta.high, -centre))
    }
    #[inline(always)]
    fn multiple<R: Real>(self, _: R, value: Twin<R>) -> R {
        let beta = self.softplus.beta();
        let factor = match ORDER {
            0 => {
                let inverse = 1.0 / beta;
                Twin::split(inverse, inverse * inverse.mul_add(-beta, 1.0))
            }
            1 => return value.sum(),
            _ => Twin::split(beta, 0.0),
        };
        let low = value.low.mla(factor.high, value.sum() * factor.low);
        value.high.fma(factor.high, low)
    }
    #[inline(always)]
    fn branch<R: Real>(self, x: R, smooth: R) -> R {
        formula::softplus_branch(x, smooth, ORDER, &self.softplus, self.single)
    }

    #[inline(always)]
    fn wide_exponential<R: Real>(self, x: R) -> R {
        formula::wide::exp_parametric(x, &self.softplus)
    }

    #[inline(always)]
    fn wide<R: Real>(self, x: R, e: R) -> R {
        formula::wide::softplus_parametric(x, e, ORDER, &self.softplus)
    }
}

/// Softplus or a derivative of it with a threshold, from that without: PyTorch's default, β being 1.
#[derive(Clone, Copy)]
pub(crate) struct Thresholded<F, const ORDER: u8> {
    plain: F,
    threshold: f64,
}

impl<F, const ORDER: u8> Thresholded<F, ORDER> {
    pub(crate) fn new(plain: F, softplus: Softplus, single: bool) -> Self {
        let threshold = softplus.threshold_in(single);
        Self { plain, threshold }
    }

    /// `value`, and above the threshold the branch, times `scale`.
    #[inline(always)]
    fn branch_scaled<R: Real>(self, x: R, value: R, scale: f64) -> R {
        let above = formula::above_threshold(x, ORDER, scale);
        R::if_gt(x, R::lit(self.threshold), above, value)
    }
}

impl<F: Family, const ORDER: u8> Family for Thresholded<F, ORDER> {
    const SINGLE: bool = F::SINGLE;
    const QUICK: Option<&'static Constants> = F::QUICK;
    const QUICK_SCALED: bool = F::QUICK_SCALED;
    const CURVE: Curve = F::CURVE;

    #[inline(always)]
    fn exponential<R: Real>(self, x: R) -> Twin<R> {
        self.plain.exponential(x)
    }
    #[inline(always)]
    fn reciprocal<R: Real>(self, x: R, e: Twin<R>) -> [R; 2] {
        self.plain.reciprocal(x, e)
    }
    #[inline(always)]
    fn value<R: Real>(self, x: R, e: Twin<R>, r: [R; 2]) -> R {
        self.branch(x, self.plain.value(x, e, r))
    }
    #[inline(always)]
    fn multiple<R: Real>(self, x: R, value: Twin<R>) -> R {
        self.plain.multiple(x, value)
    }
    #[inline(always)]
    fn branch<R: Real>(self, x: R, smooth: R) -> R {
        self.branch_scaled(x, smooth, 1.0)
    }
    #[inline(always)]
    fn wide_exponential<R: Real>(self, x: R) -> R {
        self.plain.wide_exponential(x)
    }
    #[inline(always)]
    fn wide<R: Real>(self, x: R, e: R) -> R {
        self.branch(x, self.plain.wide(x, e))
    }
    #[inline(always)]
    fn quick_exponential<R: Real>(self, x: R, c: &Constants) -> R {
        self.plain.quick_exponential(x, c)
    }
    #[inline(always)]
    fn quick_reciprocal<R: Real>(self, x: R, e: R, c: &Constants) -> R {
        self.plain.quick_reciprocal(x, e, c)
    }
    #[inline(always)]
    fn quick<R: Real>(self, x: R, e: R, r: R, c: &Constants) -> R {
        let scale = if F::QUICK_SCALED { 1.0 / R::UNSCALE } else { 1.0 };
        self.branch_scaled(x, self.plain.quick(x, e, r, c), scale)
    }
}
