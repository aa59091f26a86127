//! Size and layout of a model's memory, computed from the head of the file alone.

use super::team::Board;
use core::ops::Range;
use sonotrace_format::{BANKS_MAX, FileHeader, MEMORY_MAX, ModelError, TENSOR_ALIGN, read_header};
use sonotrace_kernels::BoundOp;
use sonotrace_kernels::arch::Instructions;

/// Alignment of an executor's region.
pub const REGION_ALIGN: usize = TENSOR_ALIGN as usize;
/// Maximum of [`ExecutorConfig::kept_frames`].
pub const KEPT_FRAMES_MAX: u32 = 64;
/// Maximum of [`ExecutorConfig::threads`].
pub const THREADS_MAX: u32 = 64;

const _: () = assert!(align_of::<BoundOp>() <= REGION_ALIGN && align_of::<Board<'_>>() <= REGION_ALIGN);

/// Settings of an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutorConfig {
    /// Number of frames whose features are kept, with one copy each in every bank that is kept per frame. 1 to
    /// [`KEPT_FRAMES_MAX`].
    pub kept_frames: u32,
    /// Number of threads that run tiles, including the caller's; each has its own scratch. 1 to [`THREADS_MAX`].
    pub threads: u32,
    /// Instruction set of the kernels.
    pub instructions: Instructions,
}

impl Default for ExecutorConfig {
    /// Returns one kept frame, one thread, the processor's fastest instruction set.
    fn default() -> Self {
        Self { kept_frames: 1, threads: 1, instructions: Instructions::best() }
    }
}

/// Size and alignment of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRequired {
    /// Bytes.
    pub bytes: usize,
    /// Alignment of its start, bytes.
    pub align: usize,
}

/// Byte ranges of the parts of an executor's region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorLayout {
    /// Copies of each bank, back to back; empty for banks that the model does not have.
    pub banks: [Range<usize>; BANKS_MAX],
    /// Scratch shared by all programs.
    pub scratch: Range<usize>,
    /// Scratch of each thread, back to back.
    pub thread_scratch: Range<usize>,
    /// Bound operations.
    pub ops: Range<usize>,
    /// What the threads share.
    pub(super) board: Range<usize>,
}

impl ExecutorLayout {
    /// Computes the layout for a model with this header.
    ///
    /// # Errors
    /// [`ModelError::Limit`] if the configuration is outside its limits or the sum does not fit the address space.
    pub fn new(header: &FileHeader, config: &ExecutorConfig) -> Result<Self, ModelError> {
        for (what, seen, limit) in [
            ("kept_frames (at least 1)", config.kept_frames, KEPT_FRAMES_MAX),
            ("threads (at least 1)", config.threads, THREADS_MAX),
        ] {
            if seen == 0 || seen > limit {
                return Err(ModelError::Limit { what, seen: seen.into(), limit: limit.into() });
            }
        }
        let mut end = 0usize;
        let mut take = |count: u64, bytes: u64| {
            let from = end;
            let whole =
                count.checked_mul(bytes).and_then(|bytes| bytes.checked_next_multiple_of(TENSOR_ALIGN));
            let whole = whole.and_then(|bytes| usize::try_from(bytes).ok());
            end = whole.and_then(|bytes| from.checked_add(bytes)).ok_or(ModelError::Limit {
                what: "memory of the model",
                seen: bytes,
                limit: usize::MAX as u64,
            })?;
            Ok(from..end)
        };
        let mut banks = [const { 0..0 }; BANKS_MAX];
        for (range, bank) in banks.iter_mut().zip(header.banks()) {
            *range = take(bank.copies(config.kept_frames).into(), bank.copy_bytes)?;
        }
        let layout = Self {
            banks,
            scratch: take(1, header.scratch_bytes)?,
            thread_scratch: take(config.threads.into(), header.thread_scratch_bytes)?,
            ops: take(header.op_count.into(), size_of::<BoundOp>() as u64)?,
            board: take(1, size_of::<Board<'_>>() as u64)?,
        };
        let (what, seen) = ("memory of the model in bytes", layout.board.end as u64);
        if seen > MEMORY_MAX {
            return Err(ModelError::Limit { what, seen, limit: MEMORY_MAX });
        }
        Ok(layout)
    }

    /// Returns the size and alignment of the whole region.
    pub fn required(&self) -> MemoryRequired {
        MemoryRequired { bytes: self.board.end, align: REGION_ALIGN }
    }
}

/// Returns the memory that an executor needs for the model whose file starts with `head` (its first 4096 bytes).
/// Weights stay in the file and are not counted.
///
/// # Errors
/// The first error in the header or the configuration.
pub fn memory_required(head: &[u8], config: &ExecutorConfig) -> Result<MemoryRequired, ModelError> {
    Ok(ExecutorLayout::new(&read_header(head)?, config)?.required())
}
