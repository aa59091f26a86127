//! What operations compute: portable kernels, one tile at a time.
//!
//! These are the reference that any faster kernel is held to. A tile reads its operands, uses only the scratch that it
//! is given, and writes elements that no other tile of the operation writes; so tiles may run in any order, on any
//! thread, with the same result bit for bit.

mod convert;
mod depthwise;
mod gather;
mod gemm;
mod grid_sample;
mod map;
pub mod math;
mod normalize;
mod operand;
mod pool;
mod reduce;
mod resample;
mod rows;
mod softmax;

pub use convert::f16_to_f32;
pub use gemm::{gemm_tile_count, thread_scratch_elements};
pub use operand::{Input, Output};

use crate::model::format::{OpKind, OpRecord, map as function};

/// The kind of an operation, or none for an unknown code.
pub fn kind_of(op: &OpRecord) -> Option<OpKind> {
    [
        OpKind::Map,
        OpKind::Reduce,
        OpKind::Normalize,
        OpKind::Softmax,
        OpKind::MatMul,
        OpKind::Conv,
        OpKind::DepthwiseConv,
        OpKind::Gather,
        OpKind::Resample,
        OpKind::Pool,
        OpKind::GridSample,
    ]
    .into_iter()
    .find(|&kind| kind as u32 == op.kind)
}

/// Rows that an operation's work is cut between, for every kind but the products: a tile is a run of them.
pub fn outer_rows(op: &OpRecord) -> u64 {
    let product = |dims: &[u32]| dims.iter().map(|&extent| u64::from(extent)).product::<u64>();
    match kind_of(op) {
        Some(OpKind::Reduce | OpKind::Normalize | OpKind::Softmax) => {
            product(&op.dims[..op.kept_dims as usize])
        }
        Some(OpKind::DepthwiseConv | OpKind::Pool) => product(&op.dims[..5]) * product(&op.dims[6..]),
        _ => product(&op.dims[..7]),
    }
}

/// An operation with its operands in reach: what a tile needs.
#[derive(Debug)]
pub struct Op<'a> {
    /// The record, verified.
    pub record: &'a OpRecord,
    /// Where results go.
    pub output: Output<'a>,
    /// The inputs `a`, `b`, `c`, `d`.
    pub inputs: [Input<'a>; 4],
}

/// Runs one tile. `scratch` holds at least [`thread_scratch_elements`] floats and is this thread's own.
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub fn run_tile(op: &Op<'_>, tile: u32, scratch: &mut [f32]) {
    match kind_of(op.record) {
        Some(OpKind::Map) => map::run(op, tile),
        Some(OpKind::Reduce) => reduce::run(op, tile),
        Some(OpKind::Normalize) => normalize::run(op, tile),
        Some(OpKind::Softmax) => softmax::run(op, tile),
        Some(OpKind::MatMul) => gemm::run_matmul(op, tile, scratch),
        Some(OpKind::Conv) => gemm::run_conv(op, tile, scratch),
        Some(OpKind::DepthwiseConv) => depthwise::run(op, tile),
        Some(OpKind::Gather) => gather::run(op, tile),
        Some(OpKind::Resample) => resample::run(op, tile),
        Some(OpKind::Pool) => pool::run(op, tile),
        Some(OpKind::GridSample) => grid_sample::run(op, tile),
        None => {}
    }
}

/// The rows of a tile when `rows` are cut into `tiles` nearly equal runs.
fn rows_of_tile(rows: u64, tiles: u32, tile: u32) -> core::ops::Range<u64> {
    let (tiles, tile) = (u64::from(tiles), u64::from(tile));
    rows * tile / tiles..rows * (tile + 1) / tiles
}

/// Applies an activation (a one-input function) to a run of values in place.
fn activate(code: u32, floats: &[f32; 4], values: &mut [f32]) {
    if code != function::COPY {
        map::apply_one(code, floats, values);
    }
}
