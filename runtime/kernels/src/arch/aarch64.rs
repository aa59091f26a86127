//! AArch64.

use super::{FLOAT_ROWS_MAX, IntSums, Isa, Sums, Work};
use crate::rounding::ROUNDED;
use core::arch::aarch64::{
    float32x4_t, int8x8_t, int8x16_t, int16x8_t, int32x4_t, vandq_u32, vcombine_s8, vcvtnq_s32_f32,
    vdup_n_s8, vdup_n_s32, vdupq_n_f32, vdupq_n_s8, vdupq_n_s32, vdupq_n_u32, vfmaq_f32, vfmaq_n_f32,
    vgetq_lane_u64, vld1_s8, vld1q_f32, vld1q_s8, vmull_s8, vmulq_n_f32, vpadalq_s16, vpaddq_s32,
    vreinterpret_s8_s32, vreinterpretq_f32_u32, vreinterpretq_s8_s16, vreinterpretq_s8_s32,
    vreinterpretq_s16_s32, vreinterpretq_s32_s8, vreinterpretq_s32_s64, vreinterpretq_s64_s32,
    vreinterpretq_u32_f32, vreinterpretq_u64_s8, vshlq_n_u32, vst1q_f32, vst1q_s32, vuzp1q_s8, vuzp1q_s16,
    vzip1q_s32, vzip1q_s64, vzip2q_s32, vzip2q_s64,
};
use half::bf16;
use sonotrace_format::panels::{GROUP, PAIR, PANEL};

super::tokens! { is_aarch64_feature_detected:
    /// 128-bit vectors; present on every board.
    Neon = "neon";
    /// Dot products of four bytes: Armv8.2, such as Cortex-A55, A76, A78AE and Neoverse N1.
    Dotprod = "neon", "dotprod";
    /// Products of matrices of 2 x 8 and 8 x 2 bytes: Armv8.6, such as Cortex-A710 and Neoverse V1, N2 and V3AE.
    I8mm = "neon", "i8mm";
}

// Float: twenty-four vectors of sums, four of the panel and the elements of the rows, in 32 registers.
super::vectors! {
    Neon: "neon", tile 4_000_000,
    float 6, float32x4_t, vdupq_n_f32(0.0), vld1q_f32, vfmaq_n_f32, vst1q_f32,
    bf16 first_of_pair, second_of_pair, vdupq_n_f32, vfmaq_f32,
    int8 6 x 4, run Some(GROUP), i8, 0, i8::from, neon_round, neon_i8
}

super::vectors! {
    Dotprod: "neon,dotprod", tile 8_000_000,
    float 6, float32x4_t, vdupq_n_f32(0.0), vld1q_f32, vfmaq_n_f32, vst1q_f32,
    bf16 first_of_pair, second_of_pair, vdupq_n_f32, vfmaq_f32,
    int8 6 x 4, run Some(GROUP), i8, 0, i8::from, neon_round, dotprod_i8
}

super::vectors! {
    I8mm: "neon,i8mm", tile 8_000_000,
    float 6, float32x4_t, vdupq_n_f32(0.0), vld1q_f32, vfmaq_n_f32, vst1q_f32,
    bf16 first_of_pair, second_of_pair, vdupq_n_f32, vfmaq_f32,
    int8 16 x 4, run Some(TWO_GROUPS), i8, 0, i8::from, i8mm_round, i8mm_i8
}

/// Returns the first elements of pairs of bf16 as floats.
#[inline]
#[target_feature(enable = "neon")]
fn first_of_pair(pairs: float32x4_t) -> float32x4_t {
    vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(pairs)))
}

/// Returns the second elements of pairs of bf16 as floats.
#[inline]
#[target_feature(enable = "neon")]
fn second_of_pair(pairs: float32x4_t) -> float32x4_t {
    vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(pairs), vdupq_n_u32(0xffff_0000)))
}

/// Inputs of a step of `smmla`: two groups.
const TWO_GROUPS: usize = 2 * GROUP;

/// Rounds values to the nearest even.
#[inline]
#[target_feature(enable = "neon")]
fn round(values: &[f32; ROUNDED], factor: f32) -> [u64; 2] {
    let quarters: [int16x8_t; 4] = core::array::from_fn(|at| {
        // SAFETY: four floats; no alignment is needed.
        let values = unsafe { vld1q_f32(values[at * 4..][..4].as_ptr()) };
        vreinterpretq_s16_s32(vcvtnq_s32_f32(vmulq_n_f32(values, factor)))
    });
    // The low half of each integer, then the low half of that.
    let halves = [vuzp1q_s16(quarters[0], quarters[1]), vuzp1q_s16(quarters[2], quarters[3])];
    let rounded = vuzp1q_s8(vreinterpretq_s8_s16(halves[0]), vreinterpretq_s8_s16(halves[1]));
    let rounded = vreinterpretq_u64_s8(rounded);
    [vgetq_lane_u64::<0>(rounded), vgetq_lane_u64::<1>(rounded)]
}

#[target_feature(enable = "neon")]
fn neon_round(values: &[f32], factor: f32, packed: &mut [i8]) {
    const STEP: usize = GROUP * <Neon as Isa>::ROWS;
    for (values, to) in values.as_chunks().0.iter().zip(packed.chunks_mut(4 * STEP)) {
        // The last group of the last row is not followed by others.
        let to = &mut to[..3 * STEP + GROUP];
        let groups: [[i8; GROUP]; 4] = bytemuck::cast(round(values, factor));
        for (at, group) in groups.iter().enumerate() {
            to[at * STEP..][..GROUP].copy_from_slice(group);
        }
    }
}

#[target_feature(enable = "neon")]
fn i8mm_round(values: &[f32], factor: f32, packed: &mut [i8]) {
    const STEP: usize = TWO_GROUPS * <I8mm as Isa>::ROWS;
    for (values, to) in values.as_chunks().0.iter().zip(packed.chunks_mut(2 * STEP)) {
        let [first, second]: [[i8; TWO_GROUPS]; 2] = bytemuck::cast(round(values, factor));
        to[..TWO_GROUPS].copy_from_slice(&first);
        to[STEP..STEP + TWO_GROUPS].copy_from_slice(&second);
    }
}

/// Pairs each panel with its sums.
fn panels<'a, S>(panels: &'a [i8], sums: &'a mut [S]) -> impl Iterator<Item = (&'a [i8], &'a mut S)> {
    panels.chunks_exact(panels.len() / sums.len()).zip(sums)
}

#[target_feature(enable = "neon")]
fn neon_i8(rows: &[i8], all: &[i8], sums: &mut [<Neon as Isa>::IntSums]) {
    for (panel, sums) in panels(all, sums) {
        neon_panel(rows, panel, sums);
    }
}

#[target_feature(enable = "neon,dotprod")]
fn dotprod_i8(rows: &[i8], all: &[i8], sums: &mut [<Dotprod as Isa>::IntSums]) {
    for (panel, sums) in panels(all, sums) {
        dotprod_panel(rows, panel, sums);
    }
}

#[target_feature(enable = "neon,i8mm")]
fn i8mm_i8(rows: &[i8], all: &[i8], sums: &mut [<I8mm as Isa>::IntSums]) {
    for (panel, sums) in panels(all, sums) {
        i8mm_panel(rows, panel, sums);
    }
}

/// Half a panel at a time: twenty-four vectors of sums, each of two sums for each of two columns, four vectors of weights,
/// one of a row's group and one of products.
#[target_feature(enable = "neon")]
fn neon_panel(rows: &[i8], panel: &[i8], sums: &mut <Neon as Isa>::IntSums) {
    const ROWS: usize = <Neon as Isa>::ROWS;
    /// Weights of a vector: four of each of two columns.
    const LANES: usize = 8;
    const HALF: usize = PANEL / 2;
    for first in [0, HALF] {
        let mut block = [[vdupq_n_s32(0); 4]; ROWS];
        let rows = rows.as_chunks::<{ GROUP * ROWS }>().0;
        for (rows, panel) in rows.iter().zip(panel.as_chunks::<{ GROUP * PANEL }>().0) {
            let weights: [int8x8_t; 4] = core::array::from_fn(|at| {
                let bytes = &panel[first * GROUP + at * LANES..][..LANES];
                // SAFETY: eight bytes, all of them in the panel; no alignment is needed.
                unsafe { vld1_s8(bytes.as_ptr()) }
            });
            for (sums, group) in block.iter_mut().zip(rows.as_chunks::<GROUP>().0) {
                let group = vreinterpret_s8_s32(vdup_n_s32(bytemuck::cast(*group)));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = vpadalq_s16(*sum, vmull_s8(group, weights));
                }
            }
        }
        for (sums, block) in sums.iter_mut().zip(block) {
            let pairs: [int32x4_t; 2] = [vpaddq_s32(block[0], block[1]), vpaddq_s32(block[2], block[3])];
            for (to, four) in sums[first..first + HALF].as_chunks_mut::<4>().0.iter_mut().zip(pairs) {
                // SAFETY: four sums; no alignment is needed.
                unsafe { vst1q_s32(to.as_mut_ptr(), four) }
            }
        }
    }
}

/// Twenty-four vectors of sums, each of four columns, four vectors of weights, and the groups of six rows in two.
#[target_feature(enable = "neon,dotprod")]
fn dotprod_panel(rows: &[i8], panel: &[i8], sums: &mut <Dotprod as Isa>::IntSums) {
    const ROWS: usize = <Dotprod as Isa>::ROWS;
    /// Weights of a vector: four of each of four columns.
    const LANES: usize = 16;
    let mut block = [[vdupq_n_s32(0); PANEL * GROUP / LANES]; ROWS];
    let rows = rows.as_chunks::<{ GROUP * ROWS }>().0;
    for (rows, panel) in rows.iter().zip(panel.as_chunks::<{ GROUP * PANEL }>().0) {
        let (first, last) = rows.split_at(LANES);
        // SAFETY: sixteen bytes; no alignment is needed.
        let first = unsafe { vld1q_s8(first.as_ptr()) };
        // SAFETY: eight bytes; no alignment is needed.
        let last = unsafe { vld1_s8(last.as_ptr()) };
        let last = vcombine_s8(last, vdup_n_s8(0));
        for (column, weights) in panel.as_chunks::<LANES>().0.iter().enumerate() {
            // SAFETY: sixteen bytes; no alignment is needed.
            let weights = unsafe { vld1q_s8(weights.as_ptr()) };
            block[0][column] = add_dot::<0>(block[0][column], weights, first);
            block[1][column] = add_dot::<1>(block[1][column], weights, first);
            block[2][column] = add_dot::<2>(block[2][column], weights, first);
            block[3][column] = add_dot::<3>(block[3][column], weights, first);
            block[4][column] = add_dot::<0>(block[4][column], weights, last);
            block[5][column] = add_dot::<1>(block[5][column], weights, last);
        }
    }
    for (sums, block) in sums.iter_mut().zip(block) {
        for (to, four) in sums.as_chunks_mut::<4>().0.iter_mut().zip(block) {
            // SAFETY: four sums; no alignment is needed.
            unsafe { vst1q_s32(to.as_mut_ptr(), four) }
        }
    }
}

/// Adds, for each of four columns, the product of its four weights and the group in lane `LANE` of `rows`. In assembly,
/// because Rust's function for it is not stable.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_dot<const LANE: usize>(mut sums: int32x4_t, weights: int8x16_t, rows: int8x16_t) -> int32x4_t {
    // SAFETY: reads and writes registers only; the caller has the instruction.
    unsafe {
        core::arch::asm!(
            "sdot {sums:v}.4s, {weights:v}.16b, {rows:v}.4b[{lane}]",
            sums = inout(vreg) sums, weights = in(vreg) weights, rows = in(vreg) rows, lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// Rows of a block of `smmla`, two in a vector.
const ROW_PAIRS: usize = <I8mm as Isa>::ROWS / 2;

/// Four columns at a time: sixteen vectors of sums, each of two rows and two columns. Weights of two groups are interleaved
/// in registers, once for eight pairs of rows.
#[target_feature(enable = "neon,i8mm")]
fn i8mm_panel(rows: &[i8], panel: &[i8], sums: &mut <I8mm as Isa>::IntSums) {
    /// Columns of a vector of weights of one group.
    const COLUMNS: usize = 4;
    let (pairs, last) = panel.as_chunks::<{ TWO_GROUPS * PANEL }>();
    let (rows, last_rows) = rows.as_chunks::<{ TWO_GROUPS * <I8mm as Isa>::ROWS }>().0.split_at(pairs.len());
    for first in (0..PANEL).step_by(COLUMNS) {
        let mut block = [[vdupq_n_s32(0); 2]; ROW_PAIRS];
        let weights = |group: &[i8]| {
            // SAFETY: sixteen bytes; no alignment is needed.
            unsafe { vld1q_s8(group[first * GROUP..][..COLUMNS * GROUP].as_ptr()) }
        };
        for (rows, pair) in rows.iter().zip(pairs) {
            add_pair(&mut block, rows, weights(pair), weights(&pair[GROUP * PANEL..]));
        }
        if let [rows] = last_rows {
            // The second group does not exist: its rows may be any values, its weights are zeros.
            add_pair(&mut block, rows, weights(last), vdupq_n_s8(0));
        }
        for (sums, pair) in sums.as_chunks_mut::<2>().0.iter_mut().zip(block) {
            let [left, right] = pair.map(|sums| vreinterpretq_s64_s32(sums));
            for (sums, four) in sums.iter_mut().zip([vzip1q_s64(left, right), vzip2q_s64(left, right)]) {
                // SAFETY: four sums; no alignment is needed.
                unsafe { vst1q_s32(sums[first..][..COLUMNS].as_mut_ptr(), vreinterpretq_s32_s64(four)) }
            }
        }
    }
}

/// Adds the products of eight inputs of sixteen rows and four columns, whose weights are in two groups.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn add_pair(
    block: &mut [[int32x4_t; 2]; ROW_PAIRS],
    rows: &[i8; TWO_GROUPS * <I8mm as Isa>::ROWS],
    first: int8x16_t,
    second: int8x16_t,
) {
    let (first, second) = (vreinterpretq_s32_s8(first), vreinterpretq_s32_s8(second));
    let weights =
        [vzip1q_s32(first, second), vzip2q_s32(first, second)].map(|pair| vreinterpretq_s8_s32(pair));
    for (sums, rows) in block.iter_mut().zip(rows.as_chunks::<{ 2 * TWO_GROUPS }>().0) {
        // SAFETY: sixteen bytes; no alignment is needed.
        let rows = unsafe { vld1q_s8(rows.as_ptr()) };
        for (sum, weights) in sums.iter_mut().zip(weights) {
            *sum = add_matrices(*sum, rows, weights);
        }
    }
}

/// Adds, for each of two rows and two columns, the product of their eight inputs and weights. In assembly, because Rust's
/// function for it is not stable.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn add_matrices(mut sums: int32x4_t, rows: int8x16_t, weights: int8x16_t) -> int32x4_t {
    // SAFETY: reads and writes registers only; the caller has the instruction.
    unsafe {
        core::arch::asm!(
            "smmla {sums:v}.4s, {rows:v}.16b, {weights:v}.16b",
            sums = inout(vreg) sums, rows = in(vreg) rows, weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}
