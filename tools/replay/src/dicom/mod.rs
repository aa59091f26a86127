//! Ultrasound images and cines in DICOM.
//!
//! Follows PS3.3 (ultrasound image module C.8.5.6, region calibration C.8.5.5), PS3.5 (encoding; run lengths in annex
//! G), PS3.10 (files) and the grey levels of PS3.3 section C.11: uncompressed, RLE, JPEG (baseline, progressive,
//! lossless), JPEG-LS, and video through ffmpeg; grey, colour or palette. A region's calibration is used only if it can be true for the file's picture (see
//! `region.rs`).
//!
//! dicom-rs decodes headers and values, and provides the dictionary and the transfer syntaxes. The walk from element to
//! element is our own (`elements.rs`): it borrows values and skips unused ones. The whole-file reader of dicom-rs 0.10
//! (`dicom-object`) allocates any length that a file declares (four gigabytes for two bytes) and overflows the stack on
//! nested sequences; it has no limits to set. The tests write their files with it.
//!
//! Attributes of the patient and the study are never read, so no message can contain them.

mod attributes;
mod elements;
mod frames;
mod groups;
mod jpeg_ls;
mod layout;
mod lut;
mod monochrome;
mod palette;
mod pixels;
mod region;
mod rle;
mod syntax;
mod times;
mod value;

use crate::error::{Place, ReplayError, Source};
use crate::grey::Components;
use crate::levels::Levels;
use crate::options::Options;
use crate::recording::{Recorder, Recording, picture_descriptor};
use attributes::Attributes;
use elements::Elements;
use layout::{Photometric, PixelLayout};
use pixels::Pixels;
use sonotrace_hal::frame::flags;
use std::path::Path;
use syntax::{Coding, Syntax};

/// Length of the preamble; `DICM` follows it.
const PREAMBLE_BYTES: usize = 128;

/// Whether these are the bytes of a DICOM file.
pub fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(PREAMBLE_BYTES..).is_some_and(|rest| rest.starts_with(b"DICM"))
}

/// Reads an ultrasound image or cine from the bytes of `file`.
///
/// # Errors
/// A file that violates the format, with the byte, attribute or frame; an unsupported compression or colour space, with
/// the remedy; sizes beyond the limits. An unusable calibration is not an error: a note says why.
pub fn read(file: &Path, bytes: &[u8], options: &Options) -> Result<Recording, ReplayError> {
    options.check()?;
    let source = Source(file);
    if !is_dicom(bytes) {
        return Err(source.malformed(Place::Byte(PREAMBLE_BYTES as u64), "not a DICOM file: no `DICM`"));
    }
    let mut meta = Elements::new(source, bytes, PREAMBLE_BYTES + 4, true);
    let syntax = Syntax::read(source, &mut meta)?;
    let mut elements = Elements::new(source, bytes, meta.at(), syntax.is_explicit);
    let mut attributes = Attributes::read(source, &mut elements)?;
    let mut layout = PixelLayout::new(source, &attributes, syntax.coding)?;

    let mut recorder = match syntax.coding {
        Coding::Native => Recorder::new(source, options),
        Coding::RunLength | Coding::Jpeg | Coding::JpegLs | Coding::Video => {
            Recorder::of_file(source, options, bytes.len() as u64)
        }
    };
    if attributes.modality_is_ultrasound == Some(false) {
        recorder.note("the modality is not ultrasound: results are not meaningful");
    }
    groups::fill_in(source, &mut attributes, options, &mut recorder)?;
    let mut coded = frames::find(source, &attributes, &mut layout, options, &mut recorder)?;
    let order = groups::order(&attributes.groups, coded.frames(), &mut recorder);
    let times = times::times(&attributes, coded.frames(), options, &mut recorder);
    let picture = picture_descriptor(layout.width, layout.height, options);
    let mut descriptor = region::calibrate(&attributes, picture, options, &mut recorder);
    if let (Some(_), [vertical, horizontal]) = (options.spacing_mm, attributes.aspect.as_slice())
        && vertical != horizontal
    {
        recorder.note(format!(
            "the pixels are not square (PixelAspectRatio {vertical} to {horizontal}), but --spacing takes them as square: distances are wrong in one direction; scale the picture to square pixels first"
        ));
    }
    descriptor.frame_rate_hz = times.frame_rate_hz;
    if attributes.is_burnt_in {
        descriptor.flags |= flags::BURNT_IN_OVERLAY;
    }
    let levels = match layout.photometric {
        Photometric::Monochrome => monochrome::levels(&attributes, &layout, options, &mut recorder),
        Photometric::Palette => palette::levels(source, &attributes, &layout, options)?,
        // The standard gives colours no window.
        Photometric::Rgb | Photometric::YbrFull | Photometric::YbrFull422 => Levels::of_picture(8, options),
    };
    let mut pixels = Pixels { source, layout: &layout, levels, options, relabelled: None, followed: 0 };
    for (index, t_acq_ns) in times.t_acq_ns.into_iter().enumerate() {
        let index = order.as_ref().and_then(|order| order.get(index).copied()).unwrap_or(index);
        let place = Place::Frame(index as u64 + 1);
        recorder.make_room(place.clone(), layout.pixels() as u64)?;
        let grey = pixels.grey(&place, &mut coded, index)?;
        descriptor.t_acq_ns = t_acq_ns;
        recorder.push(descriptor, grey, place)?;
    }
    if let Some(components) = pixels.relabelled {
        let name = if components == Components::Rgb { "RGB" } else { "YCbCr" };
        recorder.note(format!(
            "the JPEG's components are {name}, unlike the file's label: they are read as {name}"
        ));
    }
    if pixels.followed > 0 {
        recorder.note(format!(
            "another JPEG follows that of {} frames, and is not read: the offset table or the number of frames may be wrong",
            pixels.followed
        ));
    }
    recorder.notes(pixels.levels.note_on_padding().map(str::to_owned));
    recorder.notes(pixels.levels.note());
    recorder.finish()
}
