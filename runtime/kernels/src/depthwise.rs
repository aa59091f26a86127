//! Depthwise convolution, a row of one output channel at a time.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::elementwise::unary;
use crate::memory::{FloatSource, Source, Target, Tile};
use crate::walk::Dims;
use crate::window::WindowAxis;
use sonotrace_format::DIMS;
use sonotrace_format::function::Unary;
use sonotrace_format::op;

/// Output columns that are computed and written together.
const CHUNK: usize = 256;

/// Dims of rows, columns, groups and multipliers.
const ROW: usize = 4;
const COLUMN: usize = 5;
const GROUP: usize = 6;

/// Separate channels of an image: batch, group and multiplier, then the rows of each, for the operands in `N` slots.
#[derive(Debug)]
pub(crate) struct Channels<const N: usize> {
    batches: Dims<N>,
    channels: Dims<N>,
    starts: [usize; N],
    pub rows: usize,
    pub columns: usize,
    /// Strides of output and image over rows and columns.
    pub row_steps: [usize; 2],
    pub column_steps: [usize; 2],
}

impl<const N: usize> Channels<N> {
    pub fn new(binder: &Binder<'_>, slots: [usize; N]) -> Self {
        let step = |slot: usize, dim: usize| binder.strides(slot)[dim] as usize;
        Self {
            batches: Dims::new(binder, 0..1, slots),
            channels: Dims::new(binder, GROUP..DIMS, slots),
            starts: slots.map(|slot| binder.start(slot)),
            rows: binder.dims()[ROW] as usize,
            columns: binder.dims()[COLUMN] as usize,
            row_steps: [0, 1].map(|slot| step(slot, ROW)),
            column_steps: [0, 1].map(|slot| step(slot, COLUMN)),
        }
    }

    /// Returns the row of a unit, which is one row of a channel, and the offsets of its channel in the operands.
    #[inline(always)]
    pub fn row(&self, unit: u64) -> (usize, [usize; N]) {
        let (row, channel) = ((unit % self.rows as u64) as usize, unit / self.rows as u64);
        let channels = self.channels.count();
        let batch = self.batches.walk(channel / channels, self.starts).offsets;
        (row, self.channels.walk(channel % channels, batch).offsets)
    }
}

/// Bound depthwise convolution.
#[derive(Debug)]
pub(crate) struct DepthwiseConv {
    channels: Channels<4>,
    axes: [WindowAxis; 2],
    activation: Unary,
    output: Target<f32>,
    image: Source<f32>,
    weights: FloatSource,
    weight_steps: [usize; 2],
    bias: Option<FloatSource>,
}

impl Kernel for DepthwiseConv {
    type Operation = op::DepthwiseConv;

    fn bind(operation: &op::DepthwiseConv, binder: &Binder<'_>) -> Result<Self, BindError> {
        Ok(Self {
            channels: Channels::new(binder, [0, 1, 2, 3]),
            axes: WindowAxis::both(&operation.window),
            activation: operation.activation,
            output: binder.output()?,
            image: binder.f32(1)?,
            weights: binder.floats(2)?,
            weight_steps: [ROW, COLUMN].map(|dim| binder.strides(2)[dim] as usize),
            bias: binder.floats_if_any(3)?,
        })
    }

    #[inline(always)]
    fn run<I: Isa>(&self, _: I, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        let image = tile.inputs.read(self.image);
        let [rows, columns] = self.axes;
        let [out_row_step, image_row_step] = self.channels.row_steps;
        let [out_step, image_step] = self.channels.column_steps;
        let mut sums = [0.0f32; CHUNK];
        for unit in tile.units {
            let (y, [out_at, image_at, weights_at, bias_at]) = self.channels.row(unit);
            let bias = self.bias.map_or(0.0, |bias| bias.at(tile.inputs, bias_at));
            for first in (0..self.channels.columns).step_by(CHUNK) {
                let sums = &mut sums[..CHUNK.min(self.channels.columns - first)];
                sums.fill(bias);
                for ky in 0..rows.kernel() {
                    let Some(in_y) = rows.input_at(y, ky) else { continue };
                    for kx in 0..columns.kernel() {
                        let at = weights_at + ky * self.weight_steps[0] + kx * self.weight_steps[1];
                        let weight = self.weights.at(tile.inputs, at);
                        let inside = columns.outputs_inside(kx, first + sums.len());
                        let from = inside.start.max(first);
                        let Some(in_x) = columns.input_at(from, kx).filter(|_| from < inside.end) else {
                            continue;
                        };
                        let image = &image[image_at + in_y * image_row_step + in_x * image_step..];
                        let sums = &mut sums[from - first..inside.end - first];
                        match image_step * columns.stride() {
                            1 => sums.iter_mut().zip(image).for_each(|(sum, value)| *sum += weight * value),
                            step => {
                                sums.iter_mut()
                                    .enumerate()
                                    .for_each(|(at, sum)| *sum += weight * image[at * step]);
                            }
                        }
                    }
                }
                unary(self.activation, sums);
                output.write(out_at + y * out_row_step + first * out_step, out_step, sums);
            }
        }
    }
}
