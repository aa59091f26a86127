//! Clarius raw data: the envelope of a linear array before scan conversion.
//!
//! `NAME.raw` contains a header of five little-endian 32-bit words (id, frames, lines, samples per line, bytes per
//! sample). The frames follow, each with its time in nanoseconds (64 bits) and its samples. `NAME.yml` describes the
//! samples. Source: clariusdev/raw.
//!
//! Depth: sample `i` is `i * c / (2 * sampling rate)` below the probe's face. The `delay samples` of the `.yml` are not
//! added: they come before the first stored sample, and the scanner's own picture and ruler start at the first stored
//! sample. Measured on the carotid recording of clariusdev/raw, whose picture is known: its rows fit to 0.05 mm without
//! the delay, and are 0.8 mm off with it. Its `roi` agrees: without the delay, the last sample is at the imaging depth.
//!
//! Lateral position: each line is received on an element. The distance between elements is not in the files:
//! [`Options::pitch_mm`](crate::Options::pitch_mm).

mod parameters;
mod raw;

use crate::error::{Place, ReplayError, Source};
use crate::file::beside;
use crate::options::Options;
use crate::recording::{Recorder, Recording};
use parameters::Parameters;
use raw::Raw;
use sonotrace_hal::frame::{
    Domain, FrameDescriptor, GeometryKind, LAW_LOGARITHMIC, SampleType, TGC_POINTS, TgcPoint,
};
use std::path::Path;

/// Speed of sound that the scanner assumes.
const SPEED_OF_SOUND_M_S: f32 = 1540.0;

/// Reads an envelope recording from the bytes of `file` (a `.raw`) and of the `.yml` next to it.
///
/// # Errors
/// Other data than an envelope (IQ, RF); compressed samples; steered lines; a header that contradicts the parameters or
/// the file's length; missing or malformed parameters, with their line; no [`Options::pitch_mm`].
pub fn read(file: &Path, raw: &[u8], yml: &[u8], options: &Options) -> Result<Recording, ReplayError> {
    options.check()?;
    let source = Source(file);
    options.refuse_window(source)?;
    let parameters_path = beside(file, "yml");
    let described = Source(&parameters_path);
    let parameters = Parameters::parse(described, yml)?;
    parameters.check_kind(described)?;
    let raw = Raw::parse(source, raw)?;
    raw.check_against(source, &parameters)?;
    let Some(pitch_mm) = options.pitch_mm else {
        let what = "the distance between the probe's elements is not in the recording";
        let fix = "give --pitch MM (0.2 for a linear probe with 192 elements on 38 mm)";
        return Err(source.unsupported(Place::Whole, what, fix));
    };

    let mut recorder = Recorder::new(source, options);
    let descriptor = descriptor(&parameters, pitch_mm, options, described)?;
    let mut last_ns = 0;
    let mut backward = 0u64;
    for (index, (time_ns, samples)) in (0u64..).zip(raw.frames()) {
        let place = Place::Frame(index + 1);
        recorder.make_room(place.clone(), samples.len() as u64)?;
        backward += u64::from(time_ns < last_ns);
        last_ns = time_ns;
        recorder.push(FrameDescriptor { t_acq_ns: time_ns, ..descriptor }, samples.to_vec(), place)?;
    }
    if backward > 0 {
        recorder.note(format!("{backward} frames have an earlier time than the frame before them"));
    }
    recorder.note(format!(
        "assumed a linear array with {pitch_mm} mm between elements, as given with --pitch: the recording does not store it, and frames of a curved probe would be distorted"
    ));
    recorder.note(format!(
        "assumed log compression over {} dB: the recording does not store it; --range-db changes it",
        options.range_db
    ));
    let depth_mm = descriptor.last_depth_mm;
    if parameters.imaging_depth_mm.is_some_and(|mm| (depth_mm / mm - 1.0).abs() > 0.1) {
        let declared_mm = parameters.imaging_depth_mm.unwrap_or(0.0);
        recorder.note(format!(
            "the samples reach a depth of {depth_mm:.1} mm, the imaging depth is {declared_mm} mm: axial measurements may be wrong"
        ));
    }
    recorder.finish()
}

fn descriptor(
    parameters: &Parameters,
    pitch_mm: f32,
    options: &Options,
    source: Source<'_>,
) -> Result<FrameDescriptor, ReplayError> {
    let [first, last] = parameters.element_range(source)?;
    // Zero is the middle of the lines: the middle of the probe's face, if the lines cover all of it.
    let half_mm = (last - first) / 2.0 * f64::from(pitch_mm);
    let step_mm = f64::from(SPEED_OF_SOUND_M_S) * 1e3 / (2.0 * parameters.sampling_rate_hz);
    let mut tgc = [TgcPoint::default(); TGC_POINTS];
    let points = thinned(&parameters.tgc);
    for (point, &[depth_mm, gain_db]) in tgc.iter_mut().zip(&points) {
        *point = TgcPoint { depth_mm, gain_db };
    }
    Ok(FrameDescriptor {
        domain: Domain::PolarEnvelope as u32,
        sample_type: SampleType::U8 as u32,
        lines: parameters.lines,
        samples: parameters.samples,
        stride_bytes: parameters.samples,
        geometry: GeometryKind::Linear as u32,
        left_mm: -half_mm as f32,
        right_mm: half_mm as f32,
        first_depth_mm: 0.0,
        last_depth_mm: (f64::from(parameters.samples.saturating_sub(1)) * step_mm) as f32,
        speed_of_sound_m_s: SPEED_OF_SOUND_M_S,
        amplitude_law: LAW_LOGARITHMIC,
        law_range_db: options.range_db,
        frame_rate_hz: parameters.frame_rate_hz.unwrap_or(0.0),
        tgc_points: points.len() as u32,
        tgc,
        ..FrameDescriptor::blank()
    })
}

/// A gain curve reduced to the number of points that a descriptor holds: first, last, and evenly spaced ones between.
/// The scanner has already applied the curve, so nothing is computed from it.
fn thinned(points: &[[f32; 2]]) -> Vec<[f32; 2]> {
    if points.len() <= TGC_POINTS {
        return points.to_vec();
    }
    (0..TGC_POINTS).map(|index| points[index * (points.len() - 1) / (TGC_POINTS - 1)]).collect()
}
