//! Acquisition times of the frames of a cine (PS3.3, cine module C.7.6.5).

use super::attributes::Attributes;
use crate::options::Options;
use crate::recording::Recorder;
use dicom_dictionary_std::tags::FRAME_TIME_VECTOR;

/// Longest plausible time between two frames.
const STEP_MAX_MS: f64 = 3_600_000.0;

/// Times between frames that scans have.
const SCAN_STEP_MS: std::ops::RangeInclusive<f64> = 1.0..=1000.0;

/// Acquisition times.
#[derive(Debug, PartialEq)]
pub(super) struct Times {
    /// Time of each frame since the first one.
    pub t_acq_ns: Vec<u64>,
    /// Mean rate; 0 if unknown or for a single frame.
    pub frame_rate_hz: f32,
}

/// A statement of the file on the time between frames.
struct Stated {
    name: &'static str,
    step_ms: f64,
    /// All times, if the statement gives each of them.
    t_acq_ns: Option<Vec<u64>>,
}

/// The times of `frames` frames. They come from the frame time vector, if the frame increment pointer names it or the
/// file has no frame time; else from the first valid one of frame time, cine rate and display rate; else from
/// [`Options::frame_rate_hz`], with a note. Where these disagree, a frame time that no scan has, or that is right in another
/// unit, gives way to a rate.
pub(super) fn times(
    attributes: &Attributes<'_>,
    frames: u64,
    options: &Options,
    recorder: &mut Recorder<'_>,
) -> Times {
    if frames < 2 {
        return Times { t_acq_ns: vec![0; frames as usize], frame_rate_hz: 0.0 };
    }
    let (stated, notes) = statements(attributes, frames);
    let step_of = |step_ms: f64| {
        let t_acq_ns = (0..frames).map(|frame| (frame as f64 * step_ms * 1e6).round() as u64).collect();
        Times { t_acq_ns, frame_rate_hz: rate_or_zero_hz(1e3 / step_ms) }
    };
    // The recorder replaces the times by those of the user's rate.
    if options.frame_rate_hz.is_some() {
        return step_of(1e3 / f64::from(options.rate_hz()));
    }
    recorder.notes(notes);
    let Some(chosen) = choose(&stated) else {
        let rate = options.rate_hz();
        recorder.note(format!("no frame times: assumed {rate} frames per second; --fps changes it"));
        return step_of(1e3 / f64::from(rate));
    };
    let words = |stated: &Stated| format!("{} of the {}", milliseconds(stated.step_ms), stated.name);
    if stated.iter().any(|other| disagree(other.step_ms, chosen.step_ms)) {
        let all: Vec<String> = stated.iter().map(words).collect();
        recorder.note(format!(
            "the times between frames disagree ({}): {} are used; --fps sets another rate",
            all.join(", "),
            words(chosen)
        ));
    } else if !SCAN_STEP_MS.contains(&chosen.step_ms) {
        recorder.note(format!("{} are unusual for a scan; --fps sets another rate", words(chosen)));
    }
    match &chosen.t_acq_ns {
        Some(t_acq_ns) => {
            Times { t_acq_ns: t_acq_ns.clone(), frame_rate_hz: rate_or_zero_hz(1e3 / chosen.step_ms) }
        }
        None => step_of(chosen.step_ms),
    }
}

/// The file's valid statements, the most reliable one first; and notes on invalid ones.
fn statements(attributes: &Attributes<'_>, frames: u64) -> (Vec<Stated>, Vec<String>) {
    let (mut stated, mut notes) = (Vec::new(), Vec::new());
    let vector = &attributes.frame_time_vector_ms;
    let is_selected = attributes.frame_increment == Some(FRAME_TIME_VECTOR);
    if is_selected || attributes.frame_time_ms.is_none() {
        if let Some(t_acq_ns) = from_vector(vector, frames) {
            let step_ms = t_acq_ns.last().copied().unwrap_or(0) as f64 * 1e-6 / (frames - 1) as f64;
            stated.push(Stated { name: "frame time vector", step_ms, t_acq_ns: Some(t_acq_ns) });
        } else if is_selected || !vector.is_empty() {
            notes.push(format!(
                "the frame time vector is ignored: it does not contain {frames} times in ascending order"
            ));
        }
    }
    if attributes.frame_time_ms.is_some_and(|ms| !is_valid(ms)) {
        notes.push("the frame time is ignored: it is not between 0.1 ms and an hour".to_owned());
    }
    let step_ms =
        |rate_hz: Option<f64>| rate_hz.filter(|&rate_hz| rate_hz > 0.0).map(|rate_hz| 1e3 / rate_hz);
    // A valid vector was selected instead of the frame time.
    let frame_time_ms = attributes.frame_time_ms.filter(|_| stated.is_empty());
    for (name, step_ms) in [
        ("frame time", frame_time_ms),
        ("cine rate", step_ms(attributes.cine_rate_hz)),
        ("display rate", step_ms(attributes.display_rate_hz)),
    ] {
        if let Some(step_ms) = step_ms.filter(|&ms| is_valid(ms)) {
            stated.push(Stated { name, step_ms, t_acq_ns: None });
        }
    }
    (stated, notes)
}

/// The first statement, unless no scan has such a step or it is right in microseconds or seconds, and another statement
/// gives a step that scans have.
fn choose(stated: &[Stated]) -> Option<&Stated> {
    let first = stated.first()?;
    let is_unit = |other: &Stated| {
        let ratio = first.step_ms / other.step_ms;
        [1e3, 1e-3].iter().any(|unit| (ratio / unit - 1.0).abs() < 0.1)
    };
    let is_doubtful = |other: &&Stated| !SCAN_STEP_MS.contains(&first.step_ms) || is_unit(other);
    let better =
        stated.iter().skip(1).find(|other| SCAN_STEP_MS.contains(&other.step_ms) && is_doubtful(other));
    Some(better.unwrap_or(first))
}

fn is_valid(ms: f64) -> bool {
    (0.1..=STEP_MAX_MS).contains(&ms)
}

fn disagree(a_ms: f64, b_ms: f64) -> bool {
    a_ms > 2.0 * b_ms || b_ms > 2.0 * a_ms
}

fn milliseconds(ms: f64) -> String {
    // Without the digits that a division leaves.
    format!("{} ms", (ms * 1e3).round() / 1e3)
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
