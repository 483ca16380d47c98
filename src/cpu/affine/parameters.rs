//! Scale and shift of every channel, in the form that kernels read.

use super::{Scalar, Shape};
use crate::cpu::argument::{Affine, Channels, SPAN};
use crate::cpu::pages;
use candle_core::Result;

/// Scale and shift.
pub(super) struct Parameters<C> {
    /// By channel; or by element of one or more periods and [`SPAN`] more, where a channel is too narrow.
    values: [Vec<C>; 2],
    /// Elements after which a table begins again, if it is one.
    period: Option<usize>,
    inner: usize,
}

impl<C: Scalar> Parameters<C> {
    pub(super) fn new(op: &'static str, shape: Shape, scale: Vec<C>, shift: Vec<C>) -> Result<Self> {
        let inner = shape.inner;
        if !shape.is_narrow() || shape.period() == 0 {
            return Ok(Self {
                values: [scale, shift],
                period: None,
                inner,
            });
        }
        // A period is at least a span long.
        let period = shape.period() * SPAN.div_ceil(shape.period());
        let table = |values: Vec<C>| -> Result<Vec<C>> {
            let len = period + SPAN;
            let mut table = pages::allocate(op, len)?;
            match inner {
                1 => table.extend_from_slice(&values),
                _ => values.iter().for_each(|v| table.resize(table.len() + inner, *v)),
            }
            while table.len() < len {
                table.extend_from_within(..table.len().min(len - table.len()));
            }
            Ok(table)
        };
        Ok(Self {
            values: [table(scale)?, table(shift)?],
            period: Some(period),
            inner,
        })
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
