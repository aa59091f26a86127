//! Resampling along one dimension with tables of taps: linear, nearest or cubic resizing, as the compiler's tables
//! define.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::memory::{FloatSource, Source, Target, Tile};
use crate::walk::{ROW_CHUNK, Rows};
use sonotrace_format::DIMS;
use sonotrace_format::op;

/// Bound resampling.
#[derive(Debug)]
pub(crate) struct Resample {
    /// Whether the resampled dimension is the last one, along a row.
    is_last: bool,
    /// Extent of the dimension, and rows per index of it.
    extent: u64,
    rows_per_index: u64,
    taps: usize,
    input_step: usize,
    /// Rows of output and input.
    rows: Rows<2>,
    output: Target<f32>,
    input: Source<f32>,
    indices: Source<i32>,
    weights: Source<f32>,
}

impl Kernel for Resample {
    type Operation = op::Resample;

    fn bind(operation: &op::Resample, binder: &Binder<'_>) -> Result<Self, BindError> {
        let (axis, dims) = (operation.axis as usize, binder.dims());
        let last = DIMS - 1;
        let inner = &dims[(axis + 1).min(last)..last];
        Ok(Self {
            is_last: axis == last,
            extent: dims[axis].into(),
            rows_per_index: inner.iter().map(|&extent| u64::from(extent)).product(),
            taps: operation.taps as usize,
            input_step: operation.input_stride as usize,
            rows: Rows::new(binder, [0, 1], dims[last].into()),
            output: binder.output()?,
            input: binder.f32(1)?,
            indices: binder.i32(2)?,
            weights: binder.f32(3)?,
        })
    }

    #[inline(always)]
    fn run<I: Isa>(&self, _: I, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        let values = tile.inputs.read(self.input);
        let (indices, weights) = (tile.inputs.read(self.indices), tile.inputs.read(self.weights));
        let taps_of = |index: usize| {
            let range = index * self.taps..(index + 1) * self.taps;
            indices[range.clone()].iter().map(|&index| index as usize * self.input_step).zip(&weights[range])
        };
        let (mut sums, mut buffer) = ([0.0f32; ROW_CHUNK], [0.0f32; ROW_CHUNK]);
        let [to_step, from_step] = self.rows.steps;
        for chunk in self.rows.chunks(tile.units) {
            let ([to, from], sums) = (chunk.offsets, &mut sums[..chunk.length]);
            if self.is_last {
                // The stride of the input over the resampled dimension is 0.
                for (column, sum) in (chunk.column..).zip(sums.iter_mut()) {
                    *sum = taps_of(column).map(|(at, weight)| weight * values[from + at]).sum();
                }
            } else {
                sums.fill(0.0);
                let index = (chunk.row / self.rows_per_index % self.extent) as usize;
                for (at, weight) in taps_of(index) {
                    let buffer = &mut buffer[..sums.len()];
                    let tap = FloatSource::F32(self.input).view(tile.inputs, from + at, from_step, buffer);
                    for (sum, value) in sums.iter_mut().zip(tap) {
                        *sum += weight * value;
                    }
                }
            }
            output.write(to, to_step, sums);
        }
    }
}
