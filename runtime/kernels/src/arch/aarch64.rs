//! AArch64.

use super::{Isa, Sums};
use crate::bind::Kernel;
use crate::memory::Tile;
use core::arch::aarch64::{float32x4_t, vdupq_n_f32, vfmaq_n_f32, vld1q_f32, vst1q_f32};
use sonotrace_format::panels::PANEL;

super::tokens! { is_aarch64_feature_detected:
    /// 128-bit vectors; present on every board.
    Neon = "neon";
}

// Twenty-four vectors of sums, four of the panel and the elements of the rows, in 32 registers.
super::vectors! {
    Neon: "neon", rows 6, float32x4_t,
    vdupq_n_f32(0.0), vld1q_f32, vfmaq_n_f32, vst1q_f32
}
