//! Matrix products.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::epilogue::Epilogue;
use crate::grid::UnitGrid;
use crate::memory::{Source, Target, Tile};
use crate::product::{Factor, Parts, ProductGrid, Rows, StridedColumns, TileProduct};
use crate::walk::Dims;
use core::ops::Range;
use sonotrace_format::op;

/// Number of batch dims; dims of rows, columns and the sum.
const BATCHES: usize = 5;
const M: usize = 5;
const N: usize = 6;
const K: usize = 7;

/// Bound matrix product.
#[derive(Debug)]
pub(crate) struct MatMul {
    grid: ProductGrid,
    /// Batches, for output, rows, columns, bias and residual.
    batches: Dims<5>,
    starts: [usize; 5],
    rows: Source<f32>,
    row_steps: [usize; 2],
    factor: Factor,
    output: Target<f32>,
    /// Steps of output, bias and residual from row to row.
    to_row_steps: [usize; 3],
    epilogue: Epilogue,
}

impl Kernel for MatMul {
    type Operation = op::MatMul;

    fn bind(operation: &op::MatMul, binder: &Binder<'_>) -> Result<Self, BindError> {
        let dims = binder.dims();
        let step = |slot: usize, dim: usize| binder.strides(slot)[dim] as usize;
        let batches = Dims::new(binder, 0..BATCHES, [0, 1, 2, 3, 4]);
        let strided = || {
            let source = binder.f32(2)?;
            Ok(StridedColumns { source, start: 0, k_step: step(2, K), n_step: step(2, N) })
        };
        Ok(Self {
            grid: ProductGrid::new(
                binder,
                operation.arithmetic,
                batches.count(),
                [dims[M].into(), dims[N].into()],
            )?,
            batches,
            starts: [0, 1, 2, 3, 4].map(|slot| binder.start(slot)),
            rows: binder.f32(1)?,
            row_steps: [step(1, M), step(1, K)],
            factor: Factor::new(binder, operation.arithmetic, strided)?,
            output: binder.output()?,
            to_row_steps: [0, 3, 4].map(|slot| step(slot, M)),
            epilogue: Epilogue {
                out_step: step(0, N),
                bias: binder.floats_if_any(3)?,
                bias_step: step(3, N),
                is_bias_of_columns: step(3, M) == 0,
                residual: binder.floats_if_any(4)?,
                residual_step: step(4, N),
                activation: operation.activation,
            },
        })
    }

    fn grid(&self, _: &Binder<'_>) -> UnitGrid {
        self.grid.tiles()
    }

    #[inline(always)]
    fn run<I: Isa>(&self, isa: I, tile: Tile<'_>) {
        let piece = self.grid.piece(tile.units.start);
        let [out, a, b, c, d] = self.batches.walk(piece.batch, self.starts).offsets;
        let [row_step, k_step] = self.row_steps;
        let mut output = tile.output.open(self.output);
        let [out_step, bias_step, residual_step] = self.to_row_steps;
        let place = |row: usize| [out + row * out_step, c + row * bias_step, d + row * residual_step];
        let rows = MatrixRows { values: &tile.inputs.read(self.rows)[a..], row_step, k_step, k: self.grid.k };
        let product = TileProduct {
            grid: &self.grid,
            piece: &piece,
            inputs: tile.inputs,
            rows: &rows,
            epilogue: &self.epilogue,
            place,
        };
        self.factor.at(b).multiply(isa, &product, tile.scratch, &mut output);
    }
}

/// Rows of the first operand in one batch.
struct MatrixRows<'t> {
    values: &'t [f32],
    row_step: usize,
    k_step: usize,
    k: usize,
}

impl Rows for MatrixRows<'_> {
    #[inline(always)]
    fn parts(&self, row: usize) -> Option<Parts<'_>> {
        (self.k_step == 1).then(|| Parts::one(&self.values[row * self.row_step..][..self.k]))
    }

    #[inline(always)]
    fn side_by_side(&self, row: usize) -> Option<(&[f32], usize)> {
        (self.row_step == 1).then(|| (&self.values[row..], self.k_step))
    }

    #[inline(always)]
    fn load(&self, rows: Range<usize>, k: usize, to: &mut [f32]) {
        // If rows are adjacent, elements of a block of rows are copied together, so that memory is read in order.
        const BLOCK: usize = 16;
        for (first, to) in rows.clone().step_by(BLOCK).zip(to.chunks_mut(BLOCK * k)) {
            let values = &self.values[first * self.row_step..];
            if self.row_step == 1 && first + BLOCK <= rows.end {
                for at in 0..k {
                    let values = &values[at * self.k_step..][..BLOCK];
                    for (row, value) in values.iter().enumerate() {
                        to[row * k + at] = *value;
                    }
                }
            } else {
                // The step is 0 if one element is repeated.
                for (row, to) in (0..rows.end - first).zip(to.chunks_exact_mut(k)) {
                    let values = &values[row * self.row_step..];
                    for (at, to) in to.iter_mut().enumerate() {
                        *to = values[at * self.k_step];
                    }
                }
            }
        }
    }
}
