//! Claiming tiles under loom: all interleavings, and all values that the memory model lets a load see.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p sonotrace-kernels --test claims_loom`
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use sonotrace_kernels::claims::Claims;

/// What an opening announces, and a place for each tile's result. loom fails on accesses that are not ordered.
struct Shared {
    claims: Claims,
    job: UnsafeCell<u32>,
    results: [UnsafeCell<u32>; 2],
}

impl Shared {
    fn new() -> Arc<Self> {
        let results = [UnsafeCell::new(0), UnsafeCell::new(0)];
        Arc::new(Self { claims: Claims::default(), job: UnsafeCell::new(0), results })
    }

    fn open(&self, job: u32, tiles: u32) {
        // SAFETY: loom checks that no other access is concurrent.
        self.job.with_mut(|place| unsafe { *place = job });
        self.claims.open(tiles);
    }

    /// Runs tiles until none is left.
    fn work(&self) {
        while let Some(tile) = self.claims.claim() {
            // SAFETY: as above.
            let job = self.job.with(|place| unsafe { *place });
            // SAFETY: as above.
            self.results[tile as usize].with_mut(|place| unsafe { *place += job });
            self.claims.finish();
        }
    }

    fn wait(&self, tiles: u32) {
        while self.claims.finished() < tiles {
            thread::yield_now();
        }
    }

    fn results(&self) -> [u32; 2] {
        // SAFETY: as above.
        [0, 1].map(|tile| self.results[tile].with(|place| unsafe { *place }))
    }
}

/// A helper works while the owner opens two operations one after the other: each tile of each runs once, with its own job.
#[test]
fn each_tile_runs_once_for_its_own_opening() {
    loom::model(|| {
        let shared = Shared::new();
        let helper = {
            let shared = shared.clone();
            thread::spawn(move || shared.work())
        };
        for job in [1, 10] {
            shared.open(job, 2);
            shared.work();
            shared.wait(2);
        }
        assert_eq!(shared.results(), [11, 11]);
        helper.join().expect("no panic");
        assert_eq!(shared.results(), [11, 11]);
    });
}

/// The owner stops between tiles, then opens what is left again.
#[test]
fn a_closed_operation_is_resumed() {
    loom::model(|| {
        let shared = Shared::new();
        let helper = {
            let shared = shared.clone();
            thread::spawn(move || shared.work())
        };
        shared.open(1, 2);
        let left = shared.claims.close();
        shared.wait(2 - left);
        assert_eq!(shared.results().iter().sum::<u32>(), 2 - left);
        shared.open(1, left);
        shared.work();
        shared.wait(left);
        assert_eq!(shared.results(), [1, 1]);
        helper.join().expect("no panic");
    });
}
