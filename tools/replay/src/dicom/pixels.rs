//! Decodes frames to grey.

use super::frames::Coded;
use super::layout::{Photometric, PixelLayout};
use super::syntax::Coding;
use super::{jpeg_ls, rle};
use crate::error::{Place, ReplayError, Source};
use crate::grey::{Components, luma, luma_of_rgb};
use crate::jpeg::{self, Samples};
use crate::levels::{Levels, windowed};
use crate::options::Options;

/// Decodes the frames of one file.
pub(super) struct Pixels<'a> {
    /// The file, for errors.
    pub source: Source<'a>,
    /// How its pixels are stored.
    pub layout: &'a PixelLayout,
    /// Grey levels of monochrome pixels.
    pub levels: Levels,
    /// What the user states.
    pub options: &'a Options,
    /// The colour space of the first JPEG with another one than the label.
    pub relabelled: Option<Components>,
    /// Frames whose JPEG another one follows.
    pub followed: u64,
}

impl Pixels<'_> {
    /// Decodes one frame.
    ///
    /// # Errors
    /// A frame that cannot be decoded, or has another size than declared.
    pub fn grey(
        &mut self,
        place: &Place,
        coded: &mut Coded<'_>,
        index: usize,
    ) -> Result<Vec<u8>, ReplayError> {
        let truncated = || self.source.malformed(place.clone(), "truncated");
        match coded {
            Coded::Native { bytes, frame_bytes, .. } => {
                let start = index.saturating_mul(*frame_bytes);
                let frame = bytes.get(start..start.saturating_add(*frame_bytes)).ok_or_else(truncated)?;
                Ok(self.native(frame))
            }
            Coded::Decoded(frames) => frames.get_mut(index).map(std::mem::take).ok_or_else(truncated),
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
                match self.layout.coding {
                    Coding::RunLength => self.run_lengths(bytes).map_err(|problem| {
                        let problem = format!("cannot decode the run lengths: {problem}");
                        self.source.malformed(place.clone(), problem)
                    }),
                    Coding::JpegLs => self.jpeg_ls(place, bytes),
                    Coding::Jpeg | Coding::Native | Coding::Video => self.jpeg(place, bytes),
                }
            }
        }
    }

    fn native(&mut self, frame: &[u8]) -> Vec<u8> {
        let pixels = self.layout.pixels();
        let luma = match self.layout.photometric {
            Photometric::Monochrome | Photometric::Palette if self.layout.stored.bits_allocated == 16 => {
                return self.levels.map(frame.as_chunks().0.iter().map(|&word| u16::from_le_bytes(word)));
            }
            Photometric::Monochrome | Photometric::Palette => {
                return self.levels.map(frame.iter().map(|&byte| byte.into()));
            }
            Photometric::Rgb if self.layout.is_planar => {
                let (red, rest) = frame.split_at(pixels);
                let (green, blue) = rest.split_at(pixels);
                luma_of_planes(red, green, blue)
            }
            Photometric::Rgb => luma_of_rgb(frame),
            Photometric::YbrFull if self.layout.is_planar => frame[..pixels].to_vec(),
            Photometric::YbrFull => frame.iter().step_by(3).copied().collect(),
            Photometric::YbrFull422 => {
                frame.as_chunks().0.iter().flat_map(|&[first, second, _, _]| [first, second]).collect()
            }
        };
        windowed(luma, self.options)
    }

    fn run_lengths(&mut self, fragment: &[u8]) -> Result<Vec<u8>, String> {
        let count = match self.layout.photometric {
            Photometric::Monochrome | Photometric::Palette => self.layout.pixel_bytes(),
            Photometric::Rgb | Photometric::YbrFull | Photometric::YbrFull422 => 3,
        };
        let planes = rle::planes(fragment, count, self.layout.pixels())?;
        Ok(match (planes.as_slice(), self.layout.photometric) {
            ([red, green, blue], Photometric::Rgb) => {
                windowed(luma_of_planes(red, green, blue), self.options)
            }
            // The plane of the more significant bytes comes first.
            ([high, low], _) => {
                self.levels.map(high.iter().zip(low).map(|(&high, &low)| u16::from_be_bytes([high, low])))
            }
            ([levels], _) => self.levels.map(levels.iter().map(|&level| level.into())),
            ([luma, ..], _) => windowed(luma.clone(), self.options),
            ([], _) => Vec::new(),
        })
    }

    fn jpeg_ls(&mut self, place: &Place, bytes: &[u8]) -> Result<Vec<u8>, ReplayError> {
        let layout = self.layout;
        let (planes, bits) = jpeg_ls::decode(self.source, place, bytes, (layout.width, layout.height))?;
        let byte = |samples: &[u16]| samples.iter().map(|&sample| sample as u8).collect::<Vec<u8>>();
        let is_byte = bits <= 8;
        match (planes.as_slice(), layout.photometric) {
            ([samples], photometric)
                if photometric.has_one_sample() && u32::from(bits) <= layout.stored.bits_allocated =>
            {
                Ok(self.levels.map(samples.iter().copied()))
            }
            ([red, green, blue], Photometric::Rgb) if is_byte => {
                Ok(windowed(luma_of_planes(&byte(red), &byte(green), &byte(blue)), self.options))
            }
            ([luma, _, _], Photometric::YbrFull) if is_byte => Ok(windowed(byte(luma), self.options)),
            _ => {
                let problem = format!(
                    "the JPEG-LS has {} components of {bits} bits, the file declares others: see PhotometricInterpretation and BitsAllocated",
                    planes.len()
                );
                Err(self.source.malformed(place.clone(), problem))
            }
        }
    }

    fn jpeg(&mut self, place: &Place, bytes: &[u8]) -> Result<Vec<u8>, ReplayError> {
        let layout = self.layout;
        let label = match layout.photometric {
            Photometric::Rgb => Components::Rgb,
            Photometric::Monochrome
            | Photometric::Palette
            | Photometric::YbrFull
            | Photometric::YbrFull422 => Components::YCbCr,
        };
        let grey = jpeg::decode(self.source, place, bytes, Some(label))?;
        if (grey.width, grey.height) != (layout.width, layout.height) {
            let problem = format!(
                "the JPEG is {}x{}, the file declares {}x{}",
                grey.width, grey.height, layout.width, layout.height
            );
            return Err(self.source.malformed(place.clone(), problem));
        }
        self.followed += u64::from(grey.is_followed);
        self.relabelled = self.relabelled.or(grey.components.filter(|&components| components != label));
        if layout.photometric == Photometric::Palette && grey.components.is_some() {
            let problem = "the JPEG is in colour, the file declares entries of a palette";
            return Err(self.source.malformed(place.clone(), problem));
        }
        let has_one_sample = layout.photometric.has_one_sample();
        match grey.samples {
            Samples::Eight(samples) if has_one_sample => {
                Ok(self.levels.map(samples.into_iter().map(u16::from)))
            }
            Samples::Eight(samples) => Ok(windowed(samples, self.options)),
            Samples::Sixteen(samples) if has_one_sample && layout.stored.bits_allocated == 16 => {
                Ok(self.levels.map(samples.into_iter()))
            }
            Samples::Sixteen(_) => Err(self.source.malformed(
                place.clone(),
                "the JPEG has more than 8 bits per sample, but the file declares 8 bits or colour",
            )),
        }
    }
}

fn luma_of_planes(red: &[u8], green: &[u8], blue: &[u8]) -> Vec<u8> {
    red.iter().zip(green).zip(blue).map(|((&red, &green), &blue)| luma(red, green, blue)).collect()
}
