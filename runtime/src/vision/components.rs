//! The connected parts of a mask, and the holes in them.
//!
//! Inside pixels are joined to their four neighbours, and across a diagonal where the contour joins them too (a saddle
//! whose middle is inside), so that each part has exactly one outer ring. Outside pixels are joined by the complement of
//! that rule (across a saddle whose middle is outside), so that each hole has exactly one ring, too. Labelled by
//! union-find in one pass over the pixels (Rosenfeld and Pfaltz 1966), without recursion.

use super::contour::Pick;
use super::mask::{Field, PixelBox};
use super::{Vertex, VisionError, need};

/// Label of pixels that were not labelled. Labels of others: the index of an earlier pixel of the same part, or, for a
/// part's first pixel in reading order, minus the number of its pixels.
const NONE: i32 = i32::MAX;

/// A labelled mask.
#[derive(Debug)]
pub struct Components<'a> {
    field: Field<'a>,
    labels: &'a mut [i32],
}

/// A connected part of a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// Its first pixel in reading order, `[x, y]`.
    pub first: [usize; 2],
    /// Its area in pixels, holes not counted.
    pub pixels: usize,
    /// The smallest box that holds it.
    pub bounds: PixelBox,
}

/// A connected part of what is outside the mask, enclosed by one component of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hole {
    /// Its first pixel in reading order, `[x, y]`.
    pub first: [usize; 2],
    /// Its area in pixels, other components in it not counted.
    pub pixels: usize,
}

impl<'a> Components<'a> {
    /// Elements of scratch for a field.
    pub const fn labels_len(columns: usize, rows: usize) -> usize {
        columns * rows
    }

    /// Labels the field's parts. `labels` is scratch of [`Self::labels_len`] elements, overwritten.
    ///
    /// # Errors
    /// [`VisionError::Slice`] if the scratch is too short.
    pub fn label(field: &Field<'a>, labels: &'a mut [i32]) -> Result<Self, VisionError> {
        let (columns, rows) = (field.columns(), field.rows());
        let needed = Self::labels_len(columns, rows);
        need("labels scratch", labels.len(), needed)?;
        let mut parts = Self { field: *field, labels: &mut labels[..needed] };
        parts.labels.fill(NONE);
        parts.label_side(PixelBox { x0: 0, y0: 0, x1: columns - 1, y1: rows - 1 }, true);
        Ok(parts)
    }

    /// Labels the parts that the inside, or the outside, has within a window.
    fn label_side(&mut self, window: PixelBox, inside: bool) {
        let field = self.field;
        let is_of_side = |x: usize, y: usize| field.is_inside(x, y) == inside;
        for (x, y) in window.pixels() {
            if !is_of_side(x, y) {
                continue;
            }
            let index = self.index(x, y);
            self.labels[index] = -1;
            let left = x > window.x0 && is_of_side(x - 1, y);
            let above = y > window.y0 && is_of_side(x, y - 1);
            if left {
                self.join(index, index - 1);
            }
            if above {
                self.join(index, index - field.columns());
            }
            if y == window.y0 || above {
                continue;
            }
            // The middle of a saddle belongs to one side, whose pixels it joins.
            let is_joined = |x: usize, y: usize| field.saddle_is_joined(x, y) == inside;
            if x > window.x0 && !left && is_of_side(x - 1, y - 1) && is_joined(x - 1, y - 1) {
                self.join(index, index - field.columns() - 1);
            }
            let right = x < window.x1 && !is_of_side(x + 1, y) && is_of_side(x + 1, y - 1);
            if right && is_joined(x, y - 1) {
                self.join(index, index - field.columns() + 1);
            }
        }
    }

    /// The wanted part.
    pub fn pick(&mut self, pick: Pick<'_>) -> Option<Component> {
        match pick {
            Pick::Largest => self.largest(),
            Pick::Containing(points) => {
                // `max_by_key` keeps the last of equals, and the first in reading order is wanted.
                let parts = points.iter().filter_map(|&at| self.containing(at));
                parts.max_by_key(|part| (part.pixels, core::cmp::Reverse([part.first[1], part.first[0]])))
            }
        }
    }

    /// Finds the holes of a component: the parts of the outside that do not reach the field's border, and that nothing
    /// but this component lies around. Writes the largest of those that have at least `pixels_min` pixels, as many as
    /// there is room for, by size and then in reading order; returns how many. What lies in a hole is another component.
    ///
    /// Takes the labels, for it writes those of the outside among them.
    pub fn holes(mut self, component: &Component, pixels_min: usize, holes: &mut [Hole]) -> usize {
        // Holes lie within the component's box, and what reaches the edge of the box is none.
        let window = component.bounds;
        self.label_side(window, false);
        let mut open = None;
        for (x, y) in window.pixels() {
            if window.is_edge(x, y) && !self.field.is_inside(x, y) {
                let index = self.index(x, y);
                self.join(index, *open.get_or_insert(index));
            }
        }
        let open = open.map(|index| self.find(index));
        let own = self.index(component.first[0], component.first[1]);
        let mut count = 0;
        for (x, y) in window.pixels() {
            let index = self.index(x, y);
            let pixels = self.labels[index].min(0).unsigned_abs() as usize;
            let is_first = pixels > 0 && !self.field.is_inside(x, y);
            // Above a hole's first pixel is what lies around the hole: an island in it would have hole above, too.
            if !is_first
                || Some(index) == open
                || pixels < pixels_min
                || self.find(index - self.field.columns()) != own
            {
                continue;
            }
            let place = holes[..count].partition_point(|kept| kept.pixels >= pixels);
            if place < holes.len() {
                count = (count + 1).min(holes.len());
                holes[place..count].rotate_right(1);
                holes[place] = Hole { first: [x, y], pixels };
            }
        }
        count
    }

    fn index(&self, x: usize, y: usize) -> usize {
        y * self.field.columns() + x
    }

    /// The largest part by pixels, the first in reading order among equals; `None` for an empty mask.
    pub fn largest(&mut self) -> Option<Component> {
        // `min_by_key` keeps the first of equals.
        let (root, size) = self.labels.iter().enumerate().min_by_key(|&(_, &label)| label.min(0))?;
        if *size < 0 { Some(self.describe(root)) } else { None }
    }

    /// The part that holds the pixel nearest to a point (pixel indices, halves rounded down the picture); `None` if
    /// that pixel is outside the mask or the field.
    pub fn containing(&mut self, at: Vertex) -> Option<Component> {
        let (x, y) = (libm::floorf(at[0] + 0.5), libm::floorf(at[1] + 0.5));
        // Written so that NaN fails.
        if !(x >= 0.0 && y >= 0.0 && x < self.field.columns() as f32 && y < self.field.rows() as f32) {
            return None;
        }
        let index = self.index(x as usize, y as usize);
        if self.labels[index] == NONE {
            return None;
        }
        let root = self.find(index);
        Some(self.describe(root))
    }

    fn describe(&mut self, root: usize) -> Component {
        let columns = self.field.columns();
        let first = [root % columns, root / columns];
        let mut bounds = PixelBox::of(first[0], first[1]);
        let pixels = self.labels[root].unsigned_abs() as usize;
        for index in root..self.labels.len() {
            if self.labels[index] != NONE && self.find(index) == root {
                bounds = bounds.with(index % columns, index / columns);
            }
        }
        Component { first, pixels, bounds }
    }

    /// The first pixel of a pixel's part; halves the path on the way.
    fn find(&mut self, mut index: usize) -> usize {
        while self.labels[index] >= 0 {
            let parent = self.labels[index] as usize;
            if self.labels[parent] >= 0 {
                self.labels[index] = self.labels[parent];
            }
            index = parent;
        }
        index
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        if a == b {
            return;
        }
        // The earlier pixel stays first, so that a part is known by its first pixel in reading order.
        let (first, second) = (a.min(b), a.max(b));
        self.labels[first] += self.labels[second];
        self.labels[second] = first as i32;
    }
}
