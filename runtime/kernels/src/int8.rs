//! Products in int8 (Dettmers et al. 2022, "vector-wise" scales): each row is rounded to i8 with a scale of its own when it
//! is packed, and so is each column that is not packed already. Sums are exact integers, so every instruction set gives the same bits.

use crate::arch::{IntSums, Isa, PANELS_MAX, ROWS_MAX};
use crate::memory::{Inputs, Output, Source};
use crate::product::{Epilogue, Piece, ProductGrid, Rows, StridedColumns};
use core::ops::Range;
use sonotrace_format::Dtype;
use sonotrace_format::op::Arithmetic;
use sonotrace_format::panels::{GROUP, PANEL, PanelShape};

/// Largest magnitude of a rounded value; -128 is not used, so that scales are symmetric.
const LEVELS: f32 = 127.0;
/// Rows of smaller values are rounded to zero.
const LARGEST_MIN: f32 = 1e-12;
/// The bits of a float without its sign.
const MAGNITUDE: u32 = 0x7fff_ffff;
/// 1.5 * 2^23: the low bits of a sum with it are the nearest integer, ties to even.
const ROUND: f32 = 12_582_912.0;
/// Values that [`Isa::round`] rounds together.
pub(crate) const ROUNDED: usize = 16;

/// Columns of a product in int8.
#[derive(Debug, Clone, Copy)]
pub(crate) enum IntColumns {
    Packed(Source<i8>),
    /// Rounded for each tile.
    Strided(StridedColumns),
}

/// Rows that are copied together if their elements are not adjacent.
const LOADED_ROWS: usize = 16;

/// Returns the scratch of a packed row and its scale, and of what is needed once: rows before they are packed, and the panels of
/// columns that are rounded at run time; bytes.
pub(crate) fn row_bytes(shape: PanelShape, arithmetic: Arithmetic, packed_bytes: usize) -> (usize, usize) {
    let depth = (shape.k as usize).next_multiple_of(GROUP);
    let row_bytes = depth.saturating_mul(packed_bytes).saturating_add(size_of::<f32>());
    let beside = depth.saturating_mul(LOADED_ROWS * size_of::<f32>());
    let panels = match arithmetic {
        Arithmetic::DynamicInt8 => shape.elements(Dtype::I8).unwrap_or(u64::MAX) as usize,
        _ => 0,
    };
    (row_bytes, beside.saturating_add(panels))
}

/// Rounds the rows of a piece, multiplies them with its columns, and writes the result. `place` returns the offsets of a row in
/// the output and in the addend, at column 0.
#[expect(clippy::too_many_arguments, reason = "all of them are parts of one tile")]
#[inline(always)]
pub(crate) fn multiply<I: Isa>(
    isa: I,
    grid: &ProductGrid,
    piece: &Piece,
    inputs: Inputs<'_>,
    columns: IntColumns,
    scratch: &mut [u8],
    rows: &impl Rows,
    (output, epilogue): (&mut Output<'_, f32>, &Epilogue),
    place: impl Fn(usize) -> (usize, usize),
) {
    let depth = grid.k.next_multiple_of(GROUP);
    let shape = PanelShape { n: grid.n as u64, k: grid.k as u64 };
    // Scales and sums of the columns, and their panels from the piece's first column on.
    let (scratch, column_scales, column_sums, weights): (&mut [u8], &[f32], &[i32], &[i8]) = match columns {
        IntColumns::Packed(panels) => {
            let (scales, sums, weights) = shape.split_i8(inputs.read(panels));
            let (scales, sums) = (bytemuck::cast_slice(scales), bytemuck::cast_slice(sums));
            let first = piece.columns.start;
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
    let (packed, scratch) = scratch.split_at_mut(packed_rows * depth * size_of::<I::Packed>());
    let packed: &mut [I::Packed] = bytemuck::cast_slice_mut(packed);
    let (scales, scratch) = scratch.split_at_mut(packed_rows * size_of::<f32>());
    let scales: &mut [f32] = bytemuck::cast_slice_mut(scales);
    let loaded = &mut bytemuck::cast_slice_mut::<u8, f32>(scratch)[..LOADED_ROWS * grid.k];
    let mut in_memory = 0..0;
    for (at, scale) in scales.iter_mut().enumerate() {
        // The last row is repeated; the sums of the repetitions are not used.
        let row = (piece.rows.start + at).min(piece.rows.end - 1);
        let values = match rows.adjacent(row) {
            Some(values) => values,
            None => {
                if !in_memory.contains(&row) {
                    in_memory = row..piece.rows.end.min(row + LOADED_ROWS);
                    rows.load(in_memory.clone(), grid.k, loaded);
                }
                &loaded[(row - in_memory.start) * grid.k..][..grid.k]
            }
        };
        let (group, lane) = (at / I::ROWS, at % I::ROWS);
        let place = lane * if I::IS_ROW_MAJOR { depth } else { GROUP };
        *scale = round_row(isa, values, &mut packed[group * I::ROWS * depth + place..]);
    }
    let column_scales = column_scales.as_chunks::<PANEL>().0;
    let mut values = [[0.0f32; PANEL * PANELS_MAX]; ROWS_MAX];
    let mut sums: [IntSums; PANELS_MAX] = [[[0; PANEL]; ROWS_MAX]; PANELS_MAX];
    for first in piece.columns.clone().step_by(I::PANELS * PANEL) {
        let columns = first..piece.columns.end.min(first + I::PANELS * PANEL);
        let sums = &mut sums[..columns.len().div_ceil(PANEL)];
        let from = first - piece.columns.start;
        let panels = &weights[from * depth..][..sums.len() * PANEL * depth];
        // The columns' sums come from the file, and may be any numbers.
        let mut offsets = [[0i32; PANEL]; PANELS_MAX];
        for (offset, sum) in offsets.as_flattened_mut().iter_mut().zip(&column_sums[from..]) {
            *offset = I::OFFSET.wrapping_mul(*sum);
        }
        let column_scales = &column_scales[from / PANEL..];
        let addend = epilogue.addend_of_columns(inputs, place(0).1, columns.clone());
        for (group, packed) in packed.chunks_exact(I::ROWS * depth).enumerate() {
            isa.block_i8(packed, panels, sums);
            let start = piece.rows.start + group * I::ROWS;
            let rows = start..piece.rows.end.min(start + I::ROWS);
            let values = &mut values[..rows.len()];
            for (lane, values) in values.iter_mut().enumerate() {
                let scale = scales[group * I::ROWS + lane];
                for (at, values) in values.as_chunks_mut::<PANEL>().0[..sums.len()].iter_mut().enumerate() {
                    scale_sums(&sums[at][lane], &offsets[at], scale, &column_scales[at], values);
                }
            }
            let columns = (columns.start, columns.len(), addend.as_ref());
            epilogue.finish(isa, inputs, output, (rows, values), columns, &place);
        }
    }
}

/// Rounds columns to i8, each with a scale of its own; writes scales, sums and panels as [`PanelShape::split_i8`] returns them. The
/// scale is NaN if a value is not finite. Not more than one panel at a time is in f32.
#[inline(always)]
fn round_columns(
    columns: &StridedColumns,
    inputs: Inputs<'_>,
    range: Range<usize>,
    k: usize,
    (scales, sums, weights): (&mut [f32], &mut [i32], &mut [i8]),
) {
    const LANES: usize = PANEL * GROUP;
    let StridedColumns { source, start, k_step, n_step } = *columns;
    let steps = (k_step, n_step);
    let values = &inputs.read(source)[start..];
    let panels = weights.chunks_exact_mut(k.next_multiple_of(GROUP) * PANEL);
    let heads = scales.as_chunks_mut::<PANEL>().0.iter_mut().zip(sums.as_chunks_mut::<PANEL>().0);
    for ((first, (scales, sums)), panel) in range.clone().step_by(PANEL).zip(heads).zip(panels) {
        let live = PANEL.min(range.end - first);
        let values = &values[first * n_step..];
        let mut group = [[0.0f32; GROUP]; PANEL];
        let mut largest = [0u32; LANES];
        for k_at in (0..k).step_by(GROUP) {
            load_group(values, steps, (k_at, k), live, &mut group);
            for (largest, value) in largest.iter_mut().zip(group.as_flattened()) {
                *largest = (value.to_bits() & MAGNITUDE).max(*largest);
            }
        }
        let mut factors = [[0.0f32; GROUP]; PANEL];
        for ((factors, scale), largest) in
            factors.iter_mut().zip(&mut *scales).zip(largest.as_chunks::<GROUP>().0)
        {
            let largest = largest.iter().fold(0, |largest, &other| other.max(largest));
            let (factor, of_column) = factor_and_scale(largest);
            (*factors, *scale) = ([factor; GROUP], of_column);
        }
        let mut totals = [0i32; LANES];
        for (at, panel) in panel.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            load_group(values, steps, (at * GROUP, k), live, &mut group);
            let products = group.as_flattened().iter().zip(factors.as_flattened());
            for ((to, total), (value, factor)) in panel.iter_mut().zip(&mut totals).zip(products) {
                *to = round(value * factor);
                *total += i32::from(*to);
            }
        }
        for (sum, totals) in sums.iter_mut().zip(totals.as_chunks::<GROUP>().0) {
            *sum = totals.iter().sum();
        }
    }
}

/// Scales the sums of a row, after the offsets are taken off.
#[inline(always)]
fn scale_sums(
    sums: &[i32; PANEL],
    offsets: &[i32; PANEL],
    scale: f32,
    column_scales: &[f32; PANEL],
    values: &mut [f32; PANEL],
) {
    for at in 0..PANEL {
        values[at] = sums[at].wrapping_sub(offsets[at]) as f32 * (scale * column_scales[at]);
    }
}

/// Four elements of each of up to 16 columns, from element `k_at` of `k` on; those of a column side by side. Zeros behind the last
/// element; columns from `live` on keep their values.
#[inline(always)]
fn load_group(
    values: &[f32],
    (k_step, n_step): (usize, usize),
    (k_at, k): (usize, usize),
    live: usize,
    group: &mut [[f32; GROUP]; PANEL],
) {
    let values = &values[k_at * k_step..];
    if k_step == 1 && k_at + GROUP <= k {
        for (column, to) in group[..live].iter_mut().enumerate() {
            to.copy_from_slice(&values[column * n_step..][..GROUP]);
        }
    } else if n_step == 1 && live == PANEL && k_at + GROUP <= k {
        for row in 0..GROUP {
            let values = &values[row * k_step..][..PANEL];
            for (to, value) in group.iter_mut().zip(values) {
                to[row] = *value;
            }
        }
    } else {
        for (column, to) in group[..live].iter_mut().enumerate() {
            *to = [0.0; GROUP];
            for (at, to) in to[..GROUP.min(k - k_at)].iter_mut().enumerate() {
                *to = values[column * n_step + at * k_step];
            }
        }
    }
}

/// Returns the factor that values are multiplied with before they are rounded, and the scale of the integers; of the bits of their
/// largest magnitude.
#[inline(always)]
fn factor_and_scale(largest: u32) -> (f32, f32) {
    let largest = f32::from_bits(largest);
    if largest.is_finite() {
        let largest = largest.max(LARGEST_MIN);
        (LEVELS / largest, largest / LEVELS)
    } else {
        (0.0, f32::NAN)
    }
}

/// Rounds a row to i8; writes groups of four as [`Isa::IS_ROW_MAJOR`] orders them. Returns its scale: NaN if a value is not finite.
#[inline(always)]
fn round_row<I: Isa>(isa: I, values: &[f32], packed: &mut [I::Packed]) -> f32 {
    // The bits of magnitudes are ordered like the magnitudes, infinity and NaN above all others.
    let largest = values.iter().fold(0, |largest: u32, value| largest.max(value.to_bits() & MAGNITUDE));
    let (factor, scale) = factor_and_scale(largest);
    let whole = values.len() / ROUNDED * ROUNDED;
    isa.round(&values[..whole], factor, packed);
    let step = if I::IS_ROW_MAJOR { GROUP } else { GROUP * I::ROWS };
    for (group, values) in values[whole..].chunks(GROUP).enumerate() {
        let to = &mut packed[(whole / GROUP + group) * step..][..GROUP];
        for (at, to) in to.iter_mut().enumerate() {
            // The last group is padded with zeros.
            *to = I::pack(round(values.get(at).map_or(0.0, |value| value * factor)));
        }
    }
    scale
}

/// Rounds to the nearest integer, ties to even. Of a number that is not finite, the result is any.
#[inline(always)]
pub(crate) fn round(value: f32) -> i8 {
    (value + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i8
}
