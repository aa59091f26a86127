//! JPEG-LS in DICOM.

use crate::common::dicom::File;
use crate::common::{assert_sound, ramp, refusal, small, survive};
use proptest::prelude::*;
use sonotrace_replay::{Options, Recording, dicom};
use std::path::Path;

const WIDTH: u16 = 16;
const HEIGHT: u16 = 12;

fn read(bytes: &[u8]) -> Recording {
    let recording = dicom::read(Path::new("a.dcm"), bytes, &Options::default()).unwrap();
    assert_sound(&recording);
    recording
}

#[track_caller]
fn refused(bytes: &[u8]) -> String {
    refusal(dicom::read(Path::new("a.dcm"), bytes, &Options::default()))
}

fn grey() -> Vec<u8> {
    ramp(WIDTH.into(), HEIGHT.into())
}

const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";

/// The grey ramp, encoded by CharLS (`dcmcjpls`), with a fill byte before the end.
const BY_CHARLS: [u8; 110] = [
    0xff, 0xd8, 0xff, 0xf7, 0x00, 0x0b, 0x08, 0x00, 0x0c, 0x00, 0x10, 0x01, 0x01, 0x11, 0x00, 0xff, 0xda,
    0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x95, 0x7a, 0xfb, 0x57, 0xdb, 0x7f, 0x31, 0x18, 0x8c,
    0x98, 0xe9, 0x93, 0x6c, 0x72, 0x26, 0xc8, 0x56, 0x7d, 0xb2, 0x15, 0x16, 0x11, 0x12, 0xc1, 0x15, 0xf2,
    0x51, 0xca, 0xb0, 0x92, 0x40, 0x9b, 0x39, 0x67, 0x6a, 0xe6, 0x30, 0x9b, 0x04, 0x9a, 0x2a, 0x9d, 0x49,
    0x08, 0x11, 0x11, 0x13, 0x22, 0xa6, 0xda, 0xdd, 0xdb, 0xb4, 0x4b, 0x6c, 0x92, 0x49, 0x37, 0xa2, 0x22,
    0x1f, 0xd1, 0x36, 0x3c, 0xa9, 0x8b, 0xbd, 0x4c, 0x5d, 0xed, 0x25, 0x21, 0x56, 0x95, 0xca, 0xb4, 0x92,
    0x33, 0x9a, 0xca, 0xe7, 0x80, 0xff, 0xff, 0xd9,
];

fn jpeg_ls(samples: &[u16], near: u8) -> Vec<u8> {
    let mut options = jpegls::EncodeOptions::default();
    options.near = near;
    let mut coded = Vec::new();
    jpegls::encode_with_options(samples, WIDTH.into(), HEIGHT.into(), &options, &mut coded).unwrap();
    coded
}

#[test]
fn jpeg_ls_is_decoded() {
    let by_charls = File::new(JPEG_LS, WIDTH, HEIGHT).fragments(vec![BY_CHARLS.to_vec()]);
    assert_eq!(read(&by_charls).frames[0].payload, grey());
    let bytes: Vec<u16> = grey().into_iter().map(u16::from).collect();
    let mut exact = jpeg_ls(&bytes, 0);
    let frames = vec![exact.clone(), jpeg_ls(&bytes, 2)];
    let recording = read(&File::new(JPEG_LS, WIDTH, HEIGHT).frames(2).fragments(frames));
    assert_eq!(recording.frames[0].payload, grey());
    assert!(recording.frames[1].payload.iter().zip(grey()).all(|(seen, right)| seen.abs_diff(right) <= 2));
    // Twelve bits, several fragments, and fill bytes before the end.
    let words: Vec<u16> = bytes.iter().map(|&level| level * 16).collect();
    let coded = jpeg_ls(&words, 0);
    let (head, tail) = coded.split_at(coded.len() / 4 * 2);
    let mut file = File::new(JPEG_LS, WIDTH, HEIGHT);
    let recording = read(&file.bits(16, 12).frames(1).fragments(vec![head.to_vec(), tail.to_vec()]));
    let off = recording.frames[0].payload.iter().zip(grey()).map(|(seen, right)| seen.abs_diff(right));
    assert!(off.max() <= Some(1));
    exact.splice(exact.len() - 2..exact.len() - 2, [0xff; 3]);
    assert_eq!(
        read(&File::new(JPEG_LS, WIDTH, HEIGHT).fragments(vec![exact.clone()])).frames[0].payload,
        grey()
    );
    // What the decoder lacks, another size, and damage.
    let of = |coded: Vec<u8>| refused(&File::new(JPEG_LS, WIDTH, HEIGHT).fragments(vec![coded]));
    let coded = jpeg_ls(&bytes, 0);
    let at = coded.windows(2).position(|pair| pair == [0xff, 0xf7]).unwrap();
    let mut colour = coded.clone();
    colour[at + 9] = 3;
    assert!(of(colour).contains(
        "JPEG-LS with 3 components is read only if each has a whole scan of its own; decompress it with `dcmdjpls IN OUT`"
    ));
    let mut smaller = coded.clone();
    smaller[at + 8] = 15;
    assert!(of(smaller).contains("the JPEG-LS is 15x12, the file declares 16x12"));
    assert!(of(coded[..coded.len() / 2].to_vec()).contains("a.dcm, frame 1: cannot decode the JPEG-LS: "));
    assert!(of(vec![0; 10]).contains("no frame header"));
    assert!(of(jpeg_ls(&words, 0)).contains(" bits, the file declares others"));
    let halved = [&[0xff, 0xf8, 0, 13, 1, 0, 255, 0, 3, 0, 7, 0, 21, 0xff, 0xff], &coded[at..]].concat();
    assert!(of([&coded[..at], &halved].concat()).contains("after 65535 samples"));
}

/// Three components, each in a scan of its own, with some bytes before the end of each scan.
fn colour(planes: [&[u8]; 3]) -> Vec<u8> {
    let coded = planes.map(|plane| jpeg_ls(&plane.iter().map(|&level| level.into()).collect::<Vec<_>>(), 0));
    let scan = |name: u8| {
        let coded = &coded[usize::from(name) - 1];
        let at = coded.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
        let mut scan = coded[at..coded.len() - 2].to_vec();
        scan[5] = name;
        [scan, vec![0xff; usize::from(name)]].concat()
    };
    let frame = [8, 0, HEIGHT as u8, 0, WIDTH as u8, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0];
    [&[0xff, 0xd8, 0xff, 0xf7, 0, 17], &frame[..], &scan(1), &scan(2), &scan(3), &[0xff, 0xd9]].concat()
}

#[test]
fn components_with_a_scan_of_their_own_are_decoded() {
    let inverse: Vec<u8> = grey().iter().map(|level| 255 - level).collect();
    let coded = colour([&grey(), &inverse, &[200; WIDTH as usize * HEIGHT as usize]]);
    let of = |photometric: &str, coded: Vec<u8>| {
        let bytes = File::new(JPEG_LS, WIDTH, HEIGHT).colour(photometric, 1).fragments(vec![coded]);
        dicom::read(Path::new("a.dcm"), &bytes, &Options::default())
    };
    let luma: Vec<u8> = grey()
        .iter()
        .zip(&inverse)
        .map(|(&red, &green)| ((77 * u32::from(red) + 150 * u32::from(green) + 29 * 200 + 128) / 256) as u8)
        .collect();
    assert_eq!(of("RGB", coded.clone()).unwrap().frames[0].payload, luma);
    assert_eq!(of("YBR_FULL", coded.clone()).unwrap().frames[0].payload, grey());
    // Another order, a missing one, another label, and colours that CharLS transformed.
    let with = |from: &[u8], to: &[u8]| {
        let at = coded.windows(from.len()).rposition(|bytes| bytes == from).unwrap();
        [&coded[..at], to, &coded[at + from.len()..]].concat()
    };
    let transform = [&[0xff, 0xd8, 0xff, 0xe8, 0, 7], &b"mrfx\x01"[..]].concat();
    for wrong in [
        with(&[0xff, 0xda, 0, 8, 1, 3], &[0xff, 0xda, 0, 8, 1, 2]),
        with(&[0xff, 0xda, 0, 8, 1, 3], &[0xff, 0xd9]),
        with(&[0xff, 0xd8], &transform),
    ] {
        let text = refusal(of("RGB", wrong));
        assert!(text.contains("JPEG-LS with 3 components is read only if each has a whole scan"), "{text}");
    }
    let text = refused(&File::new(JPEG_LS, WIDTH, HEIGHT).fragments(vec![coded]));
    assert!(text.contains("has 3 components of 8 bits, the file declares others"), "{text}");
}

proptest! {
    #[test]
    fn damaged_jpeg_ls_is_read_or_refused(changes in prop::collection::vec((0usize..600, any::<u8>()), 1..6)) {
        let bytes: Vec<u16> = grey().into_iter().map(u16::from).collect();
        let mut coded = jpeg_ls(&bytes, 0);
        for (at, byte) in changes {
            let at = at % coded.len();
            coded[at] = byte;
        }
        let file = File::new(JPEG_LS, WIDTH, HEIGHT).fragments(vec![coded]);
        survive(dicom::read(Path::new("a.dcm"), &file, &small()), "a.dcm");
    }

    #[test]
    fn damaged_colour_is_read_or_refused(changes in prop::collection::vec((0usize..600, any::<u8>()), 1..6)) {
        let mut coded = colour([&grey(), &grey(), &grey()]);
        for (at, byte) in changes {
            let at = at % coded.len();
            coded[at] = byte;
        }
        let file = File::new(JPEG_LS, WIDTH, HEIGHT).colour("RGB", 0).fragments(vec![coded]);
        survive(dicom::read(Path::new("a.dcm"), &file, &small()), "a.dcm");
    }
}
