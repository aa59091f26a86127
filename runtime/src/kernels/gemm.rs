//! Matrix products and dense convolutions: one blocked product, two ways of gathering its rows.
//!
//! A tile is `params[0]` rows by `params[1]` columns of the result. Its rows are packed into groups of four,
//! interleaved over `k`; its columns come in panels of sixteen, as the compiler packed the weights. The inner loop then
//! reads both in order and keeps a 4 x 16 block of sums in registers (Goto & van de Geijn 2008).

use super::convert::f16_run_to_f32;
use super::depthwise::input_at;
use super::rows::{base, stride};
use super::{Input, Op, activate};
use crate::model::format::{OpKind, OpRecord, PANEL, SCALE_ROWS, conv};

/// Rows of the block of sums.
const ROWS: usize = 4;

/// Rows, columns and depth of the product that an operation is, per batch.
struct Extents {
    batches: u64,
    m: u64,
    n: u64,
    k: u64,
}

fn extents(op: &OpRecord) -> Extents {
    let d = op.dims.map(u64::from);
    if op.kind == OpKind::MatMul as u32 {
        Extents { batches: d[0] * d[1] * d[2] * d[3] * d[4], m: d[5], n: d[6], k: d[7] }
    } else {
        let taps = u64::from(op.params[conv::KERNEL_H]) * u64::from(op.params[conv::KERNEL_W]);
        Extents { batches: d[0], m: d[4] * d[5], n: d[6], k: d[7] * taps }
    }
}

/// Tiles that a product is cut into by its tile sizes; none if these have no meaning.
pub fn gemm_tile_count(op: &OpRecord) -> Option<u32> {
    let (tile_m, tile_n) = (op.params[conv::TILE_M], op.params[conv::TILE_N]);
    if tile_m == 0
        || tile_n == 0
        || !(tile_n as usize).is_multiple_of(PANEL)
        || tile_m > 1 << 16
        || tile_n > 1 << 16
    {
        return None;
    }
    let e = extents(op);
    let tiles = e.m.div_ceil(tile_m.into()) * e.n.div_ceil(tile_n.into());
    tiles.checked_mul(e.batches).and_then(|tiles| u32::try_from(tiles).ok())
}

/// Floats of scratch that one thread needs to run a tile of an operation.
pub fn thread_scratch_elements(op: &OpRecord) -> u64 {
    if op.kind != OpKind::MatMul as u32 && op.kind != OpKind::Conv as u32 {
        return 0;
    }
    let k = extents(op).k;
    let rows = u64::from(op.params[conv::TILE_M]).div_ceil(ROWS as u64) * ROWS as u64;
    // The packed rows, and one panel of columns.
    k.saturating_mul(rows).saturating_add(k.saturating_mul(PANEL as u64))
}

/// A tile's place in the product.
struct Tile {
    batch: u64,
    rows: core::ops::Range<usize>,
    columns: core::ops::Range<usize>,
}

fn tile(op: &OpRecord, e: &Extents, tile: u32) -> Tile {
    let (tile_m, tile_n) = (u64::from(op.params[conv::TILE_M]), u64::from(op.params[conv::TILE_N]));
    let across = e.n.div_ceil(tile_n);
    let down = e.m.div_ceil(tile_m);
    let tile = u64::from(tile);
    let (column, row) = (tile % across * tile_n, tile / across % down * tile_m);
    Tile {
        batch: tile / across / down,
        rows: row as usize..(row + tile_m).min(e.m) as usize,
        columns: column as usize..(column + tile_n).min(e.n) as usize,
    }
}

/// Where a tile's results go, and what is added to them.
struct Sink {
    /// Offsets of `out` and `c` at row 0, column 0 of this batch.
    out: usize,
    bias: usize,
    /// Strides over columns.
    out_n: usize,
    bias_n: usize,
}

pub(super) fn run_matmul(op: &Op<'_>, index: u32, scratch: &mut [f32]) {
    let record = op.record;
    let e = extents(record);
    let tile = tile(record, &e, index);
    let mut batch = [0u64; 5];
    let mut rest = tile.batch;
    for dim in (0..5).rev() {
        batch[dim] = rest % u64::from(record.dims[dim]);
        rest /= u64::from(record.dims[dim]);
    }
    let start = |slot: usize| {
        batch
            .iter()
            .enumerate()
            .fold(base(record, slot), |at, (dim, &index)| at + index as usize * stride(record, slot, dim))
    };
    let k = e.k as usize;
    let (packed, panel) = scratch.split_at_mut(k * tile.rows.len().div_ceil(ROWS) * ROWS);
    let a = op.inputs[0].f32();
    let (a_start, a_m, a_k) = (start(1), stride(record, 1, 5), stride(record, 1, 7));
    pack_rows(&tile.rows, k, packed, |row, k| a[a_start + row * a_m + k * a_k]);
    let sink =
        Sink { out: start(0), bias: start(3), out_n: stride(record, 0, 6), bias_n: stride(record, 3, 6) };
    let (out_m, bias_m) = (stride(record, 0, 5), stride(record, 3, 5));
    let (b_start, b_n, b_k) = (start(2), stride(record, 2, 6), stride(record, 2, 7));
    let n = e.n as usize;
    product(
        op,
        &tile,
        k,
        packed,
        panel,
        &sink,
        |row| (row * out_m, row * bias_m),
        |first, to| {
            let Input::F32(b) = op.inputs[1] else { return load_panel(&op.inputs[1], first, k, to) };
            let live = PANEL.min(n - first);
            for (k, to) in to.chunks_exact_mut(PANEL).enumerate() {
                for (column, to) in to.iter_mut().enumerate() {
                    *to = if column < live { b[b_start + (first + column) * b_n + k * b_k] } else { 0.0 };
                }
            }
        },
    );
}

pub(super) fn run_conv(op: &Op<'_>, index: u32, scratch: &mut [f32]) {
    let record = op.record;
    let p = &record.params;
    let e = extents(record);
    let tile = tile(record, &e, index);
    let k = e.k as usize;
    let (packed, panel) = scratch.split_at_mut(k * tile.rows.len().div_ceil(ROWS) * ROWS);
    let start = |slot: usize| base(record, slot) + tile.batch as usize * stride(record, slot, 0);
    let (image, image_start) = (op.inputs[0].f32(), start(1));
    let width = record.dims[5] as usize;
    let (kernel_h, kernel_w) = (p[conv::KERNEL_H] as usize, p[conv::KERNEL_W] as usize);
    let (row_stride, column_stride, channel_stride) =
        (stride(record, 1, 4), stride(record, 1, 5), stride(record, 1, 7));
    pack_rows(&tile.rows, k, packed, |row, k| {
        let (channel, ky, kx) = (k / (kernel_h * kernel_w), k / kernel_w % kernel_h, k % kernel_w);
        let y = input_at(
            row / width,
            ky,
            p[conv::STRIDE_Y],
            p[conv::DILATION_Y],
            p[conv::PAD_TOP],
            p[conv::IN_H],
        );
        let x = input_at(
            row % width,
            kx,
            p[conv::STRIDE_X],
            p[conv::DILATION_X],
            p[conv::PAD_LEFT],
            p[conv::IN_W],
        );
        match (y, x) {
            (Some(y), Some(x)) => {
                image[image_start + channel * channel_stride + y * row_stride + x * column_stride]
            }
            _ => 0.0,
        }
    });
    let sink = Sink {
        out: start(0),
        bias: base(record, 3),
        out_n: stride(record, 0, 6),
        bias_n: stride(record, 3, 6),
    };
    let (out_y, out_x) = (stride(record, 0, 4), stride(record, 0, 5));
    let place = |row: usize| (row / width * out_y + row % width * out_x, 0);
    product(op, &tile, k, packed, panel, &sink, place, |first, to| load_panel(&op.inputs[1], first, k, to));
}

/// Packs rows in groups of [`ROWS`], interleaved over `k`; rows that fill up the last group are zero.
fn pack_rows(rows: &core::ops::Range<usize>, k: usize, packed: &mut [f32], at: impl Fn(usize, usize) -> f32) {
    for (group, packed) in packed.chunks_exact_mut(k * ROWS).enumerate() {
        let first = rows.start + group * ROWS;
        for (k, block) in packed.chunks_exact_mut(ROWS).enumerate() {
            for (lane, value) in block.iter_mut().enumerate() {
                *value = if first + lane < rows.end { at(first + lane, k) } else { 0.0 };
            }
        }
    }
}

/// The panel that holds column `first` on, as floats.
fn load_panel(b: &Input<'_>, first: usize, k: usize, to: &mut [f32]) {
    let range = first * k..(first + PANEL) * k;
    match b {
        Input::PanelsF16(values) => f16_run_to_f32(&values[range], to),
        Input::PanelsF32(values) => to.copy_from_slice(&values[range]),
        Input::PanelsI8(values) => {
            let rows = SCALE_ROWS + k;
            let panel = &values[first * rows..(first + PANEL) * rows];
            let (scales, weights) = panel.split_at(SCALE_ROWS * PANEL);
            let mut scale = [0.0f32; PANEL];
            for (scale, bytes) in scale.iter_mut().zip(scales.chunks_exact(size_of::<f32>())) {
                *scale = bytemuck::pod_read_unaligned(bytemuck::cast_slice(bytes));
            }
            for (to, weights) in to.chunks_exact_mut(PANEL).zip(weights.chunks_exact(PANEL)) {
                for ((to, &weight), scale) in to.iter_mut().zip(weights).zip(&scale) {
                    *to = f32::from(weight) * scale;
                }
            }
        }
        _ => to.fill(0.0),
    }
}

/// Multiplies the packed rows with each panel of the tile's columns, adds the bias, applies the activation, writes.
#[allow(clippy::too_many_arguments)]
fn product(
    op: &Op<'_>,
    tile: &Tile,
    k: usize,
    packed: &[f32],
    panel: &mut [f32],
    sink: &Sink,
    place: impl Fn(usize) -> (usize, usize),
    load: impl Fn(usize, &mut [f32]),
) {
    let panel = &mut panel[..k * PANEL];
    let mut bias = [0.0f32; PANEL];
    for first in tile.columns.clone().step_by(PANEL) {
        let columns = PANEL.min(tile.columns.end - first);
        load(first, panel);
        for (group, packed) in packed.chunks_exact(k * ROWS).enumerate() {
            let sums = block(packed, panel);
            for (lane, mut sums) in sums.into_iter().enumerate() {
                let row = tile.rows.start + group * ROWS + lane;
                if row >= tile.rows.end {
                    break;
                }
                let (out_row, bias_row) = place(row);
                let sums = &mut sums[..columns];
                if !matches!(op.inputs[2], Input::Missing) {
                    op.inputs[2].load(
                        sink.bias + bias_row + first * sink.bias_n,
                        sink.bias_n,
                        &mut bias[..columns],
                    );
                    sums.iter_mut().zip(&bias).for_each(|(sum, bias)| *sum += bias);
                }
                activate(op.record.function, &op.record.floats, sums);
                op.output.write(sink.out + out_row + first * sink.out_n, sink.out_n, sums);
            }
        }
    }
}

/// A 4 x 16 block of sums over all of `k`.
#[inline]
fn block(a: &[f32], b: &[f32]) -> [[f32; PANEL]; ROWS] {
    let mut sums = [[0.0f32; PANEL]; ROWS];
    for (a, b) in a.chunks_exact(ROWS).zip(b.chunks_exact(PANEL)) {
        for (sums, &a) in sums.iter_mut().zip(a) {
            for (sum, &b) in sums.iter_mut().zip(b) {
                *sum += a * b;
            }
        }
    }
    sums
}
