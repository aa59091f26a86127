//! Products in int8 (Dettmers et al. 2022, "vector-wise" scales): each row is rounded to i8 with a scale of its own when it
//! is packed, and so is each column that is not packed already. Sums are exact integers, so every instruction set gives the same bits.

use crate::arch::{Isa, PANELS_MAX, ROWS_MAX, RUN_MAX, Scaling};
use crate::memory::{Output, Source};
use crate::product::{Parts, Rows, StridedColumns, TileProduct};
use crate::rounding::{ROUNDED, round_columns, round_row, round_side_by_side};
use bytemuck::Zeroable;
use sonotrace_format::Dtype;
use sonotrace_format::op::{Arithmetic, dynamic_columns};
use sonotrace_format::panels::{GROUP, PANEL, PanelShape};

/// Columns of a product in int8.
#[derive(Debug, Clone, Copy)]
pub(crate) enum IntColumns {
    Packed(Source<i8>),
    /// Rounded for each tile.
    Strided(StridedColumns),
}

/// Most columns of a block.
const WIDTH: usize = PANEL * PANELS_MAX;
/// Rows that are copied together if their elements are not adjacent.
const LOADED_ROWS: usize = 16;

/// Returns the scratch of a packed row and its scale, and of what is needed once: rows before they are packed, and the panels of
/// columns that are rounded at run time; bytes.
pub(crate) fn row_bytes(shape: PanelShape, arithmetic: Arithmetic, packed_bytes: usize) -> (usize, usize) {
    let depth = (shape.k as usize).next_multiple_of(GROUP);
    let row_bytes =
        depth.next_multiple_of(RUN_MAX).saturating_mul(packed_bytes).saturating_add(size_of::<f32>());
    let beside = depth.saturating_mul(LOADED_ROWS * size_of::<f32>());
    let panels = match arithmetic {
        Arithmetic::DynamicInt8 => {
            let panels = PanelShape { n: dynamic_columns(shape), ..shape };
            panels.elements(Dtype::I8).unwrap_or(u64::MAX) as usize
        }
        _ => 0,
    };
    (row_bytes, beside.saturating_add(panels))
}

/// Rounds the rows of a piece, multiplies them with its columns, and writes the result.
#[inline(always)]
pub(crate) fn multiply<I: Isa>(
    isa: I,
    product: &TileProduct<'_, impl Rows, impl Fn(usize) -> [usize; 3]>,
    columns: IntColumns,
    scratch: &mut [u8],
    output: &mut Output<'_, f32>,
) {
    let &TileProduct { grid, piece, inputs, rows: source, epilogue, ref place } = product;
    let depth = grid.k.next_multiple_of(GROUP);
    let shape = PanelShape { n: grid.packed as u64, k: grid.k as u64 };
    // Scales and sums of the columns, and their panels from the piece's first column on.
    let (scratch, column_scales, column_sums, weights): (&mut [u8], &[f32], &[i32], &[i8]) = match columns {
        IntColumns::Packed(panels) => {
            let (scales, sums, weights) = shape.split_i8(inputs.read(panels));
            let (scales, sums) = (bytemuck::cast_slice(scales), bytemuck::cast_slice(sums));
            let first = piece.first_packed + piece.columns.start;
            (scratch, &scales[first..], &sums[first..], &weights[first * depth..])
        }
        IntColumns::Strided(columns) => {
            let count = piece.columns.len().next_multiple_of(PANEL);
            let (panels, scratch) = scratch.split_at_mut(count * (depth + 2 * size_of::<f32>()));
            let (scales, panels) = panels.split_at_mut(count * size_of::<f32>());
            let (sums, weights) = panels.split_at_mut(count * size_of::<i32>());
            let (scales, sums) = (bytemuck::cast_slice_mut(scales), bytemuck::cast_slice_mut(sums));
            let weights = bytemuck::cast_slice_mut(weights);
            round_columns(&columns, inputs, piece.columns.clone(), grid.k, (scales, sums, weights));
            (scratch, scales, sums, weights)
        }
    };
    let packed_rows = piece.rows.len().next_multiple_of(I::ROWS);
    let run = I::run_of(depth);
    let row_depth = depth.next_multiple_of(run);
    let (packed, scratch) = scratch.split_at_mut(packed_rows * row_depth * size_of::<I::Packed>());
    let packed: &mut [I::Packed] = bytemuck::cast_slice_mut(packed);
    let (scales, scratch) = scratch.split_at_mut(packed_rows * size_of::<f32>());
    let scales: &mut [f32] = bytemuck::cast_slice_mut(scales);
    let loaded = &mut bytemuck::cast_slice_mut::<u8, f32>(scratch)[..LOADED_ROWS * grid.k];
    // Place of an element of a row among the packed ones.
    let place_of = |at: usize, element: usize| {
        at / I::ROWS * I::ROWS * row_depth + at % I::ROWS * run + I::place(element)
    };
    let mut in_memory = 0..0;
    let mut at = 0;
    // Rows behind the last one keep any values; their sums are not used.
    while at < piece.rows.len() {
        let row = piece.rows.start + at;
        if let Some((values, k_step)) = source.side_by_side(row).filter(|_| at + PANEL <= piece.rows.len()) {
            let (of_rows, _) = round_side_by_side(values, k_step, grid.k, |group, groups| {
                for (lane, values) in groups.iter().enumerate() {
                    let to = &mut packed[place_of(at + lane, group * GROUP)..][..GROUP];
                    for (to, byte) in to.iter_mut().zip(values.to_le_bytes()) {
                        *to = I::pack(byte.cast_signed());
                    }
                }
            });
            scales[at..at + PANEL].copy_from_slice(&of_rows);
            at += PANEL;
            continue;
        }
        let parts =
            source.parts(row).filter(|parts| parts.count == 1 || parts.length.is_multiple_of(ROUNDED));
        let parts = match parts {
            Some(parts) => parts,
            None => {
                if !in_memory.contains(&row) {
                    in_memory = row..piece.rows.end.min(row + LOADED_ROWS);
                    source.load(in_memory.clone(), grid.k, loaded);
                }
                Parts::one(&loaded[(row - in_memory.start) * grid.k..][..grid.k])
            }
        };
        scales[at] = round_row(isa, parts, &mut packed[place_of(at, 0)..]);
        at += 1;
    }
    isa.begin_products();
    let column_scales = column_scales.as_chunks::<PANEL>().0;
    let mut residuals: [&[f32]; ROWS_MAX] = [&[]; ROWS_MAX];
    // Rows of all panels.
    let mut buffer: [I::IntSums; PANELS_MAX] = Zeroable::zeroed();
    let buffer: &mut [[f32; WIDTH]] = bytemuck::cast_slice_mut(&mut buffer);
    let writes_whole_rows = epilogue.is_scaled_sum() && piece.columns == (0..grid.n);
    for first in piece.columns.clone().step_by(I::PANELS * PANEL) {
        let columns = first..piece.columns.end.min(first + I::PANELS * PANEL);
        let count = columns.len().div_ceil(PANEL);
        let from = first - piece.columns.start;
        let panels = &weights[from * depth..][..count * PANEL * depth];
        // The columns' sums come from the file, and may be any numbers.
        let mut offsets = [[0i32; PANEL]; PANELS_MAX];
        for (offset, sum) in offsets.as_flattened_mut().iter_mut().zip(&column_sums[from..]) {
            *offset = I::OFFSET.wrapping_mul(*sum);
        }
        let addends: [f32; WIDTH] = epilogue.addend_of_columns(inputs, place(0)[1], columns.clone());
        for (group, packed) in packed.chunks_exact(I::ROWS * row_depth).enumerate() {
            let start = piece.rows.start + group * I::ROWS;
            let rows = start..piece.rows.end.min(start + I::ROWS);
            let of_columns = (columns.start, columns.len());
            let residuals =
                epilogue.residuals(inputs, rows.clone(), of_columns, place, &mut residuals[..I::ROWS]);
            let scaling = Scaling {
                residuals,
                row_scales: &scales[group * I::ROWS..][..rows.len()],
                offsets: &offsets[..count],
                column_scales: &column_scales[from / PANEL..],
                addends: addends.as_chunks::<PANEL>().0,
            };
            // Whole rows that follow each other are this tile's alone: their values are written where they belong.
            let to = place(start)[0];
            let follow = || rows.clone().enumerate().all(|(at, row)| place(row)[0] == to + at * grid.n);
            let is_in_place = writes_whole_rows
                && residuals.is_some() == epilogue.residual.is_some()
                && columns.len().is_multiple_of(PANEL)
                && follow();
            if is_in_place {
                let length = (rows.len() - 1) * grid.n + columns.len();
                let values = output.row(to + columns.start, length);
                isa.values_i8(packed, panels, scaling, (values, grid.n));
                continue;
            }
            isa.values_i8(packed, panels, scaling, (buffer.as_flattened_mut(), WIDTH));
            let values = &mut buffer[..rows.len()];
            epilogue.add(inputs, (rows.clone(), &mut *values), of_columns, residuals.is_some(), place);
            epilogue.finish(isa, output, (rows, values), of_columns, place);
        }
    }
    isa.end_products();
}
