//! One operation being worked on: its tiles are claimed from one counter.

use crate::kernels::{Op, run_tile};
use core::sync::atomic::{AtomicU32, Ordering};

/// An operation and the count of its tiles that were claimed. Threads that share it call [`Job::work`] and each claims
/// the next tile until none is left, so that at most one tile of a descheduled thread is waited for. Who ran a tile
/// does not show in the result: tiles write apart from each other and no sum spans two.
#[derive(Debug)]
pub struct Job<'a> {
    op: Op<'a>,
    next: AtomicU32,
    done: AtomicU32,
}

impl<'a> Job<'a> {
    /// A job over an operation with its first `claimed` tiles done already.
    pub fn new(op: Op<'a>, claimed: u32) -> Self {
        Self { op, next: AtomicU32::new(claimed), done: AtomicU32::new(claimed) }
    }

    /// Claims and runs tiles until none is left, or until `go_on` (asked before each) says no. `scratch` is this
    /// thread's own, as large as the model's header states.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn work(&self, scratch: &mut [f32], go_on: &mut dyn FnMut() -> bool) {
        let tiles = self.op.record.tiles;
        while self.next.load(Ordering::Relaxed) < tiles && go_on() {
            // Relaxed: the counter only hands out numbers; inputs were published with the job itself.
            let tile = self.next.fetch_add(1, Ordering::Relaxed);
            if tile >= tiles {
                break;
            }
            run_tile(&self.op, tile, scratch);
            // Release, with the Acquire of `is_done`: who sees all tiles done sees what they wrote.
            self.done.fetch_add(1, Ordering::Release);
        }
    }

    /// Whether every tile has been run, by whomever; their results are visible then.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) >= self.op.record.tiles
    }

    /// Tiles claimed so far.
    pub fn claimed(&self) -> u32 {
        self.next.load(Ordering::Relaxed).min(self.op.record.tiles)
    }
}
