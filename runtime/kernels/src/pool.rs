//! Pooling over windows of each channel.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::depthwise::Channels;
use crate::memory::{Source, Target, Tile};
use crate::window::WindowAxis;
use sonotrace_format::op::{self, PoolFunction};

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
        for unit in tile.units {
            let (y, [out_at, image_at]) = self.channels.row(unit);
            for x in 0..self.channels.columns {
                let (mut sum, mut largest, mut count) = (0.0f64, f32::NEG_INFINITY, 0u32);
                for in_y in (0..rows.kernel()).filter_map(|ky| rows.input_at(y, ky)) {
                    for in_x in (0..columns.kernel()).filter_map(|kx| columns.input_at(x, kx)) {
                        let value = image[image_at + in_y * row_step + in_x * column_step];
                        (sum, largest, count) = (sum + f64::from(value), largest.max(value), count + 1);
                    }
                }
                let value = match self.function {
                    PoolFunction::Max => largest,
                    PoolFunction::Sum => sum as f32,
                    PoolFunction::MeanInside => (sum / f64::from(count.max(1))) as f32,
                    PoolFunction::MeanOfKernel => (sum / (rows.kernel() * columns.kernel()) as f64) as f32,
                };
                output.write(out_at + y * out_row_step + x * out_step, 1, &[value]);
            }
        }
    }
}
