//! The rings that bound a mask's component, by marching squares with sub-pixel crossings.
//!
//! Lorensen and Cline 1987, in the plane: a ring crosses each edge between an inside and an outside pixel where the
//! field, linear along the edge, is 0. Where two crossings could be joined in two ways (a saddle), the mean of the four
//! pixels decides, as in Nielson and Hamann 1991, so that segments never cross. A ring is followed from edge to edge,
//! and so comes out as one closed loop that touches no edge twice.
//!
//! The field ends at the edges of its outermost pixels (half a pixel beyond their centres): it is constant from the
//! centre to the edge, everything further out is outside, and rings are closed along the edge.
//!
//! **Orientation**: the inside is on the right hand. As seen on the screen (`y` down), outer rings run clockwise and
//! holes anticlockwise: the shoelace sum of `x_i * y_(i+1) - x_(i+1) * y_i` is positive for the one and negative for the
//! other, so that the sums of a component's rings add up to its area.

use super::components::{Component, Hole};
use super::mask::Field;
use super::{Vertex, VisionError, need};

/// Least room for the points of a ring.
pub const RING_ROOM_MIN: usize = 16;

/// Crossings keep this distance from pixel centres, so that no two of them coincide and the loop stays simple.
const CROSSING_MARGIN: f32 = 1.0 / 1024.0;

/// A ring that was followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    /// Points written. The last joins the first.
    pub points: usize,
    /// Each how many-th point of the full ring was kept: 1 unless the caller's slice was too small for all.
    pub every: usize,
}

/// Writes the outer ring of a component into `points`, in pixel indices of the field, clockwise on the screen. A ring
/// with more points than fit is thinned to every second, fourth, ... point.
///
/// # Errors
/// [`VisionError::Slice`] if `points` has fewer than [`RING_ROOM_MIN`].
///
/// # Panics
/// For a component of another field, unless its first pixel is below the border here, too.
pub fn outer_ring(
    field: &Field<'_>,
    component: &Component,
    points: &mut [Vertex],
) -> Result<Ring, VisionError> {
    // The pixel above the first one is outside: between them the ring runs east.
    let [x, y] = component.first;
    follow(field, Cell { x, y }, EAST, points)
}

/// Writes the ring around a hole into `points`, anticlockwise on the screen, else as [`outer_ring`].
///
/// # Errors
/// [`VisionError::Slice`] if `points` has fewer than [`RING_ROOM_MIN`].
///
/// # Panics
/// For a hole of another field, unless its first pixel is below mask here, too.
pub fn hole_ring(field: &Field<'_>, hole: &Hole, points: &mut [Vertex]) -> Result<Ring, VisionError> {
    // The pixel above the first one is inside: between them the ring runs west.
    let [x, y] = hole.first;
    follow(field, Cell { x: x + 1, y }, WEST, points)
}

/// A cell spans four pixel centres and is known by its lower right one; those along the border span pixels that do not
/// exist, which are outside.
#[derive(Clone, Copy, PartialEq)]
struct Cell {
    x: usize,
    y: usize,
}

/// Direction of travel: east, south, west, north. Turning right adds one.
type Heading = usize;

const EAST: Heading = 0;
const WEST: Heading = 2;

impl Cell {
    /// Its corners' pixels, clockwise from the top left, shifted by one so that none is negative.
    fn corner(self, index: usize) -> Cell {
        match index % 4 {
            0 => self,
            1 => Cell { x: self.x + 1, y: self.y },
            2 => Cell { x: self.x + 1, y: self.y + 1 },
            _ => Cell { x: self.x, y: self.y + 1 },
        }
    }

    fn next(self, heading: Heading) -> Cell {
        match heading {
            0 => Cell { x: self.x + 1, y: self.y },
            1 => Cell { x: self.x, y: self.y + 1 },
            2 => Cell { x: self.x - 1, y: self.y },
            _ => Cell { x: self.x, y: self.y - 1 },
        }
    }
}

/// The logit of a shifted pixel; `None` beyond the border.
fn logit(field: &Field<'_>, pixel: Cell) -> Option<f32> {
    let (x, y) = (pixel.x.checked_sub(1)?, pixel.y.checked_sub(1)?);
    (x < field.columns() && y < field.rows()).then(|| field.at(x, y))
}

fn is_inside(field: &Field<'_>, pixel: Cell) -> bool {
    logit(field, pixel).is_some_and(|value| value > 0.0)
}

/// Where a ring leaves a cell with the given heading: between its inside pixel on the right hand and its outside
/// pixel on the left.
fn crossing(field: &Field<'_>, cell: Cell, heading: Heading) -> Vertex {
    let (outside, inside) = (cell.corner(heading + 1), cell.corner(heading + 2));
    let part = match (logit(field, inside), logit(field, outside)) {
        (Some(high), Some(low)) => (high / (high - low)).clamp(CROSSING_MARGIN, 1.0 - CROSSING_MARGIN),
        // The field's edge, half a pixel beyond its outermost centres.
        _ => 0.5,
    };
    let between = |from: usize, to: usize| from as f32 - 1.0 + part * (to as f32 - from as f32);
    [between(inside.x, outside.x), between(inside.y, outside.y)]
}

/// In a cell on the border, the bend of a ring between two crossings, where it meets the field's edge; `None` where
/// it runs straight.
fn bend(field: &Field<'_>, cell: Cell, from: Vertex, to: Vertex) -> Option<Vertex> {
    let edge = |at: usize, count: usize| match at {
        0 => Some(-0.5),
        _ if at == count => Some(count as f32 - 0.5),
        _ => None,
    };
    let (edge_x, edge_y) = (edge(cell.x, field.columns()), edge(cell.y, field.rows()));
    if from[0] == to[0] || from[1] == to[1] {
        return None;
    }
    match (edge_x, edge_y) {
        (Some(x), Some(y)) => Some([x, y]),
        (Some(x), None) => Some([x, if from[0] == x { to[1] } else { from[1] }]),
        (None, Some(y)) => Some([if from[1] == y { to[0] } else { from[0] }, y]),
        (None, None) => None,
    }
}

/// Follows the ring that leaves a cell with the given heading once around.
fn follow(
    field: &Field<'_>,
    mut cell: Cell,
    mut heading: Heading,
    points: &mut [Vertex],
) -> Result<Ring, VisionError> {
    need("contour points", points.len(), RING_ROOM_MIN)?;
    let (outside, inside) = (cell.corner(heading + 1), cell.corner(heading + 2));
    assert!(is_inside(field, inside) && !is_inside(field, outside), "no ring starts here on this field");
    let mut points = Thinning::new(points);
    let mut from = crossing(field, cell, heading);
    cell = cell.next(heading);
    let start = (cell, heading);
    // Each edge of the grid is crossed at most once.
    for _ in 0..2 * (field.columns() + 1) * (field.rows() + 1) {
        points.push(from);
        let far_left = is_inside(field, cell.corner(heading + 1));
        let far_right = is_inside(field, cell.corner(heading + 2));
        let turn_left = match (far_left, far_right) {
            (true, true) => true,
            // A saddle: its pixels all exist, for beyond the border two neighbours would be outside.
            (true, false) => field.saddle_is_joined(cell.x - 1, cell.y - 1),
            (false, _) => false,
        };
        heading = match (turn_left, far_right) {
            (true, _) => heading + 3,
            (false, true) => heading,
            (false, false) => heading + 1,
        } % 4;
        let to = crossing(field, cell, heading);
        if let Some(bend) = bend(field, cell, from, to) {
            points.push(bend);
        }
        from = to;
        cell = cell.next(heading);
        if (cell, heading) == start {
            break;
        }
    }
    Ok(Ring { points: points.len, every: points.every })
}

/// Collects points; when full, drops every second one and from then on takes only every second that comes.
struct Thinning<'a> {
    points: &'a mut [Vertex],
    len: usize,
    every: usize,
    seen: usize,
}

impl<'a> Thinning<'a> {
    fn new(points: &'a mut [Vertex]) -> Self {
        Self { points, len: 0, every: 1, seen: 0 }
    }

    fn push(&mut self, point: Vertex) {
        if self.len == self.points.len() && self.seen.is_multiple_of(self.every) {
            self.every *= 2;
            self.len = self.len.div_ceil(2);
            for index in 1..self.len {
                self.points[index] = self.points[2 * index];
            }
        }
        if self.seen.is_multiple_of(self.every) {
            self.points[self.len] = point;
            self.len += 1;
        }
        self.seen += 1;
    }
}
