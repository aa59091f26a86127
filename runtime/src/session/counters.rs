//! Counts of the frames' outcomes.

use crate::hal::event::{DROP_REASONS, DropReason};
use crate::hal::frame::{FRAME_FIELDS, FrameField};
use crate::hal::overlay::RUNGS;

/// Totals since the session was opened. Invariant: committed frames = `overlays` + all `drops` + frames in the ring or
/// being processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Committed overlays, one per frame.
    pub overlays: u64,
    /// Frames without an overlay, by [`DropReason`].
    pub drops: [u64; DROP_REASONS],
    /// Overlays that the device did not fetch before they were evicted, or that found no free slot.
    pub overlays_unfetched: u64,
    /// Overlays that were later than the budget.
    pub deadline_misses: u64,
    /// Overlays by [`Rung`](crate::hal::overlay::Rung): how much was computed for them.
    pub rungs: [u64; RUNGS],
    /// Frames with an overlay whose own contours were given up, because a newer frame has another geometry or they came far too late.
    pub abandoned: u64,
    /// Further overlays of a frame that has one: of a frozen one, for prompts on it, or with contours that were not there in time.
    /// Not included in `overlays`.
    pub updates: u64,
    /// Gaps in the sequence numbers: frames lost or late. Dropped frames are not counted. (A frame that the ring evicts
    /// during a concurrent push may be counted.) Saturates.
    pub frames_missing: u64,
    /// Restarts of the stream.
    pub restarts: u64,
    /// Changes of geometry that needed a new sampling table.
    pub geometry_changes: u64,
    /// Prompts served.
    pub prompts_served: u64,
    /// Prompts on frames whose features were no longer kept.
    pub prompts_too_old: u64,
    /// Prompts outside the field of view, for more objects than there is room for, or for an unknown object.
    pub prompts_refused: u64,
    /// Prompts without a reply at the end of the scan.
    pub prompts_unanswered: u64,
    /// Malformed commands.
    pub bad_commands: u64,
    /// Malformed frames by the [`FrameField`] that is wrong: `drops` for [`DropReason::Malformed`], divided.
    pub malformed: [u64; FRAME_FIELDS],
    /// Events that nobody read before they were evicted, or that found no free slot.
    pub events_lost: u64,
    /// Replies to prompts that waited for another overlay at the end of the scan, because those that had them were evicted
    /// before they were fetched.
    pub answers_undelivered: u64,
}

impl Counters {
    /// Counts `frames` dropped frames for a reason.
    pub(super) fn drop_frames(&mut self, reason: DropReason, frames: u64) {
        self.drops[reason as usize] += frames;
    }

    /// Counts a malformed frame.
    pub(super) fn drop_malformed(&mut self, field: FrameField) {
        self.drop_frames(DropReason::Malformed, 1);
        self.malformed[field as usize] += 1;
    }

    /// Returns the number of frames dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Returns the number of frames with an outcome.
    pub fn outcomes(&self) -> u64 {
        self.overlays + self.drops.iter().sum::<u64>()
    }
}
