//! Functional groups of enhanced multi-frame images (PS3.3 section C.7.6.16): attributes stated once for all frames, or for
//! each. They are used where the image itself does not state them.

use super::attributes::Attributes;
use super::elements::{Element, Elements};
use super::value::Value;
use crate::error::{Place, ReplayError, Source};
use crate::options::Options;
use crate::recording::Recorder;
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// Centre and width of windows, and their curve.
type Window<'s, 'a> = (&'s [Vec<f64>; 2], Option<&'a [u8]>);

/// What one item of functional groups states.
#[derive(Debug, Default)]
pub(super) struct Item<'a> {
    /// Window Center and Window Width, of Frame VOI LUT Sequence.
    windows: [Vec<f64>; 2],
    /// VOI LUT Function, of the same.
    window_function: Option<&'a [u8]>,
    /// Rescale Slope and Rescale Intercept, of Pixel Value Transformation Sequence.
    rescale: [Option<f64>; 2],
    /// Pixel Spacing, of Pixel Measures Sequence.
    spacing_mm: Vec<f64>,
    /// Temporal Position Index, of Frame Content Sequence.
    temporal_position: Option<u32>,
    /// Dimension Index Values, of the same.
    dimensions: Vec<u32>,
}

impl<'a> Item<'a> {
    /// Reads one item.
    pub fn read(source: Source<'a>, mut elements: Elements<'a>) -> Result<Self, ReplayError> {
        let mut found = Self::default();
        while let Some(element) = elements.next()? {
            if matches!(
                element.tag,
                tags::FRAME_VOILUT_SEQUENCE
                    | tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE
                    | tags::PIXEL_MEASURES_SEQUENCE
                    | tags::FRAME_CONTENT_SEQUENCE
            ) && let Some(first) = elements.items(&element)?.first()
            {
                let mut within = elements.elements(first);
                while let Some(element) = within.next()? {
                    found.take(source, element)?;
                }
            }
        }
        Ok(found)
    }

    fn take(&mut self, source: Source<'a>, element: Element<'a>) -> Result<(), ReplayError> {
        let value = Value { source, element };
        match element.tag {
            tags::WINDOW_CENTER => self.windows[0] = value.numbers(),
            tags::WINDOW_WIDTH => self.windows[1] = value.numbers(),
            tags::VOILUT_FUNCTION => self.window_function = Some(value.text()),
            tags::RESCALE_SLOPE => self.rescale[0] = value.number_or_refuse()?,
            tags::RESCALE_INTERCEPT => self.rescale[1] = value.number_or_refuse()?,
            tags::PIXEL_SPACING => self.spacing_mm = value.numbers(),
            tags::TEMPORAL_POSITION_INDEX => self.temporal_position = Some(value.u32()?),
            tags::DIMENSION_INDEX_VALUES => {
                let words = element.value.as_chunks().0.iter();
                self.dimensions = words.map(|&word| u32::from_le_bytes(word)).collect();
            }
            _ => {}
        }
        Ok(())
    }

    fn window(&self) -> Option<Window<'_, 'a>> {
        (!self.windows[0].is_empty()).then_some((&self.windows, self.window_function))
    }

    fn rescale(&self) -> Option<[Option<f64>; 2]> {
        self.rescale.iter().any(Option::is_some).then_some(self.rescale)
    }

    fn spacing_mm(&self) -> Option<&[f64]> {
        (!self.spacing_mm.is_empty()).then_some(&self.spacing_mm)
    }
}

/// The shared item, and one for each frame.
#[derive(Debug, Default)]
pub(super) struct Groups<'a> {
    /// Shared Functional Groups Sequence.
    pub shared: Option<Item<'a>>,
    /// Per-Frame Functional Groups Sequence.
    pub frames: Vec<Item<'a>>,
}

/// The frames state different values.
struct Differs;

impl<'a> Groups<'a> {
    /// What the shared item states, or all frames alike.
    fn common<'s, T: PartialEq>(
        &'s self,
        of: impl Fn(&'s Item<'a>) -> Option<T>,
    ) -> Result<Option<T>, Differs> {
        if let Some(shared) = self.shared.as_ref().and_then(&of) {
            return Ok(Some(shared));
        }
        let mut frames = self.frames.iter().map(of);
        let first = frames.next().flatten();
        if frames.all(|other| other == first) { Ok(first) } else { Err(Differs) }
    }
}

/// Fills in what the image itself does not state: window, rescaling and pixel spacing.
///
/// # Errors
/// A window or rescaling that differs between frames: the frames of a recording share theirs.
pub(super) fn fill_in(
    source: Source<'_>,
    attributes: &mut Attributes<'_>,
    options: &Options,
    recorder: &mut Recorder<'_>,
) -> Result<(), ReplayError> {
    let groups = std::mem::take(&mut attributes.groups);
    let differs = |tag: Tag, what: &str, fix| {
        Err(source.unsupported(Place::Attribute(tag), format!("the {what} differs between frames"), fix))
    };
    if attributes.windows[0].is_empty() && attributes.voi_lut.is_none() && options.window.is_none() {
        match groups.common(Item::window) {
            Ok(None) => {}
            Ok(Some((windows, function))) => {
                attributes.windows = windows.clone();
                attributes.window_function = function;
            }
            Err(Differs) => {
                let fix = "--window CENTRE,WIDTH sets one for all frames";
                return differs(tags::WINDOW_CENTER, "window", fix);
            }
        }
    }
    if attributes.rescale == [None; 2] && attributes.modality_lut.is_none() {
        match groups.common(Item::rescale) {
            Ok(None) => {}
            Ok(Some(rescale)) => attributes.rescale = rescale,
            Err(Differs) => {
                let fix = "export it with one rescale slope and intercept for all frames";
                return differs(tags::RESCALE_SLOPE, "rescaling", fix);
            }
        }
    }
    if attributes.spacing_mm.is_empty() {
        match groups.common(Item::spacing_mm) {
            Ok(spacing_mm) => attributes.spacing_mm = spacing_mm.unwrap_or_default().to_vec(),
            Err(Differs) => recorder.note("the pixel spacing differs between frames: it is ignored"),
        }
    }
    attributes.groups = groups;
    Ok(())
}

/// The order of the frames in time, as indices of the stored ones; `None` for that in which they are stored. Notes say if
/// they are another one, or if the frames are no cine.
pub(super) fn order(groups: &Groups<'_>, frames: u64, recorder: &mut Recorder<'_>) -> Option<Vec<usize>> {
    if groups.frames.len() as u64 != frames {
        if !groups.frames.is_empty() {
            let seen = groups.frames.len();
            recorder
                .note(format!("{seen} functional groups for {frames} frames: the frames are read as stored"));
        }
        return None;
    }
    let temporal: Option<Vec<u32>> = groups.frames.iter().map(|frame| frame.temporal_position).collect();
    let (name, keys) = match temporal {
        Some(keys) => ("temporal positions", keys),
        None => ("dimension indices", varying(groups, recorder)?),
    };
    if keys.is_sorted_by(|a, b| a < b) {
        return None;
    }
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|&at| keys[at]);
    if order.windows(2).any(|pair| keys[pair[0]] == keys[pair[1]]) {
        recorder.note(format!("{VOLUME}: several have the same {name}"));
        return None;
    }
    recorder.note(format!(
        "the frames are read in the order of their {name}, which is not that in which they are stored"
    ));
    Some(order)
}

/// The note on frames that are not a cine.
const VOLUME: &str = "the frames may be slices of a volume and not a cine, and are read as stored";

/// The values of the only dimension in which the frames differ.
fn varying(groups: &Groups<'_>, recorder: &mut Recorder<'_>) -> Option<Vec<u32>> {
    let first = &groups.frames.first()?.dimensions;
    let differs =
        |axis: &usize| groups.frames.iter().any(|frame| frame.dimensions.get(*axis) != first.get(*axis));
    let axes: Vec<usize> = (0..first.len()).filter(differs).collect();
    match axes[..] {
        [] => None,
        [axis] => groups.frames.iter().map(|frame| frame.dimensions.get(axis).copied()).collect(),
        _ => {
            recorder.note(format!("{VOLUME}: they differ in {} dimensions", axes.len()));
            None
        }
    }
}
