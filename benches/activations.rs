//! Throughput of every activation, pass and element type, beside candle's composed op, candle's relu and a
//! parallel copy.
//!
//! ```sh
//! cargo bench --bench activations                # everything, about 3 minutes
//! cargo bench --bench activations -- --quick     # a few seconds: does it run
//! cargo bench --bench activations -- mish/forward
//! ```
//!
//! Criterion reports our op, with its change since the last run. The table at the end has the ratios: within a
//! sample all contenders take turns, and the medians of these samples are compared.
//!
//! Outputs are fresh in every call, as they are in candle. From 16 Mi elements on, f32 forward also runs with
//! outputs in memory that is already mapped; `support/memory.rs` has how.

mod support;

use criterion::{BenchmarkId, Criterion, Throughput};
use std::time::Duration;
use support::plan;
use support::race::{Race, ROUNDS};
use support::report::{self, Row};
use support::{cases::Case, machine, memory};

fn main() {
    memory::fresh_outputs();
    // Without --bench, from `cargo test --benches`, criterion runs everything once.
    let has = |option| std::env::args().any(|arg| arg == option);
    let measures = has("--bench");
    let quick = has("--quick") || !measures;
    // A race measures for as long as it needs, whatever the number of iterations that it is asked for.
    let mut criterion = Criterion::default()
        .sample_size(ROUNDS)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_secs(20))
        .nresamples(2000)
        .without_plots()
        .configure_from_args();
    let mut rows = vec![];
    let further = if quick { vec![] } else { plan::further() };
    let cases = plan::sizes()
        .into_iter()
        .flat_map(|size| plan::cases(size, quick));
    for case in cases.chain(further) {
        rows.extend(bench(&mut criterion, case));
    }
    criterion.final_summary();
    if rows.is_empty() || !measures {
        return;
    }
    let threads = candle_core::utils::barrier_pool().n_workers() + 1;
    println!("{}\n", machine::describe(threads));
    println!("{}\n{}", report::throughput(&rows, false), report::small(&rows));
}

/// The case as a benchmark, unless the command line filters it out.
fn bench(criterion: &mut Criterion, case: Case) -> Option<Row> {
    let name = format!("{}/{}", case.op(), case.pass.name());
    let mut group = criterion.benchmark_group(name + if case.mapped { "-mapped" } else { "" });
    let elements = case.elements as u64;
    group.throughput(match case.bytes() {
        Some(bytes) => Throughput::ElementsAndBytes {
            elements,
            bytes: bytes as u64,
        },
        None => Throughput::Elements(elements),
    });
    let mut race: Option<Race> = None;
    let id = BenchmarkId::new(case.dtype.as_str(), plan::size_name(case.elements));
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|iterations| {
            // Here, so that a case that is filtered out costs nothing.
            let race = race.get_or_insert_with(|| case.race().expect("the case can be set up"));
            race.round().mul_f64(iterations as f64)
        })
    });
    group.finish();
    let row = race.map(|race| {
        let mut row = Row::new(case);
        for (name, time) in race.finish() {
            row.lap(name, time);
        }
        row
    });
    memory::fresh_outputs();
    row
}
