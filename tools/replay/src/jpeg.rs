//! JPEG pictures as grey.
//!
//! Decoded by jpeg-decoder, which is no longer developed but withstands damaged files; `image`'s own decoder (zune-jpeg
//! 0.5.15) panics on them within seconds of fuzzing.

use crate::error::{Place, ReplayError, Source};
use crate::grey::luma_of;
use crate::recording::check_picture_size;
use jpeg_decoder::{CodingProcess, ColorTransform, Decoder, PixelFormat};

/// A grey picture.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grey {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// The pixels, row by row.
    pub pixels: Vec<u8>,
}

/// Decodes a baseline or progressive JPEG of eight bits. Of YCbCr it takes the luma as it is stored. `is_rgb` says what
/// three components are that come without a word on it (DICOM puts that word elsewhere).
pub(crate) fn decode(
    source: Source<'_>,
    place: &Place,
    bytes: &[u8],
    is_rgb: bool,
) -> Result<Grey, ReplayError> {
    let malformed =
        |problem: String| source.malformed(place.clone(), format!("cannot decode the JPEG: {problem}"));
    let mut decoder = Decoder::new(bytes);
    decoder.read_info().map_err(|error| malformed(error.to_string()))?;
    let Some(info) = decoder.info() else {
        return Err(malformed("it has no frame header".to_owned()));
    };
    let (width, height) = check_picture_size(source, place.clone(), info.width.into(), info.height.into())?;
    let is_colour = match (info.pixel_format, info.coding_process) {
        (PixelFormat::L8, CodingProcess::DctSequential | CodingProcess::DctProgressive) => false,
        (PixelFormat::RGB24, CodingProcess::DctSequential | CodingProcess::DctProgressive) => true,
        (format, process) => {
            let what = format!("a JPEG of {format:?} pixels, coded {process:?}");
            let fix = "save it as baseline JPEG, grey or of three components";
            return Err(source.unsupported(place.clone(), what, fix));
        }
    };
    // Decoders fill in grey for what is missing, which is no picture to measure on.
    if !is_complete(bytes) {
        return Err(malformed("it is cut off".to_owned()));
    }
    let pixels = width as usize * height as usize;
    let components = if is_colour { 3 } else { 1 };
    decoder.set_max_decoding_buffer_size(components * pixels);
    if is_colour {
        // Whatever the components are, they are wanted as they are stored.
        decoder.set_color_transform(ColorTransform::RGB);
    }
    let decoded = decoder.decode().map_err(|error| malformed(error.to_string()))?;
    let pixels = match (is_colour, stored_as_rgb(bytes).unwrap_or(is_rgb)) {
        (false, _) => decoded,
        (true, true) => luma_of::<3>(&decoded),
        (true, false) => decoded.into_iter().step_by(3).collect(),
    };
    if pixels.len() as u64 != u64::from(width) * u64::from(height) {
        return Err(malformed(format!("{} pixels came of {width}x{height}", pixels.len())));
    }
    Ok(Grey { width, height, pixels })
}

/// Whether an end-of-image marker follows the last scan: within entropy-coded data no such byte pair occurs.
fn is_complete(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) > last(0xda)
}

/// What the segments ahead of the first scan say three components are: red, green and blue, or luma and two of chroma.
/// Judged as libjpeg does: by a JFIF segment, else an Adobe segment, else the components' names; else none.
fn stored_as_rgb(bytes: &[u8]) -> Option<bool> {
    let (mut adobe, mut names) = (None, None);
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        if marker == 0xff {
            // A fill byte.
            at += 1;
            continue;
        }
        let content = bytes.get(at + 4..).unwrap_or_default();
        match marker {
            0xe0 if content.starts_with(b"JFIF") => return Some(false),
            // Its transform: none, or YCbCr.
            0xee if content.starts_with(b"Adobe") => adobe = content.get(11).map(|&transform| transform == 0),
            0xc0..=0xc2 => names = content.get(6..15).map(|of_three| [of_three[0], of_three[3], of_three[6]]),
            0xda => break,
            _ => {}
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    adobe.or_else(|| (names == Some(*b"RGB")).then_some(true))
}
