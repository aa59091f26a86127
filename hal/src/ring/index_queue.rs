//! The two queues of slot indices between one producer and one consumer.
//!
//! A side keeps its own positions to itself and only publishes them: the words in memory are written, not read, by their
//! owner, so that a faulty other side cannot move them.
//!
//! Positions are free-running u32 counters. Cells are a power of two, so that the cell of a position stays continuous
//! when positions wrap around. (A side that sleeps between two of its instructions while the other moves by exactly
//! 2^32 would be fooled: at 1000 frames a second, that is a sleep of 49 days.)

use super::order::Site;
use crate::sync::{AtomicU32, Ordering::Relaxed};

/// Where `position` lies; `cells` is a power of two long.
#[inline]
fn cell(cells: &[AtomicU32], position: u32) -> &AtomicU32 {
    &cells[position as usize & (cells.len() - 1)]
}

/// Producer to consumer: committed slots, oldest first, at most `capacity`. A push into a full queue gives the oldest
/// back to the producer, after iceoryx2's safely overflowing index queue.
#[derive(Clone, Copy)]
pub struct ReadyQueue<'a> {
    pub write: &'a AtomicU32,
    /// Moved by both sides: by the consumer when it takes, by the producer when it evicts.
    pub read: &'a AtomicU32,
    /// At least `capacity` + 1, because a push comes before its eviction.
    pub cells: &'a [AtomicU32],
    pub capacity: u32,
}

impl ReadyQueue<'_> {
    /// Producer, whose position is `write`: appends `index`; if that made one too many, removes and returns the
    /// oldest. Never waits.
    #[inline]
    pub fn push(&self, write: &mut u32, index: u32) -> Option<u32> {
        // B2, with B1: the consumer has read the cells before this position, so they can be written again; and what
        // it gave back before it took is in the free queue for the next acquire to find.
        let read = self.read.load(Site::TakeObserve.order());
        cell(self.cells, *write).store(index, Relaxed);
        *write = write.wrapping_add(1);
        // A1, with A2: whoever sees this position sees the cell and the slot's bytes.
        self.write.store(*write, Site::ReadyPublish.order());
        if write.wrapping_sub(read) <= self.capacity {
            return None;
        }
        let oldest = cell(self.cells, read).load(Relaxed);
        // C1, with C2 and C3: whoever sees the moved read position sees a write position beyond it.
        // B3, with B1: failing means that the consumer took the oldest; what it gave back before that must be seen
        // by the next acquire, which would find no free slot otherwise.
        let evicted = self.read.compare_exchange(
            read,
            read.wrapping_add(1),
            Site::Evict.order(),
            Site::TakeObserveLate.order(),
        );
        evicted.is_ok().then_some(oldest)
    }

    /// Consumer: removes and returns the oldest. Tried again only when the producer evicted the oldest meanwhile, so
    /// each new try means that a frame has been committed within the few instructions of the one before.
    #[inline]
    pub fn pop(&self) -> Option<u32> {
        // C2, with C1: the write position loaded below is not older than this read position.
        let mut read = self.read.load(Site::EvictObserve.order());
        loop {
            // A2, with A1: the cell, and the slot's bytes, are seen as they were when this position was stored.
            if self.write.load(Site::ReadyObserve.order()) == read {
                return None;
            }
            // May already be overwritten if the oldest was evicted; then the exchange fails and the value is not used.
            let index = cell(self.cells, read).load(Relaxed);
            // B1, with B2 and B3: the cell has been read, and the slot held before has been given back.
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

    /// Slots in the queue, as of some moment during the call.
    #[inline]
    pub fn len(&self) -> u32 {
        // The read position first, and C2: the write position is then not older. It can be newer by more than the
        // capacity, if the queue moved between the two loads.
        let read = self.read.load(Site::EvictObserve.order());
        self.write.load(Relaxed).wrapping_sub(read).min(self.capacity)
    }
}

/// Consumer to producer: slots that were read and can be filled again. Has room for all slots, so it is never full.
///
/// All of it is relaxed, because the pairs of the ready queue order it already:
/// * What the producer pops, it sees. Say the ring starts with q slots queued and the other N + 2 - q free. The producer
///   pops once for its first slot, and once after each commit that evicted nothing. Of those there are at most N - q,
///   plus one for each take that it has seen (B2, B3). So before it pops the slot that was given back as the k-th, which
///   is number N + 2 - q + k, it has seen k + 1 takes; and the k-th return, with the reads of that slot before it, comes
///   before the take numbered k + 1 (B1).
/// * A cell is written again only after a whole turn of the queue. In a turn more indices are pushed than there are
///   slots, so one of them came around through the ready queue, and A1 and A2 put the read of the cell before the write.
#[derive(Clone, Copy)]
pub struct FreeQueue<'a> {
    pub write: &'a AtomicU32,
    /// Not looked at by the consumer.
    pub read: &'a AtomicU32,
    pub cells: &'a [AtomicU32],
}

impl FreeQueue<'_> {
    /// Consumer, whose position is `write`: gives `index` back.
    #[inline]
    pub fn push(&self, write: &mut u32, index: u32) {
        cell(self.cells, *write).store(index, Relaxed);
        *write = write.wrapping_add(1);
        self.write.store(*write, Relaxed);
    }

    /// Producer, whose position is `read`: takes the slot that has been free for longest.
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
