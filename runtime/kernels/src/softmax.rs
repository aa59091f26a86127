//! Softmax over the trailing dimensions, shifted by the largest element so that nothing overflows.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::math;
use crate::memory::{FloatSource, Inputs, Source, Target, Tile};
use crate::trailing::{BLOCK, Block, CHUNK, Chunk, Trailing};
use sonotrace_format::op;

/// Bound softmax.
#[derive(Debug)]
pub(crate) struct Softmax {
    places: Trailing<2>,
    output: Target<f32>,
    input: Source<f32>,
}

impl Kernel for Softmax {
    type Operation = op::Softmax;

    fn bind(operation: &op::Softmax, binder: &Binder<'_>) -> Result<Self, BindError> {
        Ok(Self {
            places: Trailing::new(binder, operation.kept_dims, [0, 1]),
            output: binder.output()?,
            input: binder.f32(1)?,
        })
    }

    #[inline(always)]
    fn run<I: Isa>(&self, _: I, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        let values = tile.inputs.read(self.input);
        self.places.for_each_block(tile.units, |block| {
            let largest = self.places.fold(values, block, f64::NEG_INFINITY, |value, _| value, f64::max);
            let largest = largest.map(|value| value as f32);
            let mut sums = [0.0f64; BLOCK];
            self.exponentials(tile.inputs, block, &largest, |chunk, values| {
                chunk.add_to(&mut sums, values);
                if chunk.steps[0] == 1 {
                    output.row(chunk.offsets[0], chunk.length).copy_from_slice(values);
                }
            });
            let factors = sums.map(|sum| (1.0 / sum) as f32);
            if self.places.chunk_steps()[0] == 1 {
                self.places.for_each_chunk(block, |chunk| {
                    let values = output.row(chunk.offsets[0], chunk.length);
                    chunk.apply(values, &factors, |value, factor| value * factor);
                });
                return;
            }
            // Computed again, because outputs that are not adjacent cannot be read.
            self.exponentials(tile.inputs, block, &largest, |chunk, values| {
                chunk.apply(values, &factors, |value, factor| value * factor);
                output.write(chunk.offsets[0], chunk.steps[0], values);
            });
        });
    }
}

impl Softmax {
    /// Calls `work` with `e^(x - largest)` of the elements under a block, chunk by chunk.
    #[inline(always)]
    fn exponentials(
        &self,
        inputs: Inputs<'_>,
        block: Block<2>,
        largest: &[f32; BLOCK],
        mut work: impl FnMut(Chunk<2>, &mut [f32]),
    ) {
        let mut values = [0.0f32; CHUNK];
        self.places.for_each_chunk(block, |chunk| {
            let values = &mut values[..chunk.length];
            FloatSource::F32(self.input).load(inputs, chunk.offsets[1], chunk.steps[1], values);
            chunk.apply(values, largest, |value, largest| math::exp(value - largest));
            work(chunk, values);
        });
    }
}
