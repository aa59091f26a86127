//! An animation of pictures, kept small by one palette for all frames and by storing only changed pixels.

use super::annotate::{FILL_OPACITY, state_colour};
use super::draw::Colour;
use anyhow::{Context, Result, ensure};
use gif::{DisposalMethod, Encoder, Frame, Repeat};
use image::RgbImage;
use image::imageops::{FilterType, resize};
use sonotrace_hal::overlay::State;
use std::collections::HashMap;
use std::io::Write;

/// Grey levels of the palette.
const GREYS: usize = 64;
/// Differences up to this are not encoded. They are below one step of grey, so they are invisible, but they would be
/// most of the file.
const UNSEEN: u8 = 3;
/// Viewers slow down frames that are shorter than this.
const FRAME_MS_MIN: f64 = 20.0;

/// Writes an animation that repeats for ever, one frame at a time.
pub struct Animation<W: Write> {
    encoder: Encoder<W>,
    width: u16,
    height: u16,
    frame_ms: f64,
    /// Rounding error of the delays so far, which are whole hundredths of a second.
    owed_ms: f64,
    palette: Palette,
    /// Palette index of each pixel on the screen; none before the first frame.
    shown: Option<Vec<u8>>,
}

impl<W: Write> Animation<W> {
    /// An animation of `width` x `height` pixels whose frames are shown for `frame_ms` each (at least 20 ms). Each
    /// delay is rounded to 10 ms; the average is exact.
    ///
    /// # Errors
    /// A size that is not within 1..=65535, a time that is not finite, the writer's errors.
    pub fn new(writer: W, width: u32, height: u32, frame_ms: f64) -> Result<Self> {
        let side = |name: &str, side: u32| {
            let side = u16::try_from(side).ok().filter(|&side| side > 0);
            side.with_context(|| format!("{name} of an animation must be within 1..=65535"))
        };
        let (width, height) = (side("width", width)?, side("height", height)?);
        ensure!(frame_ms.is_finite(), "time per frame is {frame_ms} ms");
        let palette = Palette::new();
        let mut encoder = Encoder::new(writer, width, height, palette.colours.as_flattened())?;
        encoder.set_repeat(Repeat::Infinite)?;
        Ok(Self {
            encoder,
            width,
            height,
            frame_ms: frame_ms.max(FRAME_MS_MIN),
            owed_ms: 0.0,
            palette,
            shown: None,
        })
    }

    /// Adds a picture. A picture of another size is scaled to the animation's size.
    ///
    /// # Errors
    /// The writer's errors.
    pub fn frame(&mut self, picture: &RgbImage) -> Result<()> {
        let (width, height) = (self.width.into(), self.height.into());
        let scaled;
        let picture = if picture.dimensions() == (width, height) {
            picture
        } else {
            scaled = resize(picture, width, height, FilterType::Triangle);
            &scaled
        };
        let transparent = self.palette.colours.len() as u8;
        let buffer: Vec<u8> = match &mut self.shown {
            None => {
                let indices: Vec<u8> = picture.pixels().map(|pixel| self.palette.index(pixel.0)).collect();
                self.shown = Some(indices.clone());
                indices
            }
            Some(shown) => {
                let pixels = picture.pixels().zip(shown);
                pixels
                    .map(|(pixel, shown)| self.palette.change(pixel.0, shown).unwrap_or(transparent))
                    .collect()
            }
        };
        self.owed_ms += self.frame_ms;
        let delay = (self.owed_ms / 10.0).round().clamp(1.0, f64::from(u16::MAX));
        self.owed_ms -= 10.0 * delay;
        self.encoder.write_frame(&Frame {
            width: self.width,
            height: self.height,
            delay: delay as u16,
            dispose: DisposalMethod::Keep,
            transparent: Some(transparent),
            buffer: buffer.into(),
            ..Frame::default()
        })?;
        Ok(())
    }

    /// Completes the file and returns the writer.
    ///
    /// # Errors
    /// The writer's errors.
    pub fn finish(self) -> Result<W> {
        let mut writer = self.encoder.into_inner()?;
        writer.flush()?;
        Ok(writer)
    }
}

/// Greys, and the colours of the states blended with greys. The palette is the same for every frame, so that a pixel
/// that does not change keeps its index.
struct Palette {
    colours: Vec<Colour>,
    /// Index of the nearest colour, for each colour looked up so far.
    nearest: HashMap<Colour, u8>,
}

impl Palette {
    fn new() -> Self {
        let mut colours: Vec<Colour> =
            (0..GREYS).map(|level| [(level * 255 / (GREYS - 1)) as u8; 3]).collect();
        for state in [State::Fresh, State::Tracked, State::Attention, State::Absent, State::Lost] {
            let colour = state_colour(state);
            let mut blend = |opacity: f32, greys: u8| {
                for grey in 0..greys {
                    let grey = f32::from(grey) * 240.0 / f32::from(greys.max(2) - 1);
                    colours.push(
                        colour.map(|c| (f32::from(c) * opacity + grey * (1.0 - opacity)).round() as u8),
                    );
                }
            };
            blend(FILL_OPACITY, 16);
            blend(0.35, 4);
            blend(0.6, 4);
            blend(0.8, 3);
            blend(1.0, 1);
        }
        Self { colours, nearest: HashMap::new() }
    }

    fn index(&mut self, colour: Colour) -> u8 {
        let distance = |other: &Colour| -> i32 {
            colour.iter().zip(other).map(|(&a, &b)| (i32::from(a) - i32::from(b)).pow(2)).sum()
        };
        let colours = &self.colours;
        let search = || (0..colours.len()).min_by_key(|&index| distance(&colours[index])).unwrap_or(0) as u8;
        *self.nearest.entry(colour).or_insert_with(search)
    }

    /// The new index of a pixel that shows `shown`; none if the difference is not visible.
    fn change(&mut self, colour: Colour, shown: &mut u8) -> Option<u8> {
        let on_screen = self.colours[usize::from(*shown)];
        let index = self.index(colour);
        if index == *shown || colour.iter().zip(on_screen).all(|(&new, old)| new.abs_diff(old) <= UNSEEN) {
            return None;
        }
        *shown = index;
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(step: u32) -> RgbImage {
        RgbImage::from_fn(64, 48, |x, y| {
            if x.abs_diff(20 + step) < 4 && y.abs_diff(20) < 4 {
                image::Rgb(state_colour(State::Fresh))
            } else {
                image::Rgb([((x * 3 + y * 2 + step) % 256) as u8; 3])
            }
        })
    }

    /// Decodes to the screen after each frame, and each frame's delay in hundredths of a second.
    fn decoded(file: &[u8]) -> Vec<(RgbImage, u16)> {
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(file).unwrap();
        let mut screen = RgbImage::new(decoder.width().into(), decoder.height().into());
        let mut frames = Vec::new();
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            for (pixel, rgba) in screen.pixels_mut().zip(frame.buffer.chunks_exact(4)) {
                if rgba[3] != 0 {
                    pixel.0.copy_from_slice(&rgba[..3]);
                }
            }
            frames.push((screen.clone(), frame.delay));
        }
        frames
    }

    #[test]
    fn decodes_to_the_same_pictures() {
        let mut animation = Animation::new(Vec::new(), 64, 48, 100.0 / 3.0).unwrap();
        for step in 0..12 {
            animation.frame(&picture(step)).unwrap();
        }
        let frames = decoded(&animation.finish().unwrap());
        assert_eq!(frames.len(), 12);
        for (step, (seen, _)) in frames.iter().enumerate() {
            for (a, b) in seen.pixels().zip(picture(step as u32).pixels()) {
                let worst = a.0.iter().zip(b.0).map(|(a, b)| a.abs_diff(b)).max().unwrap();
                assert!(worst <= UNSEEN, "{a:?} for {b:?} in frame {step}");
            }
        }
        let delays: u16 = frames.iter().map(|(_, delay)| delay).sum();
        assert_eq!(delays, 40, "twelve frames at 30 a second are 400 ms");
    }

    #[test]
    fn every_state_has_its_own_colour() {
        let mut palette = Palette::new();
        assert!(palette.colours.len() < 256);
        for state in
            [State::Fresh, State::Tracked, State::Attention, State::Absent, State::Stale, State::Lost]
        {
            let index = palette.index(state_colour(state));
            let shown = palette.colours[usize::from(index)];
            let worst = shown.iter().zip(state_colour(state)).map(|(a, b)| a.abs_diff(b)).max().unwrap();
            assert!(worst <= 4, "{state:?}: {shown:?}");
        }
    }

    #[test]
    fn larger_pictures_are_scaled_down() {
        let mut animation = Animation::new(Vec::new(), 32, 24, 40.0).unwrap();
        animation.frame(&RgbImage::from_pixel(64, 48, image::Rgb([99; 3]))).unwrap();
        let frames = decoded(&animation.finish().unwrap());
        assert_eq!(frames[0].0.dimensions(), (32, 24));
        assert!(frames[0].0.pixels().all(|pixel| pixel.0[0].abs_diff(99) <= 2));
    }

    #[test]
    fn unchanged_pixels_cost_little() {
        let size = |frames: u32| {
            let mut animation = Animation::new(Vec::new(), 64, 48, 40.0).unwrap();
            for _ in 0..frames {
                animation.frame(&picture(0)).unwrap();
            }
            animation.finish().unwrap().len()
        };
        assert!(size(11) - size(1) < 10 * 150, "{} bytes for ten equal frames", size(11) - size(1));
    }

    #[test]
    fn sizes_outside_the_format_are_refused() {
        assert!(Animation::new(Vec::new(), 0, 24, 40.0).is_err());
        assert!(Animation::new(Vec::new(), 24, 65_536, 40.0).is_err());
        assert!(Animation::new(Vec::new(), 24, 24, f64::NAN).is_err());
    }
}
