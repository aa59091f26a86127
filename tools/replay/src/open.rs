//! Opens a recording of any supported format.

use crate::error::{Place, ReplayError, Source};
use crate::file::{DESCRIPTION_BYTES_MAX, FILE_BYTES_MAX, PICTURE_BYTES_MAX, beside, read_file, read_head};
use crate::options::Options;
use crate::recording::Recording;
use crate::{clarius, dicom, gif, npy, picture, video};
use std::path::Path;

/// The remedy for an unknown file.
const KNOWN: &str = "give a PNG, JPEG, GIF, DICOM, MP4, AVI, a .npy with its .json, a Clarius .raw with its .yml, or a folder of pictures";

/// Reads the recording at `path`: a folder of pictures, or a file. The format is detected by the file's content,
/// except for Clarius recordings: these have no signature and are detected by their extension.
///
/// # Errors
/// A path that cannot be read, a pipe or device, a file of unknown format, or a malformed or unsupported recording. The
/// text names the file, the place in it and, if there is one, the remedy.
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
    // Only files of a known format are read as a whole.
    match read_head(path)?.as_slice() {
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] => {
            picture::read(path, &read_file(path, PICTURE_BYTES_MAX)?, options)
        }
        [b'G', b'I', b'F', b'8', ..] => gif::read(path, &read_file(path, PICTURE_BYTES_MAX)?, options),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            let json =
                read_companion(path, "json", "describe its geometry there, see the documentation of `npy`")?;
            npy::read(path, &read_file(path, FILE_BYTES_MAX)?, &json, options)
        }
        head if video::is_video(head) => {
            let bytes = std::fs::metadata(path).map_err(|error| source.io(error))?.len();
            video::read(path, bytes, options)
        }
        head if dicom::is_dicom(head) => dicom::read(path, &read_file(path, FILE_BYTES_MAX)?, options),
        [0x89, b'L', b'Z', b'O', ..] => Err(unknown(path, "an lzo archive", "unpack it with `lzop -d`")),
        [0x04, 0x22, 0x4d, 0x18, ..] => Err(unknown(path, "an lz4 archive", "unpack it with `lz4 -d`")),
        [0x1f, 0x8b, ..] => Err(unknown(path, "a gzip archive", "unpack it with `gunzip`")),
        _ if extension.eq_ignore_ascii_case("raw") => {
            let yml = read_companion(path, "yml", "a Clarius recording consists of both")?;
            clarius::read(path, &read_file(path, FILE_BYTES_MAX)?, &yml, options)
        }
        [] => Err(unknown(path, "an empty file", KNOWN)),
        _ => Err(unknown(path, "not a recording of a supported format", KNOWN)),
    }
}

fn unknown(path: &Path, seen: &str, fix: &'static str) -> ReplayError {
    ReplayError::Unrecognised { file: path.into(), seen: seen.to_owned(), fix }
}

/// Reads the file next to `path` that differs only in its extension.
fn read_companion(path: &Path, extension: &str, fix: &'static str) -> Result<Vec<u8>, ReplayError> {
    let companion = beside(path, extension);
    if companion.exists() {
        return read_file(&companion, DESCRIPTION_BYTES_MAX);
    }
    let what = format!("needs {} next to it", crate::error::shown(&companion));
    Err(Source(path).unsupported(Place::Whole, what, fix))
}
