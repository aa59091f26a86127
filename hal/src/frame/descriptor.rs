//! The frame descriptor: everything about a frame that is not its samples.
//!
//! Versioned, pointer-free and `repr(C)`, so that the same bytes work between threads, between processes and from a
//! bare-metal producer. Its fields merge those of Clarius, Ulterius, PLUS, OpenIGTLink, UFF, ARRUS and the DICOM
//! ultrasound region headers.

use bytemuck::{Pod, Zeroable};

/// First four bytes of every descriptor, `SNTF` in memory order.
pub const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"SNTF");
/// Version of this layout; a reader refuses any other.
pub const FRAME_ABI_VERSION: u16 = 1;
/// Points of the time-gain-compensation curve.
pub const TGC_POINTS: usize = 8;
/// Largest number of scan lines or of image rows.
pub const LINES_MAX: u32 = 4096;
/// Largest number of samples in a line, or of pixels in an image row.
pub const SAMPLES_MAX: u32 = 8192;
/// Largest distance that a descriptor may state.
pub const DEPTH_MAX_MM: f32 = 1000.0;

/// What the samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Domain {
    /// Envelope per scan line and depth sample, before scan conversion.
    PolarEnvelope = 1,
    /// In-phase and quadrature pairs per scan line and depth sample, before envelope detection. Full scale is an
    /// envelope of 32767.
    PolarIq = 2,
    /// Raw radio-frequency samples: not supported, and refused with their own error.
    PolarRf = 3,
    /// A picture, already scan-converted.
    ScanConverted = 4,
}

/// Type of one stored sample, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum SampleType {
    /// Unsigned byte.
    U8 = 1,
    /// Signed 16-bit integer, the type of radio-frequency samples. No supported domain has it. A front end can use it
    /// to describe a radio-frequency frame, which is refused with its own error.
    I16 = 2,
    /// Pair of signed 16-bit integers, in-phase first.
    I16Pair = 3,
}

impl SampleType {
    /// Bytes of one sample (both halves of a pair).
    pub const fn bytes(self) -> u32 {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I16Pair => 4,
        }
    }
}

/// Shape of the scanned field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum GeometryKind {
    /// Parallel lines, `left_mm` to `right_mm`.
    Linear = 1,
    /// Lines that fan out from behind the probe's curved face.
    Convex = 2,
    /// Lines that fan out from (nearly) one point.
    Phased = 3,
    /// A picture with known pixel spacing.
    Raster = 4,
    /// A picture of unknown scale: contours are given in pixels, never in millimetres.
    RasterUnknown = 5,
}

/// How stored amplitudes relate to the echo's. A frame without a law is refused: a picture that is compressed twice, or
/// not at all, looks plausible but is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AmplitudeLaw {
    /// Proportional to the echo's amplitude. The runtime applies log compression over `range_db`.
    Linear {
        /// Dynamic range from black to white after compression.
        range_db: f32,
    },
    /// Already log-compressed: zero to full scale spans `range_db`.
    Logarithmic {
        /// Dynamic range from zero to full scale.
        range_db: f32,
    },
    /// Already compressed by a vendor's curve: one of the tables of the session's configuration.
    VendorTable {
        /// Index of the table in the session's configuration.
        table: u32,
    },
}

/// Wire value of [`AmplitudeLaw::Linear`].
pub const LAW_LINEAR: u32 = 1;
/// Wire value of [`AmplitudeLaw::Logarithmic`].
pub const LAW_LOGARITHMIC: u32 = 2;
/// Wire value of [`AmplitudeLaw::VendorTable`].
pub const LAW_VENDOR_TABLE: u32 = 3;

/// Bits of [`FrameDescriptor::flags`].
pub mod flags {
    /// The image is frozen.
    pub const FROZEN: u32 = 1 << 0;
    /// Text or graphics are burnt into the samples.
    pub const BURNT_IN_OVERLAY: u32 = 1 << 1;
    /// A recorded cine, not a live frame.
    pub const REPLAYED: u32 = 1 << 2;
    /// Frames are missing before this one.
    pub const GAP_BEFORE: u32 = 1 << 3;
    /// `crc32` holds the payload's checksum.
    pub const CRC_PRESENT: u32 = 1 << 4;
    /// The runtime applies the TGC curve and gain. Without this flag the front end has applied them already.
    pub const TGC_PENDING: u32 = 1 << 5;
    /// All bits that this version defines.
    pub const ALL: u32 = (1 << 6) - 1;
}

/// One point of the time-gain-compensation curve.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct TgcPoint {
    /// Depth along the line.
    pub depth_mm: f32,
    /// Gain at that depth, -200 to 200.
    pub gain_db: f32,
}

/// The descriptor as it is stored in a slot. Plain data: nothing in it is believed before [`Self::check`].
///
/// Positions and depths are at most 1000 mm. Fields that the geometry does not use are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct FrameDescriptor {
    /// [`FRAME_MAGIC`].
    pub magic: u32,
    /// [`FRAME_ABI_VERSION`].
    pub abi_version: u16,
    /// Size of this structure in bytes.
    pub descriptor_bytes: u16,
    /// Bytes of payload that follow the descriptor.
    pub payload_bytes: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// Sequence number given by the front end, from 1.
    pub seq: u64,
    /// When the frame was acquired, on the clock `clock_id`.
    pub t_acq_ns: u64,
    /// When it was queued in the ring, on the runtime's clock: its latency and its budget count from then. 0 if that is not known;
    /// they count from the time when the session takes it then.
    pub t_enqueue_ns: u64,
    /// The clock of `t_acq_ns`; 0 is the runtime's own.
    pub clock_id: u32,
    /// Counter that changes with the geometry.
    pub geometry_epoch: u32,
    /// A [`Domain`].
    pub domain: u32,
    /// A [`SampleType`].
    pub sample_type: u32,
    /// Scan lines, or image rows: at least 2.
    pub lines: u32,
    /// Samples per line, or pixels per row: at least 2.
    pub samples: u32,
    /// Bytes from one line (row) to the next; the last one may end with its last sample.
    pub stride_bytes: u32,
    /// A [`GeometryKind`].
    pub geometry: u32,
    /// Distance from the lines' common apex to the probe's face (convex: at least 0.1; phased).
    pub apex_radius_mm: f32,
    /// Direction of the first line, from the probe's axis, positive to the right, at most a quarter turn.
    pub first_angle_rad: f32,
    /// Direction of the last line: greater.
    pub last_angle_rad: f32,
    /// Depth below the face of the first sample's centre.
    pub first_depth_mm: f32,
    /// Depth below the face of the last sample's centre: at least 0.1 more.
    pub last_depth_mm: f32,
    /// Lateral position of the first line (linear), or the centre of the left-most pixel column (raster).
    pub left_mm: f32,
    /// Lateral position of the last line (linear): at least 0.1 more.
    pub right_mm: f32,
    /// Depth of the centre of the top-most pixel row (raster).
    pub top_mm: f32,
    /// Pixel pitch across (raster), 0.0001 to 10.
    pub spacing_x_mm: f32,
    /// Pixel pitch down (raster), 0.0001 to 10.
    pub spacing_y_mm: f32,
    /// First column that shows the scan (raster). Pixels outside the content are border and ignored.
    pub content_column: u32,
    /// First row that shows the scan (raster).
    pub content_row: u32,
    /// Number of columns that show the scan (raster), at least 2. All four content fields are 0 if the whole picture does, and
    /// of polar frames.
    pub content_columns: u32,
    /// Number of rows that show the scan (raster), at least 2.
    pub content_rows: u32,
    /// Speed of sound that depths are computed with (not raster), 300 to 8000.
    pub speed_of_sound_m_s: f32,
    /// One of [`LAW_LINEAR`], [`LAW_LOGARITHMIC`], [`LAW_VENDOR_TABLE`].
    pub amplitude_law: u32,
    /// Dynamic range of the first two laws, 1 to 200.
    pub law_range_db: f32,
    /// Table of the third law.
    pub law_table: u32,
    /// Overall gain, -200 to 200.
    pub gain_db: f32,
    /// Frames per second, up to 10000; 0 if unknown.
    pub frame_rate_hz: f32,
    /// Number of valid points of `tgc`, which are in order of depth.
    pub tgc_points: u32,
    /// CRC-32 (IEEE) of the payload if [`flags::CRC_PRESENT`].
    pub crc32: u32,
    /// Time-gain compensation, [`TGC_POINTS`] points.
    // A literal length: rustc 1.95 has an internal error if a closure in another crate captures a field whose type names
    // a constant.
    pub tgc: [TgcPoint; 8],
}

const _: () = assert!(TGC_POINTS == 8);

impl FrameDescriptor {
    /// A descriptor with magic, version and size filled in and all other fields zero. [`Self::check`] refuses it.
    pub fn blank() -> Self {
        Self {
            magic: FRAME_MAGIC,
            abi_version: FRAME_ABI_VERSION,
            descriptor_bytes: size_of::<Self>() as u16,
            ..Self::zeroed()
        }
    }
}
