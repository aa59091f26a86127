//! Rounding to i8: rows and columns of products, each with a scale of its own, its largest magnitude over 127.

use crate::arch::Isa;
use crate::memory::Inputs;
use crate::product::StridedColumns;
use core::ops::Range;
use sonotrace_format::panels::{GROUP, PANEL};

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

/// Rounds columns to i8, each with a scale of its own; writes scales, sums and panels as [`PanelShape::split_i8`] returns them. The
/// scale is NaN if a value is not finite. Not more than one panel at a time is in f32.
#[inline(always)]
pub(crate) fn round_columns(
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
pub(crate) fn round_row<I: Isa>(isa: I, values: &[f32], packed: &mut [I::Packed]) -> f32 {
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
