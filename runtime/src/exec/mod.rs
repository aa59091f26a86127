//! The executor: runs a model's programs in fixed memory, in slices.
//!
//! * [`ExecutorLayout`]: size and layout of a model's memory.
//! * [`Executor`]: a verified model bound to such memory, with its active run.
//! * [`Claims`], [`Job`]: an operation whose tiles are claimed by several threads.

mod claims;
mod executor;
mod layout;
mod self_test;

pub use claims::{Claims, Job};
pub use executor::{ExecError, Executor, Progress};
pub use layout::{
    ExecutorConfig, ExecutorLayout, KEPT_FRAMES_MAX, MemoryRequired, REGION_ALIGN, THREADS_MAX,
    memory_required,
};
