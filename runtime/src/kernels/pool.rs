//! Pooling over windows of each channel.

use super::depthwise::{OutputRow, input_at};
use super::rows::stride;
use super::{Op, outer_rows, rows_of_tile};
use crate::model::format::{conv, reduce};

pub(super) fn run(op: &Op<'_>, tile: u32) {
    let record = op.record;
    let p = &record.params;
    let image = op.inputs[0].f32();
    for flat in rows_of_tile(outer_rows(record), record.tiles, tile) {
        let row = OutputRow::new(record, flat);
        let start = row.offset(record, 1, false);
        for column in 0..record.dims[5] as usize {
            let (mut sum, mut largest, mut count) = (0.0f64, f32::NEG_INFINITY, 0u32);
            for ky in 0..p[conv::KERNEL_H] as usize {
                let (sy, dy) = (p[conv::STRIDE_Y], p[conv::DILATION_Y]);
                let Some(y) = input_at(row.y, ky, sy, dy, p[conv::PAD_TOP], p[conv::IN_H]) else { continue };
                for kx in 0..p[conv::KERNEL_W] as usize {
                    let (sx, dx) = (p[conv::STRIDE_X], p[conv::DILATION_X]);
                    if let Some(x) = input_at(column, kx, sx, dx, p[conv::PAD_LEFT], p[conv::IN_W]) {
                        let value = image[start + y * stride(record, 1, 4) + x * stride(record, 1, 5)];
                        (sum, largest, count) = (sum + f64::from(value), largest.max(value), count + 1);
                    }
                }
            }
            if p[conv::COUNT_OUTSIDE] != 0 {
                count = p[conv::KERNEL_H] * p[conv::KERNEL_W];
            }
            let value = match record.function {
                reduce::MAX => largest,
                reduce::MEAN => (sum / f64::from(count.max(1))) as f32,
                _ => sum as f32,
            };
            op.output.write(row.offset(record, 0, true) + column * stride(record, 0, 5), 1, &[value]);
        }
    }
}
