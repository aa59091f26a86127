//! Decodes JPEG to grey.
//!
//! Uses jpeg-decoder, which is no longer developed but does not panic on damaged files. The decoder of `image`
//! (zune-jpeg 0.5.15) panics on them within seconds of fuzzing.

mod guard;
mod segments;

use crate::error::{Place, ReplayError, Source};
use crate::grey::{Components, luma_of_rgb};
use crate::recording::check_picture_size;
use image::metadata::Orientation;
use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};
use segments::Segments;

/// Largest number of scans. Progressive files have about ten; each scan visits the whole picture, so thousands of empty
/// ones in a small file would take minutes.
const SCANS_MAX: u64 = 20;

/// Grey values of a picture, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Samples {
    /// Eight bits.
    Eight(Vec<u8>),
    /// Up to sixteen bits.
    Sixteen(Vec<u16>),
}

/// A grey picture.
#[derive(Debug)]
pub(crate) struct Grey {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Grey values.
    pub samples: Samples,
    /// How the picture must be turned to be shown, as its EXIF segment states it.
    pub orientation: Orientation,
    /// Whether another JPEG follows the picture.
    pub is_followed: bool,
    /// The colour space as which components were decoded; `None` for grey pictures.
    pub components: Option<Components>,
}

/// Decodes a baseline, progressive or lossless JPEG. The grey levels of a YCbCr JPEG are its luma as stored. `label` is
/// the colour space that the surrounding file states: it counts if the JPEG does not state its own and the pixels do not
/// tell it. Without a label, such a JPEG is YCbCr, as for libjpeg.
///
/// # Errors
/// A JPEG that cannot be decoded, is truncated, is not supported, has too many scans, or is larger than a frame may be.
pub(crate) fn decode(
    source: Source<'_>,
    place: &Place,
    bytes: &[u8],
    label: Option<Components>,
) -> Result<Grey, ReplayError> {
    let malformed =
        |problem: String| source.malformed(place.clone(), format!("cannot decode the JPEG: {problem}"));
    let refused = |error: jpeg_decoder::Error| match error {
        jpeg_decoder::Error::Unsupported(feature) => {
            let what = format!("a JPEG of this kind ({feature:?}) is not supported");
            let fix = "save it as baseline JPEG; `dcmdjpeg IN OUT` decompresses a DICOM file";
            source.unsupported(place.clone(), what, fix)
        }
        error => malformed(error.to_string()),
    };
    let segments = Segments::of(bytes);
    let mut decoder = Decoder::new(bytes);
    decoder.read_info().map_err(refused)?;
    let Some(info) = decoder.info() else {
        return Err(malformed("no frame header".to_owned()));
    };
    let (width, height) = check_picture_size(source, place.clone(), info.width.into(), info.height.into())?;
    let is_colour = match (info.pixel_format, info.coding_process) {
        (PixelFormat::L8 | PixelFormat::L16, _) => false,
        (PixelFormat::RGB24, _) => true,
        (PixelFormat::CMYK32, _) => {
            let what = "a JPEG with four components (CMYK) is not supported";
            let fix = "save it as baseline JPEG with one or three components";
            return Err(source.unsupported(place.clone(), what, fix));
        }
    };
    // The decoder would fill missing parts with grey, which must not be measured. The guard does the same for pictures that
    // end too early, but have an end marker.
    let Some(end) = segments.end else {
        return Err(malformed("truncated".to_owned()));
    };
    if segments.scans > SCANS_MAX {
        let fix = "save it as baseline JPEG";
        return Err(source.too_large(place.clone(), "scans in the JPEG", segments.scans, SCANS_MAX, fix));
    }
    if !segments.is_complete() {
        return Err(malformed("scans are missing: the picture is cut off".to_owned()));
    }
    let pixels = width as usize * height as usize;
    let guarded = guard::guarded(&bytes[..end], &segments.data_ends);
    let mut decoder = Decoder::new(guarded.as_slice());
    decoder.set_max_decoding_buffer_size(info.pixel_format.pixel_bytes() * pixels);
    if is_colour {
        // "RGB" means no conversion: the components are returned as stored.
        decoder.set_color_transform(ColorTransform::RGB);
    }
    let decoded = decoder.decode().map_err(refused)?;
    let components = is_colour.then(|| {
        let triples = || decoded.as_chunks::<3>().0.iter().copied();
        let from_pixels = || label.and_then(|_| Components::of_mostly_grey(triples()));
        segments.components().or_else(from_pixels).or(label).unwrap_or(Components::YCbCr)
    });
    let orientation = decoder.exif_data().and_then(Orientation::from_exif_chunk);
    let samples = match (info.pixel_format, components) {
        (PixelFormat::L16, _) => {
            Samples::Sixteen(decoded.as_chunks().0.iter().map(|&word| u16::from_ne_bytes(word)).collect())
        }
        (_, None) => Samples::Eight(decoded),
        (_, Some(Components::Rgb)) => Samples::Eight(luma_of_rgb(&decoded)),
        (_, Some(Components::YCbCr)) => Samples::Eight(decoded.into_iter().step_by(3).collect()),
    };
    let seen = match &samples {
        Samples::Eight(samples) => samples.len(),
        Samples::Sixteen(samples) => samples.len(),
    };
    if seen != pixels {
        return Err(malformed(format!("{seen} pixels decoded, {width}x{height} declared")));
    }
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    let is_followed = segments::is_followed(&bytes[end..]);
    Ok(Grey { width, height, samples, orientation, is_followed, components })
}
