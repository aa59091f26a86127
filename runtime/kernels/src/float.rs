//! Products in f32. Weights of fewer bits are widened, a panel at a time.

use crate::arch::{FLOAT_ROWS_MAX, Isa, Sums};
use crate::memory::{Inputs, Output, Source};
use crate::product::{ProductGrid, Rows, StridedColumns, TileProduct};
use half::f16;
use half::slice::HalfFloatSliceExt;
use sonotrace_format::panels::{GROUP, PANEL, PanelShape};

/// Columns of a product in f32: packed weights of some type, or strided.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Columns {
    F32(Source<f32>),
    F16(Source<f16>),
    I8(Source<i8>),
    Strided(StridedColumns),
}

impl Columns {
    /// Returns the panel whose first column is `first`, as f32 `[k][16]`, and the scale of each column if its weights
    /// are integers.
    #[inline(always)]
    fn panel<'a>(
        &self,
        inputs: Inputs<'a>,
        grid: &ProductGrid,
        first_packed: usize,
        first: usize,
        panel: &'a mut [f32],
    ) -> (&'a [f32], Option<&'a [f32]>) {
        let packed = first_packed + first;
        let range = packed * grid.k..(packed + PANEL) * grid.k;
        match *self {
            Self::F32(source) => (&inputs.read(source)[range], None),
            Self::F16(source) => {
                inputs.read(source)[range].convert_to_f32_slice(panel);
                (panel, None)
            }
            Self::I8(source) => {
                let shape = PanelShape { n: grid.packed as u64, k: grid.k as u64 };
                let (scales, _, weights) = shape.split_i8(inputs.read(source));
                let bytes = shape.groups() as usize * GROUP * PANEL;
                widen(&weights[packed / PANEL * bytes..][..bytes], panel);
                (panel, Some(&bytemuck::cast_slice(scales)[packed..packed + PANEL]))
            }
            Self::Strided(columns) => {
                columns.load(inputs, grid.n, first, panel);
                (panel, None)
            }
        }
    }
}

/// Converts weights to f32, four consecutive weights of 16 columns at a time.
#[inline(always)]
fn widen(weights: &[i8], panel: &mut [f32]) {
    for (group, to) in weights.chunks_exact(GROUP * PANEL).zip(panel.chunks_mut(GROUP * PANEL)) {
        let mut words = [0i32; PANEL];
        for (word, bytes) in words.iter_mut().zip(group.chunks_exact(GROUP)) {
            *word = bytemuck::pod_read_unaligned::<i32>(bytemuck::cast_slice(bytes)).to_le();
        }
        for (k, to) in to.chunks_exact_mut(PANEL).enumerate() {
            for (to, word) in to.iter_mut().zip(words) {
                *to = ((word << (24 - 8 * k)) >> 24) as f32;
            }
        }
    }
}

/// Multiplies the rows of a piece with its columns and writes the result.
#[inline(always)]
pub(crate) fn multiply<I: Isa>(
    isa: I,
    product: &TileProduct<'_, impl Rows, impl Fn(usize) -> [usize; 3]>,
    columns: &Columns,
    scratch: &mut [u8],
    output: &mut Output<'_, f32>,
) {
    let &TileProduct { grid, piece, inputs, rows: source, epilogue, ref place } = product;
    let (loaded, panel) =
        bytemuck::cast_slice_mut::<u8, f32>(scratch).split_at_mut(grid.k * piece.rows.len());
    let panel = &mut panel[..grid.k * PANEL];
    if source.adjacent(piece.rows.start).is_none() {
        source.load(piece.rows.clone(), grid.k, loaded);
    }
    let mut sums: Sums = [[0.0; PANEL]; FLOAT_ROWS_MAX];
    for first in piece.columns.clone().step_by(PANEL) {
        let live = PANEL.min(piece.columns.end - first);
        let (panel, scales) = columns.panel(inputs, grid, piece.first_packed, first, panel);
        let addend: [f32; PANEL] = epilogue.addend_of_columns(inputs, place(0)[1], first..first + live);
        for start in piece.rows.clone().step_by(I::FLOAT_ROWS) {
            let block: [&[f32]; FLOAT_ROWS_MAX] = core::array::from_fn(|lane| {
                // The last row is repeated; the sums of the repetitions are not used.
                let row = (start + lane).min(piece.rows.end - 1);
                source.adjacent(row).unwrap_or(&loaded[(row - piece.rows.start) * grid.k..][..grid.k])
            });
            isa.block(&block, panel, &mut sums);
            let block = start..piece.rows.end.min(start + I::FLOAT_ROWS);
            let sums = &mut sums[..block.len()];
            for values in &mut *sums {
                if let Some(scales) = scales {
                    for (value, scale) in values.iter_mut().zip(scales) {
                        *value *= scale;
                    }
                }
                for (value, addend) in values.iter_mut().zip(addend) {
                    *value += addend;
                }
            }
            epilogue.add(inputs, (block.clone(), &mut *sums), (first, live), false, place);
            epilogue.finish(isa, output, (block, sums), (first, live), place);
        }
    }
}
