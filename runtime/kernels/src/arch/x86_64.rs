//! x86-64.

use super::{IntSums, Isa, ROWS_MAX, Sums};
use crate::bind::Kernel;
use crate::memory::Tile;
use core::arch::x86_64::{
    __m256, __m256i, _mm_loadu_si128, _mm_packs_epi32, _mm256_add_epi32, _mm256_castsi256_si128,
    _mm256_cvtepi8_epi16, _mm256_cvtps_epi32, _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_hadd_epi32,
    _mm256_loadu_ps, _mm256_madd_epi16, _mm256_mul_ps, _mm256_permute4x64_epi64, _mm256_set1_epi64x,
    _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_storeu_ps, _mm256_storeu_si256,
};
use sonotrace_format::panels::{GROUP, PANEL};

super::tokens! { is_x86_feature_detected:
    /// 256-bit integers and floats with fused multiply-add.
    Avx2 = "avx2", "fma", "f16c";
}

// Float: twelve vectors of sums, two of the panel and one of a repeated element, in sixteen registers.
super::vectors! {
    Avx2: "avx2,fma,f16c", rows 6,
    float __m256, _mm256_setzero_ps(), _mm256_loadu_ps,
    |sum, weights, value| _mm256_fmadd_ps(_mm256_set1_ps(value), weights, sum), _mm256_storeu_ps,
    int8 i16, 0, i16::from, avx2_round, avx2_i8
}

/// Rounds with the processor's rounding mode, which is to the nearest even.
#[target_feature(enable = "avx2")]
fn avx2_round(values: &[f32], factor: f32, packed: &mut [i16]) {
    const STEP: usize = GROUP * <Avx2 as Isa>::ROWS;
    let factor = _mm256_set1_ps(factor);
    for (values, to) in values.as_chunks::<8>().0.iter().zip(packed.chunks_mut(2 * STEP)) {
        // SAFETY: eight floats; no alignment is needed.
        let values = unsafe { _mm256_loadu_ps(values.as_ptr()) };
        let rounded = _mm256_cvtps_epi32(_mm256_mul_ps(values, factor));
        let rounded =
            _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256::<1>(rounded));
        let [first, second]: [[i16; GROUP]; 2] = bytemuck::cast(rounded);
        to[..GROUP].copy_from_slice(&first);
        to[STEP..STEP + GROUP].copy_from_slice(&second);
    }
}

/// Multiplies in 16 bits, because the instruction that multiplies bytes saturates. Half a panel at a time: twelve vectors of
/// sums, each of two sums for each of four columns, two vectors of weights, one of a row's group and one of products.
#[target_feature(enable = "avx2")]
fn avx2_i8(rows: &[i16], panel: &[i8], sums: &mut IntSums) {
    const ROWS: usize = <Avx2 as Isa>::ROWS;
    /// Weights of a vector: four of each of four columns.
    const LANES: usize = 16;
    const HALF: usize = PANEL / 2;
    for first in [0, HALF] {
        let mut block = [[_mm256_setzero_si256(); 2]; ROWS];
        let rows = rows.as_chunks::<{ GROUP * ROWS }>().0;
        for (rows, panel) in rows.iter().zip(panel.as_chunks::<{ GROUP * PANEL }>().0) {
            let weights: [__m256i; 2] = core::array::from_fn(|at| {
                let bytes = &panel[first * GROUP + at * LANES..][..LANES];
                // SAFETY: 16 bytes, all of them in the panel; no alignment is needed.
                _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
            });
            for (sums, group) in block.iter_mut().zip(rows.as_chunks::<GROUP>().0) {
                let group = _mm256_set1_epi64x(bytemuck::cast(*group));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(group, weights));
                }
            }
        }
        for (sums, [left, right]) in sums.iter_mut().zip(block) {
            // Columns 0 1 4 5 2 3 6 7, then in order.
            let sums_of_8 = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(left, right));
            let to = &mut sums[first..first + HALF];
            // SAFETY: eight sums; no alignment is needed.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), sums_of_8) }
        }
    }
}
