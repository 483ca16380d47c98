//! Scale and shift of every channel, in the form that kernels read.

use super::{Scalar, Shape};
use crate::cpu::argument::{Affine, Channels, Pairs, SPAN, STEP};
use crate::cpu::pages;
use candle_core::Result;
use std::borrow::Cow;

/// Of rows up to so many, values are read where they are, with a seam at the end of each. Of 64, vectors across the ends of rows
/// cost more than a table, in which there are no ends.
const ROWS_FEW: usize = 16;

/// Scale and shift.
pub(super) struct Parameters<'a, C: Scalar> {
    /// None if they are all 1.
    scale: Option<Cow<'a, [C]>>,
    shift: Cow<'a, [C]>,
    form: Form<C>,
}

/// What values are for.
enum Form<C> {
    /// A channel.
    Channel { inner: usize },
    /// An element.
    Element {
        /// Elements after which they begin again.
        period: usize,
        /// Of scale and of shift, those around the end of a period.
        seam: [[C; 2 * STEP]; 2],
    },
}

impl<'a, C: Scalar> Parameters<'a, C> {
    /// For `len` elements.
    pub(super) fn new(
        op: &'static str,
        shape: Shape,
        scale: Option<Cow<'a, [C]>>,
        shift: Cow<'a, [C]>,
        len: usize,
    ) -> Result<Self> {
        let (inner, period) = (shape.inner, shape.period());
        if !shape.is_narrow() || len == 0 {
            let form = Form::Channel { inner };
            return Ok(Self { scale, shift, form });
        }
        if inner == 1 && period >= STEP && len <= ROWS_FEW * period {
            let around = |values: &[C]| {
                let mut seam = [C::default(); 2 * STEP];
                seam[..STEP].copy_from_slice(&values[period - STEP..]);
                seam[STEP..].copy_from_slice(&values[..STEP]);
                seam
            };
            let seam = [scale.as_deref().map_or([C::default(); _], around), around(&shift)];
            let form = Form::Element { period, seam };
            return Ok(Self { scale, shift, form });
        }
        // A period is at least a span long, and what follows it as well, but for elements that nobody asks for.
        let period = period * SPAN.div_ceil(period);
        let len = (period + SPAN).min(len + STEP);
        let table = |values: &[C]| -> Result<Cow<'a, [C]>> {
            let mut table = pages::allocate(op, len)?;
            let values = &values[..len.div_ceil(inner).min(values.len())];
            match inner {
                1 => table.extend_from_slice(values),
                _ => values
                    .iter()
                    .for_each(|v| table.resize(len.min(table.len() + inner), *v)),
            }
            while table.len() < len {
                table.extend_from_within(..table.len().min(len - table.len()));
            }
            Ok(Cow::Owned(table))
        };
        Ok(Self {
            scale: scale.as_deref().map(table).transpose()?,
            shift: table(&shift)?,
            form: Form::Element {
                period,
                seam: [[C::default(); _]; 2],
            },
        })
    }

    /// From the element at position `first` on.
    pub(super) fn from<'s, const CHAINED: bool>(&'s self, first: usize) -> Affine<'s, C, CHAINED> {
        let pairs = |scale: Option<&'s [C]>, shift: &'s [C]| Pairs {
            scale: scale.unwrap_or(C::ONES),
            shift,
            step: usize::from(scale.is_some()),
        };
        let channels = match &self.form {
            Form::Channel { inner } => Channels::Runs { inner: *inner },
            Form::Element {
                period,
                seam: [scale, shift],
            } => Channels::Each {
                period: *period,
                seam: pairs(self.scale.is_some().then_some(scale), shift),
            },
        };
        Affine {
            pairs: pairs(self.scale.as_deref(), &self.shift),
            channels,
            first,
        }
    }
}
