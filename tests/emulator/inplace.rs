//! Activations whose output is their operand.

use super::gpu::planned;
use super::huge::position;
use super::machine::Machine;
use super::memory::{Writes, BASES};
use super::support::backend::{eval, Function};
use super::support::layouts::samples;
use super::support::ulp::Element;
use candle_core::{Layout, Shape};
use candle_mish::internals::Plan;
use half::{bf16, f16};
use std::mem::size_of;

/// Dims, strides and offsets of views without overlaps: contiguous, at an odd offset, transposed, narrowed, far apart.
const LAYOUTS: [(&[usize], &[usize], usize); 8] = [
    (&[37], &[1], 0),
    (&[20_001], &[1], 0),
    (&[301], &[1], 3),
    (&[19, 33], &[1, 19], 0),
    (&[5, 7, 9], &[100, 1, 11], 8),
    (&[260, 70], &[1, 263], 5),
    (&[3, 1, 70], &[210, 0, 3], 1),
    (&[], &[], 2),
];

fn check<T: Element>(m: &Machine, f: Function) {
    for (dims, strides, offset) in LAYOUTS {
        let layout = Layout::new(Shape::from(dims), strides.to_vec(), offset);
        let places: Vec<usize> = (0..layout.shape().elem_count())
            .map(|i| position(&layout, i))
            .collect();
        let len = places.iter().max().unwrap() + 3;
        let before = samples::<T>(len, 30);
        let after = before.clone();
        let plan = Plan::in_place("in_place", f.activation, T::DTYPE, &layout, m.target())
            .unwrap()
            .unwrap();
        let what = format!("{} over {layout:?}", plan.kernel);
        let size = size_of::<T>();
        let mut writes = Writes::new(len * size);
        // The operand is the output.
        let mut regions = [0, 1].map(|_| Writes::region(&after, BASES[0], Some(&mut writes)));
        let at = plan.offsets[0] * size;
        let pointers = m.pointers([(&regions[0], at)], (&regions[1], at), &plan.arguments);
        let report = m.launch_kernel(
            &plan.kernel,
            &pointers,
            &plan.arguments,
            plan.grid,
            0..plan.grid,
            &mut regions,
        );
        assert_eq!(report.fault, 0, "{what}: {report:x?}");
        let x: Vec<T> = places.iter().map(|place| before[*place]).collect();
        let mut expected = before.clone();
        for (place, y) in places.iter().zip(eval(m, f, &x, None)) {
            expected[*place] = y;
        }
        for (i, count) in writes.of_elements(size).enumerate() {
            assert_eq!(
                count,
                u8::from(places.contains(&i)),
                "{what}: writes of element {i}"
            );
            assert!(after[i].alike(expected[i]), "{what}: element {i}");
        }
    }
}

pub fn every_layout(m: &Machine) {
    for f in Function::all().into_iter().filter(|f| f.order == 0) {
        assert_eq!(planned(f).order, 0);
        check::<f16>(m, f);
        check::<bf16>(m, f);
        check::<f32>(m, f);
        if m.gpu().double() {
            check::<f64>(m, f);
        }
    }
}
