//! Grey levels of pixels that are entries of a palette (PS3.3 section C.7.6.3.1.5).

use super::attributes::Attributes;
use super::layout::PixelLayout;
use super::lut::Lut;
use super::value::Value;
use crate::error::{Place, ReplayError, Source};
use crate::grey::luma16;
use crate::levels::{Levels, Shown};
use crate::options::Options;
use dicom_dictionary_std::tags;

/// The attributes of one colour of a palette.
#[derive(Debug, Default)]
pub(super) struct Colour<'a> {
    /// Palette Color Lookup Table Descriptor.
    pub descriptor: Option<Vec<u16>>,
    /// Palette Color Lookup Table Data.
    pub data: Option<&'a [u8]>,
}

/// Attributes of red, green and blue: descriptor and data.
const TAGS: [[dicom_core::Tag; 2]; 3] = [
    [tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA],
    [tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA],
    [tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA],
];

/// Takes a value, if it is that of an attribute of a palette.
pub(super) fn take<'a>(palette: &mut [Colour<'a>; 3], value: &Value<'a>) {
    for (colour, [descriptor, data]) in palette.iter_mut().zip(TAGS) {
        if value.element.tag == descriptor {
            colour.descriptor = Some(value.words());
        } else if value.element.tag == data {
            colour.data = Some(value.element.value);
        }
    }
}

/// The luma of the palette's colours.
///
/// # Errors
/// A palette that is missing, incomplete or in segments.
pub(super) fn levels(
    source: Source<'_>,
    attributes: &Attributes<'_>,
    layout: &PixelLayout,
    options: &Options,
) -> Result<Levels, ReplayError> {
    if attributes.has_segmented_palette {
        let place = Place::Attribute(tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA);
        let fix = "save it as RGB or MONOCHROME2";
        return Err(source.unsupported(place, "a palette in segments is not supported", fix));
    }
    let table = |colour: usize| {
        let Colour { descriptor, data } = &attributes.palette[colour];
        Lut::of(source, TAGS[colour], descriptor.as_deref(), *data)
    };
    let [red, green, blue] = [table(0)?, table(1)?, table(2)?];
    let stored = layout.stored;
    let value = |word: u16| {
        // Of all numbers of bits to sixteen.
        let colour = |table: &Lut| {
            let entry = table.entry(stored.value(word), stored.is_signed);
            (65_535.0 * entry / f64::from(table.max)).round() as u16
        };
        f64::from(luma16(colour(&red), colour(&green), colour(&blue))) * 255.0 / 65_535.0
    };
    let full = Shown::FullRange { low: 0.0, high: 255.0 };
    // The standard gives colours no window.
    let shown = options.window.map_or(full, Shown::Window);
    Ok(Levels::new(stored.bits_allocated, value, &shown, false))
}
