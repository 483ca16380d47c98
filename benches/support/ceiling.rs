//! What a machine's pipes can do: fused multiplications and additions of whole registers, and nothing else.
//!
//! An element of an activation costs so many of them, whatever else it costs: `cargo test --lib operations -- --nocapture`
//! counts. Two virtual cores that are two threads of one core have one core's pipes.

/// In one line, of so many threads; `None` where there is no loop for the processor.
pub fn describe(threads: usize) -> Option<String> {
    #[cfg(target_arch = "x86_64")]
    {
        let lanes = x86::lanes()?;
        let best = |threads| {
            (0..9)
                .map(|_| x86::per_second(lanes, threads))
                .fold(0.0, f64::max)
        };
        let [one, all] = [1, threads].map(|threads| best(threads) / 1e9);
        Some(format!(
            "FMAs of {lanes} f32 per second, the best of nine times 20 ms: {one:.2}·10⁹ by one thread, {all:.2}·10⁹ by {threads}"
        ))
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = threads;
        None
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::*;
    use std::hint::black_box;
    use std::sync::Barrier;
    use std::time::{Duration, Instant};

    /// Elements of a register, of the widest that there are FMAs for.
    pub fn lanes() -> Option<usize> {
        if is_x86_feature_detected!("avx512f") {
            Some(16)
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            Some(8)
        } else {
            None
        }
    }

    /// By all threads together.
    pub fn per_second(lanes: usize, threads: usize) -> f64 {
        let begin = Barrier::new(threads);
        let count = || {
            begin.wait();
            let (start, mut done) = (Instant::now(), 0);
            while start.elapsed() < Duration::from_millis(20) {
                // SAFETY: `lanes` has asked for the instructions.
                done += unsafe {
                    match lanes {
                        16 => wide(),
                        _ => narrow(),
                    }
                };
            }
            done as f64 / start.elapsed().as_secs_f64()
        };
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
            running
                .into_iter()
                .map(|thread| thread.join().unwrap_or(0.0))
                .sum()
        })
    }

    /// Chains side by side: two pipes with a latency of 4 or 5 cycles take 10.
    const CHAINS: usize = 12;
    const ROUNDS: usize = 2000;

    macro_rules! chains {
        ($name:ident, $feature:literal, $register:ident, $set1:ident, $fma:ident) => {
            /// How many it has done.
            #[target_feature(enable = $feature)]
            unsafe fn $name() -> usize {
                let (factor, term) = ($set1(black_box(0.5)), $set1(black_box(1.0)));
                let mut chains: [$register; CHAINS] = [$set1(black_box(1.0)); CHAINS];
                for _ in 0..ROUNDS {
                    for chain in &mut chains {
                        *chain = $fma(*chain, factor, term);
                    }
                }
                black_box(chains);
                CHAINS * ROUNDS
            }
        };
    }

    chains!(narrow, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps);
    chains!(wide, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps);
}
