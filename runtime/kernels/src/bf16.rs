//! Products in bfloat16 (Kalamkar et al. 2019): rows, and columns that are not packed already, are rounded to bf16, ties to even.
//! Products of two bf16 are exact in f32; sums are f32. Instruction sets add in different orders, and those with dot products of bf16
//! take values below 2^-126 as zeros.

use crate::arch::{BF16_ROWS_MAX, Isa};
use crate::memory::{Output, Source};
use crate::product::{Rows, StridedColumns, TileProduct};
use half::bf16;
use sonotrace_format::panels::{PAIR, PANEL, PanelShape};

/// Columns of a product in bf16.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BfColumns {
    Packed(Source<bf16>),
    /// Rounded for each tile.
    Strided(StridedColumns),
}

/// Rows that are copied together if their elements are not adjacent: as many as fit the scratch of a panel.
const LOADED_ROWS: usize = PANEL;

/// Returns the scratch of a packed row, and of a panel before it is rounded; bytes.
pub(crate) fn row_bytes(shape: PanelShape) -> (usize, usize) {
    let k = shape.k as usize;
    let row_bytes = k.next_multiple_of(PAIR).saturating_mul(size_of::<bf16>());
    (row_bytes, k.saturating_mul(PANEL * size_of::<f32>()))
}

/// Rounds the rows of a piece, multiplies them with its columns, and writes the result.
#[inline(always)]
pub(crate) fn multiply<I: Isa>(
    isa: I,
    product: &TileProduct<'_, impl Rows, impl Fn(usize) -> [usize; 3]>,
    columns: BfColumns,
    scratch: &mut [u8],
    output: &mut Output<'_, f32>,
) {
    let &TileProduct { grid, piece, inputs, rows: source, epilogue, ref place } = product;
    let depth = grid.k.next_multiple_of(PAIR);
    let packed_rows = piece.rows.len().next_multiple_of(I::BF16_ROWS);
    let (packed, panel) = scratch.split_at_mut(packed_rows * depth * size_of::<bf16>());
    let packed: &mut [bf16] = bytemuck::cast_slice_mut(packed);
    let panel = &mut bytemuck::cast_slice_mut::<u8, f32>(panel)[..grid.k * PANEL];
    // Rows behind the last one keep any values; their sums are not used.
    for (first, packed) in piece.rows.clone().step_by(LOADED_ROWS).zip(packed.chunks_mut(LOADED_ROWS * depth))
    {
        let block = first..piece.rows.end.min(first + LOADED_ROWS);
        if source.adjacent(first).is_none() {
            source.load(block.clone(), grid.k, panel);
        }
        for ((lane, row), to) in block.enumerate().zip(packed.chunks_exact_mut(depth)) {
            round(source.adjacent(row).unwrap_or(&panel[lane * grid.k..][..grid.k]), to);
        }
    }
    isa.begin_products();
    let mut sums = [[0.0; PANEL]; BF16_ROWS_MAX];
    for first in piece.columns.clone().step_by(PANEL) {
        let live = PANEL.min(piece.columns.end - first);
        let weights = match columns {
            BfColumns::Packed(source) => {
                &inputs.read(source)[(piece.first_packed + first) * depth..][..PANEL * depth]
            }
            BfColumns::Strided(columns) => {
                columns.load(inputs, grid.n, first, panel);
                round_panel(panel)
            }
        };
        let addend: [f32; PANEL] = epilogue.addend_of_columns(inputs, place(0)[1], first..first + live);
        let blocks = piece.rows.clone().step_by(I::BF16_ROWS).zip(packed.chunks_exact(I::BF16_ROWS * depth));
        for (start, packed) in blocks {
            isa.block_bf16(packed, weights, &mut sums[..I::BF16_ROWS]);
            let block = start..piece.rows.end.min(start + I::BF16_ROWS);
            let sums = &mut sums[..block.len()];
            for values in &mut *sums {
                for (value, addend) in values.iter_mut().zip(addend) {
                    *value += addend;
                }
            }
            epilogue.add(inputs, (block.clone(), &mut *sums), (first, live), false, place);
            epilogue.finish(isa, output, (block, sums), (first, live), place);
        }
    }
    isa.end_products();
}

/// Rounds a row. A row with an odd number of elements is followed by a zero.
#[inline(always)]
fn round(values: &[f32], to: &mut [bf16]) {
    let (to, padding) = to.split_at_mut(values.len());
    for (to, value) in to.iter_mut().zip(values) {
        *to = bf16::from_f32(*value);
    }
    padding.fill(bf16::ZERO);
}

/// Rounds a panel `[k][16]` in place to pairs `[ceil(k / 2)][16][2]`, which take at most as much memory, and returns them.
#[inline(always)]
fn round_panel(panel: &mut [f32]) -> &[bf16] {
    let k = panel.len() / PANEL;
    for pair in 0..k.div_ceil(PAIR) {
        let element = |at: usize| -> [f32; PANEL] {
            // Behind the last element follows a zero.
            if at < k { panel.as_chunks::<PANEL>().0[at] } else { [0.0; PANEL] }
        };
        let [first, second] = [element(pair * PAIR), element(pair * PAIR + 1)];
        let to = &mut panel.as_chunks_mut::<PANEL>().0[pair];
        for ((to, first), second) in to.iter_mut().zip(first).zip(second) {
            *to = bytemuck::cast([bf16::from_f32(first), bf16::from_f32(second)]);
        }
    }
    &bytemuck::cast_slice(panel)[..k.next_multiple_of(PAIR) * PANEL]
}
