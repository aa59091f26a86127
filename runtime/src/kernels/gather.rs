//! Gather along one axis by a table of indices (ONNX Gather and GatherElements).

use super::rows::{Walk, base, stride};
use super::{Op, outer_rows, rows_of_tile};

pub(super) fn run(op: &Op<'_>, tile: u32) {
    let record = op.record;
    let rows = rows_of_tile(outer_rows(record), record.tiles, tile);
    let slots = [0, 1, 2];
    let mut walk = Walk::new(record, 0..7, slots, slots.map(|slot| base(record, slot)), rows.start);
    let steps = slots.map(|slot| stride(record, slot, 7));
    let indices = op.inputs[1].i32();
    let axis_stride = record.params[0] as usize;
    for _ in rows {
        for column in 0..record.dims[7] as usize {
            let [to, from, index] = [0, 1, 2].map(|slot| walk.offsets[slot] + column * steps[slot]);
            let mut value = [0.0];
            op.inputs[0].load(from + indices[index] as usize * axis_stride, 0, &mut value);
            op.output.write(to, 1, &value);
        }
        walk.next();
    }
}
