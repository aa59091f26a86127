//! Operations over trailing dims: iterates over the elements under each kept index.
//!
//! If the elements under one kept index are adjacent, each index is processed separately. If the elements of
//! neighbouring kept indices are adjacent (channels of an image, normalised at each pixel), a block of neighbours is
//! processed together, so that memory is read in order.

use crate::bind::Binder;
use crate::walk::Dims;
use core::ops::Range;
use sonotrace_format::DIMS;

/// Maximum neighbours in a block.
pub(crate) const BLOCK: usize = 64;
/// Maximum elements in a chunk.
pub(crate) const CHUNK: usize = 64;
/// Partial results that are computed side by side over adjacent elements.
const LANES: usize = 8;

/// Positions of the elements of an operation over trailing dims, for the operands in `N` slots: the output, the input,
/// others.
#[derive(Debug)]
pub(crate) struct Trailing<const N: usize> {
    /// Kept dims except the last.
    outer: Dims<N>,
    starts: [usize; N],
    /// Extent and steps of the last kept dim.
    neighbours: usize,
    neighbour_steps: [usize; N],
    /// Inner dims except the last.
    inner: Dims<N>,
    columns: usize,
    steps: [usize; N],
    /// Whether neighbours are processed together. (At the end of a tile, a block may have a single index; it is
    /// processed in the same way, so that the result does not depend on the tiles.)
    is_blocked: bool,
}

/// Neighbouring kept indices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<const N: usize> {
    /// Number of indices; 1 if neighbours are processed separately.
    pub count: usize,
    /// Offsets of the operands at the first element of the first index.
    pub offsets: [usize; N],
}

/// Adjacent inner indices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<const N: usize> {
    /// Offsets of the operands at the first element.
    pub offsets: [usize; N],
    /// Elements from one to the next, by operand.
    pub steps: [usize; N],
    /// Number of elements.
    pub length: usize,
}

/// Elements that are loaded, computed and written together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk<const N: usize> {
    /// Offsets of the operands at the first element.
    pub offsets: [usize; N],
    /// Elements from one to the next, by operand.
    pub steps: [usize; N],
    /// Number of elements.
    pub length: usize,
    /// Index in the block of the first element, if the elements belong to neighbours.
    index: Option<usize>,
}

impl<const N: usize> Chunk<N> {
    /// Applies `f` to each value and the entry of its index in the block.
    #[inline(always)]
    pub fn apply(&self, values: &mut [f32], of_index: &[f32; BLOCK], f: impl Fn(f32, f32) -> f32) {
        match self.index {
            None => values.iter_mut().for_each(|value| *value = f(*value, of_index[0])),
            Some(index) => {
                values.iter_mut().zip(&of_index[index..]).for_each(|(value, &own)| *value = f(*value, own));
            }
        }
    }

    /// Adds each value to the sum of its index in the block.
    #[inline(always)]
    pub fn add_to(&self, sums: &mut [f64; BLOCK], values: &[f32]) {
        match self.index {
            None => {
                let (chunks, rest) = values.as_chunks::<LANES>();
                let mut lanes = [0.0f32; LANES];
                for chunk in chunks {
                    lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += value);
                }
                sums[0] += f64::from(lanes.iter().chain(rest).sum::<f32>());
            }
            Some(index) => {
                sums[index..].iter_mut().zip(values).for_each(|(sum, &value)| *sum += f64::from(value));
            }
        }
    }
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

    /// Returns the number of elements under each kept index.
    pub fn count(&self) -> u64 {
        self.inner.count() * self.columns as u64
    }

    /// Returns the steps from one kept index of a block to the next.
    pub fn neighbour_steps(&self) -> [usize; N] {
        self.neighbour_steps
    }

    /// Returns the steps from one element of a chunk to the next.
    pub fn chunk_steps(&self) -> [usize; N] {
        if self.is_blocked { self.neighbour_steps } else { self.steps }
    }

    /// Calls `work` with the blocks of a range of kept indices.
    #[inline(always)]
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

    /// Calls `work` with the inner indices under the first index of a block, in order: as long runs, or one by one if
    /// neighbours are processed together.
    #[inline(always)]
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

    /// Calls `work` with the elements under a block in chunks of at most [`CHUNK`]: neighbours if they are processed
    /// together, else adjacent elements.
    #[inline(always)]
    pub fn for_each_chunk(&self, block: Block<N>, mut work: impl FnMut(Chunk<N>)) {
        let is_blocked = self.is_blocked;
        self.for_each_run(block, |run| {
            let (length, steps) =
                if is_blocked { (block.count, self.neighbour_steps) } else { (run.length, run.steps) };
            for from in (0..length).step_by(CHUNK) {
                let offsets = core::array::from_fn(|slot| run.offsets[slot] + from * steps[slot]);
                let index = is_blocked.then_some(from);
                work(Chunk { offsets, steps, length: CHUNK.min(length - from), index });
            }
        });
    }

    /// Folds the elements of `values`, the input, under each index of a block: combines `start` with
    /// `map(element, index in the block)` of each. `start` is neutral to `combine`.
    #[inline(always)]
    pub fn fold(
        &self,
        values: &[f32],
        block: Block<N>,
        start: f64,
        map: impl Fn(f64, usize) -> f64,
        combine: impl Fn(f64, f64) -> f64,
    ) -> [f64; BLOCK] {
        // One result for each index of a block, or the lanes of one index.
        let mut results = [start; BLOCK];
        self.for_each_run(block, |run| {
            let (from, step) = (run.offsets[1], run.steps[1]);
            if self.is_blocked {
                for (at, (result, &value)) in
                    results.iter_mut().zip(&values[from..][..block.count]).enumerate()
                {
                    *result = combine(*result, map(value.into(), at));
                }
            } else if step == 1 {
                let (chunks, rest) = values[from..][..run.length].as_chunks::<LANES>();
                let mut lanes = [start; LANES];
                lanes.copy_from_slice(&results[..LANES]);
                for chunk in chunks {
                    for (lane, &value) in lanes.iter_mut().zip(chunk) {
                        *lane = combine(*lane, map(value.into(), 0));
                    }
                }
                results[..LANES].copy_from_slice(&lanes);
                for (result, &value) in results.iter_mut().zip(rest) {
                    *result = combine(*result, map(value.into(), 0));
                }
            } else {
                for_each(values, from, step, run.length, |value| {
                    results[0] = combine(results[0], map(value.into(), 0));
                });
            }
        });
        if !self.is_blocked {
            results[0] = results[1..LANES].iter().fold(results[0], |result, &lane| combine(result, lane));
        }
        results
    }
}

/// Calls `f` with each of `length` elements `from`, `from + step`, ...
#[inline(always)]
pub(crate) fn for_each(values: &[f32], from: usize, step: usize, length: usize, mut f: impl FnMut(f32)) {
    if step == 1 {
        values[from..][..length].iter().for_each(|&value| f(value));
    } else {
        (0..length).for_each(|at| f(values[from + at * step]));
    }
}
