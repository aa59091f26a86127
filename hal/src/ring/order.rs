//! Every ordering that the rings rely on, by name and in pairs: what one half releases, the other acquires.
//!
//! Everything else in the rings is `Relaxed`, because it is one of
//! * a word with a single writer that only its writer reads while the ring runs (own positions, spare, held), or
//!   that others read as a mere number (counters);
//! * a cell of the ready queue, which is published by that queue's write position;
//! * the free queue, which rides on the ready queue's pairs (see `FreeQueue`).
//!
//! The model tests weaken each site in turn and require that the model fails.

use crate::sync::Ordering;

/// A place in the code where an ordering matters. The letter names the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// A1, producer: stores the ready queue's write position. Releases the slot's bytes and its cell.
    ReadyPublish,
    /// A2, consumer: loads the ready queue's write position.
    ReadyObserve,
    /// B1, consumer: moves the read position past the slot that it takes. Releases the read of the cell, which the
    /// producer will write again; and the return of the slot held before, with all reads of its bytes, which the
    /// producer will fill again.
    Take,
    /// B2, producer: loads the read position before a commit.
    TakeObserve,
    /// B3, producer: learns from a failed eviction that the consumer took the oldest.
    TakeObserveLate,
    /// C1, producer: moves the read position past the slot that it evicts. Releases the write position, which the
    /// consumer must not see older than the read position that it compares it with.
    Evict,
    /// C2, consumer: loads the read position.
    EvictObserve,
    /// C3, consumer: learns from a failed take that the oldest was evicted.
    EvictObserveLate,
    /// D1: a handle is dropped. Releases everything that its side owns.
    Unclaim,
    /// D2: a handle is claimed.
    Claim,
    /// E1: the magic is stored. Releases the header and the queues as they were laid out.
    HeaderPublish,
    /// E2: the magic is loaded.
    HeaderObserve,
}

impl Site {
    /// Every site.
    #[cfg(loom)]
    pub const ALL: [Self; 12] = [
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
        }
    }
}

/// The switch by which a model test makes one site `Relaxed`. loom runs all threads of a model on one thread of the
/// machine, so tests that run side by side do not disturb each other.
#[cfg(loom)]
pub mod weaken {
    use super::Site;
    use std::cell::Cell;

    std::thread_local! {
        static WEAKENED: Cell<Option<Site>> = const { Cell::new(None) };
    }

    /// Weakens this site, and no other, from now on.
    pub fn only(site: Option<Site>) {
        WEAKENED.set(site);
    }

    pub(super) fn is(site: Site) -> bool {
        WEAKENED.get() == Some(site)
    }
}
