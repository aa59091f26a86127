//! Lock-free single-producer single-consumer rings in caller memory.
//!
//! A ring is a versioned, pointer-free view of a region of bytes: offsets and u32 atomics only, so that the same bytes
//! work between threads, between processes, and from a producer on bare metal. Only slot indices travel; the slots stay
//! where they are. A ring that queues N has N + 2 slots: one more is with the reader, one more is being filled.
//!
//! The producer never waits. When the consumer is behind, the oldest unread slot is given back to the producer and
//! counted, as in iceoryx2's safely overflowing queue.
//!
//! * `layout`: how a ring lies in its region, and the check of a header.
//! * `order`: every memory ordering, by name, in pairs.
//! * `index_queue`: the two queues of slot indices.
//! * `protocol`: who owns which slot.
//! * `memory`: caller memory as atomics and slots: the unsafe part.
//! * `slots`: the ring over slots of any size; [`FrameRing`], [`OverlayRing`], [`CommandRing`] and [`EventRing`] are thin
//!   typed forms of it.
//!
//! ```
//! use sonotrace_hal::frame::FrameDescriptor;
//! use sonotrace_hal::ring::{ALIGN, FrameRing};
//!
//! # fn main() -> Result<(), sonotrace_hal::ring::RingError> {
//! let needed = FrameRing::region_bytes(2, 4096)?;
//! let mut memory = vec![0u8; needed + ALIGN];
//! let start = memory.as_ptr().align_offset(ALIGN);
//! let ring = FrameRing::create(&mut memory[start..start + needed], 2, 4096)?;
//! let (mut producer, mut consumer) = (ring.producer()?, ring.consumer()?);
//!
//! let mut slot = producer.acquire()?;
//! *slot.descriptor_mut() = FrameDescriptor { seq: 1, payload_bytes: 3, ..FrameDescriptor::blank() };
//! slot.payload_mut()[..3].copy_from_slice(&[7, 8, 9]);
//! assert!(!slot.commit().evicted);
//!
//! let view = consumer.take().expect("one frame is queued");
//! assert_eq!((view.descriptor().seq, view.payload()), (1, &[7, 8, 9][..]));
//! # Ok(())
//! # }
//! ```

#[cfg(not(loom))]
mod command;
#[cfg(not(loom))]
mod event;
#[cfg(not(loom))]
mod frame;
mod index_queue;
mod layout;
#[cfg(not(loom))]
mod memory;
#[cfg(loom)]
pub mod model;
mod order;
#[cfg(not(loom))]
mod overlay;
mod protocol;
#[cfg(not(loom))]
mod slots;

#[cfg(not(loom))]
pub use command::{CommandConsumer, CommandProducer, CommandRing};
#[cfg(not(loom))]
pub use event::{EventConsumer, EventProducer, EventRing};
#[cfg(not(loom))]
pub use frame::{FRAME_PAYLOAD_OFFSET, FrameConsumer, FrameProducer, FrameRing, FrameSlot, FrameView};
pub use layout::{ALIGN, CAPACITY_MAX, REGION_BYTES_MAX, RING_ABI_VERSION, RING_MAGIC};
#[cfg(not(loom))]
pub use memory::{SharedRegion, SlotMut};
#[cfg(not(loom))]
pub use overlay::{OverlayConsumer, OverlayProducer, OverlayRing, OverlaySlot};
#[cfg(not(loom))]
pub use slots::{SlotConsumer, SlotProducer, SlotRing, region_bytes};

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an evicted frame is to be counted"]
pub struct CommitOutcome {
    /// The queue was full: its oldest slot came back unread.
    pub evicted: bool,
}

/// What has passed through a ring. All wrap around after 2^32. At rest,
/// `committed == evicted + taken + what is queued`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Slots that the producer committed.
    pub committed: u32,
    /// Slots that came back to the producer unread.
    pub evicted: u32,
    /// Slots that the consumer took.
    pub taken: u32,
    /// Indices found in the queues that no slot has: the other side is faulty.
    pub faults: u32,
}

/// Why a ring was refused, or a call on it. The text names the thing, the limit and the value seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// No ring queues so many, or none.
    #[error("ring capacity is {seen}, allowed are 1 to {CAPACITY_MAX}")]
    Capacity {
        /// The capacity asked for.
        seen: u32,
    },
    /// A slot cannot have this size.
    #[error("ring slot is {seen} bytes, allowed are {least} to {most}")]
    SlotBytes {
        /// The size found or asked for.
        seen: u64,
        /// Smallest possible.
        least: u64,
        /// Largest possible.
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
    /// A word of the header is not what it has to be.
    #[error("ring header field `{field}` is {seen:#x}, expected {expected:#x}")]
    Header {
        /// Name of the word.
        field: &'static str,
        /// Its value.
        seen: u32,
        /// What it has to be.
        expected: u32,
    },
    /// The queue of a ring that nobody uses cannot be the work of this protocol.
    #[error("ring is damaged: {what} is {seen}, at most {limit} is possible")]
    Damaged {
        /// The thing found.
        what: &'static str,
        /// Its value.
        seen: u32,
        /// The largest possible.
        limit: u32,
    },
    /// The side has a handle already.
    #[error("the ring's {side} is claimed already")]
    Claimed {
        /// `producer` or `consumer`.
        side: &'static str,
    },
    /// The other side has broken the protocol: it keeps slots that are not its own.
    #[error("ring has no free slot: the consumer does not give slots back")]
    NoFreeSlot,
    /// A frame's samples do not fit into a slot.
    #[error("frame payload is {given} bytes, a slot holds {capacity}")]
    PayloadTooLarge {
        /// Bytes that were given.
        given: usize,
        /// Bytes that fit.
        capacity: usize,
    },
    /// A descriptor announces more samples than came with it.
    #[error("frame descriptor announces {announced} bytes of payload, {given} were given")]
    PayloadShort {
        /// Bytes that the descriptor announces.
        announced: usize,
        /// Bytes that were given.
        given: usize,
    },
}
