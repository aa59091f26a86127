//! Samples an image at computed positions (ONNX GridSample, bilinear). Networks use it to move masks with the tissue.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::memory::{FloatSource, Source, Target, Tile};
use crate::walk::Dims;
use sonotrace_format::DIMS;
use sonotrace_format::op::{self, Outside};

/// Channels that are summed and written together.
const CHUNK: usize = 64;

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
        let places = tile.inputs.read(self.places);
        let units = tile.units;
        let mut walk = self.pixels.walk(units.start, self.starts);
        let mut output = tile.output.open(self.output);
        let [batch_step, row_step, column_step, channel_step] = self.image_steps;
        let [mut sums, mut buffer] = [[0.0f32; CHUNK]; 2];
        for pixel in units {
            let [to, place] = walk.offsets;
            let [x, y] = [places[place], places[place + self.y_offset]];
            let [down, across] = [0, 1].map(|axis| {
                let (factor, addend) = self.to_pixels[axis];
                taps([y, x][axis] * factor + addend, self.extents[axis], self.is_zero_outside)
            });
            let first = self.image_start + (pixel / self.pixels_per_batch) as usize * batch_step;
            for from in (0..self.channels).step_by(CHUNK) {
                let sums = &mut sums[..CHUNK.min(self.channels - from)];
                sums.fill(0.0);
                for (y, down) in down {
                    for (x, across) in across {
                        let start = first + y * row_step + x * column_step + from * channel_step;
                        let buffer = &mut buffer[..sums.len()];
                        let values =
                            FloatSource::F32(self.image).view(tile.inputs, start, channel_step, buffer);
                        let weight = down * across;
                        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
                    }
                }
                output.write(to + from * self.out_step, self.out_step, sums);
            }
            walk.next();
        }
    }
}

/// Returns the two pixels around a position on an axis of `extent` pixels, each with its weight; both are inside. A NaN
/// position gives NaN weights.
fn taps(at: f32, extent: usize, is_zero_outside: bool) -> [(usize, f32); 2] {
    let last = extent - 1;
    // The clamp does not change the result, and keeps whole numbers exact.
    let at = if is_zero_outside { at.clamp(-1.0, extent as f32) } else { at.clamp(0.0, last as f32) };
    let low = libm::floorf(at);
    let share = at - low;
    [(low, 1.0 - share), (low + 1.0, share)].map(|(pixel, weight)| {
        let is_inside = pixel >= 0.0 && pixel <= last as f32;
        // The conversion saturates: a position outside reads a pixel at the border.
        ((pixel as usize).min(last), if is_inside || weight.is_nan() { weight } else { 0.0 })
    })
}
