//! What a product does with its sums: bias, residual, activation, and writing them.

use crate::arch::Isa;
use crate::memory::{FloatSource, Inputs, Output};
use core::ops::Range;
use sonotrace_format::function::Unary;
use sonotrace_format::panels::PANEL;

/// Processing of the sums: output, addends, activation. Strides are over columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue {
    pub out_step: usize,
    pub bias: Option<FloatSource>,
    pub bias_step: usize,
    /// Whether the bias is the same for all rows of a batch.
    pub is_bias_of_columns: bool,
    pub residual: Option<FloatSource>,
    pub residual_step: usize,
    pub activation: Unary,
}

impl Epilogue {
    /// Returns the addend of up to `WIDTH` columns, if it is the same for all rows, else zeros. `start` is its offset at column 0.
    #[inline(always)]
    pub fn addend_of_columns<const WIDTH: usize>(
        &self,
        inputs: Inputs<'_>,
        start: usize,
        columns: Range<usize>,
    ) -> [f32; WIDTH] {
        let mut addend = [0.0; WIDTH];
        if let Some(bias) = self.bias.filter(|_| self.is_bias_of_columns) {
            let to = &mut addend[..columns.len()];
            bias.load(inputs, start + columns.start * self.bias_step, self.bias_step, to);
        }
        addend
    }

    /// Whether each row has a bias of its own.
    fn has_bias_of_rows(&self) -> bool {
        self.bias.is_some() && !self.is_bias_of_columns
    }

    /// Whether results are the scaled sums, with what is added in registers, side by side.
    pub fn is_scaled_sum(&self) -> bool {
        self.out_step == 1 && self.activation.is_copy() && !self.has_bias_of_rows()
    }

    /// Finds the residuals of some rows and of whole panels of columns; the last row is repeated. Returns `None` unless they are
    /// adjacent f32.
    #[inline(always)]
    pub fn residuals<'r, 'a>(
        &self,
        inputs: Inputs<'a>,
        rows: Range<usize>,
        (first, live): (usize, usize),
        place: impl Fn(usize) -> [usize; 3],
        residuals: &'r mut [&'a [f32]],
    ) -> Option<&'r [&'a [f32]]> {
        let Some(FloatSource::F32(source)) = self.residual else { return None };
        // A row's bias is added first, so that all kernels round alike.
        if self.residual_step != 1 || !live.is_multiple_of(PANEL) || self.has_bias_of_rows() {
            return None;
        }
        for (lane, to) in residuals.iter_mut().enumerate() {
            let row = (rows.start + lane).min(rows.end - 1);
            *to = &inputs.read(source)[place(row)[2] + first..][..live];
        }
        Some(residuals)
    }

    /// Adds each row's own addends to the sums of some rows. `first` and `live` are the first column and the number of columns inside
    /// the result; `has_residuals` says that the residuals are in the sums; `place` returns the offsets of a row in the output, the
    /// bias and the residual, at column 0.
    #[inline(always)]
    pub fn add<const WIDTH: usize>(
        &self,
        inputs: Inputs<'_>,
        (rows, sums): (Range<usize>, &mut [[f32; WIDTH]]),
        (first, live): (usize, usize),
        has_residuals: bool,
        place: impl Fn(usize) -> [usize; 3],
    ) {
        let bias = self.bias.filter(|_| self.has_bias_of_rows());
        let residual = self.residual.filter(|_| !has_residuals);
        for (slot, addend, step) in [(1, bias, self.bias_step), (2, residual, self.residual_step)] {
            let Some(addend) = addend else { continue };
            let mut buffer = [0.0f32; WIDTH];
            for (row, values) in rows.clone().zip(&mut *sums) {
                let addend = addend.view(inputs, place(row)[slot] + first * step, step, &mut buffer[..live]);
                for (value, addend) in values.iter_mut().zip(addend) {
                    *value += addend;
                }
            }
        }
    }

    /// Applies the activation to the sums of some rows, and writes them. The rest is as for [`Self::add`].
    #[inline(always)]
    pub fn finish<I: Isa, const WIDTH: usize>(
        &self,
        isa: I,
        output: &mut Output<'_, f32>,
        (rows, sums): (Range<usize>, &mut [[f32; WIDTH]]),
        (first, live): (usize, usize),
        place: impl Fn(usize) -> [usize; 3],
    ) {
        if !self.activation.is_copy() {
            // Whole vectors; what is computed behind the last column is not written.
            let whole = live.next_multiple_of(PANEL);
            if whole == WIDTH {
                // All rows at once: each element waits for its own steps, the processor computes others meanwhile.
                isa.unary(self.activation, sums.as_flattened_mut());
            } else {
                for values in &mut *sums {
                    isa.unary(self.activation, &mut values[..whole]);
                }
            }
        }
        let start = place(rows.start)[0];
        let are_adjacent = || rows.clone().enumerate().all(|(at, row)| place(row)[0] == start + at);
        if self.out_step != 1 && are_adjacent() {
            // The elements of a column are adjacent.
            for column in 0..live {
                let to = output.row(start + (first + column) * self.out_step, rows.len());
                for (to, values) in to.iter_mut().zip(&*sums) {
                    *to = values[column];
                }
            }
            return;
        }
        for (row, values) in rows.zip(sums) {
            let to = place(row)[0] + first * self.out_step;
            if (self.out_step, live) == (1, WIDTH) {
                // The length is constant: a copy of whole vectors.
                output.row(to, WIDTH).copy_from_slice(values);
            } else {
                output.write(to, self.out_step, &values[..live]);
            }
        }
    }
}
