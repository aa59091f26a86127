//! Depthwise convolution, a row of one output channel at a time.

use super::rows::{base, stride};
use super::{Input, Op, activate, outer_rows, rows_of_tile};
use crate::model::format::{OpRecord, conv};

/// Output columns that are computed and written together.
const CHUNK: usize = 64;

/// A row of one output channel: its indices from a flat row number (batch, group, multiplier, row).
pub(super) struct OutputRow {
    pub batch: usize,
    pub group: usize,
    pub multiplier: usize,
    pub y: usize,
}

impl OutputRow {
    pub fn new(record: &OpRecord, flat: u64) -> Self {
        let [batches, .., height, _, groups, multipliers] = record.dims.map(u64::from);
        debug_assert!(flat < batches * groups * multipliers * height);
        Self {
            y: (flat % height) as usize,
            multiplier: (flat / height % multipliers) as usize,
            group: (flat / height / multipliers % groups) as usize,
            batch: (flat / height / multipliers / groups) as usize,
        }
    }

    /// Offset of an operand at this row's first column, its row stride left out where `with_y` is false.
    pub fn offset(&self, record: &OpRecord, slot: usize, with_y: bool) -> usize {
        let at = |dim: usize, index: usize| stride(record, slot, dim) * index;
        let y = if with_y { at(4, self.y) } else { 0 };
        base(record, slot) + at(0, self.batch) + at(6, self.group) + at(7, self.multiplier) + y
    }
}

/// Input position of an output position and kernel position along one axis, if inside the image.
#[inline]
pub(super) fn input_at(
    out: usize,
    k: usize,
    stride: u32,
    dilation: u32,
    pad: u32,
    extent: u32,
) -> Option<usize> {
    let at = out as i64 * i64::from(stride) + k as i64 * i64::from(dilation) - i64::from(pad as i32);
    (0..i64::from(extent)).contains(&at).then_some(at as usize)
}

pub(super) fn run(op: &Op<'_>, tile: u32) {
    let record = op.record;
    let p = &record.params;
    let image = op.inputs[0].f32();
    let width = record.dims[5] as usize;
    let (row_stride, column_stride) = (stride(record, 1, 4), stride(record, 1, 5));
    let mut sum = [0.0f32; CHUNK];
    for flat in rows_of_tile(outer_rows(record), record.tiles, tile) {
        let row = OutputRow::new(record, flat);
        let (image_at, weights_at) = (row.offset(record, 1, false), row.offset(record, 2, false));
        let mut bias = [0.0];
        if !matches!(op.inputs[2], Input::Missing) {
            op.inputs[2].load(row.offset(record, 3, false), 0, &mut bias);
        }
        for from in (0..width).step_by(CHUNK) {
            let length = CHUNK.min(width - from);
            let sum = &mut sum[..length];
            sum.fill(bias[0]);
            for ky in 0..p[conv::KERNEL_H] as usize {
                let (sy, dy) = (p[conv::STRIDE_Y], p[conv::DILATION_Y]);
                let Some(y) = input_at(row.y, ky, sy, dy, p[conv::PAD_TOP], p[conv::IN_H]) else { continue };
                for kx in 0..p[conv::KERNEL_W] as usize {
                    let mut weight = [0.0];
                    let at = weights_at + ky * stride(record, 2, 4) + kx * stride(record, 2, 5);
                    op.inputs[1].load(at, 0, &mut weight);
                    let start = image_at + y * row_stride;
                    for (column, sum) in (from..).zip(sum.iter_mut()) {
                        let (sx, dx) = (p[conv::STRIDE_X], p[conv::DILATION_X]);
                        if let Some(x) = input_at(column, kx, sx, dx, p[conv::PAD_LEFT], p[conv::IN_W]) {
                            *sum += weight[0] * image[start + x * column_stride];
                        }
                    }
                }
            }
            activate(record.function, &record.floats, sum);
            op.output.write(
                row.offset(record, 0, true) + from * stride(record, 0, 5),
                stride(record, 0, 5),
                sum,
            );
        }
    }
}
