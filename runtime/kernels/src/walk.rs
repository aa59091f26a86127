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
}

/// Elements of a row that are loaded, computed and written together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowChunk<const N: usize> {
    pub row: u64,
    /// The first column.
    pub column: usize,
    /// Offsets of the operands at that column.
    pub offsets: [usize; N],
    /// Number of elements; at most [`ROW_CHUNK`].
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
        }
    }

    /// Returns the chunks of a range of units.
    #[inline(always)]
    pub fn chunks(&self, units: Range<u64>) -> RowChunks<'_, N> {
        let runs = self.columns.div_ceil(self.run) as u64;
        RowChunks { rows: self, runs, walk: self.rows.walk(units.start / runs, self.starts), units, from: 0 }
    }
}

/// Iterator of [`Rows::chunks`].
///
/// An iterator, not a function that calls a closure: a closure that is not inlined is not compiled for the instruction set.
#[derive(Debug)]
pub(crate) struct RowChunks<'r, const N: usize> {
    rows: &'r Rows<N>,
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
        Some(RowChunk { row: unit / self.runs, column, offsets, length })
    }
}
