//! Reductions over the trailing dimensions, accumulated in double precision.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::memory::{Inputs, Source, Target, Tile};
use crate::trailing::{BLOCK, Block, Trailing};
use sonotrace_format::op::{self, Reduction};

/// Bound reduction.
#[derive(Debug)]
pub(crate) struct Reduce {
    reduction: Reduction,
    places: Trailing<2>,
    output: Target<f32>,
    input: Source<f32>,
}

impl Kernel for Reduce {
    type Operation = op::Reduce;

    fn bind(operation: &op::Reduce, binder: &Binder<'_>) -> Result<Self, BindError> {
        Ok(Self {
            reduction: operation.reduction,
            places: Trailing::new(binder, operation.kept_dims, [0, 1]),
            output: binder.output()?,
            input: binder.f32(1)?,
        })
    }

    #[inline(always)]
    fn run<I: Isa>(&self, _: I, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        let step = self.places.neighbour_steps()[0];
        let mut results = [0.0f32; BLOCK];
        for block in self.places.blocks(tile.units) {
            let results = &mut results[..block.count];
            self.reduce(tile.inputs, block, results);
            output.write(block.offsets[0], step, results);
        }
    }
}

impl Reduce {
    #[inline(always)]
    fn reduce(&self, inputs: Inputs<'_>, block: Block<2>, results: &mut [f32]) {
        let (value, square) = (|value, _| value, |value: f64, _| value * value);
        let add = |a: f64, b: f64| a + b;
        let (values, places) = (inputs.read(self.input), &self.places);
        let count = places.count() as f64;
        let folded = match self.reduction {
            Reduction::Sum => places.fold(values, block, 0.0, value, add),
            Reduction::Mean => places.fold(values, block, 0.0, value, add).map(|sum| sum / count),
            Reduction::SumOfSquares => places.fold(values, block, 0.0, square, add),
            Reduction::MeanOfSquares => places.fold(values, block, 0.0, square, add).map(|sum| sum / count),
            Reduction::Max => places.fold(values, block, f64::NEG_INFINITY, value, f64::max),
            Reduction::Min => places.fold(values, block, f64::INFINITY, value, f64::min),
            Reduction::Product => places.fold(values, block, 1.0, value, |a, b| a * b),
            Reduction::ArgMax => return self.arg_max(inputs, block, results),
        };
        results.iter_mut().zip(folded).for_each(|(result, value)| *result = value as f32);
    }

    #[inline(always)]
    fn arg_max(&self, inputs: Inputs<'_>, block: Block<2>, results: &mut [f32]) {
        let values = inputs.read(self.input);
        let step = self.places.neighbour_steps()[1];
        for (at, result) in results.iter_mut().enumerate() {
            let (mut best, mut largest, mut index) = (0.0, f32::NEG_INFINITY, 0.0);
            for run in self.places.runs(block) {
                let from = run.offsets[1] + at * step;
                for element in 0..run.length {
                    let value = values[from + element * run.steps[1]];
                    if value > largest {
                        (largest, best) = (value, index);
                    }
                    index += 1.0;
                }
            }
            *result = best;
        }
    }
}
