//! Arbitrary bytes as PNG, JPEG, GIF and DICOM give an error that names the file, or valid frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonotrace_fuzz::check_recording;
use sonotrace_replay::{Options, dicom, gif, picture};
use std::path::Path;

/// A DICOM file with this data set, after preamble, signature and transfer syntax.
fn dicom_of(syntax: &str, rest: &[u8]) -> Vec<u8> {
    let mut uid = syntax.as_bytes().to_vec();
    if uid.len() % 2 == 1 {
        uid.push(0);
    }
    let mut file = vec![0; 128];
    file.extend(b"DICM\x02\x00\x10\x00UI");
    file.extend((uid.len() as u16).to_le_bytes());
    file.extend(uid);
    file.extend(rest);
    file
}

/// A data set that begins with the attributes of a small picture, so that the input is its pixel data.
fn image_of(photometric: &str, samples: u16, bits: u16, rest: &[u8]) -> Vec<u8> {
    let mut set = Vec::new();
    let mut put = |element: u16, vr: &[u8; 2], value: &[u8]| {
        set.extend(0x28u16.to_le_bytes());
        set.extend(element.to_le_bytes());
        set.extend(vr);
        set.extend((value.len() as u16).to_le_bytes());
        set.extend(value);
    };
    put(2, b"US", &samples.to_le_bytes());
    put(4, b"CS", photometric.as_bytes());
    put(0x10, b"US", &6u16.to_le_bytes());
    put(0x11, b"US", &8u16.to_le_bytes());
    put(0x100, b"US", &bits.to_le_bytes());
    set.extend(rest);
    set
}

/// Pixel data with one fragment, after an empty offset table.
fn fragment_of(rest: &[u8]) -> Vec<u8> {
    let mut set =
        b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0"
            .to_vec();
    set.extend((rest.len() as u32).to_le_bytes());
    set.extend(rest);
    set.extend(b"\xfe\xff\xdd\xe0\x00\x00\x00\x00");
    set
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    let options = Options {
        bytes_max: 1 << 20,
        calibrated_size: (kind & 0x80 != 0).then_some((640, 480)),
        ..Options::default()
    };
    let read_dicom = |bytes: Vec<u8>| dicom::read(Path::new("a.dcm"), &bytes, &options);
    let (explicit, implicit) = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2");
    let (run_length, jpeg) = ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50");
    let result = match kind % 9 {
        0 => picture::read(Path::new("a.png"), rest, &options),
        1 => gif::read(Path::new("a.gif"), rest, &options),
        2 => dicom::read(Path::new("a.dcm"), rest, &options),
        3 => read_dicom(dicom_of(explicit, rest)),
        4 => read_dicom(dicom_of(implicit, rest)),
        5 => read_dicom(dicom_of(explicit, &image_of("RGB ", 3, 8, rest))),
        6 => read_dicom(dicom_of(run_length, &image_of("MONOCHROME2 ", 1, 16, &fragment_of(rest)))),
        7 => read_dicom(dicom_of(jpeg, &image_of("YBR_FULL_422", 3, 8, &fragment_of(rest)))),
        _ => read_dicom(dicom_of(run_length, &image_of("RGB ", 3, 8, &fragment_of(rest)))),
    };
    check_recording(result, &options);
});
