//! The attributes that the reader uses; all others are skipped.

use super::elements::{Element, Elements};
use super::groups::{self, Groups};
use super::lut::Lut;
use super::palette;
use super::region::Region;
use super::value::Value;
use crate::error::{Place, ReplayError, Source};
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// The attributes of an image. Those that are missing in the file are `None`.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a> {
    /// Modality: whether it is ultrasound.
    pub modality_is_ultrasound: Option<bool>,
    /// Samples Per Pixel.
    pub samples_per_pixel: Option<u16>,
    /// Photometric Interpretation.
    pub photometric: Option<&'a [u8]>,
    /// Planar Configuration.
    pub planar: Option<u16>,
    /// Number Of Frames; `None` also if it is empty or zero.
    pub frames: Option<u64>,
    /// Whether the file has a Number Of Frames.
    pub has_frames: bool,
    /// Frame Increment Pointer.
    pub frame_increment: Option<Tag>,
    /// Rows.
    pub rows: Option<u16>,
    /// Columns.
    pub columns: Option<u16>,
    /// Bits Allocated.
    pub bits_allocated: Option<u16>,
    /// Bits Stored.
    pub bits_stored: Option<u16>,
    /// High Bit.
    pub high_bit: Option<u16>,
    /// Pixel Representation.
    pub pixel_representation: Option<u16>,
    /// Pixel Padding Value and Pixel Padding Range Limit, as stored: their sign is that of the pixels.
    pub padding: [Option<u16>; 2],
    /// Rescale Slope and Rescale Intercept.
    pub rescale: [Option<f64>; 2],
    /// Modality LUT Sequence: its first table.
    pub modality_lut: Option<Lut>,
    /// VOI LUT Sequence: its first table.
    pub voi_lut: Option<Lut>,
    /// Window Center and Window Width: as many windows as there are alternatives.
    pub windows: [Vec<f64>; 2],
    /// VOI LUT Function.
    pub window_function: Option<&'a [u8]>,
    /// Presentation LUT Shape.
    pub presentation: Option<&'a [u8]>,
    /// Palette Color Lookup Table Descriptor and Data of red, green and blue.
    pub palette: [palette::Colour<'a>; 3],
    /// Whether the file has a segmented palette.
    pub has_segmented_palette: bool,
    /// Burned In Annotation: whether it is `YES`.
    pub is_burnt_in: bool,
    /// Frame Time: time between two frames.
    pub frame_time_ms: Option<f64>,
    /// Frame Time Vector: time since the frame before, for each frame; zero for the first.
    pub frame_time_vector_ms: Vec<f64>,
    /// Cine Rate.
    pub cine_rate_hz: Option<f64>,
    /// Recommended Display Frame Rate.
    pub display_rate_hz: Option<f64>,
    /// Pixel Spacing: vertical, horizontal.
    pub spacing_mm: Vec<f64>,
    /// Pixel Aspect Ratio: vertical, horizontal.
    pub aspect: Vec<f64>,
    /// Shared and Per-Frame Functional Groups Sequences.
    pub groups: Groups<'a>,
    /// Sequence Of Ultrasound Regions.
    pub regions: Vec<Region>,
    /// Extended Offset Table.
    pub offsets: Option<&'a [u8]>,
    /// Pixel Data, with its fragments if it is encapsulated.
    pub pixels: Option<(Element<'a>, Option<Vec<Element<'a>>>)>,
}

impl<'a> Attributes<'a> {
    /// Reads the data set, up to its pixel data.
    pub fn read(source: Source<'a>, elements: &mut Elements<'a>) -> Result<Self, ReplayError> {
        let mut found = Self::default();
        while let Some(element) = elements.next()? {
            let value = Value { source, element };
            match element.tag {
                tags::MODALITY => found.modality_is_ultrasound = Some(value.text() == b"US"),
                tags::RECOMMENDED_DISPLAY_FRAME_RATE => found.display_rate_hz = value.number(),
                tags::CINE_RATE => found.cine_rate_hz = value.number(),
                tags::FRAME_TIME => found.frame_time_ms = value.number(),
                tags::FRAME_TIME_VECTOR => found.frame_time_vector_ms = value.numbers(),
                tags::SEQUENCE_OF_ULTRASOUND_REGIONS => {
                    for item in elements.items(&element)? {
                        found.regions.push(Region::read(source, elements.elements(&item))?);
                    }
                }
                tags::PIXEL_SPACING => found.spacing_mm = value.numbers(),
                tags::PIXEL_ASPECT_RATIO => found.aspect = value.numbers(),
                tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE => {
                    let items = elements.items(&element)?;
                    let first = items.first().map(|item| groups::Item::read(source, elements.elements(item)));
                    found.groups.shared = first.transpose()?;
                }
                tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE => {
                    for item in elements.items(&element)? {
                        found.groups.frames.push(groups::Item::read(source, elements.elements(&item))?);
                    }
                }
                tags::SAMPLES_PER_PIXEL => found.samples_per_pixel = Some(value.u16()?),
                tags::PHOTOMETRIC_INTERPRETATION => found.photometric = Some(value.text()),
                tags::PLANAR_CONFIGURATION => found.planar = Some(value.u16()?),
                tags::NUMBER_OF_FRAMES => {
                    found.has_frames = true;
                    found.frames = frames(source, &value)?;
                }
                tags::FRAME_INCREMENT_POINTER => found.frame_increment = value.tag(),
                tags::ROWS => found.rows = Some(value.u16()?),
                tags::COLUMNS => found.columns = Some(value.u16()?),
                tags::BITS_ALLOCATED => found.bits_allocated = Some(value.u16()?),
                tags::BITS_STORED => found.bits_stored = Some(value.u16()?),
                tags::HIGH_BIT => found.high_bit = Some(value.u16()?),
                tags::PIXEL_REPRESENTATION => found.pixel_representation = Some(value.u16()?),
                tags::PIXEL_PADDING_VALUE => found.padding[0] = Some(value.u16()?),
                tags::PIXEL_PADDING_RANGE_LIMIT => found.padding[1] = Some(value.u16()?),
                tags::RESCALE_SLOPE => found.rescale[0] = value.number_or_refuse()?,
                tags::RESCALE_INTERCEPT => found.rescale[1] = value.number_or_refuse()?,
                tags::WINDOW_CENTER => found.windows[0] = value.numbers(),
                tags::WINDOW_WIDTH => found.windows[1] = value.numbers(),
                tags::VOILUT_FUNCTION => found.window_function = Some(value.text()),
                tags::PRESENTATION_LUT_SHAPE => found.presentation = Some(value.text()),
                tags::MODALITY_LUT_SEQUENCE => found.modality_lut = lut(source, elements, &element)?,
                tags::VOILUT_SEQUENCE => found.voi_lut = lut(source, elements, &element)?,
                tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA => found.has_segmented_palette = true,
                tags::BURNED_IN_ANNOTATION => found.is_burnt_in = value.text() == b"YES",
                tags::EXTENDED_OFFSET_TABLE => found.offsets = Some(element.value),
                tags::PIXEL_DATA => {
                    let fragments = if element.is_open { Some(elements.items(&element)?) } else { None };
                    found.pixels = Some((element, fragments));
                    // Nothing after the pixels (padding, signatures) is used.
                    break;
                }
                _ => palette::take(&mut found.palette, &value),
            }
        }
        Ok(found)
    }
}

/// Number Of Frames: `None` if it is empty or zero.
fn frames(source: Source<'_>, value: &Value<'_>) -> Result<Option<u64>, ReplayError> {
    let is_count = |frames: &f64| frames.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(frames);
    match value.number().filter(is_count) {
        Some(frames) => Ok(Some(frames as u64).filter(|&frames| frames > 0)),
        None if value.text().is_empty() => Ok(None),
        None => Err(source.malformed(Place::Attribute(value.element.tag), "not a number of frames")),
    }
}

/// The table in the first item of a sequence.
fn lut<'a>(
    source: Source<'a>,
    elements: &Elements<'a>,
    sequence: &Element<'a>,
) -> Result<Option<Lut>, ReplayError> {
    let items = elements.items(sequence)?;
    items.first().map(|item| Lut::read(source, elements.elements(item))).transpose()
}
