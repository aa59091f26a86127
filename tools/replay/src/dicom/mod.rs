//! Ultrasound images and cines in DICOM.
//!
//! Follows PS3.3 (ultrasound image module C.8.5.6, region calibration C.8.5.5), PS3.5 (encoding; run lengths in annex
//! G) and PS3.10 (files): uncompressed, RLE and baseline JPEG; grey or colour. A region's calibration is used only if
//! it can be true for the file's picture (see `region.rs`).
//!
//! dicom-rs decodes headers and values, and provides the dictionary and the transfer syntaxes. The walk from element to
//! element is our own (`elements.rs`): it borrows values and skips unused ones. The whole-file reader of dicom-rs 0.10
//! (`dicom-object`) allocates any length that a file declares (four gigabytes for two bytes) and overflows the stack on
//! nested sequences; it has no limits to set. The tests write their files with it.
//!
//! Attributes of the patient and the study are never read, so no message can contain them.

mod attributes;
mod elements;
mod pixels;
mod region;
mod rle;
mod syntax;
mod times;
mod value;

use crate::error::{Place, ReplayError, Source};
use crate::options::Options;
use crate::recording::{Recorder, Recording, picture_descriptor};
use attributes::Attributes;
use elements::Elements;
use sonotrace_hal::frame::flags;
use std::path::Path;
use syntax::Syntax;

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
    let attributes = Attributes::read(source, &mut elements)?;
    let layout = pixels::PixelLayout::new(source, &attributes, syntax.coding)?;

    let mut recorder = Recorder::new(source, options);
    if attributes.modality_is_ultrasound == Some(false) {
        recorder.note("the modality is not ultrasound: results are not meaningful");
    }
    let times = times::times(&attributes, layout.frames, options, &mut recorder);
    let picture = picture_descriptor(layout.width, layout.height, options);
    let mut descriptor = region::calibrate(&attributes.regions, picture, options, &mut recorder);
    descriptor.frame_rate_hz = times.frame_rate_hz;
    if attributes.is_burnt_in {
        descriptor.flags |= flags::BURNT_IN_OVERLAY;
    }
    let coded = layout.frames(source, &attributes)?;
    for (index, t_acq_ns) in times.t_acq_ns.into_iter().enumerate() {
        let place = Place::Frame(index as u64 + 1);
        recorder.make_room(place.clone(), u64::from(layout.width) * u64::from(layout.height))?;
        let grey = layout.grey(source, &place, &coded, index)?;
        descriptor.t_acq_ns = t_acq_ns;
        recorder.push(descriptor, grey, place)?;
    }
    recorder.finish()
}
