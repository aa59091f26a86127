//! The ring over slots of a stated size, and the handles of its two sides.

use super::layout::Layout;
use super::memory::{RingMemory, SharedRegion, SlotMemory, SlotMut};
use super::protocol::{IndexConsumer, IndexProducer};
use super::{CommitOutcome, Counters, RingError};

/// Bytes of the region for a ring that queues `capacity` slots of `slot_bytes`; the region is to be aligned to
/// [`super::ALIGN`].
///
/// # Errors
/// [`RingError::Capacity`], [`RingError::SlotBytes`] or [`RingError::TooLarge`].
pub fn region_bytes(capacity: u32, slot_bytes: usize) -> Result<usize, RingError> {
    Ok(Layout::new(0, capacity, slot_bytes)?.region_bytes as usize)
}

/// A ring of slots in caller memory. `content` is a magic that says what the slots hold, so that a ring of overlays
/// is not taken for one of frames. Its handles live as long as the region, not as this value.
pub struct SlotRing<'a> {
    memory: RingMemory<'a>,
    layout: Layout,
}

impl<'a> SlotRing<'a> {
    /// Lays out an empty ring in `region`, all slots zero.
    ///
    /// # Errors
    /// As [`region_bytes`], and [`RingError::Misaligned`] or [`RingError::RegionTooSmall`].
    pub fn create(
        region: &'a mut [u8],
        content: u32,
        capacity: u32,
        slot_bytes: usize,
    ) -> Result<Self, RingError> {
        Self::create_at(region, content, capacity, slot_bytes, 0)
    }

    /// As [`Self::create`], with the queues' positions starting at `position` instead of 0, so that a test can begin
    /// just before they wrap around.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_at(
        region: &'a mut [u8],
        content: u32,
        capacity: u32,
        slot_bytes: usize,
        position: u32,
    ) -> Result<Self, RingError> {
        let layout = Layout::new(content, capacity, slot_bytes)?;
        let memory = RingMemory::create(&SharedRegion::exclusive(region), &layout, position)?;
        Ok(Self { memory, layout })
    }

    /// As [`Self::create`], for memory that other processes map too.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_shared(
        region: SharedRegion<'a>,
        content: u32,
        capacity: u32,
        slot_bytes: usize,
    ) -> Result<Self, RingError> {
        let layout = Layout::new(content, capacity, slot_bytes)?;
        Ok(Self { memory: RingMemory::create(&region, &layout, 0)?, layout })
    }

    /// The ring that lies in `region`, which nobody uses now: both sides can be claimed, what is queued is kept, and
    /// slots that handles held when they were lost (a process that ended, in whichever instruction) are free again.
    ///
    /// # Errors
    /// [`RingError::Misaligned`], [`RingError::RegionTooSmall`], [`RingError::Header`] and the errors of
    /// [`region_bytes`] where the header is not that of a ring of `content`; [`RingError::Damaged`] where the queue
    /// cannot be the work of this protocol.
    pub fn attach(region: &'a mut [u8], content: u32) -> Result<Self, RingError> {
        let (memory, layout) = RingMemory::attach(&SharedRegion::exclusive(region), content)?;
        memory.control().recover()?;
        Ok(Self { memory, layout })
    }

    /// As [`Self::attach`], for a ring that others may be using: nothing in it is changed, and a side that another
    /// process has claimed stays claimed, even if that process has ended (then let the other side end too, and
    /// [`Self::attach`]).
    ///
    /// # Errors
    /// As [`Self::attach`], without [`RingError::Damaged`].
    pub fn attach_shared(region: SharedRegion<'a>, content: u32) -> Result<Self, RingError> {
        let (memory, layout) = RingMemory::attach(&region, content)?;
        Ok(Self { memory, layout })
    }

    /// Claims the producer's side, until the handle is dropped.
    ///
    /// # Errors
    /// [`RingError::Claimed`] if there is a producer.
    pub fn producer(&self) -> Result<SlotProducer<'a>, RingError> {
        Ok(SlotProducer { indices: self.memory.control().producer()?, slots: self.memory.slots() })
    }

    /// Claims the consumer's side, until the handle is dropped.
    ///
    /// # Errors
    /// [`RingError::Claimed`] if there is a consumer.
    pub fn consumer(&self) -> Result<SlotConsumer<'a>, RingError> {
        Ok(SlotConsumer { indices: self.memory.control().consumer()?, slots: self.memory.slots() })
    }

    /// What has passed through so far.
    pub fn counters(&self) -> Counters {
        self.memory.control().counters()
    }

    /// Slots committed and not yet taken or evicted.
    pub fn queued(&self) -> u32 {
        self.memory.control().queued()
    }

    /// Slots that can be queued.
    pub fn capacity(&self) -> u32 {
        self.layout.capacity
    }

    /// Bytes of one slot.
    pub fn slot_bytes(&self) -> usize {
        self.layout.slot_bytes as usize
    }
}

/// The producer's side of a ring.
pub struct SlotProducer<'a> {
    indices: IndexProducer<'a>,
    slots: SlotMemory<'a>,
}

impl<'a> SlotProducer<'a> {
    /// The slot to fill, at once: it holds what was last written to it. Until a commit, each acquire gives the same.
    ///
    /// # Errors
    /// [`RingError::NoFreeSlot`] if the consumer has broken the protocol; never because it is slow.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn acquire(&mut self) -> Result<SlotMut<'_, 'a>, RingError> {
        self.slots.filling(&mut self.indices)
    }

    /// Slots committed and not yet taken or evicted.
    pub fn backlog(&self) -> u32 {
        self.indices.backlog()
    }
}

impl SlotMut<'_, '_> {
    /// The slot's bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes
    }

    /// Queues the slot. If that made one too many, the oldest is evicted: it comes back unread.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn commit(self) -> CommitOutcome {
        self.producer.commit()
    }
}

/// The consumer's side of a ring. It holds a slot from its take until the next take, a release, or the drop of the
/// handle.
pub struct SlotConsumer<'a> {
    indices: IndexConsumer<'a>,
    slots: SlotMemory<'a>,
}

impl SlotConsumer<'_> {
    /// The next slot, oldest first. The one held before is given back, also when there is no next.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn take(&mut self) -> Option<&[u8]> {
        self.indices.take()?;
        self.held()
    }

    /// The newest slot, and how many older ones were passed over.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn take_newest(&mut self) -> Option<(&[u8], u32)> {
        let (_, superseded) = self.indices.take_newest()?;
        Some((self.held()?, superseded))
    }

    /// What has passed through the ring so far.
    pub fn counters(&self) -> Counters {
        self.indices.counters()
    }

    /// The slot that is held.
    pub fn held(&self) -> Option<&[u8]> {
        self.slots.held(&self.indices)
    }

    /// Gives the held slot back before the next take.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn release(&mut self) {
        self.indices.release();
    }

    /// Slots committed and not yet taken or evicted.
    pub fn backlog(&self) -> u32 {
        self.indices.backlog()
    }
}
