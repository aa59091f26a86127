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

// Twelve vectors of sums, two of the panel and one of a repeated element, in sixteen registers.
super::vectors! {
    Avx2: "avx2,fma,f16c", rows 6, __m256,
    _mm256_setzero_ps(), _mm256_loadu_ps,
    |sum, weights, value| _mm256_fmadd_ps(_mm256_set1_ps(value), weights, sum), _mm256_storeu_ps
}
