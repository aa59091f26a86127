//! The blocked product that matrix products and convolutions share (Goto & van de Geijn 2008).
//!
//! A tile is a block of rows and columns of the result. Its rows are read where they lie if their elements are adjacent, else
//! they are copied once. Then each group of rows is multiplied with each panel of 16 columns, with a block of sums in
//! registers. This file has the tiles, and where rows and columns come from; `float`, `int8` and `bf16` have the products, by
//! their arithmetic, and `epilogue` what follows them.

use crate::arch::Isa;
use crate::bf16::{self, BfColumns};
use crate::bind::{BindError, Binder, Panels};
use crate::epilogue::Epilogue;
use crate::float::{self, Columns};
use crate::grid::UnitGrid;
use crate::int8::{self, IntColumns};
use crate::memory::{Inputs, Output, Source};
use core::ops::Range;
use sonotrace_format::op::{Arithmetic, DYNAMIC_ELEMENTS_MAX, dynamic_columns};
use sonotrace_format::panels::{PANEL, PanelShape};

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
            Arithmetic::Bf16 | Arithmetic::DynamicBf16 => bf16::row_bytes(shape),
            Arithmetic::Int8 | Arithmetic::DynamicInt8 => {
                int8::row_bytes(shape, arithmetic, binder.packed_bytes())
            }
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
        if arithmetic.rounds() {
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
}

/// What is multiplied in a tile, by any arithmetic: rows of a piece, and what follows their sums.
pub(crate) struct TileProduct<'t, R, P> {
    pub grid: &'t ProductGrid,
    pub piece: &'t Piece,
    pub inputs: Inputs<'t>,
    pub rows: &'t R,
    pub epilogue: &'t Epilogue,
    /// Returns the offsets of a row in the output and in the addends, at column 0.
    pub place: P,
}

/// Columns of a product, by its arithmetic.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Factor {
    Float(Columns),
    Int8(IntColumns),
    Bf16(BfColumns),
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
            (Arithmetic::Bf16, Some(Panels::Bf16(source))) => Ok(Self::Bf16(BfColumns::Packed(source))),
            (Arithmetic::DynamicBf16, None) => Ok(Self::Bf16(BfColumns::Strided(strided()?))),
            (Arithmetic::Float, Some(Panels::F32(source))) => Ok(Self::Float(Columns::F32(source))),
            (Arithmetic::Float, Some(Panels::F16(source))) => Ok(Self::Float(Columns::F16(source))),
            (Arithmetic::Float, Some(Panels::I8(source))) => Ok(Self::Float(Columns::I8(source))),
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
            Self::Bf16(BfColumns::Strided(columns)) => {
                Self::Bf16(BfColumns::Strided(StridedColumns { start, ..columns }))
            }
            packed => packed,
        }
    }

    /// Multiplies the rows of a piece with its columns and writes the result.
    #[inline(always)]
    pub fn multiply<I: Isa>(
        self,
        isa: I,
        product: &TileProduct<'_, impl Rows, impl Fn(usize) -> [usize; 3]>,
        scratch: &mut [u8],
        output: &mut Output<'_, f32>,
    ) {
        match self {
            Self::Float(columns) => float::multiply(isa, product, &columns, scratch, output),
            Self::Int8(columns) => int8::multiply(isa, product, columns, scratch, output),
            Self::Bf16(columns) => bf16::multiply(isa, product, columns, scratch, output),
        }
    }
}

/// Columns of which element `(k, n)` is at `start + k * k_step + n * n_step`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StridedColumns {
    pub source: Source<f32>,
    pub start: usize,
    pub k_step: usize,
    pub n_step: usize,
}

impl StridedColumns {
    /// Copies the panel whose first column is `first` of `n`, `[k][16]`; zeros behind the last column.
    #[inline(always)]
    pub fn load(&self, inputs: Inputs<'_>, n: usize, first: usize, panel: &mut [f32]) {
        let Self { source, start, k_step, n_step } = *self;
        let values = inputs.read(source);
        let live = PANEL.min(n - first);
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
