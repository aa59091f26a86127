//! The blocked product that matrix products and convolutions share (Goto & van de Geijn 2008).
//!
//! A tile is a block of rows and columns of the result. Its rows are read where they lie if their elements are adjacent, else
//! they are copied once. Then each group of rows is multiplied with each panel of 16 columns, with a block of sums in
//! registers. This file has the tiles, the processing of sums, and products in f32; `int8` has those in int8.

use crate::arch::{FLOAT_ROWS_MAX, Isa, Sums};
use crate::bind::{BindError, Binder, Panels};
use crate::grid::UnitGrid;
use crate::int8::{self, IntColumns};
use crate::memory::{FloatSource, Inputs, Output, Source};
use core::ops::Range;
use half::slice::HalfFloatSliceExt;
use sonotrace_format::function::Unary;
use sonotrace_format::op::{Arithmetic, DYNAMIC_ELEMENTS_MAX, dynamic_columns};
use sonotrace_format::panels::{GROUP, PANEL, PanelShape};

/// Tile grid of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProductGrid {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Columns of the packed weights, those of all groups.
    pub packed: usize,
    tile_rows: usize,
    tile_columns: usize,
    tiles: u32,
}

/// Position of a tile in the product.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub batch: u64,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// Column of the packed weights that is the product's first.
    pub first_packed: usize,
}

impl ProductGrid {
    /// Creates tiles of as many rows as scratch allows, and as many columns as the maximum work allows.
    ///
    /// # Errors
    /// [`BindError::Scratch`] if one group of rows and one panel do not fit.
    pub fn new(
        binder: &Binder<'_>,
        arithmetic: Arithmetic,
        batches: u64,
        [m, n]: [u64; 2],
    ) -> Result<Self, BindError> {
        let PanelShape { n: packed, k } =
            binder.panel_shape().ok_or(BindError::Record("is not a product"))?;
        let shape = PanelShape { n, k };
        let block_rows = binder.block_rows(arithmetic);
        // Scratch of a row, and of what is needed beside the rows.
        let (row_bytes, beside) = match arithmetic {
            Arithmetic::Float => {
                let row_bytes = (k as usize).saturating_mul(size_of::<f32>());
                (row_bytes, row_bytes.saturating_mul(PANEL))
            }
            _ => int8::row_bytes(shape, arithmetic, binder.packed_bytes()),
        };
        let needed = row_bytes.saturating_mul(block_rows).saturating_add(beside);
        let available = binder.scratch_bytes();
        if needed > available {
            return Err(BindError::Scratch { needed, available });
        }
        let mut tile_rows = ((available - beside) / row_bytes / block_rows * block_rows)
            .min(m.next_multiple_of(block_rows as u64) as usize);
        let all = m.saturating_mul(n).saturating_mul(k).saturating_mul(batches);
        // Larger tiles where columns are rounded again for each.
        let tiles = if arithmetic == Arithmetic::DynamicInt8 { 2 } else { 1 };
        let macs_max = binder.tile_macs(all).saturating_mul(tiles);
        // All columns if possible, because rows are rounded again for each tile of columns.
        let mut columns_max = n;
        if arithmetic == Arithmetic::DynamicInt8 && n.saturating_mul(k) > DYNAMIC_ELEMENTS_MAX {
            // So are columns for each tile of rows: as many of both.
            let side = (macs_max / k).isqrt().max(1).next_multiple_of(PANEL as u64);
            columns_max = side.min(dynamic_columns(shape));
        }
        if arithmetic.is_int8() {
            let depth = columns_max.next_multiple_of(PANEL as u64).saturating_mul(k).max(1);
            let rows = macs_max / depth / block_rows as u64;
            tile_rows = tile_rows.min(rows.max(1) as usize * block_rows);
        }
        while tile_rows > block_rows && (tile_rows * PANEL) as u64 * k > macs_max {
            tile_rows = (tile_rows / 2).next_multiple_of(block_rows);
        }
        let panels =
            (macs_max / ((tile_rows * PANEL) as u64 * k).max(1)).clamp(1, columns_max.div_ceil(PANEL as u64));
        let tile_columns = panels as usize * PANEL;
        let tiles = m.div_ceil(tile_rows as u64) * n.div_ceil(tile_columns as u64);
        let tiles = tiles.checked_mul(batches).and_then(|tiles| u32::try_from(tiles).ok());
        let tiles = tiles.ok_or(BindError::Record("has too many tiles"))?;
        Ok(Self {
            m: m as usize,
            n: n as usize,
            k: k as usize,
            packed: packed as usize,
            tile_rows,
            tile_columns,
            tiles,
        })
    }

    /// Returns the unit grid, in which each tile is one unit.
    pub fn tiles(&self) -> UnitGrid {
        UnitGrid::new(self.tiles.into(), 1, 1)
    }

    pub fn piece(&self, tile: u64) -> Piece {
        let (across, down) = (self.n.div_ceil(self.tile_columns), self.m.div_ceil(self.tile_rows));
        let tile = tile as usize;
        let (column, row) = (tile % across * self.tile_columns, tile / across % down * self.tile_rows);
        Piece {
            batch: (tile / across / down) as u64,
            rows: row..(row + self.tile_rows).min(self.m),
            columns: column..(column + self.tile_columns).min(self.n),
            first_packed: 0,
        }
    }

    /// Splits a thread's scratch into rows and one panel.
    fn cut<'s>(&self, scratch: &'s mut [u8], rows: &Range<usize>) -> (&'s mut [f32], &'s mut [f32]) {
        let (rows, panel) = bytemuck::cast_slice_mut::<u8, f32>(scratch).split_at_mut(self.k * rows.len());
        (rows, &mut panel[..self.k * PANEL])
    }
}

/// Processing of the sums: output, addends, activation. Strides are over columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue {
    pub out_step: usize,
    pub bias: Option<FloatSource>,
    pub bias_step: usize,
    /// Whether the bias is the same for all rows of a batch.
    pub is_bias_of_columns: bool,
    pub residual: Option<FloatSource>,
    pub residual_step: usize,
    pub activation: Unary,
}

impl Epilogue {
    /// Returns the addend of up to `WIDTH` columns, if it is the same for all rows, else zeros. `start` is its offset at column 0.
    #[inline(always)]
    pub fn addend_of_columns<const WIDTH: usize>(
        &self,
        inputs: Inputs<'_>,
        start: usize,
        columns: Range<usize>,
    ) -> [f32; WIDTH] {
        let mut addend = [0.0; WIDTH];
        if let Some(bias) = self.bias.filter(|_| self.is_bias_of_columns) {
            let to = &mut addend[..columns.len()];
            bias.load(inputs, start + columns.start * self.bias_step, self.bias_step, to);
        }
        addend
    }

    /// Whether each row has a bias of its own.
    fn has_bias_of_rows(&self) -> bool {
        self.bias.is_some() && !self.is_bias_of_columns
    }

    /// Whether results are the scaled sums, with what is added in registers, side by side.
    pub fn is_scaled_sum(&self) -> bool {
        self.out_step == 1 && self.activation.is_copy() && !self.has_bias_of_rows()
    }

    /// Finds the residuals of some rows and of whole panels of columns; the last row is repeated. Returns `None` unless they are
    /// adjacent f32.
    #[inline(always)]
    pub fn residuals<'r, 'a>(
        &self,
        inputs: Inputs<'a>,
        rows: Range<usize>,
        (first, live): (usize, usize),
        place: impl Fn(usize) -> [usize; 3],
        residuals: &'r mut [&'a [f32]],
    ) -> Option<&'r [&'a [f32]]> {
        let Some(FloatSource::F32(source)) = self.residual else { return None };
        // A row's bias is added first, so that all kernels round alike.
        if self.residual_step != 1 || !live.is_multiple_of(PANEL) || self.has_bias_of_rows() {
            return None;
        }
        for (lane, to) in residuals.iter_mut().enumerate() {
            let row = (rows.start + lane).min(rows.end - 1);
            *to = &inputs.read(source)[place(row)[2] + first..][..live];
        }
        Some(residuals)
    }

    /// Adds each row's own addends to the sums of some rows. `first` and `live` are the first column and the number of columns inside
    /// the result; `has_residuals` says that the residuals are in the sums; `place` returns the offsets of a row in the output, the
    /// bias and the residual, at column 0.
    #[inline(always)]
    pub fn add<const WIDTH: usize>(
        &self,
        inputs: Inputs<'_>,
        (rows, sums): (Range<usize>, &mut [[f32; WIDTH]]),
        (first, live): (usize, usize),
        has_residuals: bool,
        place: impl Fn(usize) -> [usize; 3],
    ) {
        let bias = self.bias.filter(|_| self.has_bias_of_rows());
        let residual = self.residual.filter(|_| !has_residuals);
        for (slot, addend, step) in [(1, bias, self.bias_step), (2, residual, self.residual_step)] {
            let Some(addend) = addend else { continue };
            let mut buffer = [0.0f32; WIDTH];
            for (row, values) in rows.clone().zip(&mut *sums) {
                let addend = addend.view(inputs, place(row)[slot] + first * step, step, &mut buffer[..live]);
                for (value, addend) in values.iter_mut().zip(addend) {
                    *value += addend;
                }
            }
        }
    }

    /// Applies the activation to the sums of some rows, and writes them. The rest is as for [`Self::add`].
    #[inline(always)]
    pub fn finish<I: Isa, const WIDTH: usize>(
        &self,
        isa: I,
        output: &mut Output<'_, f32>,
        (rows, sums): (Range<usize>, &mut [[f32; WIDTH]]),
        (first, live): (usize, usize),
        place: impl Fn(usize) -> [usize; 3],
    ) {
        if !self.activation.is_copy() {
            // Whole vectors; what is computed behind the last column is not written.
            let whole = live.next_multiple_of(PANEL);
            if whole == WIDTH {
                // All rows at once: each element waits for its own steps, the processor computes others meanwhile.
                isa.unary(self.activation, sums.as_flattened_mut());
            } else {
                for values in &mut *sums {
                    isa.unary(self.activation, &mut values[..whole]);
                }
            }
        }
        let start = place(rows.start)[0];
        let are_adjacent = || rows.clone().enumerate().all(|(at, row)| place(row)[0] == start + at);
        if self.out_step != 1 && are_adjacent() {
            // The elements of a column are adjacent.
            for column in 0..live {
                let to = output.row(start + (first + column) * self.out_step, rows.len());
                for (to, values) in to.iter_mut().zip(&*sums) {
                    *to = values[column];
                }
            }
            return;
        }
        for (row, values) in rows.zip(sums) {
            let to = place(row)[0] + first * self.out_step;
            if (self.out_step, live) == (1, WIDTH) {
                // The length is constant: a copy of whole vectors.
                output.row(to, WIDTH).copy_from_slice(values);
            } else {
                output.write(to, self.out_step, &values[..live]);
            }
        }
    }
}

/// Columns of a product, by its arithmetic.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Factor {
    Float(Columns),
    Int8(IntColumns),
}

impl Factor {
    /// Resolves packed weights; `strided` makes the columns if they are not packed.
    ///
    /// # Errors
    /// [`BindError::Operand`].
    pub fn new(
        binder: &Binder<'_>,
        arithmetic: Arithmetic,
        strided: impl FnOnce() -> Result<StridedColumns, BindError>,
    ) -> Result<Self, BindError> {
        match (arithmetic, binder.panels(2)?) {
            (Arithmetic::Int8, Some(Panels::I8(source))) => Ok(Self::Int8(IntColumns::Packed(source))),
            (Arithmetic::DynamicInt8, None) => Ok(Self::Int8(IntColumns::Strided(strided()?))),
            (Arithmetic::Float, Some(panels)) => Ok(Self::Float(Columns::Packed(panels))),
            (Arithmetic::Float, None) => Ok(Self::Float(Columns::Strided(strided()?))),
            _ => Err(BindError::Operand { slot: 2 }),
        }
    }

    /// Moves strided columns to a batch, whose first element is at `start`.
    pub fn at(self, start: usize) -> Self {
        match self {
            Self::Float(Columns::Strided(columns)) => {
                Self::Float(Columns::Strided(StridedColumns { start, ..columns }))
            }
            Self::Int8(IntColumns::Strided(columns)) => {
                Self::Int8(IntColumns::Strided(StridedColumns { start, ..columns }))
            }
            packed => packed,
        }
    }
}

/// Source of the columns of a product in f32.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Columns {
    Packed(Panels),
    Strided(StridedColumns),
}

/// Columns of which element `(k, n)` is at `start + k * k_step + n * n_step`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StridedColumns {
    pub source: Source<f32>,
    pub start: usize,
    pub k_step: usize,
    pub n_step: usize,
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
            Self::Packed(Panels::F32(source)) => (&inputs.read(source)[range], None),
            Self::Packed(Panels::F16(source)) => {
                inputs.read(source)[range].convert_to_f32_slice(panel);
                (panel, None)
            }
            Self::Packed(Panels::I8(source)) => {
                let shape = PanelShape { n: grid.packed as u64, k: grid.k as u64 };
                let (scales, _, weights) = shape.split_i8(inputs.read(source));
                let bytes = shape.groups() as usize * GROUP * PANEL;
                widen(&weights[packed / PANEL * bytes..][..bytes], panel);
                (panel, Some(&bytemuck::cast_slice(scales)[packed..packed + PANEL]))
            }
            Self::Strided(StridedColumns { source, start, k_step, n_step }) => {
                let values = inputs.read(source);
                let live = PANEL.min(grid.n - first);
                let values = &values[start + first * n_step..];
                if n_step == 1 {
                    for (k, to) in panel.chunks_exact_mut(PANEL).enumerate() {
                        let (to, rest) = to.split_at_mut(live);
                        to.copy_from_slice(&values[k * k_step..][..live]);
                        rest.fill(0.0);
                    }
                } else {
                    // Column by column: the elements of a column are adjacent, or as far apart as those of a row.
                    for column in 0..PANEL {
                        let to = panel[column..].iter_mut().step_by(PANEL);
                        match values.get(column * n_step..).filter(|_| column < live) {
                            Some(from) => {
                                for (k, to) in to.enumerate() {
                                    *to = from[k * k_step];
                                }
                            }
                            None => {
                                for to in to {
                                    *to = 0.0;
                                }
                            }
                        }
                    }
                }
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

/// A row that lies in parts of adjacent elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'r> {
    pub values: &'r [f32],
    /// Elements from one part to the next.
    pub step: usize,
    pub count: usize,
    /// Elements of each part.
    pub length: usize,
}

impl<'r> Parts<'r> {
    /// A row of adjacent elements.
    #[inline(always)]
    pub fn one(values: &'r [f32]) -> Self {
        Self { values, step: 0, count: 1, length: values.len() }
    }

    /// Returns the parts in order.
    #[inline(always)]
    pub fn iter(self) -> impl Iterator<Item = &'r [f32]> {
        (0..self.count).map(move |at| &self.values[at * self.step..][..self.length])
    }
}

/// Rows of a product.
pub(crate) trait Rows {
    /// Returns a row where it lies, if it lies in parts of adjacent elements.
    fn parts(&self, row: usize) -> Option<Parts<'_>>;

    /// Returns a row where it lies, if its elements are adjacent. All rows are, or none.
    #[inline(always)]
    fn adjacent(&self, row: usize) -> Option<&[f32]> {
        self.parts(row).filter(|parts| parts.count == 1).map(|parts| &parts.values[..parts.length])
    }

    /// Returns the elements of [`PANEL`] rows from this one on, and those from one element of a row to its next, if the rows lie side
    /// by side.
    #[inline(always)]
    fn side_by_side(&self, _row: usize) -> Option<(&[f32], usize)> {
        None
    }

    /// Copies some rows of `k` elements.
    fn load(&self, rows: Range<usize>, k: usize, to: &mut [f32]);
}

/// Multiplies the rows of a piece with its columns and writes the result. `place` returns the offsets of a row in the output
/// and in the addends, at column 0.
#[expect(clippy::too_many_arguments, reason = "all of them are parts of one tile")]
#[inline(always)]
pub(crate) fn multiply<I: Isa>(
    isa: I,
    grid: &ProductGrid,
    piece: &Piece,
    inputs: Inputs<'_>,
    columns: &Columns,
    scratch: &mut [u8],
    rows: &impl Rows,
    (output, epilogue): (&mut Output<'_, f32>, &Epilogue),
    place: impl Fn(usize) -> [usize; 3],
) {
    let (loaded, panel) = grid.cut(scratch, &piece.rows);
    if rows.adjacent(piece.rows.start).is_none() {
        rows.load(piece.rows.clone(), grid.k, loaded);
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
                rows.adjacent(row).unwrap_or(&loaded[(row - piece.rows.start) * grid.k..][..grid.k])
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
            epilogue.add(inputs, (block.clone(), &mut *sums), (first, live), false, &place);
            epilogue.finish(isa, output, (block, sums), (first, live), &place);
        }
    }
}
