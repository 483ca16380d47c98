//! Many threads at once on the same tensors, forward, both derivatives and whole backward passes: the bits are those of
//! one thread on its own.

mod support;

use candle_core::{Result, Tensor, Var};
use half::{bf16, f16};
use std::sync::Barrier;
use support::backend::{bits, Backend, Function, CPU};
use support::layouts::tensor;
use support::process::{checksum, in_processes};
use support::ulp::Element;

/// A piece of work and the checksum of its result.
type Job<'a> = Box<dyn Fn() -> Result<u64> + Sync + 'a>;

/// Below and above the length from which candle's pool has a part in an op.
const SHAPES: [[usize; 2]; 2] = [[29, 31], [150, 171]];

struct Operands {
    x: Var,
    g: Tensor,
}

impl Operands {
    fn new<T: Element>(dims: [usize; 2], seed: u64) -> Result<Self> {
        let new = |dims: &[usize], seed| tensor::<T>(dims, seed, CPU.device());
        Ok(Self {
            x: Var::from_tensor(&new(&dims, seed))?,
            g: new(&dims[1..], seed + 1).broadcast_as(&dims)?,
        })
    }

    /// f of x as it lies and transposed, and the gradient of a sum.
    fn run<T: Element>(&self, f: Function) -> Result<u64> {
        let x = self.x.as_detached_tensor();
        let g = (f.order > 0).then_some(&self.g);
        let whole = CPU.apply(f, &x, g)?;
        let across = CPU.apply(f, &x.t()?, g.map(Tensor::t).transpose()?.as_ref())?;
        let loss = CPU.apply(f, &self.x, g)?.sum_all()?;
        let mut results = vec![whole, across];
        if f.order < 2 {
            results.push(loss.backward()?.get(&self.x).expect("x is a variable").clone());
        }
        let bits = results.iter().flat_map(bits::<T>);
        Ok(checksum(bits.flat_map(u64::to_le_bytes)))
    }
}

fn add_jobs<'a, T: Element>(jobs: &mut Vec<Job<'a>>, operands: &'a [Operands]) {
    for f in Function::all() {
        for operands in operands {
            jobs.push(Box::new(move || operands.run::<T>(f)));
        }
    }
}

/// Every job by every one of `callers` threads, which begin at different jobs.
fn run(jobs: &[Job], callers: usize) -> Vec<u64> {
    let start = Barrier::new(callers);
    let caller = |caller: usize| {
        start.wait();
        let mut results = vec![0; jobs.len()];
        for i in 0..jobs.len() {
            let i = (i + caller * jobs.len() / callers) % jobs.len();
            results[i] = jobs[i]().unwrap();
        }
        results
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..callers).map(|i| scope.spawn(move || caller(i))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|results| *results == all[0]), "callers disagree");
    all.into_iter().next().unwrap()
}

#[test]
fn many_threads_on_shared_tensors() {
    let settings = [("1", "1"), ("1", "7"), ("3", "7")];
    let settings =
        settings.map(|(pool, callers)| vec![("CANDLE_NUM_THREADS", pool), ("STRESS_CALLERS", callers)]);
    let work = || {
        let operands =
            |new: fn([usize; 2], u64) -> Result<Operands>| SHAPES.map(|dims| new(dims, 40).unwrap());
        let f16s = operands(Operands::new::<f16>);
        let bf16s = operands(Operands::new::<bf16>);
        let f32s = operands(Operands::new::<f32>);
        let f64s = operands(Operands::new::<f64>);
        let mut jobs: Vec<Job> = vec![];
        add_jobs::<f16>(&mut jobs, &f16s);
        add_jobs::<bf16>(&mut jobs, &bf16s);
        add_jobs::<f32>(&mut jobs, &f32s);
        add_jobs::<f64>(&mut jobs, &f64s);
        let callers: usize = std::env::var("STRESS_CALLERS").unwrap().parse().unwrap();
        run(&jobs, callers)
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect()
    };
    let Some(results) = in_processes("many_threads_on_shared_tensors", &settings, work) else {
        return;
    };
    assert_eq!(results[0].len(), Function::all().len() * 4 * SHAPES.len() * 8);
    for (setting, result) in settings.iter().zip(&results) {
        assert!(*result == results[0], "{setting:?}: not the bits of one thread");
    }
}
