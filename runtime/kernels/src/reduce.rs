//! Reductions over the trailing dimensions, accumulated in double precision.

use crate::bind::{BindError, Binder, Kernel};
use crate::grid::UnitGrid;
use crate::memory::{Inputs, Source, Target, Tile};
use crate::trailing::{BLOCK, Block, Trailing, for_each};
use sonotrace_format::op::{self, Reduction};

/// Sums that run side by side over adjacent elements, so that none waits for the one before.
const LANES: usize = 8;

/// Bound reduction.
#[derive(Debug)]
pub(crate) struct Reduce {
    reduction: Reduction,
    places: Trailing<2>,
    output: Target<f32>,
    input: Source<f32>,
    grid: UnitGrid,
}

impl Kernel for Reduce {
    type Operation = op::Reduce;

    fn bind(operation: &op::Reduce, binder: &Binder<'_>) -> Result<Self, BindError> {
        Ok(Self {
            reduction: operation.reduction,
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
        let step = self.places.neighbour_steps()[0];
        let mut results = [0.0f32; BLOCK];
        self.places.for_each_block(self.grid.units_of(tile.index), |block| {
            let results = &mut results[..block.count];
            self.reduce(tile.inputs, block, results);
            output.write(block.offsets[0], step, results);
        });
    }
}

impl Reduce {
    fn reduce(&self, inputs: Inputs<'_>, block: Block<2>, results: &mut [f32]) {
        let (value, square) = (|value| value, |value: f64| value * value);
        let add = |a: f64, b: f64| a + b;
        match self.reduction {
            Reduction::Sum | Reduction::Mean => self.fold(inputs, block, 0.0, value, add, results),
            Reduction::SumOfSquares | Reduction::MeanOfSquares => {
                self.fold(inputs, block, 0.0, square, add, results);
            }
            Reduction::Max => self.fold(inputs, block, f64::NEG_INFINITY, value, f64::max, results),
            Reduction::Min => self.fold(inputs, block, f64::INFINITY, value, f64::min, results),
            Reduction::Product => self.fold(inputs, block, 1.0, value, |a, b| a * b, results),
            Reduction::ArgMax => self.arg_max(inputs, block, results),
        }
    }

    /// What `combine` makes of all `map(element)`, by the number of elements for means, for each index of a block.
    #[inline]
    fn fold(
        &self,
        inputs: Inputs<'_>,
        block: Block<2>,
        start: f64,
        map: impl Fn(f64) -> f64,
        combine: impl Fn(f64, f64) -> f64,
        results: &mut [f32],
    ) {
        let values = inputs.read(self.input);
        // One sum for each index of a block, or the lanes of one index.
        let mut sums = [start; BLOCK];
        self.places.for_each_run(block, |run| {
            let (from, step) = (run.offsets[1], run.steps[1]);
            if self.places.is_blocked() {
                for (sum, &value) in sums.iter_mut().zip(&values[from..][..block.count]) {
                    *sum = combine(*sum, map(value.into()));
                }
            } else if step == 1 {
                for chunk in values[from..][..run.length].chunks(LANES) {
                    for (sum, &value) in sums.iter_mut().zip(chunk) {
                        *sum = combine(*sum, map(value.into()));
                    }
                }
            } else {
                for_each(values, from, step, run.length, |value| {
                    sums[0] = combine(sums[0], map(value.into()));
                });
            }
        });
        if !self.places.is_blocked() {
            sums[0] = sums[1..LANES].iter().fold(sums[0], |sum, &lane| combine(sum, lane));
        }
        let divisor = match self.reduction {
            Reduction::Mean | Reduction::MeanOfSquares => self.places.count() as f64,
            _ => 1.0,
        };
        results.iter_mut().zip(sums).for_each(|(result, sum)| *result = (sum / divisor) as f32);
    }

    fn arg_max(&self, inputs: Inputs<'_>, block: Block<2>, results: &mut [f32]) {
        let values = inputs.read(self.input);
        let step = self.places.neighbour_steps()[1];
        for (at, result) in results.iter_mut().enumerate() {
            let (mut best, mut largest, mut index) = (0.0, f32::NEG_INFINITY, 0.0);
            self.places.for_each_run(block, |run| {
                for_each(values, run.offsets[1] + at * step, run.steps[1], run.length, |value| {
                    if value > largest {
                        (largest, best) = (value, index);
                    }
                    index += 1.0;
                });
            });
            *result = best;
        }
    }
}
