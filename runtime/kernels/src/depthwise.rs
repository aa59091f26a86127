//! Depthwise convolution: a row of one output channel at a time, or, if the channels of image, weights and output are adjacent,
//! the channels of a pixel.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::grid::UnitGrid;
use crate::lanes::{Chunked, add_products, in_chunks, lanes};
use crate::memory::{FloatSource, Inputs, Output, Source, Target, Tile};
use crate::walk::Dims;
use crate::window::WindowAxis;
use core::ops::Range;
use sonotrace_format::DIMS;
use sonotrace_format::function::Unary;
use sonotrace_format::op;

/// Output columns that are computed and written together.
const CHUNK: usize = 256;

/// Neighbouring pixels whose channels are computed together, so that each weight is read once for all of them.
const PIXELS: usize = 4;

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

/// Layout of images and weights with adjacent channels.
#[derive(Debug)]
struct Pixels {
    batches: usize,
    groups: usize,
    /// Strides of output and image over batches.
    batch_steps: [usize; 2],
    weights: Source<f32>,
    bias_step: usize,
}

impl Pixels {
    fn new(weights: FloatSource, binder: &Binder<'_>) -> Option<Self> {
        let dims = binder.dims();
        let step = |slot: usize, dim: usize| binder.strides(slot)[dim] as usize;
        let is_adjacent =
            dims[MULTIPLIER] == 1 && dims[GROUP] > 1 && [0, 1, 2].iter().all(|&slot| step(slot, GROUP) == 1);
        let FloatSource::F32(weights) = weights else { return None };
        is_adjacent.then(|| Self {
            batches: dims[0] as usize,
            groups: dims[GROUP] as usize,
            batch_steps: [step(0, 0), step(1, 0)],
            weights,
            bias_step: step(3, GROUP),
        })
    }
}

impl Kernel for DepthwiseConv {
    type Operation = op::DepthwiseConv;

    fn bind(operation: &op::DepthwiseConv, binder: &Binder<'_>) -> Result<Self, BindError> {
        let weights = binder.floats(2)?;
        Ok(Self {
            channels: Channels::new(binder, [0, 1, 2, 3]),
            axes: WindowAxis::both(&operation.window),
            activation: operation.activation,
            output: binder.output()?,
            image: binder.f32(1)?,
            weights,
            weight_steps: [ROW, COLUMN].map(|dim| binder.strides(2)[dim] as usize),
            bias: binder.floats_if_any(3)?,
            pixels: Pixels::new(weights, binder),
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
    fn run<I: Isa>(&self, isa: I, tile: Tile<'_>) {
        match &self.pixels {
            Some(pixels) => self.run_pixels(isa, pixels, tile),
            None => self.run_rows(isa, tile),
        }
    }
}

impl DepthwiseConv {
    #[inline(always)]
    fn run_pixels<I: Isa>(&self, isa: I, pixels: &Pixels, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        let (mut pixel, end) = (tile.units.start as usize, tile.units.end as usize);
        while pixel < end {
            let (x, row) = (pixel % self.channels.columns, pixel / self.channels.columns);
            let left = (self.channels.columns - x).min(end - pixel);
            let count = if left >= PIXELS { PIXELS } else { 1 };
            match count {
                PIXELS => self.sum_pixels::<PIXELS>(pixels, tile.inputs, row, x, &mut output),
                _ => self.sum_pixels::<1>(pixels, tile.inputs, row, x, &mut output),
            }
            for x in x..x + count {
                isa.unary(self.activation, output.row(self.out_at(pixels, row, x), pixels.groups));
            }
            pixel += count;
        }
    }

    /// Returns the offset of the output's pixel of a row of all batches.
    #[inline(always)]
    fn out_at(&self, pixels: &Pixels, row: usize, x: usize) -> usize {
        let (y, batch) = (row % self.channels.rows, row / self.channels.rows);
        let [row_step, column_step] = [self.channels.row_steps[0], self.channels.column_steps[0]];
        self.channels.starts[0] + batch * pixels.batch_steps[0] + y * row_step + x * column_step
    }

    /// Sums the channels of `COUNT` pixels of a row.
    #[inline(always)]
    fn sum_pixels<const COUNT: usize>(
        &self,
        pixels: &Pixels,
        inputs: Inputs<'_>,
        row: usize,
        x: usize,
        output: &mut Output<'_, f32>,
    ) {
        let [rows, columns] = self.axes;
        let [row_step, column_step] = [self.channels.row_steps[1], self.channels.column_steps[1]];
        let (y, batch) = (row % self.channels.rows, row / self.channels.rows);
        let image_at = self.channels.starts[1] + batch * pixels.batch_steps[1];
        // Of kernel element 0, which may lie outside.
        let from = [rows.first(y).wrapping_mul(row_step), columns.first(x).wrapping_mul(column_step)];
        let mut block = Block::<COUNT> {
            inputs,
            image: inputs.read(self.image),
            weights: inputs.read(pixels.weights),
            bias: self.bias.map(|bias| (bias, self.channels.starts[3], pixels.bias_step)),
            rows: rows.taps_inside(y),
            columns: core::array::from_fn(|pixel| columns.taps_inside(x + pixel)),
            image_at: image_at.wrapping_add(from[0]).wrapping_add(from[1]),
            image_steps: [rows.dilation() * row_step, columns.dilation() * column_step],
            pixel_step: columns.stride() * column_step,
            weights_at: self.channels.starts[2],
            weight_steps: self.weight_steps,
            to: core::array::from_fn(|pixel| self.out_at(pixels, row, x + pixel)),
            output,
        };
        in_chunks(pixels.groups, &mut block);
    }

    #[inline(always)]
    fn run_rows<I: Isa>(&self, isa: I, tile: Tile<'_>) {
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
                            1 => {
                                for (sum, value) in sums.iter_mut().zip(image) {
                                    *sum += weight * value;
                                }
                            }
                            step => {
                                for (at, sum) in sums.iter_mut().enumerate() {
                                    *sum += weight * image[at * step];
                                }
                            }
                        }
                    }
                }
                isa.unary(self.activation, sums);
                output.write(out_at + y * out_row_step + first * out_step, out_step, sums);
            }
        }
    }
}

/// The channels of `COUNT` pixels.
struct Block<'a, 't, const COUNT: usize> {
    inputs: Inputs<'a>,
    image: &'a [f32],
    weights: &'a [f32],
    /// Its first element and stride.
    bias: Option<(FloatSource, usize, usize)>,
    /// Rows of the kernel that are inside the image, and columns for each pixel.
    rows: Range<usize>,
    columns: [Range<usize>; COUNT],
    /// The image's element of kernel element 0 and the first pixel, modulo 2^`usize::BITS` if it lies outside.
    image_at: usize,
    /// Elements from one row or column of the kernel to the next.
    image_steps: [usize; 2],
    /// Elements from one pixel to the next.
    pixel_step: usize,
    weights_at: usize,
    weight_steps: [usize; 2],
    output: &'a mut Output<'t, f32>,
    /// Offsets of the pixels in the output.
    to: [usize; COUNT],
}

impl<const COUNT: usize> Chunked for Block<'_, '_, COUNT> {
    #[inline(always)]
    fn chunk<const LANES: usize>(&mut self, from: usize) {
        let mut sums = [[0.0f32; LANES]; COUNT];
        // The first pixel has the last column of those inside, the last one the first.
        let columns = self.columns[COUNT - 1].start..self.columns[0].end;
        for row in self.rows.clone() {
            let image_at = self.image_at.wrapping_add(row * self.image_steps[0] + from);
            let weights_at = self.weights_at + row * self.weight_steps[0] + from;
            for column in columns.clone() {
                // A copy, so that they are not loaded once more for each pixel.
                let weights: [f32; LANES] = *lanes(self.weights, weights_at + column * self.weight_steps[1]);
                let image_at = image_at.wrapping_add(column * self.image_steps[1]);
                for (pixel, sums) in sums.iter_mut().enumerate() {
                    if self.columns[pixel].contains(&column) {
                        let at = image_at.wrapping_add(pixel * self.pixel_step);
                        add_products(sums, &weights, lanes(self.image, at));
                    }
                }
            }
        }
        let mut bias = [0.0f32; LANES];
        if let Some((source, at, step)) = self.bias {
            source.load(self.inputs, at + from * step, step, &mut bias);
        }
        for (to, sums) in self.to.into_iter().zip(&sums) {
            for (to, (sum, bias)) in self.output.row(to + from, LANES).iter_mut().zip(sums.iter().zip(&bias))
            {
                *to = sum + bias;
            }
        }
    }
}
