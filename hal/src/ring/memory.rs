//! The one place where caller memory becomes a ring: the control part as references to atomics, and slots as bytes.
//! All unsafe code of the rings is here.

use super::RingError;
use super::layout::{ALIGN, CONTROL_BYTES, Layout};
use super::protocol::{Control, ControlBlock, IndexConsumer, IndexProducer};
use crate::sync::AtomicU32;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::slice;

const _: () = assert!(size_of::<ControlBlock>() == CONTROL_BYTES && align_of::<ControlBlock>() == ALIGN);

/// A region that holds a ring for as long as `'a`.
#[derive(Clone, Copy)]
pub struct RingMemory<'a> {
    control: Control<'a>,
    slots: SlotMemory<'a>,
}

/// The slots of a ring.
#[derive(Clone, Copy)]
pub struct SlotMemory<'a> {
    first: NonNull<u8>,
    slot_bytes: usize,
    slot_stride: usize,
    region: PhantomData<&'a [u8]>,
}

// SAFETY: this is no more than an address and sizes. The bytes are reached only through `SlotMemory::filling` and
// `SlotMemory::held`, by the one thread that has the side's handle.
unsafe impl Send for SlotMemory<'_> {}
// SAFETY: as for `Send`; copies of it in several threads hand out nothing without a side's handle.
unsafe impl Sync for SlotMemory<'_> {}

/// A region that other processes may map too, or that a foreign producer writes.
pub struct SharedRegion<'a> {
    base: NonNull<u8>,
    bytes: usize,
    region: PhantomData<&'a mut [u8]>,
}

impl<'a> SharedRegion<'a> {
    /// Takes the caller's word for a region.
    ///
    /// # Safety
    /// For all of `'a` the bytes are initialised and can be read and written. Everyone who accesses them does so only
    /// through this protocol (this crate, or a producer on bare metal that follows it), as one producer and one
    /// consumer; and nobody else does while a ring is created in them. Header and indices are checked nevertheless: a
    /// faulty other side can harm the bytes of slots, but reaches nothing outside the region.
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

impl<'a> RingMemory<'a> {
    /// Lays out an empty ring whose positions start at `position`.
    pub fn create(region: &SharedRegion<'a>, layout: &Layout, position: u32) -> Result<Self, RingError> {
        let needed = layout.region_bytes as usize;
        region.check(needed)?;
        // SAFETY: the region is at least this long (checked above), and writable, and nobody else uses it while a ring
        // is created, as it was made for.
        unsafe { region.base.write_bytes(0, needed) };
        // SAFETY: the region is big enough and aligned (checked above).
        let memory = unsafe { Self::view(region, layout) };
        memory.control.format(layout, position);
        Ok(memory)
    }

    /// The ring that lies in a region, if its header is right in every word. Nothing is changed.
    pub fn attach(region: &SharedRegion<'a>, content: u32) -> Result<(Self, Layout), RingError> {
        region.check(CONTROL_BYTES)?;
        // SAFETY: aligned and big enough (checked above), initialised and valid for 'a; others access it as atomics.
        let block: &'a ControlBlock = unsafe { region.base.cast().as_ref() };
        let layout = Layout::from_header(&block.header(), content)?;
        region.check(layout.region_bytes as usize)?;
        // SAFETY: the region is big enough for this layout and aligned (checked above).
        Ok((unsafe { Self::view(region, &layout) }, layout))
    }

    /// The parts of a ring.
    ///
    /// # Safety
    /// The region is aligned and has `layout.region_bytes` bytes.
    unsafe fn view(region: &SharedRegion<'a>, layout: &Layout) -> Self {
        // SAFETY: aligned and inside the region by the caller's word; initialised, valid for 'a and accessed as
        // atomics alone by everyone, as a shared region is.
        let block: &'a ControlBlock = unsafe { region.base.cast().as_ref() };
        // SAFETY: a layout puts these cells inside its region, aligned, apart from all other parts.
        let ready = unsafe { cells(region.base, layout.ready_offset, layout.ready_cells) };
        // SAFETY: as for the ready queue's cells.
        let free = unsafe { cells(region.base, layout.free_offset, layout.free_cells) };
        // SAFETY: a layout puts the slots inside its region.
        let first = unsafe { region.base.add(layout.slots_offset as usize) };
        let slots = SlotMemory {
            first,
            slot_bytes: layout.slot_bytes as usize,
            slot_stride: layout.slot_stride as usize,
            region: PhantomData,
        };
        Self { control: Control::new(block, ready, free, layout), slots }
    }

    /// The control part.
    pub fn control(&self) -> &Control<'a> {
        &self.control
    }

    /// The slots.
    pub fn slots(&self) -> SlotMemory<'a> {
        self.slots
    }
}

/// The cells of a queue.
///
/// # Safety
/// `count` words from `offset` lie inside a [`SharedRegion`] of lifetime `'a`, aligned, and hold no part of a slot.
unsafe fn cells<'a>(base: NonNull<u8>, offset: u32, count: u32) -> &'a [AtomicU32] {
    // SAFETY: inside the region by the caller's word.
    let first = unsafe { base.add(offset as usize) };
    // SAFETY: aligned and inside by the caller's word; initialised, and accessed as atomics alone by everyone.
    unsafe { slice::from_raw_parts(first.cast().as_ptr(), count as usize) }
}

impl SlotMemory<'_> {
    fn slot(&self, index: u32) -> NonNull<u8> {
        // SAFETY: both callers have the index from a side's handle of this same ring, which has checked that it is
        // below the slot count; so this is inside the region.
        unsafe { self.first.add(index as usize * self.slot_stride) }
    }

    /// The slot that `producer`, which is of this same ring, fills now; nothing can be committed while the bytes are
    /// borrowed except through the returned handle, which ends that borrow.
    #[inline]
    pub(super) fn filling<'p, 'a>(
        &self,
        producer: &'p mut IndexProducer<'a>,
    ) -> Result<SlotMut<'p, 'a>, RingError> {
        let slot = self.slot(producer.acquire()?);
        // SAFETY: slots do not overlap, and this one is inside the region and initialised. The protocol gives an
        // index to one owner at a time: between its acquire and its commit to the producer, whose handle is borrowed
        // mutably for as long as these bytes. The last owner's reads come before (pair B).
        let bytes = unsafe { slice::from_raw_parts_mut(slot.as_ptr(), self.slot_bytes) };
        Ok(SlotMut { producer, bytes })
    }

    /// The slot that `consumer`, which is of this same ring, holds now.
    #[inline]
    pub(super) fn held<'c>(&self, consumer: &'c IndexConsumer<'_>) -> Option<&'c [u8]> {
        let slot = self.slot(consumer.held()?);
        // SAFETY: as in `filling`: between its take and its release the index is the consumer's, whose handle is
        // borrowed for as long as these bytes, and both take and release borrow the handle mutably. The producer's
        // writes come before (pair A).
        Some(unsafe { slice::from_raw_parts(slot.as_ptr(), self.slot_bytes) })
    }
}

/// A slot being filled. Dropped without a commit it stays with the producer, with what was written, for the next
/// acquire.
pub struct SlotMut<'p, 'a> {
    pub(super) producer: &'p mut IndexProducer<'a>,
    pub(super) bytes: &'p mut [u8],
}
