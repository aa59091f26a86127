//! The boundary loops of a mask's component, by marching squares with sub-pixel crossings.
//!
//! Lorensen and Cline 1987, in the plane: a loop crosses each edge between an inside and an outside pixel where the
//! field, linear along the edge, is 0. Where two pairs of crossings could be connected in two ways (a saddle), the mean
//! of the four pixels decides, as in Nielson and Hamann 1991, so that segments never cross. A loop is followed from edge
//! to edge, so that it is closed and crosses no edge twice.
//!
//! The field ends at the edges of its outermost pixels (half a pixel beyond their centres): it is constant from the
//! centre to the edge, everything further out is outside, and loops are closed along the edge.
//!
//! **Orientation**: the inside is on the right-hand side. As seen on the screen (`y` down), outer boundaries run clockwise
//! and the boundaries of holes anticlockwise: the shoelace sum of `x_i * y_(i+1) - x_(i+1) * y_i` is positive for the
//! first and negative for the others, so that the sums of a component's boundaries add up to its area.
//!
//! **Work**: [`POINT_WORK`] units for each point of a loop, and one for each point that is moved when
//! the loop is thinned.

use super::budget::StepBudget;
use super::error::{VisionError, need};
use super::grid::Vertex;
use super::mask::{Field, PixelBox};

/// Minimum room for the points of a boundary loop.
pub const BOUNDARY_ROOM_MIN: usize = 16;

/// Work for each point of a loop: the visit of a cell.
pub const POINT_WORK: u32 = 4;

/// Crossings keep this distance from pixel centres, so that no two of them coincide and the loop stays simple.
const CROSSING_MARGIN: f32 = 1.0 / 1024.0;

/// A boundary loop that was followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boundary {
    /// Points written. The last is connected to the first.
    pub points: usize,
    /// One of this many points of the full loop was kept: 1 unless the caller's slice was too small for all.
    pub every: usize,
    /// The bounding box of the inside pixels along the loop; of an outer boundary, that of its component.
    pub bounds: PixelBox,
}

/// Follows the boundary of a component or of a hole, point by point. Resumable.
#[derive(Debug, Clone, Copy)]
pub struct BoundaryWalk {
    /// The cell that is entered next, and the heading on the way into it.
    cell: Cell,
    heading: Heading,
    start: (Cell, Heading),
    /// Where the loop enters the cell.
    from: Vertex,
    /// The bend in the cell before, if it is still to be written.
    bend: Option<Vertex>,
    /// Each edge of the grid is crossed at most once: how many are left.
    edges_left: usize,
    bounds: PixelBox,
    thinning: Thinning,
}

impl BoundaryWalk {
    /// Starts at the first pixel, in reading order, of a component or of a hole: an outer boundary if it is inside, the
    /// boundary of a hole if it is outside.
    ///
    /// # Panics
    /// If it is no first pixel: the one above it is on the same side.
    pub fn new(field: &Field<'_>, [x, y]: [usize; 2]) -> Self {
        // Between the first pixel and the one above it, an outer boundary runs east, and that of a hole west.
        let is_outer = field.is_inside(x, y);
        let (cell, heading) = if is_outer { (Cell { x, y }, EAST) } else { (Cell { x: x + 1, y }, WEST) };
        let (outside, inside) = (cell.corner(heading + 1), cell.corner(heading + 2));
        assert!(is_inside(field, inside) && !is_inside(field, outside), "no boundary loop starts here");
        let next = cell.next(heading);
        Self {
            cell: next,
            heading,
            start: (next, heading),
            from: crossing(field, cell, heading),
            bend: None,
            edges_left: 2 * (field.columns() + 1) * (field.rows() + 1),
            bounds: PixelBox::of(inside.x - 1, inside.y - 1),
            thinning: Thinning { len: 0, every: 1, seen: 0, halved: 0 },
        }
    }

    /// Returns the loop, as far as it was followed.
    pub fn boundary(&self) -> Boundary {
        Boundary { points: self.thinning.len, every: self.thinning.every, bounds: self.bounds }
    }

    /// Continues until done (true) or the budget is used up. Writes the loop into `points`, in pixel indices of the
    /// field. A loop with more points than fit is thinned to every second, fourth, ... point.
    ///
    /// # Errors
    /// [`VisionError::Slice`] if `points` has fewer than [`BOUNDARY_ROOM_MIN`].
    pub fn step(
        &mut self,
        field: &Field<'_>,
        points: &mut [Vertex],
        budget: &mut StepBudget,
    ) -> Result<bool, VisionError> {
        need("contour points", points.len(), BOUNDARY_ROOM_MIN)?;
        while !self.is_closed() && !budget.is_used_up() {
            if self.thinning.needs_halving(points) {
                self.thinning.halve(points, budget);
            } else {
                budget.count(POINT_WORK);
                let point = self.next(field);
                self.thinning.push(points, point);
            }
        }
        Ok(self.is_closed())
    }

    fn is_closed(&self) -> bool {
        let is_started = self.thinning.seen > 0;
        let is_back = (self.cell, self.heading) == self.start;
        self.bend.is_none() && is_started && (is_back || self.edges_left == 0)
    }

    /// Returns the next point of the loop: a crossing, or the bend after it.
    fn next(&mut self, field: &Field<'_>) -> Vertex {
        if let Some(bend) = self.bend.take() {
            return bend;
        }
        let (cell, from) = (self.cell, self.from);
        let far_left = is_inside(field, cell.corner(self.heading + 1));
        let far_right = is_inside(field, cell.corner(self.heading + 2));
        let turn_left = match (far_left, far_right) {
            (true, true) => true,
            // A saddle: all its pixels exist, because beyond the border two neighbours would be outside.
            (true, false) => field.saddle_is_connected(cell.x - 1, cell.y - 1),
            (false, _) => false,
        };
        self.heading = match (turn_left, far_right) {
            (true, _) => self.heading + 3,
            (false, true) => self.heading,
            (false, false) => self.heading + 1,
        } % 4;
        let inside = cell.corner(self.heading + 2);
        self.bounds = self.bounds.with(inside.x - 1, inside.y - 1);
        let to = crossing(field, cell, self.heading);
        self.bend = bend(field, cell, from, to);
        self.from = to;
        self.cell = cell.next(self.heading);
        self.edges_left -= 1;
        from
    }
}

/// A cell between four pixel centres, by the indices of the lower right one. Cells along the border have corners beyond
/// the field, which are outside.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    x: usize,
    y: usize,
}

/// Direction of travel: east, south, west, north. Turning right adds one.
type Heading = usize;

const EAST: Heading = 0;
const WEST: Heading = 2;

impl Cell {
    /// Returns the pixels at its corners, clockwise from the top left; indices are shifted by one so that none is
    /// negative.
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

/// Returns the logit of a shifted pixel; `None` beyond the border.
fn logit(field: &Field<'_>, pixel: Cell) -> Option<f32> {
    let (x, y) = (pixel.x.checked_sub(1)?, pixel.y.checked_sub(1)?);
    (x < field.columns() && y < field.rows()).then(|| field.at(x, y))
}

fn is_inside(field: &Field<'_>, pixel: Cell) -> bool {
    logit(field, pixel).is_some_and(|value| value > 0.0)
}

/// Returns the point where a loop leaves a cell with the given heading: between the inside pixel on the right and the
/// outside pixel on the left.
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

/// Returns the corner of a loop between two crossings, where it meets the field's edge in a cell on the border; `None`
/// where it runs straight.
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

/// Collects points. When the slice is full, every second point is dropped, and from then on only every second of the
/// following points is kept.
#[derive(Debug, Clone, Copy)]
struct Thinning {
    len: usize,
    /// A power of two.
    every: usize,
    seen: usize,
    /// Points moved so far in the halving that is in progress; 0 for none.
    halved: usize,
}

impl Thinning {
    /// Returns whether points must be dropped before the next one.
    fn needs_halving(&self, points: &[Vertex]) -> bool {
        self.len == points.len() && self.keeps_next()
    }

    fn keeps_next(&self) -> bool {
        self.seen & (self.every - 1) == 0
    }

    /// Drops every second point; resumable.
    fn halve(&mut self, points: &mut [Vertex], budget: &mut StepBudget) {
        let half = self.len.div_ceil(2);
        while self.halved < half && !budget.is_used_up() {
            points[self.halved] = points[2 * self.halved];
            self.halved += 1;
            budget.count(1);
        }
        if self.halved == half {
            (self.len, self.every, self.halved) = (half, 2 * self.every, 0);
        }
    }

    fn push(&mut self, points: &mut [Vertex], point: Vertex) {
        if self.keeps_next() {
            points[self.len] = point;
            self.len += 1;
        }
        self.seen += 1;
    }
}
