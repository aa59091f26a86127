//! The frame descriptor: everything about a frame that is not its samples.
//!
//! Versioned, pointer-free and `repr(C)`, so that the same bytes work between threads, between processes and from a
//! bare-metal producer. Its fields merge what Clarius, Ulterius, PLUS, OpenIGTLink, UFF, ARRUS and the DICOM ultrasound
//! region headers carry. A descriptor read from a ring is copied, then checked by [`FrameDescriptor::check`], and only
//! the checked copy ([`Frame`]) is used.

use crate::geometry::{Content, Geometry, Raster};
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
/// Largest distance in the field of view that is believed.
pub const DEPTH_MAX_MM: f32 = 1000.0;

/// What the samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Domain {
    /// Envelope per scan line and depth sample, before scan conversion.
    PolarEnvelope = 1,
    /// In-phase and quadrature pairs per scan line and depth sample: the envelope is still to be taken. Full scale is
    /// an envelope of 32767.
    PolarIq = 2,
    /// Raw radio-frequency samples: known, and refused.
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
    /// Signed 16-bit integer.
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

/// How a stored amplitude relates to the echo's: a frame without a law is refused, because compressing twice or never
/// gives a picture that looks plausible and is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AmplitudeLaw {
    /// Proportional to the echo's amplitude; log compression over `range_db` is still to be done.
    Linear {
        /// Dynamic range that black to white shall span.
        range_db: f32,
    },
    /// Already log-compressed: zero to full scale span `range_db`.
    Logarithmic {
        /// Dynamic range that zero to full scale span.
        range_db: f32,
    },
    /// Already compressed by a vendor's own curve; `table` names one that the session was configured with.
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
    /// The TGC curve and gain are still to be applied (otherwise they tell what the front end has applied).
    pub const TGC_PENDING: u32 = 1 << 5;
    /// Every bit that this version knows.
    pub const ALL: u32 = (1 << 6) - 1;
}

/// One point of the time-gain-compensation curve.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct TgcPoint {
    /// Depth along the line.
    pub depth_mm: f32,
    /// Gain at that depth.
    pub gain_db: f32,
}

/// The descriptor as it lies in a slot. Plain data: nothing in it is believed before [`Self::check`].
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
    /// When it was put into the ring, on the runtime's clock.
    pub t_enqueue_ns: u64,
    /// Which clock `t_acq_ns` is of; 0 is the runtime's own.
    pub clock_id: u32,
    /// Counter that changes with the geometry.
    pub geometry_epoch: u32,
    /// A [`Domain`].
    pub domain: u32,
    /// A [`SampleType`].
    pub sample_type: u32,
    /// Scan lines, or image rows.
    pub lines: u32,
    /// Samples per line, or pixels per row.
    pub samples: u32,
    /// Bytes from one line (row) to the next.
    pub stride_bytes: u32,
    /// A [`GeometryKind`].
    pub geometry: u32,
    /// Distance from the lines' common apex to the probe's face; 0 for linear.
    pub apex_radius_mm: f32,
    /// Direction of the first line, from the probe's axis, positive to the right.
    pub first_angle_rad: f32,
    /// Direction of the last line.
    pub last_angle_rad: f32,
    /// Depth below the face of the first sample's centre.
    pub first_depth_mm: f32,
    /// Depth below the face of the last sample's centre.
    pub last_depth_mm: f32,
    /// Lateral position of the first line (linear), or the centre of the left-most pixel column (raster).
    pub left_mm: f32,
    /// Lateral position of the last line (linear).
    pub right_mm: f32,
    /// Depth of the centre of the top-most pixel row (raster).
    pub top_mm: f32,
    /// Pixel pitch across (raster).
    pub spacing_x_mm: f32,
    /// Pixel pitch down (raster).
    pub spacing_y_mm: f32,
    /// Column of the first pixel that shows the scan (raster): what lies outside the content is border, ignored.
    pub content_column: u32,
    /// Row of the first pixel that shows the scan (raster).
    pub content_row: u32,
    /// Columns that show the scan (raster); 0, with `content_rows` 0, for all of the picture.
    pub content_columns: u32,
    /// Rows that show the scan (raster).
    pub content_rows: u32,
    /// Speed of sound that depths were computed with.
    pub speed_of_sound_m_s: f32,
    /// One of [`LAW_LINEAR`], [`LAW_LOGARITHMIC`], [`LAW_VENDOR_TABLE`].
    pub amplitude_law: u32,
    /// Range in dB of the first two laws.
    pub law_range_db: f32,
    /// Table of the third.
    pub law_table: u32,
    /// Overall gain.
    pub gain_db: f32,
    /// Frames per second; 0 if unknown.
    pub frame_rate_hz: f32,
    /// Valid points of `tgc`, in order of depth.
    pub tgc_points: u32,
    /// CRC-32 (IEEE) of the payload if [`flags::CRC_PRESENT`].
    pub crc32: u32,
    /// Time-gain compensation, [`TGC_POINTS`] points.
    // Written out: rustc 1.95 stops with an internal error where a closure captures a field whose type names a constant
    // of another crate.
    pub tgc: [TgcPoint; 8],
}

const _: () = assert!(TGC_POINTS == 8);

/// Why a descriptor was refused. The text names the field, the limit and the value seen.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Not a descriptor.
    #[error("frame magic is {0:#010x}, not {FRAME_MAGIC:#010x}")]
    Magic(u32),
    /// A layout this build does not know.
    #[error("frame ABI version is {seen}, this build reads {FRAME_ABI_VERSION}")]
    AbiVersion {
        /// The version found.
        seen: u16,
    },
    /// A field holds a value that has no meaning.
    #[error("frame field `{field}` is {seen}, which has no meaning")]
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
        /// Least value allowed.
        min: f64,
        /// Largest value allowed.
        max: f64,
    },
    /// Radio-frequency frames are known and refused.
    #[error("radio-frequency frames (domain PolarRf) are not accepted: send the envelope or IQ")]
    RadioFrequency,
    /// No amplitude law was given.
    #[error(
        "frame has no amplitude law: set amplitude_law to linear (1), logarithmic (2) or vendor table (3)"
    )]
    NoAmplitudeLaw,
    /// Two fields do not go together.
    #[error("frame fields `{a}` and `{b}` do not go together")]
    Mismatch {
        /// One field.
        a: &'static str,
        /// The other.
        b: &'static str,
    },
    /// The payload is not as long as lines, stride and sample type say.
    #[error("frame payload holds {seen} bytes, lines x stride needs {needed}")]
    Payload {
        /// Bytes announced or present.
        seen: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// The checksum is wrong.
    #[error("frame payload CRC-32 is {seen:#010x}, the descriptor says {announced:#010x}")]
    Crc {
        /// Checksum of the bytes.
        seen: u32,
        /// Checksum announced.
        announced: u32,
    },
}

/// A checked descriptor: every field is meaningful, finite and within limits, and they go together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Sequence number.
    pub seq: u64,
    /// Acquisition time on the clock `clock_id`.
    pub t_acq_ns: u64,
    /// When it was put into the ring.
    pub t_enqueue_ns: u64,
    /// Which clock `t_acq_ns` is of.
    pub clock_id: u32,
    /// Counter that changes with the geometry.
    pub geometry_epoch: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// What the samples are.
    pub domain: Domain,
    /// Type of one sample.
    pub sample_type: SampleType,
    /// Scan lines, or image rows.
    pub lines: u32,
    /// Samples per line, or pixels per row.
    pub samples: u32,
    /// Bytes from one line to the next.
    pub stride_bytes: u32,
    /// Bytes of payload that `lines` and `stride_bytes` span.
    pub payload_bytes: u32,
    /// Where the samples lie.
    pub geometry: Geometry,
    /// How amplitudes are stored.
    pub law: AmplitudeLaw,
    /// Overall gain.
    pub gain_db: f32,
    /// Frames per second; 0 if unknown.
    pub frame_rate_hz: f32,
    /// Valid points of `tgc`.
    pub tgc_points: u32,
    /// Time-gain compensation, in order of depth.
    pub tgc: [TgcPoint; TGC_POINTS],
}

impl Frame {
    /// Whether the given flag bits are all set.
    pub const fn has(&self, bits: u32) -> bool {
        self.flags & bits == bits
    }
}

fn within(field: &'static str, seen: f32, min: f32, max: f32) -> Result<f32, FrameError> {
    // Written so that NaN fails.
    if seen >= min && seen <= max {
        Ok(seen)
    } else {
        Err(FrameError::Range { field, seen: seen.into(), min: min.into(), max: max.into() })
    }
}

fn count(field: &'static str, seen: u32, min: u32, max: u32) -> Result<u32, FrameError> {
    if (min..=max).contains(&seen) {
        Ok(seen)
    } else {
        Err(FrameError::Range { field, seen: seen.into(), min: min.into(), max: max.into() })
    }
}

impl FrameDescriptor {
    /// A descriptor with magic, version and size filled in and all else zero (which [`Self::check`] refuses).
    pub fn blank() -> Self {
        Self {
            magic: FRAME_MAGIC,
            abi_version: FRAME_ABI_VERSION,
            descriptor_bytes: size_of::<Self>() as u16,
            ..Self::zeroed()
        }
    }

    /// Checks every field; what it returns can be computed with. The payload's own bytes are checked by
    /// [`Self::check_payload`].
    ///
    /// # Errors
    /// The first field that does not hold, with its limit and value.
    pub fn check(&self) -> Result<Frame, FrameError> {
        if self.magic != FRAME_MAGIC {
            return Err(FrameError::Magic(self.magic));
        }
        if self.abi_version != FRAME_ABI_VERSION {
            return Err(FrameError::AbiVersion { seen: self.abi_version });
        }
        let own = size_of::<Self>() as u32;
        count("descriptor_bytes", self.descriptor_bytes.into(), own, own)?;
        if self.flags & !flags::ALL != 0 {
            return Err(FrameError::Unknown { field: "flags", seen: self.flags });
        }
        let domain = match self.domain {
            1 => Domain::PolarEnvelope,
            2 => Domain::PolarIq,
            3 => return Err(FrameError::RadioFrequency),
            4 => Domain::ScanConverted,
            seen => return Err(FrameError::Unknown { field: "domain", seen }),
        };
        let sample_type = match self.sample_type {
            1 => SampleType::U8,
            2 => SampleType::I16,
            3 => SampleType::I16Pair,
            seen => return Err(FrameError::Unknown { field: "sample_type", seen }),
        };
        let expected = match domain {
            Domain::PolarEnvelope | Domain::ScanConverted => SampleType::U8,
            Domain::PolarIq => SampleType::I16Pair,
            Domain::PolarRf => return Err(FrameError::RadioFrequency),
        };
        if sample_type != expected {
            return Err(FrameError::Mismatch { a: "domain", b: "sample_type" });
        }
        let lines = count("lines", self.lines, 2, LINES_MAX)?;
        let samples = count("samples", self.samples, 2, SAMPLES_MAX)?;
        let line_bytes = samples * sample_type.bytes();
        let stride_bytes = count("stride_bytes", self.stride_bytes, line_bytes, 2 * SAMPLES_MAX * 4)?;
        // The last line needs no padding behind it.
        let needed = u64::from(lines - 1) * u64::from(stride_bytes) + u64::from(line_bytes);
        if u64::from(self.payload_bytes) < needed
            || u64::from(self.payload_bytes) > u64::from(lines) * u64::from(stride_bytes)
        {
            return Err(FrameError::Payload { seen: self.payload_bytes.into(), needed });
        }
        let law = match self.amplitude_law {
            0 => return Err(FrameError::NoAmplitudeLaw),
            LAW_LINEAR => {
                AmplitudeLaw::Linear { range_db: within("law_range_db", self.law_range_db, 1.0, 200.0)? }
            }
            LAW_LOGARITHMIC => {
                AmplitudeLaw::Logarithmic { range_db: within("law_range_db", self.law_range_db, 1.0, 200.0)? }
            }
            LAW_VENDOR_TABLE => AmplitudeLaw::VendorTable { table: self.law_table },
            seen => return Err(FrameError::Unknown { field: "amplitude_law", seen }),
        };
        if domain == Domain::PolarIq && !matches!(law, AmplitudeLaw::Linear { .. }) {
            return Err(FrameError::Mismatch { a: "domain", b: "amplitude_law" });
        }
        let geometry = self.check_geometry(domain, lines, samples)?;
        within("gain_db", self.gain_db, -200.0, 200.0)?;
        within("frame_rate_hz", self.frame_rate_hz, 0.0, 10_000.0)?;
        let tgc_points = count("tgc_points", self.tgc_points, 0, TGC_POINTS as u32)?;
        let mut above_mm = 0.0;
        for point in &self.tgc[..tgc_points as usize] {
            above_mm = within("tgc.depth_mm", point.depth_mm, above_mm, DEPTH_MAX_MM)?;
            within("tgc.gain_db", point.gain_db, -200.0, 200.0)?;
        }
        Ok(Frame {
            seq: self.seq,
            t_acq_ns: self.t_acq_ns,
            t_enqueue_ns: self.t_enqueue_ns,
            clock_id: self.clock_id,
            geometry_epoch: self.geometry_epoch,
            flags: self.flags,
            domain,
            sample_type,
            lines,
            samples,
            stride_bytes,
            payload_bytes: needed as u32,
            geometry,
            law,
            gain_db: self.gain_db,
            frame_rate_hz: self.frame_rate_hz,
            tgc_points,
            tgc: self.tgc,
        })
    }

    fn check_geometry(&self, domain: Domain, lines: u32, samples: u32) -> Result<Geometry, FrameError> {
        let polar = domain != Domain::ScanConverted;
        let kind = match self.geometry {
            1 => GeometryKind::Linear,
            2 => GeometryKind::Convex,
            3 => GeometryKind::Phased,
            4 => GeometryKind::Raster,
            5 => GeometryKind::RasterUnknown,
            seen => return Err(FrameError::Unknown { field: "geometry", seen }),
        };
        if polar == matches!(kind, GeometryKind::Raster | GeometryKind::RasterUnknown) {
            return Err(FrameError::Mismatch { a: "domain", b: "geometry" });
        }
        let content = self.check_content(polar, lines, samples)?;
        if kind == GeometryKind::RasterUnknown {
            return Ok(Geometry::Raster(Raster::unknown(content)));
        }
        if kind == GeometryKind::Raster {
            return Ok(Geometry::Raster(Raster {
                content,
                left: within("left_mm", self.left_mm, -DEPTH_MAX_MM, DEPTH_MAX_MM)?,
                top: within("top_mm", self.top_mm, -DEPTH_MAX_MM, DEPTH_MAX_MM)?,
                pitch_x: within("spacing_x_mm", self.spacing_x_mm, 1e-4, 10.0)?,
                pitch_y: within("spacing_y_mm", self.spacing_y_mm, 1e-4, 10.0)?,
                millimetres: true,
            }));
        }
        within("speed_of_sound_m_s", self.speed_of_sound_m_s, 300.0, 8000.0)?;
        let first_mm = within("first_depth_mm", self.first_depth_mm, 0.0, DEPTH_MAX_MM)?;
        let last_mm = within("last_depth_mm", self.last_depth_mm, first_mm + 0.1, DEPTH_MAX_MM)?;
        let depth_step_mm = (last_mm - first_mm) / (samples - 1) as f32;
        if kind == GeometryKind::Linear {
            let left_mm = within("left_mm", self.left_mm, -DEPTH_MAX_MM, DEPTH_MAX_MM)?;
            let right_mm = within("right_mm", self.right_mm, left_mm + 0.1, DEPTH_MAX_MM)?;
            return Ok(Geometry::Linear(crate::geometry::Linear {
                lines,
                samples,
                left_mm,
                line_step_mm: (right_mm - left_mm) / (lines - 1) as f32,
                first_depth_mm: first_mm,
                depth_step_mm,
            }));
        }
        // A full half-plane is the widest fan whose depth axis still points away from the probe.
        let quarter = core::f32::consts::FRAC_PI_2;
        let first_rad = within("first_angle_rad", self.first_angle_rad, -quarter, quarter)?;
        let last_rad = within("last_angle_rad", self.last_angle_rad, first_rad + 1e-3, quarter)?;
        let least_apex_mm = if kind == GeometryKind::Convex { 0.1 } else { 0.0 };
        Ok(Geometry::Sector(crate::geometry::Sector {
            lines,
            samples,
            apex_radius_mm: within("apex_radius_mm", self.apex_radius_mm, least_apex_mm, DEPTH_MAX_MM)?,
            first_angle_rad: first_rad,
            angle_step_rad: (last_rad - first_rad) / (lines - 1) as f32,
            first_depth_mm: first_mm,
            depth_step_mm,
        }))
    }

    /// The part of a picture that shows the scan: two pixels each way at least, inside the picture.
    fn check_content(&self, polar: bool, lines: u32, samples: u32) -> Result<Content, FrameError> {
        let [column, row, columns, rows] =
            [self.content_column, self.content_row, self.content_columns, self.content_rows];
        if [column, row, columns, rows] == [0; 4] {
            return Ok(Content { column: 0, row: 0, columns: samples, rows: lines });
        }
        if polar {
            return Err(FrameError::Mismatch { a: "domain", b: "content_columns" });
        }
        count("content_column", column, 0, samples - 2)?;
        count("content_row", row, 0, lines - 2)?;
        count("content_columns", columns, 2, samples - column)?;
        count("content_rows", rows, 2, lines - row)?;
        Ok(Content { column, row, columns, rows })
    }

    /// Checks that `payload` is long enough and, where a checksum was announced, unharmed.
    ///
    /// # Errors
    /// [`FrameError::Payload`] or [`FrameError::Crc`].
    pub fn check_payload(&self, payload: &[u8]) -> Result<(), FrameError> {
        let needed = self.payload_bytes as usize;
        if payload.len() < needed {
            return Err(FrameError::Payload { seen: payload.len() as u64, needed: needed as u64 });
        }
        if self.flags & flags::CRC_PRESENT != 0 {
            let seen = crc32fast::hash(&payload[..needed]);
            if seen != self.crc32 {
                return Err(FrameError::Crc { seen, announced: self.crc32 });
            }
        }
        Ok(())
    }
}
