//! Counters that any thread may read, all as of one step.

use core::sync::atomic::{AtomicU64, Ordering, fence};

/// Reads before a reader gives up. Each failed one means that the writer has published twice meanwhile.
const ATTEMPTS: usize = 100;

/// Two copies of `N` numbers; zeros are a valid value, which has published zeros.
///
/// The one writer fills the copy that is not current, then makes it current; a reader copies
/// the current one, and tries again if it was replaced meanwhile.
#[derive(Debug)]
pub(crate) struct Published<const N: usize> {
    /// Number of publications; its lowest bit selects the current copy.
    version: AtomicU64,
    copies: [[AtomicU64; N]; 2],
}

impl<const N: usize> Published<N> {
    #[cfg(test)]
    pub fn new() -> Self {
        Self { version: AtomicU64::new(0), copies: [const { [const { AtomicU64::new(0) }; N] }; 2] }
    }

    /// Publishes. One thread at a time may call it.
    pub fn store(&self, numbers: &[u64]) {
        let next = self.version.load(Ordering::Relaxed).wrapping_add(1);
        // A, with B: a reader that sees one of the numbers below sees that the copy, its own, is not current.
        fence(Ordering::Release);
        for (word, number) in self.copies[(next & 1) as usize].iter().zip(numbers) {
            word.store(*number, Ordering::Relaxed);
        }
        // C, with D: a reader that sees this version sees the numbers above.
        self.version.store(next, Ordering::Release);
    }

    /// Reads the numbers of one publication. Returns false, and arbitrary numbers, if the writer was too fast.
    pub fn load(&self, numbers: &mut [u64]) -> bool {
        for _ in 0..ATTEMPTS {
            // D, with C.
            let version = self.version.load(Ordering::Acquire);
            let copy = &self.copies[(version & 1) as usize];
            for (number, word) in numbers.iter_mut().zip(copy) {
                *number = word.load(Ordering::Relaxed);
            }
            // B, with A.
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == version {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader never sees numbers of two publications.
    #[test]
    fn numbers_of_one_publication_stay_together() {
        let published = Published::<64>::new();
        let is_done = core::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..200_000 {
                    published.store(&[round; 64]);
                }
                is_done.store(true, Ordering::Release);
            });
            let mut last = 0;
            while !is_done.load(Ordering::Acquire) {
                let mut seen = [0; 64];
                if !published.load(&mut seen) {
                    continue;
                }
                assert!(seen.iter().all(|number| *number == seen[0]), "{seen:?}");
                assert!(seen[0] >= last);
                last = seen[0];
            }
        });
        let mut seen = [0; 64];
        assert!(published.load(&mut seen));
        assert_eq!(seen, [199_999; 64]);
    }
}
