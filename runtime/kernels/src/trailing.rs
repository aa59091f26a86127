//! Operations over trailing dims: iterates over the elements under each kept index.
//!
//! A block of neighbouring kept indices is processed together. If the elements under one index are adjacent, the block is read index
//! by index. If the elements of neighbouring indices are adjacent (channels of an image, normalised at each pixel), it is read element
//! by element of all indices, so that memory is read in order.

use crate::bind::Binder;
use crate::walk::{Dims, Walk};
use core::ops::Range;
use sonotrace_format::DIMS;

/// Maximum neighbours in a block.
pub(crate) const BLOCK: usize = 64;
/// Elements of a block that is read index by index, so that they stay in the first cache between two passes.
const BLOCK_ELEMENTS: u64 = 2048;
/// Maximum elements in a chunk.
pub(crate) const CHUNK: usize = 256;
/// Partial results that are computed side by side over adjacent elements.
const LANES: usize = 16;

/// Combines lanes in pairs, which a processor computes at the same time.
#[inline(always)]
fn combined_lanes<T: Copy, const COUNT: usize>(mut lanes: [T; COUNT], combine: impl Fn(T, T) -> T) -> T {
    let mut half = COUNT / 2;
    while half > 0 {
        for at in 0..half {
            lanes[at] = combine(lanes[at], lanes[at + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Combines `start` with the elements of a row: by two vectors, so that one result need not wait for the other, then by less.
/// `start` is neutral.
#[inline(always)]
pub(crate) fn fold_row(
    row: &[f32],
    start: f32,
    map: impl Fn(f32) -> f32,
    combine: impl Fn(f32, f32) -> f32,
) -> f32 {
    const FEW: usize = LANES / 2;
    if row.len() < 2 * LANES {
        return combined_lanes(folded::<FEW>(row, [start; FEW], map, &combine), combine);
    }
    combined_lanes(folded::<{ 2 * LANES }>(row, [start; 2 * LANES], map, &combine), combine)
}

/// Combines lanes with the elements of a row, so many at a time.
#[inline(always)]
fn folded<const COUNT: usize>(
    row: &[f32],
    mut lanes: [f32; COUNT],
    map: impl Fn(f32) -> f32,
    combine: impl Fn(f32, f32) -> f32,
) -> [f32; COUNT] {
    let (whole, rest) = row.as_chunks::<COUNT>();
    for values in whole {
        for (lane, &value) in lanes.iter_mut().zip(values) {
            *lane = combine(*lane, map(value));
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = combine(*lane, map(value));
    }
    lanes
}

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
    /// Inner dims except the last, and the number of their indices.
    inner: Dims<N>,
    inner_count: u64,
    columns: usize,
    steps: [usize; N],
    /// Whether the elements under each index are adjacent in the first two operands, in the order of the inner dims.
    is_dense: bool,
    /// Whether the elements of neighbouring indices are adjacent. (At the end of a tile, a block may have a single index; it is
    /// processed in the same way, so that the result does not depend on the tiles.)
    is_blocked: bool,
    /// Maximum indices in a block.
    block_max: usize,
}

/// Neighbouring kept indices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<const N: usize> {
    /// Number of indices.
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
    /// Index in the block of the first element.
    first: usize,
    /// Whether the next elements belong to the next indices; else all belong to one.
    is_of_neighbours: bool,
}

impl<const N: usize> Chunk<N> {
    /// Applies `f` to each value and the entry of its index in the block.
    #[inline(always)]
    pub fn apply(&self, values: &mut [f32], of_index: &[f32; BLOCK], f: impl Fn(f32, f32) -> f32) {
        if self.is_of_neighbours {
            for (value, &own) in values.iter_mut().zip(&of_index[self.first..]) {
                *value = f(*value, own);
            }
        } else {
            let own = of_index[self.first];
            for value in values {
                *value = f(*value, own);
            }
        }
    }

    /// Adds each value to the sum of its index in the block.
    #[inline(always)]
    pub fn add_to(&self, sums: &mut [f64; BLOCK], values: &[f32]) {
        if self.is_of_neighbours {
            for (sum, &value) in sums[self.first..].iter_mut().zip(values) {
                *sum += f64::from(value);
            }
            return;
        }
        let (chunks, rest) = values.as_chunks::<LANES>();
        let mut lanes = [0.0f32; LANES];
        lanes[..rest.len()].copy_from_slice(rest);
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane += value;
            }
        }
        sums[self.first] += f64::from(combined_lanes(lanes, |a, b| a + b));
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
        let inner = Dims::new(binder, kept..if has_inner { DIMS - 1 } else { kept }, slots);
        let is_blocked = neighbour_steps[1] == 1 && steps[1] != 1 && neighbours > 1;
        let elements = (inner.count() * columns as u64).max(1);
        let is_dense_in = |slot: usize| {
            let mut adjacent = 1;
            (kept..DIMS).rev().filter(|&dim| dims[dim] != 1).all(|dim| {
                let is_next = step(slot, dim) == adjacent;
                adjacent *= dims[dim] as usize;
                is_next
            })
        };
        Self {
            outer: Dims::new(binder, 0..kept.saturating_sub(1), slots),
            starts: slots.map(|slot| binder.start(slot)),
            neighbours,
            neighbour_steps,
            inner,
            inner_count: inner.count(),
            columns,
            steps,
            is_dense: slots[..2].iter().all(|&slot| is_dense_in(slot)),
            is_blocked,
            block_max: if is_blocked {
                BLOCK
            } else {
                (BLOCK_ELEMENTS / elements).clamp(1, BLOCK as u64) as usize
            },
        }
    }

    /// Returns the number of elements under each kept index.
    pub fn count(&self) -> u64 {
        self.inner_count * self.columns as u64
    }

    /// Whether the elements under each index are adjacent in the first two operands, the output and the input.
    pub fn has_adjacent_rows(&self) -> bool {
        !self.is_blocked && self.inner_count == 1 && self.steps[..2] == [1, 1]
    }

    /// Whether the elements under each index are adjacent in the output and the input, in the order of the inner dims. Other
    /// operands may have several runs under an index.
    pub fn has_dense_rows(&self) -> bool {
        !self.is_blocked && self.is_dense
    }

    /// Returns the offsets of the operands at the first element of an index of a block.
    #[inline(always)]
    pub fn offsets(&self, block: Block<N>, index: usize) -> [usize; N] {
        let mut offsets = block.offsets;
        for (offset, step) in offsets.iter_mut().zip(self.neighbour_steps) {
            *offset += index * step;
        }
        offsets
    }

    /// Returns whether the elements of neighbouring indices are adjacent, so that blocks are read element by element.
    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Returns the steps from one kept index of a block to the next.
    pub fn neighbour_steps(&self) -> [usize; N] {
        self.neighbour_steps
    }

    /// Returns the steps from one element of a chunk to the next.
    pub fn chunk_steps(&self) -> [usize; N] {
        if self.is_blocked { self.neighbour_steps } else { self.steps }
    }

    /// Returns the blocks of a range of kept indices.
    #[inline(always)]
    pub fn blocks(&self, units: Range<u64>) -> Blocks<'_, N> {
        let neighbours = self.neighbours as u64;
        let walk = self.outer.walk(units.start / neighbours, self.starts);
        Blocks { places: self, walk, left: units.end - units.start, at: (units.start % neighbours) as usize }
    }

    /// Returns the inner indices under one index of a block, in order: as long runs, or one by one if the elements of neighbouring
    /// indices are adjacent.
    #[inline(always)]
    pub fn runs(&self, block: Block<N>, index: usize) -> Runs<'_, N> {
        let walk = self.inner.walk(0, self.offsets(block, index));
        Runs { places: self, walk, left: self.inner_count, column: 0 }
    }

    /// Returns the elements under a block in chunks of at most [`CHUNK`] adjacent ones: of neighbouring indices, or of one.
    #[inline(always)]
    pub fn chunks(&self, block: Block<N>) -> Chunks<'_, N> {
        Chunks { runs: self.runs(block, 0), block, index: 0, run: None, from: 0 }
    }

    /// Folds the elements of `values`, the input, under each index of a block into `results`: combines `start` with
    /// `map(element, index in the block)` of each. `start` is neutral to `combine`.
    #[inline(always)]
    pub fn fold<T: Copy>(
        &self,
        values: &[f32],
        block: Block<N>,
        results: &mut [T; BLOCK],
        start: T,
        map: impl Fn(f32, usize) -> T,
        combine: impl Fn(T, T) -> T,
    ) {
        let results = &mut results[..block.count];
        if self.is_blocked {
            results.fill(start);
            for run in self.runs(block, 0) {
                for (at, (result, &value)) in results.iter_mut().zip(&values[run.offsets[1]..]).enumerate() {
                    *result = combine(*result, map(value, at));
                }
            }
            return;
        }
        for (at, result) in results.iter_mut().enumerate() {
            let mut lanes = [start; LANES];
            for run in self.runs(block, at) {
                let (from, step) = (run.offsets[1], run.steps[1]);
                if step == 1 {
                    let (chunks, rest) = values[from..][..run.length].as_chunks::<LANES>();
                    for chunk in chunks {
                        for (lane, &value) in lanes.iter_mut().zip(chunk) {
                            *lane = combine(*lane, map(value, at));
                        }
                    }
                    for (lane, &value) in lanes.iter_mut().zip(rest) {
                        *lane = combine(*lane, map(value, at));
                    }
                } else {
                    for element in 0..run.length {
                        lanes[0] = combine(lanes[0], map(values[from + element * step], at));
                    }
                }
            }
            *result = combined_lanes(lanes, &combine);
        }
    }

    /// Sums `map(element, index in the block)` of the elements of `values`, the input, under each index of a block: in single
    /// precision over up to [`CHUNK`] adjacent elements, then in double precision.
    #[inline(always)]
    pub fn sums(
        &self,
        values: &[f32],
        block: Block<N>,
        sums: &mut [f64; BLOCK],
        map: impl Fn(f32, usize) -> f32,
    ) {
        sums[..block.count].fill(0.0);
        let mut mapped = [0.0; CHUNK];
        for chunk in self.chunks(block) {
            let (from, step, first) = (chunk.offsets[1], chunk.steps[1], chunk.first);
            if step == 1 || chunk.length == 1 {
                let mapped = &mut mapped[..chunk.length];
                let pairs = mapped.iter_mut().zip(&values[from..]);
                if chunk.is_of_neighbours {
                    for (at, (to, &value)) in pairs.enumerate() {
                        *to = map(value, first + at);
                    }
                } else {
                    for (to, &value) in pairs {
                        *to = map(value, first);
                    }
                }
                chunk.add_to(sums, mapped);
            } else {
                for at in 0..chunk.length {
                    sums[first] += f64::from(map(values[from + at * step], first));
                }
            }
        }
    }
}

impl Trailing<3> {
    /// Sums the products of the elements of `a` and `b`, the inputs, under each index of a block whose neighbours are adjacent.
    #[inline(always)]
    pub fn sums_of_products(&self, a: &[f32], b: &[f32], block: Block<3>, sums: &mut [f64; BLOCK]) {
        let (sums, b_step) = (&mut sums[..block.count], self.neighbour_steps[2]);
        sums.fill(0.0);
        for Run { offsets: [_, a_at, b_at], .. } in self.runs(block, 0) {
            for (at, (sum, a)) in sums.iter_mut().zip(&a[a_at..]).enumerate() {
                *sum += f64::from(a * b[b_at + at * b_step]);
            }
        }
    }
}

/// Iterator of [`Trailing::blocks`].
///
/// Iterators, not functions that call a closure: a closure that is not inlined is not compiled for the instruction set.
#[derive(Debug)]
pub(crate) struct Blocks<'t, const N: usize> {
    places: &'t Trailing<N>,
    walk: Walk<'t, N>,
    /// Kept indices that are left.
    left: u64,
    /// The next of the neighbours.
    at: usize,
}

impl<const N: usize> Iterator for Blocks<'_, N> {
    type Item = Block<N>;

    #[inline(always)]
    fn next(&mut self) -> Option<Block<N>> {
        if self.left == 0 {
            return None;
        }
        let places = self.places;
        let count = (places.neighbours - self.at).min(self.left as usize).min(places.block_max);
        let mut offsets = self.walk.offsets;
        for (offset, step) in offsets.iter_mut().zip(places.neighbour_steps) {
            *offset += self.at * step;
        }
        self.left -= count as u64;
        self.at += count;
        if self.at == places.neighbours {
            self.at = 0;
            self.walk.next();
        }
        Some(Block { count, offsets })
    }
}

/// Iterator of [`Trailing::runs`].
#[derive(Debug)]
pub(crate) struct Runs<'t, const N: usize> {
    places: &'t Trailing<N>,
    walk: Walk<'t, N>,
    /// Inner indices, of all dims but the last, from this one on.
    left: u64,
    column: usize,
}

impl<const N: usize> Iterator for Runs<'_, N> {
    type Item = Run<N>;

    #[inline(always)]
    fn next(&mut self) -> Option<Run<N>> {
        if self.left == 0 {
            return None;
        }
        let places = self.places;
        let mut offsets = self.walk.offsets;
        for (offset, step) in offsets.iter_mut().zip(places.steps) {
            *offset += self.column * step;
        }
        let length = if places.is_blocked { 1 } else { places.columns };
        self.column += length;
        if self.column == places.columns {
            self.column = 0;
            self.left -= 1;
            if self.left > 0 {
                self.walk.next();
            }
        }
        Some(Run { offsets, steps: places.steps, length })
    }
}

/// Iterator of [`Trailing::chunks`].
#[derive(Debug)]
pub(crate) struct Chunks<'t, const N: usize> {
    runs: Runs<'t, N>,
    block: Block<N>,
    /// The index whose runs these are.
    index: usize,
    run: Option<Run<N>>,
    /// The next element of the run, or the next index of the block.
    from: usize,
}

impl<const N: usize> Iterator for Chunks<'_, N> {
    type Item = Chunk<N>;

    #[inline(always)]
    fn next(&mut self) -> Option<Chunk<N>> {
        let places = self.runs.places;
        let run = match self.run.or_else(|| self.runs.next()) {
            Some(run) => run,
            None if places.is_blocked || self.index + 1 == self.block.count => return None,
            None => {
                self.index += 1;
                self.runs = places.runs(self.block, self.index);
                self.runs.next()?
            }
        };
        let (steps, from) = (places.chunk_steps(), self.from);
        let length = if places.is_blocked { self.block.count } else { run.length };
        let mut offsets = run.offsets;
        for (offset, step) in offsets.iter_mut().zip(steps) {
            *offset += from * step;
        }
        self.from += CHUNK;
        self.run = Some(run);
        if self.from >= length {
            (self.run, self.from) = (None, 0);
        }
        let first = if places.is_blocked { from } else { self.index };
        let length = CHUNK.min(length - from);
        Some(Chunk { offsets, steps, length, first, is_of_neighbours: places.is_blocked })
    }
}
