//! Iterates over some dimensions of an operation.

use crate::bind::Binder;
use crate::grid::UnitGrid;
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
        Self::of(binder, |dim| range.contains(&dim), slots)
    }

    fn of(binder: &Binder<'_>, has: impl Fn(usize) -> bool, slots: [usize; N]) -> Self {
        let mut dims = Self { extents: [1; DIMS], strides: [[0; DIMS]; N] };
        for dim in (0..DIMS).filter(|&dim| has(dim) && binder.dims()[dim] > 1) {
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
            // A division is slow.
            if extent == 1 {
                continue;
            }
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
    /// Moves on by `count` indices, at most to the end of dim `DIMS - 2`.
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
        // The number is constant, so that the compiler unrolls the loop.
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

/// Rows along one dimension, for the operands in `N` slots.
#[derive(Debug)]
pub(crate) struct Rows<const N: usize> {
    rows: Dims<N>,
    starts: [usize; N],
    columns: usize,
    /// Columns of a unit: rows are split into runs.
    run: usize,
    /// Strides over columns.
    pub steps: [usize; N],
}

/// Elements that are loaded, computed and written together: of one row, or of several whole rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowChunk<const N: usize> {
    /// Offsets of the operands at the first element.
    pub offsets: [usize; N],
    /// Number of rows.
    pub rows: usize,
    /// Number of elements of each; at most [`ROW_CHUNK`] in all rows.
    pub length: usize,
}

/// Maximum elements in a chunk.
pub(crate) const ROW_CHUNK: usize = 256;

impl<const N: usize> Rows<N> {
    /// Creates rows along the last dimension, in units of `run` columns.
    pub fn new(binder: &Binder<'_>, slots: [usize; N], run: u64) -> Self {
        Self { run: run as usize, ..Self::along(binder, DIMS - 1, slots) }
    }

    /// Creates rows along a dimension, each of them a unit.
    pub fn along(binder: &Binder<'_>, dim: usize, slots: [usize; N]) -> Self {
        let columns = binder.dims()[dim] as usize;
        Self {
            rows: Dims::of(binder, |other| other != dim, slots),
            starts: slots.map(|slot| binder.start(slot)),
            columns,
            run: columns,
            steps: slots.map(|slot| binder.strides(slot)[dim] as usize),
        }
    }

    /// Gives the operand at `place` among the slots a stride between rows.
    pub fn set_stride(&mut self, place: usize, dim: usize, stride: u32) {
        self.rows.strides[place][dim] = stride;
    }

    /// Returns a grid of the rows, with `work` elementary operations for each element.
    pub fn grid(&self, binder: &Binder<'_>, work: u64) -> UnitGrid {
        UnitGrid::new(self.rows.count(), self.columns as u64 * work, binder.tile_work())
    }

    /// Returns the strides from row to row, inside dim `DIMS - 2`.
    pub fn row_steps(&self) -> [usize; N] {
        self.rows.strides.map(|strides| strides[DIMS - 2] as usize)
    }

    /// Returns the chunks of a range of units, each of one row.
    #[inline(always)]
    pub fn chunks(&self, units: Range<u64>) -> RowChunks<'_, N> {
        self.chunks_of(1, units)
    }

    /// Returns the chunks of a range of units; short rows that differ in dim `DIMS - 2` only are in one chunk.
    #[inline(always)]
    pub fn blocks(&self, units: Range<u64>) -> RowChunks<'_, N> {
        let is_split = self.run < self.columns;
        self.chunks_of(if is_split { 1 } else { (ROW_CHUNK / self.columns).max(1) }, units)
    }

    #[inline(always)]
    fn chunks_of(&self, rows_max: usize, units: Range<u64>) -> RowChunks<'_, N> {
        let runs = self.columns.div_ceil(self.run) as u64;
        let walk = self.rows.walk(units.start / runs, self.starts);
        let column = (units.start % runs) as usize * self.run;
        let units = units.end - units.start;
        RowChunks { rows: self, rows_max, walk, units, column, end: self.end(column) }
    }

    /// Returns the end of a unit from its first column.
    #[inline(always)]
    fn end(&self, column: usize) -> usize {
        self.columns.min(column + self.run)
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
    walk: Walk<'r, N>,
    /// Units that are left.
    units: u64,
    /// The next column.
    column: usize,
    /// End of the unit's columns.
    end: usize,
}

impl<const N: usize> Iterator for RowChunks<'_, N> {
    type Item = RowChunk<N>;

    #[inline(always)]
    fn next(&mut self) -> Option<RowChunk<N>> {
        if self.units == 0 {
            return None;
        }
        let rows = self.rows;
        if self.rows_max > 1 {
            // Each unit is a row.
            let left = self.walk.dims.extents[DIMS - 2] - self.walk.index[DIMS - 2];
            let count = (left as usize).min(self.rows_max).min(self.units as usize);
            let offsets = self.walk.offsets;
            self.walk.advance(count);
            self.units -= count as u64;
            return Some(RowChunk { offsets, rows: count, length: rows.columns });
        }
        let mut offsets = self.walk.offsets;
        for (offset, step) in offsets.iter_mut().zip(rows.steps) {
            *offset += self.column * step;
        }
        let length = ROW_CHUNK.min(self.end - self.column);
        self.column += length;
        if self.column == self.end {
            self.units -= 1;
            if self.end == rows.columns {
                self.column = 0;
                self.walk.next();
            }
            self.end = rows.end(self.column);
        }
        Some(RowChunk { offsets, rows: 1, length })
    }
}
