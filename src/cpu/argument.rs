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
    /// As many of each as there are elements, or more.
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
    pub(super) pairs: Pairs<'a, C>,
    pub(super) channels: Channels<'a, C>,
    /// The position of the first element.
    pub(super) first: usize,
}

/// Scale and shift in pairs.
#[derive(Clone, Copy)]
pub(super) struct Pairs<'a, C> {
    /// As long as `shift`; [`SPAN`] ones, which serve everywhere, where there is no scale.
    pub(super) scale: &'a [C],
    pub(super) shift: &'a [C],
    /// 1, or 0 where there is no scale.
    pub(super) step: usize,
}

impl<'a, C: Copy> Pairs<'a, C> {
    #[inline(always)]
    fn get(&self, at: usize) -> [C; 2] {
        [self.scale[at * self.step], self.shift[at]]
    }
    /// Of `n` elements in a row, at most [`SPAN`].
    #[inline(always)]
    fn run(&self, from: usize, n: usize) -> Values<'a, C> {
        Values::Each([&self.scale[from * self.step..][..n], &self.shift[from..][..n]])
    }
}

/// Which elements the pairs are for.
#[derive(Clone, Copy)]
pub(super) enum Channels<'a, C> {
    /// A pair for this many elements side by side, [`STEP`] or more, and so on, again and again.
    Runs { inner: usize },
    /// A pair for each of `period` elements, [`STEP`] or more, again and again; and pairs for all elements that are
    /// asked for from there on, or those around the end of the period.
    Each {
        period: usize,
        /// Of the last [`STEP`] elements of a period and as many of the next.
        seam: Pairs<'a, C>,
    },
}

impl<'a, C: Copy, const CHAINED: bool> Argument<C> for Affine<'a, C, CHAINED> {
    const PLAIN: bool = false;
    const CHAINED: bool = CHAINED;
    type Cursor = ChannelCursor<'a, C>;

    #[inline(always)]
    fn cursor(self) -> ChannelCursor<'a, C> {
        let (channel, within) = match self.channels {
            Channels::Runs { inner } => (self.first / inner % self.pairs.shift.len(), self.first % inner),
            Channels::Each { period, .. } => (0, self.first % period),
        };
        ChannelCursor {
            pairs: self.pairs,
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
    pairs: Pairs<'a, C>,
    channels: Channels<'a, C>,
    channel: usize,
    /// Elements into the channel's run, or into the period.
    within: usize,
}

impl<C: Copy> Cursor<C> for ChannelCursor<'_, C> {
    #[inline(always)]
    fn next(&mut self, n: usize) -> Values<'_, C> {
        match self.channels {
            Channels::Each { period, seam } => self.each(1, n, period, &seam).1,
            Channels::Runs { inner } => {
                let here = self.pairs.get(self.channel);
                self.within += n;
                if self.within < inner {
                    return Values::Same(here);
                }
                self.next_channel(inner);
                Values::Two(n - self.within, [here, self.pairs.get(self.channel)])
            }
        }
    }
    #[inline(always)]
    fn alike(&mut self, vectors: usize, lanes: usize) -> (usize, Values<'_, C>) {
        match self.channels {
            Channels::Runs { inner } => {
                let whole = vectors.min((inner - self.within) / lanes);
                if whole == 0 {
                    return (1, self.next(lanes));
                }
                let here = self.pairs.get(self.channel);
                self.within += whole * lanes;
                if self.within == inner {
                    self.next_channel(inner);
                }
                (whole, Values::Same(here))
            }
            Channels::Each { period, seam } => self.each(vectors, lanes, period, &seam),
        }
    }
}

impl<'a, C: Copy> ChannelCursor<'a, C> {
    /// Past the end of a channel's run.
    #[inline(always)]
    fn next_channel(&mut self, inner: usize) {
        self.within -= inner;
        self.channel += 1;
        if self.channel == self.pairs.shift.len() {
            self.channel = 0;
        }
    }

    /// The next vectors, up to the end of the pairs; one of which a part is beyond is in the seam.
    #[inline(always)]
    fn each(
        &mut self,
        vectors: usize,
        lanes: usize,
        period: usize,
        seam: &Pairs<'a, C>,
    ) -> (usize, Values<'a, C>) {
        let (from, rest) = (self.within, self.pairs.shift.len() - self.within);
        let (count, values) = if vectors * lanes <= rest {
            (vectors, self.pairs.run(from, vectors * lanes))
        } else if lanes <= rest {
            let count = rest / lanes;
            (count, self.pairs.run(from, count * lanes))
        } else {
            (1, seam.run(from + STEP - period, lanes))
        };
        self.within += count * lanes;
        if self.within >= period {
            self.within -= period;
        }
        (count, values)
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
