//! Text on pictures. The font, Noto Sans, is embedded, so no system font is needed.

use super::draw::{self, Colour, Vertex};
use ab_glyph::{Font, FontRef, GlyphId, OutlineCurve};
use std::sync::LazyLock;
use tiny_skia::{PathBuilder, Pixmap, Transform};

static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(ttf_noto_sans::REGULAR).expect("the embedded font is well formed")
});
/// Height of a capital in the font's units.
const CAPITAL: f32 = 1462.0;

/// Length of a line of text with capitals `size_px` high.
pub fn width_px(text: &str, size_px: f32) -> f32 {
    let advance: f32 = text.chars().map(|letter| FONT.h_advance_unscaled(FONT.glyph_id(letter))).sum();
    advance * size_px / CAPITAL
}

/// Writes a line of text over a dark edge. `at` is the left end of the base line, `size_px` the height of a capital.
/// Returns where the text ends.
pub fn text(picture: &mut Pixmap, at: Vertex, size_px: f32, colour: Colour, text: &str) -> f32 {
    let unit = size_px / CAPITAL;
    let mut letters = PathBuilder::new();
    let mut width = 0.0;
    for glyph in text.chars().map(|letter| FONT.glyph_id(letter)) {
        push(&mut letters, glyph, width);
        width += FONT.h_advance_unscaled(glyph);
    }
    // The base line is on the edge between two rows of pixels, so that the feet of letters are sharp.
    let place = Transform::from_row(unit, 0.0, 0.0, -unit, at[0], at[1].round() + 0.5);
    if let Some(letters) = letters.finish().and_then(|letters| letters.transform(place)) {
        draw::edged_fill(picture, &letters, colour);
    }
    at[0] + width * unit
}

/// Adds the outline of a glyph in the font's units, in which y points up from the base line.
fn push(path: &mut PathBuilder, glyph: GlyphId, left: f32) {
    let mut end = None;
    for curve in FONT.outline(glyph).into_iter().flat_map(|outline| outline.curves) {
        let (OutlineCurve::Line(start, _) | OutlineCurve::Quad(start, ..) | OutlineCurve::Cubic(start, ..)) =
            curve;
        if end != Some(start) {
            path.move_to(left + start.x, start.y);
        }
        end = Some(match curve {
            OutlineCurve::Line(_, last) => {
                path.line_to(left + last.x, last.y);
                last
            }
            OutlineCurve::Quad(_, a, last) => {
                path.quad_to(left + a.x, a.y, left + last.x, last.y);
                last
            }
            OutlineCurve::Cubic(_, a, b, last) => {
                path.cubic_to(left + a.x, a.y, left + b.x, b.y, left + last.x, last.y);
                last
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, RgbImage};

    /// Characters that overlays write and that names are likely to contain.
    const ALL: &str =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.,:;-+=_/|%()[]<>#*!?'\"\u{b2}\u{b5}";

    /// White text on black.
    fn written(text: &str, at: Vertex, size_px: f32) -> (RgbImage, f32) {
        let mut picture = draw::from_grey(GrayImage::new(120, 60)).unwrap();
        let end = super::text(&mut picture, at, size_px, [255; 3], text);
        (draw::to_rgb(&picture), end)
    }

    #[test]
    fn glyphs_exist_and_differ() {
        let ids: std::collections::BTreeSet<u16> =
            ALL.chars().map(|letter| FONT.glyph_id(letter).0).collect();
        assert_eq!(ids.len(), ALL.chars().count());
        assert!(!ids.contains(&0), "glyph 0 replaces characters that the font lacks");
        assert!(ids.into_iter().all(|id| FONT.outline(GlyphId(id)).is_some()));
    }

    #[test]
    fn digits_have_the_same_width() {
        for digit in "0123456789".chars() {
            assert_eq!(width_px(&digit.to_string(), 12.0), width_px("0", 12.0), "{digit}");
        }
    }

    /// Capitals have the given height and stand on the base line, and the text has the returned length.
    #[test]
    fn text_lies_on_its_base_line_and_has_the_returned_length() {
        let (image, end) = written("EH 42", [10.0, 50.0], 24.0);
        assert!((end - 10.0 - width_px("EH 42", 24.0)).abs() < 1e-3);
        let mut bounds = [u32::MAX, u32::MAX, 0, 0];
        for (x, y, _) in image.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] > 127) {
            bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)];
        }
        let [left, top, right, bottom] = bounds;
        assert_eq!((top, bottom), (27, 50), "24 rows, the lowest on the base line");
        assert!((10..=14).contains(&left) && (end - 4.0..end).contains(&(right as f32)), "{left} to {right}");
    }

    #[test]
    fn unknown_characters_get_a_box() {
        let (image, end) = written("\u{4e00}", [10.0, 50.0], 24.0);
        assert!(end > 20.0);
        assert!(image.pixels().filter(|pixel| pixel.0[0] > 127).count() > 20);
        assert_eq!(width_px("", 12.0), 0.0);
    }

    /// Letters are bright and have a dark edge, so that they are visible on any grey.
    #[test]
    fn text_has_a_dark_edge() {
        let mut picture = draw::from_grey(GrayImage::from_pixel(40, 30, image::Luma([200]))).unwrap();
        super::text(&mut picture, [10.0, 20.0], 12.0, [255; 3], "I");
        let row: Vec<u8> = (0..40).map(|x| draw::to_rgb(&picture).get_pixel(x, 14).0[0]).collect();
        assert!(row.iter().any(|&grey| grey > 240) && row.iter().any(|&grey| grey < 120), "{row:?}");
    }
}
