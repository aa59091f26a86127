//! Transposed convolution, as one plain convolution for each phase of the output.
//!
//! With stride `s`, dilation `d` and padding `p`, output row `y` sums over the kernel rows `k` with
//! `k * d = y + p (mod s)`, from input row `(y + p - k * d) / s`. For the output rows `y = s * q + phase` these are
//! always the same kernel rows, evenly spaced, and the input row is `q` plus a constant for each: a convolution of
//! stride 1 with that part of the kernel, backwards, writing every `s`-th row. No inserted zeros are multiplied.

use super::Lowering;
use super::conv::{BATCH, CHANNEL, COLUMN, Groups, Image, ROW, Reach};
use crate::error::CompileError;
use crate::view::View;
use tract_core::internal::*;
use tract_core::ops::cnn::Deconv;

/// A phase of an axis: its kernel positions in the order of increasing input positions, and the convolution's reach.
struct Phase {
    taps: Vec<usize>,
    reach: Reach,
}

fn phase(phase: usize, kernel: usize, stride: usize, dilation: usize, pad: usize) -> Phase {
    let position = |tap: usize| (phase + pad) as i64 - (tap * dilation) as i64;
    let taps: Vec<usize> =
        (0..kernel).rev().filter(|&tap| position(tap).rem_euclid(stride as i64) == 0).collect();
    let input = |tap: usize| position(tap).div_euclid(stride as i64);
    let first = taps.first().map_or(0, |&tap| input(tap));
    let step = if taps.len() > 1 { input(taps[1]) - first } else { 1 };
    let reach = Reach { kernel: taps.len(), stride: 1, dilation: step as usize, pad: -first as i32 };
    Phase { taps, reach }
}

impl Lowering<'_> {
    pub(super) fn deconv(&mut self, node: &TypedNode, op: &Deconv) -> Result<View, CompileError> {
        let spec = &op.pool_spec;
        let view = self.input(node, 0)?;
        let input = self.image(node, &view, spec.data_format)?;
        let result = self.fresh(node, &self.output_shape(node)?);
        let output = self.image(node, &result, spec.data_format)?;
        let kernel = self.kernel(node, op.kernel_format, op.group)?;
        let [outputs, ..] = kernel.shape;
        let bias = self.bias(node, outputs * op.group)?;
        let rank = spec.rank();
        if spec.strides().contains(&0) || spec.dilations().contains(&0) {
            return Err(self.unsupported(node, "a stride or dilation is 0"));
        }
        let extents = &[input.extent(ROW), input.extent(COLUMN)][2 - rank.min(2)..];
        let padding = spec
            .padding
            .compute_for_deconv(
                extents,
                &spec.kernel_shape,
                &spec.dilations(),
                &spec.strides(),
                &op.adjustments,
            )
            .map_err(|problem| self.unsupported(node, format!("{problem:#}")))?;
        // One-dimensional data has one row and one kernel row.
        let axis = |at: usize| match (at + rank).checked_sub(2) {
            Some(axis) => {
                (spec.kernel_shape[axis], spec.stride(axis), spec.dilation(axis), padding[axis].pad_before)
            }
            None => (1, 1, 1, 0),
        };
        let [(kernel_h, stride_y, dilation_y, pad_y), (kernel_w, stride_x, dilation_x, pad_x)] =
            [axis(0), axis(1)];
        for (phase_y, phase_x) in (0..stride_y).flat_map(|y| (0..stride_x).map(move |x| (y, x))) {
            let rows = phase(phase_y, kernel_h, stride_y, dilation_y, pad_y);
            let columns = phase(phase_x, kernel_w, stride_x, dilation_x, pad_x);
            let count =
                |extent: usize, phase: usize, stride: usize| extent.saturating_sub(phase).div_ceil(stride);
            let (out_h, out_w) = (
                count(output.extent(ROW), phase_y, stride_y),
                count(output.extent(COLUMN), phase_x, stride_x),
            );
            if out_h == 0 || out_w == 0 {
                continue;
            }
            let part = output.sliced(ROW, phase_y, stride_y, out_h).sliced(COLUMN, phase_x, stride_x, out_w);
            if rows.taps.is_empty() || columns.taps.is_empty() {
                self.only_bias(node, &part, bias.clone())?;
                continue;
            }
            let groups = Groups { count: op.group, bias: bias.clone() };
            let weights = |group: usize, o: usize, i: usize, y: usize, x: usize| {
                kernel.at(group, o, i, rows.taps[y], columns.taps[x])
            };
            self.dense_conv(node, &input, &part, &groups, weights, [rows.reach, columns.reach]);
        }
        Ok(result)
    }

    /// A phase that no kernel element reaches.
    fn only_bias(
        &mut self,
        node: &TypedNode,
        output: &Image,
        bias: Option<Vec<f32>>,
    ) -> Result<(), CompileError> {
        let channels = output.extent(CHANNEL);
        let values = bias.unwrap_or_else(|| vec![0.0; channels]);
        let mut constant = self.float_constant(node, &[1, 1, 1, channels], values);
        for axis in [BATCH, ROW, COLUMN] {
            (constant.dims[axis], constant.strides[axis]) = (output.extent(axis), 0);
        }
        self.copy_into(node, output.view(), &constant, false)
    }
}
