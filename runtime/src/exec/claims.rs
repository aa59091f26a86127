//! Handing out the tiles of one operation after the other.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use sonotrace_kernels::{BoundOp, Spaces};

/// Which tile is next. One word holds the generation (which opening of an operation) and the next tile, so a thread that wakes
/// late can never claim a tile of another operation.
#[derive(Debug, Default)]
pub struct Claims {
    word: AtomicU64,
    done: AtomicU32,
}

const fn word(generation: u32, next: u32) -> u64 {
    (generation as u64) << 32 | next as u64
}

const fn parts(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

impl Claims {
    /// Opens the next operation, and returns its generation. No thread may still run a tile of the one before.
    pub fn open(&mut self) -> u32 {
        let (generation, _) = parts(*self.word.get_mut());
        let generation = generation.wrapping_add(1);
        *self.word.get_mut() = word(generation, 0);
        *self.done.get_mut() = 0;
        generation
    }

    /// Claims the next of `tiles` tiles; none if all are claimed or another operation was opened.
    fn claim(&self, generation: u32, tiles: u32) -> Option<u32> {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let (now, next) = parts(seen);
            if now != generation || next >= tiles {
                return None;
            }
            // Relaxed: the word only hands out numbers; what a tile reads was published with the job itself.
            match self.word.compare_exchange_weak(seen, seen + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(next),
                Err(changed) => seen = changed,
            }
        }
    }
}

/// An operation that is being run. Threads that share it call [`Job::work`], and each claims the next tile until none is left, so
/// at most one tile of a descheduled thread is waited for. Who ran a tile does not show in the result: tiles write apart from
/// each other and no sum spans two.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    op: &'a BoundOp,
    spaces: &'a Spaces,
    claims: &'a Claims,
    generation: u32,
}

impl<'a> Job<'a> {
    /// The job of an operation that was opened as `generation` of `claims`.
    ///
    /// # Safety
    /// The spaces are those that the operation was bound for, and stay as [`BoundOp::run`] demands for as long as a copy of the job
    /// is used.
    pub unsafe fn new(op: &'a BoundOp, spaces: &'a Spaces, claims: &'a Claims, generation: u32) -> Self {
        Self { op, spaces, claims, generation }
    }

    /// Claims and runs tiles until none is left, or until `go_on` (asked before each) says no. `scratch` is this thread's own:
    /// aligned to 64 bytes, as large as the model's header says.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn work(&self, scratch: &mut [u8], go_on: &mut dyn FnMut() -> bool) {
        let tiles = self.op.tiles();
        while self.claimed() < tiles && go_on() {
            let Some(tile) = self.claims.claim(self.generation, tiles) else { break };
            // SAFETY: the spaces are right by the promise made to `new`; each tile is claimed once; nothing else runs while the
            // operation is open.
            unsafe { self.op.run(self.spaces, tile, scratch) };
            // Release, with the Acquire of `is_done`: who sees all tiles done sees what they wrote.
            self.claims.done.fetch_add(1, Ordering::Release);
        }
    }

    /// Whether every tile has been run, by whomever; their results are visible then.
    pub fn is_done(&self) -> bool {
        self.claims.done.load(Ordering::Acquire) >= self.op.tiles()
    }

    /// Tiles claimed so far; all of them once another operation was opened.
    pub fn claimed(&self) -> u32 {
        match parts(self.claims.word.load(Ordering::Relaxed)) {
            (generation, next) if generation == self.generation => next.min(self.op.tiles()),
            _ => self.op.tiles(),
        }
    }
}
