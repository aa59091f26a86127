//! AArch64.

use super::{Isa, Sums};
use crate::bind::Kernel;
use crate::memory::Tile;
use core::arch::aarch64::{float32x4_t, vdupq_n_f32, vfmaq_n_f32, vld1q_f32, vst1q_f32};
use sonotrace_format::panels::PANEL;

super::tokens! { is_aarch64_feature_detected:
    /// 128-bit vectors; present on every board.
    Neon = "neon";
    /// Dot products of bytes.
    DotProduct = "dotprod";
    /// Matrix products of bytes.
    I8Matrix = "i8mm";
}

/// Floats of a vector.
const LANES: usize = 4;

#[inline]
#[target_feature(enable = "neon")]
fn load(values: &[f32; LANES]) -> float32x4_t {
    // SAFETY: the array has as many floats as the vector.
    unsafe { vld1q_f32(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(values: &mut [f32; LANES], vector: float32x4_t) {
    // SAFETY: as for `load`.
    unsafe { vst1q_f32(values.as_mut_ptr(), vector) }
}

impl Isa for Neon {
    const ROWS: usize = 6;

    #[inline]
    fn run<K: Kernel>(self, kernel: &K, tile: Tile<'_>) {
        #[target_feature(enable = "neon")]
        fn compiled<K: Kernel>(isa: Neon, kernel: &K, tile: Tile<'_>) {
            kernel.run(isa, tile);
        }
        // SAFETY: the token proves that the processor has the instructions.
        unsafe { compiled(self, kernel, tile) }
    }

    #[inline(always)]
    fn block(self, rows: &[f32], panel: &[f32], sums: &mut Sums) {
        // SAFETY: the token proves that the processor has the instructions.
        unsafe { block(rows, panel, sums) }
    }
}

/// Six rows by a panel: 24 sums, four vectors of the panel and the elements of the rows fit 32 registers.
#[target_feature(enable = "neon")]
fn block(rows: &[f32], panel: &[f32], sums: &mut Sums) {
    const ROWS: usize = Neon::ROWS;
    let mut block = [[vdupq_n_f32(0.0); PANEL / LANES]; ROWS];
    for (rows, panel) in rows.as_chunks::<ROWS>().0.iter().zip(panel.as_chunks::<PANEL>().0) {
        let (panel, _) = panel.as_chunks::<LANES>();
        let panel: [float32x4_t; PANEL / LANES] = core::array::from_fn(|at| load(&panel[at]));
        for (sums, &value) in block.iter_mut().zip(rows) {
            for (sum, &weights) in sums.iter_mut().zip(&panel) {
                *sum = vfmaq_n_f32(*sum, weights, value);
            }
        }
    }
    for (sums, block) in sums.iter_mut().zip(block) {
        let (sums, _) = sums.as_chunks_mut::<LANES>();
        sums.iter_mut().zip(block).for_each(|(sums, vector)| store(sums, vector));
    }
}
