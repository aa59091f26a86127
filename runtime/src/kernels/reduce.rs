//! Reductions over the trailing dimensions, accumulated in double precision.

use super::rows::{Walk, base, stride};
use super::{Op, outer_rows, rows_of_tile};
use crate::model::format::{DIMS, OpRecord, reduce};

/// Elements under each kept index.
pub(super) fn inner_elements(record: &OpRecord) -> u64 {
    record.dims[record.kept_dims as usize..].iter().map(|&extent| u64::from(extent)).product()
}

/// Calls `f` with each element under one kept index, in order; `from` is the offset of the first.
pub(super) fn for_each_inner(record: &OpRecord, values: &[f32], from: usize, mut f: impl FnMut(f32)) {
    let kept = record.kept_dims as usize;
    let last = DIMS - 1;
    if kept > last {
        return f(values[from]);
    }
    let (columns, step) = (record.dims[last] as usize, stride(record, 1, last));
    let rows = inner_elements(record) / columns as u64;
    let mut walk = Walk::new(record, kept..last, [1], [from], 0);
    for _ in 0..rows {
        let [start] = walk.offsets;
        for column in 0..columns {
            f(values[start + column * step]);
        }
        walk.next();
    }
}

pub(super) fn run(op: &Op<'_>, tile: u32) {
    let record = op.record;
    let rows = rows_of_tile(outer_rows(record), record.tiles, tile);
    let kept = record.kept_dims as usize;
    let mut walk = Walk::new(record, 0..kept, [0, 1], [base(record, 0), base(record, 1)], rows.start);
    let values = op.inputs[0].f32();
    for _ in rows {
        let [to, from] = walk.offsets;
        op.output.write(to, 1, &[reduce_one(record, values, from)]);
        walk.next();
    }
}

fn reduce_one(record: &OpRecord, values: &[f32], from: usize) -> f32 {
    let count = inner_elements(record) as f64;
    let each = |f: &mut dyn FnMut(f32)| for_each_inner(record, values, from, f);
    let fold = |start: f64, f: fn(f64, f64) -> f64| {
        let mut folded = start;
        each(&mut |value| folded = f(folded, value.into()));
        folded
    };
    let folded = match record.function {
        reduce::SUM => fold(0.0, |sum, value| sum + value),
        reduce::MEAN => fold(0.0, |sum, value| sum + value) / count,
        reduce::MAX => fold(f64::NEG_INFINITY, f64::max),
        reduce::MIN => fold(f64::INFINITY, f64::min),
        reduce::PRODUCT => fold(1.0, |product, value| product * value),
        reduce::MEAN_OF_SQUARES => fold(0.0, |sum, value| sum + value * value) / count,
        reduce::SUM_OF_SQUARES => fold(0.0, |sum, value| sum + value * value),
        _ => {
            let (mut best, mut largest, mut index) = (0.0, f32::NEG_INFINITY, 0.0);
            each(&mut |value| {
                if value > largest {
                    (largest, best) = (value, index);
                }
                index += 1.0;
            });
            best
        }
    };
    folded as f32
}
