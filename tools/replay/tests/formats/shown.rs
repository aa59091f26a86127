//! Pictures that are shown otherwise than they are stored (turned, transparent, animated), and files that are made to
//! exhaust memory or time.

use crate::common::heap::most_bytes;
use crate::common::{jpeg, png, ramp, refusal, scratch, survive};
use image::ExtendedColorType;
use proptest::prelude::*;
use sonotrace_replay::{Options, Recording, clarius, dicom, gif, npy, open, picture};
use std::path::Path;

fn read(name: &str, bytes: &[u8]) -> Recording {
    picture::read(Path::new(name), bytes, &Options::default()).unwrap()
}

/// The checksum of a PNG's chunk.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [name.as_slice(), data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &named, &crc32(&named).to_be_bytes()].concat()
}

/// A PNG with chunks after its header.
fn with_chunks(png: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
    const HEADER: usize = 8 + 25;
    [&png[..HEADER], &chunks.concat(), &png[HEADER..]].concat()
}

/// The compressed pixels of a PNG.
fn pixels_of(png: &[u8]) -> Vec<u8> {
    let mut at = 8;
    let mut pixels = Vec::new();
    while let Some(&length) = png.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        let end = at + 8 + u32::from_be_bytes(length) as usize;
        if &png[at + 4..at + 8] == b"IDAT" {
            pixels.extend_from_slice(&png[at + 8..end]);
        }
        at = end + 4;
    }
    pixels
}

fn exif(orientation: u8) -> Vec<u8> {
    [b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], b"\0\0\0\0\0\0"]
        .concat()
}

/// A frame that is left, and replaces what is there.
fn frame_control(sequence: u32, width: u32, height: u32) -> Vec<u8> {
    placed(sequence, [0, 0, width, height], 0)
}

/// A frame of 50 ms at this column and row, of this width and height; it is left (0), cleared (1) or undone (2).
fn placed(sequence: u32, [left, top, width, height]: [u32; 4], disposal: u8) -> Vec<u8> {
    let numbers = [sequence, width, height, left, top].map(u32::to_be_bytes).concat();
    chunk(b"fcTL", &[numbers, vec![0, 50, 3, 232, disposal, 0]].concat())
}

/// The pixels of a frame after the first.
fn frame_data(sequence: u32, width: u32, height: u32, level: u8) -> Vec<u8> {
    let pixels = pixels_of(&png(width, height, &vec![level; (width * height) as usize]));
    chunk(b"fdAT", &[&sequence.to_be_bytes()[..], &pixels].concat())
}

/// An animated PNG of these levels, each a frame.
fn animated(levels: &[u8], frames_declared: u32) -> Vec<u8> {
    let still = |level: u8| png(8, 8, &[level; 64]);
    let mut chunks =
        vec![chunk(b"acTL", &[frames_declared.to_be_bytes(), [0; 4]].concat()), frame_control(0, 8, 8)];
    let first = with_chunks(&still(levels[0]), &std::mem::take(&mut chunks));
    let mut sequence = 1u32;
    for &level in &levels[1..] {
        chunks.push(frame_control(sequence, 8, 8));
        chunks.push(frame_data(sequence + 1, 8, 8, level));
        sequence += 2;
    }
    let end = first.len() - 12;
    [&first[..end], &chunks.concat(), &first[end..]].concat()
}

/// Stored rows and columns of an L, and how each orientation shows it.
#[test]
fn exif_orientation_turns_pictures() {
    let stored = vec![10, 20, 30, 40, 50, 60];
    let shown: [(u8, u32, [u8; 6]); 4] = [
        (1, 3, [10, 20, 30, 40, 50, 60]),
        (3, 3, [60, 50, 40, 30, 20, 10]),
        (6, 2, [40, 10, 50, 20, 60, 30]),
        (8, 2, [30, 60, 20, 50, 10, 40]),
    ];
    for (orientation, width, expected) in shown {
        let bytes = with_chunks(&png(3, 2, &stored), &[chunk(b"eXIf", &exif(orientation))]);
        let recording = read("a.png", &bytes);
        assert_eq!(
            (recording.frames[0].descriptor.samples, &recording.frames[0].payload[..]),
            (width, &expected[..])
        );
        assert_eq!(recording.notes.iter().any(|note| note.contains("EXIF")), orientation != 1);
    }
    let coded = jpeg(24, 16, &ramp(24, 16), ExtendedColorType::L8);
    let upright = read("a.jpg", &coded);
    let data = [b"Exif\0\0".as_slice(), &exif(6)].concat();
    let segment = [&[0xff, 0xe1][..], &(data.len() as u16 + 2).to_be_bytes(), &data].concat();
    let turned = read("a.jpg", &[&coded[..2], &segment, &coded[2..]].concat());
    let (width, height) = (turned.frames[0].descriptor.samples, turned.frames[0].descriptor.lines);
    assert_eq!((width, height), (16, 24));
    // The first stored row is the last column.
    for column in 0..24usize {
        assert_eq!(turned.frames[0].payload[column * 16 + 15], upright.frames[0].payload[column]);
    }
}

#[test]
fn hidden_colours_are_black() {
    let rgba =
        image::RgbaImage::from_fn(4, 2, |x, _| image::Rgba([255, 255, 255, [255, 128, 0, 0][x as usize]]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    rgba.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let recording = read("a.png", bytes.get_ref());
    assert_eq!(recording.frames[0].payload[..4], [255, 128, 0, 0]);
    assert!(recording.notes[0].contains("transparent"), "{:?}", recording.notes);
    let grey = image::GrayAlphaImage::from_pixel(2, 2, image::LumaA([255, 0]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    grey.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    assert_eq!(read("a.png", bytes.get_ref()).frames[0].payload, [0; 4]);
}

#[test]
fn sixteen_bits_are_scaled_and_dark_pictures_noted() {
    let write = |level: u16| {
        let picture = image::ImageBuffer::<image::Luma<u16>, _>::from_pixel(4, 4, image::Luma([level]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    assert_eq!(read("a.png", &write(65_535)).frames[0].payload, [255; 16]);
    let recording = read("a.png", &write(4080));
    assert!(recording.notes[0].contains("--window 2048,4096"), "{:?}", recording.notes);
    let options = Options { window: Some((2048.0, 4096.0).into()), ..Options::default() };
    let recording = picture::read(Path::new("a.png"), &write(1600), &options).unwrap();
    assert_eq!(recording.frames[0].payload, [100; 16]);
}

#[test]
fn animated_png_is_a_cine() {
    let recording = read("a.png", &animated(&[100, 150, 200], 3));
    let levels: Vec<_> = recording
        .frames
        .iter()
        .map(|frame| (frame.payload[9], frame.descriptor.t_acq_ns / 1_000_000))
        .collect();
    assert_eq!(levels, [(100, 0), (150, 50), (200, 100)]);
    let text = refusal(picture::read(Path::new("a.png"), &animated(&[1, 2], 3), &Options::default()));
    assert!(text.starts_with("a.png, frame 3: "), "{text}");
    // Within a folder it is one frame.
    let folder = scratch("animated");
    std::fs::write(folder.join("f1.png"), animated(&[100, 150, 200], 3)).unwrap();
    std::fs::write(folder.join("f2.png"), png(8, 8, &[5; 64])).unwrap();
    let recording = open(&folder, &Options::default()).unwrap();
    assert_eq!(recording.frames.len(), 2);
    let notes = recording.notes.join("; ");
    assert!(notes.contains("f1.png is animated: one of its 3 frames"), "{notes}");
}

/// A frame that is undone after one that is cleared leaves the cleared area.
#[test]
fn frames_of_an_animation_are_cleared_and_undone() {
    let number = |value: u32| [value.to_be_bytes(), [0; 4]].concat();
    let first = with_chunks(&png(4, 2, &[100; 8]), &[chunk(b"acTL", &number(4)), frame_control(0, 4, 2)]);
    let end = first.len() - 12;
    let frames = [
        placed(1, [1, 0, 2, 1], 1),
        frame_data(2, 2, 1, 200),
        placed(3, [2, 0, 2, 2], 2),
        frame_data(4, 2, 2, 50),
        placed(5, [0, 1, 1, 1], 0),
        frame_data(6, 1, 1, 30),
    ];
    let recording = read("a.png", &[&first[..end], &frames.concat(), &first[end..]].concat());
    let payloads: Vec<_> = recording.frames.iter().map(|frame| frame.payload.clone()).collect();
    let expected = [
        [100, 100, 100, 100, 100, 100, 100, 100],
        [100, 200, 200, 100, 100, 100, 100, 100],
        [100, 0, 50, 50, 100, 100, 50, 50],
        [100, 0, 0, 100, 30, 100, 100, 100],
    ];
    assert_eq!(payloads, expected);
    let notes = recording.notes.join("; ");
    assert!(notes.contains("transparent parts of 2 frames are shown black"), "{notes}");
}

/// Browsers show the animation, and not the picture for other programs.
#[test]
fn a_still_picture_beside_an_animation_is_not_read() {
    let number = |value: u32| [value.to_be_bytes(), [0; 4]].concat();
    let still = with_chunks(&png(4, 2, &[100; 8]), &[chunk(b"acTL", &number(1))]);
    let end = still.len() - 12;
    let frame = [frame_control(0, 4, 2), frame_data(1, 4, 2, 60)].concat();
    let recording = read("a.png", &[&still[..end], &frame, &still[end..]].concat());
    assert_eq!(recording.frames.len(), 1);
    assert_eq!(recording.frames[0].payload, [60; 8]);
}

#[test]
fn folders_are_read_in_the_order_of_their_numbers() {
    let folder = scratch("decimals");
    for (level, name) in [(1, "0.0.png"), (2, "0.05.png"), (3, "0.1.png"), (4, "0.15.png")] {
        std::fs::write(folder.join(name), png(8, 8, &[level; 64])).unwrap();
    }
    for name in ["f2.bmp", "f4.tif", "x\x1b[31m.txt"] {
        std::fs::write(folder.join(name), b"?").unwrap();
    }
    let recording = open(&folder, &Options::default()).unwrap();
    let levels: Vec<u8> = recording.frames.iter().map(|frame| frame.payload[0]).collect();
    assert_eq!(levels, [1, 2, 3, 4]);
    let notes = recording.notes.join("; ");
    assert!(notes.contains("f2.bmp, f4.tif") && notes.contains("decimals"), "{notes}");
    assert!(!notes.contains('\x1b') && notes.contains("x\\u{1b}[31m.txt"), "{notes}");
    let cines = scratch("cines");
    std::fs::write(cines.join("a.dcm"), b"?").unwrap();
    assert!(refusal(open(&cines, &Options::default())).contains("without pictures, but with a.dcm"));
}

#[test]
fn names_cannot_control_the_terminal() {
    let folder = scratch("names");
    let path = folder.join("x\x1b]0;title\x07\u{202e}.png");
    std::fs::write(&path, b"?").unwrap();
    let text = refusal(open(&path, &Options::default()));
    assert!(!text.chars().any(char::is_control) && !text.contains('\u{202e}'), "{text:?}");
    assert!(text.contains("\\u{1b}]0;title"), "{text}");
}

#[cfg(unix)]
#[test]
fn pipes_devices_and_sparse_files_are_refused() {
    let folder = scratch("special");
    assert!(std::process::Command::new("mkfifo").arg(folder.join("a.png")).status().unwrap().success());
    let text = refusal(open(&folder, &Options::default()));
    assert!(text.contains("a.png: not a regular file"), "{text}");
    assert!(refusal(open(&folder.join("a.png"), &Options::default())).contains("not a regular file"));
    let link = folder.join("link.png");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    assert!(refusal(open(&link, &Options::default())).contains("not a regular file"));

    let mut medical = vec![0; 128];
    medical.extend(b"DICM");
    for (name, head, limit) in [
        ("a.png", b"\x89PNG".to_vec(), "at most 268435456"),
        ("a.gif", b"GIF89a".to_vec(), "at most 268435456"),
        ("a.dcm", medical, "at most 2147483648"),
        ("a.bin", vec![], "not a recording of a supported format"),
    ] {
        let path = scratch("sparse").join(name);
        std::fs::write(&path, head).unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(4 << 30).unwrap();
        let text = refusal(open(&path, &Options::default()));
        assert!(text.contains(limit), "{text}");
    }
}

/// Small files that unpack to gigabytes, or take minutes.
#[test]
fn files_that_expand_are_refused_with_the_limit() {
    let gif = |side: u16, frames: usize| {
        let mut bytes = Vec::new();
        let mut encoder = ::gif::Encoder::new(&mut bytes, side, side, &[0, 0, 0, 9, 9, 9]).unwrap();
        for _ in 0..frames {
            encoder
                .write_frame(&::gif::Frame {
                    width: 1,
                    height: 1,
                    buffer: vec![1].into(),
                    ..Default::default()
                })
                .unwrap();
        }
        drop(encoder);
        gif::read(Path::new("a.gif"), &bytes, &Options::default())
    };
    let text = refusal(gif(4096, 20));
    assert!(text.contains("memory for an animation") && text.contains("at most 67"), "{text}");
    let text = refusal(gif(2000, 30));
    assert!(text.starts_with("a.gif, frame 17: ") && text.contains("from such a small file"), "{text}");

    let coded = jpeg(24, 16, &ramp(24, 16), ExtendedColorType::L8);
    let end = coded.len() - 2;
    let scans = [&coded[..end], &[0xff, 0xda, 0, 2].repeat(100), &coded[end..]].concat();
    let text = refusal(picture::read(Path::new("a.jpg"), &scans, &Options::default()));
    assert!(text.contains("scans in the JPEG: 101, at most 20"), "{text}");

    // A colour profile of 33 MB in a file of 32 KB is not unpacked, nor are texts.
    let bomb = pixels_of(&png(8192, 4096, &vec![0; 8192 * 4096]));
    let plain = png(8, 8, &[100; 64]);
    let profile = chunk(b"iCCP", &[b"x\0\0".as_slice(), &bomb].concat());
    let text = chunk(b"zTXt", &[b"x\0\0".as_slice(), &bomb].concat());
    let expected = read("a.png", &plain).frames;
    for chunk in [profile, text] {
        let bytes = with_chunks(&plain, &[chunk]);
        let (recording, most) = most_bytes(|| read("a.png", &bytes));
        assert_eq!(recording.frames, expected);
        assert!(most < 1 << 20, "{most} bytes of memory");
    }
}

#[test]
fn a_window_is_refused_where_it_has_no_meaning() {
    let options = Options { window: Some((1.0, 0.5).into()), ..Options::default() };
    assert!(refusal(dicom::read(Path::new("a"), &[], &options)).contains("--window (width) is 0.5"));
    let options = Options { window: Some((128.0, 256.0).into()), ..Options::default() };
    for text in [
        refusal(npy::read(Path::new("a"), &[], b"{}", &options)),
        refusal(clarius::read(Path::new("a"), &[], b"", &options)),
    ] {
        assert!(text.contains("--window applies to pictures and DICOM only; leave it out"), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_animations_give_errors_or_valid_frames(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = animated(&[100, 150, 200], 3);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        // A correct checksum lets damaged numbers through.
        let mut at = 8;
        while let Some(&length) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            let Some(end) = (at + 8).checked_add(u32::from_be_bytes(length) as usize).filter(|end| end + 4 <= bytes.len()) else { break };
            let crc = crc32(&bytes[at + 4..end]).to_be_bytes();
            bytes[end..end + 4].copy_from_slice(&crc);
            at = end + 4;
        }
        survive(picture::read(Path::new("a.png"), &bytes, &Options::default()), "a.png");
    }
}
