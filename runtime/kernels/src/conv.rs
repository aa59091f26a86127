//! Dense convolutions: products whose rows are gathered from an image.

use crate::arch::{Isa, ROWS_MAX};
use crate::bind::{BindError, Binder, Kernel};
use crate::grid::UnitGrid;
use crate::int8;
use crate::memory::{Source, Target, Tile};
use crate::product::{Epilogue, Factor, ProductGrid, multiply};
use crate::window::WindowAxis;
use core::ops::Range;
use sonotrace_format::op;

/// Dims of batch, output row, output column, output channel, input channel.
const BATCH: usize = 0;
const ROW: usize = 4;
const COLUMN: usize = 5;
const OUT_CHANNEL: usize = 6;
const IN_CHANNEL: usize = 7;

/// Bound convolution.
#[derive(Debug)]
pub(crate) struct Conv {
    grid: ProductGrid,
    axes: [WindowAxis; 2],
    out_columns: usize,
    image: Source<f32>,
    /// Start of the image, and its strides over batch, row, column, channel.
    image_start: usize,
    image_steps: [usize; 4],
    factor: Factor,
    output: Target<f32>,
    /// Start of the output, and its strides over batch, row, column.
    out_start: usize,
    out_steps: [usize; 3],
    bias_start: usize,
    epilogue: Epilogue,
}

impl Kernel for Conv {
    type Operation = op::Conv;

    fn bind(operation: &op::Conv, binder: &Binder<'_>) -> Result<Self, BindError> {
        let dims = binder.dims();
        let step = |slot: usize, dim: usize| binder.strides(slot)[dim] as usize;
        let pixels = u64::from(dims[ROW]) * u64::from(dims[COLUMN]);
        Ok(Self {
            grid: ProductGrid::new(binder, operation.arithmetic, dims[BATCH].into(), pixels)?,
            axes: WindowAxis::both(&operation.window),
            out_columns: dims[COLUMN] as usize,
            image: binder.f32(1)?,
            image_start: binder.start(1),
            image_steps: [BATCH, ROW, COLUMN, IN_CHANNEL].map(|dim| step(1, dim)),
            factor: Factor::new(binder, operation.arithmetic, || Err(BindError::Operand { slot: 2 }))?,
            output: binder.output()?,
            out_start: binder.start(0),
            out_steps: [BATCH, ROW, COLUMN].map(|dim| step(0, dim)),
            bias_start: binder.start(3),
            epilogue: Epilogue {
                out_step: step(0, OUT_CHANNEL),
                bias: binder.floats_if_any(3)?,
                bias_step: step(3, OUT_CHANNEL),
                activation: operation.activation,
            },
        })
    }

    fn grid(&self, _: &Binder<'_>) -> UnitGrid {
        self.grid.tiles()
    }

    #[inline(always)]
    fn run<I: Isa>(&self, isa: I, tile: Tile<'_>) {
        let piece = self.grid.piece(tile.units.start);
        let image =
            &tile.inputs.read(self.image)[self.image_start + piece.batch as usize * self.image_steps[0]..];
        let [batch_step, row_step, column_step] = self.out_steps;
        let start = self.out_start + piece.batch as usize * batch_step;
        let place = |pixel: usize| {
            let (y, x) = (pixel / self.out_columns, pixel % self.out_columns);
            (start + y * row_step + x * column_step, self.bias_start)
        };
        let mut output = tile.output.open(self.output);
        let to = (&mut output, &self.epilogue);
        match self.factor {
            Factor::Int8(panels) => {
                let load = |pixel: usize, values: &mut [f32]| self.gather_one(image, pixel, values);
                int8::multiply(isa, &self.grid, &piece, tile.inputs, panels, tile.scratch, load, to, place);
            }
            Factor::Float(columns) => {
                let (packed, panel) = self.grid.cut(tile.scratch, &piece.rows);
                self.gather::<I>(image, &piece.rows, packed);
                multiply(isa, &self.grid, &piece, tile.inputs, &columns, (packed, panel), to, place);
            }
        }
    }
}

impl Conv {
    /// Packs the window of each pixel, in groups of [`Isa::ROWS`] pixels, interleaved over `k`; zero outside the image and
    /// in the padding of the last group.
    #[inline(always)]
    fn gather<I: Isa>(&self, image: &[f32], pixels: &Range<usize>, packed: &mut [f32]) {
        let [_, row_step, column_step, channel_step] = self.image_steps;
        let [rows, columns] = self.axes;
        let taps = rows.kernel() * columns.kernel();
        for (group, packed) in packed.chunks_exact_mut(self.grid.k * I::ROWS).enumerate() {
            let first = pixels.start + group * I::ROWS;
            // Row and column of each pixel of the group.
            let group: [Option<(usize, usize)>; ROWS_MAX] = core::array::from_fn(|lane| {
                let pixel = first + lane;
                (lane < I::ROWS && pixel < pixels.end)
                    .then(|| (pixel / self.out_columns, pixel % self.out_columns))
            });
            for tap in 0..taps {
                let (ky, kx) = (tap / columns.kernel(), tap % columns.kernel());
                let places = group.map(|pixel| {
                    let (y, x) = pixel?;
                    Some(rows.input_at(y, ky)? * row_step + columns.input_at(x, kx)? * column_step)
                });
                let adjacent = places[0].filter(|first| {
                    places[..I::ROWS].iter().enumerate().all(|(lane, &place)| place == Some(first + lane))
                });
                // All channels of the tap.
                for (channel, to) in packed[tap * I::ROWS..].chunks_mut(taps * I::ROWS).enumerate() {
                    let (to, at) = (&mut to[..I::ROWS], channel * channel_step);
                    match adjacent {
                        Some(first) => to.copy_from_slice(&image[first + at..][..I::ROWS]),
                        None => to
                            .iter_mut()
                            .zip(&places)
                            .for_each(|(to, place)| *to = place.map_or(0.0, |place| image[place + at])),
                    }
                }
            }
        }
    }

    /// Copies the window of a pixel; zero outside the image.
    #[inline(always)]
    fn gather_one(&self, image: &[f32], pixel: usize, values: &mut [f32]) {
        let [_, row_step, column_step, channel_step] = self.image_steps;
        let [rows, columns] = self.axes;
        let taps = rows.kernel() * columns.kernel();
        let (y, x) = (pixel / self.out_columns, pixel % self.out_columns);
        for tap in 0..taps {
            let place =
                rows.input_at(y, tap / columns.kernel()).zip(columns.input_at(x, tap % columns.kernel()));
            let to = values[tap..].iter_mut().step_by(taps);
            match place {
                Some((y, x)) => {
                    let image = &image[y * row_step + x * column_step..];
                    to.enumerate().for_each(|(channel, to)| *to = image[channel * channel_step]);
                }
                None => to.for_each(|to| *to = 0.0),
            }
        }
    }
}
