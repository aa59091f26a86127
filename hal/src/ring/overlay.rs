//! The overlay ring: each slot is one overlay.

use super::counters::{CommitOutcome, RingCounters};
use super::error::RingError;
use super::memory::{SharedRegion, SlotConsumer, SlotMut, SlotProducer};
use super::protocol::IndexProducer;
use super::slots::{SlotRing, region_bytes};
use crate::overlay::{OVERLAY_MAGIC, Overlay};

const SLOT_BYTES: usize = size_of::<Overlay>();

/// A ring of overlays in caller memory.
pub struct OverlayRing<'a>(SlotRing<'a>);

impl<'a> OverlayRing<'a> {
    /// Bytes of the region for a ring that queues `capacity` overlays. Align the region to
    /// [`super::ALIGN`].
    ///
    /// # Errors
    /// As [`region_bytes`].
    pub fn region_bytes(capacity: u32) -> Result<usize, RingError> {
        region_bytes(capacity, SLOT_BYTES)
    }

    /// Lays out an empty ring in `region`.
    ///
    /// # Errors
    /// As [`SlotRing::create`].
    pub fn create(region: &'a mut [u8], capacity: u32) -> Result<Self, RingError> {
        SlotRing::create(region, OVERLAY_MAGIC, capacity, SLOT_BYTES).map(Self)
    }

    /// The overlay ring in `region`, which no handle uses now; see [`SlotRing::attach`].
    ///
    /// # Errors
    /// As [`SlotRing::attach`], and [`RingError::SlotBytes`] if a slot is not an overlay's size.
    pub fn attach(region: &'a mut [u8]) -> Result<Self, RingError> {
        SlotRing::attach(region, OVERLAY_MAGIC).and_then(Self::checked)
    }

    /// As [`Self::create`], for memory that other processes map too.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_shared(region: SharedRegion<'a>, capacity: u32) -> Result<Self, RingError> {
        SlotRing::create_shared(region, OVERLAY_MAGIC, capacity, SLOT_BYTES).map(Self)
    }

    /// As [`Self::attach`], for a ring that others may be using; see [`SlotRing::attach_shared`].
    ///
    /// # Errors
    /// As [`SlotRing::attach_shared`], and [`RingError::SlotBytes`] if a slot is not an overlay's size.
    pub fn attach_shared(region: SharedRegion<'a>) -> Result<Self, RingError> {
        SlotRing::attach_shared(region, OVERLAY_MAGIC).and_then(Self::checked)
    }

    fn checked(ring: SlotRing<'a>) -> Result<Self, RingError> {
        if ring.slot_bytes() != SLOT_BYTES {
            return Err(wrong_size(ring.slot_bytes()));
        }
        Ok(Self(ring))
    }

    /// Claims the producer's side, until the handle is dropped.
    ///
    /// # Errors
    /// [`RingError::Claimed`] if there is a producer.
    pub fn producer(&self) -> Result<OverlayProducer<'a>, RingError> {
        self.0.producer().map(OverlayProducer)
    }

    /// Claims the consumer's side, until the handle is dropped.
    ///
    /// # Errors
    /// [`RingError::Claimed`] if there is a consumer.
    pub fn consumer(&self) -> Result<OverlayConsumer<'a>, RingError> {
        self.0.consumer().map(OverlayConsumer)
    }

    /// The ring's counters.
    pub fn counters(&self) -> RingCounters {
        self.0.counters()
    }
}

fn wrong_size(seen: usize) -> RingError {
    RingError::SlotBytes { seen: seen as u64, least: SLOT_BYTES as u64, most: SLOT_BYTES as u64 }
}

/// The producer's side of an overlay ring.
pub struct OverlayProducer<'a>(SlotProducer<'a>);

impl<'a> OverlayProducer<'a> {
    /// Returns the slot to fill, without waiting. It still has the overlay that was last written to it, so start from
    /// [`Overlay::blank`]. Until a commit, each acquire returns the same slot.
    ///
    /// # Errors
    /// [`RingError::NoFreeSlot`] if the consumer has broken the protocol; never because it is slow.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn acquire(&mut self) -> Result<OverlaySlot<'_, 'a>, RingError> {
        let SlotMut { producer, bytes } = self.0.acquire()?;
        let seen = bytes.len();
        let overlay = bytemuck::try_from_bytes_mut(bytes).map_err(|_| wrong_size(seen))?;
        Ok(OverlaySlot { producer, overlay })
    }

    /// Copies an overlay into a slot and commits it.
    ///
    /// # Errors
    /// As [`Self::acquire`]. Nothing is committed then.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn push(&mut self, overlay: &Overlay) -> Result<CommitOutcome, RingError> {
        let slot = self.acquire()?;
        *slot.overlay = *overlay;
        Ok(slot.commit())
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

/// An overlay being filled. If it is dropped without a commit, the next acquire returns it again.
pub struct OverlaySlot<'p, 'a> {
    producer: &'p mut IndexProducer<'a>,
    overlay: &'p mut Overlay,
}

impl OverlaySlot<'_, '_> {
    /// The overlay, initially the slot's last one.
    pub fn overlay_mut(&mut self) -> &mut Overlay {
        self.overlay
    }

    /// Queues the overlay, and wakes a consumer that sleeps until there is one. If the queue was full, its oldest overlay is
    /// evicted. Never waits; without the feature `std`, it wakes nobody.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn commit(self) -> CommitOutcome {
        let outcome = self.producer.commit();
        #[cfg(feature = "std")]
        super::wait::wake(self.producer);
        outcome
    }
}

/// The consumer's side of an overlay ring. It holds an overlay's slot from its take until the next take, a release,
/// or the drop of the handle.
pub struct OverlayConsumer<'a>(SlotConsumer<'a>);

impl OverlayConsumer<'_> {
    /// The next overlay, oldest first. Releases the one held before, also when there is no next.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn take(&mut self) -> Option<&Overlay> {
        bytemuck::try_from_bytes(self.0.take()?).ok()
    }

    /// The newest overlay, and how many older ones it supersedes. Replies to prompts on those are lost: the session takes
    /// them for delivered.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn take_newest(&mut self) -> Option<(&Overlay, u32)> {
        let (slot, superseded) = self.0.take_newest()?;
        Some((bytemuck::try_from_bytes(slot).ok()?, superseded))
    }

    /// Waits until an overlay is queued or `timeout` has passed, and returns whether one is queued, which is there for the next
    /// take. Does not take it, and does not release the one that is held. The producer does not wait: it makes a system call
    /// that wakes this thread, and only if this thread sleeps.
    ///
    /// The other side may be in another process, if both map the same memory. A producer without an operating system (this crate
    /// without `std`) wakes nobody: then this returns at the end of the time.
    #[cfg(feature = "std")]
    pub fn wait(&mut self, timeout: core::time::Duration) -> bool {
        self.0.wait(timeout)
    }

    /// Overlays committed and not yet taken or evicted.
    pub fn backlog(&self) -> u32 {
        self.0.backlog()
    }

    /// Releases the held overlay before the next take.
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
