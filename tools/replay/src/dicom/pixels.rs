//! Decodes pixel data to grey frames.

use super::attributes::Attributes;
use super::elements::Element;
use super::rle;
use super::syntax::Coding;
use crate::error::{Place, ReplayError, Source};
use crate::grey::luma;
use crate::jpeg;
use crate::recording::{FRAMES_MAX, check_picture_size};
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// Photometric Interpretation: the meaning of a pixel's samples (PS3.3 section C.7.6.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Photometric {
    /// Grey; the lowest value is white.
    Monochrome1,
    /// Grey; the lowest value is black.
    Monochrome2,
    /// Red, green, blue.
    Rgb,
    /// Luma and two chroma components, full range.
    YbrFull,
    /// The same with chroma for every second pixel: two pixels are luma, luma, chroma, chroma.
    YbrFull422,
}

/// PixelLayout of the pixels.
#[derive(Debug)]
pub(super) struct PixelLayout {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Declared number of frames.
    pub frames: u64,
    coding: Coding,
    photometric: Photometric,
    /// Whether components are stored as planes: all of red, then green, then blue.
    is_planar: bool,
    bytes_per_sample: usize,
    bits_stored: u32,
}

/// The frames of a file, as they are stored.
pub(super) enum Coded<'a> {
    /// Uncompressed frames, one after the other.
    Native(&'a [u8]),
    /// Fragments of each frame. JPEG may have several per frame, run lengths have one.
    Encapsulated(Vec<Vec<&'a [u8]>>),
}

impl PixelLayout {
    /// The layout that the attributes describe, if it is supported.
    pub fn new(source: Source<'_>, attributes: &Attributes<'_>, coding: Coding) -> Result<Self, ReplayError> {
        let needed = |value: Option<u16>, tag: Tag| {
            value.ok_or_else(|| source.malformed(Place::Attribute(tag), "missing"))
        };
        let rows = needed(attributes.rows, tags::ROWS)?;
        let columns = needed(attributes.columns, tags::COLUMNS)?;
        let place = Place::Attribute(tags::ROWS);
        let (width, height) = check_picture_size(source, place, columns.into(), rows.into())?;
        let photometric = photometric(source, attributes, coding, columns)?;

        let bits_allocated = needed(attributes.bits_allocated, tags::BITS_ALLOCATED)?;
        let bits_stored = attributes.bits_stored.unwrap_or(bits_allocated);
        let high_bit = attributes.high_bit.unwrap_or(bits_stored.saturating_sub(1));
        let is_signed = attributes.pixel_representation.unwrap_or(0) != 0;
        let is_grey = matches!(photometric, Photometric::Monochrome1 | Photometric::Monochrome2);
        let allowed = if is_grey && coding != Coding::Jpeg { &[8, 16][..] } else { &[8] };
        let is_understood = allowed.contains(&bits_allocated)
            && (1..=bits_allocated).contains(&bits_stored)
            && (is_grey || bits_stored == 8)
            && high_bit == bits_stored - 1
            && !is_signed;
        if !is_understood {
            let signed = if is_signed { "signed" } else { "unsigned" };
            let what = format!(
                "samples of {bits_stored} bits in {bits_allocated}, highest bit {high_bit}, {signed}, are not supported"
            );
            let place = Place::Attribute(tags::BITS_ALLOCATED);
            return Err(source.unsupported(
                place,
                what,
                "save it as unsigned 8 bits, or as grey with up to 16 bits",
            ));
        }
        let frames = attributes.frames.unwrap_or(1);
        if frames > FRAMES_MAX {
            let place = Place::Attribute(tags::NUMBER_OF_FRAMES);
            let fix = "cut the recording into shorter ones";
            return Err(source.too_large(place, "frames", frames, FRAMES_MAX, fix));
        }
        Ok(Self {
            width,
            height,
            frames,
            coding,
            photometric,
            is_planar: attributes.planar.unwrap_or(0) == 1,
            bytes_per_sample: usize::from(bits_allocated / 8),
            bits_stored: bits_stored.into(),
        })
    }

    /// Finds the frames in the pixel data, and checks that no declared one is missing.
    pub fn frames<'a>(
        &self,
        source: Source<'_>,
        attributes: &Attributes<'a>,
    ) -> Result<Coded<'a>, ReplayError> {
        let place = Place::Attribute(tags::PIXEL_DATA);
        let Some((element, fragments)) = &attributes.pixels else {
            return Err(source.malformed(place, "missing: the file has no picture, or is truncated"));
        };
        let missing = |present: u64| {
            let problem = format!("missing: {} frames are declared, {present} are present", self.frames);
            source.malformed(Place::Frame(present + 1), problem)
        };
        match (self.coding, fragments) {
            (Coding::Native, None) => {
                let present = element.value.len() as u64 / self.native_bytes() as u64;
                if present < self.frames {
                    return Err(missing(present));
                }
                Ok(Coded::Native(element.value))
            }
            (Coding::RunLength | Coding::Jpeg, Some(fragments)) => {
                let pictures = self.group(fragments);
                if (pictures.len() as u64) < self.frames {
                    return Err(missing(pictures.len() as u64));
                }
                Ok(Coded::Encapsulated(pictures))
            }
            (Coding::Native, Some(_)) => {
                Err(source.malformed(place, "in fragments, but the transfer syntax is not compressed"))
            }
            (_, None) => {
                Err(source.malformed(place, "not in fragments, but the transfer syntax is compressed"))
            }
        }
    }

    /// Size of an uncompressed frame in bytes; at least one.
    fn native_bytes(&self) -> usize {
        let pixels = self.width as usize * self.height as usize;
        let bytes = match self.photometric {
            Photometric::Monochrome1 | Photometric::Monochrome2 => pixels * self.bytes_per_sample,
            Photometric::Rgb | Photometric::YbrFull => 3 * pixels,
            Photometric::YbrFull422 => 2 * pixels,
        };
        bytes.max(1)
    }

    /// Groups fragments by frame; the first fragment is the offset table. A frame of run lengths always has one
    /// fragment. A JPEG usually has one too; otherwise a fragment that does not start an image continues the one
    /// before.
    fn group<'a>(&self, fragments: &[Element<'a>]) -> Vec<Vec<&'a [u8]>> {
        let fragments = fragments.get(1..).unwrap_or_default();
        let is_one_each = self.coding == Coding::RunLength || fragments.len() as u64 == self.frames;
        let mut pictures: Vec<Vec<&[u8]>> = Vec::new();
        for fragment in fragments {
            match pictures.last_mut() {
                Some(picture) if !is_one_each && !fragment.value.starts_with(&[0xff, 0xd8]) => {
                    picture.push(fragment.value);
                }
                _ => pictures.push(vec![fragment.value]),
            }
        }
        pictures
    }

    /// Decodes one frame to grey.
    pub fn grey(
        &self,
        source: Source<'_>,
        place: &Place,
        coded: &Coded<'_>,
        index: usize,
    ) -> Result<Vec<u8>, ReplayError> {
        let truncated = || source.malformed(place.clone(), "truncated");
        match coded {
            Coded::Native(bytes) => {
                let frame_bytes = self.native_bytes();
                let start = index.saturating_mul(frame_bytes);
                let frame = bytes.get(start..start.saturating_add(frame_bytes)).ok_or_else(truncated)?;
                Ok(self.native_grey(frame))
            }
            Coded::Encapsulated(pictures) => {
                let fragments = pictures.get(index).ok_or_else(truncated)?;
                let whole;
                let bytes = match fragments.as_slice() {
                    [one] => *one,
                    several => {
                        whole = several.concat();
                        &whole
                    }
                };
                match self.coding {
                    Coding::RunLength => self.run_length_grey(bytes).map_err(|problem| {
                        source.malformed(place.clone(), format!("cannot decode the run lengths: {problem}"))
                    }),
                    Coding::Jpeg | Coding::Native => self.jpeg_grey(source, place, bytes),
                }
            }
        }
    }

    fn native_grey(&self, frame: &[u8]) -> Vec<u8> {
        let pixels = self.width as usize * self.height as usize;
        match self.photometric {
            Photometric::Monochrome1 | Photometric::Monochrome2 if self.bytes_per_sample == 2 => {
                let words = frame.as_chunks::<2>().0;
                words.iter().map(|&word| self.level(u16::from_le_bytes(word).into())).collect()
            }
            Photometric::Monochrome1 | Photometric::Monochrome2 => {
                frame.iter().map(|&byte| self.level(byte.into())).collect()
            }
            Photometric::Rgb if self.is_planar => {
                let (red, rest) = frame.split_at(pixels);
                let (green, blue) = rest.split_at(pixels);
                luma_of_planes(red, green, blue)
            }
            Photometric::Rgb => {
                frame.as_chunks().0.iter().map(|&[red, green, blue]| luma(red, green, blue)).collect()
            }
            Photometric::YbrFull if self.is_planar => frame[..pixels].to_vec(),
            Photometric::YbrFull => frame.iter().step_by(3).copied().collect(),
            Photometric::YbrFull422 => {
                frame.as_chunks().0.iter().flat_map(|&[first, second, _, _]| [first, second]).collect()
            }
        }
    }

    fn run_length_grey(&self, fragment: &[u8]) -> Result<Vec<u8>, String> {
        let pixels = self.width as usize * self.height as usize;
        let count = match self.photometric {
            Photometric::Monochrome1 | Photometric::Monochrome2 => self.bytes_per_sample,
            Photometric::Rgb | Photometric::YbrFull | Photometric::YbrFull422 => 3,
        };
        let planes = rle::planes(fragment, count, pixels)?;
        Ok(match (planes.as_slice(), self.photometric) {
            ([red, green, blue], Photometric::Rgb) => luma_of_planes(red, green, blue),
            // The plane of the more significant bytes comes first.
            ([high, low], _) => high
                .iter()
                .zip(low)
                .map(|(&high, &low)| self.level(u32::from(high) << 8 | u32::from(low)))
                .collect(),
            ([levels], _) => levels.iter().map(|&level| self.level(level.into())).collect(),
            ([luma, ..], _) => luma.clone(),
            ([], _) => Vec::new(),
        })
    }

    fn jpeg_grey(&self, source: Source<'_>, place: &Place, bytes: &[u8]) -> Result<Vec<u8>, ReplayError> {
        let grey = jpeg::decode(source, place, bytes, self.photometric == Photometric::Rgb)?;
        if (grey.width, grey.height) != (self.width, self.height) {
            let problem = format!(
                "the JPEG is {}x{}, the file declares {}x{}",
                grey.width, grey.height, self.width, self.height
            );
            return Err(source.malformed(place.clone(), problem));
        }
        let is_inverted = self.photometric == Photometric::Monochrome1;
        Ok(if is_inverted { grey.pixels.iter().map(|&level| 255 - level).collect() } else { grey.pixels })
    }

    /// Scales a stored grey level to 0 (black) to 255 (white).
    fn level(&self, stored: u32) -> u8 {
        // Unused high bits may hold other data, such as overlays in old files.
        let most = (1 << self.bits_stored) - 1;
        let level = ((stored & most) * 255 + most / 2) / most;
        // At most 255: the masked value is at most `most`.
        let level = level as u8;
        if self.photometric == Photometric::Monochrome1 { 255 - level } else { level }
    }
}

fn luma_of_planes(red: &[u8], green: &[u8], blue: &[u8]) -> Vec<u8> {
    red.iter().zip(green).zip(blue).map(|((&red, &green), &blue)| luma(red, green, blue)).collect()
}

fn photometric(
    source: Source<'_>,
    attributes: &Attributes<'_>,
    coding: Coding,
    columns: u16,
) -> Result<Photometric, ReplayError> {
    let place = Place::Attribute(tags::PHOTOMETRIC_INTERPRETATION);
    let samples = attributes.samples_per_pixel.unwrap_or(1);
    let fix = "save it as MONOCHROME2, RGB, YBR_FULL or YBR_FULL_422";
    let (photometric, samples_needed) = match attributes.photometric {
        None => return Err(source.malformed(place, "missing")),
        Some(b"MONOCHROME1") => (Photometric::Monochrome1, 1),
        Some(b"MONOCHROME2") => (Photometric::Monochrome2, 1),
        Some(b"RGB") => (Photometric::Rgb, 3),
        Some(b"YBR_FULL") => (Photometric::YbrFull, 3),
        Some(b"YBR_FULL_422") => (Photometric::YbrFull422, 3),
        Some(b"PALETTE COLOR") => {
            return Err(source.unsupported(place, "palette colours are not supported", fix));
        }
        Some(_) => return Err(source.unsupported(place, "the colour space is not supported", fix)),
    };
    if samples != samples_needed {
        let problem = format!("needs {samples_needed} samples per pixel, not {samples}");
        return Err(source.malformed(place, problem));
    }
    if photometric == Photometric::YbrFull422 && coding == Coding::Native && !columns.is_multiple_of(2) {
        return Err(source.malformed(place, format!("needs an even number of columns, not {columns}")));
    }
    Ok(photometric)
}
