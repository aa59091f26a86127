//! Walking over some dimensions of an operation.

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
    /// The dimensions in `range`, for the operands in the given slots.
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

    /// Indices.
    pub fn count(&self) -> u64 {
        self.extents.iter().map(|&extent| u64::from(extent)).product()
    }

    /// A walk from the flat index `start` on; offsets count from `base`.
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
    /// Offsets of the operands at the present index.
    pub offsets: [usize; N],
}

impl<const N: usize> Walk<'_, N> {
    /// Moves to the next index; after the last one it is back at the first.
    #[inline]
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
