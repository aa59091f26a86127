//! Files of a recording.

use crate::error::{Place, ReplayError, Source};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest recording that is read, in bytes. It is read as a whole.
pub const FILE_BYTES_MAX: u64 = 2 << 30;
/// Largest picture file (PNG, JPEG, GIF), in bytes: more than the largest picture takes without compression.
pub const PICTURE_BYTES_MAX: u64 = 256 << 20;
/// Largest description next to a recording (`.json`, `.yml`), in bytes.
pub const DESCRIPTION_BYTES_MAX: u64 = 16 << 20;
/// Bytes by which the format of a file is told.
pub(crate) const HEAD_BYTES: usize = 132;

/// The path of the file next to `path` that differs only in its extension.
pub(crate) fn beside(path: &Path, extension: &str) -> PathBuf {
    path.with_extension(extension)
}

/// Opens a file. Pipes and devices are refused: they may block, or never end.
fn open(path: &Path) -> Result<(File, u64), ReplayError> {
    let source = Source(path);
    let metadata = std::fs::metadata(path).map_err(|error| source.io(error))?;
    if !metadata.is_file() {
        let what = "not a regular file, but a pipe, device or folder";
        return Err(source.unsupported(Place::Whole, what, "copy its contents to a file"));
    }
    Ok((File::open(path).map_err(|error| source.io(error))?, metadata.len()))
}

/// The first bytes of a file, at most [`HEAD_BYTES`].
pub(crate) fn read_head(path: &Path) -> Result<Vec<u8>, ReplayError> {
    let (file, _) = open(path)?;
    let mut bytes = Vec::with_capacity(HEAD_BYTES);
    file.take(HEAD_BYTES as u64).read_to_end(&mut bytes).map_err(|error| Source(path).io(error))?;
    Ok(bytes)
}

/// Reads a whole file of at most `bytes_max` bytes.
pub(crate) fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, ReplayError> {
    let source = Source(path);
    let (file, length) = open(path)?;
    let mut bytes = Vec::new();
    if length <= bytes_max {
        // The file may grow, and files of /proc state no length.
        file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| source.io(error))?;
    }
    let length = length.max(bytes.len() as u64);
    if length > bytes_max {
        let fix = "cut the recording into shorter ones";
        return Err(source.too_large(Place::Whole, "bytes in the file", length, bytes_max, fix));
    }
    Ok(bytes)
}
