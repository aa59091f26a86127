//! Products of the rows of two matrices: how alike they are.

use crate::arch::{Instructions, Isa, Work};

/// Partial sums of a product.
const LANES: usize = 8;
/// Rows and vectors that are multiplied together: their partial sums fit the registers.
const ROWS: usize = 4;
const VECTORS: usize = 2;

/// Writes the products of each of the `vectors`, `[count, columns]`, with each row of `matrix`, `[rows, columns]`, to `products`,
/// `[count, rows]`.
///
/// # Panics
/// If `products` has another length than the matrices give, or they are no whole number of rows.
pub fn products(
    instructions: Instructions,
    matrix: &[f32],
    vectors: &[f32],
    columns: usize,
    products: &mut [f32],
) {
    let (rows, count) = (matrix.len() / columns, vectors.len() / columns);
    assert!(
        rows * columns == matrix.len() && count * columns == vectors.len() && rows * count == products.len()
    );
    instructions.run(Products { matrix, vectors, columns, products });
}

struct Products<'a> {
    matrix: &'a [f32],
    vectors: &'a [f32],
    columns: usize,
    products: &'a mut [f32],
}

impl Work for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { matrix, vectors, columns, products } = self;
        let rows = matrix.len() / columns;
        let pairs = vectors.chunks(VECTORS * columns).zip(products.chunks_mut(VECTORS * rows));
        for (vectors, products) in pairs {
            for first in (0..rows).step_by(ROWS) {
                let block = &matrix[first * columns..(first + ROWS).min(rows) * columns];
                if block.len() == ROWS * columns && vectors.len() == VECTORS * columns {
                    let sums = together(block, vectors, columns);
                    for (sums, products) in sums.iter().zip(products.chunks_mut(rows)) {
                        products[first..first + ROWS].copy_from_slice(sums);
                    }
                    continue;
                }
                for (vector, products) in vectors.chunks(columns).zip(products.chunks_mut(rows)) {
                    for (row, product) in block.chunks(columns).zip(&mut products[first..]) {
                        *product = alone(row, vector);
                    }
                }
            }
        }
    }
}

/// The products of some rows and vectors, in the same order of sums as [`alone`].
#[inline(always)]
fn together(rows: &[f32], vectors: &[f32], columns: usize) -> [[f32; ROWS]; VECTORS] {
    let mut lanes = [[[0.0f32; LANES]; ROWS]; VECTORS];
    let whole = columns / LANES * LANES;
    for from in (0..whole).step_by(LANES) {
        for (vector, lanes) in lanes.iter_mut().enumerate() {
            let vector = &vectors[vector * columns + from..][..LANES];
            for (row, lanes) in lanes.iter_mut().enumerate() {
                let row = &rows[row * columns + from..][..LANES];
                for at in 0..LANES {
                    lanes[at] += row[at] * vector[at];
                }
            }
        }
    }
    let mut sums = [[0.0; ROWS]; VECTORS];
    for (vector, (sums, lanes)) in sums.iter_mut().zip(&lanes).enumerate() {
        for (row, (sum, lanes)) in sums.iter_mut().zip(lanes).enumerate() {
            let rest = row * columns + whole..(row + 1) * columns;
            *sum = total(lanes, &rows[rest], &vectors[vector * columns + whole..][..columns - whole]);
        }
    }
    sums
}

#[inline(always)]
fn alone(row: &[f32], vector: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    let (others, others_rest) = vector.as_chunks::<LANES>();
    for (a, b) in chunks.iter().zip(others) {
        for at in 0..LANES {
            lanes[at] += a[at] * b[at];
        }
    }
    total(&lanes, rest, others_rest)
}

#[inline(always)]
fn total(lanes: &[f32; LANES], a: &[f32], b: &[f32]) -> f32 {
    let rest: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h)) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With each instruction set, for any numbers of rows, vectors and columns: the same bits wherever a row lies.
    #[test]
    fn products_are_sums_of_products() {
        let values = |count: usize| (0..count).map(|at| (at * at % 23) as f32 - 11.0).collect::<Vec<_>>();
        for instructions in Instructions::available() {
            for columns in [1, 7, 8, 9, 40] {
                for (rows, count) in [(1, 1), (4, 2), (5, 3), (11, 4), (8, 5)] {
                    let (matrix, vectors) = (values(rows * columns), values(count * columns + 3));
                    let vectors = &vectors[3..];
                    let mut seen = vec![0.0; rows * count];
                    products(instructions, &matrix, vectors, columns, &mut seen);
                    for (at, &seen) in seen.iter().enumerate() {
                        let (vector, row) = (at / rows, at % rows);
                        let row = &matrix[row * columns..][..columns];
                        let vector = &vectors[vector * columns..][..columns];
                        // Whole numbers: the sums are exact.
                        let expected: f32 = row.iter().zip(vector).map(|(a, b)| a * b).sum();
                        assert_eq!(seen, expected, "{rows} x {count} x {columns}");
                    }
                }
            }
        }
    }
}
