//! DICOM files whose attributes contradict their contents or each other, and grey levels that need more than a shift.

use crate::common::dicom::{EXPLICIT, File, JPEG, RLE, Region};
use crate::common::lossless::lossless_jpeg;
use crate::common::{assert_sound, jpeg, ramp, refusal};
use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use image::ExtendedColorType;
use sonotrace_hal::geometry::Point;
use sonotrace_replay::{Options, Recording, RegionFault, dicom};
use std::path::Path;

const WIDTH: u16 = 16;
const HEIGHT: u16 = 12;
const PIXELS: usize = WIDTH as usize * HEIGHT as usize;

#[track_caller]
fn read_with(bytes: &[u8], options: &Options) -> Recording {
    let recording = dicom::read(Path::new("a.dcm"), bytes, options).unwrap();
    assert_sound(&recording);
    recording
}

#[track_caller]
fn read(bytes: &[u8]) -> Recording {
    read_with(bytes, &Options::default())
}

#[track_caller]
fn refused(bytes: &[u8]) -> String {
    refusal(dicom::read(Path::new("a.dcm"), bytes, &Options::default()))
}

fn file() -> File {
    File::new(EXPLICIT, WIDTH, HEIGHT)
}

fn grey() -> Vec<u8> {
    ramp(WIDTH.into(), HEIGHT.into())
}

fn words(of: impl Fn(u8) -> u16) -> Vec<u8> {
    grey().iter().flat_map(|&level| of(level).to_le_bytes()).collect()
}

#[track_caller]
fn assert_near(recording: &Recording, expected: &[u8], tolerance: u8) {
    let payload = &recording.frames[0].payload;
    let most = payload.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(payload.len() == expected.len() && most <= Some(tolerance), "{most:?}: {:?}", recording.notes);
}

/// The number of frames is absent, empty, 0, 1, or too small.
#[test]
fn the_length_of_the_pixels_gives_the_number_of_frames() {
    let six: Vec<u8> = (0..6).flat_map(|frame| vec![frame * 40; PIXELS]).collect();
    for declared in [None, Some(""), Some("0"), Some("1"), Some("4")] {
        let mut file = file();
        if let Some(declared) = declared {
            file.text(tags::NUMBER_OF_FRAMES, VR::IS, declared);
        }
        let recording = read(&file.text(tags::FRAME_TIME, VR::DS, "40").native(&six));
        assert_eq!(recording.frames.len(), 6, "{declared:?}");
        assert_eq!(
            (recording.frames[5].payload[0], recording.frames[5].descriptor.t_acq_ns),
            (200, 200_000_000)
        );
        assert!(recording.notes[0].contains("the pixel data has 6"), "{:?}", recording.notes);
    }
    // A single frame needs no number, but a wrong number is noted.
    assert!(!read(&file().native(&grey())).notes[0].contains("number of frames"));
    let zero = file().text(tags::NUMBER_OF_FRAMES, VR::IS, "0").native(&grey());
    assert!(read(&zero).notes[0].contains("empty or 0"));
}

#[test]
fn the_fragments_give_the_number_of_frames() {
    let coded = jpeg(WIDTH.into(), HEIGHT.into(), &grey(), ExtendedColorType::L8);
    let (head, tail) = coded.split_at(coded.len() / 4 * 2);
    let fragments = vec![coded.clone(), head.to_vec(), tail.to_vec(), coded.clone()];
    for declared in [None, Some("1"), Some("2")] {
        let mut file = File::new(JPEG, WIDTH, HEIGHT);
        if let Some(declared) = declared {
            file.text(tags::NUMBER_OF_FRAMES, VR::IS, declared);
        }
        let recording = read(&file.fragments(fragments.clone()));
        assert_eq!(recording.frames.len(), 3, "{declared:?}");
        assert!(recording.notes[0].contains("has 3"), "{:?}", recording.notes);
    }
    let mut run = vec![0; 64];
    (run[0], run[4]) = (1, 64);
    run.extend([257u16.wrapping_sub(128) as u8, 9, 257u16.wrapping_sub(64) as u8, 9]);
    let recording = read(&File::new(RLE, WIDTH, HEIGHT).fragments(vec![run.clone(), run]));
    assert_eq!((recording.frames.len(), recording.frames[1].payload[0]), (2, 9));
}

#[test]
fn pixels_of_another_length_are_refused_with_the_lengths_and_the_fix() {
    let mut longer = grey();
    longer.extend([0; 10]);
    let text = refused(&file().native(&longer));
    assert!(text.contains("202 bytes of pixels, but a frame of 16x12 has 192 bytes"), "{text}");
    assert!(text.contains("dcmodify"), "{text}");
    // A single byte makes an odd length even, and only that.
    let odd = File::new(EXPLICIT, 3, 3).native(&[7; 10]);
    assert_eq!(read(&odd).frames[0].payload, [7; 9]);
    let short = file().bits(16, 16).native(&grey());
    assert!(refused(&short).contains("192 bytes of pixels, but a frame of 16x12 has 384 bytes"));
    // Two frames of three bytes a pixel, or three of two.
    let ambiguous = file().colour("YBR_FULL_422", 0).native(&[9; 6 * PIXELS]);
    let text = refused(&ambiguous);
    assert!(text.contains("384 bytes with 2 bytes per pixel or 576 bytes with 3 bytes per pixel"), "{text}");
}

#[test]
fn chroma_of_every_pixel_under_the_label_of_every_second() {
    let rgb: Vec<u8> = grey().iter().flat_map(|&level| [level; 3]).collect();
    let ybr: Vec<u8> = grey().iter().flat_map(|&level| [level, 128, 128]).collect();
    let planes = [grey(), vec![128; PIXELS], vec![128; PIXELS]].concat();
    for (pixels, planar, name) in [(rgb, 0, "RGB"), (ybr, 0, "YBR_FULL"), (planes, 1, "YBR_FULL")] {
        for (frames, pixels) in [(1, pixels.clone()), (2, pixels.repeat(2))] {
            let bytes = file().colour("YBR_FULL_422", planar).frames(frames).native(&pixels);
            let recording = read(&bytes);
            assert_eq!(recording.frames.len(), frames);
            assert_near(&recording, &grey(), 0);
            assert!(recording.notes[0].contains(&format!("read as {name},")), "{:?}", recording.notes);
        }
    }
    // The standard defines no planes of it.
    let text = refused(&file().colour("YBR_FULL_422", 1).native(&[9; 2 * PIXELS]));
    assert!(
        text.contains("PlanarConfiguration: planes of YBR_FULL_422") && text.contains("dcmodify"),
        "{text}"
    );
    let colours = [200u8, 30, 90].repeat(PIXELS);
    assert!(refused(&file().colour("YBR_FULL_422", 0).native(&colours)).contains("576 bytes of pixels"));
}

#[test]
fn windows_and_rescaling_give_the_grey_levels() {
    let window = |file: &mut File, centre: &str, width: &str| {
        file.text(tags::WINDOW_CENTER, VR::DS, centre).text(tags::WINDOW_WIDTH, VR::DS, width);
    };
    let mut eight = file();
    window(eight.bits(16, 16), "1020", "2040");
    assert_near(&read(&eight.native(&words(|level| u16::from(level) * 8))), &grey(), 1);
    // The window is in units after rescaling; the first of several counts.
    let mut rescaled = file();
    window(rescaled.bits(16, 16), "-872\\9", "256\\9");
    rescaled.text(tags::RESCALE_SLOPE, VR::DS, "1").text(tags::RESCALE_INTERCEPT, VR::DS, "-1000");
    let recording = read(&rescaled.native(&words(u16::from)));
    assert_near(&recording, &grey(), 0);
    assert!(recording.notes.iter().any(|note| note.contains("2 windows")), "{:?}", recording.notes);
    let mut exact = file();
    window(&mut exact, "127.5", "255");
    exact.text(tags::VOILUT_FUNCTION, VR::CS, "LINEAR_EXACT");
    assert_near(&read(&exact.native(&grey())), &grey(), 0);
    let mut sigmoid = file();
    window(&mut sigmoid, "60", "40");
    sigmoid.text(tags::VOILUT_FUNCTION, VR::CS, "SIGMOID");
    let smooth: Vec<u8> = grey()
        .iter()
        .map(|&x| (255.0 / (1.0 + (-4.0 * (f64::from(x) - 60.0) / 40.0).exp())).round() as u8)
        .collect();
    assert_near(&read(&sigmoid.native(&grey())), &smooth, 0);

    let inverse: Vec<u8> = grey().iter().map(|level| 255 - level).collect();
    let mut negative = file();
    negative.text(tags::RESCALE_SLOPE, VR::DS, "-1").text(tags::RESCALE_INTERCEPT, VR::DS, "255");
    assert_near(&read(&negative.native(&inverse)), &grey(), 0);
    let mut shape = file();
    shape.text(tags::PRESENTATION_LUT_SHAPE, VR::CS, "INVERSE");
    assert_near(&read(&shape.native(&inverse)), &grey(), 0);
    // Both attributes state the same inversion.
    shape.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1");
    assert_near(&read(&shape.native(&inverse)), &grey(), 0);
    // It comes after the window.
    let mut windowed = file();
    window(windowed.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1"), "64", "128");
    let expected: Vec<u8> =
        grey().iter().map(|&x| 255 - (f64::from(x.min(127)) * 255.0 / 127.0).round() as u8).collect();
    assert_near(&read(&windowed.native(&grey())), &expected, 0);

    let mut broken = file();
    window(&mut broken, "128", "0");
    let recording = read(&broken.native(&grey()));
    assert_near(&recording, &grey(), 0);
    assert!(recording.notes.iter().any(|note| note.contains("width 0) is ignored")), "{:?}", recording.notes);
    // A window also applies to monochrome JPEG.
    let coded = jpeg(WIDTH.into(), HEIGHT.into(), &grey(), ExtendedColorType::L8);
    let mut lossy = File::new(JPEG, WIDTH, HEIGHT);
    window(&mut lossy, "64", "128");
    let expected: Vec<u8> = expected.iter().map(|level| 255 - level).collect();
    assert_near(&read(&lossy.fragments(vec![coded])), &expected, 12);
}

#[test]
fn bits_may_be_anywhere_and_signed() {
    let mut high = file();
    high.bits(16, 8).number(tags::HIGH_BIT, 15);
    assert_near(&read(&high.native(&words(|level| u16::from(level) << 8 | 0x5a))), &grey(), 0);
    let mut signed = file();
    signed.bits(16, 12).number(tags::PIXEL_REPRESENTATION, 1);
    let stored = words(|level| (i16::from(level) * 16 - 2048) as u16);
    assert_near(&read(&signed.native(&stored)), &grey(), 1);
}

fn table(file: &mut File, sequence: Tag, descriptor: [u16; 3], data: &[u16]) {
    let mut item = InMemDicomObject::new_empty();
    let value = |words: &[u16]| PrimitiveValue::U16(words.iter().copied().collect());
    item.put(DataElement::new(tags::LUT_DESCRIPTOR, VR::US, value(&descriptor)));
    item.put(DataElement::new(tags::LUT_DATA, VR::US, value(data)));
    file.object.put(DataElement::new(sequence, VR::SQ, DataSetSequence::from(vec![item])));
}

#[test]
fn tables_give_the_grey_levels() {
    let inverse: Vec<u16> = (0..256).map(|value| 255 - value).collect();
    let inverted: Vec<u8> = grey().iter().map(|level| 255 - level).collect();
    for sequence in [tags::MODALITY_LUT_SEQUENCE, tags::VOILUT_SEQUENCE] {
        let mut file = file();
        table(&mut file, sequence, [256, 0, 8], &inverse);
        assert_near(&read(&file.native(&inverted)), &grey(), 0);
    }
    // Values outside the table have that of its ends.
    let mut short = file();
    table(&mut short, tags::VOILUT_SEQUENCE, [2, 50, 16], &[0, 65_535]);
    let expected: Vec<u8> = grey().iter().map(|&level| if level > 50 { 255 } else { 0 }).collect();
    assert_near(&read(&short.native(&grey())), &expected, 0);
    let mut wrong = file();
    table(&mut wrong, tags::VOILUT_SEQUENCE, [9, 0, 8], &[0, 1]);
    assert!(refused(&wrong.native(&grey())).contains("LUTData: 4 bytes, 18 are needed"));
}

/// A scale that cannot be read would be taken for none.
#[test]
fn rescaling_that_is_no_number_is_refused() {
    for (tag, name) in [(tags::RESCALE_SLOPE, "RescaleSlope"), (tags::RESCALE_INTERCEPT, "RescaleIntercept")]
    {
        for number in ["0,5", "NaN", "x"] {
            let text = refused(&file().text(tag, VR::DS, number).native(&grey()));
            assert!(
                text.contains(&format!("{name}: not a number; correct or remove it")),
                "{number}: {text}"
            );
        }
        assert_near(&read(&file().text(tag, VR::DS, " ").native(&grey())), &grey(), 0);
    }
}

/// Padding is not part of the picture, whatever a window or an inversion would show.
#[test]
fn padding_is_black_and_changes_no_level() {
    let levels = grey();
    let is_padding = |at: usize| at.is_multiple_of(5);
    let stored = |padding: u16, of: &dyn Fn(u8) -> u16| {
        let words = levels
            .iter()
            .enumerate()
            .map(|(at, &level)| if is_padding(at) { padding.wrapping_add(at as u16 % 2) } else { of(level) });
        words.flat_map(u16::to_le_bytes).collect::<Vec<u8>>()
    };
    let expected: Vec<u8> =
        levels.iter().enumerate().map(|(at, &level)| if is_padding(at) { 0 } else { level }).collect();
    // A window, with the ends of the range in both orders; inverted; signed.
    for (first, last) in [(4000u16, 4001u16), (4001, 4000)] {
        let mut windowed = file();
        windowed
            .bits(16, 12)
            .number(tags::PIXEL_PADDING_VALUE, first)
            .number(tags::PIXEL_PADDING_RANGE_LIMIT, last)
            .text(tags::WINDOW_CENTER, VR::DS, "128")
            .text(tags::WINDOW_WIDTH, VR::DS, "256");
        let recording = read(&windowed.native(&stored(4000, &u16::from)));
        assert_near(&recording, &expected, 0);
        assert!(recording.notes.iter().any(|note| note.contains("PixelPaddingValue")));
    }
    let mut inverted = file();
    let pixels: Vec<u8> =
        levels.iter().enumerate().map(|(at, &level)| if is_padding(at) { 0 } else { 255 - level }).collect();
    inverted
        .text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1")
        .number(tags::PIXEL_PADDING_VALUE, 0);
    assert_near(&read(&inverted.native(&pixels)), &expected, 0);
    let mut signed = file();
    signed
        .bits(16, 16)
        .number(tags::PIXEL_REPRESENTATION, 1)
        .number(tags::PIXEL_PADDING_VALUE, -2000i16 as u16)
        .number(tags::PIXEL_PADDING_RANGE_LIMIT, -1999i16 as u16);
    let recording = read(&signed.native(&stored(-2000i16 as u16, &|level| u16::from(level) + 7)));
    // The picture is dark, but the padding is not its darkest part.
    let notes = recording.notes.join("; ");
    assert!(notes.contains("the brightest sample is 111") && notes.contains("--window 64,128"), "{notes}");
    // Padding that is black anyway needs no note.
    let recording = read(&file().number(tags::PIXEL_PADDING_VALUE, 0).native(&grey()));
    assert_near(&recording, &grey(), 0);
    assert!(!recording.notes.join("; ").contains("PixelPaddingValue"));
}

#[test]
fn dark_pictures_get_a_note_and_an_option() {
    let bytes = file().bits(16, 16).native(&words(u16::from));
    let recording = read(&bytes);
    let notes = recording.notes.join("; ");
    assert!(notes.contains("--window 128,256") || notes.contains("--window 64,128"), "{notes}");
    let options = Options { window: Some((128.0, 256.0).into()), ..Options::default() };
    let recording = read_with(&bytes, &options);
    assert_near(&recording, &grey(), 0);
    assert!(!recording.notes.join("; ").contains("--window"));
    // The option overrides the file's window.
    let mut windowed = file();
    windowed.bits(16, 16).text(tags::WINDOW_CENTER, VR::DS, "9").text(tags::WINDOW_WIDTH, VR::DS, "9");
    assert_near(&read_with(&windowed.native(&words(u16::from)), &options), &grey(), 0);
    // Colour has no window of its own, but the user may want one.
    let rgb: Vec<u8> = grey().iter().flat_map(|&level| [level / 2; 3]).collect();
    let options = Options { window: Some((64.0, 128.0).into()), ..Options::default() };
    assert_near(&read_with(&file().colour("RGB", 0).native(&rgb), &options), &grey(), 3);
}

/// A JPEG that does not state its colour space: its grey pixels tell it.
#[test]
fn pixels_of_a_jpeg_override_a_wrong_label() {
    let rgb: Vec<u8> = grey().iter().flat_map(|&level| [level; 3]).collect();
    let mut coded = jpeg(WIDTH.into(), HEIGHT.into(), &rgb, ExtendedColorType::Rgb8);
    let at = coded.windows(4).position(|bytes| bytes == b"JFIF").unwrap();
    coded[at..at + 4].copy_from_slice(b"xxxx");
    let recording = read(&File::new(JPEG, WIDTH, HEIGHT).colour("RGB", 0).fragments(vec![coded]));
    assert_near(&recording, &grey(), 3);
    assert!(recording.notes.iter().any(|note| note.contains("read as YCbCr")), "{:?}", recording.notes);
}

#[test]
fn lossless_jpeg_is_exact_with_any_number_of_bits() {
    for syntax in ["1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"] {
        for bits in [8u16, 12, 16] {
            let samples: Vec<u16> = grey().iter().map(|&level| u16::from(level) << (bits - 8)).collect();
            let coded = lossless_jpeg(WIDTH, HEIGHT, bits as u8, &samples);
            let mut file = File::new(syntax, WIDTH, HEIGHT);
            let allocated = if bits == 8 { 8 } else { 16 };
            assert_near(&read(&file.bits(allocated, bits).fragments(vec![coded])), &grey(), 1);
        }
    }
    let coded = lossless_jpeg(WIDTH, HEIGHT, 12, &[9; PIXELS]);
    let wide = File::new("1.2.840.10008.1.2.4.70", WIDTH, HEIGHT).fragments(vec![coded]);
    assert!(refused(&wide).contains("more than 8 bits per sample"));
}

fn two(left: Region, right: Region) -> Recording {
    let size = [64u16, 32];
    let pixels = ramp(size[0].into(), size[1].into());
    read(&File::new(EXPLICIT, size[0], size[1]).regions(&[left, right]).native(&pixels))
}

#[test]
fn the_region_of_a_prompt_gives_its_scale() {
    let left = Region { columns: [0, 31], rows: [0, 31], ..Region::default() };
    let right = Region { columns: [32, 63], delta: [0.05, 0.05], ..left };
    let mut recording = two(left, right);
    assert_eq!(recording.frames[0].descriptor.spacing_x_mm, 0.2);
    let at = |x: f32, y: f32| Point { x, y };
    assert_eq!(recording.region_at(at(40.0, 9.0)), Ok(Some(1)));
    assert_eq!(recording.region_at(at(31.4, 9.0)), Ok(Some(0)));
    recording.select_region(1);
    assert_sound(&recording);
    let seen = recording.frames[0].descriptor;
    assert_eq!((seen.spacing_x_mm, seen.content_column, seen.content_columns), (0.5, 32, 32));
    assert!(
        recording.notes[0].contains("0.5000 x 0.5000") && recording.notes.len() == 1,
        "{:?}",
        recording.notes
    );
    let fault = recording.region_at(at(40.0, 99.0)).unwrap_err();
    assert!(fault.to_string().contains("outside ultrasound region 1 of 2 (columns 0..31"), "{fault}");
}

#[test]
fn thumbnails_are_not_chosen_and_priority_decides_overlaps() {
    let thumbnail = Region { columns: [48, 63], rows: [0, 15], delta: [0.1, 0.1], ..Region::default() };
    let large = Region { columns: [0, 63], rows: [0, 31], delta: [0.02, 0.02], ..Region::default() };
    let recording = two(thumbnail, large);
    assert_eq!(recording.frames[0].descriptor.spacing_x_mm, 0.2);
    let over = Point { x: 50.0, y: 5.0 };
    assert!(matches!(recording.region_at(over), Err(RegionFault::Ambiguous(..))));
    let recording = two(thumbnail, Region { flags: 1, ..large });
    assert_eq!(recording.region_at(over), Ok(Some(0)));
    let recording = two(Region { flags: 1, ..thumbnail }, large);
    assert_eq!(recording.region_at(over), Ok(Some(1)));
    // A spectrum over the picture hides it, colour does not.
    let spectrum = Region { spatial_format: 3, data_type: 3, ..thumbnail };
    let recording = two(spectrum, Region { flags: 1, ..large });
    assert!(matches!(recording.region_at(over), Err(RegionFault::NoTissue(_, "a spectrum"))));
    let colour = Region { data_type: 2, ..thumbnail };
    assert_eq!(two(colour, Region { flags: 1, ..large }).region_at(over), Ok(Some(1)));
}

#[test]
fn scales_that_no_probe_has_are_refused_with_the_limit() {
    let pixels = ramp(300, 300);
    let note = |delta: f64| {
        let region = Region { columns: [0, 299], rows: [0, 299], delta: [delta; 2], ..Region::default() };
        let recording = read(&File::new(EXPLICIT, 300, 300).regions(&[region]).native(&pixels));
        let is_unknown = recording.frames[0].descriptor.spacing_x_mm == 0.0;
        (is_unknown, recording.notes.join("; "))
    };
    let (is_unknown, text) = note(0.2);
    assert!(is_unknown && text.contains("2 x 2 mm") && text.contains("1.9 mm are possible"), "{text}");
    let (is_unknown, text) = note(0.15);
    assert!(is_unknown && text.contains("450 mm deep") && text.contains("400 mm are possible"), "{text}");
    let (is_unknown, text) = note(0.000_2);
    assert!(is_unknown && text.contains("0.005 to 1.9 mm"), "{text}");
    assert!(!note(0.08).0, "24 cm");
}

#[test]
fn times_that_disagree_are_noted() {
    let native = grey().repeat(3);
    let of = |attributes: &[(Tag, &str)], options: &Options| {
        let mut file = file();
        for (tag, value) in attributes {
            file.text(*tag, VR::DS, value);
        }
        let recording = read_with(&file.frames(3).native(&native), options);
        (recording.frames[1].descriptor.t_acq_ns as f64 * 1e-6, recording.notes.join("; "))
    };
    let none = Options::default();
    let cases: [(&[(Tag, &str)], f64); 6] = [
        (&[(tags::FRAME_TIME, "20000"), (tags::CINE_RATE, "50")], 20.0),
        (&[(tags::FRAME_TIME, "1000"), (tags::CINE_RATE, "1000")], 1.0),
        (&[(tags::FRAME_TIME, "20"), (tags::RECOMMENDED_DISPLAY_FRAME_RATE, "10")], 20.0),
        (&[(tags::FRAME_TIME_VECTOR, "0\\20000\\20000"), (tags::CINE_RATE, "50")], 20.0),
        (&[(tags::CINE_RATE, "50"), (tags::RECOMMENDED_DISPLAY_FRAME_RATE, "10")], 20.0),
        (&[(tags::FRAME_TIME, "0.5"), (tags::CINE_RATE, "2")], 500.0),
    ];
    for (attributes, expected_ms) in cases {
        let (ms, notes) = of(attributes, &none);
        assert!((ms - expected_ms).abs() < 1e-6, "{attributes:?}: {ms}");
        assert!(notes.contains("disagree") && notes.contains("--fps"), "{notes}");
        let fps = Options { frame_rate_hz: Some(8.0), ..none };
        let (ms, notes) = of(attributes, &fps);
        assert!(ms == 125.0 && !notes.contains("disagree"), "{ms} {notes}");
    }
    let (ms, notes) = of(&[(tags::FRAME_TIME, "33"), (tags::CINE_RATE, "30")], &none);
    assert!(ms == 33.0 && !notes.contains("disagree"), "{notes}");
    let (ms, notes) = of(&[(tags::FRAME_TIME, "20000")], &none);
    assert!(ms == 20_000.0 && notes.contains("unusual"), "{notes}");
}
