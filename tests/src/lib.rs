//! Whole-system tests live in `tests/`; this library is what they share.
//!
//! Tests on real data run where these variables point at it, and say that they skipped elsewhere; with
//! `SONOTRACE_NO_SKIP` set they fail instead of skipping.
//!
//! * `SONOTRACE_DATA`: a folder with `ultrasound/MANIFEST.csv` and the images and masks that it lists.
//! * `SONOTRACE_MODELS`: a folder with ONNX graphs and their golden vectors.

use std::path::PathBuf;

/// The folder that an environment variable points at, or none after saying that the test skips.
///
/// # Panics
/// If the variable is not set where no test may skip.
pub fn folder(variable: &str) -> Option<PathBuf> {
    match std::env::var_os(variable) {
        Some(folder) => Some(folder.into()),
        None => {
            assert!(
                std::env::var_os("SONOTRACE_NO_SKIP").is_none(),
                "{variable} is not set, and no test may skip"
            );
            println!("skipped: {variable} does not point at real data");
            None
        }
    }
}
