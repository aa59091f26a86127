//! Sums over vectors, in an order that the compiler can compute in lanes.

use crate::kernels::arch::Instructions;
use crate::kernels::rows;

/// Lanes of a sum.
const LANES: usize = 8;
/// Least length of a vector that is divided by.
const LENGTH_MIN: f32 = 1e-12;

/// Returns the sum of products of two vectors of one length.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

/// Returns one over a vector's length, which counts as at least 1e-12.
pub(super) fn scale_of(square: f32) -> f32 {
    1.0 / libm::sqrtf(square).max(LENGTH_MIN)
}

/// Divides a vector by its length.
pub(super) fn normalize(vector: &mut [f32]) {
    let scale = scale_of(dot(vector, vector));
    for value in vector {
        *value *= scale;
    }
}

/// Writes one over the length of each column of `values`, `[rows, columns]`.
pub fn scales_of_columns(values: &[f32], scales: &mut [f32]) {
    scales.fill(0.0);
    for row in values.chunks_exact(scales.len()) {
        for (sum, value) in scales.iter_mut().zip(row) {
            *sum += value * value;
        }
    }
    for scale in scales {
        *scale = scale_of(*scale);
    }
}

/// Writes the direction of the mean of the columns' directions; `values` is `[rows, columns]`, `scales` of its columns.
pub fn mean_direction(instructions: Instructions, values: &[f32], scales: &[f32], mean: &mut [f32]) {
    rows::products(instructions, values, scales, scales.len(), mean);
    normalize(mean);
}

/// Writes one over the length of each row of `values`, `[rows, columns]`.
pub fn scales_of_rows(values: &[f32], scales: &mut [f32]) {
    let columns = values.len() / scales.len().max(1);
    for (scale, row) in scales.iter_mut().zip(values.chunks_exact(columns.max(1))) {
        *scale = scale_of(dot(row, row));
    }
}

/// Returns whether all values are finite. It looks at all of them, which is faster than to stop at the first that is not.
pub fn are_finite(values: &[f32]) -> bool {
    /// All bits of the exponent: of infinity and NaN.
    const EXPONENT: u32 = 0x7f80_0000;
    values.iter().fold(0, |most: u32, value| most.max(value.to_bits() & EXPONENT)) != EXPONENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_is_the_sum_of_products_for_any_length() {
        for length in 0..40 {
            let a: Vec<f32> = (0..length).map(|at| at as f32 - 3.0).collect();
            let b: Vec<f32> = (0..length).map(|at| (at * at % 7) as f32).collect();
            let expected: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert_eq!(dot(&a, &b), expected);
        }
    }

    #[test]
    fn rows_and_columns_get_their_own_scales() {
        let values = [3.0, 0.0, 4.0, 2.0];
        let mut scales = [0.0; 2];
        scales_of_columns(&values, &mut scales);
        assert_eq!(scales, [0.2, 0.5]);
        scales_of_rows(&values, &mut scales);
        assert_eq!(scales[0], 1.0 / 3.0);
        let mut zero = [0.0; 3];
        normalize(&mut zero);
        assert_eq!(zero, [0.0; 3]);
    }
}
