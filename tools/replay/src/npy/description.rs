//! The description of an array: the `.json` next to it.

use crate::error::{Place, ReplayError, Source, printable};
use serde::{Deserialize, Serialize};
use sonotrace_hal::frame::{
    AmplitudeLaw, Domain, Frame, FrameDescriptor, GeometryKind, LAW_LINEAR, LAW_LOGARITHMIC, SampleType,
    TGC_POINTS, TgcPoint, flags,
};

/// Largest description in bytes; the longest possible list of times takes a third of it.
const JSON_BYTES_MAX: usize = 1 << 24;
/// Longest text of a parser's error, in characters: it can contain names from the file.
const PROBLEM_CHARS_MAX: usize = 600;

/// Name of a geometry; the numbers are those of the descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shape {
    Linear = GeometryKind::Linear as isize,
    Convex = GeometryKind::Convex as isize,
    Phased = GeometryKind::Phased as isize,
    Raster = GeometryKind::Raster as isize,
    RasterUnknown = GeometryKind::RasterUnknown as isize,
}

/// Name of an amplitude law; the numbers are those of the descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Law {
    Linear = LAW_LINEAR as isize,
    Logarithmic = LAW_LOGARITHMIC as isize,
}

/// The part of a picture that shows the scan, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContentPart {
    column: u32,
    row: u32,
    columns: u32,
    rows: u32,
}

/// The description, with the fields of the file. Field names end in their unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    geometry: Shape,
    amplitude_law: Law,
    range_db: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    apex_radius_mm: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_angle_rad: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_angle_rad: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_mm: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    right_mm: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_depth_mm: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_depth_mm: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_mm: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spacing_x_mm: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spacing_y_mm: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<ContentPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed_of_sound_m_s: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame_rate_hz: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gain_db: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tgc: Option<Vec<[f32; 2]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tgc_pending: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burnt_in_overlay: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub t_acq_ns: Option<Vec<u64>>,
}

/// Whether a geometry uses a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Required,
    Optional,
    Unused,
}

impl Description {
    /// Parses a description.
    pub fn parse(source: Source<'_>, json: &[u8]) -> Result<Self, ReplayError> {
        if json.len() > JSON_BYTES_MAX {
            let (seen, max) = (json.len() as u64, JSON_BYTES_MAX as u64);
            return Err(source.too_large(Place::Whole, "bytes", seen, max, "give a description only"));
        }
        serde_json::from_slice(json).map_err(|error| {
            let problem = printable(&error.to_string(), PROBLEM_CHARS_MAX);
            source.malformed(Place::Line(error.line() as u64), problem)
        })
    }

    /// The descriptor that all frames share, without acquisition times.
    pub fn descriptor(
        &self,
        source: Source<'_>,
        lines: u32,
        samples: u32,
        sample_type: SampleType,
    ) -> Result<FrameDescriptor, ReplayError> {
        self.check_fields(source)?;
        let is_picture = matches!(self.geometry, Shape::Raster | Shape::RasterUnknown);
        let domain = match (sample_type, is_picture) {
            (SampleType::U8, true) => Domain::ScanConverted,
            (SampleType::U8, false) => Domain::PolarEnvelope,
            (SampleType::I16 | SampleType::I16Pair, false) => Domain::PolarIq,
            (SampleType::I16 | SampleType::I16Pair, true) => {
                return Err(source.malformed(Place::Field("geometry"), "a raster, but the samples are IQ"));
            }
        };
        let points = self.tgc.as_deref().unwrap_or_default();
        if points.len() > TGC_POINTS {
            let (seen, max) = (points.len() as u64, TGC_POINTS as u64);
            let fix = "keep the most important points";
            return Err(source.too_large(Place::Field("tgc"), "points", seen, max, fix));
        }
        let mut tgc = [TgcPoint::default(); TGC_POINTS];
        for (point, &[depth_mm, gain_db]) in tgc.iter_mut().zip(points) {
            *point = TgcPoint { depth_mm, gain_db };
        }
        let flag = |is_set: Option<bool>, bit| if is_set == Some(true) { bit } else { 0 };
        let number = |field: Option<f32>| field.unwrap_or(0.0);
        let content = self.content.unwrap_or(ContentPart { column: 0, row: 0, columns: 0, rows: 0 });
        Ok(FrameDescriptor {
            flags: flag(self.tgc_pending, flags::TGC_PENDING)
                | flag(self.burnt_in_overlay, flags::BURNT_IN_OVERLAY),
            domain: domain as u32,
            sample_type: sample_type as u32,
            lines,
            samples,
            stride_bytes: samples * sample_type.bytes(),
            geometry: self.geometry as u32,
            apex_radius_mm: number(self.apex_radius_mm),
            first_angle_rad: number(self.first_angle_rad),
            last_angle_rad: number(self.last_angle_rad),
            first_depth_mm: number(self.first_depth_mm),
            last_depth_mm: number(self.last_depth_mm),
            left_mm: number(self.left_mm),
            right_mm: number(self.right_mm),
            top_mm: number(self.top_mm),
            spacing_x_mm: number(self.spacing_x_mm),
            spacing_y_mm: number(self.spacing_y_mm),
            content_column: content.column,
            content_row: content.row,
            content_columns: content.columns,
            content_rows: content.rows,
            speed_of_sound_m_s: number(self.speed_of_sound_m_s),
            amplitude_law: self.amplitude_law as u32,
            law_range_db: self.range_db,
            gain_db: number(self.gain_db),
            frame_rate_hz: number(self.frame_rate_hz),
            tgc_points: points.len() as u32,
            tgc,
            ..FrameDescriptor::blank()
        })
    }

    /// Checks that every field required by the geometry is present, and that no unused field is.
    fn check_fields(&self, source: Source<'_>) -> Result<(), ReplayError> {
        use Use::{Optional, Required, Unused};
        // Columns: linear, sector, raster, raster of unknown scale.
        let fields = [
            ("apex_radius_mm", self.apex_radius_mm.is_some(), [Unused, Required, Unused, Unused]),
            ("first_angle_rad", self.first_angle_rad.is_some(), [Unused, Required, Unused, Unused]),
            ("last_angle_rad", self.last_angle_rad.is_some(), [Unused, Required, Unused, Unused]),
            ("left_mm", self.left_mm.is_some(), [Required, Unused, Optional, Unused]),
            ("right_mm", self.right_mm.is_some(), [Required, Unused, Unused, Unused]),
            ("first_depth_mm", self.first_depth_mm.is_some(), [Required, Required, Unused, Unused]),
            ("last_depth_mm", self.last_depth_mm.is_some(), [Required, Required, Unused, Unused]),
            ("top_mm", self.top_mm.is_some(), [Unused, Unused, Optional, Unused]),
            ("spacing_x_mm", self.spacing_x_mm.is_some(), [Unused, Unused, Required, Unused]),
            ("spacing_y_mm", self.spacing_y_mm.is_some(), [Unused, Unused, Required, Unused]),
            ("content", self.content.is_some(), [Unused, Unused, Optional, Optional]),
            (
                "speed_of_sound_m_s",
                self.speed_of_sound_m_s.is_some(),
                [Required, Required, Optional, Optional],
            ),
        ];
        let column = match self.geometry {
            Shape::Linear => 0,
            Shape::Convex | Shape::Phased => 1,
            Shape::Raster => 2,
            Shape::RasterUnknown => 3,
        };
        for (name, is_given, uses) in fields {
            let problem = match (uses[column], is_given) {
                (Required, false) => "missing, but required by the geometry",
                (Unused, true) => "not used by the geometry: remove it",
                _ => continue,
            };
            return Err(source.malformed(Place::Field(name), problem));
        }
        // The check of the descriptor ignores this field of a raster; JSON numbers beyond f32 become infinite.
        if self.speed_of_sound_m_s.is_some_and(f32::is_infinite) {
            return Err(source.malformed(Place::Field("speed_of_sound_m_s"), "not a finite number"));
        }
        Ok(())
    }

    /// The description of frames with this descriptor; `None` for a vendor's amplitude table, which has no name here.
    pub fn of(descriptor: &FrameDescriptor, frame: &Frame, t_acq_ns: Vec<u64>) -> Option<Self> {
        let shape = match descriptor.geometry {
            1 => Shape::Linear,
            2 => Shape::Convex,
            3 => Shape::Phased,
            4 => Shape::Raster,
            _ => Shape::RasterUnknown,
        };
        let (amplitude_law, range_db) = match frame.law {
            AmplitudeLaw::Linear { range_db } => (Law::Linear, range_db),
            AmplitudeLaw::Logarithmic { range_db } => (Law::Logarithmic, range_db),
            AmplitudeLaw::VendorTable { .. } => return None,
        };
        let is_linear = shape == Shape::Linear;
        let is_sector = matches!(shape, Shape::Convex | Shape::Phased);
        let is_polar = is_linear || is_sector;
        let is_raster = shape == Shape::Raster;
        // The check of the descriptor ignores this field of a raster.
        let has_speed = descriptor.speed_of_sound_m_s.is_finite() && descriptor.speed_of_sound_m_s != 0.0;
        let given = |is_given: bool, value: f32| is_given.then_some(value);
        let points = &frame.tgc[..frame.tgc_points as usize];
        let content = (descriptor.content_columns > 0).then_some(ContentPart {
            column: descriptor.content_column,
            row: descriptor.content_row,
            columns: descriptor.content_columns,
            rows: descriptor.content_rows,
        });
        Some(Self {
            geometry: shape,
            amplitude_law,
            range_db,
            apex_radius_mm: given(is_sector, descriptor.apex_radius_mm),
            first_angle_rad: given(is_sector, descriptor.first_angle_rad),
            last_angle_rad: given(is_sector, descriptor.last_angle_rad),
            left_mm: given(is_linear || is_raster, descriptor.left_mm),
            right_mm: given(is_linear, descriptor.right_mm),
            first_depth_mm: given(is_polar, descriptor.first_depth_mm),
            last_depth_mm: given(is_polar, descriptor.last_depth_mm),
            top_mm: given(is_raster, descriptor.top_mm),
            spacing_x_mm: given(is_raster, descriptor.spacing_x_mm),
            spacing_y_mm: given(is_raster, descriptor.spacing_y_mm),
            content,
            speed_of_sound_m_s: given(is_polar || has_speed, descriptor.speed_of_sound_m_s),
            frame_rate_hz: given(descriptor.frame_rate_hz > 0.0, descriptor.frame_rate_hz),
            gain_db: given(descriptor.gain_db != 0.0, descriptor.gain_db),
            tgc: (!points.is_empty()).then(|| points.iter().map(|p| [p.depth_mm, p.gain_db]).collect()),
            tgc_pending: frame.has(flags::TGC_PENDING).then_some(true),
            burnt_in_overlay: frame.has(flags::BURNT_IN_OVERLAY).then_some(true),
            t_acq_ns: Some(t_acq_ns),
        })
    }
}
