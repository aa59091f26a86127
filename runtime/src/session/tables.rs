//! The sampling tables of two geometries: the one in use, and the one that is being filled.
//!
//! A new geometry's table is filled a few rows per frame, so that a change of depth stalls no frame, and the old table is
//! kept until the new one is complete. A scanner that switches between two geometries finds both ready.

use crate::hal::frame::Frame;
use crate::vision::VisionError;
use crate::vision::sampler::{LutEntry, Sampler};

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
    fn is_complete(&self) -> bool {
        self.sampler.is_some_and(|sampler| self.rows >= sampler.grid().size())
    }
}

/// Both tables, in their halves of one slice.
#[derive(Debug)]
pub(super) struct SamplingTables<'m> {
    entries: &'m mut [LutEntry],
    tables: [Table; 2],
    /// The one that frames were sampled by last.
    in_use: usize,
}

/// One of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TableIndex(usize);

impl<'m> SamplingTables<'m> {
    /// Tables in `entries`, which has room for two.
    pub fn new(entries: &'m mut [LutEntry]) -> Self {
        Self { entries, tables: [Table::default(); 2], in_use: 0 }
    }

    /// Whether there is no complete table yet.
    pub fn are_empty(&self) -> bool {
        !self.tables.iter().any(Table::is_complete)
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
        let index = if self.tables[self.in_use].is_complete() { 1 - self.in_use } else { self.in_use };
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

    pub fn is_complete(&self, TableIndex(index): TableIndex) -> bool {
        self.tables[index].is_complete()
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

    /// A complete table: its sampler and entries.
    ///
    /// # Errors
    /// [`VisionError::Unsupported`] for one that is not complete.
    pub fn complete(&self, TableIndex(index): TableIndex) -> Result<(&Sampler, &[LutEntry]), VisionError> {
        let table = &self.tables[index];
        let sampler = table.sampler.as_ref().filter(|_| table.is_complete());
        let sampler =
            sampler.ok_or(VisionError::Unsupported { what: "sampling by a table that is not complete" })?;
        let half = self.entries.len() / 2;
        Ok((sampler, &self.entries[index * half..][..half]))
    }

    /// Makes a table the one in use: a new geometry replaces the other one.
    pub fn use_for_frames(&mut self, TableIndex(index): TableIndex) {
        self.in_use = index;
    }
}
