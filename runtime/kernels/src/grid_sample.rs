//! Samples an image at computed positions (ONNX GridSample, bilinear). Networks use it to move masks with the tissue.
//!
//! The elements and weights for some pixels are computed first. Then the channels of each pixel are summed together if they are
//! adjacent, else the pixels of each channel.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::memory::{Inputs, Output, Source, Target, Tile};
use crate::walk::Dims;
use sonotrace_format::DIMS;
use sonotrace_format::op::{self, Outside};

/// Pixels, or channels of a pixel, that are summed and written together.
const CHUNK: usize = 64;
/// Elements around a position.
const TAPS: usize = 4;

/// Dims of batch, output row and output column, channel.
const BATCH: usize = 0;
const ROW: usize = 4;
const COLUMN: usize = 5;
const CHANNEL: usize = 7;

/// Bound sampling.
#[derive(Debug)]
pub(crate) struct GridSample {
    is_zero_outside: bool,
    extents: [usize; 2],
    /// Factor and addend from a position to a pixel index, for rows and columns.
    to_pixels: [(f32, f32); 2],
    y_offset: usize,
    /// Pixels of output and positions.
    pixels: Dims<2>,
    starts: [usize; 2],
    pixels_per_batch: u64,
    channels: usize,
    out_step: usize,
    image_start: usize,
    /// Strides of the image over batch, row, column, channel.
    image_steps: [usize; 4],
    output: Target<f32>,
    image: Source<f32>,
    places: Source<f32>,
}

impl Kernel for GridSample {
    type Operation = op::GridSample;

    fn bind(operation: &op::GridSample, binder: &Binder<'_>) -> Result<Self, BindError> {
        let dims = binder.dims();
        Ok(Self {
            is_zero_outside: operation.outside == Outside::Zeros,
            extents: operation.input.map(|extent| extent as usize),
            to_pixels: [0, 1].map(|axis| operation.to_pixels(axis)),
            y_offset: operation.y_offset as usize,
            pixels: Dims::new(binder, 0..DIMS - 1, [0, 2]),
            starts: [0, 2].map(|slot| binder.start(slot)),
            pixels_per_batch: u64::from(dims[ROW]) * u64::from(dims[COLUMN]),
            channels: dims[CHANNEL] as usize,
            out_step: binder.strides(0)[CHANNEL] as usize,
            image_start: binder.start(1),
            image_steps: [BATCH, ROW, COLUMN, CHANNEL].map(|dim| binder.strides(1)[dim] as usize),
            output: binder.output()?,
            image: binder.f32(1)?,
            places: binder.f32(2)?,
        })
    }

    #[inline(always)]
    fn run<I: Isa>(&self, _: I, tile: Tile<'_>) {
        let image = tile.inputs.read(self.image);
        let mut output = tile.output.open(self.output);
        let mut walk = self.pixels.walk(tile.units.start, self.starts);
        let mut chunk = Chunk { from: [[0; CHUNK]; TAPS], weights: [[0.0; CHUNK]; TAPS], to: [0; CHUNK] };
        let mut first = tile.units.start;
        while first < tile.units.end {
            let count = CHUNK.min((tile.units.end - first) as usize);
            for at in 0..count {
                self.locate(tile.inputs, first + at as u64, walk.offsets, &mut chunk, at);
                walk.next();
            }
            if self.image_steps[3] == 1 {
                self.sum_channels(image, &chunk, count, &mut output);
            } else {
                self.sum_pixels(image, &chunk, count, &mut output);
            }
            first += count as u64;
        }
    }
}

/// Elements and weights for some pixels.
struct Chunk {
    /// Of channel 0.
    from: [[usize; CHUNK]; TAPS],
    weights: [[f32; CHUNK]; TAPS],
    /// Offsets in the output, of channel 0.
    to: [usize; CHUNK],
}

impl GridSample {
    /// Computes elements and weights of a pixel.
    #[inline(always)]
    fn locate(&self, inputs: Inputs<'_>, pixel: u64, [to, place]: [usize; 2], chunk: &mut Chunk, at: usize) {
        let places = inputs.read(self.places);
        let (x, y) = (places[place], places[place + self.y_offset]);
        let [(y_factor, y_addend), (x_factor, x_addend)] = self.to_pixels;
        let [rows, columns] = self.extents;
        let down = taps(y * y_factor + y_addend, rows, self.is_zero_outside);
        let across = taps(x * x_factor + x_addend, columns, self.is_zero_outside);
        let [batch_step, row_step, column_step, _] = self.image_steps;
        let first = self.image_start + (pixel / self.pixels_per_batch) as usize * batch_step;
        for tap in 0..TAPS {
            let ((y, y_weight), (x, x_weight)) = (down[tap / 2], across[tap % 2]);
            chunk.from[tap][at] = first + y * row_step + x * column_step;
            chunk.weights[tap][at] = y_weight * x_weight;
        }
        chunk.to[at] = to;
    }

    #[inline(always)]
    fn sum_channels(&self, image: &[f32], chunk: &Chunk, count: usize, output: &mut Output<'_, f32>) {
        for pixel in 0..count {
            for from in (0..self.channels).step_by(CHUNK) {
                let mut sums = [0.0f32; CHUNK];
                let sums = &mut sums[..CHUNK.min(self.channels - from)];
                for tap in 0..TAPS {
                    let values = &image[chunk.from[tap][pixel] + from..][..sums.len()];
                    let weight = chunk.weights[tap][pixel];
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum += weight * value;
                    }
                }
                output.write(chunk.to[pixel] + from * self.out_step, self.out_step, sums);
            }
        }
    }

    #[inline(always)]
    fn sum_pixels(&self, image: &[f32], chunk: &Chunk, count: usize, output: &mut Output<'_, f32>) {
        let is_adjacent = (1..count).all(|pixel| chunk.to[pixel] == chunk.to[0] + pixel);
        for channel in 0..self.channels {
            let image = &image[channel * self.image_steps[3]..];
            let mut sums = [0.0f32; CHUNK];
            for tap in 0..TAPS {
                let (from, weights) = (&chunk.from[tap], &chunk.weights[tap]);
                for pixel in 0..count {
                    sums[pixel] += weights[pixel] * image[from[pixel]];
                }
            }
            let beyond = channel * self.out_step;
            if is_adjacent {
                output.write(chunk.to[0] + beyond, 1, &sums[..count]);
            } else {
                for (to, sum) in chunk.to[..count].iter().zip(&sums) {
                    output.write(to + beyond, 1, core::slice::from_ref(sum));
                }
            }
        }
    }
}

/// Returns the two pixels around a position on an axis of `extent` pixels, each with its weight; both are inside. A NaN
/// position gives NaN weights.
#[inline(always)]
fn taps(at: f32, extent: usize, is_zero_outside: bool) -> [(usize, f32); 2] {
    let last = extent - 1;
    // The clamp does not change the result, and keeps whole numbers exact.
    let at = if is_zero_outside { at.clamp(-1.0, extent as f32) } else { at.clamp(0.0, last as f32) };
    let low = libm::floorf(at);
    let share = at - low;
    [tap(low, 1.0 - share, last), tap(low + 1.0, share, last)]
}

#[inline(always)]
fn tap(pixel: f32, weight: f32, last: usize) -> (usize, f32) {
    let is_inside = pixel >= 0.0 && pixel <= last as f32;
    // The conversion saturates: a position outside reads a pixel at the border.
    ((pixel as usize).min(last), if is_inside || weight.is_nan() { weight } else { 0.0 })
}
