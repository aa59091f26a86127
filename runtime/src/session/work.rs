//! The frame that is processed.

use super::costs::Done;
use super::overlay::Target;
use crate::hal::overlay::STAGES;
use crate::tracking::Objects;

/// A frame that is processed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub seq: u64,
    pub t_acq_ns: u64,
    pub t_commit_ns: u64,
    /// Start of the overlay's latency: the commit of the frame, or the time when a prompt was read.
    pub t_asked_ns: u64,
    /// Time by which its overlay is committed, with the contours of an earlier frame if its own are not there yet.
    pub publish_by_ns: u64,
    /// When it was worked on last.
    pub t_worked_ns: u64,
    pub geometry_epoch: u32,
    /// Its geometry and display.
    pub target: Target,
    /// Number of the frame, counting processed frames from 1.
    pub frame: u64,
    /// Its feature slot.
    pub slot: u32,
    /// Whether its overlay is committed: its own contours follow with a later one.
    pub is_shown: bool,
    /// Whether the objects were followed to it.
    pub is_followed: bool,
    /// The objects whose contours are drawn.
    pub to_draw: Objects,
    pub stage_ns: [u64; STAGES],
    pub done: Done,
    /// Bits of [`crate::hal::overlay::overlay_flags`].
    pub flags: u32,
}
