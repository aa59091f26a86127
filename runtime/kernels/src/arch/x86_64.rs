//! x86-64.

use super::{FLOAT_ROWS_MAX, IntSums, Isa, Scaling, Sums, Work};
use core::arch::x86_64::{
    __m128i, __m256, __m256i, __m512, __m512bh, __m512i, _mm_loadu_si128, _mm_packs_epi32, _mm_set1_epi8,
    _mm_xor_si128, _mm256_add_epi32, _mm256_add_ps, _mm256_and_ps, _mm256_castps_si256, _mm256_castsi256_ps,
    _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_cvtepi32_ps, _mm256_cvtps_epi32,
    _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_hadd_epi32, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_mul_ps, _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_set1_epi64x,
    _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_slli_epi32, _mm256_storeu_ps,
    _mm256_storeu_si256, _mm256_sub_epi32, _mm512_add_ps, _mm512_and_ps, _mm512_castps_si512,
    _mm512_castsi512_ps, _mm512_cvtepi32_epi8, _mm512_cvtepi32_ps, _mm512_cvtps_epi32, _mm512_dpbf16_ps,
    _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps,
    _mm512_packs_epi16, _mm512_packs_epi32, _mm512_permutexvar_epi32, _mm512_set1_epi8, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setr_epi32, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_slli_epi32,
    _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_epi32, _mm512_xor_si512,
};
use core::mem::transmute;
use half::bf16;
use sonotrace_format::panels::{GROUP, PAIR, PANEL};

super::tokens! { is_x86_feature_detected:
    /// 256-bit integers and floats with fused multiply-add.
    Avx2 = "avx2", "fma", "f16c";
    /// 512-bit vectors with dot products of four bytes, such as Ice Lake and Zen 4.
    Avx512Vnni = "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni";
    /// Dot products of pairs of bf16, such as Cooper Lake and Zen 4.
    Avx512Bf16 = "avx512f", "avx512bf16";
}

/// [`Avx512Vnni`], with or without [`Avx512Bf16`]: the same kernels but for one block, so compiled once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512 {
    vnni: Avx512Vnni,
    bf16: Option<Avx512Bf16>,
}

impl Avx512 {
    /// Returns the token without dot products of bf16.
    pub fn new() -> Option<Self> {
        Avx512Vnni::new().map(|vnni| Self { vnni, bf16: None })
    }

    /// Returns the token with dot products of bf16.
    pub fn with_bf16() -> Option<Self> {
        let bf16 = Some(Avx512Bf16::new()?);
        Self::new().map(|token| Self { bf16, ..token })
    }
}

/// The bits of the second element of a pair of bf16.
const SECOND: i32 = 0xffff_0000u32.cast_signed();

#[cfg(test)]
impl Avx512 {
    /// Returns the token on any processor.
    ///
    /// # Safety
    /// None of its instructions is used.
    pub(super) unsafe fn unchecked() -> Self {
        Self { vnni: Avx512Vnni(()), bf16: None }
    }
}

// Float: twelve vectors of sums, two of the panel and one of a repeated element, in sixteen registers.
super::vectors! {
    Avx2: "avx2,fma,f16c", tile 8_000_000,
    float 6, __m256, _mm256_setzero_ps(), _mm256_loadu_ps,
    |sum, weights, value| _mm256_fmadd_ps(_mm256_set1_ps(value), weights, sum), _mm256_storeu_ps,
    bf16 |pairs| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(pairs))),
    |pairs| _mm256_and_ps(pairs, _mm256_castsi256_ps(_mm256_set1_epi32(SECOND))),
    _mm256_set1_ps, |sum, weights, value| _mm256_fmadd_ps(value, weights, sum),
    int8 6 x 4, run Some(GROUP), i16, 0, i16::from, avx2_round, avx2_i8, values avx2_values
}

// Float: twelve vectors of sums, enough to hide the latency of an addition.
super::vectors! {
    Avx512: "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni", tile 8_000_000,
    float 12, __m512, _mm512_setzero_ps(), _mm512_loadu_ps,
    |sum, weights, value| _mm512_fmadd_ps(_mm512_set1_ps(value), weights, sum), _mm512_storeu_ps,
    bf16 |pairs| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(pairs))),
    |pairs| _mm512_and_ps(pairs, _mm512_castsi512_ps(_mm512_set1_epi32(SECOND))),
    _mm512_set1_ps, |sum, weights, value| _mm512_fmadd_ps(value, weights, sum), dots dots_bf16,
    int8 6 x 4, run None, u8, 128, |value: i8| value.cast_unsigned() ^ 128, vnni_round, vnni_i8,
    values vnni_values
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

/// Rows of a block of an int8 product.
const AVX2_ROWS: usize = <Avx2 as Isa>::ROWS;
/// Columns that are multiplied at a time.
const HALF: usize = PANEL / 2;

#[target_feature(enable = "avx2")]
fn avx2_i8(rows: &[i16], panels: &[i8], sums: &mut [<Avx2 as Isa>::IntSums]) {
    let bytes = panels.len() / sums.len();
    for (sums, panel) in sums.iter_mut().zip(panels.chunks(bytes)) {
        for first in [0, HALF] {
            for (sums, of_half) in sums.iter_mut().zip(avx2_half(rows, panel, first)) {
                let to = &mut sums[first..first + HALF];
                // SAFETY: eight sums; no alignment is needed.
                unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), of_half) }
            }
        }
    }
}

/// The steps of [`Isa::values_i8`], in their order, while the sums are in registers.
#[target_feature(enable = "avx2")]
fn avx2_values(rows: &[i16], panels: &[i8], scaling: Scaling<'_>, (values, step): (&mut [f32], usize)) {
    let bytes = panels.len() / scaling.offsets.len();
    for (at, panel) in panels.chunks(bytes).enumerate() {
        for first in [0, HALF] {
            let block = avx2_half(rows, panel, first);
            let of_half = first..first + HALF;
            // SAFETY: eight sums; no alignment is needed.
            let offsets = unsafe { _mm256_loadu_si256(scaling.offsets[at][of_half.clone()].as_ptr().cast()) };
            // SAFETY: eight floats; no alignment is needed.
            let scales = unsafe { _mm256_loadu_ps(scaling.column_scales[at][of_half.clone()].as_ptr()) };
            // SAFETY: as the scales.
            let addends = unsafe { _mm256_loadu_ps(scaling.addends[at][of_half].as_ptr()) };
            for (lane, (sums, row_scale)) in block.into_iter().zip(scaling.row_scales).enumerate() {
                let scale = _mm256_mul_ps(_mm256_set1_ps(*row_scale), scales);
                let sum = _mm256_cvtepi32_ps(_mm256_sub_epi32(sums, offsets));
                let mut value = _mm256_add_ps(_mm256_mul_ps(sum, scale), addends);
                let column = at * PANEL + first;
                if let Some(residuals) = scaling.residuals {
                    let residual = &residuals[lane][column..][..HALF];
                    // SAFETY: eight floats; no alignment is needed.
                    value = _mm256_add_ps(value, unsafe { _mm256_loadu_ps(residual.as_ptr()) });
                }
                let to = &mut values[lane * step + column..][..HALF];
                // SAFETY: eight floats; no alignment is needed.
                unsafe { _mm256_storeu_ps(to.as_mut_ptr(), value) }
            }
        }
    }
}

/// Multiplies with half a panel, from its column `first` on. In 16 bits, because the instruction that multiplies bytes saturates:
/// twelve vectors of sums, each of two sums for each of four columns, two vectors of weights, one of a row's group and one of products.
#[inline]
#[target_feature(enable = "avx2")]
fn avx2_half(rows: &[i16], panel: &[i8], first: usize) -> [__m256i; AVX2_ROWS] {
    /// Weights of a vector: four of each of four columns.
    const LANES: usize = 16;
    let mut block = [[_mm256_setzero_si256(); 2]; AVX2_ROWS];
    let rows = rows.as_chunks::<{ GROUP * AVX2_ROWS }>().0;
    for (rows, panel) in rows.iter().zip(panel.as_chunks::<{ GROUP * PANEL }>().0) {
        let mut weights = [_mm256_setzero_si256(); 2];
        for (at, weights) in weights.iter_mut().enumerate() {
            let bytes = &panel[first * GROUP + at * LANES..][..LANES];
            // SAFETY: 16 bytes, all of them in the panel; no alignment is needed.
            *weights = _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) });
        }
        for (sums, group) in block.iter_mut().zip(rows.as_chunks::<GROUP>().0) {
            let group = _mm256_set1_epi64x(bytemuck::cast(*group));
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(group, weights));
            }
        }
    }
    let mut sums = [_mm256_setzero_si256(); AVX2_ROWS];
    for (sums, [left, right]) in sums.iter_mut().zip(block) {
        // Columns 0 1 4 5 2 3 6 7, then in order.
        *sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(left, right));
    }
    sums
}

/// Rows of a block of an int8 product.
const VNNI_ROWS: usize = <Avx512 as Isa>::ROWS;

/// Rounds with the processor's rounding mode, which is to the nearest even, and adds 128. Four vectors at a time, then one.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn vnni_round(values: &[f32], factor: f32, packed: &mut [u8]) {
    let (factors, offset) = (_mm512_set1_ps(factor), _mm512_set1_epi8(i8::MIN));
    // The packing instructions work on each quarter of a vector.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let (wide, rest) = values.as_chunks::<64>();
    let (to_wide, to_rest) = packed[..values.len()].as_chunks_mut::<64>();
    for (values, to) in wide.iter().zip(to_wide) {
        let mut rounded = [_mm512_setzero_si512(); 4];
        for (rounded, values) in rounded.iter_mut().zip(values.as_chunks::<16>().0) {
            // SAFETY: sixteen floats; no alignment is needed.
            let values = unsafe { _mm512_loadu_ps(values.as_ptr()) };
            *rounded = _mm512_cvtps_epi32(_mm512_mul_ps(values, factors));
        }
        let [a, b, c, d] = rounded;
        let bytes = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
        let bytes = _mm512_xor_si512(_mm512_permutexvar_epi32(order, bytes), offset);
        // SAFETY: 64 bytes; no alignment is needed.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), bytes) }
    }
    for (values, to) in rest.as_chunks::<16>().0.iter().zip(to_rest.as_chunks_mut::<16>().0) {
        // SAFETY: sixteen floats; no alignment is needed.
        let values = unsafe { _mm512_loadu_ps(values.as_ptr()) };
        let rounded: __m128i = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(values, factors)));
        *to = bytemuck::cast(_mm_xor_si128(rounded, _mm_set1_epi8(i8::MIN)));
    }
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn vnni_i8(rows: &[u8], panels: &[i8], sums: &mut [<Avx512 as Isa>::IntSums]) {
    let bytes = panels.len() / sums.len();
    for (sums, panel) in sums.iter_mut().zip(panels.chunks(bytes)) {
        for (sums, block) in sums.iter_mut().zip(vnni_block::<1>(rows, panel)) {
            // SAFETY: sixteen sums; no alignment is needed.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), block[0]) }
        }
    }
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn vnni_values(rows: &[u8], panels: &[i8], scaling: Scaling<'_>, values: (&mut [f32], usize)) {
    match scaling.offsets.len() {
        1 => vnni_scaled::<1>(rows, panels, scaling, values),
        2 => vnni_scaled::<2>(rows, panels, scaling, values),
        3 => vnni_scaled::<3>(rows, panels, scaling, values),
        _ => vnni_scaled::<4>(rows, panels, scaling, values),
    }
}

/// The steps of [`Isa::values_i8`], in their order, while the sums are in registers.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn vnni_scaled<const PANELS: usize>(
    rows: &[u8],
    panels: &[i8],
    scaling: Scaling<'_>,
    (values, step): (&mut [f32], usize),
) {
    let block = vnni_block::<PANELS>(rows, panels);
    for at in 0..PANELS {
        // SAFETY: sixteen sums; no alignment is needed.
        let offsets = unsafe { _mm512_loadu_si512(scaling.offsets[at].as_ptr().cast()) };
        // SAFETY: sixteen floats; no alignment is needed.
        let scales = unsafe { _mm512_loadu_ps(scaling.column_scales[at].as_ptr()) };
        // SAFETY: as the scales.
        let addends = unsafe { _mm512_loadu_ps(scaling.addends[at].as_ptr()) };
        for (lane, (sums, row_scale)) in block.iter().zip(scaling.row_scales).enumerate() {
            let scale = _mm512_mul_ps(_mm512_set1_ps(*row_scale), scales);
            let sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums[at], offsets));
            let mut value = _mm512_add_ps(_mm512_mul_ps(sum, scale), addends);
            if let Some(residuals) = scaling.residuals {
                let residual = &residuals[lane][at * PANEL..][..PANEL];
                // SAFETY: sixteen floats; no alignment is needed.
                value = _mm512_add_ps(value, unsafe { _mm512_loadu_ps(residual.as_ptr()) });
            }
            let to = &mut values[lane * step + at * PANEL..][..PANEL];
            // SAFETY: sixteen floats; no alignment is needed.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
        }
    }
}

/// Up to twenty-four vectors of sums, one of each panel and one of a row's repeated group, in 32 registers.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn vnni_block<const PANELS: usize>(rows: &[u8], panels: &[i8]) -> [[__m512i; PANELS]; VNNI_ROWS] {
    let groups = rows.len() / (GROUP * VNNI_ROWS);
    // Loops instead of `core::array::from_fn`, whose closures are not inlined here.
    let mut row_groups: [&[[u8; GROUP]]; VNNI_ROWS] = [&[]; VNNI_ROWS];
    for (lane, to) in row_groups.iter_mut().enumerate() {
        *to = &rows[lane * groups * GROUP..].as_chunks::<GROUP>().0[..groups];
    }
    let mut panel_groups: [&[[i8; GROUP * PANEL]]; PANELS] = [&[]; PANELS];
    for (at, to) in panel_groups.iter_mut().enumerate() {
        *to = &panels[at * groups * GROUP * PANEL..].as_chunks::<{ GROUP * PANEL }>().0[..groups];
    }
    let mut block = [[_mm512_setzero_si512(); PANELS]; VNNI_ROWS];
    for k in 0..groups {
        let mut weights = [_mm512_setzero_si512(); PANELS];
        for (weights, panel) in weights.iter_mut().zip(panel_groups) {
            // SAFETY: each panel has as many groups as a row.
            let group = unsafe { panel.get_unchecked(k) };
            // SAFETY: 64 bytes; no alignment is needed.
            *weights = unsafe { _mm512_loadu_si512(group.as_ptr().cast()) };
        }
        for (sums, row) in block.iter_mut().zip(row_groups) {
            // SAFETY: below the number of groups.
            let group = _mm512_set1_epi32(bytemuck::cast(unsafe { *row.get_unchecked(k) }));
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm512_dpbusd_epi32(*sum, group, weights);
            }
        }
    }
    block
}

/// Returns the same bits as bf16.
#[inline]
#[target_feature(enable = "avx512f")]
fn of_pairs(pairs: __m512i) -> __m512bh {
    // SAFETY: both types are 512 bits of any values.
    unsafe { transmute::<__m512i, __m512bh>(pairs) }
}

/// Multiplies rows with a panel of pairs of bf16.
fn dots_bf16(_: Avx512Bf16, rows: &[bf16], panel: &[bf16], sums: &mut [[f32; PANEL]]) {
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn dots(rows: &[bf16], panel: &[bf16], sums: &mut [[f32; PANEL]]) {
        const ROWS: usize = <Avx512 as Isa>::BF16_ROWS;
        let panel = panel.as_chunks::<{ PAIR * PANEL }>().0;
        let pairs = rows.as_chunks::<PAIR>().0;
        let mut block = [_mm512_setzero_ps(); ROWS];
        for (at, panel) in panel.iter().enumerate() {
            // SAFETY: 64 bytes; no alignment is needed.
            let weights = of_pairs(unsafe { _mm512_loadu_si512(panel.as_ptr().cast()) });
            for (lane, sums) in block.iter_mut().enumerate() {
                let pair = _mm512_set1_epi32(bytemuck::cast(pairs[lane * (pairs.len() / ROWS) + at]));
                *sums = _mm512_dpbf16_ps(*sums, of_pairs(pair), weights);
            }
        }
        for (sums, block) in sums.iter_mut().zip(block) {
            // SAFETY: sixteen floats; no alignment is needed.
            unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), block) }
        }
    }
    // SAFETY: the token proves that the processor has the instructions.
    unsafe { dots(rows, panel, sums) }
}
