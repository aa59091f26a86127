//! NumPy arrays with a description next to them: the exchange format for simulated and converted frames.
//!
//! `NAME.npy` contains the samples, little-endian and in C order. `NAME.json` describes their geometry and times.
//!
//! | samples | shape | geometry |
//! |---|---|---|
//! | `u8`, an envelope | `[frames, lines, samples]` or `[lines, samples]` | `linear`, `convex`, `phased` |
//! | `i16`, IQ, I first | `[frames, lines, samples, 2]` or `[lines, samples, 2]` | `linear`, `convex`, `phased` |
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
//! `convex` and `phased` require `apex_radius_mm`, `first_angle_rad` and `last_angle_rad` instead of `left_mm` and
//! `right_mm`. `raster` requires `spacing_x_mm` and `spacing_y_mm`; `left_mm` and `top_mm` are optional. Both kinds of
//! raster may have `content` (column, row, columns, rows). Optional for all are `frame_rate_hz`, `t_acq_ns` (one time
//! per frame), `tgc` (up to eight points of depth in mm and gain in dB), `tgc_pending`, `gain_db` and
//! `burnt_in_overlay`. The meaning of each field is that of the same field of
//! [`FrameDescriptor`](sonotrace_hal::frame::FrameDescriptor). A field that is missing, unknown, or unused by the
//! geometry is refused with an error that names it.

mod array;
mod description;
mod read;
mod write;

pub use read::read;
pub use write::{encode, write};
