//! DICOM files whose pixels are entries of a palette.

use crate::common::dicom::{EXPLICIT, File, RLE};
use crate::common::{assert_sound, refusal};
use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use sonotrace_replay::{Options, dicom};
use std::path::Path;

const DESCRIPTORS: [Tag; 3] = [
    tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
];
const DATA: [Tag; 3] = [
    tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
];

fn words(numbers: &[u16]) -> PrimitiveValue {
    PrimitiveValue::U16(numbers.iter().copied().collect())
}

/// A file of 2x2 pixels with this palette: the first entry's pixel value, bits of an entry, entries of each colour.
fn file(syntax: &'static str, first: u16, bits: u16, colours: [&[u16]; 3]) -> File {
    let mut file = File::new(syntax, 2, 2);
    file.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR");
    for (colour, entries) in colours.into_iter().enumerate() {
        let descriptor = words(&[entries.len() as u16, first, bits]);
        file.object.put(DataElement::new(DESCRIPTORS[colour], VR::US, descriptor));
        file.object.put(DataElement::new(DATA[colour], VR::OW, words(entries)));
    }
    file
}

fn levels(bytes: &[u8], options: &Options) -> Vec<u8> {
    let recording = dicom::read(Path::new("a.dcm"), bytes, options).unwrap();
    assert_sound(&recording);
    recording.frames[0].payload.clone()
}

#[test]
fn palettes_give_the_luma_of_their_colours() {
    let read = |bytes: &[u8]| levels(bytes, &Options::default());
    // Black, red, green, white; values outside have the colour of the nearest entry.
    let eight = [&[0u16, 255, 0, 255][..], &[0, 0, 255, 255], &[0, 0, 0, 255]];
    assert_eq!(read(&file(EXPLICIT, 0, 8, eight).native(&[0, 1, 2, 3])), [0, 77, 149, 255]);
    assert_eq!(read(&file(EXPLICIT, 10, 8, eight).native(&[9, 11, 12, 99])), [0, 77, 149, 255]);
    let sixteen = [&[0u16, 65_535, 0, 257 * 9][..], &[0, 0, 65_535, 257 * 9], &[0, 0, 0, 257 * 9]];
    assert_eq!(read(&file(EXPLICIT, 0, 16, sixteen).native(&[0, 1, 2, 3])), [0, 77, 149, 9]);
    // Run lengths, and the user's window.
    let mut runs = vec![0; 64];
    (runs[0], runs[4]) = (1, 64);
    runs.extend([3, 3, 2, 1, 0, 0]);
    assert_eq!(read(&file(RLE, 0, 8, eight).fragments(vec![runs])), [255, 149, 77, 0]);
    let options = Options { window: Some((128.0, 2.0).into()), ..Options::default() };
    assert_eq!(levels(&file(EXPLICIT, 0, 8, eight).native(&[0, 1, 2, 3]), &options), [0, 0, 255, 255]);
}

#[test]
fn palettes_that_cannot_be_used_are_refused() {
    let refused = |bytes: &[u8]| refusal(dicom::read(Path::new("a.dcm"), bytes, &Options::default()));
    let colours = [&[0u16, 1][..], &[0, 1], &[0, 1]];
    let mut short = file(EXPLICIT, 0, 8, colours);
    short.object.put(DataElement::new(DATA[1], VR::OW, words(&[1, 2, 3])));
    let text = refused(&short.native(&[0; 4]));
    assert!(text.contains("(0028,1202) GreenPaletteColorLookupTableData: 6 bytes, 4 are needed"), "{text}");
    let mut segmented = file(EXPLICIT, 0, 16, colours);
    let tag = tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA;
    segmented.object.put(DataElement::new(tag, VR::OW, words(&[0, 1, 2])));
    let text = refused(&segmented.native(&[0; 4]));
    assert!(text.contains("a palette in segments is not supported; save it as RGB"), "{text}");
}
