//! Reads an array and its description as a recording.

use super::array::Array;
use super::description::Description;
use crate::error::{Place, ReplayError, Source};
use crate::file::beside;
use crate::options::Options;
use crate::recording::{Recorder, Recording, note_on_scale};
use sonotrace_hal::frame::GeometryKind;
use std::path::Path;

/// Reads frames from the bytes of `file` (a `.npy`) and of the `.json` next to it.
///
/// # Errors
/// An array that is truncated, beyond the limits, or of an unsupported type or shape; a description with a field that
/// is missing, unknown or unused by its geometry; frames that the runtime would refuse.
pub fn read(file: &Path, npy: &[u8], json: &[u8], options: &Options) -> Result<Recording, ReplayError> {
    options.check()?;
    let source = Source(file);
    options.refuse_window(source)?;
    let description_path = beside(file, "json");
    let described = Source(&description_path);
    let array = Array::parse(source, npy)?;
    let description = Description::parse(described, json)?;
    let mut descriptor = description.descriptor(described, array.lines, array.samples, array.sample_type)?;
    if let Some(times) = &description.t_acq_ns
        && times.len() as u64 != array.frames
    {
        let problem = format!("{} times for {} frames", times.len(), array.frames);
        return Err(described.malformed(Place::Field("t_acq_ns"), problem));
    }
    let mut recorder = Recorder::new(source, options);
    let mut timing = *options;
    // The check of the descriptor refuses an invalid rate.
    if descriptor.frame_rate_hz > 0.0 {
        timing.frame_rate_hz = Some(descriptor.frame_rate_hz);
    } else if array.frames > 1 && description.t_acq_ns.is_none() && options.frame_rate_hz.is_none() {
        let rate = options.rate_hz();
        descriptor.frame_rate_hz = rate;
        recorder.note(format!(
            "no frame times: assumed {rate} frames per second; give t_acq_ns or frame_rate_hz in the .json, or --fps"
        ));
    }
    let frame_bytes = array.frame_bytes();
    for (index, samples) in (0u64..).zip(array.bytes.chunks_exact(frame_bytes.max(1))) {
        let place = Place::Frame(index + 1);
        recorder.make_room(place.clone(), samples.len() as u64)?;
        let given = description.t_acq_ns.as_ref().and_then(|times| times.get(index as usize)).copied();
        descriptor.t_acq_ns = given.unwrap_or_else(|| timing.assumed_time_ns(index));
        recorder.push(descriptor, samples.to_vec(), place)?;
    }
    if descriptor.geometry == GeometryKind::RasterUnknown as u32 {
        note_on_scale(&mut recorder, &Options { spacing_mm: None, ..*options }, "the .json (raster_unknown)");
    }
    recorder.finish()
}
