//! Every ordering that the rings rely on, by name and in pairs: one half releases what the other half acquires.
//!
//! All other accesses are `Relaxed`, because they concern
//! * a word with a single writer, which only its writer reads while the ring runs (own positions, spare, held), or which
//!   others read as a number that publishes nothing (counters);
//! * a cell of the ready queue, which that queue's write position publishes;
//! * the free queue, which the ready queue's pairs order too (see `FreeQueue`).
//!
//! The model tests weaken each site in turn and require that the model fails.

use crate::sync::{Ordering, fence};

/// A place in the code where an ordering matters. The letter names the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// A1, producer: stores the ready queue's write position. Releases the slot's bytes and its cell.
    ReadyPublish,
    /// A2, consumer: loads the ready queue's write position.
    ReadyObserve,
    /// B1, consumer: advances the read position past the slot that it takes. Releases the read of the cell, which the
    /// producer will overwrite, and the release of the slot held before, with all reads of its bytes, which the producer
    /// will fill again.
    Take,
    /// B2, producer: loads the read position before a commit.
    TakeObserve,
    /// B3, producer: loads the read position in a failed eviction, because the consumer took the oldest.
    TakeObserveLate,
    /// C1, producer: advances the read position past the slot that it evicts. Releases the write position: the consumer
    /// must not see an older one than the read position that it compares it with.
    Evict,
    /// C2, consumer: loads the read position.
    EvictObserve,
    /// C3, consumer: loads the read position in a failed take, because the oldest was evicted.
    EvictObserveLate,
    /// D1: a handle is dropped. Releases everything that its side owns.
    Unclaim,
    /// D2: a handle is claimed.
    Claim,
    /// E1: the magic is stored. Releases the header and the queues as they were laid out.
    HeaderPublish,
    /// E2: the magic is loaded.
    HeaderObserve,
    /// F1, producer: a fence between the store of the ready queue's write position and the load of the consumer's flag that it
    /// waits. With F2, at least one of the two sides sees what the other one stored: either the producer wakes the consumer, or
    /// the consumer finds the slot and does not sleep.
    WaiterObserve,
    /// F2, consumer: a fence between the store of that flag and the load of the write position.
    WaiterPublish,
}

impl Site {
    /// Every site.
    #[cfg(loom)]
    pub const ALL: [Self; 14] = [
        Self::ReadyPublish,
        Self::ReadyObserve,
        Self::Take,
        Self::TakeObserve,
        Self::TakeObserveLate,
        Self::Evict,
        Self::EvictObserve,
        Self::EvictObserveLate,
        Self::Unclaim,
        Self::Claim,
        Self::HeaderPublish,
        Self::HeaderObserve,
        Self::WaiterObserve,
        Self::WaiterPublish,
    ];

    /// The ordering to use at this site.
    #[inline(always)]
    pub fn order(self) -> Ordering {
        #[cfg(loom)]
        if weaken::is(self) {
            return Ordering::Relaxed;
        }
        match self {
            Self::ReadyPublish | Self::Take | Self::Evict | Self::Unclaim | Self::HeaderPublish => {
                Ordering::Release
            }
            Self::ReadyObserve
            | Self::TakeObserve
            | Self::TakeObserveLate
            | Self::EvictObserve
            | Self::EvictObserveLate
            | Self::Claim
            | Self::HeaderObserve => Ordering::Acquire,
            Self::WaiterObserve | Self::WaiterPublish => Ordering::SeqCst,
        }
    }

    /// A fence of this site's ordering.
    #[inline(always)]
    pub fn fence(self) {
        let order = self.order();
        // There is no relaxed fence: a weakened one is none.
        if order != Ordering::Relaxed {
            fence(order);
        }
    }
}

/// Lets a model test make one site `Relaxed`. loom runs all threads of a model on one thread of the machine, so that
/// concurrent tests do not affect each other.
#[cfg(loom)]
pub mod weaken {
    use super::Site;
    use std::cell::Cell;

    std::thread_local! {
        static WEAKENED: Cell<Option<Site>> = const { Cell::new(None) };
    }

    /// Weakens this site and no other, from now on.
    pub fn only(site: Option<Site>) {
        WEAKENED.set(site);
    }

    pub(super) fn is(site: Site) -> bool {
        WEAKENED.get() == Some(site)
    }
}
