//! Tensors that are too large to have: a plan of the whole shape, run for the blocks that write a small window of
//! the output. Elements of the operands are made up from their index.

use super::gpu::planned;
use super::machine::Machine;
use super::memory::{Region, BASES};
use super::support::backend::{eval, Function};
use super::support::ulp::Element;
use candle_core::{Layout, Shape};
use candle_mish::internals::{Path, Plan, THREADS};
use candle_mish::Activation;
use half::{bf16, f16};
use std::collections::BTreeSet;
use std::ops::Range;

const MISH: Function = Function {
    activation: Activation::Mish,
    order: 0,
};
const MISH_D1: Function = Function {
    activation: Activation::Mish,
    order: 1,
};

fn layout(dims: &[usize], strides: &[usize], offset: usize) -> Layout {
    Layout::new(Shape::from(dims), strides.to_vec(), offset)
}

/// The index in storage of the `i`th element.
pub fn position(layout: &Layout, mut i: usize) -> usize {
    let mut at = layout.start_offset();
    for (dim, stride) in layout.dims().iter().zip(layout.stride()).rev() {
        at += i % dim * stride;
        i /= dim;
    }
    at
}

/// One past the last index in storage.
fn end(layout: &Layout) -> usize {
    position(layout, layout.shape().elem_count() - 1) + 1
}

/// Which block writes element i, and how many elements a block writes in all.
fn blocks(
    path: Path,
    n: usize,
    grid: usize,
    width: usize,
) -> (impl Fn(usize) -> usize, impl Fn(usize) -> usize) {
    let threads = THREADS as usize;
    let (whole, width) = if path == Path::Contiguous {
        (n / width, width)
    } else {
        (n, 1)
    };
    let block_of = move |i: usize| match i / width < whole {
        true => i / width / threads % grid,
        false => 0,
    };
    let written = move |block: usize| {
        let (round, rest) = (threads * grid, whole % (threads * grid));
        let items = whole / round * threads + rest.saturating_sub(block * threads).min(threads);
        items * width + if block == 0 { n - whole * width } else { 0 }
    };
    (block_of, written)
}

fn check<T: Element, const N: usize>(
    m: &Machine,
    f: Function,
    layouts: [&Layout; N],
    path: Path,
    window: Range<usize>,
) {
    let size = std::mem::size_of::<T>();
    let n = layouts[0].shape().elem_count();
    let plan = Plan::new(planned(f), T::DTYPE, layouts, m.target())
        .unwrap()
        .unwrap();
    assert_eq!(plan.path, path, "{plan:?}");
    // SAFETY: this is its type.
    let made_up = unsafe { m.function::<extern "C" fn(u64, u64) -> u64>("made_up_bits") }.unwrap();
    let value = |layout: &Layout, i| T::from_bits(made_up(position(layout, i) as u64, size as u64));
    let operand = |k: usize| -> Vec<T> { window.clone().map(|i| value(layouts[k], i)).collect() };
    let expected = eval(m, f, &operand(0), (N > 1).then(|| operand(1)).as_deref());

    let mut out = vec![T::from_f64(f64::NAN); window.len()];
    let mut writes = vec![0u8; window.len() * size];
    let (block_of, written) = blocks(path, n, plan.grid as usize, 16 / size);
    let wanted: BTreeSet<usize> = window.clone().map(block_of).collect();
    for block in wanted {
        let operand =
            |(k, layout): (usize, &&Layout)| Region::new(BASES[k], (end(layout) * size) as u64, size as u64);
        let mut regions: Vec<Region> = layouts.iter().enumerate().map(operand).collect();
        regions.push(Region {
            window: (window.start * size) as u64,
            window_bytes: writes.len() as u64,
            data: out.as_mut_ptr().cast(),
            writes: writes.as_mut_ptr(),
            ..Region::new(BASES[N], (n * size) as u64, size as u64)
        });
        let report = m.launch(&plan, size, block as u32..block as u32 + 1, &mut regions);
        assert_eq!(report.fault, 0, "{report:x?} of {plan:?}");
        let bytes = (written(block) * size) as u64;
        assert_eq!(report.bytes_written, bytes, "block {block} of {plan:?}");
    }
    let wrong = writes.iter().position(|count| *count != 1);
    assert_eq!(
        wrong, None,
        "a byte of the window that is not written once, {plan:?}"
    );
    for (i, (actual, expected)) in out.iter().zip(&expected).enumerate() {
        assert!(
            actual.alike(*expected),
            "element {} of {plan:?}: {actual}, expected {expected}",
            window.start + i
        );
    }
}

/// The first elements, those around 2³¹ and 2³² and the last ones. No vector straddles a window's edge.
fn windows(n: usize) -> impl Iterator<Item = Range<usize>> {
    let around = [0, 1 << 31, 1usize << 32, n / 8 * 8];
    around
        .into_iter()
        .filter(move |at| *at <= n)
        .map(move |at| at.saturating_sub(320)..(at + 320).min(n))
}

pub fn contiguous(m: &Machine) {
    let m = &m.variant(132, 0);
    let n = (1 << 32) + (1 << 20) + 5;
    let whole = Layout::contiguous(n);
    for window in windows(n) {
        check::<f16, 1>(m, MISH, [&whole], Path::Contiguous, window.clone());
        check::<f32, 2>(m, MISH_D1, [&whole, &whole], Path::Contiguous, window);
    }
}

/// More vectors than 32 bits count. The largest grid there is leaves each thread 128 of them.
pub fn vectors(m: &Machine) {
    if m.gpu().double() {
        many_vectors::<f64>(m);
    }
    many_vectors::<f32>(m);
    many_vectors::<bf16>(m);
}

fn many_vectors<T: Element>(m: &Machine) {
    let m = &m.variant(4096, 0);
    let width = 16 / std::mem::size_of::<T>();
    let n = (width << 32) + (1 << 20) + 5;
    let whole = Layout::contiguous(n);
    for at in [1 << 20, width << 32, n / 8 * 8] {
        let window = at - 320..(at + 320).min(n);
        check::<T, 1>(m, MISH, [&whole], Path::Contiguous, window.clone());
        check::<T, 2>(m, MISH_D1, [&whole, &whole], Path::Contiguous, window);
    }
}

pub fn strided(m: &Machine) {
    let m = &m.variant(132, 0);
    let (rows, columns) = ((1 << 17) + 3, (1 << 15) + 1);
    let transposed = layout(&[rows, columns], &[1, rows + 2], 5);
    let broadcast = layout(&[rows, columns], &[0, 1], 3);
    let misaligned = layout(&[rows * columns], &[1], 1);
    for window in windows(rows * columns) {
        check::<f16, 1>(m, MISH, [&transposed], Path::Strided64, window.clone());
        check::<bf16, 2>(
            m,
            MISH_D1,
            [&broadcast, &transposed],
            Path::Strided64,
            window.clone(),
        );
        check::<f16, 1>(m, MISH, [&misaligned], Path::Strided64, window);
    }
}

/// On either side of where 32-bit indices end.
pub fn last_of_32_bits(m: &Machine) {
    let m = &m.variant(132, 0);
    let column = |rows, columns| layout(&[rows, columns], &[1, 0], 7);
    let row = |rows, columns| layout(&[rows, columns], &[0, 1], 7);
    for (rows, columns, path) in [
        (1 << 16, 1 << 15, Path::Strided32),
        (46341, 46340, Path::Strided32),
        ((1 << 16) + 1, 1 << 15, Path::Strided64),
    ] {
        let (x, g) = (column(rows, columns), row(rows, columns));
        let n = rows * columns;
        check::<f16, 1>(m, MISH, [&x], path, n - 600..n);
        check::<f32, 2>(m, MISH_D1, [&x, &g], path, n - 600..n);
    }
    // Few elements that reach far: the last one at 2³¹ − 1, and at 2³¹.
    for (stride, path) in [((1usize << 31) - 1, Path::Strided32), (1 << 31, Path::Strided64)] {
        let x = layout(&[2], &[stride], 3);
        check::<f32, 1>(m, MISH, [&x], path, 0..2);
        let g = layout(&[2], &[1], 0);
        check::<f32, 2>(m, MISH_D1, [&g, &x], path, 0..2);
    }
}

/// 64-bit indices over small shapes of every rank.
pub fn far_strides<T: Element>(m: &Machine, f: Function) {
    const FAR: usize = 1 << 31;
    let near = [
        layout(&[700], &[3], 1),
        layout(&[30, 20], &[1, 30], 2),
        layout(&[5, 7, 9], &[0, 1, 7], 0),
        layout(&[2, 3, 2, 3, 2, 3, 2, 3], &[1, 2, 0, 6, 60, 18, 120, 0], 4),
    ];
    let far = [
        layout(&[700], &[FAR], 5),
        layout(&[30, 20], &[FAR, 3], 1),
        layout(&[5, 7, 9], &[2, FAR, 0], 0),
        layout(&[2, 3, 2, 3, 2, 3, 2, 3], &[FAR, 2, 0, 6, 60, 18, 120, 2], 4),
    ];
    for (near, far) in near.iter().zip(&far) {
        let all = 0..near.shape().elem_count();
        match f.order {
            0 => check::<T, 1>(m, f, [far], Path::Strided64, all),
            _ => {
                check::<T, 2>(m, f, [far, near], Path::Strided64, all.clone());
                check::<T, 2>(m, f, [near, far], Path::Strided64, all);
            }
        }
    }
}
