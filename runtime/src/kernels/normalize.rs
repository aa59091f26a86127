//! Normalisation over the trailing dimensions: LayerNorm (Ba, Kiros & Hinton 2016), InstanceNorm, GroupNorm, RMSNorm.

use super::reduce::{for_each_inner, inner_elements};
use super::rows::{Walk, base, stride};
use super::{Input, Op, outer_rows, rows_of_tile};
use crate::model::format::{DIMS, norm};

/// Elements that are loaded, computed and written together.
const CHUNK: usize = 64;

pub(super) fn run(op: &Op<'_>, tile: u32) {
    let record = op.record;
    let rows = rows_of_tile(outer_rows(record), record.tiles, tile);
    let kept = record.kept_dims as usize;
    let slots = [0, 1, 2, 3];
    let mut walk = Walk::new(record, 0..kept, slots, slots.map(|slot| base(record, slot)), rows.start);
    let values = op.inputs[0].f32();
    let count = inner_elements(record) as f64;
    for _ in rows {
        let mut mean = 0.0f64;
        if record.function == norm::MEAN_VARIANCE {
            for_each_inner(record, values, walk.offsets[1], |value| mean += f64::from(value));
            mean /= count;
        }
        let mut squares = 0.0f64;
        for_each_inner(record, values, walk.offsets[1], |value| {
            let centred = f64::from(value) - mean;
            squares += centred * centred;
        });
        let scale = 1.0 / libm::sqrt(squares / count + f64::from(record.floats[0]));
        write_inner(op, walk.offsets, mean as f32, scale as f32);
        walk.next();
    }
}

fn write_inner(op: &Op<'_>, offsets: [usize; 4], mean: f32, scale: f32) {
    let record = op.record;
    let last = DIMS - 1;
    let kept = record.kept_dims as usize;
    let columns = if kept > last { 1 } else { record.dims[last] as usize };
    let steps = [0, 1, 2, 3].map(|slot| if kept > last { 0 } else { stride(record, slot, last) });
    let rows = inner_elements(record) / columns as u64;
    let mut walk = Walk::new(record, kept..last.max(kept), [0, 1, 2, 3], offsets, 0);
    let [mut x, mut b, mut c] = [[0.0f32; CHUNK]; 3];
    for _ in 0..rows {
        for from in (0..columns).step_by(CHUNK) {
            let length = CHUNK.min(columns - from);
            let at = |slot: usize| walk.offsets[slot] + from * steps[slot];
            op.inputs[0].load(at(1), steps[1], &mut x[..length]);
            for value in &mut x[..length] {
                *value = (*value - mean) * scale;
            }
            if !matches!(op.inputs[1], Input::Missing) {
                op.inputs[1].load(at(2), steps[2], &mut b[..length]);
                x[..length].iter_mut().zip(&b).for_each(|(x, b)| *x *= b);
            }
            if !matches!(op.inputs[2], Input::Missing) {
                op.inputs[2].load(at(3), steps[3], &mut c[..length]);
                x[..length].iter_mut().zip(&c).for_each(|(x, c)| *x += c);
            }
            op.output.write(at(0), steps[0], &x[..length]);
        }
        walk.next();
    }
}
