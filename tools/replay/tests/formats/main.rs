//! Recordings of every format. One program for all of them, because each program is compiled and linked anew.
#![allow(clippy::unwrap_used, reason = "a test's helpers")]

mod clarius;
mod common;
mod contradictions;
mod dicom;
mod fragments;
mod groups;
mod jpeg;
mod jpeg_ls;
mod millimetres;
mod npy;
mod palette;
mod pictures;
mod real_data;
mod shown;
