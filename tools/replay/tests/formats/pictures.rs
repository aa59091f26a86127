//! PNG, JPEG, folders of them, and GIF.

use crate::common::{assert_sound, jpeg, png, ramp, refusal, scratch, small, survive, write_seed};
use image::ExtendedColorType;
use proptest::prelude::*;
use sonotrace_hal::frame::GeometryKind;
use sonotrace_replay::{DisplayHint, Options, gif, open, picture};
use std::path::Path;

#[test]
fn png_is_exact_and_of_unknown_scale() {
    let grey = ramp(31, 17);
    let recording = picture::read(Path::new("a.png"), &png(31, 17, &grey), &Options::default()).unwrap();
    assert_sound(&recording);
    let descriptor = recording.frames[0].descriptor;
    assert_eq!(recording.frames[0].payload, grey);
    assert_eq!((descriptor.lines, descriptor.samples, descriptor.geometry_epoch), (17, 31, 1));
    assert_eq!(descriptor.geometry, GeometryKind::RasterUnknown as u32);
    assert_eq!((descriptor.t_acq_ns, descriptor.frame_rate_hz), (0, 0.0));
    assert_eq!(recording.display, DisplayHint::Source);
    assert!(recording.notes[0].contains("pixels only") && recording.notes[0].contains("--spacing"));
}

#[test]
fn spacing_gives_millimetres() {
    let options = Options { spacing_mm: Some(0.2), ..Options::default() };
    let recording = picture::read(Path::new("a.png"), &png(31, 17, &ramp(31, 17)), &options).unwrap();
    let frame = recording.frames[0].descriptor.check().unwrap();
    assert!(frame.geometry.is_millimetres());
    assert!((frame.geometry.field_of_view().width() - 6.2).abs() < 1e-4);
    assert_eq!(recording.notes, [""; 0]);
}

#[test]
fn options_out_of_range_are_refused() {
    for spacing_mm in [f32::NAN, 0.0, -1.0, f32::INFINITY] {
        let options = Options { spacing_mm: Some(spacing_mm), ..Options::default() };
        let text = refusal(open(Path::new("nowhere"), &options));
        assert!(text.starts_with("option --spacing is"), "{text}");
    }
    let options = Options { calibrated_size: Some((0, 480)), ..Options::default() };
    assert!(refusal(open(Path::new("nowhere"), &options)).contains("--calibrated-size"));
}

/// Luma of a colour JPEG and of a colour PNG is that of the encoded colour, within rounding.
#[test]
fn colours_become_luma() {
    let colours: Vec<u8> = (0..64 * 48).flat_map(|_| [200, 60, 20]).collect();
    let expected = (0.299 * 200.0 + 0.587 * 60.0 + 0.114 * 20.0f64).round() as u8;
    let jpeg = jpeg(64, 48, &colours, ExtendedColorType::Rgb8);
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_raw(64, 48, colours).unwrap().write_to(&mut png, image::ImageFormat::Png).unwrap();
    for (name, bytes) in [("a.jpg", jpeg), ("a.png", png.into_inner())] {
        let recording = picture::read(Path::new(name), &bytes, &Options::default()).unwrap();
        assert!(recording.frames[0].payload.iter().all(|&grey| grey.abs_diff(expected) <= 1), "{name}");
    }
}

#[test]
fn folder_is_read_in_natural_order_with_geometry_epochs() {
    let folder = scratch("folder");
    for (name, width, level) in [("img10.png", 20, 10), ("img2.png", 16, 2), ("img1.png", 16, 1)] {
        std::fs::write(folder.join(name), png(width, 12, &vec![level; 12 * width as usize])).unwrap();
    }
    std::fs::write(folder.join("notes.txt"), "not a picture").unwrap();
    std::fs::write(folder.join("._img1.png"), "not a picture either").unwrap();
    let recording = open(&folder, &Options { frame_rate_hz: Some(50.0), ..Options::default() }).unwrap();
    assert_sound(&recording);
    let seen = recording.frames.iter().map(|frame| {
        (
            frame.payload[0],
            frame.descriptor.geometry_epoch,
            frame.descriptor.t_acq_ns,
            frame.descriptor.samples,
        )
    });
    assert_eq!(seen.collect::<Vec<_>>(), [(1, 1, 0, 16), (2, 1, 20_000_000, 16), (10, 2, 40_000_000, 20)]);
    assert_eq!(recording.frames[0].descriptor.frame_rate_hz, 50.0);
    assert!(!recording.notes.iter().any(|note| note.contains("assumed")), "{:?}", recording.notes);
    let recording = open(&folder, &Options::default()).unwrap();
    let notes = recording.notes.join("; ");
    assert!(notes.contains("assumed 25 per second"), "{notes}");
    assert!(notes.contains("passed over") && notes.contains("notes.txt"), "{notes}");
}

#[test]
fn unreadable_files_are_named() {
    let folder = scratch("unreadable");
    std::fs::write(folder.join("a1.png"), png(8, 8, &[1; 64])).unwrap();
    std::fs::write(folder.join("a2.png"), b"\x89PNG\r\n\x1a\nnonsense").unwrap();
    assert!(refusal(open(&folder, &Options::default())).contains("a2.png: cannot decode the PNG"));
    std::fs::write(folder.join("a2.png"), b"GIF89a").unwrap();
    assert!(refusal(open(&folder, &Options::default())).contains("a2.png: neither a PNG nor a JPEG"));
    let empty = scratch("empty");
    assert!(refusal(open(&empty, &Options::default())).contains("an empty folder"));
    let nowhere = empty.join("nowhere");
    assert!(refusal(open(&nowhere, &Options::default())).contains("nowhere: No such file"));
    std::fs::write(&nowhere, b"").unwrap();
    assert!(refusal(open(&nowhere, &Options::default())).contains("an empty file; give a PNG"));
    std::fs::write(&nowhere, b"\x89LZO\0").unwrap();
    assert!(refusal(open(&nowhere, &Options::default())).contains("lzop -d"));
}

/// A picture that declares more pixels than a frame may have is refused before any are decoded.
#[test]
fn sizes_beyond_the_limits_are_refused() {
    let huge = png(8193, 4, &[0; 4 * 8193]);
    let text = refusal(picture::read(Path::new("a.png"), &huge, &Options::default()));
    assert_eq!(text, "a.png: pixels in width: 8193, at most 8192 are allowed; scale the picture down");
    let text = refusal(picture::read(Path::new("a.png"), &png(4, 4097, &[0; 4 * 4097]), &Options::default()));
    assert!(text.contains("pixels in height: 4097, at most 4096"), "{text}");
    let mut jpeg = jpeg(16, 16, &[0; 256], ExtendedColorType::L8);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xff);
    let text = refusal(picture::read(Path::new("a.jpg"), &jpeg, &Options::default()));
    assert!(text.contains("pixels in width: 65535"), "{text}");
    let tiny = png(1, 1, &[0]);
    let text = refusal(picture::read(Path::new("a.png"), &tiny, &Options::default()));
    assert!(text.contains("frame field `lines` is 1"), "{text}");
    let options = Options { bytes_max: 100, ..Options::default() };
    let text = refusal(picture::read(Path::new("a.png"), &png(16, 16, &[0; 256]), &options));
    assert!(text.contains("bytes in memory: 256, at most 100"), "{text}");
}

#[test]
fn truncated_pictures_are_refused() {
    let (width, height) = (40, 24);
    let grey = ramp(width, height);
    let jpeg = jpeg(width, height, &grey, ExtendedColorType::L8);
    for length in 0..jpeg.len() - 1 {
        refusal(picture::read(Path::new("a.jpg"), &jpeg[..length], &Options::default()));
    }
    // In a PNG only the end marker of twelve bytes may be missing.
    let png = png(width, height, &grey);
    for length in 0..png.len() - 12 {
        refusal(picture::read(Path::new("a.png"), &png[..length], &Options::default()));
    }
}

/// One frame of a GIF.
struct GifFrame {
    at: (u16, u16),
    size: (u16, u16),
    /// Indices into the palette; 0 is black, 1 is white, 2 is red, 3 is transparent.
    pixels: Vec<u8>,
    delay_cs: u16,
    dispose: ::gif::DisposalMethod,
}

fn animate(width: u16, height: u16, frames: &[GifFrame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let palette = [0, 0, 0, 255, 255, 255, 255, 0, 0, 9, 9, 9];
    let mut encoder = ::gif::Encoder::new(&mut bytes, width, height, &palette).unwrap();
    for frame in frames {
        let (left, top) = frame.at;
        let (width, height) = frame.size;
        let frame = ::gif::Frame {
            left,
            top,
            width,
            height,
            buffer: frame.pixels.clone().into(),
            delay: frame.delay_cs,
            dispose: frame.dispose,
            transparent: Some(3),
            ..::gif::Frame::default()
        };
        encoder.write_frame(&frame).unwrap();
    }
    drop(encoder);
    bytes
}

fn three_frames() -> Vec<u8> {
    use ::gif::DisposalMethod::{Background, Keep, Previous};
    let frame = |at, size: (u16, u16), pixels: &[u8], delay_cs, dispose| GifFrame {
        at,
        size,
        pixels: pixels.to_vec(),
        delay_cs,
        dispose,
    };
    animate(
        3,
        2,
        &[
            frame((0, 0), (3, 2), &[1, 1, 1, 0, 0, 2], 4, Keep),
            // Transparent over white, white over black; removed before the next frame.
            frame((0, 0), (1, 2), &[3, 1], 10, Previous),
            frame((1, 0), (1, 1), &[0], 4, Background),
            frame((0, 1), (1, 1), &[1], 4, Keep),
        ],
    )
}

#[test]
fn gif_frames_are_composited_and_timed() {
    let recording = gif::read(Path::new("a.gif"), &three_frames(), &Options::default()).unwrap();
    assert_sound(&recording);
    let red = 77;
    let expected: [[u8; 6]; 4] = [
        [255, 255, 255, 0, 0, red],
        [255, 255, 255, 255, 0, red],
        [255, 0, 255, 0, 0, red],
        // The third frame left a transparent pixel.
        [255, 0, 255, 255, 0, red],
    ];
    for (frame, expected) in recording.frames.iter().zip(expected) {
        assert_eq!(frame.payload, expected, "frame {}", frame.descriptor.seq);
    }
    let times: Vec<_> = recording.frames.iter().map(|frame| frame.descriptor.t_acq_ns / 1_000_000).collect();
    assert_eq!(times, [0, 40, 140, 180]);
    assert!((recording.frames[0].descriptor.frame_rate_hz - 3.0 / 0.18).abs() < 1e-3);
    assert_eq!(recording.frames[3].descriptor.geometry_epoch, 1);
}

#[test]
fn gif_without_delays_gets_assumed_times() {
    let frame = |level| GifFrame {
        at: (0, 0),
        size: (2, 2),
        pixels: vec![level; 4],
        delay_cs: 0,
        dispose: ::gif::DisposalMethod::Any,
    };
    let bytes = animate(2, 2, &[frame(0), frame(1), frame(0)]);
    let recording = gif::read(Path::new("a.gif"), &bytes, &Options::default()).unwrap();
    assert_eq!(recording.frames[2].descriptor.t_acq_ns, 80_000_000);
    assert!(recording.notes[0].contains("3 frames have no delay"), "{:?}", recording.notes);
}

#[test]
fn gif_beyond_the_limits_is_refused() {
    let one = GifFrame {
        at: (0, 0),
        size: (1, 1),
        pixels: vec![1],
        delay_cs: 1,
        dispose: ::gif::DisposalMethod::Keep,
    };
    let wide = animate(9000, 4, &[one]);
    assert!(
        refusal(gif::read(Path::new("a.gif"), &wide, &Options::default())).contains("pixels in width: 9000")
    );
    // A thousand frames of one pixel on a large canvas: refused at the frame that exceeds the limit.
    let frames = (0..1000).map(|_| GifFrame {
        at: (0, 0),
        size: (1, 1),
        pixels: vec![1],
        delay_cs: 1,
        dispose: ::gif::DisposalMethod::Keep,
    });
    let many = animate(1000, 1000, &frames.collect::<Vec<_>>());
    let text = refusal(gif::read(Path::new("a.gif"), &many, &small()));
    assert!(text.starts_with("a.gif, frame 5: bytes in memory: 5000000"), "{text}");
}

#[test]
fn truncated_gif_is_refused() {
    let bytes = three_frames();
    for length in 0..bytes.len() {
        refusal(gif::read(Path::new("a.gif"), &bytes[..length], &Options::default()));
    }
    let text = refusal(gif::read(Path::new("a.gif"), &bytes[..bytes.len() - 1], &Options::default()));
    assert!(text.starts_with("a.gif, frame 5: cannot decode the GIF"), "{text}");
}

/// The layout of fuzz target `replay_pictures`: 0 for PNG and JPEG, 1 for GIF, the file.
#[test]
fn valid_files_seed_the_fuzz_targets() {
    let grey = ramp(24, 16);
    let colours: Vec<u8> = grey.iter().flat_map(|&level| [level, 255 - level, level / 2]).collect();
    let pictures = [
        ("png", png(24, 16, &grey)),
        ("jpeg_grey", jpeg(24, 16, &grey, ExtendedColorType::L8)),
        ("jpeg_colour", jpeg(24, 16, &colours, ExtendedColorType::Rgb8)),
    ];
    for (name, bytes) in pictures {
        assert_sound(&picture::read(Path::new("a.png"), &bytes, &Options::default()).unwrap());
        write_seed("replay_pictures", name, &[&[0], &bytes]);
    }
    assert_sound(&gif::read(Path::new("a.gif"), &three_frames(), &Options::default()).unwrap());
    write_seed("replay_pictures", "gif", &[&[1], &three_frames()]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_files_give_errors_or_valid_frames(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let grey = ramp(24, 16);
        let files = [
            ("a.png", png(24, 16, &grey)),
            ("a.jpg", jpeg(24, 16, &grey, ExtendedColorType::L8)),
            ("a.gif", three_frames()),
        ];
        for (name, mut bytes) in files {
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            let path = Path::new(name);
            let result = if name == "a.gif" {
                gif::read(path, &bytes, &small())
            } else {
                picture::read(path, &bytes, &small())
            };
            survive(result, name);
        }
    }
}
