//! The ring over slots of a given size.

use super::counters::RingCounters;
use super::error::RingError;
use super::layout::RingLayout;
use super::memory::{RingMemory, SharedRegion, SlotConsumer, SlotProducer};

/// Bytes of the region for a ring that queues `capacity` slots of `slot_bytes`. Align the region to [`super::ALIGN`].
///
/// # Errors
/// [`RingError::Capacity`], [`RingError::SlotBytes`] or [`RingError::TooLarge`].
pub fn region_bytes(capacity: u32, slot_bytes: usize) -> Result<usize, RingError> {
    Ok(RingLayout::new(0, capacity, slot_bytes)?.region_bytes as usize)
}

/// A ring of slots in caller memory. `content` is a magic number for the content of the slots, so that a ring of
/// overlays is not mistaken for one of frames. The handles of its sides live as long as the region, not as this value.
pub struct SlotRing<'a> {
    memory: RingMemory<'a>,
    layout: RingLayout,
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

    /// As [`Self::create`], with the queues' positions starting at `position` instead of 0, so that a test can start
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
        let layout = RingLayout::new(content, capacity, slot_bytes)?;
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
        let layout = RingLayout::new(content, capacity, slot_bytes)?;
        Ok(Self { memory: RingMemory::create(&region, &layout, 0)?, layout })
    }

    /// The ring in `region`, which no handle uses now. Both sides can be claimed, queued slots are kept, and slots
    /// whose handles were lost (a process ended, at any instruction) are free again.
    ///
    /// # Errors
    /// [`RingError::Misaligned`], [`RingError::RegionTooSmall`]; [`RingError::Header`] and the errors of
    /// [`region_bytes`] if the header is not that of a ring of `content`; [`RingError::Damaged`] if this protocol cannot
    /// have written the queue.
    pub fn attach(region: &'a mut [u8], content: u32) -> Result<Self, RingError> {
        let (memory, layout) = RingMemory::attach(&SharedRegion::exclusive(region), content)?;
        memory.control().recover()?;
        Ok(Self { memory, layout })
    }

    /// As [`Self::attach`], for a ring that others may be using: this does not modify it. A side that another process
    /// claimed stays claimed even after that process has ended. To recover, end the other side too, and call
    /// [`Self::attach`].
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
        self.memory.producer()
    }

    /// Claims the consumer's side, until the handle is dropped.
    ///
    /// # Errors
    /// [`RingError::Claimed`] if there is a consumer.
    pub fn consumer(&self) -> Result<SlotConsumer<'a>, RingError> {
        self.memory.consumer()
    }

    /// The ring's counters.
    pub fn counters(&self) -> RingCounters {
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
