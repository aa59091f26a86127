//! The interface between an ultrasound front end and the sonotrace runtime.
//!
//! * [`frame`]: the descriptor that comes with every frame, and its check.
//! * [`geometry`]: conversion between samples and the probe's plane.
//! * [`overlay`]: the result for a frame: contours, measures, states, ages.
//! * [`command`]: commands of the device while a scan runs: prompts, freezing.
//! * [`event`]: a log of fixed-size events, to be read by people later.
//! * [`ring`]: lock-free single-producer single-consumer queues of all of these, in caller memory.
//! * [`clock`]: the injected clock, so that a scan can be replayed.
//!
//! Without the default feature `std` the crate is `no_std`. It allocates nothing.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(sonotrace_rtsan, feature(sanitize))]

pub mod clock;
pub mod command;
pub mod event;
pub mod frame;
pub mod geometry;
pub mod overlay;
pub mod ring;
mod sync;
