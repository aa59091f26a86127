//! Depthwise convolution: a row of one output channel at a time, or, if the channels of image and output are adjacent, the
//! channels of a pixel.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::elementwise::unary;
use crate::grid::UnitGrid;
use crate::memory::{FloatSource, Source, Target, Tile};
use crate::walk::Dims;
use crate::window::WindowAxis;
use sonotrace_format::DIMS;
use sonotrace_format::function::Unary;
use sonotrace_format::op;

/// Output columns that are computed and written together.
const CHUNK: usize = 256;

/// Adjacent channels that are computed together.
const LANES: usize = 32;
/// Largest kernel, in elements, whose weights for [`LANES`] channels are kept on the stack.
const TAPS_MAX: usize = 64;

/// Dims of rows, columns, groups and multipliers.
const ROW: usize = 4;
const COLUMN: usize = 5;
const GROUP: usize = 6;
const MULTIPLIER: usize = 7;

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
    pixels: Option<Pixels>,
}

/// Layout of images with adjacent channels.
#[derive(Debug)]
struct Pixels {
    batches: usize,
    groups: usize,
    /// Strides of output and image over batches.
    batch_steps: [usize; 2],
    /// Strides of weights and bias over channels.
    channel_steps: [usize; 2],
}

impl Pixels {
    fn new(operation: &op::DepthwiseConv, binder: &Binder<'_>) -> Option<Self> {
        let dims = binder.dims();
        let step = |slot: usize, dim: usize| binder.strides(slot)[dim] as usize;
        let is_adjacent =
            dims[MULTIPLIER] == 1 && dims[GROUP] > 1 && step(0, GROUP) == 1 && step(1, GROUP) == 1;
        (is_adjacent && operation.window.taps() <= TAPS_MAX as u64).then(|| Self {
            batches: dims[0] as usize,
            groups: dims[GROUP] as usize,
            batch_steps: [step(0, 0), step(1, 0)],
            channel_steps: [step(2, GROUP), step(3, GROUP)],
        })
    }
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
            pixels: Pixels::new(operation, binder),
        })
    }

    /// A unit is a row of a channel, or a pixel.
    fn grid(&self, binder: &Binder<'_>) -> UnitGrid {
        let Some(pixels) = &self.pixels else { return binder.unit_grid() };
        let work = pixels.groups * self.axes[0].kernel() * self.axes[1].kernel();
        let count = pixels.batches as u64 * self.channels.rows as u64 * self.channels.columns as u64;
        UnitGrid::new(count, work as u64, binder.tile_work())
    }

    #[inline(always)]
    fn run<I: Isa>(&self, _: I, tile: Tile<'_>) {
        match &self.pixels {
            Some(pixels) => self.run_pixels(pixels, tile),
            None => self.run_rows(tile),
        }
    }
}

impl DepthwiseConv {
    #[inline(always)]
    fn run_pixels(&self, pixels: &Pixels, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        let image = tile.inputs.read(self.image);
        let [rows, columns] = self.axes;
        let [out_row_step, image_row_step] = self.channels.row_steps;
        let [out_step, image_step] = self.channels.column_steps;
        let [out_start, image_start, weights_start, bias_start] = self.channels.starts;
        let mut weights = [[0.0f32; LANES]; TAPS_MAX];
        let mut bias = [0.0f32; LANES];
        for first in (0..pixels.groups).step_by(LANES) {
            let live = LANES.min(pixels.groups - first);
            let [weight_step, bias_step] = pixels.channel_steps;
            for (tap, weights) in weights[..rows.kernel() * columns.kernel()].iter_mut().enumerate() {
                let (ky, kx) = (tap / columns.kernel(), tap % columns.kernel());
                let at = weights_start
                    + ky * self.weight_steps[0]
                    + kx * self.weight_steps[1]
                    + first * weight_step;
                self.weights.load(tile.inputs, at, weight_step, &mut weights[..live]);
            }
            if let Some(source) = self.bias {
                source.load(tile.inputs, bias_start + first * bias_step, bias_step, &mut bias[..live]);
            }
            for pixel in tile.units.clone() {
                let (x, row) =
                    (pixel as usize % self.channels.columns, pixel as usize / self.channels.columns);
                let (y, batch) = (row % self.channels.rows, row / self.channels.rows);
                let image = &image[image_start + batch * pixels.batch_steps[1] + first..];
                let mut sums = bias;
                for ky in 0..rows.kernel() {
                    let Some(in_y) = rows.input_at(y, ky) else { continue };
                    for kx in 0..columns.kernel() {
                        let Some(in_x) = columns.input_at(x, kx) else { continue };
                        let image = &image[in_y * image_row_step + in_x * image_step..];
                        let weights = &weights[ky * columns.kernel() + kx];
                        match image.first_chunk::<LANES>().filter(|_| live == LANES) {
                            Some(values) => add_products(&mut sums, weights, values),
                            None => add_products(&mut sums[..live], weights, &image[..live]),
                        }
                    }
                }
                unary(self.activation, &mut sums);
                let at = out_start + batch * pixels.batch_steps[0] + y * out_row_step + x * out_step + first;
                output.row(at, live).copy_from_slice(&sums[..live]);
            }
        }
    }

    #[inline(always)]
    fn run_rows(&self, tile: Tile<'_>) {
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

#[inline(always)]
fn add_products(sums: &mut [f32], weights: &[f32], values: &[f32]) {
    for ((sum, weight), value) in sums.iter_mut().zip(weights).zip(values) {
        *sum += weight * value;
    }
}
