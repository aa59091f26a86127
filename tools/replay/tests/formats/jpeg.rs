//! JPEG pictures that end too early, and what may follow them.

use crate::common::{jpeg, ramp, refusal};
use image::ExtendedColorType;
use sonotrace_replay::{Options, Recording, ReplayError, picture};
use std::path::Path;

fn read(bytes: &[u8]) -> Result<Recording, ReplayError> {
    picture::read(Path::new("a.jpg"), bytes, &Options::default())
}

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
}

/// A grey JPEG of 16x8 pixels, whose only codes are `0`: no difference (DC), end of the block (AC).
fn minimal(frame_marker: u8, restart_interval: u8, scans: &[&[u8]]) -> Vec<u8> {
    let table = |class: u8| segment(0xc4, &[&[class, 1][..], &[0; 15], &[0]].concat());
    [
        vec![0xff, 0xd8],
        segment(0xdb, &[&[0][..], &[1; 64]].concat()),
        segment(frame_marker, &[8, 0, 8, 0, 16, 1, 1, 0x11, 0]),
        table(0),
        table(0x10),
        segment(0xdd, &[0, restart_interval]),
        scans.concat(),
        vec![0xff, 0xd9],
    ]
    .concat()
}

/// A scan of these coefficients.
fn scan(first: u8, last: u8, data: &[u8]) -> Vec<u8> {
    [&segment(0xda, &[1, 1, 0, first, last, 0])[..], data].concat()
}

/// The decoder alone would make up the rest of the picture.
#[test]
fn pictures_that_end_too_early_are_refused_also_with_an_end_marker() {
    let colours: Vec<u8> = ramp(24, 16).iter().flat_map(|&level| [level, 255 - level, 90]).collect();
    for coded in
        [jpeg(24, 16, &ramp(24, 16), ExtendedColorType::L8), jpeg(24, 16, &colours, ExtendedColorType::Rgb8)]
    {
        read(&coded).unwrap();
        let scan = coded.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
        let data = scan + 2 + usize::from(coded[scan + 3]);
        // The last byte may be padding only.
        for length in data..coded.len() - 3 {
            let text = refusal(read(&[&coded[..length], &[0xff, 0xd9]].concat()));
            assert!(text.starts_with("a.jpg: cannot decode the JPEG: "), "{length}: {text}");
        }
    }
}

#[test]
fn restart_intervals_that_end_too_early_are_refused() {
    let of = |data: &[u8]| read(&minimal(0xc0, 1, &[&scan(0, 63, data)]));
    let grey = |recording: Recording| assert_eq!(recording.frames[0].payload, [128; 128]);
    // Two intervals of one block, each two codes and six bits of padding; fill bytes and a last marker are allowed.
    grey(of(&[0x3f, 0xff, 0xd0, 0x3f]).unwrap());
    grey(of(&[0x3f, 0xff, 0xff, 0xd0, 0x3f, 0xff, 0xd1]).unwrap());
    grey(read(&minimal(0xc0, 0, &[&scan(0, 63, &[0x0f])])).unwrap());
    for data in [&[0xff, 0xd0, 0x3f][..], &[0x3f, 0xff, 0xd0], &[0x3f, 0xff, 0xd0, 0xff, 0xd1], &[]] {
        let text = refusal(of(data));
        assert!(text.contains("failed to decode huffman code"), "{data:?}: {text}");
    }
}

#[test]
fn progressive_pictures_without_their_last_scans_are_refused() {
    // Two blocks in each scan.
    let [dc, ac, few] = [scan(0, 0, &[0x3f]), scan(1, 63, &[0x3f]), scan(1, 62, &[0x3f])];
    let whole = read(&minimal(0xc2, 0, &[&dc, &ac])).unwrap();
    assert_eq!(whole.frames[0].payload, [128; 128]);
    for scans in [&[&dc[..]][..], &[&dc, &few], &[&ac]] {
        let text = refusal(read(&minimal(0xc2, 0, scans)));
        assert!(text.contains("scans are missing: the picture is cut off"), "{text}");
    }
}

/// Bytes behind the end marker, with markers in them.
#[test]
fn bytes_behind_the_end_are_ignored_but_another_picture_is_noted() {
    let coded = jpeg(24, 16, &ramp(24, 16), ExtendedColorType::L8);
    let expected = read(&coded).unwrap();
    for trailer in [&b"\xff\xda\x00\x08text"[..], b"\0\0\0"] {
        assert_eq!(read(&[&coded, trailer].concat()).unwrap(), expected);
    }
    for gap in [0, 3] {
        let recording = read(&[&coded[..], &vec![0; gap], &coded].concat()).unwrap();
        assert_eq!(recording.frames, expected.frames);
        let notes = recording.notes.join("; ");
        assert!(notes.contains("another JPEG follows the picture in 1 files, as in motion JPEG"), "{notes}");
    }
}
