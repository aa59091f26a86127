//! Softmax over the trailing dimensions, shifted by the largest element so that nothing overflows.

use crate::bind::{BindError, Binder, Kernel};
use crate::grid::UnitGrid;
use crate::math;
use crate::memory::{FloatSource, Inputs, Source, Target, Tile};
use crate::trailing::{BLOCK, Block, Trailing, for_each};
use sonotrace_format::op;

/// Elements that are loaded, computed and written together.
const CHUNK: usize = 64;

/// Bound softmax.
#[derive(Debug)]
pub(crate) struct Softmax {
    places: Trailing<2>,
    output: Target<f32>,
    input: Source<f32>,
    grid: UnitGrid,
}

impl Kernel for Softmax {
    type Operation = op::Softmax;

    fn bind(operation: &op::Softmax, binder: &Binder<'_>) -> Result<Self, BindError> {
        Ok(Self {
            places: Trailing::new(binder, operation.kept_dims, [0, 1]),
            output: binder.output()?,
            input: binder.f32(1)?,
            grid: binder.unit_grid(),
        })
    }

    fn tiles(&self) -> u32 {
        self.grid.tiles()
    }

    fn run(&self, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        let values = tile.inputs.read(self.input);
        let is_blocked = self.places.is_blocked();
        self.places.for_each_block(self.grid.units_of(tile.index), |block| {
            let mut largest = [f32::NEG_INFINITY; BLOCK];
            self.places.for_each_run(block, |run| {
                if is_blocked {
                    let values = &values[run.offsets[1]..][..block.count];
                    largest
                        .iter_mut()
                        .zip(values)
                        .for_each(|(largest, &value)| *largest = largest.max(value));
                } else {
                    for_each(values, run.offsets[1], run.steps[1], run.length, |value| {
                        largest[0] = largest[0].max(value);
                    });
                }
            });
            let mut sums = [0.0f64; BLOCK];
            self.exponentials(tile.inputs, block, &largest, |_, index, values| {
                if is_blocked {
                    sums[index..].iter_mut().zip(&*values).for_each(|(sum, &value)| *sum += f64::from(value));
                } else {
                    sums[0] += f64::from(values.iter().sum::<f32>());
                }
            });
            let factors = sums.map(|sum| (1.0 / sum) as f32);
            let mut write = |(from, step): (usize, usize), index: usize, values: &mut [f32]| {
                if is_blocked {
                    values.iter_mut().zip(&factors[index..]).for_each(|(value, factor)| *value *= factor);
                } else {
                    values.iter_mut().for_each(|value| *value *= factors[0]);
                }
                output.write(from, step, values);
            };
            self.exponentials(tile.inputs, block, &largest, &mut write);
        });
    }
}

impl Softmax {
    /// Calls `work` with `e^(x - largest)` of the elements under a block, chunk by chunk: where they go (offset and step), the
    /// index in the block of the first, and the values.
    fn exponentials(
        &self,
        inputs: Inputs<'_>,
        block: Block<2>,
        largest: &[f32; BLOCK],
        mut work: impl FnMut((usize, usize), usize, &mut [f32]),
    ) {
        let mut chunk = [0.0f32; CHUNK];
        self.places.for_each_run(block, |run| {
            let is_block = self.places.is_blocked();
            let (length, steps) =
                if is_block { (block.count, self.places.neighbour_steps()) } else { (run.length, run.steps) };
            for from in (0..length).step_by(CHUNK) {
                let chunk = &mut chunk[..CHUNK.min(length - from)];
                FloatSource::F32(self.input).load(inputs, run.offsets[1] + from * steps[1], steps[1], chunk);
                if is_block {
                    let shifts = &largest[from..];
                    chunk
                        .iter_mut()
                        .zip(shifts)
                        .for_each(|(value, shift)| *value = math::exp(*value - shift));
                } else {
                    chunk.iter_mut().for_each(|value| *value = math::exp(*value - largest[0]));
                }
                work((run.offsets[0] + from * steps[0], steps[0]), if is_block { from } else { 0 }, chunk);
            }
        });
    }
}
