//! The check of a descriptor.

use super::descriptor::{
    AmplitudeLaw, DEPTH_MAX_MM, Domain, FRAME_ABI_VERSION, FRAME_MAGIC, FrameDescriptor, GeometryKind,
    LAW_LINEAR, LAW_LOGARITHMIC, LAW_VENDOR_TABLE, LINES_MAX, SAMPLES_MAX, SampleType, TGC_POINTS, TgcPoint,
    flags,
};
use super::error::FrameError;
use crate::geometry::{Content, Geometry, Linear, Raster, Sector};

/// A checked descriptor: every field is valid, finite and within its limits, and no two fields contradict each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Sequence number.
    pub seq: u64,
    /// Acquisition time on the clock `clock_id`.
    pub t_acq_ns: u64,
    /// When it was queued in the ring.
    pub t_enqueue_ns: u64,
    /// The clock of `t_acq_ns`.
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
    /// Positions of the samples.
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
    /// Checks every field. [`Self::check_payload`] checks the payload's bytes.
    ///
    /// # Errors
    /// The first field that is wrong, with its limit and value.
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
        let (domain, expected) = match self.domain {
            1 => (Domain::PolarEnvelope, SampleType::U8),
            2 => (Domain::PolarIq, SampleType::I16Pair),
            3 => return Err(FrameError::RadioFrequency),
            4 => (Domain::ScanConverted, SampleType::U8),
            seen => return Err(FrameError::Unknown { field: "domain", seen }),
        };
        let sample_type = match self.sample_type {
            1 => SampleType::U8,
            2 => SampleType::I16,
            3 => SampleType::I16Pair,
            seen => return Err(FrameError::Unknown { field: "sample_type", seen }),
        };
        if sample_type != expected {
            return Err(FrameError::Mismatch { a: "domain", b: "sample_type" });
        }
        let lines = count("lines", self.lines, 2, LINES_MAX)?;
        let samples = count("samples", self.samples, 2, SAMPLES_MAX)?;
        let line_bytes = samples * sample_type.bytes();
        let stride_bytes = count("stride_bytes", self.stride_bytes, line_bytes, 2 * SAMPLES_MAX * 4)?;
        // The last line needs no padding after it.
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
        let is_pending = self.flags & flags::TGC_PENDING != 0;
        // The range of a vendor's table is not known, and decibels need one.
        if is_pending && matches!(law, AmplitudeLaw::VendorTable { .. }) {
            return Err(FrameError::Mismatch { a: "flags", b: "amplitude_law" });
        }
        // Nor are the depths of a picture's rows.
        if is_pending && domain == Domain::ScanConverted && self.tgc_points > 0 {
            return Err(FrameError::Mismatch { a: "domain", b: "tgc_points" });
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
            return Ok(Geometry::Linear(Linear {
                lines,
                samples,
                left_mm,
                line_step_mm: (right_mm - left_mm) / (lines - 1) as f32,
                first_depth_mm: first_mm,
                depth_step_mm,
            }));
        }
        // The widest sector: beyond a quarter turn to either side, depth would point back towards the probe.
        let quarter = core::f32::consts::FRAC_PI_2;
        let first_rad = within("first_angle_rad", self.first_angle_rad, -quarter, quarter)?;
        let last_rad = within("last_angle_rad", self.last_angle_rad, first_rad + 1e-3, quarter)?;
        let least_apex_mm = if kind == GeometryKind::Convex { 0.1 } else { 0.0 };
        Ok(Geometry::Sector(Sector {
            lines,
            samples,
            apex_radius_mm: within("apex_radius_mm", self.apex_radius_mm, least_apex_mm, DEPTH_MAX_MM)?,
            first_angle_rad: first_rad,
            angle_step_rad: (last_rad - first_rad) / (lines - 1) as f32,
            first_depth_mm: first_mm,
            depth_step_mm,
        }))
    }

    /// The part of a picture that shows the scan: inside the picture, at least two pixels in each direction.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each domain accepts one sample type. Radio-frequency frames of any type are refused with their own error.
    #[test]
    fn each_domain_has_its_sample_type() {
        let picture = FrameDescriptor {
            lines: 4,
            samples: 4,
            geometry: GeometryKind::RasterUnknown as u32,
            amplitude_law: LAW_LINEAR,
            law_range_db: 60.0,
            ..FrameDescriptor::blank()
        };
        let polar = FrameDescriptor {
            geometry: GeometryKind::Linear as u32,
            speed_of_sound_m_s: 1540.0,
            last_depth_mm: 50.0,
            right_mm: 40.0,
            ..picture
        };
        for (domain, accepted) in [
            (Domain::PolarEnvelope, Some(SampleType::U8)),
            (Domain::PolarIq, Some(SampleType::I16Pair)),
            (Domain::PolarRf, None),
            (Domain::ScanConverted, Some(SampleType::U8)),
        ] {
            for sample_type in [SampleType::U8, SampleType::I16, SampleType::I16Pair] {
                let stride_bytes = 4 * sample_type.bytes();
                let checked = FrameDescriptor {
                    domain: domain as u32,
                    sample_type: sample_type as u32,
                    stride_bytes,
                    payload_bytes: 4 * stride_bytes,
                    ..if domain == Domain::ScanConverted { picture } else { polar }
                }
                .check();
                let expected = match accepted {
                    None => Err(FrameError::RadioFrequency),
                    Some(accepted) if accepted == sample_type => Ok((domain, sample_type)),
                    Some(_) => Err(FrameError::Mismatch { a: "domain", b: "sample_type" }),
                };
                assert_eq!(checked.map(|frame| (frame.domain, frame.sample_type)), expected);
            }
        }
    }
}
