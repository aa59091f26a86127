//! Rounding to i8: rows and columns of products, each with a scale of its own, its largest magnitude over 127.

use crate::arch::Isa;
use crate::memory::Inputs;
use crate::product::{Parts, StridedColumns};
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
/// scale is NaN if a value is not finite.
#[inline(always)]
pub(crate) fn round_columns(
    columns: &StridedColumns,
    inputs: Inputs<'_>,
    range: Range<usize>,
    k: usize,
    (scales, sums, weights): (&mut [f32], &mut [i32], &mut [i8]),
) {
    let StridedColumns { source, start, k_step, n_step } = *columns;
    let values = &inputs.read(source)[start..];
    let panels = weights.chunks_exact_mut(k.next_multiple_of(GROUP) * PANEL);
    let heads = scales.as_chunks_mut::<PANEL>().0.iter_mut().zip(sums.as_chunks_mut::<PANEL>().0);
    for ((first, (scales, sums)), panel) in range.clone().step_by(PANEL).zip(heads).zip(panels) {
        let live = PANEL.min(range.end - first);
        let values = &values[first * n_step..];
        let panel = panel.as_chunks_mut::<{ PANEL * GROUP }>().0;
        if n_step == 1 && live == PANEL {
            (*scales, *sums) = round_side_by_side(values, k_step, k, |group, groups| {
                for (to, group) in panel[group].as_chunks_mut::<GROUP>().0.iter_mut().zip(groups) {
                    *to = group.to_le_bytes().map(u8::cast_signed);
                }
            });
            continue;
        }
        (*scales, *sums) = ([0.0; PANEL], [0; PANEL]);
        panel.as_flattened_mut().fill(0);
        for column in 0..live {
            let values = &values[column * n_step..];
            let heads = (&mut scales[column], &mut sums[column]);
            if k_step == 1 {
                round_adjacent(&values[..k], column, heads, panel);
            } else {
                let magnitudes = (0..k).map(|at| values[at * k_step].to_bits() & MAGNITUDE);
                let (factor, scale) = factor_and_scale(magnitudes.fold(0, u32::max));
                for at in 0..k {
                    let rounded = round(values[at * k_step] * factor);
                    panel[at / GROUP][column * GROUP + at % GROUP] = rounded;
                    *heads.1 += i32::from(rounded);
                }
                *heads.0 = scale;
            }
        }
    }
}

/// Rounds one column, whose elements are adjacent.
#[inline(always)]
fn round_adjacent(
    values: &[f32],
    column: usize,
    (scale, sum): (&mut f32, &mut i32),
    panel: &mut [[i8; PANEL * GROUP]],
) {
    const LANES: usize = GROUP * GROUP;
    let (factor, of_column) = factor_and_scale(largest_magnitude(values));
    *scale = of_column;
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut totals = [0i32; LANES];
    let mut last = [0.0; LANES];
    last[..rest.len()].copy_from_slice(rest);
    for (values, panel) in chunks.iter().chain([&last]).zip(panel.chunks_mut(GROUP)) {
        let mut rounded = [0i8; LANES];
        for ((to, total), value) in rounded.iter_mut().zip(&mut totals).zip(values) {
            *to = round(value * factor);
            *total += i32::from(*to);
        }
        for (to, group) in panel.iter_mut().zip(rounded.as_chunks::<GROUP>().0) {
            to[column * GROUP..][..GROUP].copy_from_slice(group);
        }
    }
    *sum = totals.iter().sum();
}

/// Rounds columns that lie side by side, or rows that do: each has `k` elements, `k_step` from one to the next. Gives `write` groups
/// of four elements of each, the first one in the lowest byte. Returns their scales and sums.
#[inline(always)]
pub(crate) fn round_side_by_side(
    values: &[f32],
    k_step: usize,
    k: usize,
    mut write: impl FnMut(usize, &[u32; PANEL]),
) -> ([f32; PANEL], [i32; PANEL]) {
    let side = |at: usize| values[at * k_step..].as_chunks::<PANEL>().0[0];
    let mut largest = [0u32; PANEL];
    for at in 0..k {
        for (largest, value) in largest.iter_mut().zip(side(at)) {
            *largest = (value.to_bits() & MAGNITUDE).max(*largest);
        }
    }
    let [mut factors, mut scales] = [[0.0f32; PANEL]; 2];
    for ((factor, scale), largest) in factors.iter_mut().zip(&mut scales).zip(largest) {
        (*factor, *scale) = factor_and_scale(largest);
    }
    let mut totals = [0i32; PANEL];
    for group in 0..k.div_ceil(GROUP) {
        let mut rounded = [[0i32; PANEL]; GROUP];
        for (lane, rounded) in rounded.iter_mut().enumerate().take(k - group * GROUP) {
            let values = side(group * GROUP + lane);
            for column in 0..PANEL {
                rounded[column] = round(values[column] * factors[column]).into();
            }
        }
        let mut words = [0u32; PANEL];
        for column in 0..PANEL {
            for (lane, rounded) in rounded.iter().enumerate() {
                totals[column] += rounded[column];
                words[column] |= (rounded[column].cast_unsigned() & 0xff) << (8 * lane);
            }
        }
        write(group, &words);
    }
    (scales, totals)
}

/// Returns the bits of the largest magnitude. They are ordered like the magnitudes, infinity and NaN above all others.
#[inline(always)]
fn largest_magnitude(values: &[f32]) -> u32 {
    values.iter().fold(0, |largest: u32, value| largest.max(value.to_bits() & MAGNITUDE))
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

/// Rounds a row to i8; writes it as [`Isa::RUN`] orders it. Returns its scale: NaN if a value is not finite.
/// The parts of a row in several parts have multiples of [`ROUNDED`] elements.
#[inline(always)]
pub(crate) fn round_row<I: Isa>(isa: I, parts: Parts<'_>, packed: &mut [I::Packed]) -> f32 {
    let largest = parts.iter().fold(0, |largest, part| largest_magnitude(part).max(largest));
    let (factor, scale) = factor_and_scale(largest);
    for (at, part) in parts.iter().enumerate() {
        let first = at * parts.length;
        let whole = part.len() / ROUNDED * ROUNDED;
        isa.round(&part[..whole], factor, &mut packed[I::place(first)..]);
        for (group, values) in part[whole..].chunks(GROUP).enumerate() {
            let to = &mut packed[I::place(first + whole + group * GROUP)..][..GROUP];
            for (at, to) in to.iter_mut().enumerate() {
                // The last group is padded with zeros.
                *to = I::pack(round(values.get(at).map_or(0.0, |value| value * factor)));
            }
        }
    }
    scale
}

/// Rounds to the nearest integer, ties to even. Of a number that is not finite, the result is any.
#[inline(always)]
pub(crate) fn round(value: f32) -> i8 {
    (value + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i8
}
