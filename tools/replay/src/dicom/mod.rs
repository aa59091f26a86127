//! Ultrasound images and cines in DICOM.
//!
//! Read after PS3.3 (ultrasound image module C.8.5.6, region calibration C.8.5.5), PS3.5 (encoding; run lengths in annex
//! G) and PS3.10 (files): uncompressed, RLE and baseline JPEG, grey or colour. A region's calibration is believed only
//! where it can hold for the picture that it comes with (see `region.rs`).
//!
//! Headers, values, the dictionary and transfer syntaxes are dicom-rs'; the walk from one element to the next is ours, in
//! `elements.rs`, and borrows and skips. The whole-file reader of dicom-rs 0.10 (`dicom-object`) claims any length that a
//! file announces (four gigabytes, for two bytes) and ends in a stack overflow on nested sequences, and it cannot be
//! told not to. The tests write their files with it. Of the patient and the study nothing is ever looked at, so that nothing of them can be shown.

mod attributes;
mod elements;
mod pixels;
mod region;
mod rle;
mod syntax;
mod times;

use crate::error::{Place, ReplayError, Source};
use crate::options::Options;
use crate::recording::{Recorder, Recording, picture_descriptor};
use attributes::Attributes;
use elements::Elements;
use sonotrace_hal::frame::flags;
use std::path::Path;
use syntax::Syntax;

/// Length of the preamble, behind which `DICM` stands.
const PREAMBLE_BYTES: usize = 128;

/// Whether this is a DICOM file.
pub fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(PREAMBLE_BYTES..).is_some_and(|rest| rest.starts_with(b"DICM"))
}

/// Reads an ultrasound image or cine from the bytes of `file`.
///
/// # Errors
/// A file that breaks the format, with the byte, attribute or frame; a compression or colour form that is not read here,
/// with what to do; sizes beyond the limits. A calibration that cannot be believed is a note, not an error.
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
    let layout = pixels::Layout::new(source, &attributes, syntax.coding)?;

    let mut recorder = Recorder::new(source, options);
    if attributes.modality_is_ultrasound == Some(false) {
        recorder.note("its modality is not ultrasound: what is found on it means little");
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
