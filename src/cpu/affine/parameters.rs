//! Scale and shift of every channel, in the form that kernels read.

use super::{Scalar, Shape};
use crate::cpu::argument::{Affine, Channels, SPAN};

/// Scale and shift.
pub(super) struct Parameters<C> {
    /// By channel; or by element of one or more periods and [`SPAN`] more, where a channel is too narrow.
    values: [Vec<C>; 2],
    /// Elements after which a table begins again, if it is one.
    period: Option<usize>,
    inner: usize,
}

impl<C: Scalar> Parameters<C> {
    pub(super) fn new(shape: Shape, scale: Vec<C>, shift: Vec<C>) -> Self {
        let inner = shape.inner;
        if !shape.is_narrow() || shape.period() == 0 {
            return Self {
                values: [scale, shift],
                period: None,
                inner,
            };
        }
        // A period is at least a span long.
        let period = shape.period() * SPAN.div_ceil(shape.period());
        let table = |values: Vec<C>| {
            let elements = values.iter().flat_map(|v| std::iter::repeat_n(*v, inner));
            elements.cycle().take(period + SPAN).collect()
        };
        Self {
            values: [table(scale), table(shift)],
            period: Some(period),
            inner,
        }
    }

    /// From the element at position `first` on.
    pub(super) fn from<const CHAINED: bool>(&self, first: usize) -> Affine<'_, C, CHAINED> {
        let values = self.values.each_ref().map(|v| &v[..]);
        let channels = match self.period {
            Some(period) => Channels::Table { values, period },
            None => Channels::Runs {
                values,
                inner: self.inner,
            },
        };
        Affine { channels, first }
    }
}
