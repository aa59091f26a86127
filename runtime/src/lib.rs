//! sonotrace: draws and follows anatomy on live ultrasound, in memory that was fixed before the first frame.
//!
//! * [`model`]: the model file, parsed and verified once, used in place.
//! * [`exec`]: the planned programs of a model, run in slices that can be stopped.
//! * [`kernels`]: what the operations compute; portable, and the reference for any faster one.
//! * [`vision`]: from samples to the network's input, and from its answer to contours and measures.
//! * [`session`]: one scan: frames in, prompts in, overlays out.
//! * `region`, `file` (feature `std`): locked memory and mapped model files.
//!
//! Without the default feature `std` the crate is `no_std`. Nothing here allocates after a session has started.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(sonotrace_rtsan, feature(sanitize))]

pub mod exec;
#[cfg(feature = "std")]
pub mod file;
pub mod kernels;
pub mod model;
#[cfg(feature = "std")]
pub mod region;
pub mod session;
pub mod vision;

pub use sonotrace_hal as hal;

/// The library's version, `major.minor.patch`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
