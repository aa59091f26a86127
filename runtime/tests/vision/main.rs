//! Sampling, contours and measures. One program for all of them, because each program is compiled and linked anew.
#![allow(clippy::unwrap_used)]

mod beat;
#[path = "../common/boundaries.rs"]
mod boundaries;
mod contour;
mod holes;
mod maps;
mod measures;
#[path = "../common/random_cases.rs"]
mod random_cases;
mod sampler;
mod steps;
mod volume;
