//! Iterates over some dimensions of an operation.

use crate::bind::Binder;
use core::ops::Range;
use sonotrace_format::DIMS;

/// Some dimensions of an operation with the strides of `N` operands over them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dims<const N: usize> {
    extents: [u32; DIMS],
    strides: [[u32; DIMS]; N],
}

impl<const N: usize> Dims<N> {
    /// Selects the dimensions in `range`, for the operands in the given slots.
    pub fn new(binder: &Binder<'_>, range: Range<usize>, slots: [usize; N]) -> Self {
        let mut dims = Self { extents: [1; DIMS], strides: [[0; DIMS]; N] };
        for dim in range {
            dims.extents[dim] = binder.dims()[dim];
            for (strides, slot) in dims.strides.iter_mut().zip(slots) {
                strides[dim] = binder.strides(slot)[dim];
            }
        }
        dims
    }

    /// Returns the number of indices.
    pub fn count(&self) -> u64 {
        self.extents.iter().map(|&extent| u64::from(extent)).product()
    }

    /// Starts a walk at the flat index `start`; `base` holds the offsets at index 0.
    pub fn walk(&self, start: u64, base: [usize; N]) -> Walk<'_, N> {
        let mut walk = Walk { dims: self, index: [0; DIMS], offsets: base };
        if start == 0 {
            return walk;
        }
        let mut rest = start;
        for dim in (0..DIMS).rev() {
            let extent = u64::from(self.extents[dim]);
            walk.index[dim] = (rest % extent) as u32;
            rest /= extent;
            for (offset, strides) in walk.offsets.iter_mut().zip(&self.strides) {
                *offset += walk.index[dim] as usize * strides[dim] as usize;
            }
        }
        walk
    }
}

/// An odometer that keeps the element offsets of `N` operands up to date.
#[derive(Debug)]
pub(crate) struct Walk<'d, const N: usize> {
    dims: &'d Dims<N>,
    index: [u32; DIMS],
    /// Offsets of the operands at the current index.
    pub offsets: [usize; N],
}

impl<const N: usize> Walk<'_, N> {
    /// Moves on by `count` indices, at most to the end of the last dim before `DIMS - 1`.
    #[inline(always)]
    fn advance(&mut self, count: usize) {
        let dim = DIMS - 2;
        self.index[dim] += count as u32 - 1;
        for (offset, strides) in self.offsets.iter_mut().zip(&self.dims.strides) {
            *offset += (count - 1) * strides[dim] as usize;
        }
        self.next();
    }

    /// Moves to the next index; from the last one, to the first.
    #[inline(always)]
    pub fn next(&mut self) {
        for dim in (0..DIMS).rev() {
            let extent = self.dims.extents[dim];
            if extent == 1 {
                continue;
            }
            self.index[dim] += 1;
            let wraps = self.index[dim] == extent;
            for (offset, strides) in self.offsets.iter_mut().zip(&self.dims.strides) {
                let stride = strides[dim] as usize;
                if wraps {
                    *offset -= stride * (extent as usize - 1);
                } else {
                    *offset += stride;
                }
            }
            if !wraps {
                return;
            }
            self.index[dim] = 0;
        }
    }
}

/// Rows along the last dimension, for the operands in `N` slots.
#[derive(Debug)]
pub(crate) struct Rows<const N: usize> {
    rows: Dims<N>,
    starts: [usize; N],
    columns: usize,
    /// Columns of a unit: rows are split into runs.
    run: usize,
    /// Strides over columns.
    pub steps: [usize; N],
    /// Strides from row to row, inside the last dim of rows.
    pub row_steps: [usize; N],
}

/// Elements that are loaded, computed and written together: of one row, or of several whole rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowChunk<const N: usize> {
    pub row: u64,
    /// The first column.
    pub column: usize,
    /// Offsets of the operands at that column.
    pub offsets: [usize; N],
    /// Number of rows.
    pub rows: usize,
    /// Number of elements of each; at most [`ROW_CHUNK`] in all rows.
    pub length: usize,
}

/// Maximum elements in a chunk.
pub(crate) const ROW_CHUNK: usize = 256;

impl<const N: usize> Rows<N> {
    /// Creates rows in units of `run` columns.
    pub fn new(binder: &Binder<'_>, slots: [usize; N], run: u64) -> Self {
        let last = DIMS - 1;
        Self {
            rows: Dims::new(binder, 0..last, slots),
            starts: slots.map(|slot| binder.start(slot)),
            columns: binder.dims()[last] as usize,
            run: run as usize,
            steps: slots.map(|slot| binder.strides(slot)[last] as usize),
            row_steps: slots.map(|slot| binder.strides(slot)[last - 1] as usize),
        }
    }

    /// Returns the chunks of a range of units, each of one row.
    #[inline(always)]
    pub fn chunks(&self, units: Range<u64>) -> RowChunks<'_, N> {
        self.chunks_of(1, units)
    }

    /// Returns the chunks of a range of units; short rows of the same index in all outer dims are in one chunk.
    #[inline(always)]
    pub fn blocks(&self, units: Range<u64>) -> RowChunks<'_, N> {
        let is_split = self.run < self.columns;
        self.chunks_of(if is_split { 1 } else { (ROW_CHUNK / self.columns).max(1) }, units)
    }

    #[inline(always)]
    fn chunks_of(&self, rows_max: usize, units: Range<u64>) -> RowChunks<'_, N> {
        let runs = self.columns.div_ceil(self.run) as u64;
        let walk = self.rows.walk(units.start / runs, self.starts);
        RowChunks { rows: self, rows_max, runs, walk, units, from: 0 }
    }
}

/// Iterator of [`Rows::chunks`] and [`Rows::blocks`].
///
/// An iterator, not a function that calls a closure: a closure that is not inlined is not compiled for the instruction set.
#[derive(Debug)]
pub(crate) struct RowChunks<'r, const N: usize> {
    rows: &'r Rows<N>,
    /// Maximum rows of a chunk.
    rows_max: usize,
    /// Units of a row.
    runs: u64,
    walk: Walk<'r, N>,
    units: Range<u64>,
    /// The next column, from the unit's first.
    from: usize,
}

impl<const N: usize> Iterator for RowChunks<'_, N> {
    type Item = RowChunk<N>;

    #[inline(always)]
    fn next(&mut self) -> Option<RowChunk<N>> {
        if self.units.is_empty() {
            return None;
        }
        let (rows, unit) = (self.rows, self.units.start);
        if self.rows_max > 1 {
            // Each unit is a row.
            let dim = DIMS - 2;
            let left = (self.walk.dims.extents[dim] - self.walk.index[dim]) as usize;
            let count = left.min(self.rows_max).min((self.units.end - unit) as usize);
            let offsets = self.walk.offsets;
            self.walk.advance(count);
            self.units.start += count as u64;
            return Some(RowChunk { row: unit, column: 0, offsets, rows: count, length: rows.columns });
        }
        let first = (unit % self.runs) as usize * rows.run;
        let end = rows.columns.min(first + rows.run);
        let column = first + self.from;
        let mut offsets = self.walk.offsets;
        for (offset, step) in offsets.iter_mut().zip(rows.steps) {
            *offset += column * step;
        }
        let length = ROW_CHUNK.min(end - column);
        self.from += length;
        if column + length == end {
            self.from = 0;
            self.units.start += 1;
            if end == rows.columns {
                self.walk.next();
            }
        }
        Some(RowChunk { row: unit / self.runs, column, offsets, rows: 1, length })
    }
}
