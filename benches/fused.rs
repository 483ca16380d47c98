//! The fused neighbours against the sequences of candle's ops that they replace, and against this crate's activations
//! after candle's own broadcasts; and activations in place. With the bars that this crate holds itself to.
//!
//! ```sh
//! cargo bench --bench fused                                      # about two minutes
//! cargo bench --bench fused -- --out benches/results/NAME.md     # writes what it prints, too
//! ```
//!
//! f32. Outputs go to memory that is already mapped, where glibc allows, so that page faults do not hide the difference
//! between one pass and several.

mod support;

use candle_core::{Device, Result, Tensor};
use candle_mish::{mish, mish_affine, mish_bias, mish_inplace, softplus, softplus_bias, softplus_inplace};
use support::copy::ParallelCopy;
use support::plan::{size_name, MI};
use support::race::{self, Race, Time};
use support::report::number;
use support::{memory, page};

const OURS: &str = "fused";
const BARE: &str = "bare activation";
const UNFUSED: &str = "this crate, unfused";
const COMPOSED: &str = "candle composed";
const COPY: &str = "parallel copy";

/// A bar: the figure of a row against a bound.
struct Bar {
    what: &'static str,
    of: fn(&Row) -> Option<f64>,
    met: fn(f64) -> bool,
}

const BARS: [Bar; 4] = [
    Bar {
        what: "mish_affine, from 1 Mi on: at most 1.15 times a bare mish",
        of: |row| row.is_large("mish_affine").then(|| row.over(BARE)).flatten(),
        met: |ratio| ratio <= 1.15,
    },
    Bar {
        what: "mish_affine, from 1 Mi on: at most 1/20 of candle's composed sequence",
        of: |row| row.is_large("mish_affine").then(|| row.over(COMPOSED)).flatten(),
        met: |ratio| ratio <= 1.0 / 20.0,
    },
    Bar {
        what: "fused, any size: faster than this crate, unfused",
        of: |row| row.over(UNFUSED),
        met: |ratio| ratio < 1.0,
    },
    Bar {
        what: "in place, 16 Mi: at least 0.9 of the parallel copy's throughput",
        of: |row| (row.dims.is_none() && row.elements == 16 * MI).then(|| row.over(COPY).map(|r| 1.0 / r))?,
        met: |share| share >= 0.9,
    },
];

struct Row {
    op: &'static str,
    /// None for an op in place.
    dims: Option<(Vec<usize>, usize)>,
    elements: usize,
    times: Vec<(&'static str, Time)>,
}

impl Row {
    fn seconds(&self, name: &str) -> Option<f64> {
        race::seconds(&self.times, name)
    }

    fn is_large(&self, op: &str) -> bool {
        self.op == op && self.elements >= MI
    }

    /// Time of ours in units of another's.
    fn over(&self, name: &str) -> Option<f64> {
        Some(self.seconds(OURS)? / self.seconds(name)?)
    }

    fn label(&self) -> String {
        match &self.dims {
            Some((dims, dim)) => format!("{} of {dims:?} along dim {dim}", self.op),
            None => format!("{} of {}", self.op, size_name(self.elements)),
        }
    }
}

type Fused = fn(&Tensor, &Tensor, &Tensor, usize) -> Result<Tensor>;

/// An op with what it is compared to: (x, scale, shift, dim).
struct Op {
    name: &'static str,
    fused: Fused,
    bare: fn(&Tensor) -> Result<Tensor>,
    unfused: Fused,
    composed: Fused,
}

/// A parameter as candle broadcasts it along a dim.
fn along(parameter: &Tensor, x: &Tensor, dim: usize) -> Result<Tensor> {
    let mut dims = vec![1; x.rank()];
    dims[dim] = parameter.elem_count();
    parameter.reshape(dims)
}

fn scaled(x: &Tensor, scale: &Tensor, shift: &Tensor, dim: usize) -> Result<Tensor> {
    x.broadcast_mul(&along(scale, x, dim)?)?
        .broadcast_add(&along(shift, x, dim)?)
}

const OPS: [Op; 3] = [
    Op {
        name: "mish_affine",
        fused: mish_affine,
        bare: mish,
        unfused: |x, scale, shift, dim| mish(&scaled(x, scale, shift, dim)?),
        composed: |x, scale, shift, dim| candle_nn::ops::mish(&scaled(x, scale, shift, dim)?),
    },
    Op {
        name: "mish_bias",
        fused: |x, _, bias, dim| mish_bias(x, bias, dim),
        bare: mish,
        unfused: |x, _, bias, dim| mish(&x.broadcast_add(&along(bias, x, dim)?)?),
        composed: |x, _, bias, dim| candle_nn::ops::mish(&x.broadcast_add(&along(bias, x, dim)?)?),
    },
    Op {
        name: "softplus_bias",
        fused: |x, _, bias, dim| softplus_bias(x, bias, dim),
        bare: softplus,
        unfused: |x, _, bias, dim| softplus(&x.broadcast_add(&along(bias, x, dim)?)?),
        composed: |x, _, bias, dim| (x.broadcast_add(&along(bias, x, dim)?)?.exp()? + 1.)?.log(),
    },
];

/// One token and few, as a model that generates text has them; images with channels first at two resolutions, and tokens
/// with channels last.
fn shapes() -> [(Vec<usize>, usize); 9] {
    [
        (vec![1, 24], 1),
        (vec![1, 4096], 1),
        (vec![8, 4096], 1),
        (vec![1, 64, 128, 128], 1),
        (vec![1, 1024, 32, 32], 1),
        (vec![4096, 256], 1),
        (vec![16, 64, 128, 128], 1),
        (vec![16, 1024, 32, 32], 1),
        (vec![65536, 256], 1),
    ]
}

fn fused(op: &Op, dims: Vec<usize>, dim: usize) -> Result<Row> {
    let device = &Device::Cpu;
    memory::mapped_outputs();
    let x = Tensor::randn(0f32, 3f32, dims.as_slice(), device)?;
    let scale = Tensor::rand(0.5f32, 1.5f32, dims[dim], device)?;
    let shift = Tensor::randn(0f32, 1f32, dims[dim], device)?;
    let mut race = Race::default();
    for (name, call) in [(OURS, op.fused), (UNFUSED, op.unfused), (COMPOSED, op.composed)] {
        let (x, scale, shift) = (x.clone(), scale.clone(), shift.clone());
        race.add(name, move || call(&x, &scale, &shift, dim));
    }
    let (bare, input) = (op.bare, x.clone());
    race.add(BARE, move || bare(&input));
    Ok(Row {
        op: op.name,
        elements: x.elem_count(),
        dims: Some((dims, dim)),
        times: race.run(),
    })
}

/// Mish leaves values from 12 on as they are; others would shrink call by call, until they are subnormal and slow. Softplus
/// leaves those around 8 almost as they are. The kernels have no branches for what lies between −64 and 32.
fn in_place(op: &'static str, call: fn(&Tensor) -> Result<()>, mean: f32, elements: usize) -> Result<Row> {
    // As an output of this crate it has the huge pages that the copy has.
    memory::fresh_outputs();
    let x = mish(&Tensor::randn(mean, 2f32, elements, &Device::Cpu)?)?;
    let mut race = Race::default();
    race.add(OURS, move || call(&x));
    let mut copy = ParallelCopy::moving(2 * elements * std::mem::size_of::<f32>());
    race.add(COPY, move || copy.run());
    Ok(Row {
        op,
        dims: None,
        elements,
        times: race.run(),
    })
}

/// Minutes differ on a virtual machine that shares its cores.
const ROUNDS: usize = 3;

/// Everything, once.
fn round() -> Result<Vec<Row>> {
    let mut rows = vec![];
    for (dims, dim) in shapes() {
        for op in &OPS {
            rows.push(fused(op, dims.clone(), dim)?);
        }
    }
    for elements in [MI, 16 * MI] {
        rows.push(in_place("mish_inplace", mish_inplace, 22.0, elements)?);
        rows.push(in_place("softplus_inplace", softplus_inplace, 8.0, elements)?);
    }
    Ok(rows)
}

/// Of rounds with the same rows in the same order.
fn medians(mut rounds: Vec<Vec<Row>>) -> Vec<Row> {
    let mut rows = rounds.pop().unwrap_or_default();
    for (i, row) in rows.iter_mut().enumerate() {
        for (j, (_, time)) in row.times.iter_mut().enumerate() {
            let others = rounds.iter().map(|round| round[i].times[j].1);
            *time = Time::of_laps(&others.chain([*time]).collect::<Vec<_>>());
        }
    }
    rows
}

fn main() -> Result<()> {
    if !page::is_wanted() {
        return Ok(());
    }
    let mut text = page::begin("Fused on a CPU");
    let rounds = (0..ROUNDS).map(|_| round()).collect::<Result<Vec<_>>>()?;
    let rows = medians(rounds);
    text += &format!(
        "\nMade by `cargo bench --bench fused`: f32, medians of {ROUNDS} rounds, outputs in mapped memory.\n\n"
    );
    text += "| op | ours, Melem/s | time over bare activation | over this crate, unfused | over candle composed | throughput over copy |\n";
    text += "| --- | ---: | ---: | ---: | ---: | ---: |\n";
    for row in &rows {
        let melem = row.seconds(OURS).map(|s| row.elements as f64 / s / 1e6);
        let ratios = [BARE, UNFUSED, COMPOSED].map(|name| number(row.over(name)));
        let copy = number(row.over(COPY).map(|r| 1.0 / r));
        text += &format!(
            "| {} | {} | {} | {copy} |\n",
            row.label(),
            number(melem),
            ratios.join(" | ")
        );
    }
    text += "\n| bar | worst | at | met |\n| --- | ---: | --- | --- |\n";
    for bar in &BARS {
        let found = rows.iter().filter_map(|row| Some(((bar.of)(row)?, row.label())));
        let missed_most = |a: &(f64, String), b: &(f64, String)| match (bar.met)(0.0) {
            true => a.0.total_cmp(&b.0),
            false => b.0.total_cmp(&a.0),
        };
        let Some((worst, at)) = found.max_by(missed_most) else {
            continue;
        };
        let met = if (bar.met)(worst) { "yes" } else { "**no**" };
        text += &format!("| {} | {worst:.3} | {at} | {met} |\n", bar.what);
    }
    page::publish(&text)
}
