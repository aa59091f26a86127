//! Which copies of the banks hold what the tracker remembers.
//!
//! A slot of the long-term memory holds the reference of some objects: the frame on which the user drew them. Tracking begins with
//! a reference in slot 0; an object that is added later gets a reference of its own. The slots that hold no reference are a ring of
//! frames: one in every few frames is stored, and each frame that the user corrected. The short-term memory is the previous
//! frame. The anchor, whose masks are warped to later frames, is the reference at first. It is replaced by each frame that
//! the user corrected, and by one with trusted masks that its own masks, warped, no longer fit.
//!
//! When each slot holds a reference, one more takes over a slot: that of objects which the frame of the new reference knows, too.
//! Their reference is that frame from then on.
//!
//! A memory knows the objects whose masks on its frame are to be learnt from. A frame without any such mask leaves all of
//! this as it was, and the next frame is tracked from the last one that was remembered.
//!
//! [`Memory`] is a small value that names copies. A frame is worked on with the memory of the frame before, and with copies
//! that this memory does not name; accepting it replaces the value, abandoning it leaves the value.

use super::Objects;
use crate::format::TrackingRecord;

/// Slots of the long-term memory.
pub const SLOTS: usize = 4;
/// Memories that know objects: the slots, the previous frame, the anchor.
pub const MEMORIES: usize = SLOTS + 2;
/// Copies of memories that are in use at once: the slots, the previous frame, and the frame in work.
pub const MEMORY_COPIES: u32 = SLOTS as u32 + 2;

/// A remembered frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// Its copy in the bank of memories.
    pub copy: u32,
    /// The objects that it knows. It knows the background, too.
    pub known: Objects,
}

/// The anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Its copy in the bank of features.
    pub features: u32,
    /// Its copy in the bank of shares.
    pub shares: u32,
    /// The objects that it knows.
    pub known: Objects,
    /// Frames since.
    pub age: u32,
}

/// The copies that a frame in work has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameCopies {
    /// In the bank of features.
    pub features: u32,
    /// In the bank of memories.
    pub memory: u32,
    /// In the bank of motion.
    pub motion: u32,
    /// In the bank of shares.
    pub shares: u32,
}

/// What is remembered after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The long-term memories, the reference first.
    slots: [Option<Remembered>; SLOTS],
    /// The objects whose reference each slot holds.
    references: [Objects; SLOTS],
    /// The short-term memory.
    previous: Remembered,
    anchor: Anchor,
    /// Copy in the bank of motion: the motion up to the previous frame.
    so_far: u32,
    /// Slot from which the next one to be written is searched, and the one that was written last.
    next: usize,
    last: usize,
    /// Remembered frames since a slot was written.
    since_stored: u32,
}

impl Memory {
    /// Returns the memory of a reference: a frame with known masks of these objects. Its motion is zero.
    pub fn of_reference(frame: &FrameCopies, known: Objects) -> Self {
        let reference = Remembered { copy: frame.memory, known };
        let mut slots = [None; SLOTS];
        slots[0] = Some(reference);
        let anchor = Anchor { features: frame.features, shares: frame.shares, known, age: 0 };
        let mut references = [Objects::default(); SLOTS];
        references[0] = known;
        Self {
            slots,
            references,
            previous: reference,
            anchor,
            so_far: frame.motion,
            next: 1,
            last: 1,
            since_stored: 0,
        }
    }

    /// Returns the long-term memories, the reference first.
    pub fn slots(&self) -> &[Option<Remembered>; SLOTS] {
        &self.slots
    }

    /// Returns the objects whose reference each slot holds.
    pub fn references(&self) -> &[Objects; SLOTS] {
        &self.references
    }

    /// Returns the short-term memory.
    pub fn previous(&self) -> Remembered {
        self.previous
    }

    /// Returns the anchor.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// Returns the copy of the motion up to the previous frame.
    pub fn so_far(&self) -> u32 {
        self.so_far
    }

    /// Returns the objects that each memory knows, in the tracker's order; `None` for an empty slot.
    pub fn known(&self) -> [Option<Objects>; MEMORIES] {
        let mut known = [None; MEMORIES];
        for (known, slot) in known.iter_mut().zip(&self.slots) {
            *known = slot.map(|slot| slot.known);
        }
        known[SLOTS] = Some(self.previous.known);
        known[SLOTS + 1] = Some(self.anchor.known);
        known
    }

    /// Returns a copy in the bank of memories that nothing is remembered in.
    pub fn free_memory(&self) -> u32 {
        let is_free =
            |copy| self.previous.copy != copy && self.slots.iter().flatten().all(|slot| slot.copy != copy);
        (0..MEMORY_COPIES).find(|&copy| is_free(copy)).unwrap_or(MEMORY_COPIES - 1)
    }

    /// Returns the copy in the bank of motion, of two, that the next frame writes.
    pub fn free_motion(&self) -> u32 {
        1 - self.so_far.min(1)
    }

    /// Returns the copy in the bank of shares, of two, that the next frame writes.
    pub fn free_shares(&self) -> u32 {
        1 - self.anchor.shares.min(1)
    }

    /// A frame has passed: to be called once for each tracked frame, before it is remembered.
    pub fn pass(&mut self) {
        self.anchor.age = self.anchor.age.saturating_add(1);
    }

    /// Returns whether the anchor is old enough to be replaced.
    pub fn anchor_is_due(&self, rules: &TrackingRecord) -> bool {
        self.anchor.age >= rules.anchored_every
    }

    /// Remembers a tracked frame with the masks of these objects, at least one. `anchors`: it becomes the anchor; the caller
    /// then sets the flow of its motion to zero.
    pub fn remember(&mut self, rules: &TrackingRecord, frame: &FrameCopies, objects: Objects, anchors: bool) {
        self.previous = Remembered { copy: frame.memory, known: objects };
        self.so_far = frame.motion;
        if anchors {
            self.set_anchor(frame);
        }
        self.since_stored += 1;
        if self.since_stored >= rules.kept_every
            && let Some(slot) = self.unpinned()
        {
            self.store(slot);
        }
    }

    /// Replaces the masks of the last frame by the user's: it becomes the previous frame and the anchor, and is stored; references
    /// stay. The caller sets the flow of its motion, `so_far`, to zero.
    ///
    /// If the frame was remembered already, its memory is written again, in the same copy.
    ///
    /// `new`: among `objects`, the one whose reference the frame becomes, if any; [`Self::room_to_correct`] must have told that there
    /// is a slot for it. Without one the frame is not stored.
    pub fn correct(&mut self, frame: &FrameCopies, objects: Objects, new: Option<usize>) {
        self.previous = Remembered { copy: frame.memory, known: objects };
        self.set_anchor(frame);
        let slot = match new {
            Some(_) => self.room_to_correct(objects),
            // It was just stored with its wrong masks.
            None if self.since_stored == 0 => Some(self.last),
            None => self.unpinned(),
        };
        let Some(slot) = slot else { return };
        if let Some(place) = new {
            self.forget_in_slots(place);
            self.references[slot] = self.references[slot].with(place);
        }
        self.store(slot);
    }

    /// Stores an earlier frame, on which the user drew one object, as the object's reference. What else is remembered of the object
    /// is forgotten. Without room ([`Self::room_for`]) nothing changes.
    pub fn insert(&mut self, copy: u32, place: usize) {
        let known = Objects::default().with(place);
        let Some(slot) = self.room_for(known) else { return };
        self.forget(place);
        self.references[slot] = known;
        self.slots[slot] = Some(Remembered { copy, known });
        if slot == self.last {
            // It no longer holds the previous frame.
            self.since_stored = self.since_stored.max(1);
        }
        self.next = (slot + 1) % SLOTS;
    }

    /// Forgets an object: nothing knows it any more, and its place can be another object's.
    pub fn forget(&mut self, place: usize) {
        self.forget_in_slots(place);
        self.previous.known = self.previous.known.without(place);
        self.anchor.known = self.anchor.known.without(place);
    }

    fn forget_in_slots(&mut self, place: usize) {
        for (slot, references) in self.slots.iter_mut().zip(&mut self.references) {
            *references = references.without(place);
            *slot = slot.map(|slot| Remembered { known: slot.known.without(place), ..slot });
        }
    }

    /// The anchor knows no object until it is replaced: the frames from now on have another geometry.
    pub fn drop_anchor(&mut self) {
        self.anchor.known = Objects::default();
    }

    /// Returns the slot for the reference of a frame that knows these objects: one without a reference, or else one whose objects
    /// the frame knows, too.
    pub fn room_for(&self, objects: Objects) -> Option<usize> {
        let is_known = |slot: &usize| self.references[*slot].and(objects) == self.references[*slot];
        self.unpinned().or_else(|| self.slots_in_order().find(is_known))
    }

    /// Returns the slot for the last frame when it is corrected and becomes a reference: the one that holds it, or else one for
    /// these objects.
    pub fn room_to_correct(&self, objects: Objects) -> Option<usize> {
        if self.since_stored == 0 { Some(self.last) } else { self.room_for(objects) }
    }

    /// The next slot that holds no reference.
    fn unpinned(&self) -> Option<usize> {
        self.slots_in_order().find(|&slot| self.references[slot].is_empty())
    }

    /// The slots, in order from the next one.
    fn slots_in_order(&self) -> impl Iterator<Item = usize> + use<> {
        let next = self.next;
        (0..SLOTS).map(move |at| (next + at) % SLOTS)
    }

    fn set_anchor(&mut self, frame: &FrameCopies) {
        let known = self.previous.known;
        self.anchor = Anchor { features: frame.features, shares: frame.shares, known, age: 0 };
    }

    /// Stores the short-term memory in a slot.
    fn store(&mut self, slot: usize) {
        self.slots[slot] = Some(self.previous);
        self.since_stored = 0;
        self.last = slot;
        self.next = (slot + 1) % SLOTS;
    }
}
