//! Into how many tiles an operation is cut: small enough to stop between, large enough to be worth claiming.

use crate::graph::Op;
use sonotrace::model::format::{DIMS, OpKind, PANEL, conv, map};

/// Rows of a product's tile.
pub const TILE_M: u32 = 32;
/// Columns of a product's tile; a multiple of the panel width.
pub const TILE_N: u32 = 64;
/// Multiply-accumulates that a product's tile stays below: 2 ms at 1 GMAC/s, the portable kernel on a slow core.
pub const TILE_MACS_MAX: u64 = 2_000_000;
/// Elementary operations of any other tile, about.
pub const TILE_WORK: u64 = 65_536;
/// What an exponential, an error function or the like counts for.
const FUNCTION_WORK: u64 = 8;
/// What a sampled element counts for: four products, read at places that no cache foresees.
const GRID_SAMPLE_WORK: u64 = 8;
/// Longest row of an element-wise operation: work is cut between rows.
const ROW_ELEMENTS_MAX: usize = 1024;
/// Shortest row that a longer one is cut into.
const ROW_ELEMENTS_MIN: usize = 64;
/// Fewest rows of a product's tile: the height of the portable kernel's block.
const ROWS_MIN: u32 = 4;

const _: () = assert!((TILE_N as usize).is_multiple_of(PANEL));

/// Depth of the sums of a product.
fn depth(op: &Op) -> u64 {
    let taps =
        if op.kind == OpKind::Conv { op.params[conv::KERNEL_H] * op.params[conv::KERNEL_W] } else { 1 };
    op.dims[7] as u64 * u64::from(taps)
}

/// Multiply-accumulates of an operation; 0 for those that are no products.
pub fn macs(op: &Op) -> u64 {
    let elements: u64 = op.dims.iter().map(|&extent| extent as u64).product();
    match op.kind {
        OpKind::MatMul => elements,
        OpKind::Conv | OpKind::DepthwiseConv => {
            elements * u64::from(op.params[conv::KERNEL_H]) * u64::from(op.params[conv::KERNEL_W])
        }
        _ => 0,
    }
}

/// Sets tile sizes and the number of tiles.
pub fn cut(op: &mut Op) {
    let dims = op.dims.map(|extent| extent as u64);
    if matches!(op.kind, OpKind::MatMul | OpKind::Conv) {
        let depth = depth(op);
        let (mut rows, mut columns) = (TILE_M, TILE_N);
        while u64::from(rows) * u64::from(columns) * depth > TILE_MACS_MAX {
            if columns as usize > PANEL && columns >= rows {
                columns = (columns / 2).next_multiple_of(PANEL as u32);
            } else if rows > ROWS_MIN {
                rows /= 2;
            } else if columns as usize > PANEL {
                columns = PANEL as u32;
            } else {
                break;
            }
        }
        (op.params[conv::TILE_M], op.params[conv::TILE_N]) = (rows, columns);
        let (batches, m) = match op.kind {
            OpKind::MatMul => (dims[..5].iter().product::<u64>(), dims[5]),
            _ => (dims[0], dims[4] * dims[5]),
        };
        op.tiles = (batches * m.div_ceil(rows.into()) * dims[6].div_ceil(columns.into())) as u32;
        return;
    }
    if matches!(op.kind, OpKind::Map | OpKind::Gather) {
        shorten_rows(op);
    }
    let dims = op.dims.map(|extent| extent as u64);
    let elements: u64 = dims.iter().product();
    let kept = || dims[..op.kept_dims].iter().product::<u64>();
    let (rows, per_element) = match op.kind {
        OpKind::Reduce => (kept(), 1),
        OpKind::Normalize => (kept(), 3),
        OpKind::Softmax => (kept(), FUNCTION_WORK),
        OpKind::Map if is_function(op.function) => (dims[..DIMS - 1].iter().product::<u64>(), FUNCTION_WORK),
        OpKind::DepthwiseConv | OpKind::Pool => {
            let taps = u64::from(op.params[conv::KERNEL_H]) * u64::from(op.params[conv::KERNEL_W]);
            (dims[..5].iter().product::<u64>() * dims[6..].iter().product::<u64>(), taps)
        }
        OpKind::GridSample => (dims[..DIMS - 1].iter().product(), GRID_SAMPLE_WORK),
        OpKind::Resample => (dims[..DIMS - 1].iter().product(), op.params[1].into()),
        _ => (dims[..DIMS - 1].iter().product::<u64>(), 1),
    };
    op.tiles = (elements * per_element).div_ceil(TILE_WORK).min(rows).max(1) as u32;
}

/// Whether an element-wise function is more than a few instructions.
fn is_function(function: u32) -> bool {
    matches!(
        function,
        map::POW
            | map::EXP
            | map::LN
            | map::SIN
            | map::COS
            | map::TANH
            | map::SIGMOID
            | map::ERF
            | map::GELU
            | map::GELU_TANH
            | map::SILU
    )
}

/// Cuts long rows into several, so that there is something to cut the work between.
fn shorten_rows(op: &mut Op) {
    let length = op.dims[DIMS - 1];
    if length <= ROW_ELEMENTS_MAX || op.dims[0] != 1 {
        return;
    }
    let Some(row) = (ROW_ELEMENTS_MIN..=ROW_ELEMENTS_MAX).rev().find(|&row| length.is_multiple_of(row))
    else {
        return;
    };
    op.dims.rotate_left(1);
    (op.dims[DIMS - 2], op.dims[DIMS - 1]) = (length / row, row);
    for operand in op.operands.iter_mut().flatten() {
        let stride = operand.strides[DIMS - 1];
        operand.strides.rotate_left(1);
        (operand.strides[DIMS - 2], operand.strides[DIMS - 1]) = (stride * row, stride);
    }
}
