//! Anti-aliased shapes on a picture, by tiny-skia. Coordinates are pixel indices, whole at pixel centres.

use anyhow::{Context, Result};
use image::{DynamicImage, GrayImage, Rgb, RgbImage};
use tiny_skia::{
    FillRule, IntSize, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, StrokeDash, Transform,
};

/// A point, `[x, y]`.
pub type Vertex = [f32; 2];
/// A colour, `[red, green, blue]`.
pub type Colour = [u8; 3];

/// Width of the dark edge around lines and letters, which makes them visible on any picture.
const EDGE_PX: f32 = 1.1;
const EDGE_COLOUR: Colour = [0, 0, 0];
const EDGE_OPACITY: f32 = 0.65;
/// From pixel indices to tiny-skia's coordinates, which are whole at pixel corners.
const TO_CORNERS: Transform = Transform { sx: 1.0, kx: 0.0, ky: 0.0, sy: 1.0, tx: 0.5, ty: 0.5 };

/// A grey picture to draw on.
///
/// # Errors
/// A picture without pixels, or one that is too large.
pub fn from_grey(grey: GrayImage) -> Result<Pixmap> {
    let (width, height) = grey.dimensions();
    let size = IntSize::from_wh(width, height);
    let rgba = DynamicImage::ImageLuma8(grey).into_rgba8().into_raw();
    size.and_then(|size| Pixmap::from_vec(rgba, size))
        .with_context(|| format!("a picture of {width} x {height} pixels cannot be drawn on"))
}

/// The picture as RGB. It is opaque, so its premultiplied colours equal the plain ones.
pub fn to_rgb(picture: &Pixmap) -> RgbImage {
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        Rgb(picture.pixel(x, y).map_or([0; 3], |pixel| [pixel.red(), pixel.green(), pixel.blue()]))
    })
}

/// Closed polygons as one shape; none if a point is not finite or there is no side.
pub fn closed(polygons: &[Vec<Vertex>]) -> Option<Path> {
    let mut path = PathBuilder::new();
    for polygon in polygons {
        push(&mut path, polygon);
        path.close();
    }
    path.finish()
}

/// Lines as one shape; none if a point is not finite or there is no line.
pub fn lines(lines: &[[Vertex; 2]]) -> Option<Path> {
    let mut path = PathBuilder::new();
    lines.iter().for_each(|line| push(&mut path, line));
    path.finish()
}

fn push(path: &mut PathBuilder, points: &[Vertex]) {
    for (index, &[x, y]) in points.iter().enumerate() {
        if index == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
    }
}

fn paint(colour: Colour, opacity: f32) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(colour[0], colour[1], colour[2], (255.0 * opacity).round() as u8);
    paint
}

/// Blends the inside (even-odd) of a shape.
pub fn fill(picture: &mut Pixmap, shape: &Path, colour: Colour, opacity: f32) {
    picture.fill_path(shape, &paint(colour, opacity), FillRule::EvenOdd, TO_CORNERS, None);
}

/// Draws the outline of a shape as one path, so that its joints are not blended twice.
fn stroke(picture: &mut Pixmap, shape: &Path, stroke: &Stroke, colour: Colour, opacity: f32) {
    picture.stroke_path(shape, &paint(colour, opacity), stroke, TO_CORNERS, None);
}

/// A solid line.
pub fn solid(width_px: f32) -> Stroke {
    Stroke { width: width_px, line_cap: LineCap::Square, line_join: LineJoin::Round, ..Stroke::default() }
}

/// A dashed line: `on_px` drawn, `off_px` left out, along the whole outline.
pub fn dashed(width_px: f32, on_px: f32, off_px: f32) -> Stroke {
    let dash = StrokeDash::new(vec![on_px, off_px], 0.0);
    Stroke { line_cap: LineCap::Butt, dash, ..solid(width_px) }
}

/// Draws the outline of a shape over a dark edge.
pub fn edged_stroke(picture: &mut Pixmap, shape: &Path, line: &Stroke, colour: Colour) {
    let edge = Stroke { width: line.width + 2.0 * EDGE_PX, ..line.clone() };
    stroke(picture, shape, &edge, EDGE_COLOUR, EDGE_OPACITY);
    stroke(picture, shape, line, colour, 1.0);
}

/// Fills a shape over a dark edge (non-zero winding, as letters require).
pub fn edged_fill(picture: &mut Pixmap, shape: &Path, colour: Colour) {
    stroke(picture, shape, &solid(2.0 * EDGE_PX), EDGE_COLOUR, EDGE_OPACITY);
    picture.fill_path(shape, &paint(colour, 1.0), FillRule::Winding, TO_CORNERS, None);
}

/// Draws a dot over a dark edge.
pub fn dot(picture: &mut Pixmap, [x, y]: Vertex, radius_px: f32, colour: Colour) {
    if let Some(circle) = PathBuilder::from_circle(x, y, radius_px) {
        edged_fill(picture, &circle, colour);
    }
}

/// Draws an upright cross over a dark edge.
pub fn cross(picture: &mut Pixmap, [x, y]: Vertex, radius_px: f32, width_px: f32, colour: Colour) {
    let arms = [[[x - radius_px, y], [x + radius_px, y]], [[x, y - radius_px], [x, y + radius_px]]];
    if let Some(arms) = lines(&arms) {
        edged_stroke(picture, &arms, &solid(width_px), colour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Colour = [255, 255, 255];

    fn black() -> Pixmap {
        from_grey(GrayImage::new(40, 30)).unwrap()
    }

    /// Red of every pixel after a shape's outline has been drawn in white.
    fn stroked(shape: &Path, width_px: f32, opacity: f32) -> RgbImage {
        let mut picture = black();
        stroke(&mut picture, shape, &solid(width_px), WHITE, opacity);
        to_rgb(&picture)
    }

    fn sum(image: &RgbImage) -> f32 {
        image.pixels().map(|pixel| f32::from(pixel.0[0]) / 255.0).sum()
    }

    #[test]
    fn a_grey_picture_is_returned_unchanged() {
        let grey = GrayImage::from_fn(7, 5, |x, y| image::Luma([(x * 30 + y) as u8]));
        let expected = DynamicImage::ImageLuma8(grey.clone()).into_rgb8();
        assert_eq!(to_rgb(&from_grey(grey).unwrap()), expected);
        assert!(from_grey(GrayImage::new(0, 5)).is_err());
    }

    /// A line one pixel wide through pixel centres covers those pixels and no other.
    #[test]
    fn a_line_through_centres_covers_its_pixels() {
        let image = stroked(&lines(&[[[5.0, 10.0], [15.0, 10.0]]]).unwrap(), 1.0, 1.0);
        for (x, y, pixel) in image.enumerate_pixels() {
            let expected = if y == 10 && (5..=15).contains(&x) { 255 } else { 0 };
            assert_eq!(pixel.0[0], expected, "({x}, {y})");
        }
    }

    /// A line half-way between two rows covers half of each.
    #[test]
    fn a_line_between_centres_is_shared() {
        let image = stroked(&lines(&[[[5.0, 10.5], [15.0, 10.5]]]).unwrap(), 1.0, 1.0);
        for x in 5..=15 {
            assert!([10, 11].iter().all(|&y| matches!(image.get_pixel(x, y).0[0], 127 | 128)));
            assert_eq!(image.get_pixel(x, 9).0[0] + image.get_pixel(x, 12).0[0], 0);
        }
    }

    /// All sides of a closed line are drawn, including the last, and no pixel is blended twice.
    #[test]
    fn a_closed_line_is_closed_and_even() {
        let square = vec![[5.0, 5.0], [25.0, 5.0], [25.0, 20.0], [5.0, 20.0]];
        let image = stroked(&closed(&[square]).unwrap(), 3.0, 0.5);
        let values = || image.pixels().map(|pixel| pixel.0[0]);
        // All but the four corners, which are round.
        assert_eq!(values().filter(|&value| value == 128).count(), 23 * 18 - 17 * 12 - 4);
        assert_eq!(values().filter(|&value| (64..128).contains(&value)).count(), 4);
        assert_eq!(values().filter(|&value| value == 0).count(), 40 * 30 - (23 * 18 - 17 * 12));
    }

    /// A slanted line covers as much as its area, its square ends included.
    #[test]
    fn coverage_is_the_area_of_a_line() {
        let image = stroked(&lines(&[[[4.3, 5.2], [33.1, 21.7]]]).unwrap(), 2.0, 1.0);
        let length = (33.1f32 - 4.3).hypot(21.7 - 5.2);
        let area = 2.0 * (length + 2.0);
        assert!((sum(&image) - area).abs() < 0.04 * area, "{} against {area}", sum(&image));
    }

    #[test]
    fn a_fill_covers_the_polygons_area() {
        let mut picture = black();
        let triangle = vec![[3.2, 4.1], [30.7, 8.6], [12.9, 25.3]];
        fill(&mut picture, &closed(&[triangle]).unwrap(), WHITE, 1.0);
        let image = to_rgb(&picture);
        let area = 0.5 * ((30.7f32 - 3.2) * (25.3 - 4.1) - (12.9 - 3.2) * (8.6 - 4.1));
        assert!((sum(&image) - area).abs() < 0.005 * area, "{} against {area}", sum(&image));
        assert_eq!(image.get_pixel(14, 12).0, WHITE);
        assert_eq!(image.get_pixel(30, 24).0, [0, 0, 0]);
    }

    #[test]
    fn dashes_leave_gaps_of_their_length() {
        let mut picture = black();
        let square = vec![[4.0, 4.0], [16.0, 4.0], [16.0, 16.0], [4.0, 16.0]];
        stroke(&mut picture, &closed(&[square]).unwrap(), &dashed(1.0, 4.0, 2.0), WHITE, 1.0);
        let drawn = sum(&to_rgb(&picture));
        assert!((drawn - 32.0).abs() < 0.7, "{drawn}");
    }

    /// Points that are outside the picture or not finite are left out.
    #[test]
    fn hostile_coordinates_are_harmless() {
        let mut picture = black();
        for far in [f32::NAN, f32::INFINITY, -1e30, 1e30] {
            let shapes = [
                lines(&[[[far, 3.0], [far, 9.0]]]),
                closed(&[vec![[far, 1.0], [far, 2.0], [far, 9.0]]]),
                closed(&[vec![[far, 0.0], [1.0, f32::NAN]]]),
            ];
            for shape in shapes.into_iter().flatten() {
                fill(&mut picture, &shape, WHITE, 1.0);
                stroke(&mut picture, &shape, &solid(3.0), WHITE, 1.0);
                stroke(&mut picture, &shape, &dashed(3.0, 4.0, 2.0), WHITE, 1.0);
            }
            dot(&mut picture, [far, 3.0], 2.0, WHITE);
        }
        assert_eq!(sum(&to_rgb(&picture)), 0.0);
        let image = stroked(&lines(&[[[-50.0, 15.0], [90.0, 15.0]]]).unwrap(), 1.0, 1.0);
        assert_eq!(sum(&image), 40.0);
    }
}
