//! Recordings as frames: what a scan would have put into the frame ring, read from files.
//!
//! [`open`] recognises a recording by its content and gives a [`Recording`]: descriptors with payloads, in order, with
//! their times, geometry and flags as a front end would have filled them in, and notes for the user where something
//! about them had to be assumed.
//!
//! | form | what it gives | millimetres |
//! |---|---|---|
//! | [`picture`]: PNG, JPEG, or a folder of them | pictures | where [`Options::spacing_mm`] is given |
//! | [`gif`]: GIF, animated or not | pictures | the same |
//! | [`dicom`]: ultrasound image, single or multi-frame | pictures | from the ultrasound region's calibration |
//! | [`npy`]: `.npy` with a `.json` beside it | envelope, IQ or pictures | as the `.json` says |
//! | [`clarius`]: `.raw` with a `.yml` beside it | envelope of a linear array | from [`Options::pitch_mm`] |
//!
//! A recording is refused with an error that names the file and the place in it; it is never half read. Where only its
//! scale is in doubt it is read, with its geometry of unknown scale and a note that says why and what to do.
#![forbid(unsafe_code)]

pub mod clarius;
pub mod dicom;
mod error;
pub mod gif;
mod grey;
mod jpeg;
pub mod npy;
mod open;
mod options;
mod order;
pub mod picture;
mod recording;

pub use error::{Place, ReplayError};
pub use open::{FILE_BYTES_MAX, open};
pub use options::{Options, PAYLOAD_BYTES_MAX};
pub use recording::{CLOCK_OF_RECORDING, DisplayHint, FRAMES_MAX, Recorded, Recording};
