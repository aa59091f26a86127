//! PNG and JPEG pictures: one file or a folder of them.

use crate::animation::{check_canvas, push_frames};
use crate::error::{Place, ReplayError, Source, shown_text};
use crate::file::{PICTURE_BYTES_MAX, read_file};
use crate::folder::Listing;
use crate::jpeg::{self, Samples};
use crate::levels::Levels;
use crate::options::Options;
use crate::png::Png;
use crate::recording::{Recorder, Recording, note_on_scale, picture_descriptor};
use crate::turn::turned;
use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat};
use std::path::Path;

/// Reads one picture from the bytes of `file`; an animated PNG is a cine.
///
/// # Errors
/// A picture that cannot be decoded, or that is larger than a frame may be.
pub fn read(file: &Path, bytes: &[u8], options: &Options) -> Result<Recording, ReplayError> {
    options.check()?;
    let source = Source(file);
    let mut reader = Reader::new(options);
    let mut recorder;
    let animated = matches!(image::guess_format(bytes), Ok(ImageFormat::Png)).then(|| Png::new(bytes));
    match animated.filter(Png::is_animated) {
        Some(png) if png.is_animation(&png.decoder(source)?) => {
            recorder = Recorder::of_file(source, options, png.bytes());
            read_animation(&mut recorder, source, &png, options)?;
        }
        _ => {
            recorder = Recorder::new(source, options);
            let (width, height, grey) = reader.picture(source, bytes)?;
            recorder.push(picture_descriptor(width, height, options), grey, Place::Whole)?;
        }
    }
    reader.finish(&mut recorder);
    note_on_scale(&mut recorder, options, "a picture file");
    recorder.finish()
}

fn read_animation(
    recorder: &mut Recorder<'_>,
    source: Source<'_>,
    png: &Png,
    options: &Options,
) -> Result<(), ReplayError> {
    let malformed = |place: Place, error: image::ImageError| {
        source.malformed(place, format!("cannot decode the PNG: {error}"))
    };
    check_canvas(source, png.decoder(source)?.dimensions(), png.bytes())?;
    push_frames(recorder, png.animation(source)?, options, png.orientation(), malformed)?;
    let (seen, declared) = (recorder.len(), png.frames);
    if seen < declared {
        let problem = format!("missing: {declared} frames are declared, {seen} are present");
        return Err(source.malformed(Place::Frame(seen + 1), problem));
    }
    if png.orientation() != Orientation::NoTransforms {
        recorder.note(TURNED);
    }
    Ok(())
}

/// Reads the pictures of a folder as a cine, in natural order of their names (`img2` before `img10`; `0.05` before `0.1`
/// if the numbers are decimals).
///
/// # Errors
/// A folder without pictures; the first picture that cannot be read, with its name.
pub fn read_folder(folder: &Path, options: &Options) -> Result<Recording, ReplayError> {
    options.check()?;
    let source = Source(folder);
    let listing = Listing::of(source)?;
    let paths = &listing.pictures;
    let mut recorder = Recorder::new(source, options);
    let mut reader = Reader::new(options);
    for (index, path) in (0u64..).zip(paths) {
        let file = Source(path);
        let (width, height, grey) = reader.picture(file, &read_file(path, PICTURE_BYTES_MAX)?)?;
        let mut descriptor = picture_descriptor(width, height, options);
        if paths.len() > 1 {
            descriptor.t_acq_ns = options.assumed_time_ns(index);
            descriptor.frame_rate_hz = options.rate_hz();
        }
        recorder.push_of(file, descriptor, grey, Place::Whole)?;
    }
    recorder.notes(listing.notes);
    if paths.len() > 1 && options.frame_rate_hz.is_none() {
        let rate = options.rate_hz();
        recorder
            .note(format!("picture files have no frame times: assumed {rate} per second; --fps changes it"));
    }
    reader.finish(&mut recorder);
    note_on_scale(&mut recorder, options, "a picture file");
    recorder.finish()
}

/// The note on turned pictures.
const TURNED: &str =
    "turned as the EXIF orientation states: prompts and contours are in the picture as shown";

/// Decodes pictures, and collects what the user should know of them.
struct Reader {
    eight: Levels,
    sixteen: Levels,
    has_turned: bool,
    transparent: u64,
    followed: u64,
    /// Name and number of frames of the first animation of which one frame was read.
    animation: Option<(String, u64)>,
}

impl Reader {
    fn new(options: &Options) -> Self {
        Self {
            eight: Levels::of_picture(8, options),
            sixteen: Levels::of_picture(16, options),
            has_turned: false,
            transparent: 0,
            followed: 0,
            animation: None,
        }
    }

    /// Decodes a picture to grey levels, turned as it is shown.
    fn picture(&mut self, source: Source<'_>, bytes: &[u8]) -> Result<(u32, u32, Vec<u8>), ReplayError> {
        let grey = match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) => jpeg::decode(source, &Place::Whole, bytes, None)?,
            Ok(ImageFormat::Png) => {
                let png = Png::new(bytes);
                let (grey, is_transparent) = png.decode(source)?;
                self.transparent += u64::from(is_transparent);
                if png.is_animated() && self.animation.is_none() {
                    let name = source.0.file_name().unwrap_or_default().to_string_lossy();
                    self.animation = Some((shown_text(&name), png.frames));
                }
                grey
            }
            _ => return Err(source.malformed(Place::Whole, "neither a PNG nor a JPEG, despite its name")),
        };
        let levels = match grey.samples {
            Samples::Eight(samples) => self.eight.map(samples.into_iter().map(u16::from)),
            Samples::Sixteen(samples) => self.sixteen.map(samples.into_iter()),
        };
        self.followed += u64::from(grey.is_followed);
        self.has_turned |= grey.orientation != Orientation::NoTransforms;
        Ok(turned(grey.width, grey.height, levels, grey.orientation))
    }

    fn finish(self, recorder: &mut Recorder<'_>) {
        if self.has_turned {
            recorder.note(TURNED);
        }
        if self.transparent > 0 {
            recorder.note(format!("transparent parts of {} pictures are shown black", self.transparent));
        }
        if self.followed > 0 {
            recorder.note(format!(
                "another JPEG follows the picture in {} files, as in motion JPEG, and is not read; `ffmpeg -i FILE frame%05d.png` makes a picture of each",
                self.followed
            ));
        }
        if let Some((name, frames)) = self.animation {
            recorder.note(format!(
                "{name} is animated: one of its {frames} frames was read; convert it to a GIF or a folder of pictures for all"
            ));
        }
        recorder.notes(self.sixteen.note());
        recorder.notes(self.eight.note());
    }
}
