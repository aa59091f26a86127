//! The sampling tables of two geometries: the one in use, and the one that is being made.
//!
//! A new geometry's table is filled a few rows a frame, so that a change of depth stalls no frame, and the old table is
//! kept until the new one is whole. A scanner that switches back and forth between two geometries finds both ready.

use crate::hal::frame::Frame;
use crate::vision::sampler::{LutEntry, Sampler};
use crate::vision::{GreyTable, VisionError};

/// One geometry's table.
#[derive(Debug, Clone, Copy, Default)]
struct Table {
    sampler: Option<Sampler>,
    /// Rows filled so far, from the top.
    rows: u32,
    /// Frames that came while it was filled.
    frames: u32,
}

impl Table {
    fn is_whole(&self) -> bool {
        self.sampler.is_some_and(|sampler| self.rows >= sampler.grid().size())
    }
}

/// Both tables, in their halves of one slice.
#[derive(Debug)]
pub(super) struct SamplingTables<'m> {
    entries: &'m mut [LutEntry],
    tables: [Table; 2],
    /// The one that was sampled through last.
    in_use: usize,
}

/// A table that is to be sampled through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TableIndex(usize);

impl<'m> SamplingTables<'m> {
    /// Tables in `entries`, which has room for two.
    pub fn new(entries: &'m mut [LutEntry]) -> Self {
        Self { entries, tables: [Table::default(); 2], in_use: 0 }
    }

    /// Whether no table has ever been whole: then there is nothing that a new one could stand back for.
    pub fn are_empty(&self) -> bool {
        !self.tables.iter().any(Table::is_whole)
    }

    /// The table of a frame's geometry, begun anew in place of the one that is not in use if there is none; whether it
    /// was begun.
    ///
    /// # Errors
    /// A frame that cannot be sampled.
    pub fn of(&mut self, frame: &Frame, size: u32) -> Result<(TableIndex, bool), VisionError> {
        let fits = |table: &Table| table.sampler.is_some_and(|sampler| sampler.fits(frame));
        if let Some(index) = self.tables.iter().position(fits) {
            return Ok((TableIndex(index), false));
        }
        let sampler = Sampler::new(frame, size)?;
        let index = if self.tables[self.in_use].is_whole() { 1 - self.in_use } else { self.in_use };
        self.tables[index] = Table { sampler: Some(sampler), rows: 0, frames: 0 };
        Ok((TableIndex(index), true))
    }

    /// Counts a frame that came while a table was being made.
    pub fn count_frame(&mut self, TableIndex(index): TableIndex) {
        self.tables[index].frames += 1;
    }

    /// Frames that came while a table was being made.
    pub fn frames(&self, TableIndex(index): TableIndex) -> u32 {
        self.tables[index].frames
    }

    pub fn is_whole(&self, TableIndex(index): TableIndex) -> bool {
        self.tables[index].is_whole()
    }

    /// Fills the next row of a table.
    ///
    /// # Errors
    /// None for tables cut by a session's layout.
    pub fn fill_row(&mut self, TableIndex(index): TableIndex) -> Result<(), VisionError> {
        let table = &mut self.tables[index];
        let Some(sampler) = table.sampler else { return Ok(()) };
        let half = self.entries.len() / 2;
        sampler.fill(table.rows..table.rows + 1, &mut self.entries[index * half..][..half])?;
        table.rows += 1;
        Ok(())
    }

    /// Samples a frame through its table, which is whole and in use from now on.
    ///
    /// # Errors
    /// A payload or law that cannot be sampled.
    pub fn sample(
        &mut self,
        TableIndex(index): TableIndex,
        frame: &Frame,
        payload: &[u8],
        grey: &GreyTable,
        out: &mut [f32],
    ) -> Result<Sampler, VisionError> {
        let sampler = self.tables[index]
            .sampler
            .filter(|_| self.tables[index].is_whole())
            .ok_or(VisionError::GeometryChanged { epoch: frame.geometry_epoch })?;
        let half = self.entries.len() / 2;
        sampler.sample(&self.entries[index * half..][..half], frame, payload, grey, out)?;
        self.in_use = index;
        Ok(sampler)
    }
}
