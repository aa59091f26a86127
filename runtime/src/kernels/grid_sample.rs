//! Sampling an image at computed places (ONNX GridSample, bilinear): what moves masks along with the tissue.

use super::rows::{Walk, base, stride};
use super::{Op, outer_rows, rows_of_tile};
use crate::model::format::{conv, grid};

/// Channels that are summed and written together.
const CHUNK: usize = 16;

pub(super) fn run(op: &Op<'_>, tile: u32) {
    let record = op.record;
    let places = op.inputs[1].f32();
    let extents = [record.params[conv::IN_H] as usize, record.params[conv::IN_W] as usize];
    let [scale_x, shift_x, scale_y, shift_y] = record.floats;
    let is_zero_outside = record.function == grid::ZEROS;
    let channels = record.dims[7] as usize;
    let rows = rows_of_tile(outer_rows(record), record.tiles, tile);
    let pixels = u64::from(record.dims[4]) * u64::from(record.dims[5]);
    let (to_next, from_next) = (stride(record, 0, 7), stride(record, 1, 7));
    let mut walk = Walk::new(record, 0..7, [0, 2], [base(record, 0), base(record, 2)], rows.start);
    let (mut sum, mut values) = ([0.0f32; CHUNK], [0.0f32; CHUNK]);
    for row in rows {
        let [to, place] = walk.offsets;
        let [x, y] = [places[place], places[place + record.params[grid::Y_STRIDE] as usize]];
        let down = taps(y * scale_y + shift_y, extents[0], is_zero_outside);
        let across = taps(x * scale_x + shift_x, extents[1], is_zero_outside);
        let first = base(record, 1) + (row / pixels) as usize * stride(record, 1, 0);
        for from in (0..channels).step_by(CHUNK) {
            let length = CHUNK.min(channels - from);
            let (sum, values) = (&mut sum[..length], &mut values[..length]);
            sum.fill(0.0);
            for (y, down) in down {
                for (x, across) in across {
                    let start =
                        first + y * stride(record, 1, 4) + x * stride(record, 1, 5) + from * from_next;
                    let weight = down * across;
                    op.inputs[0].load(start, from_next, values);
                    sum.iter_mut().zip(&*values).for_each(|(sum, value)| *sum += weight * value);
                }
            }
            op.output.write(to + from * to_next, to_next, sum);
        }
        walk.next();
    }
}

/// The two pixels about a place along an axis of `extent` pixels, each with its weight; both inside. Of a place that is
/// no number the weights are none either, and so is what is sampled there.
fn taps(at: f32, extent: usize, is_zero_outside: bool) -> [(usize, f32); 2] {
    let last = extent - 1;
    // Farther out nothing changes any more, and whole numbers stay exact.
    let at = if is_zero_outside { at.clamp(-1.0, extent as f32) } else { at.clamp(0.0, last as f32) };
    let low = libm::floorf(at);
    let share = at - low;
    [(low, 1.0 - share), (low + 1.0, share)].map(|(pixel, weight)| {
        let is_inside = pixel >= 0.0 && pixel <= last as f32;
        // The conversion saturates: what lies outside reads a pixel at the border.
        ((pixel as usize).min(last), if is_inside || weight.is_nan() { weight } else { 0.0 })
    })
}
