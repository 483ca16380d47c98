//! Work shared by all processors. Candle's own threads are no use here: a reference is evaluated beside the ops.

use std::sync::atomic::{AtomicUsize, Ordering};

/// `work` on `0..n` in any order, one `state` per thread; the states in the end.
pub fn parallel<S: Send>(
    n: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) + Sync,
) -> Vec<S> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let thread = || {
        let mut state = state();
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                i if i < n => work(&mut state, i),
                _ => return state,
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
        threads
            .into_iter()
            .map(|t| t.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
            .collect()
    })
}
