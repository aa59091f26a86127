//! Hands out the tiles of an operation to threads.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The tiles that are left to claim, and the number of those that have run.
///
/// One thread, the owner, opens operations; any thread claims tiles. One word holds the generation (the count of openings) and the
/// tiles left, so a thread that wakes late can never claim a tile of another opening. (If it sleeps during 2^32 openings and there are
/// as many tiles left, it does; at one opening in a microsecond, that takes an hour inside one compare-and-swap.)
///
/// What the owner wrote before it opened an operation is visible to the threads that claim its tiles, and what they wrote before
/// [`Self::finish`] to the owner after [`Self::finished`] has counted it.
#[derive(Debug)]
pub struct Claims {
    word: AtomicU64,
    finished: AtomicU32,
}

const fn word(generation: u32, left: u32) -> u64 {
    (generation as u64) << 32 | left as u64
}

const fn parts(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

impl Default for Claims {
    fn default() -> Self {
        Self { word: AtomicU64::new(0), finished: AtomicU32::new(0) }
    }
}

impl Claims {
    /// Opens the next operation, with `tiles` tiles to claim. Only the owner calls this, after all claimed tiles of the previous
    /// one have finished.
    pub fn open(&self, tiles: u32) {
        let (generation, _) = parts(self.word.load(Ordering::Relaxed));
        self.finished.store(0, Ordering::Relaxed);
        // Release, pairs with the Acquire in `claim`.
        self.word.store(word(generation.wrapping_add(1), tiles), Ordering::Release);
    }

    /// Returns the number of tiles left to claim.
    pub fn left(&self) -> u32 {
        parts(self.word.load(Ordering::Relaxed)).1
    }

    /// Claims a tile. Returns how many are left, from 0 to one less than the number that was opened: each number once. `None` if no
    /// tile is left.
    pub fn claim(&self) -> Option<u32> {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let (_, left) = parts(seen);
            let rest = left.checked_sub(1)?;
            match self.word.compare_exchange_weak(seen, seen - 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(rest),
                Err(changed) => seen = changed,
            }
        }
    }

    /// Counts a claimed tile that has run.
    pub fn finish(&self) {
        // Release, pairs with the Acquire in `finished`.
        self.finished.fetch_add(1, Ordering::Release);
    }

    /// Returns the number of tiles that have run since the operation was opened.
    pub fn finished(&self) -> u32 {
        self.finished.load(Ordering::Acquire)
    }

    /// Leaves no tile to claim, and returns the number of tiles that were left. Only the owner calls this.
    pub fn close(&self) -> u32 {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let (generation, left) = parts(seen);
            let closed = word(generation, 0);
            match self.word.compare_exchange_weak(seen, closed, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return left,
                Err(changed) => seen = changed,
            }
        }
    }
}
