//! Frames, as the front end delivers them.
//!
//! * `descriptor`: everything about a frame that is not its samples, as it is stored in a slot.
//! * `check`: a descriptor read from a ring is copied, then checked, and only the checked copy ([`Frame`]) is used.
//! * `payload`: the check of the samples against their checksum.
//! * `field`: which field made a frame unusable, as a code.

mod check;
mod descriptor;
mod error;
mod field;
mod payload;

pub use check::Frame;
pub use descriptor::{
    AmplitudeLaw, DEPTH_MAX_MM, Domain, FRAME_ABI_VERSION, FRAME_MAGIC, FrameDescriptor, GeometryKind,
    LAW_LINEAR, LAW_LOGARITHMIC, LAW_VENDOR_TABLE, LINES_MAX, SAMPLES_MAX, SampleType, TGC_POINTS, TgcPoint,
    flags,
};
pub use error::FrameError;
pub use field::{FRAME_FIELDS, FrameField};
pub use payload::PayloadCheck;
