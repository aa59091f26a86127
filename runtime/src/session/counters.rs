//! What became of every frame, counted.

/// Why a frame brought no overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum DropReason {
    /// A newer frame was there: given back by the ring, or passed over by [`super::Policy::Newest`].
    Superseded = 0,
    /// Its descriptor or payload was refused.
    Malformed = 1,
    /// Its sequence number or time was not later than a delivered frame's.
    OutOfOrder = 2,
    /// The image is frozen.
    Frozen = 3,
    /// The session ended before its turn came.
    ShutDown = 4,
}

/// Number of reasons.
pub const DROP_REASONS: usize = 5;

impl DropReason {
    /// All reasons, in the order of [`Counters::drops`].
    pub const ALL: [Self; DROP_REASONS] =
        [Self::Superseded, Self::Malformed, Self::OutOfOrder, Self::Frozen, Self::ShutDown];

    /// Its name in lower case, as in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Malformed => "malformed",
            Self::OutOfOrder => "out_of_order",
            Self::Frozen => "frozen",
            Self::ShutDown => "shut_down",
        }
    }
}

/// Totals since the session was opened. Always: frames committed = `overlays` + all `drops` + frames still in the ring
/// or in work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Overlays committed, one a frame.
    pub overlays: u64,
    /// Frames without an overlay, by [`DropReason`].
    pub drops: [u64; DROP_REASONS],
    /// Overlays that the device did not fetch before they were given back.
    pub overlays_unfetched: u64,
    /// Overlays that were later than the budget.
    pub deadline_misses: u64,
    /// Of `overlays`: those that repeat contours of an earlier frame, because the sampling table of a new geometry was
    /// not yet whole.
    pub repeats: u64,
    /// Further overlays of a frozen frame, for the prompts made on it; not among `overlays`.
    pub updates: u64,
    /// Frames that had not come when later ones did, by their numbers: lost, or late. Those that were dropped do not
    /// count. (While the other side is in a call, one that was given back at that moment may count here.) Stays at the most
    /// that can be counted.
    pub frames_missing: u64,
    /// Times that the stream began again.
    pub restarts: u64,
    /// Times that a sampling table was begun for another geometry.
    pub geometry_changes: u64,
    /// Prompts served.
    pub prompts_served: u64,
    /// Prompts whose frame's features were no longer kept.
    pub prompts_too_old: u64,
    /// Prompts outside the field of view, for one object too many, or for an object that is not there.
    pub prompts_refused: u64,
    /// Prompts that the end of the scan left unanswered.
    pub prompts_unanswered: u64,
    /// Commands that had no meaning.
    pub bad_commands: u64,
}

impl Counters {
    /// Counts `frames` more as dropped for a reason.
    pub(super) fn drop_frames(&mut self, reason: DropReason, frames: u64) {
        self.drops[reason as usize] += frames;
    }

    /// Frames dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Frames that have had their one outcome.
    pub fn outcomes(&self) -> u64 {
        self.overlays + self.drops.iter().sum::<u64>()
    }
}
