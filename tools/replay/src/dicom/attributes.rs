//! The attributes that are looked at, and no others.

use super::elements::{Element, Elements};
use super::region::Region;
use crate::error::{Place, ReplayError, Source};
use crate::recording::FRAMES_MAX;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_encoding::decode::BasicDecode;
use dicom_encoding::decode::basic::LittleEndianBasicDecoder;

/// What is known of the image. Attributes that the file lacks are none.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a> {
    /// Whether the modality is ultrasound.
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
    /// Whether Burned In Annotation says yes.
    pub is_burnt_in: bool,
    /// Frame Time: from one frame to the next.
    pub frame_time_ms: Option<f64>,
    /// Frame Time Vector: from one frame to the next, the first zero.
    pub frame_time_vector_ms: Vec<f64>,
    /// Cine Rate.
    pub cine_rate_hz: Option<f64>,
    /// Recommended Display Frame Rate.
    pub display_rate_hz: Option<f64>,
    /// Sequence Of Ultrasound Regions.
    pub regions: Vec<Region>,
    /// Pixel Data, and its fragments if it is encapsulated.
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
                    // Elements behind the pixels (padding, signatures) tell nothing that is needed.
                    break;
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// An element's value, to be understood as one type or another.
pub(super) struct Value<'a> {
    pub source: Source<'a>,
    pub element: Element<'a>,
}

impl<'a> Value<'a> {
    /// Text without the blanks around it.
    pub fn text(&self) -> &'a [u8] {
        let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
        let value = self.element.value;
        let start = value.iter().take_while(|byte| is_blank(byte)).count();
        let end = value.len() - value.iter().rev().take_while(|byte| is_blank(byte)).count();
        value.get(start..end).unwrap_or_default()
    }

    /// Numbers in text, with backslashes between them (`DS`, `IS`); what is no number becomes NaN. There is no use for
    /// more than one to a frame.
    pub fn numbers(&self) -> Vec<f64> {
        let parse = |text: &[u8]| std::str::from_utf8(text).ok()?.trim().parse().ok();
        let texts = self.text().split(|&byte| byte == b'\\').take(FRAMES_MAX as usize + 1);
        texts.map(|text| parse(text).unwrap_or(f64::NAN)).collect()
    }

    /// The first number in text, if it is finite.
    pub fn number(&self) -> Option<f64> {
        let first = self.text().split(|&byte| byte == b'\\').next()?;
        std::str::from_utf8(first).ok()?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// A tag (`AT`).
    pub fn tag(&self) -> Option<Tag> {
        LittleEndianBasicDecoder.decode_tag(self.element.value).ok()
    }

    /// Unsigned, of 16 bits (`US`).
    pub fn u16(&self) -> Result<u16, ReplayError> {
        self.needed(2, LittleEndianBasicDecoder.decode_us(self.element.value).ok())
    }

    /// Unsigned, of 32 bits (`UL`).
    pub fn u32(&self) -> Result<u32, ReplayError> {
        self.needed(4, LittleEndianBasicDecoder.decode_ul(self.element.value).ok())
    }

    /// Signed, of 32 bits (`SL`).
    pub fn i32(&self) -> Result<i32, ReplayError> {
        self.needed(4, LittleEndianBasicDecoder.decode_sl(self.element.value).ok())
    }

    /// Floating point, of 64 bits (`FD`).
    pub fn f64(&self) -> Result<f64, ReplayError> {
        self.needed(8, LittleEndianBasicDecoder.decode_fd(self.element.value).ok())
    }

    /// What was decoded; nothing was if the value is shorter than the type.
    fn needed<T>(&self, bytes: usize, decoded: Option<T>) -> Result<T, ReplayError> {
        decoded.ok_or_else(|| {
            let seen = self.element.value.len();
            let place = Place::Attribute(self.element.tag);
            self.source.malformed(place, format!("holds {seen} bytes, {bytes} are needed"))
        })
    }
}
