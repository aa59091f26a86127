//! Computes the network's input from samples, and contours and measures from its output masks.
//!
//! * [`error`]: errors of the vision steps.
//! * [`budget`]: the limit of the work of one step of a resumable computation.
//! * [`grid`]: the square input grid, and its position in the probe's plane.
//! * [`amplitude`]: converts stored samples to the grey levels that the network was trained on.
//! * [`sampler`]: the network's input, sampled from a frame through a table that is filled once per geometry.
//! * [`mask`]: fields of mask logits: enlarging to the input grid, cropping.
//! * `rows`: the pixels of a mask, as bits of two rows at a time.
//! * [`components`]: the connected components of a mask, and their holes.
//! * [`boundary`]: the boundary loops of a component, with sub-pixel crossings.
//! * [`simplify`]: a closed polygon with a bounded number of points.
//! * [`contour`]: the last three combined: the contour of a component, holes included.
//! * [`measures`]: area, perimeter, centroid, axes and fitted ellipse of a contour.
//! * [`mod@volume`]: volume of the body of revolution that has a contour as its section.
//! * [`beat`]: largest and smallest volume over a heart's beat.
//! * [`display`]: the device's display raster, and a contour on it and in the plane.
//!
//! A file uses only files above it in this list. All functions work on slices that the caller owns, allocate nothing,
//! and give the same bits on every platform.
//!
//! Coordinates on any grid of pixels are pixel indices: whole numbers are pixel centres, `x` runs right, `y` down, and
//! a picture of `n` columns reaches from -0.5 to `n - 0.5`.

#![forbid(unsafe_code)]

pub mod amplitude;
pub mod beat;
pub mod boundary;
pub mod budget;
pub mod components;
pub mod contour;
pub mod display;
pub mod error;
pub mod grid;
pub mod mask;
pub mod measures;
mod rows;
pub mod sampler;
pub mod simplify;
pub mod volume;

pub use amplitude::{GreyTable, Normalisation};
pub use beat::VolumeHistory;
pub use boundary::{Boundary, BoundaryWalk};
pub use budget::{STEP_WORK, StepBudget};
pub use components::{Component, ComponentSearch, HoleSearch, Pick};
pub use contour::{Contour, Tracing, trace};
pub use display::{DISPLAY_SIDE_MAX, Display, DisplayRaster, map_contour};
pub use error::VisionError;
pub use grid::{InputGrid, Vertex};
pub use mask::Field;
pub use measures::{Measures, fit_ellipse, measure};
pub use sampler::{LutEntry, SampleCursor, Sampler, Sampling};
pub use simplify::{Link, Simplification};
pub use volume::volume;
