//! DICOM files written by dicom-rs, and malformed ones that no library writes.

use crate::common::dicom::{EXPLICIT, File, IMPLICIT, JPEG, PATIENT, RLE, Region};
use crate::common::{assert_sound, jpeg, ramp, refusal, small, survive, write_seed};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use image::ExtendedColorType;
use proptest::prelude::*;
use sonotrace_hal::frame::{FrameDescriptor, GeometryKind, flags};
use sonotrace_hal::geometry::LineSample;
use sonotrace_replay::{DisplayHint, Options, Recording, dicom};
use std::path::Path;

const WIDTH: u16 = 16;
const HEIGHT: u16 = 12;
const PIXELS: usize = WIDTH as usize * HEIGHT as usize;

fn read(bytes: &[u8]) -> Recording {
    read_with(bytes, &Options::default())
}

#[track_caller]
fn read_with(bytes: &[u8], options: &Options) -> Recording {
    let recording = dicom::read(Path::new("a.dcm"), bytes, options).unwrap();
    assert_sound(&recording);
    assert!(!format!("{recording:?}").contains(PATIENT));
    recording
}

#[track_caller]
fn refused(bytes: &[u8]) -> String {
    let text = refusal(dicom::read(Path::new("a.dcm"), bytes, &Options::default()));
    assert!(!text.contains(PATIENT));
    assert!(text.starts_with("a.dcm"), "{text}");
    text
}

fn file() -> File {
    File::new(EXPLICIT, WIDTH, HEIGHT)
}

fn grey() -> Vec<u8> {
    ramp(WIDTH.into(), HEIGHT.into())
}

fn descriptor(recording: &Recording) -> FrameDescriptor {
    recording.frames[0].descriptor
}

/// Encodes planes as run lengths (PS3.5 annex G), with literals only.
fn run_lengths(planes: &[&[u8]]) -> Vec<u8> {
    let segments: Vec<Vec<u8>> = planes
        .iter()
        .map(|plane| plane.chunks(128).flat_map(|run| [&[run.len() as u8 - 1], run].concat()).collect())
        .collect();
    let mut header = vec![planes.len() as u32];
    let mut at = 64;
    for segment in &segments {
        header.push(at);
        at += segment.len() as u32;
    }
    header.resize(16, 0);
    header.iter().flat_map(|word| word.to_le_bytes()).chain(segments.concat()).collect()
}

#[test]
fn native_grey_is_read_in_both_little_endian_syntaxes() {
    for syntax in [EXPLICIT, IMPLICIT] {
        let bytes = File::new(syntax, WIDTH, HEIGHT).native(&grey());
        let recording = read(&bytes);
        assert_eq!(recording.frames[0].payload, grey());
        let seen = descriptor(&recording);
        assert_eq!((seen.samples, seen.lines, seen.t_acq_ns), (WIDTH.into(), HEIGHT.into(), 0));
        assert_eq!(seen.geometry, GeometryKind::RasterUnknown as u32);
        assert_eq!(recording.display, DisplayHint::Source);
        assert!(recording.notes[0].contains("the file has no ultrasound region"), "{:?}", recording.notes);
    }
}

#[test]
fn levels_of_any_bits_stored_are_scaled() {
    let words: Vec<u8> =
        [0u16, 4095, 2048, 16].iter().copied().cycle().take(PIXELS).flat_map(u16::to_le_bytes).collect();
    let recording = read(&file().bits(16, 12).native(&words));
    assert_eq!(recording.frames[0].payload[..4], [0, 255, 128, 1]);
    // Unused high bits are ignored.
    let above: Vec<u8> = words.chunks(2).flat_map(|word| [word[0], word[1] | 0xf0]).collect();
    assert_eq!(read(&file().bits(16, 12).native(&above)).frames, recording.frames);
    let recording = read(&file().bits(16, 16).native(&[0x00, 0x80].repeat(PIXELS)));
    assert_eq!(recording.frames[0].payload, [128; PIXELS]);
    let recording = read(&file().bits(8, 7).native(&[127; PIXELS]));
    assert_eq!(recording.frames[0].payload, [255; PIXELS]);
    let mut inverted = file();
    inverted.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1");
    let expected: Vec<u8> = grey().iter().map(|level| 255 - level).collect();
    assert_eq!(read(&inverted.native(&grey())).frames[0].payload, expected);
}

#[test]
fn native_colours_become_luma() {
    let (r, g, b) = (200u8, 60u8, 20u8);
    let luma = ((77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b) + 128) >> 8) as u8;
    let interleaved = [r, g, b].repeat(PIXELS);
    assert_eq!(read(&file().colour("RGB", 0).native(&interleaved)).frames[0].payload, [luma; PIXELS]);
    let planes = [[r; PIXELS], [g; PIXELS], [b; PIXELS]].concat();
    assert_eq!(read(&file().colour("RGB", 1).native(&planes)).frames[0].payload, [luma; PIXELS]);
    let ybr: Vec<u8> = grey().iter().flat_map(|&y| [y, 100, 200]).collect();
    assert_eq!(read(&file().colour("YBR_FULL", 0).native(&ybr)).frames[0].payload, grey());
    let ybr = [grey(), vec![100; PIXELS], vec![200; PIXELS]].concat();
    assert_eq!(read(&file().colour("YBR_FULL", 1).native(&ybr)).frames[0].payload, grey());
    let ybr: Vec<u8> = grey().chunks(2).flat_map(|pair| [pair[0], pair[1], 100, 200]).collect();
    assert_eq!(read(&file().colour("YBR_FULL_422", 0).native(&ybr)).frames[0].payload, grey());
}

#[test]
fn run_length_frames_are_decoded() {
    let second: Vec<u8> = grey().iter().map(|level| level ^ 0x55).collect();
    let fragments = vec![run_lengths(&[&grey()]), run_lengths(&[&second])];
    let bytes = File::new(RLE, WIDTH, HEIGHT).frames(2).fragments(fragments);
    let recording = read(&bytes);
    assert_eq!([&recording.frames[0].payload, &recording.frames[1].payload], [&grey(), &second]);

    let (high, low) = ([0x0fu8; PIXELS], [0xffu8; PIXELS]);
    let bytes = File::new(RLE, WIDTH, HEIGHT).bits(16, 12).fragments(vec![run_lengths(&[&high, &low])]);
    assert_eq!(read(&bytes).frames[0].payload, [255; PIXELS]);

    let planes = run_lengths(&[&[200; PIXELS], &[60; PIXELS], &[20; PIXELS]]);
    let bytes = File::new(RLE, WIDTH, HEIGHT).colour("RGB", 0).fragments(vec![planes]);
    assert_eq!(read(&bytes).frames[0].payload, [98; PIXELS]);

    let cut = run_lengths(&[&grey()[..100]]);
    let bytes = File::new(RLE, WIDTH, HEIGHT).frames(2).fragments(vec![run_lengths(&[&grey()]), cut]);
    assert!(
        refused(&bytes).starts_with("a.dcm, frame 2: cannot decode the run lengths: segment 1 is too short")
    );
}

#[test]
fn jpeg_frames_are_decoded() {
    let (width, height) = (64, 48);
    let grey = ramp(width, height);
    let colours: Vec<u8> = grey.iter().flat_map(|&level| [level; 3]).collect();
    let file = || File::new(JPEG, width as u16, height as u16);
    let near = |payload: &[u8]| payload.iter().zip(&grey).all(|(a, b)| a.abs_diff(*b) <= 3);

    let coded = jpeg(width, height, &colours, ExtendedColorType::Rgb8);
    let bytes = file().colour("YBR_FULL_422", 0).frames(2).fragments(vec![coded.clone(), coded.clone()]);
    let recording = read(&bytes);
    assert_eq!(recording.frames.len(), 2);
    assert!(near(&recording.frames[1].payload));

    // One frame in two fragments, and two frames in three fragments.
    let (head, tail) = coded.split_at(coded.len() / 4 * 2);
    let bytes = file().colour("YBR_FULL_422", 0).fragments(vec![head.to_vec(), tail.to_vec()]);
    assert!(near(&read(&bytes).frames[0].payload));
    let three = vec![head.to_vec(), tail.to_vec(), coded.clone()];
    let bytes = file().colour("YBR_FULL_422", 0).frames(2).fragments(three);
    assert!(near(&read(&bytes).frames[1].payload));

    let single = jpeg(width, height, &grey, ExtendedColorType::L8);
    assert!(near(&read(&file().fragments(vec![single.clone()])).frames[0].payload));
    let inverted =
        file().text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1").fragments(vec![single.clone()]);
    let back: Vec<u8> = read(&inverted).frames[0].payload.iter().map(|level| 255 - level).collect();
    assert!(near(&back));

    let text = refused(&File::new(JPEG, 32, 48).fragments(vec![single.clone()]));
    assert_eq!(text, "a.dcm, frame 1: the JPEG is 64x48, the file declares 32x48");
    let half = single[..single.len() / 2].to_vec();
    let text = refused(&file().frames(2).fragments(vec![single.clone(), half]));
    assert_eq!(text, "a.dcm, frame 2: cannot decode the JPEG: truncated");
    let text = refused(&file().frames(3).fragments(vec![single.clone(), single]));
    assert!(text.starts_with("a.dcm, frame 3: missing: 3 frames are declared, 2 are present; "), "{text}");
    assert!(text.contains("`dcmodify -m NumberOfFrames=2 FILE`"), "{text}");
}

/// The JPEG does not state its colour space; the attributes of the file state RGB.
#[test]
fn attributes_give_the_colour_space_of_an_unmarked_jpeg() {
    let (width, height) = (32, 16);
    let stored = [200u8, 60, 20].repeat((width * height) as usize);
    // The encoder converts RGB to YCbCr. The inverse conversion first makes it store the wanted numbers.
    let to_rgb = |y: f64, cb: f64, cr: f64| {
        let level = |value: f64| value.round().clamp(0.0, 255.0) as u8;
        [
            level(y + 1.402 * (cr - 128.0)),
            level(y - 0.344 * (cb - 128.0) - 0.714 * (cr - 128.0)),
            level(y + 1.772 * (cb - 128.0)),
        ]
    };
    // A colour inside the gamut: Y 120, Cb 120, Cr 130.
    let colours = to_rgb(120.0, 120.0, 130.0).repeat(stored.len() / 3);
    let mut coded = jpeg(width, height, &colours, ExtendedColorType::Rgb8);
    let at = coded.windows(4).position(|bytes| bytes == b"JFIF").unwrap();
    coded[at..at + 4].copy_from_slice(b"xxxx");
    let bytes = File::new(JPEG, width as u16, height as u16).colour("RGB", 0).fragments(vec![coded.clone()]);
    let luma = (0.299 * 120.0 + 0.587 * 120.0 + 0.114 * 130.0f64).round() as u8;
    assert!(read(&bytes).frames[0].payload.iter().all(|level| level.abs_diff(luma) <= 2));
    // A JPEG that states YCbCr overrides the attributes of the file.
    coded[at..at + 4].copy_from_slice(b"JFIF");
    let bytes = File::new(JPEG, width as u16, height as u16).colour("RGB", 0).fragments(vec![coded]);
    assert!(read(&bytes).frames[0].payload.iter().all(|level| level.abs_diff(120) <= 1));
}

#[test]
fn frame_times_come_from_the_first_valid_source() {
    let native = [grey(), grey(), grey()].concat();
    let times = |file: &mut File| {
        let recording = read(&file.frames(3).native(&native));
        let times = recording.frames.iter().map(|frame| frame.descriptor.t_acq_ns / 1000);
        (times.collect::<Vec<_>>(), descriptor(&recording).frame_rate_hz, recording.notes.join("; "))
    };
    let (seen, rate, _) = times(file().text(tags::FRAME_TIME, VR::DS, "33.333"));
    assert_eq!((seen, rate), (vec![0, 33_333, 66_666], 30.0003));
    let (seen, rate, _) = times(file().text(tags::FRAME_TIME_VECTOR, VR::DS, "0\\40\\60"));
    assert_eq!((seen, rate), (vec![0, 40_000, 100_000], 20.0));
    let (seen, rate, _) = times(file().text(tags::CINE_RATE, VR::IS, "50"));
    assert_eq!((seen, rate), (vec![0, 20_000, 40_000], 50.0));
    let (seen, _, _) = times(file().text(tags::RECOMMENDED_DISPLAY_FRAME_RATE, VR::IS, "10"));
    assert_eq!(seen, [0, 100_000, 200_000]);
    let (seen, rate, notes) = times(&mut file());
    assert_eq!((seen, rate), (vec![0, 40_000, 80_000], 25.0));
    assert!(notes.contains("no frame times") && notes.contains("--fps"), "{notes}");

    // The frame increment pointer selects one of two sources.
    let mut both = file();
    both.text(tags::FRAME_TIME_VECTOR, VR::DS, "0\\40\\60").text(tags::FRAME_TIME, VR::DS, "10");
    assert_eq!(times(&mut both).0, [0, 10_000, 20_000]);
    both.object.put(dicom_core::DataElement::new(
        tags::FRAME_INCREMENT_POINTER,
        VR::AT,
        dicom_core::PrimitiveValue::from(tags::FRAME_TIME_VECTOR),
    ));
    assert_eq!(times(&mut both).0, [0, 40_000, 100_000]);

    for (vector, part) in [
        ("0\\40", "does not contain 3 times"),
        ("0\\40\\-60", "ascending order"),
        ("0\\x\\60", "ascending order"),
    ] {
        let (seen, _, notes) = times(file().text(tags::FRAME_TIME_VECTOR, VR::DS, vector));
        assert_eq!(seen, [0, 40_000, 80_000]);
        assert!(notes.contains(part), "{notes}");
    }
    for time in ["0", "-33", "nan", "1e300"] {
        let (seen, _, notes) = times(file().text(tags::FRAME_TIME, VR::DS, time));
        assert_eq!(seen, [0, 40_000, 80_000], "{time}: {notes}");
    }
}

fn calibrated(regions: &[Region], options: &Options) -> Recording {
    read_with(&file().regions(regions).native(&grey()), options)
}

#[test]
fn region_gives_millimetres_and_content() {
    let recording = calibrated(&[Region::default()], &Options::default());
    let seen = descriptor(&recording);
    assert_eq!(
        [seen.content_column, seen.content_row, seen.content_columns, seen.content_rows],
        [4, 2, 8, 8]
    );
    assert_eq!(
        (seen.geometry, seen.spacing_x_mm, seen.spacing_y_mm),
        (GeometryKind::Raster as u32, 0.2, 0.3)
    );
    let view = seen.check().unwrap().geometry.field_of_view();
    // Without a reference pixel, the region's middle is the probe's axis.
    let expected = [-0.8, 0.0, 0.8, 2.4];
    for (seen, expected) in [view.x0, view.y0, view.x1, view.y1].into_iter().zip(expected) {
        assert!((seen - expected).abs() < 1e-5, "{view:?}");
    }
    assert_eq!(
        recording.notes,
        [
            "0.2000 x 0.3000 mm per pixel, from ultrasound region 1 of 1, columns 4..11 and rows 2..9 of the picture"
        ]
    );
}

#[test]
fn region_reference_pixel_is_the_origin() {
    let region = Region { reference: Some(([3, 1], [0.1, 0.5])), ..Region::default() };
    let seen = descriptor(&calibrated(&[region], &Options::default()));
    // The reference pixel is relative to the region's first pixel.
    let at = seen.check().unwrap().geometry.to_plane(LineSample { line: 3.0, sample: 7.0 });
    assert!((at.x - 1.0).abs() < 1e-5 && (at.y - 5.0).abs() < 1e-5, "{at:?}");
    let far = Region { reference: Some(([3, 1], [1e30, f64::NAN])), ..Region::default() };
    assert_eq!(descriptor(&calibrated(&[far], &Options::default())).top_mm, -0.45);
}

#[test]
fn regions_without_tissue_are_skipped() {
    let spectrum = Region { spatial_format: 3, data_type: 3, units: [4, 7], ..Region::default() };
    let flow = Region { data_type: 2, ..Region::default() };
    let second = Region { delta: [0.05, 0.05], ..Region::default() };
    let recording = calibrated(&[spectrum, flow, second, Region::default()], &Options::default());
    assert_eq!(descriptor(&recording).spacing_x_mm, 0.5);
    assert!(recording.notes[0].contains("ultrasound region 3 of 4"), "{:?}", recording.notes);
    let seconds = Region { units: [4, 3], delta: [0.001, 0.02], ..Region::default() };
    let recording = calibrated(&[seconds, second], &Options::default());
    assert!(recording.notes[0].contains("ultrasound region 2 of 2"), "{:?}", recording.notes);
    let recording = calibrated(&[spectrum, flow], &Options::default());
    assert!(recording.notes[0].contains("none of the file's ultrasound regions"), "{:?}", recording.notes);
}

#[test]
fn implausible_regions_are_ignored() {
    let cases = [
        (Region { units: [3, 4], ..Region::default() }, "units are not centimetres"),
        (Region { units: [0, 0], ..Region::default() }, "units are not centimetres"),
        (Region { delta: [-0.02, 0.03], ..Region::default() }, "pixels would be -0.2 x 0.3 mm"),
        (Region { delta: [0.02, 0.0], ..Region::default() }, "pixels would be 0.2 x 0 mm"),
        (Region { delta: [f64::NAN, 0.02], ..Region::default() }, "pixels would be NaN"),
        (Region { delta: [1e9, 0.02], ..Region::default() }, "pixels would be 10000000000 x"),
    ];
    for (region, reason) in cases {
        let recording = calibrated(&[region], &Options::default());
        let seen = descriptor(&recording);
        assert_eq!(seen.geometry, GeometryKind::RasterUnknown as u32);
        // The content rectangle does not depend on the scale.
        assert_eq!([seen.content_column, seen.content_columns], [4, 8]);
        let note = &recording.notes[0];
        assert!(
            note.contains("pixels only") && note.contains(reason) && note.contains("--spacing"),
            "{note}"
        );
    }
    let nowhere = [
        (Region { columns: [4, 40], ..Region::default() }, "outside the picture of 16x12"),
        (Region { rows: [4, u32::MAX], ..Region::default() }, "outside the picture of 16x12"),
        (Region { rows: [9, 2], ..Region::default() }, "does not store its place"),
        (Region { rows: [9, 9], ..Region::default() }, "does not store its place"),
    ];
    for (region, reason) in nowhere {
        let recording = calibrated(&[region], &Options::default());
        let seen = descriptor(&recording);
        assert_eq!((seen.geometry, seen.content_columns), (GeometryKind::RasterUnknown as u32, 0));
        assert!(recording.notes[0].contains(reason), "{:?}", recording.notes);
    }
}

/// Some files store the end of the region exclusive.
#[test]
fn region_may_reach_one_pixel_outside_the_picture() {
    let region = Region { columns: [0, 16], rows: [0, 12], ..Region::default() };
    let seen = descriptor(&calibrated(&[region], &Options::default()));
    assert_eq!([seen.content_columns, seen.content_rows], [16, 12]);
    assert_eq!(seen.spacing_x_mm, 0.2);
}

#[test]
fn a_scaled_picture_is_calibrated_by_its_original_size() {
    let region = Region { columns: [8, 23], rows: [3, 20], ..Region::default() };
    let recording = calibrated(&[region], &Options::default());
    assert_eq!(descriptor(&recording).geometry, GeometryKind::RasterUnknown as u32);
    let note = &recording.notes[0];
    assert!(
        note.contains("spans columns 8..23 and rows 3..20") && note.contains("--calibrated-size"),
        "{note}"
    );

    let options = Options { calibrated_size: Some((32, 24)), ..Options::default() };
    let recording = calibrated(&[region], &options);
    let seen = descriptor(&recording);
    assert_eq!((seen.spacing_x_mm, seen.spacing_y_mm), (0.4, 0.6));
    // Rows 1.5 to 10.5: only whole rows count.
    assert_eq!(
        [seen.content_column, seen.content_row, seen.content_columns, seen.content_rows],
        [4, 2, 8, 8]
    );
    let view = seen.check().unwrap().geometry.field_of_view();
    assert!((view.y0 - 0.3).abs() < 1e-5, "{view:?}");

    let other = Options { calibrated_size: Some((32, 30)), ..Options::default() };
    assert!(calibrated(&[region], &other).notes[0].contains("another aspect ratio"));
    let small = Options { calibrated_size: Some((20, 15)), ..Options::default() };
    assert!(calibrated(&[region], &small).notes[0].contains("outside the 20x15 of --calibrated-size"));
    // It also applies to a region that is inside the picture.
    assert_eq!(descriptor(&calibrated(&[Region::default()], &options)).spacing_x_mm, 0.4);
}

#[test]
fn spacing_overrides_the_regions() {
    let options = Options { spacing_mm: Some(0.5), ..Options::default() };
    let recording = calibrated(&[Region::default()], &options);
    let seen = descriptor(&recording);
    assert_eq!((seen.spacing_x_mm, seen.content_columns), (0.5, 8));
    assert!(recording.notes[0].contains("as given with --spacing"), "{:?}", recording.notes);
    assert_eq!(read_with(&file().native(&grey()), &options).notes, [""; 0]);
    // One number for both directions cannot be right if the pixels are not square.
    let aspect = |ratio: &str| file().text(tags::PIXEL_ASPECT_RATIO, VR::IS, ratio).native(&grey());
    let notes = read_with(&aspect("2\\1"), &options).notes;
    assert!(notes[0].contains("not square (PixelAspectRatio 2 to 1), but --spacing"), "{notes:?}");
    assert_eq!(read_with(&aspect("1\\1"), &options).notes, [""; 0]);
}

#[test]
fn burnt_in_text_and_other_modalities_are_reported() {
    let bytes = file().text(tags::BURNED_IN_ANNOTATION, VR::CS, "YES").native(&grey());
    assert!(descriptor(&read(&bytes)).flags & flags::BURNT_IN_OVERLAY != 0);
    let bytes = file().text(tags::MODALITY, VR::CS, "MR").native(&grey());
    assert!(read(&bytes).notes[0].contains("not ultrasound"));
}

/// Transfer syntaxes that are not read, and the commands that convert them.
const REMEDIES: [(&str, &str); 4] = [
    ("1.2.840.10008.1.2.2", "`dcmconv +te IN OUT`"),
    ("1.2.840.10008.1.2.4.90", "`gdcmconv --raw IN OUT`"),
    ("1.2.840.10008.1.2.4.91", "`gdcmconv --raw IN OUT`"),
    ("1.2.840.10008.1.2.4.201", "export it again"),
];

#[test]
fn unsupported_and_malformed_files_are_refused() {
    for (uid, remedy) in REMEDIES {
        let text = refused(&File::new(uid, WIDTH, HEIGHT).fragments(vec![vec![0; 10]]));
        assert!(text.contains("is not supported") && text.contains(remedy), "{uid}: {text}");
    }
    // The library writes no deflated files: the name of another syntax, of the same length, is replaced.
    let (written, deflated) = (b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.1.99");
    let mut bytes = File::new("1.2.840.10008.1.2.4.90", WIDTH, HEIGHT).fragments(vec![vec![0; 10]]);
    let at = bytes.windows(written.len()).position(|name| name == written).unwrap();
    bytes[at..at + deflated.len()].copy_from_slice(deflated);
    let text = refused(&bytes);
    assert!(text.contains("is not supported") && text.contains("`dcmconv +te IN OUT`"), "{text}");
    let palette = file().text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR").native(&grey());
    assert!(refused(&palette).contains("(0028,1101) RedPaletteColorLookupTableDescriptor: missing"));
    let unknown = file().text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, PATIENT).native(&grey());
    assert!(refused(&unknown).contains("the colour space is not supported"));
    let samples = file().number(tags::SAMPLES_PER_PIXEL, 3).native(&grey());
    assert!(refused(&samples).contains("needs 1 samples per pixel, not 3"));
    let signed = file().colour("RGB", 0).number(tags::PIXEL_REPRESENTATION, 1).native(&grey());
    assert!(refused(&signed).contains("signed, are not supported"));
    let bits = file().number(tags::BITS_STORED, 9).native(&grey());
    assert!(refused(&bits).contains("samples of 9 bits in 8"));
    assert!(refused(&file().bytes()).contains("(7fe0,0010) PixelData: missing"));
    let mut without = file();
    without.object.remove_element(tags::ROWS);
    assert!(refused(&without.native(&grey())).contains("(0028,0010) Rows: missing"));
    let short = file().frames(3).native(&[grey(), grey()].concat());
    assert!(refused(&short).starts_with("a.dcm, frame 3: missing: 3 frames are declared, 2 are present"));
    let half = file().text(tags::NUMBER_OF_FRAMES, VR::IS, "1.5").native(&grey());
    assert!(refused(&half).contains("NumberOfFrames: not a number of frames"));
    let many = file().text(tags::NUMBER_OF_FRAMES, VR::IS, "4000000000").native(&grey());
    assert!(refused(&many).contains("frames: 4000000000, at most"));
    let large = File::new(EXPLICIT, 65535, 65535).native(&grey());
    assert!(refused(&large).contains("pixels in width: 65535"));
    let options = Options { bytes_max: 300, ..Options::default() };
    let two = file().frames(2).native(&[grey(), grey()].concat());
    let text = refusal(dicom::read(Path::new("a.dcm"), &two, &options));
    assert!(text.starts_with("a.dcm, frame 2: bytes in memory: 384, at most 300"), "{text}");
}

/// With these, dicom-rs 0.10 allocates gigabytes, overflows its stack, and panics.
#[test]
fn malformed_elements_are_refused() {
    let whole = file().native(&grey());
    let meta = whole.windows(4).position(|bytes| bytes == [8, 0, 0x16, 0]).unwrap();
    let with = |rest: &[u8]| [&whole[..meta], rest].concat();
    const SEQUENCE: [u8; 12] = [0x18, 0, 0x11, 0x60, b'S', b'Q', 0, 0, 0xff, 0xff, 0xff, 0xff];
    const ITEM: [u8; 8] = [0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff];
    const ITEM_END: [u8; 8] = [0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0];
    const SEQUENCE_END: [u8; 8] = [0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];

    let too_long = with(&[0x10, 0, 0x10, 0, b'U', b'T', 0, 0, 0xf0, 0xff, 0xff, 0xff]);
    assert!(refused(&too_long).contains("(0010,0010) declares 4294967280 bytes, 0 are left"));
    let nested = with(&[&SEQUENCE[..], &ITEM].concat().repeat(100_000));
    assert!(refused(&nested).contains("sequences nested deeper than 32"));
    let stray = with(&[&SEQUENCE[..], &ITEM_END, &ITEM].concat());
    assert!(refused(&stray).contains("unexpected item or delimiter"));
    let open = with(&[&SEQUENCE[..], &ITEM].concat());
    assert!(refused(&open).contains("the file ends within an element"));
    let pixels =
        [&SEQUENCE[..], &[0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0].repeat((1 << 20) + 1), &SEQUENCE_END].concat();
    assert!(refused(&with(&pixels)).contains("more than 1048576 items"));
    let typeless = with(&[0x10, 0, 0x10, 0, 1, 2, 0, 0]);
    assert!(refused(&typeless).contains("an element without a type"));
}

/// Sequences and items of undefined length, also of unknown type in a file with types.
#[test]
fn undefined_lengths_are_read() {
    let bytes = file().regions(&[Region::default()]).native(&grey());
    let expected = read(&bytes);
    let at = bytes.windows(6).position(|bytes| bytes == [0x18, 0, 0x11, 0x60, b'S', b'Q']).unwrap();
    let pixels = bytes.windows(6).position(|bytes| bytes == [8, 0, 0x60, 0, b'C', b'S']).unwrap();
    assert!(pixels < at);
    let after = bytes.windows(6).position(|bytes| bytes == [0x28, 0, 2, 0, b'U', b'S']).unwrap();
    const OPEN: [u8; 4] = [0xff; 4];
    const ITEM_END: [u8; 8] = [0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0];
    const SEQUENCE_END: [u8; 8] = [0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];
    // The library may write either form of length: the item's elements begin with the spatial format.
    let format = bytes.windows(6).position(|bytes| bytes == [0x18, 0, 0x12, 0x60, b'U', b'S']).unwrap();
    let ends = bytes[format..after].windows(4).position(|bytes| bytes == [0xfe, 0xff, 0x0d, 0xe0]);
    let elements = &bytes[format..ends.map_or(after, |end| format + end)];
    // An element of unknown type contains elements without types.
    let unknown = [
        &[9, 0, 0x10, 0, b'U', b'N', 0, 0][..],
        &OPEN,
        &[0xfe, 0xff, 0, 0xe0],
        &OPEN,
        &[9, 0, 0x11, 0, 4, 0, 0, 0, 1, 2, 3, 4],
        &ITEM_END,
        &SEQUENCE_END,
    ]
    .concat();
    let rebuilt = [
        &bytes[..at],
        &unknown,
        &[0x18, 0, 0x11, 0x60, b'S', b'Q', 0, 0],
        &OPEN,
        &[0xfe, 0xff, 0, 0xe0],
        &OPEN,
        elements,
        &ITEM_END,
        &SEQUENCE_END,
        &bytes[after..],
    ]
    .concat();
    assert_eq!(read(&rebuilt), expected);
}

fn samples() -> Vec<Vec<u8>> {
    let two = [grey(), grey()].concat();
    let coded = jpeg(WIDTH.into(), HEIGHT.into(), &grey(), ExtendedColorType::L8);
    vec![
        file().regions(&[Region::default(); 2]).text(tags::FRAME_TIME, VR::DS, "33.3").frames(2).native(&two),
        File::new(IMPLICIT, WIDTH, HEIGHT).regions(&[Region::default()]).native(&grey()),
        File::new(RLE, WIDTH, HEIGHT).fragments(vec![run_lengths(&[&grey()])]),
        File::new(JPEG, WIDTH, HEIGHT).fragments(vec![coded]),
    ]
}

/// The layout of fuzz target `replay_pictures`: 2 for DICOM (the high bit adds a calibrated size), the file.
#[test]
fn valid_files_seed_the_fuzz_targets() {
    for (number, bytes) in (0u8..).zip(samples()) {
        read(&bytes);
        write_seed("replay_pictures", &format!("dicom_{number}"), &[&[2], &bytes]);
        write_seed("replay_pictures", &format!("dicom_calibrated_{number}"), &[&[128], &bytes]);
    }
}

#[test]
fn truncated_files_are_refused() {
    for bytes in samples() {
        for length in 0..bytes.len() {
            let result = dicom::read(Path::new("a.dcm"), &bytes[..length], &small());
            // This includes a missing delimiter after the last fragment.
            let text = refusal(result);
            assert!(text.starts_with("a.dcm, ") && !text.contains(PATIENT), "{text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_files_give_errors_or_valid_frames(
        which in 0..4usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = samples().swap_remove(which);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(text) = survive(dicom::read(Path::new("a.dcm"), &bytes, &small()), "a.dcm") {
            prop_assert!(!text.contains("SECRET"), "{}", text);
        }
    }
}
