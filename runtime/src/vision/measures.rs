//! Measures of a closed polygon, in whatever unit its corners are in.

use super::Vertex;
use sonotrace_hal::geometry::Rect;

/// Areas below this part of the squared perimeter are taken as none: a polygon so thin has no centroid to speak of.
const THINNEST: f64 = 1e-9;

/// What is read off a contour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measures {
    /// Area inside, unit squared; positive.
    pub area: f32,
    /// Length of the closed contour.
    pub perimeter: f32,
    /// Centroid of the area.
    pub centroid: Vertex,
    /// The smallest upright rectangle around it.
    pub bounds: Rect,
}

/// Area by the shoelace formula: positive for polygons that run clockwise as seen on the screen (`y` down), as contours
/// of this library do. Computed in double precision, relative to the first corner. 0 for fewer than three corners.
pub fn signed_area(polygon: &[Vertex]) -> f64 {
    moments(polygon).0
}

/// Area, perimeter, centroid and extent of a closed polygon (the last corner joins the first). `None`, never a guess,
/// where they have no meaning: fewer than three corners, no area, or a corner that is not finite.
pub fn measure(polygon: &[Vertex]) -> Option<Measures> {
    let first = *polygon.first()?;
    let mut bounds = Rect { x0: first[0], y0: first[1], x1: first[0], y1: first[1] };
    for &[x, y] in polygon {
        if !(x.is_finite() && y.is_finite()) {
            return None;
        }
        bounds.x0 = bounds.x0.min(x);
        bounds.y0 = bounds.y0.min(y);
        bounds.x1 = bounds.x1.max(x);
        bounds.y1 = bounds.y1.max(y);
    }
    let (area, moment_x, moment_y) = moments(polygon);
    let perimeter = perimeter(polygon);
    // Written so that a perimeter of 0 gives none.
    if polygon.len() < 3 || area.abs() <= THINNEST * perimeter * perimeter {
        return None;
    }
    Some(Measures {
        area: area.abs() as f32,
        perimeter: perimeter as f32,
        centroid: [
            (f64::from(first[0]) + moment_x / area) as f32,
            (f64::from(first[1]) + moment_y / area) as f32,
        ],
        bounds,
    })
}

/// Each side of the polygon.
fn sides(polygon: &[Vertex]) -> impl Iterator<Item = (Vertex, Vertex)> {
    polygon.iter().copied().zip(polygon.iter().copied().cycle().skip(1))
}

fn perimeter(polygon: &[Vertex]) -> f64 {
    sides(polygon)
        .map(|(a, b)| {
            let (dx, dy) = (f64::from(b[0]) - f64::from(a[0]), f64::from(b[1]) - f64::from(a[1]));
            libm::sqrt(dx * dx + dy * dy)
        })
        .sum()
}

/// Signed area and its first moments about the first corner.
fn moments(polygon: &[Vertex]) -> (f64, f64, f64) {
    let Some(&origin) = polygon.first() else { return (0.0, 0.0, 0.0) };
    let (mut area, mut moment_x, mut moment_y) = (0.0, 0.0, 0.0);
    for (a, b) in sides(polygon) {
        let (ax, ay) = (f64::from(a[0]) - f64::from(origin[0]), f64::from(a[1]) - f64::from(origin[1]));
        let (bx, by) = (f64::from(b[0]) - f64::from(origin[0]), f64::from(b[1]) - f64::from(origin[1]));
        let twice = ax * by - bx * ay;
        area += twice / 2.0;
        moment_x += twice * (ax + bx) / 6.0;
        moment_y += twice * (ay + by) / 6.0;
    }
    (area, moment_x, moment_y)
}
