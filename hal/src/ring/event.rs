//! The event ring: each slot is one event.

use super::counters::RingCounters;
use super::error::RingError;
use super::memory::{SlotConsumer, SlotProducer};
use super::slots::{SlotRing, region_bytes};
use crate::event::{EVENT_MAGIC, Event};

const SLOT_BYTES: usize = size_of::<Event>();

/// A ring of events in caller memory.
pub struct EventRing<'a>(SlotRing<'a>);

impl<'a> EventRing<'a> {
    /// Bytes of the region for a ring that queues `capacity` events. Align the region to [`super::ALIGN`].
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
        SlotRing::create(region, EVENT_MAGIC, capacity, SLOT_BYTES).map(Self)
    }

    /// Claims the producer's side, until the handle is dropped.
    ///
    /// # Errors
    /// [`RingError::Claimed`] if there is a producer.
    pub fn producer(&self) -> Result<EventProducer<'a>, RingError> {
        self.0.producer().map(EventProducer)
    }

    /// Claims the consumer's side, until the handle is dropped.
    ///
    /// # Errors
    /// [`RingError::Claimed`] if there is a consumer.
    pub fn consumer(&self) -> Result<EventConsumer<'a>, RingError> {
        self.0.consumer().map(EventConsumer)
    }

    /// The ring's counters; `evicted` events are lost.
    pub fn counters(&self) -> RingCounters {
        self.0.counters()
    }
}

/// The producer's side of an event ring.
pub struct EventProducer<'a>(SlotProducer<'a>);

impl EventProducer<'_> {
    /// Records an event, without waiting. If the ring is full, its oldest event is evicted and counted. Returns whether
    /// an event was lost: the oldest, or this one if there is no free slot.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn record(&mut self, event: &Event) -> bool {
        // A consumer that has broken the protocol gets no more events; the scan continues.
        let Ok(mut slot) = self.0.acquire() else { return true };
        slot.bytes_mut()[..SLOT_BYTES].copy_from_slice(bytemuck::bytes_of(event));
        slot.commit().evicted
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

/// The consumer's side of an event ring.
pub struct EventConsumer<'a>(SlotConsumer<'a>);

impl EventConsumer<'_> {
    /// The next event, oldest first.
    pub fn take(&mut self) -> Option<Event> {
        let slot = self.0.take()?;
        Some(bytemuck::pod_read_unaligned(slot.get(..SLOT_BYTES)?))
    }

    /// Writes out all queued events with [`crate::event::write_out`]. Returns how many.
    pub fn drain(&mut self) -> usize {
        core::iter::from_fn(|| self.take()).inspect(crate::event::write_out).count()
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
