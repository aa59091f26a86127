//! Lock-free single-producer single-consumer rings in caller memory.
//!
//! A ring is a versioned, pointer-free view of a region of bytes: offsets and u32 atomics only, so that the same bytes
//! work between threads, between processes, and from a producer on bare metal. Only slot indices are passed; the slots
//! do not move. A ring that queues N slots has N + 2: one more is held by the consumer, one more is being filled.
//!
//! The producer never waits. When the consumer is behind, a commit evicts the oldest unread slot: the producer owns it
//! again, and it is counted, as in iceoryx2's safely overflowing queue.
//!
//! * `layout`: offsets and sizes in a region, and the check of a header.
//! * `order`: every memory ordering, by name and in pairs.
//! * `index_queue`: the two queues of slot indices.
//! * `protocol`: which side owns which slot.
//! * `memory`: caller memory as atomics and slots. All unsafe code of the rings is there.
//! * `slots`: the ring over slots of any size. [`FrameRing`], [`OverlayRing`], [`CommandRing`] and [`EventRing`] are
//!   thin typed forms of it.
//! * `set`: the four rings of a session.
//! * `wait`: sleeping until something is queued, with the system's help (feature `std`).
//! * `threads`: assertions of what may move between threads.
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
mod counters;
mod error;
#[cfg(not(loom))]
mod event;
#[cfg(not(loom))]
mod frame;
mod index_queue;
mod layout;
mod limits;
#[cfg(not(loom))]
mod memory;
#[cfg(loom)]
pub mod model;
mod order;
#[cfg(not(loom))]
mod overlay;
mod protocol;
#[cfg(not(loom))]
mod set;
#[cfg(not(loom))]
mod slots;
#[cfg(not(loom))]
mod threads;
#[cfg(all(feature = "std", not(loom)))]
mod wait;

#[cfg(not(loom))]
pub use command::{CommandConsumer, CommandProducer, CommandRing};
pub use counters::{CommitOutcome, RingCounters};
pub use error::RingError;
#[cfg(not(loom))]
pub use event::{EventConsumer, EventProducer, EventRing};
#[cfg(not(loom))]
pub use frame::{FRAME_PAYLOAD_OFFSET, FrameConsumer, FrameProducer, FrameRing, FrameSlot, FrameView};
pub use layout::{RING_ABI_VERSION, RING_MAGIC};
pub use limits::{ALIGN, CAPACITY_MAX, REGION_BYTES_MAX};
#[cfg(not(loom))]
pub use memory::{SharedRegion, SlotConsumer, SlotMut, SlotProducer};
#[cfg(not(loom))]
pub use overlay::{OverlayConsumer, OverlayProducer, OverlayRing, OverlaySlot};
#[cfg(not(loom))]
pub use set::{RingSizes, Rings};
#[cfg(not(loom))]
pub use slots::{SlotRing, region_bytes};
