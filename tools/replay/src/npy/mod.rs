//! NumPy arrays with a description beside them: the form in which simulated and converted frames are handed around.
//!
//! `NAME.npy` holds the samples, little-endian and in C order; `NAME.json` says where they lie.
//!
//! | samples | shape | with geometry |
//! |---|---|---|
//! | `u8`, an envelope | `[frames, lines, samples]` or `[lines, samples]` | `linear`, `convex`, `phased` |
//! | `i16`, IQ, in-phase first | `[frames, lines, samples, 2]` or `[lines, samples, 2]` | the same |
//! | `u8`, pictures | `[frames, rows, columns]` or `[rows, columns]` | `raster`, `raster_unknown` |
//!
//! ```json
//! {
//!   "geometry": "linear", "left_mm": -19.1, "right_mm": 19.1, "first_depth_mm": 0, "last_depth_mm": 30.3,
//!   "amplitude_law": "logarithmic", "range_db": 60, "speed_of_sound_m_s": 1540, "frame_rate_hz": 18,
//!   "t_acq_ns": [0, 55555556], "tgc": [[0, 23], [30, 26]]
//! }
//! ```
//!
//! `convex` and `phased` have `apex_radius_mm`, `first_angle_rad` and `last_angle_rad` in place of `left_mm` and
//! `right_mm`; `raster` has `spacing_x_mm`, `spacing_y_mm`, and may have `left_mm`, `top_mm` and `content` (column, row,
//! columns, rows). All may have `frame_rate_hz`, `t_acq_ns` (one for each frame), `tgc` (up to eight points of depth in
//! mm and gain in dB), `tgc_pending`, `gain_db` and `burnt_in_overlay`. The fields mean what those of
//! [`FrameDescriptor`](sonotrace_hal::frame::FrameDescriptor) mean. What is missing, unknown, or without meaning for
//! the geometry, is refused by name.

mod array;
mod description;
mod read;
mod write;

pub use read::read;
pub use write::{encode, write};
