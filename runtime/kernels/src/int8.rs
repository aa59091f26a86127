//! Products in int8 (Dettmers et al. 2022, "vector-wise" scales): each row is rounded to i8 with a scale of its own when it
//! is packed. Sums are exact integers, so every instruction set gives the same bits.

use crate::arch::{IntSums, Isa, ROWS_MAX};
use crate::memory::{Inputs, Output, Source};
use crate::product::{Epilogue, Piece, ProductGrid, Rows};
use sonotrace_format::panels::{GROUP, PANEL, PanelShape};

/// Largest magnitude of a rounded value; -128 is not used, so that scales are symmetric.
const LEVELS: f32 = 127.0;
/// Rows of smaller values are rounded to zero.
const LARGEST_MIN: f32 = 1e-12;
/// 1.5 * 2^23: the low bits of a sum with it are the nearest integer, ties to even.
const ROUND: f32 = 12_582_912.0;
/// Values that [`Isa::round`] rounds together.
pub(crate) const ROUNDED: usize = 16;

/// Returns the scratch of a packed row and its scale, and of one row before it is packed, bytes.
pub(crate) fn row_bytes(k: usize, packed_bytes: usize) -> (usize, usize) {
    let depth = k.next_multiple_of(GROUP);
    (
        depth.saturating_mul(packed_bytes).saturating_add(size_of::<f32>()),
        depth.saturating_mul(size_of::<f32>()),
    )
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
    panels: Source<i8>,
    scratch: &mut [u8],
    rows: &impl Rows,
    (output, epilogue): (&mut Output<'_, f32>, &Epilogue),
    place: impl Fn(usize) -> (usize, usize),
) {
    let depth = grid.k.next_multiple_of(GROUP);
    let packed_rows = piece.rows.len().next_multiple_of(I::ROWS);
    let (packed, scratch) = scratch.split_at_mut(packed_rows * depth * size_of::<I::Packed>());
    let packed: &mut [I::Packed] = bytemuck::cast_slice_mut(packed);
    let (scales, scratch) = scratch.split_at_mut(packed_rows * size_of::<f32>());
    let scales: &mut [f32] = bytemuck::cast_slice_mut(scales);
    let loaded = &mut bytemuck::cast_slice_mut::<u8, f32>(scratch)[..grid.k];
    for (group, (packed, scales)) in
        packed.chunks_exact_mut(I::ROWS * depth).zip(scales.chunks_exact_mut(I::ROWS)).enumerate()
    {
        for (lane, scale) in scales.iter_mut().enumerate() {
            // The last row is repeated; the sums of the repetitions are not used.
            let row = (piece.rows.start + group * I::ROWS + lane).min(piece.rows.end - 1);
            let values = match rows.adjacent(row) {
                Some(values) => values,
                None => {
                    rows.load(row, loaded);
                    &*loaded
                }
            };
            *scale = round_row(isa, values, &mut packed[lane * GROUP..]);
        }
    }
    let shape = PanelShape { n: grid.n as u64, k: grid.k as u64 };
    let (column_scales, column_sums, weights) = shape.split_i8(inputs.read(panels));
    let column_scales: &[f32] = bytemuck::cast_slice(column_scales);
    let column_sums: &[i32] = bytemuck::cast_slice(column_sums);
    let mut sums: IntSums = [[0; PANEL]; ROWS_MAX];
    for first in piece.columns.clone().step_by(PANEL) {
        let live = PANEL.min(piece.columns.end - first);
        let panel = &weights[first * depth..][..PANEL * depth];
        let (column_scales, column_sums) = (&column_scales[first..][..PANEL], &column_sums[first..][..PANEL]);
        for (group, packed) in packed.chunks_exact(I::ROWS * depth).enumerate() {
            isa.block_i8(packed, panel, &mut sums);
            let start = piece.rows.start + group * I::ROWS;
            let block = start..piece.rows.end.min(start + I::ROWS);
            let mut values = [[0.0f32; PANEL]; ROWS_MAX];
            for ((values, sums), &scale) in
                values.iter_mut().zip(&sums[..block.len()]).zip(&scales[group * I::ROWS..])
            {
                for (((value, &sum), &column_sum), column_scale) in
                    values.iter_mut().zip(sums).zip(column_sums).zip(column_scales)
                {
                    // The column's sum comes from the file, and may be any number.
                    *value =
                        sum.wrapping_sub(I::OFFSET.wrapping_mul(column_sum)) as f32 * (scale * column_scale);
                }
            }
            let values = &mut values[..block.len()];
            epilogue.finish(inputs, output, (block, values), (first, live), &place);
        }
    }
}

/// Rounds a row to i8; writes groups of four, [`Isa::ROWS`] groups apart. Returns its scale: NaN if a value is not finite.
#[inline(always)]
fn round_row<I: Isa>(isa: I, values: &[f32], packed: &mut [I::Packed]) -> f32 {
    // The bits of magnitudes are ordered like the magnitudes, infinity and NaN above all others.
    let largest = values.iter().fold(0, |largest: u32, value| largest.max(value.to_bits() & 0x7fff_ffff));
    let largest = f32::from_bits(largest);
    let factor = if largest.is_finite() { LEVELS / largest.max(LARGEST_MIN) } else { 0.0 };
    let whole = values.len() / ROUNDED * ROUNDED;
    isa.round(&values[..whole], factor, packed);
    for (group, values) in values[whole..].chunks(GROUP).enumerate() {
        let to = &mut packed[(whole / GROUP + group) * GROUP * I::ROWS..][..GROUP];
        for (at, to) in to.iter_mut().enumerate() {
            // The last group is padded with zeros.
            *to = I::pack(round(values.get(at).map_or(0.0, |value| value * factor)));
        }
    }
    if largest.is_finite() { largest.max(LARGEST_MIN) / LEVELS } else { f32::NAN }
}

/// Rounds to the nearest integer, ties to even. Of a number that is not finite, the result is any.
#[inline(always)]
pub(crate) fn round(value: f32) -> i8 {
    (value + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i8
}
