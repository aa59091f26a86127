//! x86-64.

use super::{Isa, Sums};
use crate::bind::Kernel;
use crate::memory::Tile;
use core::arch::x86_64::{
    __m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};
use sonotrace_format::panels::PANEL;

super::tokens! { is_x86_feature_detected:
    /// 256-bit integers and floats with fused multiply-add.
    Avx2 = "avx2", "fma", "f16c";
}

/// Floats of a vector.
const LANES: usize = 8;

#[inline]
#[target_feature(enable = "avx")]
fn load(values: &[f32; LANES]) -> __m256 {
    // SAFETY: the array has as many floats as the vector; no alignment is needed.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx")]
fn store(values: &mut [f32; LANES], vector: __m256) {
    // SAFETY: as for `load`.
    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), vector) }
}

impl Isa for Avx2 {
    const ROWS: usize = 6;

    #[inline]
    fn run<K: Kernel>(self, kernel: &K, tile: Tile<'_>) {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn compiled<K: Kernel>(isa: Avx2, kernel: &K, tile: Tile<'_>) {
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

/// Six rows by a panel: twelve sums, two vectors of the panel and a broadcast element fill the sixteen registers but one.
#[target_feature(enable = "avx2,fma")]
fn block(rows: &[f32], panel: &[f32], sums: &mut Sums) {
    const ROWS: usize = Avx2::ROWS;
    let mut block = [[_mm256_setzero_ps(); PANEL / LANES]; ROWS];
    for (rows, panel) in rows.as_chunks::<ROWS>().0.iter().zip(panel.as_chunks::<PANEL>().0) {
        let (panel, _) = panel.as_chunks::<LANES>();
        let (left, right) = (load(&panel[0]), load(&panel[1]));
        for (sums, &value) in block.iter_mut().zip(rows) {
            let value = _mm256_set1_ps(value);
            sums[0] = _mm256_fmadd_ps(value, left, sums[0]);
            sums[1] = _mm256_fmadd_ps(value, right, sums[1]);
        }
    }
    for (sums, block) in sums.iter_mut().zip(block) {
        let (sums, _) = sums.as_chunks_mut::<LANES>();
        sums.iter_mut().zip(block).for_each(|(sums, vector)| store(sums, vector));
    }
}
