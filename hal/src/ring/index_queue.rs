//! The two queues of slot indices between one producer and one consumer.
//!
//! Each side keeps its own positions in its handle and only publishes them: it writes the words in memory and never reads
//! them, so that a faulty other side cannot change its positions.
//!
//! Positions are free-running u32 counters. The number of cells is a power of two, so that positions map to cells
//! continuously when they wrap around. (If one side sleeps between two instructions while the other advances by exactly
//! 2^32, it sees no change. At 1000 frames a second, that is a sleep of 49 days.)

use super::order::Site;
use crate::sync::{AtomicU32, Ordering::Relaxed};

/// The cell of `position`. The number of cells is a power of two.
#[inline]
fn cell(cells: &[AtomicU32], position: u32) -> &AtomicU32 {
    &cells[position as usize & (cells.len() - 1)]
}

/// Producer to consumer: committed slots, oldest first, at most `capacity`. A push into a full queue evicts the oldest, as
/// in iceoryx2's safely overflowing index queue.
#[derive(Clone, Copy)]
pub struct ReadyQueue<'a> {
    pub write: &'a AtomicU32,
    /// Advanced by both sides: by the consumer when it takes, by the producer when it evicts.
    pub read: &'a AtomicU32,
    /// At least `capacity` + 1, because a push precedes its eviction.
    pub cells: &'a [AtomicU32],
    pub capacity: u32,
}

impl ReadyQueue<'_> {
    /// Producer, whose position is `write`: appends `index`. If the queue was full, removes and returns the oldest. Never
    /// waits.
    #[inline]
    pub fn push(&self, write: &mut u32, index: u32) -> Option<u32> {
        // B2, with B1: the consumer has read the cells before this position, so they can be overwritten; and the next
        // acquire finds in the free queue what the consumer released before it took.
        let read = self.read.load(Site::TakeObserve.order());
        cell(self.cells, *write).store(index, Relaxed);
        *write = write.wrapping_add(1);
        // A1, with A2: a consumer that sees this position sees the cell and the slot's bytes.
        self.write.store(*write, Site::ReadyPublish.order());
        if write.wrapping_sub(read) <= self.capacity {
            return None;
        }
        let oldest = cell(self.cells, read).load(Relaxed);
        // C1, with C2 and C3: a consumer that sees the new read position sees a write position beyond it.
        // B3, with B1: failure means that the consumer took the oldest. The next acquire must see what the consumer
        // released before that, because it would find no free slot otherwise.
        let evicted = self.read.compare_exchange(
            read,
            read.wrapping_add(1),
            Site::Evict.order(),
            Site::TakeObserveLate.order(),
        );
        evicted.is_ok().then_some(oldest)
    }

    /// Consumer: removes and returns the oldest. Retries only if the producer has evicted the oldest meanwhile: each retry
    /// means a commit within the few instructions of the attempt before.
    #[inline]
    pub fn pop(&self) -> Option<u32> {
        // C2, with C1: the write position loaded below is not older than this read position.
        let mut read = self.read.load(Site::EvictObserve.order());
        loop {
            // A2, with A1: the cell and the slot's bytes are at least as new as this position.
            if self.write.load(Site::ReadyObserve.order()) == read {
                return None;
            }
            // The cell may be overwritten already if the oldest was evicted. Then the exchange fails and the value is
            // not used.
            let index = cell(self.cells, read).load(Relaxed);
            // B1, with B2 and B3: the cell has been read, and the slot held before has been released.
            // C3, with C1: as C2.
            let taken = self.read.compare_exchange(
                read,
                read.wrapping_add(1),
                Site::Take.order(),
                Site::EvictObserveLate.order(),
            );
            match taken {
                Ok(_) => return Some(index),
                Err(moved) => read = moved,
            }
        }
    }

    /// Consumer: the write position, if nothing is queued. It changes with the next push.
    #[inline]
    pub fn empty_at(&self) -> Option<u32> {
        // C2, with C1, as in `pop`.
        let read = self.read.load(Site::EvictObserve.order());
        // A2, with A1.
        let write = self.write.load(Site::ReadyObserve.order());
        (write == read).then_some(write)
    }

    /// Slots in the queue, as of some moment during the call.
    #[inline]
    pub fn len(&self) -> u32 {
        // The read position first, and C2: then the write position is not older. It can be ahead by more than the
        // capacity if the queue advanced between the two loads.
        let read = self.read.load(Site::EvictObserve.order());
        self.write.load(Relaxed).wrapping_sub(read).min(self.capacity)
    }
}

/// Consumer to producer: slots that can be filled again. It has cells for all slots, so it is never full.
///
/// All its accesses are relaxed, because the pairs of the ready queue order them already:
/// * The producer sees every index that it pops. Say the ring starts with q slots queued and the other N + 2 - q free.
///   The producer pops once for its first slot, and once after each commit that evicted nothing. There are at most N - q
///   of those, plus one for each take that it has seen (B2, B3). So before it pops the k-th released slot, which is its
///   pop number N + 2 - q + k, it has seen k + 1 takes; and the k-th release, with the reads of that slot before it,
///   precedes take number k + 1 (B1).
/// * A cell is overwritten only after the queue's positions have gone once through all cells. In that time more indices
///   are pushed than there are slots, so that one of them came through the ready queue again, and A1 and A2 order the
///   read of the cell before the write.
#[derive(Clone, Copy)]
pub struct FreeQueue<'a> {
    pub write: &'a AtomicU32,
    /// The consumer does not read it.
    pub read: &'a AtomicU32,
    pub cells: &'a [AtomicU32],
}

impl FreeQueue<'_> {
    /// Consumer, whose position is `write`: appends `index`.
    #[inline]
    pub fn push(&self, write: &mut u32, index: u32) {
        cell(self.cells, *write).store(index, Relaxed);
        *write = write.wrapping_add(1);
        self.write.store(*write, Relaxed);
    }

    /// Producer, whose position is `read`: removes and returns the slot that has been free for longest.
    #[inline]
    pub fn pop(&self, read: &mut u32) -> Option<u32> {
        if self.write.load(Relaxed) == *read {
            return None;
        }
        let index = cell(self.cells, *read).load(Relaxed);
        *read = read.wrapping_add(1);
        self.read.store(*read, Relaxed);
        Some(index)
    }
}
