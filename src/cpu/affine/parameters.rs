//! Scale and shift, element by element.

use super::{Channels, Scalar, BLOCK};

/// Scale and shift of every channel, ready to be walked along the elements.
pub(super) struct Parameters<C> {
    pub(super) channels: Channels,
    values: [Vec<C>; 2],
    /// One or more periods of elements, where channels are too narrow for runs of equal values.
    table: Option<[Vec<C>; 2]>,
}

/// From so many elements of a channel side by side on, filling a run of equal values takes less than reading a table.
pub(super) const RUN_MIN: usize = 16;
/// A longer period is not laid out as a table, unless it lies in memory as one.
const TABLE_MAX: usize = 16 * 1024;

impl<C: Scalar> Parameters<C> {
    pub(super) fn new(channels: Channels, scale: Vec<C>, shift: Vec<C>) -> Self {
        let (inner, period) = (channels.inner, channels.period());
        let tabled = inner < RUN_MIN && period <= TABLE_MAX || inner == 1;
        let table = (tabled && period > 0).then(|| {
            // Whole periods, and so many that a block is rarely cut short.
            let repeats = if period < 4 * BLOCK {
                (4 * BLOCK).div_ceil(period)
            } else {
                1
            };
            [&scale, &shift].map(|values| {
                let one = values.iter().flat_map(|v| std::iter::repeat_n(*v, inner));
                one.collect::<Vec<_>>().repeat(repeats)
            })
        });
        Self {
            channels,
            values: [scale, shift],
            table,
        }
    }

    pub(super) fn walk(&self) -> Walk<'_, C> {
        Walk {
            parameters: self,
            blocks: [[C::default(); BLOCK]; 2],
            filled: None,
        }
    }
}

/// A place to lay out what no table has.
pub(super) struct Walk<'a, C> {
    parameters: &'a Parameters<C>,
    blocks: [[C; BLOCK]; 2],
    /// The channel that both blocks are full of.
    filled: Option<usize>,
}

impl<C: Scalar> Walk<'_, C> {
    /// Scale and shift of the elements from `start` on: at least one, at most `most` and at most `BLOCK`.
    pub(super) fn at(&mut self, start: usize, most: usize) -> [&[C]; 2] {
        let most = most.min(BLOCK);
        if let Some(table) = &self.parameters.table {
            let from = start % table[0].len();
            let n = most.min(table[0].len() - from);
            return table.each_ref().map(|t| &t[from..from + n]);
        }
        let Channels { count, inner } = self.parameters.channels;
        let channel = |at: usize| at / inner % count;
        if inner - start % inner >= most {
            // One channel: blocks may still be full of it.
            let channel = channel(start);
            if self.filled != Some(channel) {
                for (block, values) in self.blocks.iter_mut().zip(&self.parameters.values) {
                    block.fill(values[channel]);
                }
                self.filled = Some(channel);
            }
        } else {
            self.filled = None;
            let mut done = 0;
            while done < most {
                let at = start + done;
                let n = (inner - at % inner).min(most - done);
                for (block, values) in self.blocks.iter_mut().zip(&self.parameters.values) {
                    block[done..done + n].fill(values[channel(at)]);
                }
                done += n;
            }
        }
        self.blocks.each_ref().map(|b| &b[..most])
    }
}
