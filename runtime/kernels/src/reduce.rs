//! Reductions over the trailing dimensions, accumulated in double precision.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::dots::write_sums_of_products;
use crate::memory::{Inputs, Source, Target, Tile};
use crate::trailing::{BLOCK, Block, Trailing};
use sonotrace_format::op::{self, Reduction};

/// Bound reduction.
#[derive(Debug)]
pub(crate) struct Reduce {
    reduction: Reduction,
    places: Trailing<3>,
    output: Target<f32>,
    input: Source<f32>,
    /// Of a reduction of products.
    second: Option<Source<f32>>,
}

impl Kernel for Reduce {
    type Operation = op::Reduce;

    fn bind(operation: &op::Reduce, binder: &Binder<'_>) -> Result<Self, BindError> {
        Ok(Self {
            reduction: operation.reduction,
            places: Trailing::new(binder, operation.kept_dims, [0, 1, 2]),
            output: binder.output()?,
            input: binder.f32(1)?,
            second: operation.reduction.is_of_products().then(|| binder.f32(2)).transpose()?,
        })
    }

    #[inline(always)]
    fn run<I: Isa>(&self, _: I, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        if let (Some(second), false) = (self.second, self.places.is_blocked()) {
            let inputs = [tile.inputs.read(self.input), tile.inputs.read(second)];
            return write_sums_of_products(&self.places, tile.units, inputs, self.factor(), &mut output);
        }
        let step = self.places.neighbour_steps()[0];
        let (mut folded, mut results) = ([0.0f64; BLOCK], [0.0f32; BLOCK]);
        for block in self.places.blocks(tile.units) {
            let results = &mut results[..block.count];
            self.reduce(tile.inputs, block, &mut folded, results);
            output.write(block.offsets[0], step, results);
        }
    }
}

impl Reduce {
    /// Returns what a sum is multiplied with. The product is rounded in double precision.
    #[inline(always)]
    fn factor(&self) -> f64 {
        match self.reduction {
            Reduction::Mean | Reduction::MeanOfSquares | Reduction::MeanOfProducts => {
                1.0 / self.places.count() as f64
            }
            _ => 1.0,
        }
    }

    #[inline(always)]
    fn reduce(&self, inputs: Inputs<'_>, block: Block<3>, folded: &mut [f64; BLOCK], results: &mut [f32]) {
        let value = |value: f32, _| f64::from(value);
        let square = |value: f32, _| f64::from(value) * f64::from(value);
        let add = |a: f64, b: f64| a + b;
        // As `math::max`.
        let max = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
        let min = |a: f64, b: f64| if b < a || b.is_nan() { b } else { a };
        let (values, places) = (inputs.read(self.input), &self.places);
        match self.reduction {
            Reduction::Sum | Reduction::Mean => places.fold(values, block, folded, 0.0, value, add),
            Reduction::SumOfSquares | Reduction::MeanOfSquares => {
                places.fold(values, block, folded, 0.0, square, add);
            }
            Reduction::Max => places.fold(values, block, folded, f64::NEG_INFINITY, value, max),
            Reduction::Min => places.fold(values, block, folded, f64::INFINITY, value, min),
            Reduction::Product => places.fold(values, block, folded, 1.0, value, |a, b| a * b),
            Reduction::ArgMax => return self.arg_max(inputs, block, results),
            Reduction::SumOfProducts | Reduction::MeanOfProducts => {
                let Some(second) = self.second else { return };
                places.sums_of_products(values, inputs.read(second), block, folded);
            }
        }
        let factor = self.factor();
        for (result, value) in results.iter_mut().zip(folded) {
            *result = (*value * factor) as f32;
        }
    }

    #[inline(always)]
    fn arg_max(&self, inputs: Inputs<'_>, block: Block<3>, results: &mut [f32]) {
        let values = inputs.read(self.input);
        for (at, result) in results.iter_mut().enumerate() {
            let (mut best, mut largest, mut index) = (0.0, f32::NEG_INFINITY, 0.0);
            for run in self.places.runs(block, at) {
                let from = run.offsets[1];
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
