//! Measures of a contour, in whatever unit its points are in.
//!
//! Integrals over the area inside a boundary loop are sums over its sides (Green's theorem), in double precision, relative
//! to a corner of the contour. Their sign is that of the loop's orientation, so that the integrals of holes, which run
//! against the outer boundary, are subtracted by adding them.

use super::grid::Vertex;
use core::f64::consts::PI;
use sonotrace_hal::geometry::Rect;
use sonotrace_hal::overlay::Ellipse;

/// Areas below this fraction of the squared perimeter count as zero: such a thin polygon has no meaningful centroid.
const THINNEST: f64 = 1e-9;

/// Squared ratio of the axes below which no ellipse is fitted: the minor axis would be mostly rounding error.
const FLATTEST: f64 = 1e-10;

/// Distances that are compared side by side.
const LANES: usize = 8;

/// Measures of a contour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measures {
    /// Area inside, without holes, unit squared; positive.
    pub area: f32,
    /// Length of the closed outer boundary.
    pub perimeter: f32,
    /// Centroid of the area, without holes.
    pub centroid: Vertex,
    /// The smallest upright rectangle around the outer boundary.
    pub bounds: Rect,
    /// Largest distance between two corners of the outer boundary.
    pub long_axis: f32,
    /// Extent of the outer boundary at right angles to its long axis; among equally long ones, to the first in the order of
    /// the corners.
    pub short_axis: f32,
}

/// Returns the area by the shoelace formula: positive for polygons that run clockwise as seen on the screen (`y` down),
/// as outer boundaries of this library do. Computed in double precision, relative to the first corner. 0 for fewer than
/// three corners.
pub fn signed_area(polygon: &[Vertex]) -> f64 {
    polygon.first().map_or(0.0, |&origin| Moments::of(polygon, origin).area)
}

/// Measures of the area inside the first boundary loop and outside the others, its holes. Loops are closed polygons: the
/// last corner is connected to the first. The outer boundary may run either way round; holes run against it. `None` where
/// the measures are undefined: an outer boundary of fewer than three corners, no area, holes that leave no area or run the
/// same way as the outer boundary, a corner that is not finite, or a measure too large for its type.
///
/// The time for the axes grows with the square of the outer boundary's corners.
pub fn measure<'a>(loops: impl IntoIterator<Item = &'a [Vertex]>) -> Option<Measures> {
    let mut loops = loops.into_iter();
    let outer = loops.next()?;
    let origin = *outer.first()?;
    let bounds = extent(outer)?;
    let whole = Moments::of(outer, origin);
    let mut left = whole;
    for hole in loops {
        extent(hole)?;
        let hole = Moments::of(hole, origin);
        // False for a hole without area.
        let runs_against = hole.area * whole.area < 0.0;
        if !runs_against {
            return None;
        }
        left = left.and(hole);
    }
    let perimeter = perimeter(outer);
    if left.area * whole.area <= 0.0 || is_too_thin(left.area, perimeter) {
        return None;
    }
    let [x, y] = left.centroid();
    let (long_axis, short_axis) = axes(outer);
    let measures = Measures {
        area: left.area.abs() as f32,
        perimeter: perimeter as f32,
        centroid: [(f64::from(origin[0]) + x) as f32, (f64::from(origin[1]) + y) as f32],
        bounds,
        long_axis: long_axis as f32,
        short_axis: short_axis as f32,
    };
    let is_finite = measures.area.is_finite() && measures.perimeter.is_finite();
    (is_finite && measures.centroid.iter().all(|at| at.is_finite())).then_some(measures)
}

/// Returns the ellipse with the same centroid and second central area moments (divided by the area) as a closed
/// polygon, as for a region in Haralick and Shapiro 1992; exact for an ellipse. Its semi-axes are twice the square
/// roots of the eigenvalues of the moment matrix, its circumference is Ramanujan's second formula (1914). All lengths
/// are in the unit of the corners; the angle of a circle is arbitrary.
///
/// `None` for a polygon without area (as in [`measure`]), for one that is flat to within rounding, and for one that
/// crosses itself so that no ellipse has its moments.
pub fn fit_ellipse(polygon: &[Vertex]) -> Option<Ellipse> {
    let origin = *polygon.first()?;
    extent(polygon)?;
    let moments = Moments::of(polygon, origin);
    if is_too_thin(moments.area, perimeter(polygon)) {
        return None;
    }
    let [x, y] = moments.centroid();
    let xx = moments.xx / moments.area - x * x;
    let xy = moments.xy / moments.area - x * y;
    let yy = moments.yy / moments.area - y * y;
    let (mean, half) = ((xx + yy) / 2.0, (xx - yy) / 2.0);
    let spread = libm::sqrt(half * half + xy * xy);
    let (most, least) = (mean + spread, mean - spread);
    // False for NaN.
    let has_extent = least > FLATTEST * most;
    if !has_extent {
        return None;
    }
    let (major, minor) = (2.0 * libm::sqrt(most), 2.0 * libm::sqrt(least));
    let ellipse = Ellipse {
        centre_mm: [(f64::from(origin[0]) + x) as f32, (f64::from(origin[1]) + y) as f32],
        semi_major_mm: major as f32,
        semi_minor_mm: minor as f32,
        angle_rad: (0.5 * libm::atan2(xy, half)) as f32,
        circumference_mm: circumference(major, minor) as f32,
    };
    // The circumference is the largest of its lengths.
    let is_finite = ellipse.circumference_mm.is_finite() && ellipse.centre_mm.iter().all(|at| at.is_finite());
    is_finite.then_some(ellipse)
}

/// Returns the circumference of an ellipse by its semi-axes (Ramanujan 1914, second formula): at most 0.041 % too
/// small, for a flat one.
fn circumference(major: f64, minor: f64) -> f64 {
    let part = (major - minor) / (major + minor);
    let h = part * part;
    PI * (major + minor) * (1.0 + 3.0 * h / (10.0 + libm::sqrt(4.0 - 3.0 * h)))
}

/// Returns whether a polygon has almost no area; also if its perimeter is 0.
fn is_too_thin(area: f64, perimeter: f64) -> bool {
    area.abs() <= THINNEST * perimeter * perimeter
}

/// Returns the upright rectangle around corners; `None` if there are fewer than three or one is not finite.
fn extent(polygon: &[Vertex]) -> Option<Rect> {
    let &[x, y] = polygon.first()?;
    let mut bounds = Rect { x0: x, y0: y, x1: x, y1: y };
    for &[x, y] in polygon {
        if !(x.is_finite() && y.is_finite()) {
            return None;
        }
        bounds.x0 = bounds.x0.min(x);
        bounds.y0 = bounds.y0.min(y);
        bounds.x1 = bounds.x1.max(x);
        bounds.y1 = bounds.y1.max(y);
    }
    (polygon.len() >= 3).then_some(bounds)
}

/// Returns the largest distance between two corners, and the polygon's extent at right angles to it.
fn axes(polygon: &[Vertex]) -> (f64, f64) {
    let square = |a: Vertex, b: Vertex| {
        let [x, y] = from_to(a, b);
        x * x + y * y
    };
    let (mut longest, mut from) = (0.0, 0);
    for (index, &a) in polygon.iter().enumerate() {
        // Maxima side by side, because a single one is a chain of comparisons.
        let mut lanes = [0.0f64; LANES];
        for chunk in polygon[index + 1..].chunks(LANES) {
            for (lane, &b) in lanes.iter_mut().zip(chunk) {
                *lane = lane.max(square(a, b));
            }
        }
        let most = lanes.into_iter().fold(0.0, f64::max);
        if most > longest {
            (longest, from) = (most, index);
        }
    }
    let to = polygon.iter().find(|&&to| square(polygon[from], to) == longest);
    let axis = to.map_or([0.0; 2], |&to| from_to(polygon[from], to));
    let long = libm::sqrt(longest);
    let (mut low, mut high) = (0.0f64, 0.0f64);
    for &corner in polygon {
        let [x, y] = from_to(polygon[0], corner);
        let across = (axis[0] * y - axis[1] * x) / long;
        (low, high) = (low.min(across), high.max(across));
    }
    (long, high - low)
}

fn from_to(a: Vertex, b: Vertex) -> [f64; 2] {
    [f64::from(b[0]) - f64::from(a[0]), f64::from(b[1]) - f64::from(a[1])]
}

/// Returns each side of the polygon.
fn sides(polygon: &[Vertex]) -> impl Iterator<Item = (Vertex, Vertex)> {
    polygon.iter().copied().zip(polygon.iter().copied().cycle().skip(1))
}

fn perimeter(polygon: &[Vertex]) -> f64 {
    sides(polygon)
        .map(|(a, b)| {
            let [dx, dy] = from_to(a, b);
            libm::sqrt(dx * dx + dy * dy)
        })
        .sum()
}

/// Integrals of 1, `x`, `y`, `x * x`, `x * y` and `y * y` over the area inside a polygon, about a point.
#[derive(Clone, Copy, Default)]
struct Moments {
    area: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Moments {
    fn of(polygon: &[Vertex], origin: Vertex) -> Self {
        sides(polygon).fold(Self::default(), |sum, (a, b)| {
            let ([ax, ay], [bx, by]) = (from_to(origin, a), from_to(origin, b));
            // Twice the area of the triangle between the side and the origin.
            let twice = ax * by - bx * ay;
            sum.and(Self {
                area: twice / 2.0,
                x: twice * (ax + bx) / 6.0,
                y: twice * (ay + by) / 6.0,
                xx: twice * (ax * ax + ax * bx + bx * bx) / 12.0,
                xy: twice * (2.0 * ax * ay + ax * by + bx * ay + 2.0 * bx * by) / 24.0,
                yy: twice * (ay * ay + ay * by + by * by) / 12.0,
            })
        })
    }

    fn and(self, other: Self) -> Self {
        Self {
            area: self.area + other.area,
            x: self.x + other.x,
            y: self.y + other.y,
            xx: self.xx + other.xx,
            xy: self.xy + other.xy,
            yy: self.yy + other.yy,
        }
    }

    /// Returns the centroid, relative to the point that the moments are about.
    fn centroid(&self) -> [f64; 2] {
        [self.x / self.area, self.y / self.area]
    }
}
