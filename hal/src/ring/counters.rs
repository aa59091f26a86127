//! The outcome of a commit, and the counters of a ring.

/// The outcome of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "count an evicted slot"]
pub struct CommitOutcome {
    /// The queue was full, so its oldest slot was evicted: the producer owns it again, unread.
    pub evicted: bool,
}

/// The counters of a ring. Each wraps around after 2^32. When neither side is in a call,
/// `committed == evicted + taken + slots in the queue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RingCounters {
    /// Slots that the producer committed.
    pub committed: u32,
    /// Slots that a commit evicted unread.
    pub evicted: u32,
    /// Slots that the consumer took.
    pub taken: u32,
    /// Invalid slot indices found in the queues: the other side is faulty.
    pub faults: u32,
}
