//! How much memory a model needs, from its head alone, and where each part of it lies.

use core::ops::Range;
use sonotrace_format::{BANKS_MAX, FileHeader, ModelError, TENSOR_ALIGN, read_header};
use sonotrace_kernels::BoundOp;

/// Alignment of the region that an executor runs in.
pub const REGION_ALIGN: usize = TENSOR_ALIGN as usize;
/// Most frames whose features are kept.
pub const KEPT_FRAMES_MAX: u32 = 64;
/// Most threads that run tiles.
pub const THREADS_MAX: u32 = 64;

const _: () = assert!(align_of::<BoundOp>() <= REGION_ALIGN);

/// What an executor is told before the first run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutorConfig {
    /// Frames whose features are kept: copies of the banks that have one for each. 1 to [`KEPT_FRAMES_MAX`].
    pub kept_frames: u32,
    /// Threads that run tiles, the caller's included; each has scratch of its own. 1 to [`THREADS_MAX`].
    pub threads: u32,
}

impl Default for ExecutorConfig {
    /// One kept frame, one thread.
    fn default() -> Self {
        Self { kept_frames: 1, threads: 1 }
    }
}

/// Size and alignment of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRequired {
    /// Bytes.
    pub bytes: usize,
    /// Its start is a multiple of this.
    pub align: usize,
}

/// Where each part of an executor's region lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorLayout {
    /// The copies of each bank, one after the other; empty for banks that the model does not have.
    pub banks: [Range<usize>; BANKS_MAX],
    /// Scratch that the programs share.
    pub scratch: Range<usize>,
    /// Scratch of the threads, one after the other.
    pub thread_scratch: Range<usize>,
    /// Bound operations.
    pub ops: Range<usize>,
}

impl ExecutorLayout {
    /// The layout for a model with this header.
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
        Ok(Self {
            banks,
            scratch: take(1, header.scratch_bytes)?,
            thread_scratch: take(config.threads.into(), header.thread_scratch_bytes)?,
            ops: take(header.op_count.into(), size_of::<BoundOp>() as u64)?,
        })
    }

    /// Size and alignment of the whole.
    pub fn required(&self) -> MemoryRequired {
        MemoryRequired { bytes: self.ops.end, align: REGION_ALIGN }
    }
}

/// Memory that an executor needs for the model whose file starts with `head` (its first 4096 bytes). Weights stay in the file
/// and are not counted.
///
/// # Errors
/// What is wrong with the header or the configuration.
pub fn memory_required(head: &[u8], config: &ExecutorConfig) -> Result<MemoryRequired, ModelError> {
    Ok(ExecutorLayout::new(&read_header(head)?, config)?.required())
}
