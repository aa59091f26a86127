//! Videos, decoded by the user's ffmpeg: MP4, MOV, AVI and Matroska files, and the bitstreams of DICOM files.

mod ffmpeg;
mod pipe;
mod stream;
mod yuv4mpeg;

use crate::error::{Place, ReplayError, Source};
use crate::levels::Levels;
use crate::options::Options;
use crate::recording::{Recorder, Recording, note_on_scale, picture_descriptor};
use std::path::Path;
use stream::Stream;

/// Whether these first bytes are those of a video.
pub(crate) fn is_video(head: &[u8]) -> bool {
    let has = |at: usize, words: &[&[u8]]| {
        words.iter().any(|word| head.get(at..).is_some_and(|rest| rest.starts_with(word)))
    };
    has(4, &[b"ftyp", b"moov", b"mdat", b"wide"])
        || (has(0, &[b"RIFF"]) && has(8, &[b"AVI "]))
        || has(0, &[&[0x1a, 0x45, 0xdf, 0xa3], &[0, 0, 1, 0xba], &[0, 0, 1, 0xb3]])
}

/// Reads a video file of this length.
///
/// # Errors
/// A system without ffmpeg; a video that it cannot decode, with its message; frames beyond the limits.
pub(crate) fn read(file: &Path, bytes: u64, options: &Options) -> Result<Recording, ReplayError> {
    let source = Source(file);
    let mut recorder = Recorder::of_file(source, options, bytes);
    let mut levels = Levels::of_picture(8, options);
    let mut rate_hz = 0.0;
    let messages = ffmpeg::decode(source, file, |header, grey| {
        let place = Place::Frame(recorder.len() + 1);
        let mut descriptor = picture_descriptor(header.width, header.height, options);
        rate_hz = if header.rate_hz > 0.0 { header.rate_hz } else { options.rate_hz().into() };
        descriptor.t_acq_ns = (recorder.len() as f64 * 1e9 / rate_hz).round() as u64;
        descriptor.frame_rate_hz = rate_hz as f32;
        let grey = levels.map(grey.into_iter().map(u16::from));
        recorder.push(descriptor, grey, place)
    })?;
    recorder.notes(messages);
    if recorder.len() > 1 && options.frame_rate_hz.is_none() {
        recorder
            .note(format!("{rate_hz} frames per second, evenly spaced, from the video; --fps changes it"));
    }
    recorder.notes(levels.note());
    note_on_scale(&mut recorder, options, "a video");
    recorder.finish()
}

/// Decodes the bitstream of another file, whose frames must have this size. Returns their grey levels, and notes.
///
/// # Errors
/// As for [`read`]; frames of another size; a file that cannot be written for ffmpeg.
pub(crate) fn decode_stream(
    source: Source<'_>,
    parts: &[&[u8]],
    size: (u32, u32),
    options: &Options,
    recorder: &Recorder<'_>,
) -> Result<(Vec<Vec<u8>>, Option<String>), ReplayError> {
    let stream = Stream::write(parts).map_err(|error| source.io(error))?;
    let (mut frames, mut bytes) = (Vec::new(), 0u64);
    let messages = ffmpeg::decode(source, stream.path(), |header, grey| {
        let place = Place::Frame(frames.len() as u64 + 1);
        if (header.width, header.height) != size {
            let seen = format!("the video is {}x{}", header.width, header.height);
            return Err(source.malformed(place, format!("{seen}, the file declares {}x{}", size.0, size.1)));
        }
        bytes += grey.len() as u64;
        recorder.make_room(place, bytes)?;
        frames.push(crate::levels::windowed(grey, options));
        Ok(())
    })?;
    Ok((frames, messages))
}
