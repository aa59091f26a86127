//! What the sonographer points at.

use crate::hal::geometry::Point;

/// The space that a point is given in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// The probe's plane: millimetres, or source pixels where the scale is unknown.
    Plane,
    /// Line (y) and sample (x) of the frame; for a picture its row and column.
    LineSample,
    /// Pixels of the declared display raster.
    Display,
}

/// What is pointed at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PromptKind {
    /// One click.
    Click {
        /// Where.
        at: Point,
        /// Inside the object (true), or on something that is not part of it.
        is_positive: bool,
    },
    /// A box around the object.
    Box {
        /// One corner.
        from: Point,
        /// The opposite one.
        to: Point,
    },
    /// Follow this object no longer.
    Remove,
}

/// A prompt. It names the frame that it was made on, which is not the newest by the time it arrives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prompt {
    /// The device's number for the object, from 1. A new number begins a new object; a known one corrects it.
    pub object: u32,
    /// Sequence number of the frame that was on the screen; 0 for the next frame, whichever it is.
    pub seq: u64,
    /// Space of the points.
    pub space: Space,
    /// What is pointed at.
    pub kind: PromptKind,
}

/// Why a prompt was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// More prompts than frames: all places are taken.
    #[error("{PROMPTS_WAITING_MAX} prompts are waiting already: send no more than one a frame")]
    QueueFull,
    /// Objects are numbered from 1.
    #[error("object number 0 is not allowed: number objects from 1")]
    ObjectZero,
    /// A coordinate is not a number.
    #[error("a prompt's coordinate is not finite")]
    NotFinite,
}

/// Prompts that can wait for the next frame.
pub const PROMPTS_WAITING_MAX: usize = 16;

impl Prompt {
    /// Checks what can be checked without a frame.
    pub(super) fn check(&self) -> Result<(), PromptError> {
        if self.object == 0 {
            return Err(PromptError::ObjectZero);
        }
        let is_finite = |point: Point| point.x.is_finite() && point.y.is_finite();
        let all_finite = match self.kind {
            PromptKind::Click { at, .. } => is_finite(at),
            PromptKind::Box { from, to } => is_finite(from) && is_finite(to),
            PromptKind::Remove => true,
        };
        if all_finite { Ok(()) } else { Err(PromptError::NotFinite) }
    }
}
