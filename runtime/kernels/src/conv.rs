//! Dense convolutions: products whose rows are gathered from an image.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::epilogue::Epilogue;
use crate::grid::UnitGrid;
use crate::memory::{Source, Target, Tile};
use crate::product::{Factor, Parts, Piece, ProductGrid, Rows, TileProduct};
use crate::window::WindowAxis;
use core::ops::Range;
use sonotrace_format::op;

/// Dims of batch, group, output row, output column, output channel, input channel.
const BATCH: usize = 0;
const GROUP: usize = 1;
const ROW: usize = 4;
const COLUMN: usize = 5;
const OUT_CHANNEL: usize = 6;
const IN_CHANNEL: usize = 7;

/// Elements of a window's row, below which the windows of several pixels are copied together.
const NARROW: usize = 16;

/// Bound convolution.
#[derive(Debug)]
pub(crate) struct Conv {
    grid: ProductGrid,
    axes: [WindowAxis; 2],
    groups: usize,
    /// Columns of a group among the packed weights.
    group_columns: usize,
    out_columns: usize,
    in_channels: usize,
    /// Whether the window is a pixel, always inside the image.
    is_pointwise: bool,
    image: Source<f32>,
    /// Start of the image, and its strides over batch and group, and over row, column, channel.
    image_start: usize,
    image_batch_steps: [usize; 2],
    image_steps: [usize; 3],
    factor: Factor,
    output: Target<f32>,
    /// Starts of output and residual, and their strides over batch, group, row, column.
    to_starts: [usize; 2],
    to_steps: [[usize; 4]; 2],
    bias_start: usize,
    bias_group_step: usize,
    epilogue: Epilogue,
}

impl Kernel for Conv {
    type Operation = op::Conv;

    fn bind(operation: &op::Conv, binder: &Binder<'_>) -> Result<Self, BindError> {
        let dims = binder.dims();
        let step = |slot: usize, dim: usize| binder.strides(slot)[dim] as usize;
        let axes = WindowAxis::both(&operation.window);
        let is_pixel = |axis: &WindowAxis, count: u32| {
            axis.kernel() == 1 && axis.outputs_inside(0, count as usize).len() == count as usize
        };
        let pixels = u64::from(dims[ROW]) * u64::from(dims[COLUMN]);
        Ok(Self {
            grid: ProductGrid::new(
                binder,
                operation.arithmetic,
                u64::from(dims[BATCH]) * u64::from(dims[GROUP]),
                [pixels, dims[OUT_CHANNEL].into()],
            )?,
            axes,
            groups: dims[GROUP] as usize,
            group_columns: op::Conv::group_columns(dims) as usize,
            is_pointwise: is_pixel(&axes[0], dims[ROW]) && is_pixel(&axes[1], dims[COLUMN]),
            out_columns: dims[COLUMN] as usize,
            in_channels: dims[IN_CHANNEL] as usize,
            image: binder.f32(1)?,
            image_start: binder.start(1),
            image_batch_steps: [BATCH, GROUP].map(|dim| step(1, dim)),
            image_steps: [ROW, COLUMN, IN_CHANNEL].map(|dim| step(1, dim)),
            factor: Factor::new(binder, operation.arithmetic, || Err(BindError::Operand { slot: 2 }))?,
            output: binder.output()?,
            to_starts: [0, 4].map(|slot| binder.start(slot)),
            to_steps: [0, 4].map(|slot| [BATCH, GROUP, ROW, COLUMN].map(|dim| step(slot, dim))),
            bias_start: binder.start(3),
            bias_group_step: step(3, GROUP),
            epilogue: Epilogue {
                out_step: step(0, OUT_CHANNEL),
                bias: binder.floats_if_any(3)?,
                bias_step: step(3, OUT_CHANNEL),
                is_bias_of_columns: true,
                residual: binder.floats_if_any(4)?,
                residual_step: step(4, OUT_CHANNEL),
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
        let (batch, group) = (piece.batch as usize / self.groups, piece.batch as usize % self.groups);
        let piece = Piece { first_packed: group * self.group_columns, ..piece };
        let [batch_step, group_step] = self.image_batch_steps;
        let image =
            &tile.inputs.read(self.image)[self.image_start + batch * batch_step + group * group_step..];
        let place = |pixel: usize| {
            let (y, x) = (pixel / self.out_columns, pixel % self.out_columns);
            let at = |which: usize| {
                let [batch_step, group_step, row_step, column_step] = self.to_steps[which];
                let start = self.to_starts[which] + batch * batch_step + group * group_step;
                start + y * row_step + x * column_step
            };
            [at(0), self.bias_start + group * self.bias_group_step, at(1)]
        };
        let mut output = tile.output.open(self.output);
        let rows = Windows { conv: self, image };
        let product = TileProduct {
            grid: &self.grid,
            piece: &piece,
            inputs: tile.inputs,
            rows: &rows,
            epilogue: &self.epilogue,
            place,
        };
        self.factor.multiply(isa, &product, tile.scratch, &mut output);
    }
}

/// The windows of output pixels: rows of the product.
struct Windows<'t> {
    conv: &'t Conv,
    /// The image of one batch.
    image: &'t [f32],
}

impl Rows for Windows<'_> {
    #[inline(always)]
    fn parts(&self, pixel: usize) -> Option<Parts<'_>> {
        // Rows of one part are so for all pixels, or for none.
        let [rows, columns] = self.conv.axes;
        let (y, x) = (pixel / self.conv.out_columns, pixel % self.conv.out_columns);
        let [row_step, column_step, _] = self.conv.image_steps;
        let is_inside =
            rows.taps_inside(y).len() == rows.kernel() && columns.taps_inside(x).len() == columns.kernel();
        let is_possible = self.conv.is_pointwise || rows.kernel() > 1 && rows.dilation() == 1;
        if !self.has_adjacent_taps() || !is_possible || !is_inside {
            return None;
        }
        let (y, x) = rows.input_at(y, 0).zip(columns.input_at(x, 0))?;
        let values = &self.image[y * row_step + x * column_step..];
        let length = columns.kernel() * self.conv.in_channels;
        Some(Parts { values, step: row_step, count: rows.kernel(), length })
    }

    #[inline(always)]
    fn load(&self, pixels: Range<usize>, k: usize, to: &mut [f32]) {
        let is_narrow = self.conv.in_channels * self.conv.axes[1].kernel() < NARROW;
        if is_narrow || self.conv.image_steps[2] != 1 {
            return self.load_by_element(pixels, k, to);
        }
        for (pixel, to) in pixels.zip(to.chunks_exact_mut(k)) {
            self.load_window(pixel, to);
        }
    }
}

impl Windows<'_> {
    /// Whether the elements of a kernel row are adjacent in the image.
    #[inline(always)]
    fn has_adjacent_taps(&self) -> bool {
        let ([_, column_step, channel_step], channels) = (self.conv.image_steps, self.conv.in_channels);
        (channel_step == 1 || channels == 1) && column_step == channels && self.conv.axes[1].dilation() == 1
    }

    /// Copies one element of the windows of neighbouring pixels after the other: for windows with short rows, or whose channels are
    /// apart.
    #[inline(always)]
    fn load_by_element(&self, pixels: Range<usize>, k: usize, to: &mut [f32]) {
        let [row_step, column_step, channel_step] = self.conv.image_steps;
        let [rows, columns] = self.conv.axes;
        let (width, channels) = (self.conv.out_columns, self.conv.in_channels);
        to[..pixels.len() * k].fill(0.0);
        let mut first = pixels.start;
        while first < pixels.end {
            // The pixels of one output row.
            let (y, from) = (first / width, first % width);
            let end = pixels.end.min(first - from + width);
            let to = &mut to[(first - pixels.start) * k..];
            for (tap, (ky, kx)) in
                (0..rows.kernel()).flat_map(|ky| (0..columns.kernel()).map(move |kx| (ky, kx))).enumerate()
            {
                let inside = columns.outputs_inside(kx, width);
                let (start, stop) = (inside.start.max(from), inside.end.min(from + end - first));
                if start >= stop {
                    continue;
                }
                let Some((y, x)) = rows.input_at(y, ky).zip(columns.input_at(start, kx)) else { continue };
                for channel in 0..channels {
                    let image = &self.image[y * row_step + x * column_step + channel * channel_step..];
                    let to = &mut to[(start - from) * k + tap * channels + channel..];
                    let to = to.chunks_mut(k).take(stop - start);
                    match columns.stride() * column_step {
                        // One element is repeated.
                        0 => to.for_each(|to| to[0] = image[0]),
                        step => {
                            for (to, from) in to.zip(image.chunks(step)) {
                                to[0] = from[0];
                            }
                        }
                    }
                }
            }
            first = end;
        }
    }

    /// Copies all channels, which are adjacent, of each kernel element; zero outside the image.
    #[inline(always)]
    fn load_window(&self, pixel: usize, to: &mut [f32]) {
        let [row_step, column_step, _] = self.conv.image_steps;
        let [rows, columns] = self.conv.axes;
        let (y, x) = (pixel / self.conv.out_columns, pixel % self.conv.out_columns);
        let channels = self.conv.in_channels;
        if self.has_adjacent_taps() {
            for (ky, to) in to.chunks_exact_mut(columns.kernel() * channels).enumerate() {
                let inside = columns.taps_inside(x);
                let (before, rest) = to.split_at_mut(inside.start * channels);
                let (covered, after) = rest.split_at_mut(inside.len() * channels);
                match rows.input_at(y, ky).zip(columns.input_at(x, inside.start)) {
                    Some((y, x)) => {
                        before.fill(0.0);
                        let from = &self.image[y * row_step + x * column_step..][..covered.len()];
                        for (to, from) in covered.iter_mut().zip(from) {
                            *to = *from;
                        }
                        after.fill(0.0);
                    }
                    None => to.fill(0.0),
                }
            }
            return;
        }
        for (tap, to) in to.chunks_exact_mut(channels).enumerate() {
            let (ky, kx) = (tap / columns.kernel(), tap % columns.kernel());
            let Some((y, x)) = rows.input_at(y, ky).zip(columns.input_at(x, kx)) else {
                to.fill(0.0);
                continue;
            };
            to.copy_from_slice(&self.image[y * row_step + x * column_step..][..to.len()]);
        }
    }
}
