//! Caller memory as a ring: the control part as references to atomics, and slots as bytes that the handles of the two
//! sides lend out. All unsafe code of the rings is here.

use super::counters::{CommitOutcome, RingCounters};
use super::error::RingError;
use super::layout::{CONTROL_BYTES, RingLayout};
use super::limits::ALIGN;
use super::protocol::{Control, ControlBlock, IndexConsumer, IndexProducer};
use crate::sync::AtomicU32;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::slice;

const _: () = assert!(size_of::<ControlBlock>() == CONTROL_BYTES && align_of::<ControlBlock>() == ALIGN);

/// A region that other processes may map too, or that a foreign producer writes.
pub struct SharedRegion<'a> {
    base: NonNull<u8>,
    bytes: usize,
    region: PhantomData<&'a mut [u8]>,
}

impl<'a> SharedRegion<'a> {
    /// A region of shared memory.
    ///
    /// # Safety
    /// For all of `'a` the bytes are initialised, readable and writable. Everyone who accesses them follows this
    /// protocol (this crate, or a bare-metal producer), as one producer and one consumer, and nobody else accesses them
    /// while a ring is created in them. Header and indices are checked nevertheless: a faulty other side can damage the
    /// bytes of slots, but nothing outside the region.
    pub unsafe fn from_raw(region: NonNull<[u8]>) -> Self {
        Self { base: region.cast(), bytes: region.len(), region: PhantomData }
    }

    /// A region that nobody else uses, because it is borrowed.
    pub(super) fn exclusive(region: &'a mut [u8]) -> Self {
        Self { bytes: region.len(), base: NonNull::from(region).cast(), region: PhantomData }
    }

    /// Refuses a region that is too small or not aligned.
    fn check(&self, needed: usize) -> Result<(), RingError> {
        let by = self.base.addr().get() % ALIGN;
        if by != 0 {
            return Err(RingError::Misaligned { by });
        }
        if self.bytes < needed {
            return Err(RingError::RegionTooSmall { needed, given: self.bytes });
        }
        Ok(())
    }
}

/// A region that holds a ring for as long as `'a`.
#[derive(Clone, Copy)]
pub struct RingMemory<'a> {
    control: Control<'a>,
    slots: SlotMemory<'a>,
}

impl<'a> RingMemory<'a> {
    /// Lays out an empty ring whose positions start at `position`.
    pub fn create(region: &SharedRegion<'a>, layout: &RingLayout, position: u32) -> Result<Self, RingError> {
        let needed = layout.region_bytes as usize;
        region.check(needed)?;
        // SAFETY: the region has this many writable bytes (checked above), and nobody else accesses them while a ring is
        // created.
        unsafe { region.base.write_bytes(0, needed) };
        // SAFETY: the region is big enough and aligned (checked above).
        let memory = unsafe { Self::view(region, layout) };
        memory.control.format(layout, position);
        Ok(memory)
    }

    /// The ring in a region, if every word of its header is right. Does not modify the region.
    pub fn attach(region: &SharedRegion<'a>, content: u32) -> Result<(Self, RingLayout), RingError> {
        region.check(CONTROL_BYTES)?;
        // SAFETY: aligned and big enough (checked above), initialised and valid for 'a; others access it as atomics.
        let block: &'a ControlBlock = unsafe { region.base.cast().as_ref() };
        let layout = RingLayout::from_header(&block.header(), content)?;
        region.check(layout.region_bytes as usize)?;
        // SAFETY: the region is big enough for this layout and aligned (checked above).
        Ok((unsafe { Self::view(region, &layout) }, layout))
    }

    /// The parts of a ring.
    ///
    /// # Safety
    /// The region is aligned and has `layout.region_bytes` bytes.
    unsafe fn view(region: &SharedRegion<'a>, layout: &RingLayout) -> Self {
        // SAFETY: aligned and inside the region, as the caller promises; initialised, valid for 'a, and accessed as
        // atomics only, as a shared region is.
        let block: &'a ControlBlock = unsafe { region.base.cast().as_ref() };
        // SAFETY: a layout puts these cells inside its region, aligned, apart from all other parts.
        let ready = unsafe { cells(region.base, layout.ready_offset, layout.ready_cells) };
        // SAFETY: as for the ready queue's cells.
        let free = unsafe { cells(region.base, layout.free_offset, layout.free_cells) };
        // SAFETY: a layout puts the slots inside its region.
        let first = unsafe { region.base.add(layout.slots_offset as usize) };
        let slots = SlotMemory {
            first,
            count: layout.slot_count,
            bytes: layout.slot_bytes as usize,
            stride: layout.slot_stride as usize,
            region: PhantomData,
        };
        Self { control: Control::new(block, ready, free, layout), slots }
    }

    /// The control part.
    pub fn control(&self) -> &Control<'a> {
        &self.control
    }

    /// Claims the producer's side.
    pub fn producer(&self) -> Result<SlotProducer<'a>, RingError> {
        Ok(SlotProducer { indices: self.control.producer()?, slots: self.slots })
    }

    /// Claims the consumer's side.
    pub fn consumer(&self) -> Result<SlotConsumer<'a>, RingError> {
        Ok(SlotConsumer { indices: self.control.consumer()?, slots: self.slots })
    }
}

/// The cells of a queue.
///
/// # Safety
/// `count` words from `offset` lie inside a [`SharedRegion`] of lifetime `'a`, aligned, and hold no part of a slot.
unsafe fn cells<'a>(base: NonNull<u8>, offset: u32, count: u32) -> &'a [AtomicU32] {
    // SAFETY: inside the region, as the caller promises.
    let first = unsafe { base.add(offset as usize) };
    // SAFETY: aligned and inside the region, as the caller promises; initialised, and accessed as atomics only.
    unsafe { slice::from_raw_parts(first.cast().as_ptr(), count as usize) }
}

/// The slots of a ring.
#[derive(Clone, Copy)]
struct SlotMemory<'a> {
    first: NonNull<u8>,
    count: u32,
    bytes: usize,
    stride: usize,
    region: PhantomData<&'a [u8]>,
}

// SAFETY: only an address and sizes. Only `SlotProducer::acquire` and `SlotConsumer::held` access the bytes, on the one
// thread that has the handle of that side.
unsafe impl Send for SlotMemory<'_> {}
// SAFETY: as for `Send`: without a handle, copies of it in several threads access no bytes.
unsafe impl Sync for SlotMemory<'_> {}

impl SlotMemory<'_> {
    /// The bytes of a slot; `None` if the ring has no such slot.
    fn slot(&self, index: u32) -> Option<NonNull<[u8]>> {
        if index >= self.count {
            return None;
        }
        // SAFETY: a layout puts `count` slots, `stride` bytes apart, inside its region.
        let start = unsafe { self.first.add(index as usize * self.stride) };
        Some(NonNull::slice_from_raw_parts(start, self.bytes))
    }
}

/// The producer's side of a ring. Its indices and its slots are of the same ring: only `RingMemory` makes it.
pub struct SlotProducer<'a> {
    indices: IndexProducer<'a>,
    slots: SlotMemory<'a>,
}

impl<'a> SlotProducer<'a> {
    /// Returns the slot to fill, without waiting. It still has the bytes that were last written to it. Until a commit,
    /// each acquire returns the same slot.
    ///
    /// # Errors
    /// [`RingError::NoFreeSlot`] if the consumer has broken the protocol; never because it is slow.
    #[inline]
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn acquire(&mut self) -> Result<SlotMut<'_, 'a>, RingError> {
        let mut slot = self.slots.slot(self.indices.acquire()?).ok_or(RingError::NoFreeSlot)?;
        // SAFETY: slots do not overlap, and this one is inside the region and initialised. The protocol gives an index
        // to one owner at a time: to the producer between its acquire and its commit, and the handle of this same ring
        // is borrowed mutably for as long as these bytes. The last owner's reads come before (pair B).
        let bytes = unsafe { slot.as_mut() };
        Ok(SlotMut { producer: &mut self.indices, bytes })
    }

    /// Slots committed and not yet taken or evicted.
    pub fn backlog(&self) -> u32 {
        self.indices.backlog()
    }

    /// Checks that the ring's memory holds a state that the two sides can have written.
    ///
    /// # Errors
    /// [`RingError::Header`] or [`RingError::Damaged`]: something else writes into this memory, or the other side is
    /// faulty.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn check(&self) -> Result<(), RingError> {
        self.indices.check()
    }
}

/// A slot being filled. If it is dropped without a commit, the next acquire returns it again, with the bytes written so
/// far.
pub struct SlotMut<'p, 'a> {
    pub(super) producer: &'p mut IndexProducer<'a>,
    pub(super) bytes: &'p mut [u8],
}

impl SlotMut<'_, '_> {
    /// The slot's bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes
    }

    /// Queues the slot. If the queue was full, its oldest slot is evicted.
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
    /// The next slot, oldest first. Releases the slot held before, also when there is no next.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn take(&mut self) -> Option<&[u8]> {
        self.indices.take()?;
        self.held()
    }

    /// The newest slot, and how many older ones it supersedes.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn take_newest(&mut self) -> Option<(&[u8], u32)> {
        let (_, superseded) = self.indices.take_newest()?;
        Some((self.held()?, superseded))
    }

    /// The slot that is held.
    #[inline]
    pub fn held(&self) -> Option<&[u8]> {
        let slot = self.slots.slot(self.indices.held()?)?;
        // SAFETY: as in `SlotProducer::acquire`. The consumer owns the index between its take and its release; both
        // borrow the handle mutably, and it stays borrowed for as long as these bytes. The producer's writes come
        // before (pair A).
        Some(unsafe { slot.as_ref() })
    }

    /// Releases the held slot before the next take.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn release(&mut self) {
        self.indices.release();
    }

    /// The ring's counters.
    pub fn counters(&self) -> RingCounters {
        self.indices.counters()
    }

    /// Waits until a slot is queued or the time is over, and returns whether one is queued. See
    /// [`OverlayConsumer::wait`](super::OverlayConsumer::wait).
    #[cfg(feature = "std")]
    pub(super) fn wait(&mut self, timeout: core::time::Duration) -> bool {
        super::wait::wait(&self.indices, timeout)
    }

    /// Slots committed and not yet taken or evicted.
    pub fn backlog(&self) -> u32 {
        self.indices.backlog()
    }

    /// Checks that the ring's memory holds a state that the two sides can have written.
    ///
    /// # Errors
    /// [`RingError::Header`] or [`RingError::Damaged`]: something else writes into this memory, or the other side is
    /// faulty.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn check(&self) -> Result<(), RingError> {
        self.indices.check()
    }
}
