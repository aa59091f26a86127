//! What a path holds.

use crate::error::{Place, ReplayError, Source};
use crate::options::Options;
use crate::recording::{Recording, beside};
use crate::{clarius, dicom, gif, npy, picture};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest file that is read.
pub const FILE_BYTES_MAX: u64 = 4 << 30;

/// What to give instead of a file that is not known.
const KNOWN: &str = "give a PNG, JPEG, GIF, DICOM, a .npy with its .json, a Clarius .raw with its .yml, or a folder of pictures";

/// Reads the recording at `path`: a folder of pictures, or a file that is recognised by its content (Clarius
/// recordings, which bear no mark, by their extension).
///
/// # Errors
/// A path that cannot be read, a file that is not known, or a recording that is refused, with the file's name, the
/// place in it and, where there is one, the remedy.
pub fn open(path: &Path, options: &Options) -> Result<Recording, ReplayError> {
    options.check()?;
    let source = Source(path);
    if std::fs::metadata(path).map_err(|error| source.io(error))?.is_dir() {
        return picture::read_folder(path, options);
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if extension.eq_ignore_ascii_case("yml") && beside(path, "raw").exists() {
        return open(&beside(path, "raw"), options);
    }
    if extension.eq_ignore_ascii_case("json") && beside(path, "npy").exists() {
        return open(&beside(path, "npy"), options);
    }
    let bytes = read_file(path)?;
    match bytes.as_slice() {
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] => picture::read(path, &bytes, options),
        [b'G', b'I', b'F', b'8', ..] => gif::read(path, &bytes, options),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            let json = read_companion(path, "json", "describe its geometry there, see the manual of `npy`")?;
            npy::read(path, &bytes, &json, options)
        }
        _ if dicom::is_dicom(&bytes) => dicom::read(path, &bytes, options),
        [0x89, b'L', b'Z', b'O', ..] => Err(unknown(path, "an lzo archive", "unpack it with `lzop -d`")),
        [0x04, 0x22, 0x4d, 0x18, ..] => Err(unknown(path, "an lz4 archive", "unpack it with `lz4 -d`")),
        [0x1f, 0x8b, ..] => Err(unknown(path, "a gzip archive", "unpack it with `gunzip`")),
        _ if extension.eq_ignore_ascii_case("raw") => {
            let yml = read_companion(path, "yml", "Clarius raw data come with one")?;
            clarius::read(path, &bytes, &yml, options)
        }
        [] => Err(unknown(path, "an empty file", KNOWN)),
        _ => Err(unknown(path, "not a recording of a known form", KNOWN)),
    }
}

fn unknown(path: &Path, seen: &str, fix: &'static str) -> ReplayError {
    ReplayError::Unrecognised { file: path.into(), seen: seen.to_owned(), fix }
}

/// Reads the file of another extension that belongs to `path`.
fn read_companion(path: &Path, extension: &str, fix: &'static str) -> Result<Vec<u8>, ReplayError> {
    let companion = beside(path, extension);
    if companion.exists() {
        return read_file(&companion);
    }
    let what = format!("needs {} beside it", companion.display());
    Err(Source(path).unsupported(Place::Whole, what, fix))
}

/// All of a file, if it is not larger than any recording should be.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, ReplayError> {
    let source = Source(path);
    let file = File::open(path).map_err(|error| source.io(error))?;
    let length = file.metadata().map_err(|error| source.io(error))?.len();
    let mut bytes = Vec::new();
    if length <= FILE_BYTES_MAX {
        // What is not a plain file may give more than it announces.
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| source.io(error))?;
    }
    let length = length.max(bytes.len() as u64);
    if length > FILE_BYTES_MAX {
        let fix = "cut the recording into shorter ones";
        return Err(source.too_large(Place::Whole, "bytes", length, FILE_BYTES_MAX, fix));
    }
    Ok(bytes)
}
