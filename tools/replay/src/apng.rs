//! The frames of an animated PNG, composited on its canvas as the PNG specification (third edition) states.
//!
//! The `png` crate decodes the pixels. The frames of `image` 0.25 are not used: if a frame that is cleared comes before one
//! that is undone, they restore what was cleared.

use crate::error::{Place, ReplayError, Source};
use image::error::{DecodingError, ImageFormatHint};
use image::{Delay, Frame, Frames, ImageError, ImageFormat, RgbaImage};
use png::{BlendOp, ColorType, Decoder, DisposeOp, FrameControl, Limits, Reader, Transformations};
use std::io::Cursor;

/// The frames of an animation of samples of eight bits.
///
/// # Errors
/// A damaged header.
pub(crate) fn frames<'a>(
    source: Source<'_>,
    bytes: &'a [u8],
    bytes_max: usize,
) -> Result<Frames<'a>, ReplayError> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: bytes_max });
    decoder.set_transformations(Transformations::EXPAND);
    let reader = decoder
        .read_info()
        .map_err(|error| source.malformed(Place::Whole, format!("cannot decode the PNG: {error}")))?;
    let info = reader.info();
    let animation = Animation {
        left: info.animation_control().map_or(0, |control| control.num_frames),
        // A picture without frame control is for programs that show no animations.
        has_still: info.frame_control().is_none(),
        canvas: RgbaImage::new(info.width, info.height),
        disposal: Disposal::Keep,
        reader,
    };
    Ok(Frames::new(Box::new(animation)))
}

/// What happens to the canvas before the next frame.
enum Disposal {
    Keep,
    /// The area of the frame becomes transparent.
    Clear(FrameControl),
    /// The canvas is as before the frame.
    Undo(RgbaImage),
}

struct Animation<'a> {
    reader: Reader<Cursor<&'a [u8]>>,
    left: u32,
    has_still: bool,
    canvas: RgbaImage,
    disposal: Disposal,
}

impl Animation<'_> {
    /// Decodes the next picture to components of eight bits.
    fn decode(&mut self) -> Result<(Vec<u8>, ColorType), png::DecodingError> {
        let mut pixels = vec![0; self.reader.output_buffer_size().ok_or(png::DecodingError::LimitsExceeded)?];
        let output = self.reader.next_frame(&mut pixels)?;
        pixels.truncate(output.buffer_size());
        Ok((pixels, output.color_type))
    }

    fn next_frame(&mut self) -> Result<Frame, png::DecodingError> {
        if std::mem::take(&mut self.has_still) {
            self.decode()?;
        }
        let (pixels, colour) = self.decode()?;
        let info = self.reader.info();
        let is_first = info.animation_control().is_some_and(|control| control.num_frames == self.left + 1);
        let control = info.frame_control().copied().unwrap_or_default();
        match std::mem::replace(&mut self.disposal, Disposal::Keep) {
            Disposal::Keep => {}
            Disposal::Clear(area) => draw(&mut self.canvas, &area, |_, _| Some([0; 4])),
            Disposal::Undo(canvas) => self.canvas = canvas,
        }
        self.disposal = match control.dispose_op {
            DisposeOp::None => Disposal::Keep,
            // Before the first frame, the canvas is transparent.
            DisposeOp::Previous if !is_first => Disposal::Undo(self.canvas.clone()),
            DisposeOp::Background | DisposeOp::Previous => Disposal::Clear(control),
        };
        let channels = colour.samples();
        let mut pixels = pixels.chunks_exact(channels).map(rgba);
        draw(&mut self.canvas, &control, |below, blend| {
            let pixel = pixels.next()?;
            Some(if blend == BlendOp::Over { over(below, pixel) } else { pixel })
        });
        // The specification: a denominator of zero means hundredths.
        let denominator = if control.delay_den == 0 { 100 } else { u32::from(control.delay_den) };
        let delay = Delay::from_numer_denom_ms(1000 * u32::from(control.delay_num), denominator);
        Ok(Frame::from_parts(self.canvas.clone(), 0, 0, delay))
    }
}

impl Iterator for Animation<'_> {
    type Item = Result<Frame, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let frame = self.next_frame().map_err(|error| {
            ImageError::Decoding(DecodingError::new(ImageFormatHint::Exact(ImageFormat::Png), error))
        });
        if frame.is_err() {
            self.left = 0;
        }
        Some(frame)
    }
}

/// Sets the pixels of an area of the canvas, row by row. The decoder checked that the area is within the canvas.
fn draw(
    canvas: &mut RgbaImage,
    area: &FrameControl,
    mut pixel: impl FnMut([u8; 4], BlendOp) -> Option<[u8; 4]>,
) {
    for y in area.y_offset..area.y_offset.saturating_add(area.height) {
        for x in area.x_offset..area.x_offset.saturating_add(area.width) {
            let Some(place) = canvas.get_pixel_mut_checked(x, y) else { return };
            let Some(new) = pixel(place.0, area.blend_op) else { return };
            place.0 = new;
        }
    }
}

/// Red, green, blue and alpha of a pixel of one to four components.
fn rgba(components: &[u8]) -> [u8; 4] {
    match *components {
        [grey] => [grey, grey, grey, 255],
        [grey, alpha] => [grey, grey, grey, alpha],
        [red, green, blue] => [red, green, blue, 255],
        [red, green, blue, alpha] => [red, green, blue, alpha],
        _ => [0; 4],
    }
}

/// A pixel over another one, whose colours are not multiplied by their alpha.
fn over(below: [u8; 4], above: [u8; 4]) -> [u8; 4] {
    let (top, bottom) = (u32::from(above[3]), u32::from(below[3]));
    // In units of 1/65025.
    let (of_above, of_below) = (255 * top, bottom * (255 - top));
    let all = of_above + of_below;
    if all == 0 {
        return [0; 4];
    }
    let mixed = |at: usize| {
        let sum = u32::from(above[at]) * of_above + u32::from(below[at]) * of_below;
        ((sum + all / 2) / all) as u8
    };
    [mixed(0), mixed(1), mixed(2), ((all + 127) / 255) as u8]
}
