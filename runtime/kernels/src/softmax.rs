//! Softmax over the trailing dimensions, shifted by the largest element so that nothing overflows.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::math;
use crate::memory::{FloatSource, Inputs, Source, Target, Tile};
use crate::trailing::{BLOCK, CHUNK, Chunk, Trailing, fold_row};
use sonotrace_format::op;

/// Values whose exponentials are computed side by side.
const LANES: usize = 16;

/// A comparison, not `f32::max`, is one instruction. NaN passes through the exponential.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Computes the softmax of a row.
#[inline(always)]
fn row(values: &[f32], to: &mut [f32]) {
    let largest = fold_row(values, f32::NEG_INFINITY, |value| value, larger);
    let mut sum = 0.0f64;
    for (values, to) in values.chunks(CHUNK).zip(to.chunks_mut(CHUNK)) {
        let mut sums = [0.0f32; LANES];
        let ((whole, rest), (to, rest_to)) = (values.as_chunks::<LANES>(), to.as_chunks_mut::<LANES>());
        // The rest as a whole vector, of which the other values do not count.
        let (mut last, mut last_to) = ([f32::NEG_INFINITY; LANES], [0.0; LANES]);
        last[..rest.len()].copy_from_slice(rest);
        let vectors = whole.iter().zip(to).chain((!rest.is_empty()).then_some((&last, &mut last_to)));
        for (values, to) in vectors {
            for at in 0..LANES {
                to[at] = math::exp_of_negative(values[at] - largest);
                sums[at] += to[at];
            }
        }
        rest_to.copy_from_slice(&last_to[..rest.len()]);
        sum += f64::from(fold_row(&sums, 0.0, |value| value, |a, b| a + b));
    }
    let factor = (1.0 / sum) as f32;
    for value in to {
        *value *= factor;
    }
}

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
        if self.places.has_adjacent_rows() {
            for block in self.places.blocks(tile.units) {
                for index in 0..block.count {
                    let [to, from] = self.places.offsets(block, index);
                    let count = self.places.count() as usize;
                    row(&values[from..][..count], output.row(to, count));
                }
            }
            return;
        }
        let is_adjacent = self.places.chunk_steps()[0] == 1;
        let [mut largest, mut factors] = [[0.0f32; BLOCK]; 2];
        let mut sums = [0.0f64; BLOCK];
        for block in self.places.blocks(tile.units) {
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
        chunk.apply(to, largest, |value, largest| math::exp_of_negative(value - largest));
    }
}
