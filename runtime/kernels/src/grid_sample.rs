//! Samples an image at computed positions (ONNX GridSample, bilinear). Networks use it to move masks with the tissue.
//!
//! The elements and weights for some pixels are computed first. Then the channels of each pixel are summed together if they are
//! adjacent, else the pixels of each channel.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::lanes::sum_rows;
use crate::memory::{FloatSource, Output, Source, Target, Tile};
use crate::walk::Dims;
use sonotrace_format::op::{self, Outside};

/// Pixels of a row that are located together, or channels of a pixel that are written together.
const CHUNK: usize = 64;
/// Elements around a position.
const TAPS: usize = 4;

/// Dims of output row and output column, channel.
const ROW: usize = 4;
const COLUMN: usize = 5;
const CHANNEL: usize = 7;

/// Bound sampling.
#[derive(Debug)]
pub(crate) struct GridSample {
    axes: [Axis; 2],
    y_offset: usize,
    /// Batches of output, positions and image.
    batches: Dims<3>,
    starts: [usize; 3],
    rows: usize,
    columns: usize,
    /// Strides of output and positions.
    row_steps: [usize; 2],
    column_steps: [usize; 2],
    channels: usize,
    /// Strides of output and image.
    channel_steps: [usize; 2],
    output: Target<f32>,
    image: Source<f32>,
    places: Source<f32>,
}

impl Kernel for GridSample {
    type Operation = op::GridSample;

    fn bind(operation: &op::GridSample, binder: &Binder<'_>) -> Result<Self, BindError> {
        let dims = binder.dims();
        let steps = |slots: [usize; 2], dim: usize| slots.map(|slot| binder.strides(slot)[dim] as usize);
        let axis = |axis: usize| Axis {
            extent: operation.input[axis],
            step: binder.strides(1)[ROW + axis],
            to_pixels: operation.to_pixels(axis),
            is_zero_outside: operation.outside == Outside::Zeros,
        };
        Ok(Self {
            axes: [axis(0), axis(1)],
            y_offset: operation.y_offset as usize,
            batches: Dims::new(binder, 0..ROW, [0, 2, 1]),
            starts: [0, 2, 1].map(|slot| binder.start(slot)),
            rows: dims[ROW] as usize,
            columns: dims[COLUMN] as usize,
            row_steps: steps([0, 2], ROW),
            column_steps: steps([0, 2], COLUMN),
            channels: dims[CHANNEL] as usize,
            channel_steps: steps([0, 1], CHANNEL),
            output: binder.output()?,
            image: binder.f32(1)?,
            places: binder.f32(2)?,
        })
    }

    #[inline(always)]
    fn run<I: Isa>(&self, _: I, tile: Tile<'_>) {
        let image = tile.inputs.read(self.image);
        let places = FloatSource::F32(self.places);
        let mut output = tile.output.open(self.output);
        let mut taps = Taps { from: [[0; CHUNK]; TAPS], weights: [[0.0; CHUNK]; TAPS] };
        let (mut x, mut y) = ([0.0; CHUNK], [0.0; CHUNK]);
        let [to_step, place_step] = self.column_steps;
        let (mut pixel, end) = (tile.units.start as usize, tile.units.end as usize);
        while pixel < end {
            let (row, column) = (pixel / self.columns, pixel % self.columns);
            let count = CHUNK.min(self.columns - column).min(end - pixel);
            let batch = self.batches.walk((row / self.rows) as u64, self.starts);
            let [to, place, first] = batch.offsets;
            let row = row % self.rows;
            let to = to + row * self.row_steps[0] + column * to_step;
            let place = place + row * self.row_steps[1] + column * place_step;
            places.load(tile.inputs, place, place_step, &mut x[..count]);
            places.load(tile.inputs, place + self.y_offset, place_step, &mut y[..count]);
            taps.locate(&self.axes, first as u32, [&y, &x]);
            if self.channel_steps[1] == 1 {
                for pixel in 0..count {
                    self.sum_channels(image, &taps.of(pixel), to + pixel * to_step, &mut output);
                }
            } else {
                self.sum_pixels(image, &taps, count, to, &mut output);
            }
            pixel += count;
        }
    }
}

impl GridSample {
    #[inline(always)]
    fn sum_channels(
        &self,
        image: &[f32],
        taps: &[(usize, f32); TAPS],
        to: usize,
        output: &mut Output<'_, f32>,
    ) {
        let step = self.channel_steps[0];
        if step == 1 {
            return sum_rows(image, taps, output.row(to, self.channels));
        }
        let mut sums = [0.0f32; CHUNK];
        for from in (0..self.channels).step_by(CHUNK) {
            let sums = &mut sums[..CHUNK.min(self.channels - from)];
            sum_rows(&image[from..], taps, sums);
            output.write(to + from * step, step, sums);
        }
    }

    #[inline(always)]
    fn sum_pixels(&self, image: &[f32], taps: &Taps, count: usize, to: usize, output: &mut Output<'_, f32>) {
        let [to_step, step] = self.channel_steps;
        for channel in 0..self.channels {
            let image = &image[channel * step..];
            let mut sums = [0.0f32; CHUNK];
            for (pixel, to) in sums[..count].iter_mut().enumerate() {
                let mut sum = 0.0;
                for (from, weight) in taps.of(pixel) {
                    sum += weight * image[from];
                }
                *to = sum;
            }
            output.write(to + channel * to_step, self.column_steps[0], &sums[..count]);
        }
    }
}

/// Elements and weights for some pixels.
struct Taps {
    /// Of channel 0.
    from: [[u32; CHUNK]; TAPS],
    weights: [[f32; CHUNK]; TAPS],
}

impl Taps {
    /// Computes those of positions, given by rows and columns, in an image that starts at `first`. The number of pixels is
    /// constant, so that they are computed in vectors.
    #[inline(always)]
    fn locate(&mut self, axes: &[Axis; 2], first: u32, positions: [&[f32; CHUNK]; 2]) {
        let [rows, columns] = positions;
        for (pixel, (&y, &x)) in rows.iter().zip(columns).enumerate() {
            let (down, across) = (axes[0].taps(y), axes[1].taps(x));
            for tap in 0..TAPS {
                let ((y, y_weight), (x, x_weight)) = (down[tap / 2], across[tap % 2]);
                self.from[tap][pixel] = first + y + x;
                self.weights[tap][pixel] = y_weight * x_weight;
            }
        }
    }

    /// Returns the elements and weights of a pixel.
    #[inline(always)]
    fn of(&self, pixel: usize) -> [(usize, f32); TAPS] {
        [0, 1, 2, 3].map(|tap: usize| (self.from[tap][pixel] as usize, self.weights[tap][pixel]))
    }
}

/// Rows or columns of an image.
#[derive(Debug)]
struct Axis {
    extent: u32,
    /// Elements from one to the next.
    step: u32,
    /// Factor and addend from a position to a pixel index.
    to_pixels: (f32, f32),
    is_zero_outside: bool,
}

impl Axis {
    /// Returns the offsets of the two pixels around a position, each with its weight; both are inside. A NaN position gives NaN
    /// weights.
    #[inline(always)]
    fn taps(&self, position: f32) -> [(u32, f32); 2] {
        let last = (self.extent - 1).min(i32::MAX as u32) as i32;
        let (least, most) =
            if self.is_zero_outside { (-1.0, self.extent as f32) } else { (0.0, last as f32) };
        // The clamp does not change the result, and keeps whole numbers exact.
        let at = (position * self.to_pixels.0 + self.to_pixels.1).clamp(least, most);
        // Rounded down: the conversion rounds towards zero. It saturates, and converts NaN to 0.
        let whole = at as i32;
        let low = whole - i32::from(whole as f32 > at);
        let share = at - low as f32;
        [self.tap(low, 1.0 - share, last), self.tap(low.saturating_add(1), share, last)]
    }

    #[inline(always)]
    fn tap(&self, pixel: i32, weight: f32, last: i32) -> (u32, f32) {
        let inside = pixel.clamp(0, last);
        (inside as u32 * self.step, if inside == pixel || weight.is_nan() { weight } else { 0.0 })
    }
}
