//! Acquisition times of the frames of a cine (PS3.3, cine module C.7.6.5).

use super::attributes::Attributes;
use crate::options::Options;
use crate::recording::Recorder;
use dicom_dictionary_std::tags::FRAME_TIME_VECTOR;

/// Longest plausible time between two frames.
const STEP_MAX_MS: f64 = 3_600_000.0;

/// Acquisition times.
#[derive(Debug, PartialEq)]
pub(super) struct Times {
    /// Time of each frame since the first one.
    pub t_acq_ns: Vec<u64>,
    /// Mean rate; 0 if unknown or for a single frame.
    pub frame_rate_hz: f32,
}

/// The times of `frames` frames. They come from the frame time vector, if the frame increment pointer names it or the
/// file has no frame time; else from the first valid one of frame time, cine rate and display rate; else from
/// [`Options::frame_rate_hz`], with a note.
pub(super) fn times(
    attributes: &Attributes<'_>,
    frames: u64,
    options: &Options,
    recorder: &mut Recorder<'_>,
) -> Times {
    if frames < 2 {
        return Times { t_acq_ns: vec![0; frames as usize], frame_rate_hz: 0.0 };
    }
    let vector = &attributes.frame_time_vector_ms;
    let is_selected = attributes.frame_increment == Some(FRAME_TIME_VECTOR);
    if is_selected || attributes.frame_time_ms.is_none() {
        if let Some(t_acq_ns) = from_vector(vector, frames) {
            let span_ns = t_acq_ns.last().copied().unwrap_or(0);
            let frame_rate_hz = rate_or_zero_hz((frames - 1) as f64 * 1e9 / span_ns as f64);
            return Times { t_acq_ns, frame_rate_hz };
        }
        if is_selected || !vector.is_empty() {
            recorder.note(format!(
                "the frame time vector is ignored: it does not contain {frames} times in ascending order"
            ));
        }
    }
    let step_ms =
        |rate_hz: Option<f64>| rate_hz.filter(|&rate_hz| rate_hz > 0.0).map(|rate_hz| 1e3 / rate_hz);
    let known =
        [attributes.frame_time_ms, step_ms(attributes.cine_rate_hz), step_ms(attributes.display_rate_hz)];
    let is_valid = |ms: &f64| (0.1..=STEP_MAX_MS).contains(ms);
    if attributes.frame_time_ms.is_some_and(|ms| !is_valid(&ms)) {
        recorder.note("the frame time is ignored: it is not between 0.1 ms and an hour");
    }
    let step_ms = known.into_iter().flatten().find(is_valid);
    let step_ms = step_ms.unwrap_or_else(|| {
        let rate = options.frame_rate_hz;
        recorder.note(format!("no frame times: assumed {rate} frames per second; --fps changes it"));
        1e3 / f64::from(rate)
    });
    let t_acq_ns = (0..frames).map(|frame| (frame as f64 * step_ms * 1e6).round() as u64).collect();
    Times { t_acq_ns, frame_rate_hz: rate_or_zero_hz(1e3 / step_ms) }
}

/// Times as the sum of steps. `None` unless there is one step per frame and none is negative; the first one is ignored.
fn from_vector(steps_ms: &[f64], frames: u64) -> Option<Vec<u64>> {
    if steps_ms.len() as u64 != frames {
        return None;
    }
    let mut times_ns = Vec::with_capacity(steps_ms.len());
    let mut time_ms = 0.0;
    for (index, &step_ms) in steps_ms.iter().enumerate() {
        if !(0.0..=STEP_MAX_MS).contains(&step_ms) {
            return None;
        }
        time_ms += if index == 0 { 0.0 } else { step_ms };
        times_ns.push((time_ms * 1e6).round() as u64);
    }
    (time_ms > 0.0).then_some(times_ns)
}

/// The rate, or 0 (unknown) if a descriptor would not accept it.
fn rate_or_zero_hz(rate_hz: f64) -> f32 {
    if rate_hz.is_finite() && rate_hz <= 10_000.0 { rate_hz as f32 } else { 0.0 }
}
