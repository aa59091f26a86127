//! Hands out the tiles of an operation to threads.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use sonotrace_kernels::{BoundOp, Spaces};

/// The next tile to claim. One word holds the generation (the count of opened operations) and the next tile, so a
/// thread that wakes late can never claim a tile of another operation.
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
    /// Opens the next operation and returns its generation. No thread may still run a tile of the previous one.
    pub fn open(&mut self) -> u32 {
        let (generation, _) = parts(*self.word.get_mut());
        let generation = generation.wrapping_add(1);
        *self.word.get_mut() = word(generation, 0);
        *self.done.get_mut() = 0;
        generation
    }

    /// Claims the next of `tiles` tiles; `None` if all are claimed or another operation was opened.
    fn claim(&self, generation: u32, tiles: u32) -> Option<u32> {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let (now, next) = parts(seen);
            if now != generation || next >= tiles {
                return None;
            }
            // Relaxed: the word only hands out tile numbers; the job itself published the data that a tile reads.
            match self.word.compare_exchange_weak(seen, seen + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(next),
                Err(changed) => seen = changed,
            }
        }
    }
}

/// A running operation. Each thread that shares it calls [`Job::work`] and claims tiles until none is left, so that a
/// descheduled thread delays the others by at most one tile. The result does not depend on which thread ran a tile:
/// tiles write disjoint elements, and no sum spans two tiles.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    op: &'a BoundOp,
    spaces: &'a Spaces,
    claims: &'a Claims,
    generation: u32,
}

impl<'a> Job<'a> {
    /// Creates the job of an operation that was opened as `generation` of `claims`.
    ///
    /// # Safety
    /// `spaces` are those that the operation was bound for. They meet the conditions of [`BoundOp::run`] as long as any
    /// copy of the job is in use.
    pub unsafe fn new(op: &'a BoundOp, spaces: &'a Spaces, claims: &'a Claims, generation: u32) -> Self {
        Self { op, spaces, claims, generation }
    }

    /// Claims and runs tiles until none is left or `go_on`, called before each tile, returns false. `scratch` belongs
    /// to this thread alone, is aligned to 64 bytes and has the size that the model's header states.
    ///
    /// # Panics
    /// As [`BoundOp::run`], for other scratch.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn work(&self, scratch: &mut [u8], go_on: &mut dyn FnMut() -> bool) {
        let tiles = self.op.tiles();
        while self.claimed() < tiles && go_on() {
            let Some(tile) = self.claims.claim(self.generation, tiles) else { break };
            // SAFETY: the caller of `new` guarantees the spaces; each tile is claimed once; nothing else runs while the
            // operation is open.
            unsafe { self.op.run(self.spaces, tile, scratch) };
            // Release, pairs with the Acquire in `is_done`: a thread that sees all tiles done also sees their results.
            self.claims.done.fetch_add(1, Ordering::Release);
        }
    }

    /// Returns whether every tile has run, on any thread. If so, the results are visible to the caller.
    pub fn is_done(&self) -> bool {
        self.claims.done.load(Ordering::Acquire) >= self.op.tiles()
    }

    /// Returns the number of tiles claimed so far; all tiles if another operation was opened since.
    pub fn claimed(&self) -> u32 {
        match parts(self.claims.word.load(Ordering::Relaxed)) {
            (generation, next) if generation == self.generation => next.min(self.op.tiles()),
            _ => self.op.tiles(),
        }
    }
}
