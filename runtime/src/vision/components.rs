//! The connected components of a mask, and their holes.
//!
//! Inside pixels are connected to their four neighbours, and across a diagonal where the contour connects them too (a
//! saddle whose middle is inside), so that each component has exactly one outer boundary. Outside pixels are connected by
//! the complementary rule (across a saddle whose middle is outside), so that each hole has exactly one boundary, too.
//! Runs of pixels are labelled by union-find in one pass over the rows (Rosenfeld and Pfaltz 1966), without recursion.
//!
//! **Work**: one unit for each pixel of a row, for each start of a run and each contact of two runs, and for each link of a
//! union-find path followed. The largest piece is one pixel of a run with at most three paths of at most [`path_links_max`]
//! links. Long paths are rare: each walk shortens its path (path splitting), so that `m` walks over `n` runs follow
//! `O(m log n)` links in total (Tarjan and van Leeuwen 1984).

use super::budget::StepBudget;
use super::error::{VisionError, need, within};
use super::grid::Vertex;
use super::mask::{Field, PixelBox};
use super::rows::{Row, Rows, Scan};
use core::cmp::Reverse;

/// Most points of [`Pick::Containing`].
pub const PICK_POINTS_MAX: usize = 16;

/// Selection of a component.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pick<'a> {
    /// The largest by pixels; the first in reading order among equals.
    Largest,
    /// The largest of those that contain the pixel nearest to any of at most [`PICK_POINTS_MAX`] points (pixel indices
    /// of the field, halves rounded up); the first in reading order among equals.
    Containing(&'a [Vertex]),
}

/// A connected component of a mask, or a hole: a connected component of the outside that one component encloses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Component {
    /// Its first pixel in reading order, `[x, y]`.
    pub first: [usize; 2],
    /// Its area in pixels, without its holes, or without the islands in a hole.
    pub pixels: usize,
}

/// Returns the number of elements of `labels` scratch for a field.
pub const fn labels_len(columns: usize, rows: usize) -> usize {
    columns * rows
}

/// Returns the maximum links of a union-find path. The roots along a path were roots of different components when the
/// path's first run was labelled. Only components that reach the row last labelled can still be joined, and a row has
/// room for one in every two pixels; three more for its ends, and for the outside that reaches the edge.
pub const fn path_links_max(columns: usize) -> usize {
    columns / 2 + 3
}

/// Labels a field's components and finds one of them. Resumable.
#[derive(Debug, Clone, Copy)]
pub struct ComponentSearch {
    /// Indices of the pixels to pick by.
    points: [usize; PICK_POINTS_MAX],
    /// How many of them were not looked at yet.
    points_left: usize,
    is_largest_wanted: bool,
    /// The best component so far: its pixels and its root.
    best: Option<(usize, Reverse<usize>)>,
    scan: Scan,
}

impl ComponentSearch {
    /// Creates a search that has not started.
    ///
    /// # Errors
    /// [`VisionError::Range`] for too many points to pick by.
    pub fn new(field: &Field<'_>, pick: Pick<'_>) -> Result<Self, VisionError> {
        let mut search = Self {
            points: [0; PICK_POINTS_MAX],
            points_left: 0,
            is_largest_wanted: pick == Pick::Largest,
            best: None,
            scan: Scan::new(field.bounds()),
        };
        if let Pick::Containing(points) = pick {
            within("points to pick by", points.len() as f64, 0.0, PICK_POINTS_MAX as f64)?;
            for pixel in points.iter().filter_map(|&at| nearest_pixel(field, at)) {
                search.points[search.points_left] = pixel;
                search.points_left += 1;
            }
        }
        Ok(search)
    }

    /// Continues until done (true) or the budget is used up. `labels` is scratch of [`labels_len`] elements.
    ///
    /// # Errors
    /// [`VisionError::Slice`] if the scratch is too short.
    pub fn step(
        &mut self,
        field: &Field<'_>,
        labels: &mut [i32],
        budget: &mut StepBudget,
    ) -> Result<bool, VisionError> {
        need("labels scratch", labels.len(), labels_len(field.columns(), field.rows()))?;
        let mut labels = Labels { field, labels, budget };
        let mut rows = self.scan.rows(field, true);
        while let Some(x) = self.scan.next(&mut rows, labels.budget) {
            let root = labels.add(&rows, x, self.scan.y);
            // A component has its full size when its last run is connected, so the largest size seen is the largest.
            if self.is_largest_wanted {
                self.best = self.best.max(Some((labels.size(root), Reverse(root))));
            }
        }
        let mut row = Row::EMPTY;
        while self.scan.is_done() && self.points_left > 0 && !labels.budget.is_used_up() {
            self.points_left -= 1;
            let pixel = self.points[self.points_left];
            labels.budget.count(1);
            let [x, y] = [pixel % field.columns(), pixel / field.columns()];
            if field.is_inside(x, y) {
                row.read(field, y);
                let root = labels.find(pixel - x + row.start(x));
                self.best = self.best.max(Some((labels.size(root), Reverse(root))));
            }
        }
        Ok(self.scan.is_done() && self.points_left == 0)
    }

    /// Returns the component that was found, when the search is done; `None` if there is no such component.
    pub fn component(&self, field: &Field<'_>) -> Option<Component> {
        let (pixels, Reverse(root)) = self.best?;
        Some(Component { first: [root % field.columns(), root / field.columns()], pixels })
    }
}

/// Returns the index of the pixel nearest to a point; `None` outside the field and for NaN.
fn nearest_pixel(field: &Field<'_>, at: Vertex) -> Option<usize> {
    let [x, y] = at.map(|at| libm::floorf(at + 0.5));
    let is_on_field = x >= 0.0 && y >= 0.0 && x < field.columns() as f32 && y < field.rows() as f32;
    is_on_field.then(|| y as usize * field.columns() + x as usize)
}

/// Finds the holes of a component: the components of the outside that do not reach the field's border and that are
/// directly enclosed by this component. Resumable.
#[derive(Debug, Clone, Copy)]
pub struct HoleSearch {
    /// The component's first pixel, and its bounding box: what reaches the edge of the box is no hole.
    first: [usize; 2],
    bounds: PixelBox,
    pixels_min: usize,
    is_labelled: bool,
    scan: Scan,
    /// A pixel of the outside that reaches the edge of the box; its root, when all is labelled.
    open: Option<usize>,
    count: usize,
}

impl HoleSearch {
    /// Creates a search for a component with the bounding box `bounds`; it ignores holes of fewer than `pixels_min`
    /// pixels.
    pub fn new(component: &Component, bounds: PixelBox, pixels_min: usize) -> Self {
        let (first, scan) = (component.first, Scan::new(bounds));
        Self { first, bounds, pixels_min, is_labelled: false, scan, open: None, count: 0 }
    }

    /// Continues until done (true) or the budget is used up. Writes the largest holes, as many as `holes` has room for,
    /// by size and then in reading order. `labels` are those of the [`ComponentSearch`]; they are overwritten.
    ///
    /// # Errors
    /// [`VisionError::Slice`] if `labels` is too short.
    pub fn step(
        &mut self,
        field: &Field<'_>,
        labels: &mut [i32],
        holes: &mut [Component],
        budget: &mut StepBudget,
    ) -> Result<bool, VisionError> {
        need("labels scratch", labels.len(), labels_len(field.columns(), field.rows()))?;
        let mut labels = Labels { field, labels, budget };
        let mut rows = self.scan.rows(field, false);
        if !self.is_labelled {
            while let Some(x) = self.scan.next(&mut rows, labels.budget) {
                let y = self.scan.y;
                let root = labels.add(&rows, x, y);
                if self.bounds.is_edge(x, y) || self.bounds.is_edge(rows.own().end(x) - 1, y) {
                    self.open = Some(self.open.map_or(root, |open| labels.join(open, root)));
                }
            }
            if !self.scan.is_done() {
                return Ok(false);
            }
            (self.is_labelled, self.scan) = (true, Scan::new(self.bounds));
            self.open = self.open.map(|open| labels.find(open));
            rows = self.scan.rows(field, false);
        }
        let own = self.first[1] * field.columns() + self.first[0];
        let (mut above, mut above_y) = (Row::EMPTY, None);
        while let Some(x) = self.scan.next(&mut rows, labels.budget) {
            let y = self.scan.y;
            let index = y * field.columns() + x;
            if rows.own().start(x) != x || labels.labels[index] >= 0 || self.open == Some(index) {
                continue;
            }
            // The root of a hole. The pixel above is in the component around it; an island would have the hole above.
            let pixels = labels.size(index);
            if pixels < self.pixels_min {
                continue;
            }
            if above_y != Some(y - 1) {
                above.read(field, y - 1);
                above_y = Some(y - 1);
            }
            if labels.find((y - 1) * field.columns() + above.start(x)) != own {
                continue;
            }
            let place = holes[..self.count].partition_point(|kept| kept.pixels >= pixels);
            if place < holes.len() {
                self.count = (self.count + 1).min(holes.len());
                holes[place..self.count].rotate_right(1);
                holes[place] = Component { first: [x, y], pixels };
            }
        }
        Ok(self.scan.is_done())
    }

    /// Returns the number of holes written so far.
    pub const fn count(&self) -> usize {
        self.count
    }
}

/// Union-find over runs. Each is labelled at its first pixel: with the index of the first pixel of an earlier run of the same
/// component, or, if it is the component's first in reading order (its root), with minus the number of the component's pixels.
struct Labels<'a> {
    field: &'a Field<'a>,
    labels: &'a mut [i32],
    budget: &'a mut StepBudget,
}

impl Labels<'_> {
    /// Returns the pixels of a root's component.
    fn size(&self, root: usize) -> usize {
        self.labels[root].unsigned_abs() as usize
    }

    /// Labels the run of a pixel in row `y` if it starts there, and connects it to the runs of the row above that it begins to touch
    /// there. Returns its root.
    fn add(&mut self, rows: &Rows<'_>, x: usize, y: usize) -> usize {
        let (field, own) = (self.field, rows.own());
        let index = y * field.columns() + own.start(x);
        let is_start = own.start(x) == x;
        if is_start {
            self.labels[index] = -((own.end(x) - x) as i32);
        }
        let mut root = self.find(index);
        let above = |x: usize| (y - 1) * field.columns() + rows.above().start(x);
        if rows.above().has(x) {
            return self.join(root, above(x));
        }
        // The middle of a saddle belongs to one side, whose pixels it connects.
        let is_connected = |x: usize| field.saddle_is_connected(x, y - 1) == rows.inside;
        if is_start && x > 0 && rows.above().has(x - 1) && is_connected(x - 1) {
            root = self.join(root, above(x - 1));
        }
        if !own.has(x + 1) && rows.above().has(x + 1) && is_connected(x) {
            root = self.join(root, above(x + 1));
        }
        root
    }

    /// Returns the root of a run. Path splitting: each run on the path is linked to the one after the next.
    fn find(&mut self, mut index: usize) -> usize {
        while self.labels[index] >= 0 {
            self.budget.count(1);
            let parent = self.labels[index] as usize;
            if self.labels[parent] >= 0 {
                self.labels[index] = self.labels[parent];
            }
            index = parent;
        }
        index
    }

    /// Joins the components of two runs; returns their root.
    fn join(&mut self, a: usize, b: usize) -> usize {
        let (a, b) = (self.find(a), self.find(b));
        if a == b {
            return a;
        }
        // The earlier run remains the root, so that the root starts with the first pixel in reading order.
        let (first, second) = (a.min(b), a.max(b));
        self.labels[first] += self.labels[second];
        self.labels[second] = first as i32;
        first
    }
}
