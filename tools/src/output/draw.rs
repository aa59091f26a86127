//! Anti-aliased shapes on RGB pictures. Coordinates are pixel indices, whole at pixel centres.
//!
//! A shape is first gathered as coverage (0 to 1 of each pixel) and then blended once, so that the joints of a line are
//! no darker than the rest of it.

use super::font;
use image::RgbImage;

/// A point, `[x, y]`.
pub type Vertex = [f32; 2];
/// A colour, `[red, green, blue]`.
pub type Colour = [u8; 3];

/// How much of each pixel of an upright part of a picture is covered.
struct Coverage {
    left: i32,
    top: i32,
    width: i32,
    height: i32,
    values: Vec<f32>,
}

impl Coverage {
    /// An empty one that holds all points and `margin` around them, as far as the picture shows them; none if it shows
    /// nothing, or if a point is not finite.
    fn around<'a>(image: &RgbImage, points: impl Iterator<Item = &'a Vertex>, margin: f32) -> Option<Self> {
        let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for point in points {
            if !(point[0].is_finite() && point[1].is_finite()) {
                return None;
            }
            for axis in 0..2 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        let clip = |low: f32, high: f32, size: u32| {
            let first = (low - margin).floor().max(0.0);
            let last = (high + margin).ceil().min(size as f32 - 1.0);
            (first <= last).then_some((first as i32, (last - first) as i32 + 1))
        };
        let (left, width) = clip(low[0], high[0], image.width())?;
        let (top, height) = clip(low[1], high[1], image.height())?;
        Some(Self { left, top, width, height, values: vec![0.0; (width * height) as usize] })
    }

    fn columns(&self, low: f32, high: f32) -> std::ops::Range<i32> {
        (low.ceil() as i32).max(self.left)
            ..(high.floor() as i32).saturating_add(1).min(self.left + self.width)
    }

    fn rows(&self, low: f32, high: f32) -> std::ops::Range<i32> {
        (low.ceil() as i32).max(self.top)..(high.floor() as i32).saturating_add(1).min(self.top + self.height)
    }

    fn at(&mut self, x: i32, y: i32) -> &mut f32 {
        &mut self.values[((y - self.top) * self.width + x - self.left) as usize]
    }

    /// A straight stroke with round ends: full within its half width, falling off over the pixel at its edge.
    fn segment(&mut self, a: Vertex, b: Vertex, half_width: f32) {
        let along = [b[0] - a[0], b[1] - a[1]];
        let length2 = along[0] * along[0] + along[1] * along[1];
        let reach = half_width + 0.5;
        for y in self.rows(a[1].min(b[1]) - reach, a[1].max(b[1]) + reach) {
            for x in self.columns(a[0].min(b[0]) - reach, a[0].max(b[0]) + reach) {
                let from = [x as f32 - a[0], y as f32 - a[1]];
                let part = if length2 > 0.0 {
                    ((from[0] * along[0] + from[1] * along[1]) / length2).clamp(0.0, 1.0)
                } else {
                    0.0
                };
                let distance = (from[0] - part * along[0]).hypot(from[1] - part * along[1]);
                let covered = self.at(x, y);
                *covered = covered.max((reach - distance).clamp(0.0, 1.0));
            }
        }
    }

    /// The inside of closed rings, even-odd: exact across, four scan lines to the pixel down.
    fn inside(&mut self, rings: &[Vec<Vertex>]) {
        const SCANS: i32 = 4;
        let mut crossings = Vec::new();
        for y in self.top..self.top + self.height {
            for scan in 0..SCANS {
                let at = y as f32 + (scan as f32 + 0.5) / SCANS as f32 - 0.5;
                even_odd_crossings(rings, at, &mut crossings);
                for span in crossings.chunks_exact(2) {
                    for x in self.columns(span[0] - 0.5, span[1] + 0.5) {
                        let (left, right) = (x as f32 - 0.5, x as f32 + 0.5);
                        let covered = (span[1].min(right) - span[0].max(left)).max(0.0);
                        *self.at(x, y) += covered / SCANS as f32;
                    }
                }
            }
        }
    }

    fn blend(&self, image: &mut RgbImage, colour: Colour, opacity: f32) {
        for (index, &covered) in self.values.iter().enumerate() {
            if covered > 0.0 {
                let (x, y) = (index as i32 % self.width + self.left, index as i32 / self.width + self.top);
                let alpha = covered.min(1.0) * opacity;
                for (channel, new) in image.get_pixel_mut(x as u32, y as u32).0.iter_mut().zip(colour) {
                    *channel = (f32::from(*channel) * (1.0 - alpha) + f32::from(new) * alpha).round() as u8;
                }
            }
        }
    }
}

/// Where closed rings cross the horizontal at `y`, from left to right: an even number.
fn even_odd_crossings(rings: &[Vec<Vertex>], y: f32, crossings: &mut Vec<f32>) {
    crossings.clear();
    for [a, b] in rings.iter().flat_map(|ring| closed(ring)) {
        if (a[1] <= y) != (b[1] <= y) {
            crossings.push(a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
        }
    }
    crossings.sort_by(f32::total_cmp);
}

/// Blends the inside of closed rings: of an outer one, holes left out. Nothing is drawn if a point is not finite.
pub fn fill(image: &mut RgbImage, rings: &[Vec<Vertex>], colour: Colour, opacity: f32) {
    if let Some(mut coverage) = Coverage::around(image, rings.iter().flatten(), 1.0) {
        coverage.inside(rings);
        coverage.blend(image, colour, opacity);
    }
}

/// Draws straight strokes of a width, as one shape.
pub fn strokes(image: &mut RgbImage, segments: &[[Vertex; 2]], width_px: f32, colour: Colour, opacity: f32) {
    let half_width = 0.5 * width_px;
    if let Some(mut coverage) = Coverage::around(image, segments.as_flattened().iter(), half_width + 0.5) {
        for &[a, b] in segments {
            coverage.segment(a, b, half_width);
        }
        coverage.blend(image, colour, opacity);
    }
}

/// The sides of a closed polygon.
pub fn closed(points: &[Vertex]) -> Vec<[Vertex; 2]> {
    points.iter().zip(points.iter().cycle().skip(1)).map(|(&a, &b)| [a, b]).collect()
}

/// The sides of a closed polygon, dashed: `on_px` drawn, `off_px` left out, all the way round.
pub fn dashed(points: &[Vertex], on_px: f32, off_px: f32) -> Vec<[Vertex; 2]> {
    let mut dashes = Vec::new();
    let mut is_on = true;
    let mut left_px = on_px;
    for [a, b] in closed(points) {
        let length = (b[0] - a[0]).hypot(b[1] - a[1]);
        let at = |px: f32| [a[0] + (b[0] - a[0]) * px / length, a[1] + (b[1] - a[1]) * px / length];
        let mut done = 0.0;
        // A side without a finite length has no dashes.
        while done < length && length.is_finite() {
            let step = left_px.min(length - done);
            if is_on {
                dashes.push([at(done), at(done + step)]);
            }
            done += step;
            left_px -= step;
            if left_px <= 0.0 {
                is_on = !is_on;
                left_px = if is_on { on_px } else { off_px };
            }
        }
    }
    dashes
}

/// Draws a filled dot.
pub fn dot(image: &mut RgbImage, at: Vertex, radius_px: f32, colour: Colour, opacity: f32) {
    strokes(image, &[[at, at]], 2.0 * radius_px, colour, opacity);
}

/// Draws an upright cross.
pub fn cross(image: &mut RgbImage, at: Vertex, radius_px: f32, width_px: f32, colour: Colour, opacity: f32) {
    let [x, y] = at;
    let arms = [[[x - radius_px, y], [x + radius_px, y]], [[x, y - radius_px], [x, y + radius_px]]];
    strokes(image, &arms, width_px, colour, opacity);
}

/// Writes a line of text with a dark edge, so that it can be read on any picture. `at` is the left end of the base
/// line, `size_px` the height of a capital. Returns where the text ends.
pub fn text(image: &mut RgbImage, at: Vertex, size_px: f32, colour: Colour, text: &str) -> f32 {
    let lines = font::lines(text, at, size_px);
    let width_px = (size_px / 7.5).max(1.0);
    strokes(image, &lines, width_px + 2.4, [0, 0, 0], 0.7);
    strokes(image, &lines, width_px, colour, 1.0);
    at[0] + font::width_px(text, size_px)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn black() -> RgbImage {
        RgbImage::new(40, 30)
    }

    fn sum(image: &RgbImage) -> f32 {
        image.pixels().map(|pixel| f32::from(pixel.0[0]) / 255.0).sum()
    }

    const WHITE: Colour = [255, 255, 255];

    /// A line one pixel wide through pixel centres covers those pixels and no other.
    #[test]
    fn a_line_through_centres_covers_its_pixels() {
        let mut image = black();
        strokes(&mut image, &[[[5.0, 10.0], [15.0, 10.0]]], 1.0, WHITE, 1.0);
        for (x, y, pixel) in image.enumerate_pixels() {
            let expected = if y == 10 && (5..=15).contains(&x) { 255 } else { 0 };
            assert_eq!(pixel.0[0], expected, "({x}, {y})");
        }
    }

    /// Half-way between two rows it covers half of each.
    #[test]
    fn a_line_between_centres_is_shared() {
        let mut image = black();
        strokes(&mut image, &[[[5.0, 10.5], [15.0, 10.5]]], 1.0, WHITE, 1.0);
        for x in 5..=15 {
            assert_eq!(image.get_pixel(x, 10).0[0], 128);
            assert_eq!(image.get_pixel(x, 11).0[0], 128);
            assert_eq!(image.get_pixel(x, 9).0[0] + image.get_pixel(x, 12).0[0], 0);
        }
    }

    /// All of a closed line's sides are drawn, the last one too, and no pixel is blended twice.
    #[test]
    fn a_closed_line_is_closed_and_even() {
        let square = [[5.0, 5.0], [25.0, 5.0], [25.0, 20.0], [5.0, 20.0]];
        let mut image = black();
        strokes(&mut image, &closed(&square), 1.0, WHITE, 0.5);
        let drawn = image.pixels().filter(|pixel| pixel.0[0] > 0).count();
        assert_eq!(drawn, 2 * 21 + 2 * 14);
        assert!(image.pixels().all(|pixel| pixel.0[0] == 0 || pixel.0[0] == 128));
    }

    /// A slanted line covers as much as its area.
    #[test]
    fn coverage_is_the_area_of_a_line() {
        let mut image = black();
        strokes(&mut image, &[[[4.3, 5.2], [33.1, 21.7]]], 2.0, WHITE, 1.0);
        let length = (33.1f32 - 4.3).hypot(21.7 - 5.2);
        let area = 2.0 * length + core::f32::consts::PI;
        assert!((sum(&image) - area).abs() < 0.04 * area, "{} against {area}", sum(&image));
    }

    #[test]
    fn a_fill_covers_the_polygons_area() {
        let mut image = black();
        let triangle = [[3.2, 4.1], [30.7, 8.6], [12.9, 25.3]];
        fill(&mut image, &[triangle.to_vec()], WHITE, 1.0);
        let area = 0.5 * ((30.7f32 - 3.2) * (25.3 - 4.1) - (12.9 - 3.2) * (8.6 - 4.1));
        assert!((sum(&image) - area).abs() < 0.005 * area, "{} against {area}", sum(&image));
        assert_eq!(image.get_pixel(14, 12).0, WHITE);
        assert_eq!(image.get_pixel(30, 24).0, [0, 0, 0]);
    }

    #[test]
    fn dashes_leave_gaps_of_their_length() {
        let square = [[0.0, 0.0], [12.0, 0.0], [12.0, 12.0], [0.0, 12.0]];
        let drawn: f32 =
            dashed(&square, 4.0, 2.0).iter().map(|[a, b]| (b[0] - a[0]).hypot(b[1] - a[1])).sum();
        assert!((drawn - 32.0).abs() < 1e-3, "{drawn}");
    }

    /// What lies outside, or is no number, is left out and does no harm.
    #[test]
    fn hostile_coordinates_are_harmless() {
        let mut image = black();
        for far in [f32::NAN, f32::INFINITY, -1e30, 1e30] {
            strokes(&mut image, &[[[far, 3.0], [far, 9.0]]], 3.0, WHITE, 1.0);
            fill(&mut image, &[vec![[far, 1.0], [far, 2.0], [far, 9.0]]], WHITE, 1.0);
            assert!(dashed(&[[far, 0.0], [1.0, f32::NAN]], 4.0, 2.0).is_empty());
        }
        assert_eq!(sum(&image), 0.0);
        strokes(&mut image, &[[[-50.0, 15.0], [90.0, 15.0]]], 1.0, WHITE, 1.0);
        assert_eq!(sum(&image), 40.0);
    }

    #[test]
    fn text_is_drawn_where_it_says() {
        // Half a stroke and half a pixel, 1.3 together, reach beyond the strokes' own lines.
        let mut image = black();
        let end = text(&mut image, [4.0, 20.0], 12.0, WHITE, "E1");
        assert!(
            image
                .enumerate_pixels()
                .all(|(x, y, p)| p.0[0] == 0
                    || ((3..=(end + 1.3) as u32).contains(&x) && (7..=21).contains(&y)))
        );
        assert!(sum(&image) > 30.0);
    }
}
