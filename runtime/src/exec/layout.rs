//! How much memory a model needs, from its header alone, and where each part of it lies.

use crate::model::format::{FileHeader, TENSOR_ALIGN};
use crate::model::{ModelError, read_header};
use core::ops::Range;

/// Alignment of the region that an executor runs in.
pub const REGION_ALIGN: usize = TENSOR_ALIGN as usize;
/// Most frames whose features are kept.
pub const KEPT_FRAMES_MAX: u32 = 64;

/// Size and alignment of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRequired {
    /// Bytes.
    pub bytes: usize,
    /// Its start is a multiple of this.
    pub align: usize,
}

/// Where each part of an executor's region lies: persistent state first, then the scratch that all programs share, then
/// the scratch of the thread that runs tiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryLayout {
    /// State that exists once.
    pub session_state: Range<usize>,
    /// State that exists once per kept frame, one copy after the other.
    pub frame_states: Range<usize>,
    /// One copy of the latter.
    pub frame_state_bytes: usize,
    /// Scratch of the programs.
    pub scratch: Range<usize>,
    /// Scratch of the thread.
    pub thread_scratch: Range<usize>,
}

impl MemoryLayout {
    /// The layout for a model with this header that keeps the features of `kept_frames` frames (1 to
    /// [`KEPT_FRAMES_MAX`]).
    ///
    /// # Errors
    /// [`ModelError::Limit`] if `kept_frames` is outside its limits or the sum does not fit the address space.
    pub fn new(header: &FileHeader, kept_frames: u32) -> Result<Self, ModelError> {
        if kept_frames == 0 || kept_frames > KEPT_FRAMES_MAX {
            let limit = KEPT_FRAMES_MAX.into();
            return Err(ModelError::Limit {
                what: "kept_frames (at least 1)",
                seen: kept_frames.into(),
                limit,
            });
        }
        let mut end = 0usize;
        let mut take = |bytes: u64| {
            let from = end;
            end = usize::try_from(bytes).ok().and_then(|bytes| from.checked_add(bytes)).ok_or(
                ModelError::Limit { what: "memory of the model", seen: bytes, limit: usize::MAX as u64 },
            )?;
            Ok(from..end)
        };
        Ok(Self {
            session_state: take(header.session_state_bytes)?,
            frame_states: take(header.frame_state_bytes * u64::from(kept_frames))?,
            frame_state_bytes: header.frame_state_bytes as usize,
            scratch: take(header.scratch_bytes)?,
            thread_scratch: take(header.thread_scratch_bytes)?,
        })
    }

    /// Size and alignment of the whole.
    pub fn required(&self) -> MemoryRequired {
        MemoryRequired { bytes: self.thread_scratch.end, align: REGION_ALIGN }
    }
}

/// Memory that an executor needs for the model whose file starts with `head` (its first 4096 bytes), keeping the
/// features of `kept_frames` frames. Weights stay in the file and are not counted.
///
/// # Errors
/// What is wrong with the header, or `kept_frames` outside its limits.
pub fn memory_required(head: &[u8], kept_frames: u32) -> Result<MemoryRequired, ModelError> {
    Ok(MemoryLayout::new(&read_header(head)?, kept_frames)?.required())
}
