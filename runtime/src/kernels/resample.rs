//! Resampling along one dimension with tables of taps: linear, nearest or cubic resizing, by whatever rule the compiler
//! wrote into the tables.

use super::rows::{Walk, base, stride};
use super::{Op, outer_rows, rows_of_tile};

/// Elements that are loaded, computed and written together.
const CHUNK: usize = 64;

pub(super) fn run(op: &Op<'_>, tile: u32) {
    let record = op.record;
    let rows = rows_of_tile(outer_rows(record), record.tiles, tile);
    let (axis, taps, axis_stride) =
        (record.params[0] as usize, record.params[1] as usize, record.params[3] as usize);
    let (indices, weights) = (op.inputs[1].i32(), op.inputs[2].f32());
    let mut walk = Walk::new(record, 0..7, [0, 1], [base(record, 0), base(record, 1)], rows.start);
    let steps = [0, 1].map(|slot| stride(record, slot, 7));
    let columns = record.dims[7] as usize;
    // Flat rows run over dims 0..7: this many of them share an index of the resampled dimension.
    let inner: u64 = record.dims[(axis + 1).min(7)..7].iter().map(|&extent| u64::from(extent)).product();
    let (mut sum, mut tap_values) = ([0.0f32; CHUNK], [0.0f32; CHUNK]);
    for row in rows {
        if axis == 7 {
            for column in 0..columns {
                let mut value = 0.0;
                for tap in column * taps..(column + 1) * taps {
                    op.inputs[0].load(
                        walk.offsets[1] + indices[tap] as usize * axis_stride,
                        0,
                        &mut tap_values[..1],
                    );
                    value += weights[tap] * tap_values[0];
                }
                op.output.write(walk.offsets[0] + column * steps[0], 1, &[value]);
            }
        } else {
            let at = (row / inner % u64::from(record.dims[axis])) as usize;
            for from in (0..columns).step_by(CHUNK) {
                let length = CHUNK.min(columns - from);
                sum[..length].fill(0.0);
                for tap in at * taps..(at + 1) * taps {
                    let start = walk.offsets[1] + indices[tap] as usize * axis_stride + from * steps[1];
                    op.inputs[0].load(start, steps[1], &mut tap_values[..length]);
                    let weight = weights[tap];
                    sum[..length].iter_mut().zip(&tap_values).for_each(|(sum, value)| *sum += weight * value);
                }
                op.output.write(walk.offsets[0] + from * steps[0], steps[0], &sum[..length]);
            }
        }
        walk.next();
    }
}
