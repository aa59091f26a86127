//! The frame ring: each slot is a descriptor and room for the samples.

use super::counters::{CommitOutcome, RingCounters};
use super::error::RingError;
use super::limits::{ALIGN, REGION_BYTES_MAX};
use super::memory::{SharedRegion, SlotConsumer, SlotMut, SlotProducer};
use super::protocol::IndexProducer;
use super::slots::{SlotRing, region_bytes};
use crate::frame::{FRAME_MAGIC, FrameDescriptor};

/// Offset of the samples in a slot: after the descriptor, on a cache line.
pub const FRAME_PAYLOAD_OFFSET: usize = size_of::<FrameDescriptor>().next_multiple_of(ALIGN);

/// A ring of frames in caller memory.
pub struct FrameRing<'a>(SlotRing<'a>);

impl<'a> FrameRing<'a> {
    /// Bytes of the region for a ring that queues `capacity` frames with up to `payload_bytes` of samples each. Align
    /// the region to [`super::ALIGN`].
    ///
    /// # Errors
    /// As [`region_bytes`].
    pub fn region_bytes(capacity: u32, payload_bytes: usize) -> Result<usize, RingError> {
        region_bytes(capacity, slot_bytes(payload_bytes))
    }

    /// Lays out an empty ring in `region`.
    ///
    /// # Errors
    /// As [`SlotRing::create`].
    pub fn create(region: &'a mut [u8], capacity: u32, payload_bytes: usize) -> Result<Self, RingError> {
        SlotRing::create(region, FRAME_MAGIC, capacity, slot_bytes(payload_bytes)).map(Self)
    }

    /// The frame ring in `region`, which no handle uses now; see [`SlotRing::attach`].
    ///
    /// # Errors
    /// As [`SlotRing::attach`], and [`RingError::SlotBytes`] if a slot has no room for samples.
    pub fn attach(region: &'a mut [u8]) -> Result<Self, RingError> {
        SlotRing::attach(region, FRAME_MAGIC).and_then(Self::checked)
    }

    /// As [`Self::create`], for memory that other processes map too.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_shared(
        region: SharedRegion<'a>,
        capacity: u32,
        payload_bytes: usize,
    ) -> Result<Self, RingError> {
        SlotRing::create_shared(region, FRAME_MAGIC, capacity, slot_bytes(payload_bytes)).map(Self)
    }

    /// As [`Self::attach`], for a ring that others may be using; see [`SlotRing::attach_shared`].
    ///
    /// # Errors
    /// As [`SlotRing::attach_shared`], and [`RingError::SlotBytes`] if a slot has no room for samples.
    pub fn attach_shared(region: SharedRegion<'a>) -> Result<Self, RingError> {
        SlotRing::attach_shared(region, FRAME_MAGIC).and_then(Self::checked)
    }

    fn checked(ring: SlotRing<'a>) -> Result<Self, RingError> {
        if ring.slot_bytes() <= FRAME_PAYLOAD_OFFSET {
            return Err(no_room(ring.slot_bytes()));
        }
        Ok(Self(ring))
    }

    /// Claims the producer's side, until the handle is dropped.
    ///
    /// # Errors
    /// [`RingError::Claimed`] if there is a producer.
    pub fn producer(&self) -> Result<FrameProducer<'a>, RingError> {
        self.0.producer().map(FrameProducer)
    }

    /// Claims the consumer's side, until the handle is dropped.
    ///
    /// # Errors
    /// [`RingError::Claimed`] if there is a consumer.
    pub fn consumer(&self) -> Result<FrameConsumer<'a>, RingError> {
        self.0.consumer().map(FrameConsumer)
    }

    /// The ring's counters.
    pub fn counters(&self) -> RingCounters {
        self.0.counters()
    }

    /// Maximum bytes of samples in a frame.
    pub fn payload_capacity(&self) -> usize {
        self.0.slot_bytes() - FRAME_PAYLOAD_OFFSET
    }
}

/// Saturates, so that a size too large is refused instead of wrapping around.
fn slot_bytes(payload_bytes: usize) -> usize {
    payload_bytes.max(1).saturating_add(FRAME_PAYLOAD_OFFSET)
}

fn no_room(seen: usize) -> RingError {
    let least = FRAME_PAYLOAD_OFFSET as u64 + 1;
    RingError::SlotBytes { seen: seen as u64, least, most: REGION_BYTES_MAX as u64 }
}

/// The producer's side of a frame ring.
pub struct FrameProducer<'a>(SlotProducer<'a>);

impl<'a> FrameProducer<'a> {
    /// Returns the slot to fill, without waiting. It still has the descriptor and samples that were last written to it.
    /// Until a commit, each acquire returns the same slot.
    ///
    /// # Errors
    /// [`RingError::NoFreeSlot`] if the consumer has broken the protocol; never because it is slow.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn acquire(&mut self) -> Result<FrameSlot<'_, 'a>, RingError> {
        let SlotMut { producer, bytes } = self.0.acquire()?;
        let seen = bytes.len();
        let (head, payload) = bytes.split_at_mut_checked(FRAME_PAYLOAD_OFFSET).ok_or(no_room(seen))?;
        let descriptor = bytemuck::try_from_bytes_mut(&mut head[..size_of::<FrameDescriptor>()]);
        Ok(FrameSlot { producer, descriptor: descriptor.map_err(|_| no_room(seen))?, payload })
    }

    /// Copies a frame into a slot and commits it.
    ///
    /// # Errors
    /// [`RingError::PayloadTooLarge`] if the samples do not fit, [`RingError::PayloadShort`] if the descriptor
    /// announces more than are given, and as [`Self::acquire`]. Nothing is committed then.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn push(&mut self, descriptor: &FrameDescriptor, payload: &[u8]) -> Result<CommitOutcome, RingError> {
        let announced = descriptor.payload_bytes as usize;
        if payload.len() < announced {
            return Err(RingError::PayloadShort { announced, given: payload.len() });
        }
        let slot = self.acquire()?;
        let capacity = slot.payload.len();
        let Some(room) = slot.payload.get_mut(..payload.len()) else {
            return Err(RingError::PayloadTooLarge { given: payload.len(), capacity });
        };
        room.copy_from_slice(payload);
        *slot.descriptor = *descriptor;
        Ok(slot.commit())
    }

    /// Frames committed and not yet taken or evicted.
    pub fn backlog(&self) -> u32 {
        self.0.backlog()
    }

    /// Checks that the ring's memory is undamaged.
    ///
    /// # Errors
    /// As [`SlotProducer::check`].
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn check(&self) -> Result<(), RingError> {
        self.0.check()
    }
}

/// A frame being filled. If it is dropped without a commit, the next acquire returns it again.
pub struct FrameSlot<'p, 'a> {
    producer: &'p mut IndexProducer<'a>,
    descriptor: &'p mut FrameDescriptor,
    payload: &'p mut [u8],
}

impl FrameSlot<'_, '_> {
    /// The descriptor, initially that of the slot's last frame.
    pub fn descriptor_mut(&mut self) -> &mut FrameDescriptor {
        self.descriptor
    }

    /// The whole space for samples, initially with those of the slot's last frame.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        self.payload
    }

    /// Queues the frame. If the queue was full, its oldest frame is evicted.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn commit(self) -> CommitOutcome {
        self.producer.commit()
    }
}

/// The consumer's side of a frame ring. It holds a frame's slot from its take until the next take, a release, or the
/// drop of the handle.
pub struct FrameConsumer<'a>(SlotConsumer<'a>);

impl FrameConsumer<'_> {
    /// Frames committed and not yet taken or evicted: at most the ring's capacity, whatever its memory holds.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn backlog(&self) -> u32 {
        self.0.backlog()
    }

    /// The next frame, oldest first. Releases the one held before, also when there is no next.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn take(&mut self) -> Option<FrameView<'_>> {
        FrameView::of(self.0.take()?)
    }

    /// The newest frame, and how many older ones it supersedes.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn take_newest(&mut self) -> Option<(FrameView<'_>, u32)> {
        let (slot, superseded) = self.0.take_newest()?;
        Some((FrameView::of(slot)?, superseded))
    }

    /// The ring's counters.
    pub fn counters(&self) -> RingCounters {
        self.0.counters()
    }

    /// The frame that is held, with a new copy of its descriptor.
    pub fn held(&self) -> Option<FrameView<'_>> {
        FrameView::of(self.0.held()?)
    }

    /// Releases the held frame before the next take.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn release(&mut self) {
        self.0.release();
    }

    /// Checks that the ring's memory is undamaged.
    ///
    /// # Errors
    /// As [`SlotConsumer::check`].
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn check(&self) -> Result<(), RingError> {
        self.0.check()
    }
}

/// A frame being read. The descriptor is a copy, still to be checked.
#[derive(Clone, Copy)]
pub struct FrameView<'c> {
    descriptor: FrameDescriptor,
    payload: &'c [u8],
}

impl<'c> FrameView<'c> {
    fn of(slot: &'c [u8]) -> Option<Self> {
        let descriptor =
            bytemuck::pod_read_unaligned::<FrameDescriptor>(slot.get(..size_of::<FrameDescriptor>())?);
        let room = slot.get(FRAME_PAYLOAD_OFFSET..)?;
        let payload = room.get(..descriptor.payload_bytes as usize).unwrap_or(room);
        Some(Self { descriptor, payload })
    }

    /// The descriptor, copied out of the slot when the frame was taken.
    pub fn descriptor(&self) -> &FrameDescriptor {
        &self.descriptor
    }

    /// As many bytes of samples as the descriptor announces, or as a slot has room for if it announces more (then
    /// [`FrameDescriptor::check_payload`] refuses them).
    pub fn payload(&self) -> &'c [u8] {
        self.payload
    }
}
