//! Operations over trailing dims: for each kept index, the elements under it.
//!
//! Where the elements under one kept index are adjacent, each index is worked on by itself. Where instead the elements of
//! neighbouring kept indices are adjacent (channels of an image that are normalised at each pixel), a block of neighbours is
//! worked on together, so that memory is read in order.

use crate::bind::Binder;
use crate::walk::Dims;
use core::ops::Range;
use sonotrace_format::DIMS;

/// Most neighbours in a block.
pub(crate) const BLOCK: usize = 64;

/// Where the elements of an operation over trailing dims lie, for the operands in `N` slots: the output, the input, others.
#[derive(Debug)]
pub(crate) struct Trailing<const N: usize> {
    /// Kept dims but the last.
    outer: Dims<N>,
    starts: [usize; N],
    /// Extent and steps of the last kept dim.
    neighbours: usize,
    neighbour_steps: [usize; N],
    /// Inner dims but the last.
    inner: Dims<N>,
    columns: usize,
    steps: [usize; N],
    is_blocked: bool,
}

/// Neighbouring kept indices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<const N: usize> {
    /// How many; 1 where neighbours are worked on one by one.
    pub count: usize,
    /// Offsets of the operands at the first element of the first index.
    pub offsets: [usize; N],
}

/// Adjacent inner indices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<const N: usize> {
    /// Offsets of the operands at the first element.
    pub offsets: [usize; N],
    /// Elements from one to the next.
    pub steps: [usize; N],
    /// How many.
    pub length: usize,
}

impl<const N: usize> Trailing<N> {
    pub fn new(binder: &Binder<'_>, kept_dims: u32, slots: [usize; N]) -> Self {
        let (kept, dims) = (kept_dims as usize, binder.dims());
        let step = |slot: usize, dim: usize| binder.strides(slot)[dim] as usize;
        let (neighbours, neighbour_steps) = match kept.checked_sub(1) {
            Some(last) => (dims[last] as usize, slots.map(|slot| step(slot, last))),
            None => (1, [0; N]),
        };
        let has_inner = kept < DIMS;
        let (columns, steps) = match has_inner {
            true => (dims[DIMS - 1] as usize, slots.map(|slot| step(slot, DIMS - 1))),
            false => (1, [0; N]),
        };
        Self {
            outer: Dims::new(binder, 0..kept.saturating_sub(1), slots),
            starts: slots.map(|slot| binder.start(slot)),
            neighbours,
            neighbour_steps,
            inner: Dims::new(binder, kept..if has_inner { DIMS - 1 } else { kept }, slots),
            columns,
            steps,
            is_blocked: neighbour_steps[1] == 1 && steps[1] != 1 && neighbours > 1,
        }
    }

    /// Whether neighbours are worked on together. (A block may still have one index, at the end of a tile; it is worked on in the
    /// same way, so that the tiles do not show in the result.)
    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Elements under each kept index.
    pub fn count(&self) -> u64 {
        self.inner.count() * self.columns as u64
    }

    /// Steps from one kept index of a block to the next.
    pub fn neighbour_steps(&self) -> [usize; N] {
        self.neighbour_steps
    }

    /// Calls `work` with the blocks of a range of kept indices.
    pub fn for_each_block(&self, units: Range<u64>, mut work: impl FnMut(Block<N>)) {
        let neighbours = self.neighbours as u64;
        let (mut unit, mut walk) = (units.start, self.outer.walk(units.start / neighbours, self.starts));
        while unit < units.end {
            let at = (unit % neighbours) as usize;
            let left = (self.neighbours - at).min((units.end - unit) as usize);
            let count = if self.is_blocked { left.min(BLOCK) } else { 1 };
            let offsets = core::array::from_fn(|slot| walk.offsets[slot] + at * self.neighbour_steps[slot]);
            work(Block { count, offsets });
            unit += count as u64;
            if at + count == self.neighbours {
                walk.next();
            }
        }
    }

    /// Calls `work` with the inner indices under the first index of a block, in order: as long runs, or one by one where
    /// neighbours are worked on together.
    pub fn for_each_run(&self, block: Block<N>, mut work: impl FnMut(Run<N>)) {
        let mut walk = self.inner.walk(0, block.offsets);
        for _ in 0..self.inner.count() {
            if !self.is_blocked {
                work(Run { offsets: walk.offsets, steps: self.steps, length: self.columns });
            } else {
                for column in 0..self.columns {
                    let offsets = core::array::from_fn(|slot| walk.offsets[slot] + column * self.steps[slot]);
                    work(Run { offsets, steps: self.steps, length: 1 });
                }
            }
            walk.next();
        }
    }
}

/// Calls `f` with each of `length` elements `from`, `from + step`, ...
#[inline]
pub(crate) fn for_each(values: &[f32], from: usize, step: usize, length: usize, mut f: impl FnMut(f32)) {
    if step == 1 {
        values[from..][..length].iter().for_each(|&value| f(value));
    } else {
        (0..length).for_each(|at| f(values[from + at * step]));
    }
}
