//! Softmax over the trailing dimensions, shifted by the largest element so that nothing overflows.

use super::reduce::for_each_inner;
use super::rows::{Walk, base, stride};
use super::{Op, math, outer_rows, rows_of_tile};
use crate::model::format::DIMS;

/// Elements that are loaded, computed and written together.
const CHUNK: usize = 64;

pub(super) fn run(op: &Op<'_>, tile: u32) {
    let record = op.record;
    let rows = rows_of_tile(outer_rows(record), record.tiles, tile);
    let kept = record.kept_dims as usize;
    let mut walk = Walk::new(record, 0..kept, [0, 1], [base(record, 0), base(record, 1)], rows.start);
    let values = op.inputs[0].f32();
    for _ in rows {
        let [to, from] = walk.offsets;
        let mut largest = f32::NEG_INFINITY;
        for_each_inner(record, values, from, |value| largest = largest.max(value));
        let sum = exponentials(op, [to, from], largest, None);
        exponentials(op, [to, from], largest, Some(1.0 / sum));
        walk.next();
    }
}

/// Goes over `e^(x - largest)`: their sum is returned, and where a `scale` is given they are written times it.
fn exponentials(op: &Op<'_>, offsets: [usize; 2], largest: f32, scale: Option<f32>) -> f32 {
    let record = op.record;
    let (kept, last) = (record.kept_dims as usize, DIMS - 1);
    let columns = if kept > last { 1 } else { record.dims[last] as usize };
    let steps = [0, 1].map(|slot| if kept > last { 0 } else { stride(record, slot, last) });
    let rows = super::reduce::inner_elements(record) / columns as u64;
    let mut walk = Walk::new(record, kept..last.max(kept), [0, 1], offsets, 0);
    let mut chunk = [0.0f32; CHUNK];
    let mut sum = 0.0f64;
    for _ in 0..rows {
        for from in (0..columns).step_by(CHUNK) {
            let length = CHUNK.min(columns - from);
            let chunk = &mut chunk[..length];
            op.inputs[0].load(walk.offsets[1] + from * steps[1], steps[1], chunk);
            chunk.iter_mut().for_each(|value| *value = math::exp(*value - largest));
            if let Some(scale) = scale {
                chunk.iter_mut().for_each(|value| *value *= scale);
                op.output.write(walk.offsets[0] + from * steps[0], steps[0], chunk);
            } else {
                sum += f64::from(chunk.iter().sum::<f32>());
            }
        }
        walk.next();
    }
    sum as f32
}
