//! Errors of the vision steps, and the checks that return them.

/// Error of a vision step. The text names the thing, the limit and the value seen.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VisionError {
    /// A valid request that is not implemented.
    #[error("not supported: {what}")]
    Unsupported {
        /// What was requested.
        what: &'static str,
    },
    /// A number is outside its limits.
    #[error("{what} is {seen}, not within {min}..={max}")]
    Range {
        /// What the number is.
        what: &'static str,
        /// The value found.
        seen: f64,
        /// Least value allowed.
        min: f64,
        /// Largest value allowed.
        max: f64,
    },
    /// A slice is too short.
    #[error("{what} holds {seen} elements, {needed} are needed")]
    Slice {
        /// Name of the slice.
        what: &'static str,
        /// Elements found.
        seen: usize,
        /// Elements needed.
        needed: usize,
    },
    /// The frame names a vendor table that the session does not have.
    #[error("frame names vendor amplitude table {seen}, the session has {tables}")]
    VendorTable {
        /// Index in the frame.
        seen: u32,
        /// Tables configured.
        tables: usize,
    },
    /// The table was built for another geometry: build it again.
    #[error("the sampling table was built for another geometry than this frame's (epoch {epoch})")]
    GeometryChanged {
        /// The frame's geometry epoch.
        epoch: u32,
    },
    /// Two fields of a frame contradict each other.
    #[error("frame fields `{a}` and `{b}` contradict each other")]
    Mismatch {
        /// One field.
        a: &'static str,
        /// The other.
        b: &'static str,
    },
}

/// Refuses a slice that is too short.
pub(super) fn need(what: &'static str, seen: usize, needed: usize) -> Result<(), VisionError> {
    if seen < needed { Err(VisionError::Slice { what, seen, needed }) } else { Ok(()) }
}

/// Refuses a number outside `min..=max`, and NaN.
pub(super) fn within(what: &'static str, seen: f64, min: f64, max: f64) -> Result<f64, VisionError> {
    if seen >= min && seen <= max { Ok(seen) } else { Err(VisionError::Range { what, seen, min, max }) }
}
