//! Why a ring, or a call on it, was refused.

use super::limits::{ALIGN, CAPACITY_MAX, REGION_BYTES_MAX};

/// Why a ring, or a call on it, was refused. The text names the field, the limit and the value seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// A ring cannot queue that many slots.
    #[error("ring capacity is {seen}, allowed are 1 to {CAPACITY_MAX}")]
    Capacity {
        /// The requested capacity.
        seen: u32,
    },
    /// A slot cannot have this size.
    #[error("ring slot is {seen} bytes, allowed are {least} to {most}")]
    SlotBytes {
        /// The size found or requested.
        seen: u64,
        /// Smallest size allowed.
        least: u64,
        /// Largest size allowed.
        most: u64,
    },
    /// The whole ring is larger than a region can be.
    #[error("ring needs {needed} bytes, a region has at most {REGION_BYTES_MAX}")]
    TooLarge {
        /// Bytes that it would need.
        needed: u64,
    },
    /// The region does not start on a multiple of [`ALIGN`].
    #[error("ring region starts {by} bytes past a multiple of {ALIGN}")]
    Misaligned {
        /// Bytes past the multiple.
        by: usize,
    },
    /// The region is smaller than the ring.
    #[error("ring needs {needed} bytes, its region has {given}")]
    RegionTooSmall {
        /// Bytes that the ring needs.
        needed: usize,
        /// Bytes that were given.
        given: usize,
    },
    /// A word of the header has the wrong value.
    #[error("ring header field `{field}` is {seen:#x}, expected {expected:#x}")]
    Header {
        /// Name of the word.
        field: &'static str,
        /// The value found.
        seen: u32,
        /// The value expected.
        expected: u32,
    },
    /// The queue of an unused ring has content that this protocol cannot have written.
    #[error("ring is damaged: {what} is {seen}, at most {limit} is possible")]
    Damaged {
        /// What was found.
        what: &'static str,
        /// Its value.
        seen: u32,
        /// The largest value possible.
        limit: u32,
    },
    /// This side of the ring has a handle already.
    #[error("the ring's {side} is claimed already")]
    Claimed {
        /// `producer` or `consumer`.
        side: &'static str,
    },
    /// The consumer has broken the protocol: it keeps slots that it does not own.
    #[error("ring has no free slot: the consumer does not release its slots")]
    NoFreeSlot,
    /// A frame's samples do not fit into a slot.
    #[error("frame payload is {given} bytes, a slot holds {capacity}")]
    PayloadTooLarge {
        /// Bytes that were given.
        given: usize,
        /// Bytes that fit.
        capacity: usize,
    },
    /// A descriptor announces more samples than were given.
    #[error("frame descriptor announces {announced} bytes of payload, {given} were given")]
    PayloadShort {
        /// Bytes that the descriptor announces.
        announced: usize,
        /// Bytes that were given.
        given: usize,
    },
}
