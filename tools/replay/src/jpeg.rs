//! JPEG pictures as grey.

use crate::error::{Place, ReplayError, Source};
use crate::grey::luma_of;
use crate::recording::check_picture_size;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

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

/// Decodes a baseline or progressive JPEG. Of YCbCr it takes the luma as it is stored. `is_rgb` says what three
/// components are that come without a word on it (DICOM puts that word elsewhere).
pub(crate) fn decode(
    source: Source<'_>,
    place: &Place,
    bytes: &[u8],
    is_rgb: bool,
) -> Result<Grey, ReplayError> {
    let malformed =
        |problem: String| source.malformed(place.clone(), format!("cannot decode the JPEG: {problem}"));
    let options = DecoderOptions::default().set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| malformed(error.to_string()))?;
    let (Some((width, height)), Some(stored)) = (decoder.dimensions(), decoder.input_colorspace()) else {
        return Err(malformed("it has no frame header".to_owned()));
    };
    let (width, height) = check_picture_size(source, place.clone(), width as u64, height as u64)?;
    // The decoder fills in grey for what is missing, which is no picture to measure on.
    if !is_complete(bytes) {
        return Err(malformed("it is cut off".to_owned()));
    }
    let wanted = match stored {
        ColorSpace::Luma => ColorSpace::Luma,
        ColorSpace::YCbCr if is_rgb && !says_its_colours(bytes) => ColorSpace::YCbCr,
        ColorSpace::YCbCr => ColorSpace::Luma,
        ColorSpace::RGB => ColorSpace::RGB,
        other => {
            let what = format!("JPEG of colour space {other:?}");
            return Err(source.unsupported(place.clone(), what, "save it as grey, YCbCr or RGB"));
        }
    };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let decoded = decoder.decode().map_err(|error| malformed(error.to_string()))?;
    let pixels = if wanted == ColorSpace::Luma { decoded } else { luma_of::<3>(&decoded) };
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

/// Whether a JFIF or Adobe marker ahead of the frame tells how colours are stored.
fn says_its_colours(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        let content = bytes.get(at + 4..).unwrap_or_default();
        match marker {
            0xe0 if content.starts_with(b"JFIF") => return true,
            0xee if content.starts_with(b"Adobe") => return true,
            // Start of frame or of scan.
            0xc0..=0xc3 | 0xda => return false,
            _ => {}
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    false
}
