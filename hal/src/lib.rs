//! What stands between an ultrasound front end and the sonotrace runtime.
//!
//! * [`frame`]: the descriptor that travels with every frame, and the one check that makes it trustworthy.
//! * [`geometry`]: where a sample lies in the probe's plane, and back.
//! * [`overlay`]: what goes back to the device: contours, measures, states, ages.
//! * [`command`]: what the device asks while a scan runs: prompts, freezing.
//! * [`event`]: what happened, for people to read later.
//! * [`ring`]: the lock-free single-producer single-consumer rings that carry all of these, in caller memory.
//! * [`clock`]: the clock, injected so that a scan can be replayed.
//! * [`sim`] (feature `std`): a simulated scanner with a beating phantom and its truth.
//!
//! Without the default feature `std` the crate is `no_std` and allocates nothing.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(sonotrace_rtsan, feature(sanitize))]

pub mod clock;
pub mod command;
pub mod event;
pub mod frame;
pub mod geometry;
pub mod overlay;
pub mod ring;
#[cfg(feature = "std")]
pub mod sim;
mod sync;
