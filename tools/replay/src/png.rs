//! Decodes PNG to grey.

use crate::apng;
use crate::error::{Place, ReplayError, Source};
use crate::grey::{luma_of_rgb, luma_of_rgba, luma16, over_black};
use crate::jpeg::{Grey, Samples};
use crate::recording::check_picture_size;
use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, Frames, ImageDecoder, Limits};
use sonotrace_hal::frame::{LINES_MAX, SAMPLES_MAX};
use std::io::Cursor;

/// Length of a PNG's signature.
const SIGNATURE_BYTES: usize = 8;
/// Length of a chunk without its data: length, type and checksum.
const CHUNK_BYTES: usize = 12;

/// Memory for a picture: four channels of 16 bits, twice, for the picture and the decoder's own buffer.
const MEMORY_BYTES_MAX: u64 = 16 * SAMPLES_MAX as u64 * LINES_MAX as u64;

/// A PNG without the chunks that the decoder would unpack for nothing.
#[derive(Debug)]
pub(crate) struct Png {
    /// The file, without colour profile and texts: a small one can unpack to gigabytes.
    bytes: Vec<u8>,
    orientation: Orientation,
    /// Number of frames of an animation; 1 for a still picture.
    pub frames: u64,
    /// Whether there is also a picture that is not one of the animation's frames, for programs that show no animations.
    has_still: bool,
}

impl Png {
    /// Reads the chunks. A damaged file is kept as it is: the decoder refuses it.
    pub fn new(bytes: &[u8]) -> Self {
        let mut png = Self {
            bytes: Vec::with_capacity(bytes.len()),
            orientation: Orientation::NoTransforms,
            frames: 1,
            has_still: false,
        };
        let (mut is_animated, mut has_control) = (false, false);
        let (signature, mut rest) = bytes.split_at(SIGNATURE_BYTES.min(bytes.len()));
        png.bytes.extend_from_slice(signature);
        while let Some((length, name)) = rest
            .split_first_chunk()
            .and_then(|(length, rest)| Some((u32::from_be_bytes(*length) as usize, rest.first_chunk::<4>()?)))
        {
            let Some((chunk, after)) = rest.split_at_checked(length.saturating_add(CHUNK_BYTES)) else {
                break;
            };
            let data = &chunk[8..8 + length];
            match name {
                b"iCCP" | b"zTXt" | b"iTXt" | b"tEXt" => {}
                name => {
                    png.bytes.extend_from_slice(chunk);
                    match name {
                        b"eXIf" => {
                            png.orientation = Orientation::from_exif_chunk(data).unwrap_or(png.orientation);
                        }
                        b"acTL" => {
                            let frames = data.first_chunk().map_or(1, |&frames| u32::from_be_bytes(frames));
                            png.frames = u64::from(frames).max(1);
                            is_animated = frames > 0;
                        }
                        b"fcTL" => has_control = true,
                        b"IDAT" => png.has_still |= is_animated && !has_control,
                        _ => {}
                    }
                }
            }
            rest = after;
        }
        png.bytes.extend_from_slice(rest);
        png
    }

    /// The decoder, after its size was checked.
    ///
    /// # Errors
    /// A damaged header; a picture larger than a frame may be.
    pub fn decoder(&self, source: Source<'_>) -> Result<PngDecoder<Cursor<&[u8]>>, ReplayError> {
        let mut limits = Limits::default();
        limits.max_alloc = Some(MEMORY_BYTES_MAX);
        let decoder = PngDecoder::with_limits(Cursor::new(self.bytes.as_slice()), limits)
            .map_err(|error| malformed(source, &error))?;
        let (width, height) = decoder.dimensions();
        check_picture_size(source, Place::Whole, width.into(), height.into())?;
        Ok(decoder)
    }

    /// Decodes the still picture to grey. Transparent parts are over black. Also tells whether there are any.
    ///
    /// # Errors
    /// A PNG that cannot be decoded, or that is larger than a frame may be.
    pub fn decode(&self, source: Source<'_>) -> Result<(Grey, bool), ReplayError> {
        let decoder = self.decoder(source)?;
        let (width, height) = decoder.dimensions();
        let has_alpha = decoder.color_type().has_alpha();
        let decoded = DynamicImage::from_decoder(decoder).map_err(|error| malformed(source, &error))?;
        let is_transparent = has_alpha && has_transparent_pixel(&decoded);
        let samples = match decoded {
            DynamicImage::ImageLuma8(picture) => Samples::Eight(picture.into_raw()),
            DynamicImage::ImageLuma16(picture) => Samples::Sixteen(picture.into_raw()),
            DynamicImage::ImageLumaA8(picture) => {
                let pixels = picture.as_raw().as_chunks().0.iter();
                Samples::Eight(pixels.map(|&[level, alpha]| over_black(level, alpha)).collect())
            }
            DynamicImage::ImageRgb8(picture) => Samples::Eight(luma_of_rgb(picture.as_raw())),
            DynamicImage::ImageRgba8(picture) => Samples::Eight(luma_of_rgba(picture.as_raw())),
            sixteen => {
                let over_black =
                    |level: u16, alpha: u16| (u32::from(level) * u32::from(alpha) / 65_535) as u16;
                let grey = |pixels: &[u16]| match *pixels {
                    [level, alpha] => over_black(level, alpha),
                    [red, green, blue] => luma16(red, green, blue),
                    [red, green, blue, alpha] => over_black(luma16(red, green, blue), alpha),
                    _ => 0,
                };
                let of = |pixels: &[u16], channels| pixels.chunks_exact(channels).map(grey).collect();
                Samples::Sixteen(match &sixteen {
                    DynamicImage::ImageLumaA16(picture) => of(picture.as_raw(), 2),
                    DynamicImage::ImageRgb16(picture) => of(picture.as_raw(), 3),
                    DynamicImage::ImageRgba16(picture) => of(picture.as_raw(), 4),
                    other => of(other.to_rgba16().as_raw(), 4),
                })
            }
        };
        let (orientation, is_followed) = (self.orientation, false);
        Ok((Grey { width, height, samples, orientation, is_followed, components: None }, is_transparent))
    }

    /// Whether the picture's frames can be read: those of 16 bits cannot.
    pub fn is_animation(&self, decoder: &PngDecoder<Cursor<&[u8]>>) -> bool {
        use ColorType::{L8, La8, Rgb8, Rgba8};
        self.is_animated() && matches!(decoder.color_type(), L8 | La8 | Rgb8 | Rgba8)
    }

    /// Whether a viewer shows something else than the still picture.
    pub fn is_animated(&self) -> bool {
        self.frames > 1 || self.has_still
    }

    /// The frames, if [`Self::is_animation`].
    ///
    /// # Errors
    /// A damaged header.
    pub fn animation(&self, source: Source<'_>) -> Result<Frames<'_>, ReplayError> {
        apng::frames(source, &self.bytes, usize::try_from(MEMORY_BYTES_MAX).unwrap_or(usize::MAX))
    }

    /// How the picture must be turned to be shown.
    pub fn orientation(&self) -> Orientation {
        self.orientation
    }

    /// Length of the file without what is left out.
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

fn has_transparent_pixel(picture: &DynamicImage) -> bool {
    match picture {
        DynamicImage::ImageLumaA8(picture) => picture.pixels().any(|pixel| pixel.0[1] < u8::MAX),
        DynamicImage::ImageRgba8(picture) => picture.pixels().any(|pixel| pixel.0[3] < u8::MAX),
        DynamicImage::ImageLumaA16(picture) => picture.pixels().any(|pixel| pixel.0[1] < u16::MAX),
        DynamicImage::ImageRgba16(picture) => picture.pixels().any(|pixel| pixel.0[3] < u16::MAX),
        _ => false,
    }
}

fn malformed(source: Source<'_>, error: &image::ImageError) -> ReplayError {
    source.malformed(Place::Whole, format!("cannot decode the PNG: {error}"))
}
