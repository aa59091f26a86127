//! The frames that a session can use.

use crate::hal::frame::{Frame, FrameDescriptor, FrameError};
use crate::hal::geometry::Geometry;
use crate::vision::{Display, DisplayRaster, InputGrid};

/// What a session requires of a frame, besides a valid descriptor. A front end can check a frame before it commits it;
/// the session checks each frame again when it takes it.
#[derive(Debug, Clone, Copy)]
pub struct FrameRules {
    pub(super) display: Display,
    /// Amplitude tables of the session.
    pub(super) tables: u32,
    /// Side of the network's input.
    pub(super) input_size: u32,
}

impl FrameRules {
    /// Checks everything about a frame but its samples. `capacity` is the number of bytes of samples that are there, or
    /// that a slot holds.
    ///
    /// # Errors
    /// The first rule that the frame breaks.
    pub fn check(&self, descriptor: &FrameDescriptor, capacity: usize) -> Result<Frame, FrameError> {
        use crate::hal::frame::AmplitudeLaw::VendorTable;
        let frame = descriptor.check()?;
        let (seen, capacity) = (u64::from(descriptor.payload_bytes), capacity as u64);
        if seen > capacity {
            return Err(FrameError::SlotBytes { seen, capacity });
        }
        if let VendorTable { table: seen } = frame.law
            && seen >= self.tables
        {
            return Err(FrameError::Table { seen, tables: self.tables });
        }
        self.display_of(&frame.geometry)?;
        InputGrid::new(&frame.geometry, self.input_size).map_err(|_| FrameError::Sampling)?;
        Ok(frame)
    }

    /// Returns the display of a geometry.
    pub(super) fn display_of(&self, geometry: &Geometry) -> Result<DisplayRaster, FrameError> {
        DisplayRaster::new(geometry, self.display).map_err(|_| FrameError::Display)
    }
}
