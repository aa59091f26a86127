//! sonotrace: segments and tracks anatomy on live ultrasound, in memory fixed before the first frame.
//!
//! * [`format`](mod@format): the model file, parsed and verified once, used in place.
//! * [`kernels`]: the kernels of its operations.
//! * [`exec`]: runs its programs, in slices.
//! * [`vision`]: computes the network's input from samples, and contours and measures from its output.
//! * [`tracking`]: decides what is remembered of followed objects, and how far their masks are to be trusted.
//! * [`session`]: one scan: takes frames and prompts, delivers overlays.
//! * [`memory`]: the caller's memory; `region`, `file` (feature `std`): locked memory and mapped model files.
//! * `realtime` (feature `std`): priority and cores of threads, and what the system refuses.
//!
//! Without the default feature `std` the crate is `no_std`. Nothing here allocates after a session has started.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(sonotrace_rtsan, feature(sanitize))]

pub mod exec;
#[cfg(feature = "std")]
pub mod file;
mod float_environment;
pub mod memory;
#[cfg(feature = "std")]
pub mod realtime;
#[cfg(feature = "std")]
pub mod region;
pub mod session;
pub mod tracking;
pub mod vision;

pub use sonotrace_format as format;
pub use sonotrace_hal as hal;
pub use sonotrace_kernels as kernels;

/// The library's version, `major.minor.patch`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

// A session and its executor can be moved to another thread.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<memory::RawRegion<'static>>();
    is_send::<exec::Executor<'static>>();
    is_send::<session::Session<'static, hal::clock::ManualClock>>();
};
