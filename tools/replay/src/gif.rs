//! GIF, animated or not.

use crate::animation::{check_canvas, push_frames};
use crate::error::{Place, ReplayError, Source};
use crate::options::Options;
use crate::recording::{Recorder, Recording, check_picture_size, note_on_scale};
use image::codecs::gif::GifDecoder;
use image::metadata::Orientation;
use image::{AnimationDecoder, ImageDecoder, Limits};
use sonotrace_hal::frame::{LINES_MAX, SAMPLES_MAX};
use std::io::Cursor;
use std::path::Path;

/// Reads a GIF from the bytes of `file`. Each frame is drawn over the frames before it, as a viewer shows it. The first
/// frame's time is zero; the delays give the others.
///
/// # Errors
/// A GIF that cannot be decoded, with the frame number; a GIF beyond the limits.
pub fn read(file: &Path, bytes: &[u8], options: &Options) -> Result<Recording, ReplayError> {
    options.check()?;
    let source = Source(file);
    let malformed = |place: Place, error: image::ImageError| {
        source.malformed(place, format!("cannot decode the GIF: {error}"))
    };
    let mut decoder = GifDecoder::new(Cursor::new(bytes)).map_err(|error| malformed(Place::Whole, error))?;
    let (width, height) = decoder.dimensions();
    let size = check_picture_size(source, Place::Whole, width.into(), height.into())?;
    check_canvas(source, size, bytes.len() as u64)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(12 * u64::from(SAMPLES_MAX) * u64::from(LINES_MAX));
    decoder.set_limits(limits).map_err(|error| malformed(Place::Whole, error))?;

    let mut recorder = Recorder::of_file(source, options, bytes.len() as u64);
    push_frames(&mut recorder, decoder.into_frames(), options, Orientation::NoTransforms, malformed)?;
    note_on_scale(&mut recorder, options, "a GIF");
    recorder.finish()
}
