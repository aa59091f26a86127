//! Grey levels of monochrome pixels: stored bits, modality table or rescaling, window or table of values of interest, and
//! inversion (PS3.3 sections C.7.6.3, C.11.1, C.11.2 and C.11.6). Padding (section C.7.5.1.1.2) is black.

use super::attributes::Attributes;
use super::layout::PixelLayout;
use crate::levels::{Levels, Shown};
use crate::options::Options;
use crate::recording::Recorder;
use crate::window::{Window, WindowFunction};

/// The levels of a file's monochrome pixels. Notes say which of contradicting attributes was used.
pub(super) fn levels(
    attributes: &Attributes<'_>,
    layout: &PixelLayout,
    options: &Options,
    recorder: &mut Recorder<'_>,
) -> Levels {
    let stored = layout.stored;
    let [slope, intercept] = attributes.rescale;
    let slope = match slope {
        Some(0.0) => {
            recorder.note("the rescale slope is 0: it is ignored");
            1.0
        }
        slope => slope.unwrap_or(1.0),
    };
    let intercept = intercept.unwrap_or(0.0);
    let value = |word: u16| match &attributes.modality_lut {
        Some(lut) => lut.entry(stored.value(word), stored.is_signed),
        None => slope * stored.value(word) + intercept,
    };
    let [low, high] = match &attributes.modality_lut {
        Some(lut) => [0.0, f64::from(lut.max)],
        None => stored.range().map(|end| slope * end + intercept),
    };
    let full = Shown::FullRange { low: low.min(high), high: low.max(high) };
    let shown = match (options.window, &attributes.voi_lut) {
        (Some(window), _) => Shown::Window(window),
        (None, Some(lut)) => {
            let brightness = lut.entries.iter().map(|&entry| f64::from(entry) / f64::from(lut.max));
            Shown::Table { first: lut.first(low.min(high) < 0.0), brightness: brightness.collect() }
        }
        (None, None) => window(attributes, recorder).map_or(full, Shown::Window),
    };
    let levels = Levels::new(stored.bits_allocated, value, &shown, is_inverted(attributes, recorder));
    match attributes.padding {
        [None, _] => levels,
        [Some(first), last] => {
            let [first, last] = [first, last.unwrap_or(first)].map(|end| stored.of_attribute(end));
            // The standard allows either end to be the larger one.
            let padding = first.min(last)..=first.max(last);
            levels.with_padding(|word| padding.contains(&stored.value(word)))
        }
    }
}

/// The first of the file's windows.
fn window(attributes: &Attributes<'_>, recorder: &mut Recorder<'_>) -> Option<Window> {
    let [centres, widths] = &attributes.windows;
    let (&centre, &width) = (centres.first()?, widths.first()?);
    let function = match attributes.window_function {
        None | Some(b"LINEAR" | b"") => WindowFunction::Linear,
        Some(b"LINEAR_EXACT") => WindowFunction::LinearExact,
        Some(b"SIGMOID") => WindowFunction::Sigmoid,
        Some(_) => {
            recorder.note("the VOI LUT function is unknown: the window is taken as linear");
            WindowFunction::Linear
        }
    };
    let window = Window { centre, width, function };
    if !window.is_valid() {
        recorder.note(format!(
            "the file's window (centre {centre}, width {width}) is ignored: its width must be at least 1; --window CENTRE,WIDTH sets another"
        ));
        return None;
    }
    if centres.len() > 1 {
        recorder.note(format!(
            "the file has {} windows: the first one, --window {centre},{width}, is used",
            centres.len()
        ));
    }
    Some(window)
}

/// Whether the smallest value is white. Both attributes state the same, and should agree.
fn is_inverted(attributes: &Attributes<'_>, recorder: &mut Recorder<'_>) -> bool {
    let is_monochrome1 = attributes.photometric == Some(b"MONOCHROME1");
    match attributes.presentation {
        Some(b"INVERSE") if !is_monochrome1 => {
            recorder.note("the presentation LUT shape is INVERSE: grey levels are inverted");
            true
        }
        Some(b"IDENTITY") if is_monochrome1 => {
            recorder.note(
                "MONOCHROME1 and the presentation LUT shape IDENTITY contradict each other: grey levels are inverted, as MONOCHROME1 states",
            );
            true
        }
        _ => is_monochrome1,
    }
}
