//! From samples to the network's input, and from its answer to contours and measures.
//!
//! * [`grid`]: the square input grid, and where it lies in the probe's plane.
//! * [`amplitude`]: from stored bytes to the grey levels that the network was trained on.
//! * [`sampler`]: the input, sampled straight from a frame through a table made once per geometry epoch.
//! * [`mask`]: fields of mask logits: bringing them to the input grid, cropping, thresholding.
//! * [`components`]: the connected parts of a mask, and the holes in them.
//! * [`ring`]: the rings that bound them, with sub-pixel crossings.
//! * [`mod@simplify`]: a ring with a bounded number of points.
//! * [`contour`]: all of that in one step: the contour of a component, holes included.
//! * [`measures`]: area, perimeter, centroid, axes and fitted ellipse of a contour.
//! * [`display`]: the device's picture, and a contour on it and in the plane.
//!
//! All of it works on slices that the caller owns, allocates nothing, and gives the same bits on every platform.
//!
//! Coordinates on any grid of pixels are pixel indices: whole numbers are pixel centres, `x` runs right, `y` down, and
//! a picture of `n` columns reaches from -0.5 to `n - 0.5`.

pub mod amplitude;
pub mod components;
pub mod contour;
pub mod display;
pub mod grid;
pub mod mask;
pub mod measures;
pub mod ring;
pub mod sampler;
pub mod simplify;

pub use amplitude::{GreyTable, Normalisation};
pub use components::{Component, Components, Hole};
pub use contour::{Contour, Pick, trace};
pub use display::{Display, DisplayRaster, map_contour};
pub use grid::InputGrid;
pub use mask::Field;
pub use measures::{Measures, fit_ellipse, measure};
pub use ring::{Ring, hole_ring, outer_ring};
pub use sampler::{LutEntry, Sampler};
pub use simplify::{Link, simplify};

/// A polygon's corner, `[x, y]`; the overlay stores contours as slices of these.
pub type Vertex = [f32; 2];

/// Why a vision step was refused. The text names the thing, the limit and the value seen.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VisionError {
    /// Known, and not done.
    #[error("not supported: {what}")]
    Unsupported {
        /// What was asked for.
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
        /// Which slice.
        what: &'static str,
        /// Elements found.
        seen: usize,
        /// Elements needed.
        needed: usize,
    },
    /// The frame names a vendor table that the session does not have.
    #[error("frame names vendor amplitude table {seen}, the session has {tables}")]
    VendorTable {
        /// Index asked for.
        seen: u32,
        /// Tables configured.
        tables: usize,
    },
    /// The table was built for another geometry: build it again.
    #[error("the sampler was built for another geometry than this frame's (epoch {epoch})")]
    GeometryChanged {
        /// The frame's geometry epoch.
        epoch: u32,
    },
    /// Lines, samples, stride and geometry of a frame contradict each other.
    #[error("frame fields `{a}` and `{b}` do not go together")]
    Mismatch {
        /// One field.
        a: &'static str,
        /// The other.
        b: &'static str,
    },
}

/// Refuses a slice that is too short.
fn need(what: &'static str, seen: usize, needed: usize) -> Result<(), VisionError> {
    if seen < needed { Err(VisionError::Slice { what, seen, needed }) } else { Ok(()) }
}

/// Refuses a number outside `min..=max`, and NaN.
fn within(what: &'static str, seen: f64, min: f64, max: f64) -> Result<f64, VisionError> {
    if seen >= min && seen <= max { Ok(seen) } else { Err(VisionError::Range { what, seen, min, max }) }
}
