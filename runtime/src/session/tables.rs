//! The sampling tables of two geometries: the one in use, and the one that is being filled.
//!
//! A new geometry's table is filled a few rows per frame, so that a change of depth stalls no frame. The old table is
//! kept until the new one is complete, and after that, so that a scanner can switch between two geometries.

use crate::hal::frame::Frame;
use crate::kernels::arch::Instructions;
use crate::vision::sampler::{LutEntry, Sampler};
use crate::vision::{InputGrid, VisionError};

/// The table of one geometry.
#[derive(Debug, Clone, Copy, Default)]
struct Table {
    sampler: Option<Sampler>,
    /// Rows filled so far, from the top.
    rows: u32,
    /// Frames received while it was being filled.
    frames: u32,
}

impl Table {
    fn is_complete(&self) -> bool {
        self.sampler.is_some_and(|sampler| self.rows >= sampler.grid().size())
    }
}

/// Both tables, each in one half of a slice.
#[derive(Debug)]
pub(super) struct SamplingTables<'m> {
    entries: &'m mut [LutEntry],
    tables: [Table; 2],
    /// Index of the table that sampled the last frame.
    in_use: usize,
    instructions: Instructions,
}

/// Index of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TableIndex(usize);

impl<'m> SamplingTables<'m> {
    /// Creates empty tables in `entries`, which has room for two.
    pub fn new(entries: &'m mut [LutEntry], instructions: Instructions) -> Self {
        Self { entries, tables: [Table::default(); 2], in_use: 0, instructions }
    }

    /// Returns whether there is no complete table yet.
    pub fn are_empty(&self) -> bool {
        !self.tables.iter().any(Table::is_complete)
    }

    /// Returns the grid of the table that sampled the last frame, if that had the geometry of this one.
    pub fn grid_in_use(&self, frame: &Frame) -> Option<InputGrid> {
        let sampler = self.tables[self.in_use].sampler.filter(|sampler| sampler.fits(frame))?;
        self.tables[self.in_use].is_complete().then_some(*sampler.grid())
    }

    /// Returns the grid of a table of this frame's geometry that is being filled.
    pub fn grid_begun(&self, frame: &Frame) -> Option<InputGrid> {
        let begun = self.tables.iter().filter(|table| !table.is_complete());
        begun
            .filter_map(|table| table.sampler)
            .find(|sampler| sampler.fits(frame))
            .map(|sampler| *sampler.grid())
    }

    /// Returns the table of a frame's geometry on a grid, and whether it is new: a new table replaces the one that is not in use.
    ///
    /// # Errors
    /// If the frame cannot be sampled.
    pub fn of(&mut self, frame: &Frame, grid: InputGrid) -> Result<(TableIndex, bool), VisionError> {
        let fits = |table: &Table| {
            table.sampler.is_some_and(|sampler| sampler.fits(frame) && *sampler.grid() == grid)
        };
        if let Some(index) = self.tables.iter().position(fits) {
            return Ok((TableIndex(index), false));
        }
        let sampler = Sampler::on_grid(frame, grid)?.with_instructions(self.instructions);
        let index = if self.tables[self.in_use].is_complete() { 1 - self.in_use } else { self.in_use };
        self.tables[index] = Table { sampler: Some(sampler), rows: 0, frames: 0 };
        Ok((TableIndex(index), true))
    }

    /// Counts a frame received while a table is being filled.
    pub fn count_frame(&mut self, TableIndex(index): TableIndex) {
        self.tables[index].frames += 1;
    }

    /// Returns the number of frames received while a table was being filled.
    pub fn frames(&self, TableIndex(index): TableIndex) -> u32 {
        self.tables[index].frames
    }

    pub fn is_complete(&self, TableIndex(index): TableIndex) -> bool {
        self.tables[index].is_complete()
    }

    /// Fills the next row of a table.
    ///
    /// # Errors
    /// Never for tables of a session's layout.
    pub fn fill_row(&mut self, TableIndex(index): TableIndex) -> Result<(), VisionError> {
        let table = &mut self.tables[index];
        let Some(sampler) = table.sampler else { return Ok(()) };
        let half = self.entries.len() / 2;
        sampler.fill(table.rows..table.rows + 1, &mut self.entries[index * half..][..half])?;
        table.rows += 1;
        Ok(())
    }

    /// Returns the sampler and the entries of a complete table.
    ///
    /// # Errors
    /// [`VisionError::Unsupported`] for an incomplete table.
    pub fn complete(&self, TableIndex(index): TableIndex) -> Result<(&Sampler, &[LutEntry]), VisionError> {
        let table = &self.tables[index];
        let sampler = table.sampler.as_ref().filter(|_| table.is_complete());
        let sampler =
            sampler.ok_or(VisionError::Unsupported { what: "sampling with an incomplete table" })?;
        let half = self.entries.len() / 2;
        Ok((sampler, &self.entries[index * half..][..half]))
    }

    /// Marks a table as in use: a new geometry replaces the other one.
    pub fn use_for_frames(&mut self, TableIndex(index): TableIndex) {
        self.in_use = index;
    }
}
