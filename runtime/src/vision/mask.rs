//! Fields of mask logits.
//!
//! A pixel is inside the mask where its logit is above 0. NaN counts as outside, like minus infinity.

use super::error::{VisionError, need, within};
use core::ops::Range;
use sonotrace_kernels::arch::Instructions;
use sonotrace_kernels::bits;

/// Largest side of a field.
pub const FIELD_SIDE_MAX: usize = 4096;

/// Limit of a logit's magnitude: it keeps sums and differences of four finite.
const LOGIT_LIMIT: f32 = 1e30;

/// A rectangle of logits, row by row. May be a part of a larger one: the valid area of a letterboxed grid is
/// `Field::new(logits, grid.columns(), grid.rows(), size)`.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    values: &'a [f32],
    columns: usize,
    rows: usize,
    stride: usize,
    instructions: Instructions,
}

/// An upright box of pixels, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PixelBox {
    /// Leftmost column.
    pub x0: usize,
    /// Top row.
    pub y0: usize,
    /// Rightmost column.
    pub x1: usize,
    /// Bottom row.
    pub y1: usize,
}

impl PixelBox {
    /// Returns the box of one pixel.
    pub const fn of(x: usize, y: usize) -> Self {
        Self { x0: x, y0: y, x1: x, y1: y }
    }

    /// Returns the smallest box that also contains a pixel.
    pub fn with(self, x: usize, y: usize) -> Self {
        Self { x0: self.x0.min(x), y0: self.y0.min(y), x1: self.x1.max(x), y1: self.y1.max(y) }
    }

    /// Returns whether one of its pixels is in an outermost row or column.
    pub(super) fn is_edge(self, x: usize, y: usize) -> bool {
        x == self.x0 || x == self.x1 || y == self.y0 || y == self.y1
    }
}

impl<'a> Field<'a> {
    /// Selects the first `columns` of each of the first `rows` rows, which are `stride` elements apart.
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
        Ok(Self { values, columns, rows, stride, instructions: Instructions::best() })
    }

    /// Chooses the instruction set of the kernels, instead of the fastest. The results do not depend on it.
    pub fn with_instructions(self, instructions: Instructions) -> Self {
        Self { instructions, ..self }
    }

    /// Returns the number of columns.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the number of rows.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the box of all its pixels.
    pub(super) const fn bounds(&self) -> PixelBox {
        PixelBox { x0: 0, y0: 0, x1: self.columns - 1, y1: self.rows - 1 }
    }

    /// Returns the logit of a pixel, always finite: infinities are limited, NaN gives the lowest value.
    ///
    /// # Panics
    /// For a pixel outside the field.
    pub fn at(&self, x: usize, y: usize) -> f32 {
        assert!(x < self.columns, "column {x} of a field of {}", self.columns);
        let value = self.values[y * self.stride + x];
        if value.is_nan() { -LOGIT_LIMIT } else { value.clamp(-LOGIT_LIMIT, LOGIT_LIMIT) }
    }

    /// Returns whether a pixel is inside the mask.
    ///
    /// # Panics
    /// For a pixel outside the field.
    pub fn is_inside(&self, x: usize, y: usize) -> bool {
        self.at(x, y) > 0.0
    }

    /// Tells which pixels of a row are inside the mask: bit `x % 64` of word `x / 64`.
    pub(super) fn inside_bits(&self, y: usize, words: &mut [u64]) {
        bits::positive(self.instructions, &self.values[y * self.stride..][..self.columns], words);
    }

    /// Returns whether the inside pixels of a saddle are connected: of the four pixels with top left `(x, y)`, two on
    /// one diagonal are inside and two are not, and the sign of the field at their common corner decides.
    pub(super) fn saddle_is_connected(&self, x: usize, y: usize) -> bool {
        self.at(x, y) + self.at(x + 1, y) + self.at(x, y + 1) + self.at(x + 1, y + 1) > 0.0
    }
}

/// Enlarges `mask_size` by `mask_size` logits to `size` by `size` bilinearly, as PyTorch's
/// `interpolate(mode = "bilinear", align_corners = False)`: pixel edges coincide, and beyond the outermost centres the
/// field is constant.
///
/// # Errors
/// [`VisionError::Range`] for a side that is not within `1..=FIELD_SIDE_MAX`, [`VisionError::Slice`] for short slices.
pub fn upsample(logits: &[f32], mask_size: usize, size: usize, out: &mut [f32]) -> Result<(), VisionError> {
    upsample_rows(logits, mask_size, size, 0..size, out)
}

/// Enlarges as [`upsample`] does, for some `rows` of the enlarged mask (within its side); `out` is the whole enlarged
/// mask. Rows do not depend on each other. The work is `size` pixels per row.
///
/// # Errors
/// As [`upsample`].
pub fn upsample_rows(
    logits: &[f32],
    mask_size: usize,
    size: usize,
    rows: Range<usize>,
    out: &mut [f32],
) -> Result<(), VisionError> {
    within("side of the mask logits", mask_size as f64, 1.0, FIELD_SIDE_MAX as f64)?;
    within("side of the enlarged mask", size as f64, 1.0, FIELD_SIDE_MAX as f64)?;
    need("mask logits", logits.len(), mask_size * mask_size)?;
    need("enlarged mask", out.len(), size * size)?;
    let scale = mask_size as f32 / size as f32;
    let between = |index: usize| Between::new(((index as f32 + 0.5) * scale - 0.5).max(0.0), mask_size);
    for y in rows.start..rows.end.min(size) {
        let down = between(y);
        for (x, value) in out[y * size..][..size].iter_mut().enumerate() {
            *value = bilinear(logits, mask_size, between(x), down);
        }
    }
    Ok(())
}

/// The two samples around a position on an axis, and the weight of the second.
#[derive(Clone, Copy)]
pub(super) struct Between {
    first: usize,
    second: usize,
    weight: f32,
}

impl Between {
    /// Finds the two among `count` samples; the last one is repeated beyond the end.
    pub fn new(at: f32, count: usize) -> Self {
        let first = (at as usize).min(count - 1);
        Self { first, second: (first + 1).min(count - 1), weight: at - first as f32 }
    }
}

/// Returns the bilinearly interpolated value of a square mask.
pub(super) fn bilinear(mask: &[f32], side: usize, across: Between, down: Between) -> f32 {
    let in_row = |row: usize| {
        let row = &mask[row * side..][..side];
        row[across.first] * (1.0 - across.weight) + row[across.second] * across.weight
    };
    in_row(down.first) * (1.0 - down.weight) + in_row(down.second) * down.weight
}
