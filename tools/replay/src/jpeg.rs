//! Decodes JPEG to grey.
//!
//! Uses jpeg-decoder, which is no longer developed but does not panic on damaged files. The decoder of `image`
//! (zune-jpeg 0.5.15) panics on them within seconds of fuzzing.

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
    /// Grey levels, row by row.
    pub pixels: Vec<u8>,
}

/// Decodes a baseline or progressive JPEG of eight bits. The grey levels of a YCbCr JPEG are its luma as stored.
/// `is_rgb` is the colour space of three components if the JPEG does not state it: DICOM states it in an attribute.
///
/// # Errors
/// A JPEG that cannot be decoded, is truncated, is not supported, or is larger than a frame may be.
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
        return Err(malformed("no frame header".to_owned()));
    };
    let (width, height) = check_picture_size(source, place.clone(), info.width.into(), info.height.into())?;
    let is_colour = match (info.pixel_format, info.coding_process) {
        (PixelFormat::L8, CodingProcess::DctSequential | CodingProcess::DctProgressive) => false,
        (PixelFormat::RGB24, CodingProcess::DctSequential | CodingProcess::DctProgressive) => true,
        (format, process) => {
            let what = format!("JPEG with {format:?} pixels and {process:?} coding is not supported");
            let fix = "save it as baseline JPEG with one or three components";
            return Err(source.unsupported(place.clone(), what, fix));
        }
    };
    // The decoder would fill missing parts with grey, which must not be measured.
    if !is_complete(bytes) {
        return Err(malformed("truncated".to_owned()));
    }
    let pixels = width as usize * height as usize;
    let components = if is_colour { 3 } else { 1 };
    decoder.set_max_decoding_buffer_size(components * pixels);
    if is_colour {
        // "RGB" means no conversion: the components are returned as stored.
        decoder.set_color_transform(ColorTransform::RGB);
    }
    let decoded = decoder.decode().map_err(|error| malformed(error.to_string()))?;
    let pixels = match (is_colour, stored_as_rgb(bytes).unwrap_or(is_rgb)) {
        (false, _) => decoded,
        (true, true) => luma_of::<3>(&decoded),
        (true, false) => decoded.into_iter().step_by(3).collect(),
    };
    if pixels.len() as u64 != u64::from(width) * u64::from(height) {
        return Err(malformed(format!("{} pixels decoded, {width}x{height} declared", pixels.len())));
    }
    Ok(Grey { width, height, pixels })
}

/// Whether an end-of-image marker follows the last scan. Entropy-coded data cannot contain this pair of bytes.
fn is_complete(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) > last(0xda)
}

/// Whether three components are RGB (else YCbCr), as the segments before the first scan state it; `None` if they do
/// not. Same rule as libjpeg: the JFIF segment decides, else the Adobe segment, else the component names.
fn stored_as_rgb(bytes: &[u8]) -> Option<bool> {
    let (mut adobe, mut names) = (None, None);
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        if marker == 0xff {
            // Fill byte.
            at += 1;
            continue;
        }
        let content = bytes.get(at + 4..).unwrap_or_default();
        match marker {
            0xe0 if content.starts_with(b"JFIF") => return Some(false),
            // The colour transform: 0 is none (RGB), otherwise YCbCr.
            0xee if content.starts_with(b"Adobe") => adobe = content.get(11).map(|&transform| transform == 0),
            0xc0..=0xc2 => names = content.get(6..15).map(|of_three| [of_three[0], of_three[3], of_three[6]]),
            0xda => break,
            _ => {}
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    adobe.or_else(|| (names == Some(*b"RGB")).then_some(true))
}
