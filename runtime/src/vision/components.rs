//! The connected parts of a mask.
//!
//! Pixels are joined to their four neighbours, and across a diagonal where the contour joins them too (a saddle whose
//! middle is inside), so that each part has exactly one outer contour. Labelled by union-find in one pass over the
//! pixels (Rosenfeld and Pfaltz 1966), without recursion.

use super::mask::{Field, PixelBox};
use super::{Vertex, VisionError, need};

/// Label of pixels outside the mask. Labels of others: the index of an earlier pixel of the same part, or, for a part's
/// first pixel in reading order, minus the number of its pixels.
const OUTSIDE: i32 = i32::MAX;

/// A labelled mask.
#[derive(Debug)]
pub struct Components<'a> {
    labels: &'a mut [i32],
    columns: usize,
    rows: usize,
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

impl<'a> Components<'a> {
    /// Elements of scratch for a field.
    pub const fn labels_len(columns: usize, rows: usize) -> usize {
        columns * rows
    }

    /// Labels the field's parts. `labels` is scratch of [`Self::labels_len`] elements, overwritten.
    ///
    /// # Errors
    /// [`VisionError::Slice`] if the scratch is too short.
    pub fn label(field: &Field<'_>, labels: &'a mut [i32]) -> Result<Self, VisionError> {
        let (columns, rows) = (field.columns(), field.rows());
        let needed = Self::labels_len(columns, rows);
        need("labels scratch", labels.len(), needed)?;
        let mut parts = Self { labels: &mut labels[..needed], columns, rows };
        for y in 0..rows {
            for x in 0..columns {
                let index = y * columns + x;
                if !field.is_inside(x, y) {
                    parts.labels[index] = OUTSIDE;
                    continue;
                }
                parts.labels[index] = -1;
                let left = x > 0 && field.is_inside(x - 1, y);
                let above = y > 0 && field.is_inside(x, y - 1);
                if left {
                    parts.join(index, index - 1);
                }
                if above {
                    parts.join(index, index - columns);
                }
                if y == 0 || above {
                    continue;
                }
                if x > 0 && !left && field.is_inside(x - 1, y - 1) && field.saddle_is_joined(x - 1, y - 1) {
                    parts.join(index, index - columns - 1);
                }
                let right = x + 1 < columns && !field.is_inside(x + 1, y) && field.is_inside(x + 1, y - 1);
                if right && field.saddle_is_joined(x, y - 1) {
                    parts.join(index, index - columns + 1);
                }
            }
        }
        Ok(parts)
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
        if !(x >= 0.0 && y >= 0.0 && x < self.columns as f32 && y < self.rows as f32) {
            return None;
        }
        let index = y as usize * self.columns + x as usize;
        if self.labels[index] == OUTSIDE {
            return None;
        }
        let root = self.find(index);
        Some(self.describe(root))
    }

    fn describe(&mut self, root: usize) -> Component {
        let first = [root % self.columns, root / self.columns];
        let mut bounds = PixelBox::of(first[0], first[1]);
        let pixels = self.labels[root].unsigned_abs() as usize;
        for index in root..self.labels.len() {
            if self.labels[index] != OUTSIDE && self.find(index) == root {
                bounds = bounds.with(index % self.columns, index / self.columns);
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
