//! The attributes that the reader uses; all others are skipped.

use super::elements::{Element, Elements};
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
    /// Number Of Frames.
    pub frames: Option<u64>,
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
    /// Sequence Of Ultrasound Regions.
    pub regions: Vec<Region>,
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
                tags::SAMPLES_PER_PIXEL => found.samples_per_pixel = Some(value.u16()?),
                tags::PHOTOMETRIC_INTERPRETATION => found.photometric = Some(value.text()),
                tags::PLANAR_CONFIGURATION => found.planar = Some(value.u16()?),
                tags::NUMBER_OF_FRAMES => {
                    let is_count =
                        |frames: &f64| frames.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(frames);
                    let frames = value.number().filter(is_count);
                    let place = Place::Attribute(element.tag);
                    let problem = "not a number of frames";
                    found.frames = Some(frames.ok_or_else(|| source.malformed(place, problem))? as u64);
                }
                tags::FRAME_INCREMENT_POINTER => found.frame_increment = value.tag(),
                tags::ROWS => found.rows = Some(value.u16()?),
                tags::COLUMNS => found.columns = Some(value.u16()?),
                tags::BITS_ALLOCATED => found.bits_allocated = Some(value.u16()?),
                tags::BITS_STORED => found.bits_stored = Some(value.u16()?),
                tags::HIGH_BIT => found.high_bit = Some(value.u16()?),
                tags::PIXEL_REPRESENTATION => found.pixel_representation = Some(value.u16()?),
                tags::BURNED_IN_ANNOTATION => found.is_burnt_in = value.text() == b"YES",
                tags::PIXEL_DATA => {
                    let fragments = if element.is_open { Some(elements.items(&element)?) } else { None };
                    found.pixels = Some((element, fragments));
                    // Nothing after the pixels (padding, signatures) is used.
                    break;
                }
                _ => {}
            }
        }
        Ok(found)
    }
}
