//! The frames of an animation (GIF, PNG) as a cine.

use crate::error::{Place, ReplayError, Source};
use crate::grey::luma_of_rgba;
use crate::levels::Levels;
use crate::options::Options;
use crate::recording::{Recorder, expanded_bytes_max, picture_descriptor};
use crate::turn::turned;
use image::metadata::Orientation;
use image::{Frames, ImageError};

/// Refuses an animation whose canvas would take much more memory than its file.
pub(crate) fn check_canvas(source: Source<'_>, size: (u32, u32), file_bytes: u64) -> Result<(), ReplayError> {
    // Three buffers of four channels each: the canvas, the frame, and the canvas with the frame on it.
    let (canvas_bytes, max) = (12 * u64::from(size.0) * u64::from(size.1), expanded_bytes_max(file_bytes));
    if canvas_bytes > max {
        let what = "bytes of memory for an animation of this size in such a small file";
        return Err(source.too_large(Place::Whole, what, canvas_bytes, max, "scale it down"));
    }
    Ok(())
}

/// Adds the frames. The first frame's time is zero; the delays give the others.
pub(crate) fn push_frames(
    recorder: &mut Recorder<'_>,
    frames: Frames<'_>,
    options: &Options,
    orientation: Orientation,
    malformed: impl Fn(Place, ImageError) -> ReplayError,
) -> Result<(), ReplayError> {
    let assumed_ns = options.assumed_time_ns(1);
    let mut levels = Levels::of_picture(8, options);
    let (mut next_ns, mut last_ns, mut without_delay, mut transparent) = (0u64, 0u64, 0u64, 0u64);
    for frame in frames {
        let place = Place::Frame(recorder.len() + 1);
        let frame = frame.map_err(|error| malformed(place.clone(), error))?;
        let (numerator_ms, denominator) = frame.delay().numer_denom_ms();
        let delay_ns = u64::from(numerator_ms) * 1_000_000 / u64::from(denominator.max(1));
        let picture = frame.into_buffer();
        recorder.make_room(place.clone(), u64::from(picture.width()) * u64::from(picture.height()))?;
        transparent += u64::from(picture.pixels().any(|pixel| pixel.0[3] < u8::MAX));
        let grey = levels.map(luma_of_rgba(picture.as_raw()).into_iter().map(u16::from));
        let (width, height, grey) = turned(picture.width(), picture.height(), grey, orientation);
        let mut descriptor = picture_descriptor(width, height, options);
        descriptor.t_acq_ns = next_ns;
        last_ns = next_ns;
        recorder.push(descriptor, grey, place)?;
        without_delay += u64::from(delay_ns == 0);
        next_ns += if delay_ns == 0 { assumed_ns } else { delay_ns };
    }
    let steps = recorder.len().saturating_sub(1);
    if steps > 0 {
        // Not a division by zero: every step is longer than zero.
        recorder.set_frame_rate((steps as f64 * 1e9 / last_ns as f64) as f32);
        if without_delay > 0 && options.frame_rate_hz.is_none() {
            let rate = options.rate_hz();
            recorder.note(format!(
                "{without_delay} frames have no delay: assumed 1/{rate} of a second; --fps changes it"
            ));
        }
    }
    if transparent > 0 {
        recorder.note(format!("transparent parts of {transparent} frames are shown black"));
    }
    recorder.notes(levels.note());
    Ok(())
}
