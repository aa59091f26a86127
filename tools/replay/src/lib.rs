//! Reads recordings from files, as the frames that a scan would have put into the frame ring.
//!
//! [`open`] detects a recording's format by its content and returns a [`Recording`]: descriptors with payloads, in
//! order. Times, geometry and flags are filled in as by a front end; notes tell the user what was assumed.
//!
//! | format | frames | millimetres |
//! |---|---|---|
//! | [`picture`]: PNG (animated or not), JPEG, or a folder of them | pictures | from [`Options::spacing_mm`] |
//! | [`gif`]: GIF, animated or not | pictures | from [`Options::spacing_mm`] |
//! | [`dicom`]: ultrasound image, single or multi-frame | pictures | from the ultrasound region's calibration |
//! | MP4, MOV, AVI, Matroska, if there is an `ffmpeg` | pictures | from [`Options::spacing_mm`] |
//! | [`npy`]: `.npy` with a `.json` next to it | envelope, IQ or pictures | from the `.json` |
//! | [`clarius`]: `.raw` with a `.yml` next to it | envelope of a linear array | from [`Options::pitch_mm`] |
//!
//! A malformed recording is refused as a whole, with an error that names the file and the place in it. If only its
//! scale is unknown, it is read with a geometry of unknown scale, and a note says why and what to do.
#![forbid(unsafe_code)]

mod animation;
mod apng;
pub mod clarius;
pub mod dicom;
mod error;
mod file;
mod folder;
pub mod gif;
mod grey;
mod jpeg;
mod levels;
pub mod npy;
mod open;
mod options;
mod order;
pub mod picture;
mod png;
mod recording;
mod scan_region;
mod turn;
mod video;
mod window;

pub use error::{Place, ReplayError, shown, shown_text};
pub use file::{DESCRIPTION_BYTES_MAX, FILE_BYTES_MAX, PICTURE_BYTES_MAX};
pub use open::open;
pub use options::{FRAME_RATE_ASSUMED_HZ, Options, PAYLOAD_BYTES_MAX};
pub use order::natural;
pub use recording::{CLOCK_OF_RECORDING, DisplayHint, FRAMES_MAX, Recorded, Recording};
pub use scan_region::{RegionFault, ScanRegion};
pub use window::{Window, WindowFunction};
