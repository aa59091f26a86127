//! The executor: runs a model's programs in fixed memory, in slices.
//!
//! * [`ExecutorLayout`]: size and layout of a model's memory.
//! * [`Executor`]: a verified model bound to such memory, with its active run.
//! * [`Helper`]: a further thread that runs tiles.

mod executor;
mod layout;
mod self_test;
mod team;

pub use executor::{ExecError, Executor, Progress};
pub use layout::{
    ExecutorConfig, ExecutorLayout, KEPT_FRAMES_MAX, MemoryRequired, REGION_ALIGN, THREADS_MAX,
    memory_required,
};
pub use team::Helper;
#[cfg(feature = "std")]
pub(crate) use team::with_helpers;
