//! Resampling along one dimension with tables of taps: linear, nearest or cubic resizing, as the compiler's tables
//! define. An output row is a weighted sum of input rows, along another dimension.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::grid::UnitGrid;
use crate::lanes::sum_rows;
use crate::memory::{Source, Target, Tile};
use crate::walk::{ROW_CHUNK, RowChunk, Rows};
use sonotrace_format::DIMS;
use sonotrace_format::op::{self, RESAMPLE_TAPS_MAX};

/// Longer rows are not better than others.
const LONG_ROW: u32 = 16;

/// Bound resampling.
#[derive(Debug)]
pub(crate) struct Resample {
    taps: usize,
    input_step: usize,
    /// Rows of output and input, and the first entry of a row in the tables.
    rows: Rows<3>,
    output: Target<f32>,
    input: Source<f32>,
    indices: Source<i32>,
    weights: Source<f32>,
}

impl Kernel for Resample {
    type Operation = op::Resample;

    fn bind(operation: &op::Resample, binder: &Binder<'_>) -> Result<Self, BindError> {
        let axis = operation.axis as usize;
        // Adjacent elements are better than long rows, above all of the input, which is read more than once.
        let value = |&dim: &usize| {
            let [out, input] = [0, 1].map(|slot| u32::from(binder.strides(slot)[dim] == 1));
            binder.dims()[dim].min(LONG_ROW) << (2 * input + out)
        };
        let dim = (0..DIMS).filter(|&dim| dim != axis).max_by_key(value).unwrap_or_default();
        let mut rows = Rows::along(binder, dim, [0, 1, 2]);
        rows.set_stride(2, axis, operation.taps);
        Ok(Self {
            taps: operation.taps as usize,
            input_step: operation.input_stride as usize,
            rows,
            output: binder.output()?,
            input: binder.f32(1)?,
            indices: binder.i32(2)?,
            weights: binder.f32(3)?,
        })
    }

    fn grid(&self, binder: &Binder<'_>) -> UnitGrid {
        self.rows.grid(binder, self.taps as u64)
    }

    #[inline(always)]
    fn run<I: Isa>(&self, _: I, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        let values = tile.inputs.read(self.input);
        let (indices, weights) = (tile.inputs.read(self.indices), tile.inputs.read(self.weights));
        let mut taps = [(0, 0.0f32); RESAMPLE_TAPS_MAX as usize];
        let mut sums = [0.0f32; ROW_CHUNK];
        let [to_step, from_step, _] = self.rows.steps;
        for RowChunk { offsets: [to, from, first], length, .. } in self.rows.chunks(tile.units) {
            let (taps, sums) = (&mut taps[..self.taps], &mut sums[..length]);
            for (tap, own) in taps.iter_mut().enumerate() {
                *own = (from + indices[first + tap] as usize * self.input_step, weights[first + tap]);
            }
            if [to_step, from_step] == [1, 1] {
                sum_rows(values, taps, output.row(to, length));
                continue;
            }
            if from_step == 1 {
                sum_rows(values, taps, sums);
            } else {
                sums.fill(0.0);
                for &mut (from, weight) in taps {
                    for (at, sum) in sums.iter_mut().enumerate() {
                        *sum += weight * values[from + at * from_step];
                    }
                }
            }
            output.write(to, to_step, sums);
        }
    }
}
