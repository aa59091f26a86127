//! Code that tests and benchmarks of several crates share.
//!
//! Tests on real data need these variables to point to it; otherwise they print that they were skipped. With
//! `SONOTRACE_NO_SKIP` set they fail instead.
//!
//! * `SONOTRACE_DATA`: a folder with `ultrasound/MANIFEST.csv` and the images and masks that it lists.
//! * `SONOTRACE_MODELS`: a folder with ONNX graphs and their golden vectors.
//! * `SONOTRACE_CASES`: a folder with small recordings and graphs that were once read wrongly.

pub mod onnx;
pub mod still;

use std::path::PathBuf;

/// The folder in an environment variable. If it is not set, prints that the test is skipped and returns `None`.
///
/// # Panics
/// If the variable is not set and `SONOTRACE_NO_SKIP` is.
pub fn folder(variable: &str) -> Option<PathBuf> {
    match std::env::var_os(variable) {
        Some(folder) => Some(folder.into()),
        None => {
            assert!(
                std::env::var_os("SONOTRACE_NO_SKIP").is_none(),
                "{variable} is not set, and SONOTRACE_NO_SKIP forbids skipping"
            );
            println!("skipped: {variable} does not point to real data");
            None
        }
    }
}
