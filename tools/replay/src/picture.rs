//! PNG and JPEG pictures: one file or a folder of them.

use crate::error::{Place, ReplayError, Source};
use crate::file::read_file;
use crate::grey::luma_of;
use crate::jpeg::{self, Grey};
use crate::options::Options;
use crate::order::natural;
use crate::recording::{
    FRAMES_MAX, Recorder, Recording, check_picture_size, note_on_scale, picture_descriptor,
};
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use sonotrace_hal::frame::{LINES_MAX, SAMPLES_MAX};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Extensions of the files in a folder that are read.
const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Reads one picture from the bytes of `file`.
///
/// # Errors
/// A picture that cannot be decoded, or that is larger than a frame may be.
pub fn read(file: &Path, bytes: &[u8], options: &Options) -> Result<Recording, ReplayError> {
    options.check()?;
    let source = Source(file);
    let mut recorder = Recorder::new(source, options);
    let grey = decode(source, bytes)?;
    recorder.push(picture_descriptor(grey.width, grey.height, options), grey.pixels, Place::Whole)?;
    note_on_scale(&mut recorder, options, "a picture file");
    recorder.finish()
}

/// Reads the pictures of a folder as a cine, in natural order of their names (`img2` before `img10`).
///
/// # Errors
/// A folder without pictures; the first picture that cannot be read, with its name.
pub fn read_folder(folder: &Path, options: &Options) -> Result<Recording, ReplayError> {
    options.check()?;
    let source = Source(folder);
    let paths = pictures(source)?;
    let mut recorder = Recorder::new(source, options);
    for (index, path) in (0u64..).zip(&paths) {
        let file = Source(path);
        let grey = decode(file, &read_file(path)?)?;
        let mut descriptor = picture_descriptor(grey.width, grey.height, options);
        if paths.len() > 1 {
            descriptor.t_acq_ns = options.assumed_time_ns(index);
            descriptor.frame_rate_hz = options.frame_rate_hz;
        }
        recorder.push_of(file, descriptor, grey.pixels, Place::Whole)?;
    }
    if paths.len() > 1 {
        let rate = options.frame_rate_hz;
        recorder
            .note(format!("picture files have no frame times: assumed {rate} per second; --fps changes it"));
    }
    note_on_scale(&mut recorder, options, "a picture file");
    recorder.finish()
}

/// The pictures of a folder, in natural order. Hidden files are skipped: some systems store metadata in them.
fn pictures(source: Source<'_>) -> Result<Vec<PathBuf>, ReplayError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(source.0).map_err(|error| source.io(error))? {
        let path = entry.map_err(|error| source.io(error))?.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !is_hidden && EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)) {
            paths.push(path);
        }
        if paths.len() as u64 > FRAMES_MAX {
            let fix = "split the folder";
            return Err(source.too_large(Place::Whole, "pictures", paths.len() as u64, FRAMES_MAX, fix));
        }
    }
    if paths.is_empty() {
        return Err(ReplayError::Unrecognised {
            file: source.0.into(),
            seen: "a folder without pictures".to_owned(),
            fix: "give a folder with .png, .jpg or .jpeg files",
        });
    }
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    paths.sort_by(|a, b| natural(&name(a), &name(b)));
    Ok(paths)
}

/// Decodes a picture to grey.
fn decode(source: Source<'_>, bytes: &[u8]) -> Result<Grey, ReplayError> {
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => jpeg::decode(source, &Place::Whole, bytes, false),
        Ok(ImageFormat::Png) => decode_png(source, bytes),
        _ => Err(source.malformed(Place::Whole, "neither a PNG nor a JPEG, despite its name")),
    }
}

fn decode_png(source: Source<'_>, bytes: &[u8]) -> Result<Grey, ReplayError> {
    let malformed =
        |error: image::ImageError| source.malformed(Place::Whole, format!("cannot decode the PNG: {error}"));
    let reader = || ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let (width, height) = reader().into_dimensions().map_err(malformed)?;
    check_picture_size(source, Place::Whole, width.into(), height.into())?;
    let mut limited = reader();
    let mut limits = Limits::default();
    // Four channels of 16 bits, twice: the picture and the decoder's own buffer.
    limits.max_alloc = Some(16 * u64::from(SAMPLES_MAX) * u64::from(LINES_MAX));
    limited.limits(limits);
    let pixels = match limited.decode().map_err(malformed)? {
        DynamicImage::ImageLuma8(picture) => picture.into_raw(),
        grey @ (DynamicImage::ImageLumaA8(_)
        | DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_)) => grey.into_luma8().into_raw(),
        DynamicImage::ImageRgba8(picture) => luma_of::<4>(picture.as_raw()),
        colour => luma_of::<3>(colour.into_rgb8().as_raw()),
    };
    Ok(Grey { width, height, pixels })
}
