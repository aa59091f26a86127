//! Shared by the tests: files written by other libraries than the readers use, and the folder of real data.

pub mod dicom;
pub mod heap;
pub mod lossless;

use sonotrace_replay::{Options, Recording, ReplayError};
use std::path::{Path, PathBuf};

/// The folder with real data; prints that the test skips if there is none.
pub fn real_data() -> Option<PathBuf> {
    match std::env::var_os("SONOTRACE_DATA") {
        Some(folder) => Some(folder.into()),
        None => {
            assert!(
                std::env::var_os("SONOTRACE_NO_SKIP").is_none(),
                "SONOTRACE_DATA is not set, and no test may skip"
            );
            println!("skipped: SONOTRACE_DATA does not point at real data");
            None
        }
    }
}

/// An empty folder for one test.
pub fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes an input of a fuzz target: `parts` one after the other.
pub fn write_seed(target: &str, name: &str, parts: &[&[u8]]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(target);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), parts.concat()).unwrap();
}

/// The text of an expected error.
#[track_caller]
pub fn refusal(result: Result<Recording, ReplayError>) -> String {
    match result {
        Ok(recording) => panic!("read as {} frames: {:?}", recording.frames.len(), recording.notes),
        Err(error) => error.to_string(),
    }
}

/// Asserts that the runtime accepts every frame.
#[track_caller]
pub fn assert_sound(recording: &Recording) {
    assert!(!recording.frames.is_empty());
    for (seq, frame) in (1u64..).zip(&recording.frames) {
        frame.descriptor.check().unwrap();
        frame.descriptor.check_payload(&frame.payload).unwrap();
        assert_eq!(frame.descriptor.seq, seq);
        assert!(frame.descriptor.flags & sonotrace_hal::frame::flags::REPLAYED != 0);
    }
}

/// A grey ramp with texture.
pub fn ramp(width: u32, height: u32) -> Vec<u8> {
    (0..height).flat_map(|y| (0..width).map(move |x| (x * 3 + y * 5 + (x * y) % 7) as u8)).collect()
}

/// Encodes grey pixels as PNG.
pub fn png(width: u32, height: u32, grey: &[u8]) -> Vec<u8> {
    let picture = image::GrayImage::from_raw(width, height, grey.to_vec()).unwrap();
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Encodes pixels of this colour type as JPEG of the best quality.
pub fn jpeg(width: u32, height: u32, pixels: &[u8], colour: image::ExtendedColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 100)
        .encode(pixels, width, height, colour)
        .unwrap();
    bytes
}

/// Asserts that damaged bytes give an error that names the file, or frames that the runtime accepts. Returns the
/// error's text.
#[track_caller]
pub fn survive(result: Result<Recording, ReplayError>, file: &str) -> Option<String> {
    match result {
        Ok(recording) => {
            assert_sound(&recording);
            None
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with(file) || text.contains(&format!("/{file}")), "{text}");
            Some(text)
        }
    }
}

/// Options with a low memory limit, so that damaged sizes exceed it.
pub fn small() -> Options {
    Options { bytes_max: 1 << 22, ..Options::default() }
}
