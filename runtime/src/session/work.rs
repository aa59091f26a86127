//! The frame that is processed.

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
    pub geometry_epoch: u32,
    /// Number of the frame, counting processed frames from 1.
    pub frame: u64,
    /// Its feature slot.
    pub slot: u32,
    /// Whether the objects were followed to it.
    pub is_followed: bool,
    /// The objects whose contours are drawn.
    pub to_draw: Objects,
    pub stage_ns: [u64; STAGES],
    /// Bits of [`crate::hal::overlay::overlay_flags`].
    pub flags: u32,
}
