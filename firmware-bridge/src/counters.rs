//! The totals of a session in C.

use bytemuck::{Pod, Zeroable};
use sonotrace::hal::frame::FRAME_FIELDS;
use sonotrace::hal::overlay::{RUNGS, Rung};
use sonotrace::session::{self as runtime, DropReason};

/// Totals since a session was opened, all as of the last step. Frames committed = `overlays` + all `dropped_` + frames that
/// are queued or in work; a frame that a commit evicts is counted by the next step. New fields of later versions are added at
/// the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct BridgeCounters {
    /// Overlays committed, one per frame.
    pub overlays: u64,
    /// Frames superseded by a newer one.
    pub dropped_superseded: u64,
    /// Frames that were refused when a step took them; `malformed_by_field` says why.
    pub dropped_malformed: u64,
    /// Frames not newer than a delivered one.
    pub dropped_out_of_order: u64,
    /// Frames that arrived while the image was frozen.
    pub dropped_frozen: u64,
    /// Frames still queued or in work when the session was closed.
    pub dropped_shut_down: u64,
    /// Overlays evicted before they were fetched.
    pub overlays_unfetched: u64,
    /// Overlays later than the budget.
    pub deadline_misses: u64,
    /// Part of `overlays`: those that repeat contours of an earlier frame, marked stale.
    pub repeats: u64,
    /// Further overlays of a frame that has one.
    pub updates: u64,
    /// Frames that never arrived: gaps in the sequence numbers.
    pub frames_missing: u64,
    /// Restarts of the stream.
    pub restarts: u64,
    /// Changes of geometry.
    pub geometry_changes: u64,
    /// Prompts served.
    pub prompts_served: u64,
    /// Prompts whose frame's features were no longer kept.
    pub prompts_too_old: u64,
    /// Prompts that could not be served for another reason.
    pub prompts_refused: u64,
    /// Prompts still unanswered when the session was closed.
    pub prompts_unanswered: u64,
    /// Invalid commands.
    pub bad_commands: u64,
    /// Steps so far. A watchdog can check that it grows.
    pub heartbeat: u64,
    /// Events that were evicted before they were fetched.
    pub events_lost: u64,
    /// Commits refused with `SONOTRACE_STATUS_FRAME`, as of the call; those frames are in no other counter.
    pub frames_refused: u64,
    /// `dropped_malformed` by the field that is wrong: index `SONOTRACE_FRAME_FIELD_`.
    pub malformed_by_field: [u64; FRAME_FIELDS],
    /// Replies to prompts that no fetched overlay had when the session was closed; 0 until then.
    pub answers_undelivered: u64,
    /// `overlays` by how much was computed for them: index `SONOTRACE_RUNG_`.
    pub overlays_by_rung: [u64; RUNGS],
    /// Frames with an overlay whose own contours were given up: a newer frame has another geometry, or is far newer.
    pub frames_abandoned: u64,
}

impl BridgeCounters {
    /// The session's totals. `frames_refused` is filled in when they are read.
    pub(crate) fn of(counters: &runtime::Counters, heartbeat: u64) -> Self {
        Self {
            overlays: counters.overlays,
            dropped_superseded: counters.dropped(DropReason::Superseded),
            dropped_malformed: counters.dropped(DropReason::Malformed),
            dropped_out_of_order: counters.dropped(DropReason::OutOfOrder),
            dropped_frozen: counters.dropped(DropReason::Frozen),
            dropped_shut_down: counters.dropped(DropReason::ShutDown),
            overlays_unfetched: counters.overlays_unfetched,
            deadline_misses: counters.deadline_misses,
            repeats: counters.rungs[Rung::Spread as usize] + counters.rungs[Rung::Repeat as usize],
            updates: counters.updates,
            frames_missing: counters.frames_missing,
            restarts: counters.restarts,
            geometry_changes: counters.geometry_changes,
            prompts_served: counters.prompts_served,
            prompts_too_old: counters.prompts_too_old,
            prompts_refused: counters.prompts_refused,
            prompts_unanswered: counters.prompts_unanswered,
            bad_commands: counters.bad_commands,
            heartbeat,
            events_lost: counters.events_lost,
            frames_refused: 0,
            malformed_by_field: counters.malformed,
            answers_undelivered: counters.answers_undelivered,
            overlays_by_rung: counters.rungs,
            frames_abandoned: counters.abandoned,
        }
    }
}

/// Number of counters.
pub(crate) const COUNTERS: usize = size_of::<BridgeCounters>() / 8;
