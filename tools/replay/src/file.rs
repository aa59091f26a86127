//! Files of a recording.

use crate::error::{Place, ReplayError, Source};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 4 << 30;

/// The path of the file next to `path` that differs only in its extension.
pub(crate) fn beside(path: &Path, extension: &str) -> PathBuf {
    path.with_extension(extension)
}

/// Reads a whole file of at most [`FILE_BYTES_MAX`] bytes.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, ReplayError> {
    let source = Source(path);
    let file = File::open(path).map_err(|error| source.io(error))?;
    let length = file.metadata().map_err(|error| source.io(error))?.len();
    let mut bytes = Vec::new();
    if length <= FILE_BYTES_MAX {
        // A pipe or device may return more than its metadata says.
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| source.io(error))?;
    }
    let length = length.max(bytes.len() as u64);
    if length > FILE_BYTES_MAX {
        let fix = "cut the recording into shorter ones";
        return Err(source.too_large(Place::Whole, "bytes", length, FILE_BYTES_MAX, fix));
    }
    Ok(bytes)
}
