//! How pixels are stored, from the attributes.

use super::attributes::Attributes;
use super::syntax::Coding;
use crate::error::{Place, ReplayError, Source};
use crate::recording::{FRAMES_MAX, check_picture_size};
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// Photometric Interpretation: the meaning of a pixel's samples (PS3.3 section C.7.6.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Photometric {
    /// Grey; which end is black is in the grey levels.
    Monochrome,
    /// Entries of a palette.
    Palette,
    /// Red, green, blue.
    Rgb,
    /// Luma and two chroma components, full range.
    YbrFull,
    /// The same with chroma for every second pixel: two pixels are luma, luma, chroma, chroma.
    YbrFull422,
}

impl Photometric {
    /// Whether a pixel is one sample, whose meaning is in the grey levels.
    pub fn has_one_sample(self) -> bool {
        matches!(self, Self::Monochrome | Self::Palette)
    }
}

/// Where the bits of a sample are, and its sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    /// Bits of a sample in the file: 8 or 16.
    pub bits_allocated: u32,
    /// Bits of a sample that count.
    bits_stored: u32,
    /// Position of the lowest of them.
    shift: u32,
    /// Whether the highest of them is a sign.
    pub is_signed: bool,
}

impl Stored {
    /// Unsigned bytes.
    const BYTE: Self = Self { bits_allocated: 8, bits_stored: 8, shift: 0, is_signed: false };

    /// The number in a sample. Its other bits may hold other data, such as overlays in old files.
    pub fn value(&self, word: u16) -> f64 {
        let number = (u32::from(word) >> self.shift) & ((1 << self.bits_stored) - 1);
        let is_negative = self.is_signed && number >> (self.bits_stored - 1) == 1;
        f64::from(number) - if is_negative { f64::from(1u32 << self.bits_stored) } else { 0.0 }
    }

    /// The number in an attribute whose sign is that of the samples (`US` or `SS`).
    pub fn of_attribute(&self, word: u16) -> f64 {
        if self.is_signed { f64::from(word as i16) } else { f64::from(word) }
    }

    /// The smallest and the largest number possible.
    pub fn range(&self) -> [f64; 2] {
        let numbers = f64::from(1u32 << self.bits_stored);
        let low = if self.is_signed { -numbers / 2.0 } else { 0.0 };
        [low, low + numbers - 1.0]
    }
}

/// How pixels are stored.
#[derive(Debug)]
pub(super) struct PixelLayout {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Compression.
    pub coding: Coding,
    /// Meaning of the samples.
    pub photometric: Photometric,
    /// Whether components are stored as planes: all of red, then green, then blue.
    pub is_planar: bool,
    /// Bits of the samples.
    pub stored: Stored,
}

impl PixelLayout {
    /// The layout that the attributes describe, if it is supported.
    pub fn new(source: Source<'_>, attributes: &Attributes<'_>, coding: Coding) -> Result<Self, ReplayError> {
        let needed = |value: Option<u16>, tag: Tag| {
            value.ok_or_else(|| source.malformed(Place::Attribute(tag), "missing"))
        };
        let rows = needed(attributes.rows, tags::ROWS)?;
        let columns = needed(attributes.columns, tags::COLUMNS)?;
        let place = Place::Attribute(tags::ROWS);
        let (width, height) = check_picture_size(source, place.clone(), columns.into(), rows.into())?;
        if rows == 0 || columns == 0 {
            return Err(source.malformed(place, format!("a picture of {columns}x{rows} pixels is empty")));
        }
        let (photometric, stored) = match coding {
            // ffmpeg gives grey levels, whatever the video has: often YBR_PARTIAL_420, which pictures cannot have.
            Coding::Video => (Photometric::YbrFull, Stored::BYTE),
            _ => {
                let photometric = photometric(source, attributes, coding, columns)?;
                (photometric, stored(source, attributes, photometric)?)
            }
        };
        if let Some(frames) = attributes.frames.filter(|&frames| frames > FRAMES_MAX) {
            let place = Place::Attribute(tags::NUMBER_OF_FRAMES);
            let fix = "cut the recording into shorter ones";
            return Err(source.too_large(place, "frames", frames, FRAMES_MAX, fix));
        }
        Ok(Self {
            width,
            height,
            coding,
            photometric,
            is_planar: attributes.planar.unwrap_or(0) == 1,
            stored,
        })
    }

    /// Pixels of a frame.
    pub fn pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Bytes of an uncompressed pixel.
    pub fn pixel_bytes(&self) -> usize {
        match self.photometric {
            Photometric::Monochrome | Photometric::Palette => self.stored.bits_allocated as usize / 8,
            Photometric::Rgb | Photometric::YbrFull => 3,
            Photometric::YbrFull422 => 2,
        }
    }
}

fn stored(
    source: Source<'_>,
    attributes: &Attributes<'_>,
    photometric: Photometric,
) -> Result<Stored, ReplayError> {
    let place = Place::Attribute(tags::BITS_ALLOCATED);
    let Some(bits_allocated) = attributes.bits_allocated else {
        return Err(source.malformed(place, "missing"));
    };
    let bits_stored = attributes.bits_stored.unwrap_or(bits_allocated);
    let high_bit = attributes.high_bit.unwrap_or(bits_stored.saturating_sub(1));
    let is_signed = attributes.pixel_representation.unwrap_or(0) != 0;
    let has_one_sample = photometric.has_one_sample();
    let allowed = if has_one_sample { &[8, 16][..] } else { &[8] };
    let is_understood = allowed.contains(&bits_allocated)
        && (1..=bits_allocated).contains(&bits_stored)
        && (bits_stored - 1..bits_allocated).contains(&high_bit)
        && (has_one_sample || (bits_stored == 8 && !is_signed));
    if !is_understood {
        let signed = if is_signed { "signed" } else { "unsigned" };
        let what = format!(
            "samples of {bits_stored} bits in {bits_allocated}, highest bit {high_bit}, {signed}, are not supported"
        );
        let fix = "save it as grey with 8 or 16 bits allocated, or as colour with unsigned 8 bits";
        return Err(source.unsupported(place, what, fix));
    }
    Ok(Stored {
        bits_allocated: bits_allocated.into(),
        bits_stored: bits_stored.into(),
        shift: u32::from(high_bit + 1 - bits_stored),
        is_signed,
    })
}

fn photometric(
    source: Source<'_>,
    attributes: &Attributes<'_>,
    coding: Coding,
    columns: u16,
) -> Result<Photometric, ReplayError> {
    let place = Place::Attribute(tags::PHOTOMETRIC_INTERPRETATION);
    let samples = attributes.samples_per_pixel.unwrap_or(1);
    let fix = "save it as MONOCHROME2, PALETTE COLOR, RGB, YBR_FULL or YBR_FULL_422";
    let (photometric, samples_needed) = match attributes.photometric {
        None => return Err(source.malformed(place, "missing")),
        Some(b"MONOCHROME1" | b"MONOCHROME2") => (Photometric::Monochrome, 1),
        Some(b"PALETTE COLOR") => (Photometric::Palette, 1),
        Some(b"RGB") => (Photometric::Rgb, 3),
        Some(b"YBR_FULL") => (Photometric::YbrFull, 3),
        Some(b"YBR_FULL_422") => (Photometric::YbrFull422, 3),
        Some(_) => return Err(source.unsupported(place, "the colour space is not supported", fix)),
    };
    if samples != samples_needed {
        let problem = format!("needs {samples_needed} samples per pixel, not {samples}");
        return Err(source.malformed(place, problem));
    }
    if photometric == Photometric::YbrFull422 && coding == Coding::Native && !columns.is_multiple_of(2) {
        return Err(source.malformed(place, format!("needs an even number of columns, not {columns}")));
    }
    Ok(photometric)
}
