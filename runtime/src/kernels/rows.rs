//! Walking over the outer dimensions of an operation.

use crate::model::format::{DIMS, OpRecord};

/// An odometer over some of an operation's dimensions that keeps the element offsets of `N` operands up to date.
#[derive(Debug)]
pub(super) struct Walk<const N: usize> {
    dims: [u32; DIMS],
    strides: [[usize; DIMS]; N],
    index: [u32; DIMS],
    /// Offsets of the operands at the present index.
    pub offsets: [usize; N],
}

impl<const N: usize> Walk<N> {
    /// A walk over `dims[range]`, starting at the flat index `start`, for the operands in the given slots; offsets
    /// count from `base`.
    pub fn new(
        op: &OpRecord,
        range: core::ops::Range<usize>,
        slots: [usize; N],
        base: [usize; N],
        start: u64,
    ) -> Self {
        let mut walk = Self { dims: [1; DIMS], strides: [[0; DIMS]; N], index: [0; DIMS], offsets: base };
        let mut rest = start;
        for dim in range.rev() {
            let extent = op.dims[dim];
            walk.dims[dim] = extent;
            walk.index[dim] = (rest % u64::from(extent)) as u32;
            rest /= u64::from(extent);
            for (operand, &slot) in slots.iter().enumerate() {
                let stride = op.operands[slot].strides[dim] as usize;
                walk.strides[operand][dim] = stride;
                walk.offsets[operand] += walk.index[dim] as usize * stride;
            }
        }
        walk
    }

    /// Moves to the next index; after the last one it is back at the first.
    #[inline]
    pub fn next(&mut self) {
        for dim in (0..DIMS).rev() {
            if self.dims[dim] == 1 {
                continue;
            }
            self.index[dim] += 1;
            let wraps = self.index[dim] == self.dims[dim];
            for (offset, strides) in self.offsets.iter_mut().zip(&self.strides) {
                if wraps {
                    *offset -= strides[dim] * (self.dims[dim] as usize - 1);
                } else {
                    *offset += strides[dim];
                }
            }
            if !wraps {
                return;
            }
            self.index[dim] = 0;
        }
    }
}

/// Offset of an operand at index zero.
pub(super) fn base(op: &OpRecord, slot: usize) -> usize {
    op.operands[slot].offset as usize
}

/// Stride of an operand over a dimension.
pub(super) fn stride(op: &OpRecord, slot: usize, dim: usize) -> usize {
    op.operands[slot].strides[dim] as usize
}
