//! Operands of any layout, each a recipe for proptest to vary and shrink.

use super::inputs::{edges, Random};
use super::ulp::Element;
use candle_core::{Device, Result, Tensor};
use proptest::prelude::*;
use std::sync::OnceLock;

/// The most dims of a case.
pub const MAX_RANK: usize = 8;
/// The most elements that a view's gaps may blow its buffer up to.
const MAX_BUFFER: usize = 1 << 17;

/// What becomes of one dim of a view. The simplest is a plain dim.
#[derive(Clone, Copy, Debug, Default)]
struct Axis {
    /// Dims lie in the buffer in the order of their keys.
    key: u8,
    /// Entries of the buffer before and after those of the view.
    before: usize,
    after: usize,
    /// In units of the dims inside of this one.
    step: usize,
    /// Of stride 0.
    broadcast: bool,
}

/// The layout of an operand, for any shape.
#[derive(Clone, Debug)]
pub struct Recipe {
    axes: [Axis; MAX_RANK],
    /// Elements before and after everything else in the buffer.
    offset: usize,
    after: usize,
    seed: u64,
}

pub fn recipe() -> impl Strategy<Value = Recipe> {
    let gap = || prop_oneof![4 => Just(0usize), 1 => 1..=3usize];
    let step = prop_oneof![4 => Just(1usize), 1 => 2..=3usize];
    let key = prop_oneof![2 => Just(0u8), 1 => any::<u8>()];
    let broadcast = prop_oneof![5 => Just(false), 1 => Just(true)];
    let axis = (key, gap(), gap(), step, broadcast).prop_map(|(key, before, after, step, broadcast)| Axis {
        key,
        before,
        after,
        step,
        broadcast,
    });
    let plain = Just(
        [Axis {
            step: 1,
            ..Axis::default()
        }; MAX_RANK],
    );
    let axes = prop_oneof![1 => plain, 3 => prop::array::uniform8(axis)];
    let offset = prop_oneof![2 => Just(0usize), 3 => 1..=70usize];
    (axes, offset, 0..=70usize, any::<u64>()).prop_map(|(axes, offset, after, seed)| Recipe {
        axes,
        offset,
        after,
        seed,
    })
}

/// What the elements are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Role {
    /// Anything that a float can be, most of it where the functions vary.
    Input,
    /// ±1 to ±2, and special values.
    Factor,
}

impl Role {
    fn sample<T: Element>(self, random: &mut Random) -> T {
        static EDGES: OnceLock<Vec<f64>> = OnceLock::new();
        let kind = random.bits() % 32;
        let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][random.bits() as usize % 3];
        match (self, kind) {
            (_, 0) => T::from_f64(special),
            (Self::Input, 1..8) => {
                let edges = EDGES.get_or_init(edges);
                T::from_f64(edges[random.bits() as usize % edges.len()])
            }
            (Self::Input, _) => T::from_f64(24.0 * random.unit() - 14.0),
            (Self::Factor, 1) => T::from_f64(0.0),
            (Self::Factor, 2) => T::from_f64(-0.0),
            (Self::Factor, _) => random.factor(),
        }
    }
}

/// A view, and the buffer that it is a view of.
pub struct Operand {
    pub view: Tensor,
    pub buffer: Tensor,
}

impl Recipe {
    /// No element in the place of another.
    pub fn keep_apart(&mut self) {
        self.axes.iter_mut().for_each(|axis| axis.broadcast = false);
    }

    /// A view of this shape, with NaN wherever the buffer has no part in it.
    pub fn operand<T: Element>(&self, dims: &[usize], role: Role) -> Result<Operand> {
        let mut order: Vec<usize> = (0..dims.len()).collect();
        order.sort_by_key(|dim| self.axes[*dim].key);
        // The dims of the buffer, in pairs: the dim with its gaps, and the step.
        let (mut outer, mut taken) = (Vec::new(), Vec::new());
        let mut room = MAX_BUFFER / dims.iter().product::<usize>().max(1);
        for &dim in &order {
            let mut axis = self.axes[dim];
            let kept = if axis.broadcast { 1 } else { dims[dim] };
            let growth = ((axis.before + kept + axis.after) * axis.step).div_ceil(kept.max(1));
            if growth > room {
                (axis.before, axis.after, axis.step) = (0, 0, 1);
            } else {
                room /= growth.max(1);
            }
            outer.extend([axis.before + kept + axis.after, axis.step]);
            taken.extend([axis.before..axis.before + kept, axis.step - 1..axis.step]);
        }
        let n: usize = outer.iter().product();
        let random = &mut Random(self.seed);
        let inside = |mut at: usize| {
            outer.iter().zip(&taken).rev().all(|(dim, taken)| {
                let index = at % dim;
                at /= dim;
                taken.contains(&index)
            })
        };
        let nan = || T::from_f64(f64::NAN);
        let mut values: Vec<T> = (0..self.offset).map(|_| nan()).collect();
        values.extend((0..n).map(|at| if inside(at) { role.sample(random) } else { nan() }));
        values.extend((0..self.after).map(|_| nan()));
        let len = values.len();
        let buffer = Tensor::from_vec(values, len, &Device::Cpu)?;
        let mut view = buffer.narrow(0, self.offset, n)?.reshape(outer.as_slice())?;
        for (dim, taken) in taken.iter().enumerate() {
            view = view.narrow(dim, taken.start, taken.len())?;
        }
        for pair in (0..dims.len()).rev() {
            view = view.squeeze(2 * pair + 1)?;
        }
        let position = |dim| order.iter().position(|d| *d == dim).expect("order has every dim");
        let view = view.permute((0..dims.len()).map(position).collect::<Vec<_>>())?;
        Ok(Operand {
            view: view.broadcast_as(dims)?,
            buffer,
        })
    }
}

/// Dims of any rank up to [`MAX_RANK`], among them 0 and 1; seldom so many elements that several threads share them.
pub fn shape() -> impl Strategy<Value = Vec<usize>> {
    let dim = prop_oneof![
        1 => Just(0usize),
        12 => Just(1usize),
        30 => 2..=5usize,
        15 => 6..=70usize,
        6 => 71..=70_000usize,
    ];
    let limit =
        prop_oneof![4 => Just(100usize), 10 => Just(1500usize), 2 => Just(6000usize), 1 => Just(70_000usize)];
    (prop::collection::vec(dim, 0..=MAX_RANK), limit).prop_map(|(mut dims, limit)| {
        let mut room = limit;
        for dim in &mut dims {
            *dim = (*dim).min(room.max(1));
            room /= (*dim).max(1);
        }
        dims
    })
}
