//! Why a frame was refused.

use super::descriptor::{FRAME_ABI_VERSION, FRAME_MAGIC};

/// Why a descriptor was refused. The text names the field, the limit and the value seen.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The first word is not the magic of a descriptor.
    #[error("frame magic is {0:#010x}, not {FRAME_MAGIC:#010x}")]
    Magic(u32),
    /// This build does not support this version of the layout.
    #[error("frame ABI version is {seen}, this build reads {FRAME_ABI_VERSION}")]
    AbiVersion {
        /// The version found.
        seen: u16,
    },
    /// A field holds an invalid value.
    #[error("frame field `{field}` is {seen}, which is not a valid value")]
    Unknown {
        /// Name of the field.
        field: &'static str,
        /// The value found.
        seen: u32,
    },
    /// A number is outside its limits or not finite.
    #[error("frame field `{field}` is {seen}, not within {min}..={max}")]
    Range {
        /// Name of the field.
        field: &'static str,
        /// The value found.
        seen: f64,
        /// Smallest value allowed.
        min: f64,
        /// Largest value allowed.
        max: f64,
    },
    /// Radio-frequency frames are not supported.
    #[error("radio-frequency frames (domain PolarRf) are not accepted: send the envelope or IQ")]
    RadioFrequency,
    /// The frame has no amplitude law.
    #[error(
        "frame has no amplitude law: set amplitude_law to linear (1), logarithmic (2) or vendor table (3)"
    )]
    NoAmplitudeLaw,
    /// Two fields contradict each other.
    #[error("frame fields `{a}` and `{b}` contradict each other")]
    Mismatch {
        /// One field.
        a: &'static str,
        /// The other.
        b: &'static str,
    },
    /// The payload is shorter or longer than lines, stride and sample type require.
    #[error("frame payload holds {seen} bytes, lines x stride needs {needed}")]
    Payload {
        /// Bytes announced or given.
        seen: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// The payload is damaged: it does not have the announced checksum.
    #[error("frame payload CRC-32 is {seen:#010x}, the descriptor says {announced:#010x}")]
    Crc {
        /// Checksum of the bytes given.
        seen: u32,
        /// Checksum announced.
        announced: u32,
    },
    /// The payload is larger than a slot of the ring.
    #[error("frame payload is {seen} bytes, a slot holds {capacity}: open the session with larger slots")]
    SlotBytes {
        /// Bytes announced.
        seen: u64,
        /// Bytes that fit.
        capacity: u64,
    },
    /// The session has no such amplitude table.
    #[error("frame field `law_table` is {seen}, the session has {tables} tables")]
    Table {
        /// The table named.
        seen: u32,
        /// Tables that the session has.
        tables: u32,
    },
    /// The session's display cannot show the frame.
    #[error(
        "the session's display cannot show this frame: a polar frame needs a display of at least 1 x 1, \
         and every frame a field of view with an extent"
    )]
    Display,
    /// No sampling table can be made for the frame's geometry.
    #[error("frame field `geometry` describes a field of view that cannot be sampled")]
    Sampling,
}
