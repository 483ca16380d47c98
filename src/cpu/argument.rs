//! What f is applied to: x, or x·scale + shift with one scale and shift per channel.

/// What f is applied to, along the elements.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // vectors take more of it
pub(super) trait Argument<C: Copy>: Copy {
    /// Whether it is x itself.
    const PLAIN: bool;
    /// Whether a derivative is one with respect to x, and so has the scale as a factor.
    const CHAINED: bool;
    type Cursor: Cursor<C>;

    /// Scale and shift from the first element on.
    fn cursor(self) -> Self::Cursor;
    /// The same without the first `n` elements.
    fn skip(self, n: usize) -> Self;
}

/// Where scale and shift are being read.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // vectors take more of it
pub(super) trait Cursor<C> {
    /// Scale and shift of the next `n` elements, at most [`STEP`].
    fn next(&mut self, n: usize) -> Values<'_, C>;
    /// How many of the next vectors of `lanes` elements are alike in where their parameters come from, of `vectors` with
    /// up to [`SPAN`] elements, and from where: one channel, a table with as many values of each as there are elements,
    /// or, of a single vector, two channels.
    fn alike(&mut self, vectors: usize, lanes: usize) -> (usize, Values<'_, C>);
}

/// Elements that a cursor can step over at a time.
pub(super) const STEP: usize = 16;

/// Elements that a cursor can step over at a time where it is asked for vectors that are alike.
pub(super) const SPAN: usize = 256;

/// Scale and shift of elements in a row.
pub(super) enum Values<'a, C> {
    /// All in one channel.
    Same([C; 2]),
    /// The first so many in one channel, the others in the next.
    Two(usize, [[C; 2]; 2]),
    /// [`STEP`] or more of each.
    Each([&'a [C]; 2]),
}

/// x.
#[derive(Clone, Copy)]
pub(super) struct Itself;

impl<C: Copy> Argument<C> for Itself {
    const PLAIN: bool = true;
    const CHAINED: bool = false;
    type Cursor = NoCursor;

    #[inline(always)]
    fn cursor(self) -> NoCursor {
        NoCursor
    }
    #[inline(always)]
    fn skip(self, _: usize) -> Self {
        self
    }
}

pub(super) struct NoCursor;

impl<C> Cursor<C> for NoCursor {
    #[inline(always)]
    fn next(&mut self, _: usize) -> Values<'_, C> {
        Values::Each([&[], &[]])
    }
    #[inline(always)]
    fn alike(&mut self, vectors: usize, _: usize) -> (usize, Values<'_, C>) {
        (vectors, Values::Each([&[], &[]]))
    }
}

/// x·scale + shift, rounded once.
#[derive(Clone, Copy)]
pub(super) struct Affine<'a, C, const CHAINED: bool> {
    pub(super) channels: Channels<'a, C>,
    /// The position of the first element.
    pub(super) first: usize,
}

/// Scale and shift of every channel, in one of two forms.
#[derive(Clone, Copy)]
pub(super) enum Channels<'a, C> {
    /// [`STEP`] or more elements of a channel side by side; values by channel.
    Runs { values: [&'a [C]; 2], inner: usize },
    /// Values by element, [`SPAN`] more of them than there are in `period`, which is at least as long.
    Table { values: [&'a [C]; 2], period: usize },
}

impl<'a, C: Copy, const CHAINED: bool> Argument<C> for Affine<'a, C, CHAINED> {
    const PLAIN: bool = false;
    const CHAINED: bool = CHAINED;
    type Cursor = ChannelCursor<'a, C>;

    #[inline(always)]
    fn cursor(self) -> ChannelCursor<'a, C> {
        let (channel, within) = match self.channels {
            Channels::Runs { values, inner } => (self.first / inner % values[0].len(), self.first % inner),
            Channels::Table { period, .. } => (0, self.first % period),
        };
        ChannelCursor {
            channels: self.channels,
            channel,
            within,
        }
    }
    #[inline(always)]
    fn skip(self, n: usize) -> Self {
        Self {
            first: self.first + n,
            ..self
        }
    }
}

pub(super) struct ChannelCursor<'a, C> {
    channels: Channels<'a, C>,
    channel: usize,
    /// Elements into the channel's run, or into the table.
    within: usize,
}

impl<C: Copy> Cursor<C> for ChannelCursor<'_, C> {
    #[inline(always)]
    fn next(&mut self, n: usize) -> Values<'_, C> {
        match self.channels {
            Channels::Table { values, period } => {
                let from = self.step(n, period);
                Values::Each([&values[0][from..from + STEP], &values[1][from..from + STEP]])
            }
            Channels::Runs { values, inner } => {
                let here = [values[0][self.channel], values[1][self.channel]];
                self.within += n;
                if self.within < inner {
                    return Values::Same(here);
                }
                self.next_channel(inner, values[0].len());
                let next = [values[0][self.channel], values[1][self.channel]];
                Values::Two(n - self.within, [here, next])
            }
        }
    }
    #[inline(always)]
    fn alike(&mut self, vectors: usize, lanes: usize) -> (usize, Values<'_, C>) {
        match self.channels {
            Channels::Runs { values, inner } => {
                let whole = vectors.min((inner - self.within) / lanes);
                if whole == 0 {
                    return (1, self.next(lanes));
                }
                let here = [values[0][self.channel], values[1][self.channel]];
                self.within += whole * lanes;
                if self.within == inner {
                    self.next_channel(inner, values[0].len());
                }
                (whole, Values::Same(here))
            }
            Channels::Table { values, period } => {
                let n = vectors * lanes;
                let from = self.step(n, period);
                (
                    vectors,
                    Values::Each([&values[0][from..from + n], &values[1][from..from + n]]),
                )
            }
        }
    }
}

impl<C> ChannelCursor<'_, C> {
    /// Past the end of a channel's run.
    #[inline(always)]
    fn next_channel(&mut self, inner: usize, channels: usize) {
        self.within -= inner;
        self.channel += 1;
        if self.channel == channels {
            self.channel = 0;
        }
    }

    /// Where in a table the next `n` elements begin.
    #[inline(always)]
    fn step(&mut self, n: usize, period: usize) -> usize {
        let from = self.within;
        self.within += n;
        if self.within >= period {
            self.within -= period;
        }
        from
    }
}

/// Scale and shift of up to `N` elements, laid out.
#[inline(always)]
pub(super) fn fill<C: Copy, const N: usize>(cursor: &mut impl Cursor<C>, n: usize, to: &mut [[C; N]; 2]) {
    let mut done = 0;
    while done < n {
        let step = STEP.min(n - done);
        match cursor.next(step) {
            Values::Same(values) => {
                for (to, value) in to.iter_mut().zip(values) {
                    to[done..done + step].fill(value);
                }
            }
            Values::Two(first, [here, next]) => {
                for (to, (here, next)) in to.iter_mut().zip(here.into_iter().zip(next)) {
                    to[done..done + first].fill(here);
                    to[done + first..done + step].fill(next);
                }
            }
            Values::Each(values) => {
                for (to, values) in to.iter_mut().zip(values) {
                    to[done..done + step].copy_from_slice(&values[..step]);
                }
            }
        }
        done += step;
    }
}
