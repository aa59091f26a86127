//! Graphs of one or a few operations. One program for all of them, because each program is compiled and linked anew.

// Helpers of tests: a failure here fails the test.
#![allow(clippy::unwrap_used)]

mod elementwise;
mod layouts;
mod loops;
mod normalisations;
mod products;
mod reading;
mod refusals;
mod rewrites;
mod scatter;
mod shapes;
