//! GIF, animated or not.

use crate::error::{Place, ReplayError, Source};
use crate::grey::luma_of;
use crate::options::Options;
use crate::recording::{Recorder, Recording, check_picture_size, note_on_scale, picture_descriptor};
use image::codecs::gif::GifDecoder;
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
    let (width, height) = check_picture_size(source, Place::Whole, width.into(), height.into())?;
    let mut limits = Limits::default();
    // Three buffers of four channels each: the canvas, the frame, and the canvas with the frame on it.
    limits.max_alloc = Some(12 * u64::from(SAMPLES_MAX) * u64::from(LINES_MAX));
    decoder.set_limits(limits).map_err(|error| malformed(Place::Whole, error))?;

    let mut recorder = Recorder::new(source, options);
    let assumed_ns = options.assumed_time_ns(1);
    let mut descriptor = picture_descriptor(width, height, options);
    let (mut next_ns, mut without_delay) = (0u64, 0u64);
    for frame in decoder.into_frames() {
        let place = Place::Frame(recorder.len() + 1);
        let frame = frame.map_err(|error| malformed(place.clone(), error))?;
        descriptor.t_acq_ns = next_ns;
        recorder.push(descriptor, luma_of::<4>(frame.buffer().as_raw()), place)?;
        let (numerator_ms, denominator) = frame.delay().numer_denom_ms();
        let delay_ns = u64::from(numerator_ms) * 1_000_000 / u64::from(denominator.max(1));
        without_delay += u64::from(delay_ns == 0);
        next_ns += if delay_ns == 0 { assumed_ns } else { delay_ns };
    }
    let steps = recorder.len().saturating_sub(1);
    let is_sequence = steps > 0;
    if is_sequence {
        // Not a division by zero: every step is longer than zero.
        recorder.set_frame_rate((steps as f64 * 1e9 / descriptor.t_acq_ns as f64) as f32);
    }
    if is_sequence && without_delay > 0 {
        let rate = options.frame_rate_hz;
        recorder.note(format!(
            "{without_delay} frames have no delay: assumed 1/{rate} of a second; --fps changes it"
        ));
    }
    note_on_scale(&mut recorder, options, "a GIF");
    recorder.finish()
}
