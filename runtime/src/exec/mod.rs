//! The plan executor: runs a model's programs in memory that was fixed beforehand, in slices that can be stopped.
//!
//! * [`MemoryLayout`]: how much memory a model needs and where each part of it lies.
//! * [`Executor`]: binds a verified model to such memory.
//! * [`Job`]: one operation, whose tiles any number of threads claim from one atomic counter.

mod arena;
mod executor;
mod job;
mod layout;

pub use executor::{ExecError, Executor, Progress, Run};
pub use job::Job;
pub use layout::{KEPT_FRAMES_MAX, MemoryLayout, MemoryRequired, REGION_ALIGN, memory_required};
