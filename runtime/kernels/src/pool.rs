//! Pooling over windows of each channel.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::depthwise::Channels;
use crate::memory::{Source, Target, Tile};
use crate::window::WindowAxis;
use sonotrace_format::op::{self, PoolFunction};

/// Output columns that are computed and written together.
const CHUNK: usize = 256;

/// Bound pooling.
#[derive(Debug)]
pub(crate) struct Pool {
    function: PoolFunction,
    channels: Channels<2>,
    axes: [WindowAxis; 2],
    output: Target<f32>,
    image: Source<f32>,
}

impl Kernel for Pool {
    type Operation = op::Pool;

    fn bind(operation: &op::Pool, binder: &Binder<'_>) -> Result<Self, BindError> {
        Ok(Self {
            function: operation.function,
            channels: Channels::new(binder, [0, 1]),
            axes: WindowAxis::both(&operation.window),
            output: binder.output()?,
            image: binder.f32(1)?,
        })
    }

    #[inline(always)]
    fn run<I: Isa>(&self, _: I, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        let image = tile.inputs.read(self.image);
        let [rows, columns] = self.axes;
        let [out_row_step, row_step] = self.channels.row_steps;
        let [out_step, column_step] = self.channels.column_steps;
        let start = if self.function == PoolFunction::Max { f64::NEG_INFINITY } else { 0.0 };
        let (mut results, mut values) = ([0.0f64; CHUNK], [0.0f32; CHUNK]);
        for unit in tile.units {
            let (y, [out_at, image_at]) = self.channels.row(unit);
            let down = rows.taps_inside(y);
            for first in (0..self.channels.columns).step_by(CHUNK) {
                let length = CHUNK.min(self.channels.columns - first);
                let (results, values) = (&mut results[..length], &mut values[..length]);
                results.fill(start);
                for kx in 0..columns.kernel() {
                    let inside = columns.outputs_inside(kx, first + length);
                    let from = inside.start.max(first);
                    let Some(in_x) = columns.input_at(from, kx).filter(|_| from < inside.end) else {
                        continue;
                    };
                    let Some(in_y) = rows.input_at(y, down.start).filter(|_| !down.is_empty()) else {
                        continue;
                    };
                    let results = &mut results[from - first..inside.end - first];
                    let image = &image[image_at + in_y * row_step + in_x * column_step..];
                    let steps = [rows.dilation() * row_step, columns.stride() * column_step];
                    match self.function {
                        PoolFunction::Max => fold(results, image, steps, down.len(), |most, value| {
                            // As `math::max`.
                            if value > most || value.is_nan() { value } else { most }
                        }),
                        _ => fold(results, image, steps, down.len(), |sum, value| sum + value),
                    }
                }
                for (at, (value, &result)) in values.iter_mut().zip(&*results).enumerate() {
                    let divisor = match self.function {
                        PoolFunction::Max | PoolFunction::Sum => 1,
                        PoolFunction::MeanInside => {
                            (down.len() * columns.taps_inside(first + at).len()).max(1)
                        }
                        PoolFunction::MeanOfKernel => rows.kernel() * columns.kernel(),
                    };
                    *value = (result / divisor as f64) as f32;
                }
                output.write(out_at + y * out_row_step + first * out_step, out_step, values);
            }
        }
    }
}

/// Combines each result with the values of a column.
#[inline(always)]
fn fold(
    results: &mut [f64],
    values: &[f32],
    [row_step, step]: [usize; 2],
    rows: usize,
    combine: impl Fn(f64, f64) -> f64,
) {
    for (at, result) in results.iter_mut().enumerate() {
        let mut folded = *result;
        for row in 0..rows {
            folded = combine(folded, values[at * step + row * row_step].into());
        }
        *result = folded;
    }
}
