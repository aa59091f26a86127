//! Compressed DICOM frames in several fragments, with and without an offset table.

use crate::common::dicom::{File, JPEG, RLE};
use crate::common::{assert_sound, jpeg, ramp};
use dicom_core::value::{PixelFragmentSequence, PrimitiveValue};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use image::ExtendedColorType;
use sonotrace_replay::{Options, Recording, dicom};
use std::path::Path;

const WIDTH: u16 = 16;
const HEIGHT: u16 = 12;

fn coded(level: u8) -> Vec<u8> {
    let grey: Vec<u8> = ramp(WIDTH.into(), HEIGHT.into()).iter().map(|value| value / 2 + level).collect();
    jpeg(WIDTH.into(), HEIGHT.into(), &grey, ExtendedColorType::L8)
}

/// Bytes of an item with this content.
fn item_bytes(content: &[u8]) -> u32 {
    8 + content.len().next_multiple_of(2) as u32
}

/// Reads frames, each of some fragments, with their offset table: none, the basic or the extended one.
fn read(syntax: &'static str, frames: &[Vec<Vec<u8>>], table: &str) -> Result<Recording, String> {
    let mut offsets = Vec::new();
    let mut at = 0;
    for frame in frames {
        offsets.push(at);
        at += frame.iter().map(|fragment| item_bytes(fragment)).sum::<u32>();
    }
    let mut file = File::new(syntax, WIDTH, HEIGHT);
    file.frames(frames.len());
    if table == "extended" {
        let value = PrimitiveValue::U64(offsets.iter().map(|&offset| offset.into()).collect());
        file.object.put(DataElement::new(tags::EXTENDED_OFFSET_TABLE, VR::OV, value));
    }
    let basic = if table == "basic" { offsets } else { Vec::new() };
    let even = frames.iter().flatten().cloned().map(|mut fragment| {
        fragment.resize(fragment.len().next_multiple_of(2), 0);
        fragment
    });
    let sequence = PixelFragmentSequence::new(basic, even.collect::<Vec<_>>());
    file.object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, sequence));
    let recording = dicom::read(Path::new("a.dcm"), &file.bytes(), &Options::default());
    recording.map_err(|error| error.to_string()).inspect(assert_sound)
}

fn halves(bytes: &[u8], at: usize) -> Vec<Vec<u8>> {
    vec![bytes[..at].to_vec(), bytes[at..].to_vec()]
}

fn payloads(recording: &Recording) -> Vec<&[u8]> {
    recording.frames.iter().map(|frame| frame.payload.as_slice()).collect()
}

/// A fragment may start like a picture: a preview within the first one does.
#[test]
fn offset_tables_tell_which_fragments_are_a_frame() {
    let (first, second) = (coded(0), coded(60));
    let preview = [&[0xff, 0xe1][..], &(second.len() as u16 + 2).to_be_bytes(), &second].concat();
    let with_preview = [&first[..2], &preview, &first[2..]].concat();
    let plain = read(JPEG, &[vec![first.clone()], vec![second.clone()]], "none").unwrap();
    let split = [halves(&with_preview, 6), vec![second.clone()]];
    for table in ["basic", "extended"] {
        let recording = read(JPEG, &split, table).unwrap();
        assert_eq!(payloads(&recording), payloads(&plain), "{table}");
    }
    assert!(read(JPEG, &split, "none").is_err());
    // Without such a fragment, no table is needed.
    let split = [halves(&first, 200), halves(&second, 300)];
    for table in ["none", "basic", "extended"] {
        assert_eq!(payloads(&read(JPEG, &split, table).unwrap()), payloads(&plain), "{table}");
    }
}

/// The standard allows one fragment a frame only, but with a table nothing is in doubt.
#[test]
fn run_lengths_in_several_fragments_need_a_table() {
    let runs = |level: u8| {
        let mut runs = vec![0; 64];
        (runs[0], runs[4]) = (1, 64);
        runs.extend([129, level, 193, level]);
        runs
    };
    let frames = [halves(&runs(9), 66), vec![runs(8)]];
    for table in ["basic", "extended"] {
        let recording = read(RLE, &frames, table).unwrap();
        assert_eq!(payloads(&recording), [[9; 192], [8; 192]]);
    }
    assert!(read(RLE, &frames, "none").unwrap_err().contains("frame 1: cannot decode the run lengths"));
}

/// As in motion JPEG that was stored as one frame.
#[test]
fn a_second_picture_in_a_fragment_is_noted() {
    let both = vec![[coded(0), coded(60)].concat()];
    let recording = read(JPEG, &[both], "none").unwrap();
    assert_eq!(recording.frames.len(), 1);
    let notes = recording.notes.join("; ");
    assert!(notes.contains("another JPEG follows that of 1 frames, and is not read"), "{notes}");
}
