//! Scans of a session. One program for all of them, because each program is compiled and linked anew.
#![allow(clippy::unwrap_used)]

mod accounting;
#[path = "../common/mod.rs"]
mod common;
mod deadline;
mod geometry;
mod outcomes;
mod prompts;
mod properties;
mod slices;
mod stream;
