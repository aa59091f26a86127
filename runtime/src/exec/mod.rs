//! The plan executor: runs a model's programs in memory that was fixed beforehand, in slices that can be stopped.
//!
//! * [`ExecutorLayout`]: how much memory a model needs and where each part of it lies.
//! * [`Executor`]: a verified model bound to such memory; owns the one run that is active.
//! * [`Claims`], [`Job`]: one operation, whose tiles any number of threads claim.

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
