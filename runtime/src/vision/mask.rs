//! Fields of mask logits.
//!
//! A pixel is inside the mask where its logit is above 0. Not-a-number counts as outside, like minus infinity.

use super::{VisionError, need, within};

/// Largest side of a field.
pub const FIELD_SIDE_MAX: usize = 4096;

/// Beyond this, logits are all the same: it keeps sums and differences of four finite.
const LOGIT_LIMIT: f32 = 1e30;

/// A rectangle of logits, row by row. May be a part of a larger one: the valid area of a letterboxed grid is
/// `Field::new(logits, grid.columns(), grid.rows(), size)`.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    values: &'a [f32],
    columns: usize,
    rows: usize,
    stride: usize,
}

/// An upright box of pixels, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelBox {
    /// Left-most column.
    pub x0: usize,
    /// Top row.
    pub y0: usize,
    /// Right-most column.
    pub x1: usize,
    /// Bottom row.
    pub y1: usize,
}

impl PixelBox {
    /// The box of one pixel.
    pub const fn of(x: usize, y: usize) -> Self {
        Self { x0: x, y0: y, x1: x, y1: y }
    }

    /// The smallest box that also holds a pixel.
    pub fn with(self, x: usize, y: usize) -> Self {
        Self { x0: self.x0.min(x), y0: self.y0.min(y), x1: self.x1.max(x), y1: self.y1.max(y) }
    }

    /// Its pixels, `(x, y)`, in reading order.
    pub(super) fn pixels(self) -> impl Iterator<Item = (usize, usize)> {
        (self.y0..=self.y1).flat_map(move |y| (self.x0..=self.x1).map(move |x| (x, y)))
    }

    /// Whether one of its pixels is in an outermost row or column.
    pub(super) fn is_edge(self, x: usize, y: usize) -> bool {
        x == self.x0 || x == self.x1 || y == self.y0 || y == self.y1
    }
}

impl<'a> Field<'a> {
    /// The first `columns` of each of the first `rows` rows, which lie `stride` elements apart.
    ///
    /// # Errors
    /// [`VisionError::Range`] for a side that is not within `1..=FIELD_SIDE_MAX` or a stride below `columns`,
    /// [`VisionError::Slice`] if `values` is too short.
    pub fn new(values: &'a [f32], columns: usize, rows: usize, stride: usize) -> Result<Self, VisionError> {
        let most = FIELD_SIDE_MAX as f64;
        within("columns of the field", columns as f64, 1.0, most)?;
        within("rows of the field", rows as f64, 1.0, most)?;
        within("row stride of the field", stride as f64, columns as f64, most)?;
        need("mask logits", values.len(), (rows - 1) * stride + columns)?;
        Ok(Self { values, columns, rows, stride })
    }

    /// Columns.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// Rows.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// The logit of a pixel, always finite: infinities are limited, not-a-number reads as the lowest.
    ///
    /// # Panics
    /// For a pixel that is not on the field.
    pub fn at(&self, x: usize, y: usize) -> f32 {
        assert!(x < self.columns, "column {x} of a field of {}", self.columns);
        let value = self.values[y * self.stride + x];
        if value.is_nan() { -LOGIT_LIMIT } else { value.clamp(-LOGIT_LIMIT, LOGIT_LIMIT) }
    }

    /// Whether a pixel is inside the mask.
    ///
    /// # Panics
    /// For a pixel that is not on the field.
    pub fn is_inside(&self, x: usize, y: usize) -> bool {
        self.at(x, y) > 0.0
    }

    /// Whether the inside pixels of a saddle are joined: of the four pixels with top left `(x, y)`, two on one diagonal
    /// are inside and two are not, and the field's value amid them decides.
    pub(super) fn saddle_is_joined(&self, x: usize, y: usize) -> bool {
        self.at(x, y) + self.at(x + 1, y) + self.at(x, y + 1) + self.at(x + 1, y + 1) > 0.0
    }

    /// Inside pixels.
    pub fn count_inside(&self) -> usize {
        self.inside_pixels().count()
    }

    /// The smallest box that holds all inside pixels; `None` for an empty mask.
    pub fn bounding_box(&self) -> Option<PixelBox> {
        self.inside_pixels().fold(None, |seen: Option<PixelBox>, (x, y)| {
            Some(seen.map_or(PixelBox::of(x, y), |seen| seen.with(x, y)))
        })
    }

    /// Writes 1 for inside and 0 for outside pixels, row by row without gaps.
    ///
    /// # Errors
    /// [`VisionError::Slice`] if `out` has fewer than `columns * rows` elements.
    pub fn threshold(&self, out: &mut [u8]) -> Result<(), VisionError> {
        need("binary mask", out.len(), self.columns * self.rows)?;
        for (y, row) in out.chunks_exact_mut(self.columns).take(self.rows).enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                *value = u8::from(self.is_inside(x, y));
            }
        }
        Ok(())
    }

    fn inside_pixels(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.rows)
            .flat_map(move |y| (0..self.columns).map(move |x| (x, y)))
            .filter(move |&(x, y)| self.is_inside(x, y))
    }
}

/// Bilinear enlargement of `mask_size` by `mask_size` logits to `size` by `size`, as PyTorch's `interpolate(mode =
/// "bilinear", align_corners = False)`: pixel edges coincide, and beyond the outermost centres the field is constant.
///
/// # Errors
/// [`VisionError::Range`] for a side that is not within `1..=FIELD_SIDE_MAX`, [`VisionError::Slice`] for short slices.
pub fn upsample(logits: &[f32], mask_size: usize, size: usize, out: &mut [f32]) -> Result<(), VisionError> {
    within("side of the mask logits", mask_size as f64, 1.0, FIELD_SIDE_MAX as f64)?;
    within("side of the enlarged mask", size as f64, 1.0, FIELD_SIDE_MAX as f64)?;
    need("mask logits", logits.len(), mask_size * mask_size)?;
    need("enlarged mask", out.len(), size * size)?;
    let scale = mask_size as f32 / size as f32;
    let place = |index: usize| {
        let at = ((index as f32 + 0.5) * scale - 0.5).max(0.0);
        let low = (at as usize).min(mask_size - 1);
        (low, (low + 1).min(mask_size - 1), at - low as f32)
    };
    for (y, row) in out[..size * size].chunks_exact_mut(size).enumerate() {
        let (above, below, down) = place(y);
        let above = &logits[above * mask_size..][..mask_size];
        let below = &logits[below * mask_size..][..mask_size];
        for (x, value) in row.iter_mut().enumerate() {
            let (left, right, across) = place(x);
            let upper = above[left] * (1.0 - across) + above[right] * across;
            let lower = below[left] * (1.0 - across) + below[right] * across;
            *value = upper * (1.0 - down) + lower * down;
        }
    }
    Ok(())
}
