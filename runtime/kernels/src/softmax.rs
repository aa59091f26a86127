//! Softmax over the trailing dimensions, shifted by the largest element so that nothing overflows.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::math;
use crate::memory::{FloatSource, Inputs, Source, Target, Tile};
use crate::trailing::{BLOCK, CHUNK, Chunk, Trailing};
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
        let mut buffer = [0.0f32; CHUNK];
        let is_adjacent = self.places.chunk_steps()[0] == 1;
        let [mut largest, mut factors] = [[0.0f32; BLOCK]; 2];
        let mut sums = [0.0f64; BLOCK];
        for block in self.places.blocks(tile.units) {
            // A comparison, not `f32::max`, is one instruction. NaN passes through the exponential.
            let larger = |a: f32, b: f32| if b > a { b } else { a };
            self.places.fold(values, block, &mut largest, f32::NEG_INFINITY, |value, _| value, larger);
            sums[..block.count].fill(0.0);
            for chunk in self.places.chunks(block) {
                let to = match is_adjacent {
                    true => output.row(chunk.offsets[0], chunk.length),
                    false => &mut buffer[..chunk.length],
                };
                self.exponentials(tile.inputs, chunk, &largest, to);
                chunk.add_to(&mut sums, to);
            }
            for (factor, sum) in factors[..block.count].iter_mut().zip(&sums) {
                *factor = (1.0 / sum) as f32;
            }
            for chunk in self.places.chunks(block) {
                if is_adjacent {
                    chunk.apply(output.row(chunk.offsets[0], chunk.length), &factors, |value, factor| {
                        value * factor
                    });
                } else {
                    // Computed again, because an output that is not adjacent is not read.
                    let to = &mut buffer[..chunk.length];
                    self.exponentials(tile.inputs, chunk, &largest, to);
                    chunk.apply(to, &factors, |value, factor| value * factor);
                    output.write(chunk.offsets[0], chunk.steps[0], to);
                }
            }
        }
    }
}

impl Softmax {
    /// Computes `e^(x - largest)` of the elements of a chunk.
    #[inline(always)]
    fn exponentials(&self, inputs: Inputs<'_>, chunk: Chunk<2>, largest: &[f32; BLOCK], to: &mut [f32]) {
        FloatSource::F32(self.input).load(inputs, chunk.offsets[1], chunk.steps[1], to);
        chunk.apply(to, largest, |value, largest| math::exp(value - largest));
    }
}
