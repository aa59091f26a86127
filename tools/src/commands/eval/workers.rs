//! Pieces of work on all cores, with results and errors that do not depend on the threads.

use anyhow::{Result, anyhow};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The pieces of work that are left.
#[derive(Debug)]
pub struct Pieces {
    count: usize,
    next: AtomicUsize,
    /// The first piece that failed.
    failed: AtomicUsize,
}

impl Pieces {
    /// Does pieces until there is none left. All pieces before the first one that fails are done.
    pub fn each<T>(&self, mut work: impl FnMut(usize) -> Result<T>) -> Vec<(usize, Result<T>)> {
        let mut done = Vec::new();
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            if at >= self.count || at > self.failed.load(Ordering::Relaxed) {
                return done;
            }
            let result = work(at);
            if result.is_err() {
                self.failed.fetch_min(at, Ordering::Relaxed);
            }
            done.push((at, result));
        }
    }
}

/// Does `count` pieces of work on all cores: each thread prepares, and does pieces until there is none left. Returns their results
/// in order.
///
/// # Errors
/// That of a thread that could not prepare; that of the first piece that failed.
pub fn on_all_cores<T: Send>(
    count: usize,
    work: impl Fn(&Pieces) -> Result<Vec<(usize, Result<T>)>> + Sync,
) -> Result<Vec<T>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    let pieces = Pieces { count, next: AtomicUsize::new(0), failed: AtomicUsize::new(usize::MAX) };
    let mut done = Vec::with_capacity(count);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&pieces))).collect();
        for worker in workers {
            done.extend(worker.join().map_err(|_| anyhow!("an evaluation thread panicked"))??);
        }
        anyhow::Ok(())
    })?;
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::ensure;

    #[test]
    fn results_are_in_order() {
        let squares = on_all_cores(100, |pieces| Ok(pieces.each(|at| Ok(at * at))));
        assert_eq!(squares.expect("nothing fails"), (0..100).map(|at| at * at).collect::<Vec<_>>());
        assert!(on_all_cores(0, |pieces| Ok(pieces.each(Ok))).expect("nothing fails").is_empty());
    }

    #[test]
    fn the_first_error_is_returned() {
        for _ in 0..20 {
            let work = |at| {
                ensure!(at < 30 || at % 2 == 0, "piece {at}");
                Ok(())
            };
            let error = on_all_cores(100, |pieces| Ok(pieces.each(work))).expect_err("pieces fail");
            assert_eq!(error.to_string(), "piece 31");
        }
    }
}
