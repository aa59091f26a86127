//! Closed polygons in the probe's plane: area, centroid, point in polygon.

use sonotrace_hal::geometry::Point;

/// Pairs of neighbouring points, the last with the first.
fn edges(polygon: &[Point]) -> impl Iterator<Item = (Point, Point)> + '_ {
    polygon.iter().zip(polygon.iter().cycle().skip(1)).map(|(a, b)| (*a, *b))
}

/// Area (shoelace formula) in the square of the points' unit; positive if the polygon runs clockwise on a display,
/// where y points down.
pub fn signed_area(polygon: &[Point]) -> f32 {
    let doubled: f64 = edges(polygon).map(|(a, b)| cross(a, b)).sum();
    (0.5 * doubled) as f32
}

/// Centroid of the enclosed area; the origin for a polygon without area.
pub fn centroid(polygon: &[Point]) -> Point {
    let (mut x, mut y, mut doubled) = (0.0f64, 0.0f64, 0.0f64);
    for (a, b) in edges(polygon) {
        let part = cross(a, b);
        x += part * f64::from(a.x + b.x);
        y += part * f64::from(a.y + b.y);
        doubled += part;
    }
    if doubled == 0.0 {
        return Point::default();
    }
    Point { x: (x / (3.0 * doubled)) as f32, y: (y / (3.0 * doubled)) as f32 }
}

/// Whether `point` is inside (even-odd rule).
pub fn contains(polygon: &[Point], point: Point) -> bool {
    edges(polygon).fold(false, |inside, (a, b)| {
        let crosses =
            (a.y > point.y) != (b.y > point.y) && point.x < a.x + (point.y - a.y) * (b.x - a.x) / (b.y - a.y);
        inside ^ crosses
    })
}

fn cross(a: Point, b: Point) -> f64 {
    f64::from(a.x) * f64::from(b.y) - f64::from(b.x) * f64::from(a.y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_triangle() {
        // Clockwise on a display: along the top to the right, then down.
        let triangle = [(1.0, 1.0), (7.0, 1.0), (7.0, 4.0)].map(|(x, y)| Point { x, y });
        assert_eq!(signed_area(&triangle), 9.0);
        assert_eq!(centroid(&triangle), Point { x: 5.0, y: 2.0 });
        assert!(contains(&triangle, Point { x: 6.0, y: 2.0 }));
        assert!(!contains(&triangle, Point { x: 2.0, y: 3.0 }));
        let back: Vec<Point> = triangle.iter().rev().copied().collect();
        assert_eq!(signed_area(&back), -9.0);
    }
}
