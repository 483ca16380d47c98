//! Mish of views against Mish of contiguous tensors, against a copy and then Mish, which is what there is to do instead, and against
//! candle's relu of the same view.
//!
//! ```sh
//! cargo bench --bench views                                      # about a minute
//! cargo bench --bench views -- --out benches/results/NAME.md     # writes what it prints, too
//! ```
//!
//! Outputs go to memory that is already mapped, where glibc allows, so that page faults do not hide the differences.

mod support;

use candle_core::{DType, Result, Tensor};
use candle_mish::mish;
use support::cases::normal;
use support::memory;
use support::page;
use support::race::{self, Race, Time};
use support::report::number;

const OURS: &str = "view";
const CONTIGUOUS: &str = "contiguous";
const COPIED: &str = "contiguous(), then this crate";
const RELU: &str = "candle relu of the view";

/// Sides of matrices: in the caches, with rows that a power of two keeps apart and without, and far beyond the caches.
const SIDES: [usize; 4] = [64, 1000, 1024, 4096];

/// Views with side² elements.
fn views(side: usize, dtype: DType) -> Result<Vec<(&'static str, Tensor)>> {
    let matrix = normal(side * side, dtype, 1)?.reshape((side, side))?;
    let wide = normal(2 * side * side, dtype, 2)?.reshape((side, 2 * side))?;
    let images = matrix.reshape((4, side / 4, side / 8, 8))?;
    Ok(vec![
        ("transposed", matrix.t()?),
        ("transposed half of the rows", wide.narrow(1, side, side)?.t()?),
        ("channels first to last", images.permute((0, 2, 3, 1))?),
        ("channels last to first", images.permute((0, 3, 1, 2))?),
        ("heads and tokens swapped", images.transpose(1, 2)?),
        ("all dims reversed", images.permute((3, 2, 1, 0))?),
        ("half of the rows", wide.narrow(1, side, side)?),
        (
            "one row, broadcast",
            matrix.narrow(0, 0, 1)?.broadcast_as((side, side))?,
        ),
        (
            "one column, broadcast",
            matrix.narrow(1, 0, 1)?.broadcast_as((side, side))?,
        ),
    ])
}

type Call = fn(&Tensor) -> Result<Tensor>;

fn measure(view: &Tensor) -> Result<Vec<(&'static str, Time)>> {
    let contiguous = view.contiguous()?;
    let mut race = Race::default();
    let calls: [(_, Call, _); 4] = [
        (OURS, mish, view),
        (CONTIGUOUS, mish, &contiguous),
        (COPIED, |x| mish(&x.contiguous()?), view),
        (RELU, Tensor::relu, view),
    ];
    for (name, call, x) in calls {
        let x = x.clone();
        race.add(name, move || call(&x));
    }
    Ok(race.run())
}

fn main() -> Result<()> {
    if !page::is_wanted() {
        return Ok(());
    }
    memory::mapped_outputs();
    let mut text = page::begin("Views on a CPU");
    text += "\nMade by `cargo bench --bench views`: Mish forward, medians, outputs in mapped memory; ours, and its time over those of \
             others.\n\n";
    text += "| view | elements | dtype | Melem/s | over contiguous | over a copy and this crate | over candle's relu of the view |\n";
    text += "| --- | --- | --- | ---: | ---: | ---: | ---: |\n";
    for dtype in [DType::F32, DType::BF16, DType::F64] {
        for side in SIDES {
            for (name, view) in views(side, dtype)? {
                let times = measure(&view)?;
                let seconds = |of| race::seconds(&times, of);
                let over = |other| Some(seconds(OURS)? / seconds(other)?);
                let melem = seconds(OURS).map(|seconds| (side * side) as f64 / seconds / 1e6);
                let figures = [melem, over(CONTIGUOUS), over(COPIED), over(RELU)].map(number);
                text += &format!(
                    "| {name} | {side}² | {} | {} |\n",
                    dtype.as_str(),
                    figures.join(" | ")
                );
            }
        }
    }
    page::publish(&text)
}
