//! The description beside an array.

use crate::error::{Place, ReplayError, Source};
use serde::{Deserialize, Serialize};
use sonotrace_hal::frame::{
    AmplitudeLaw, Domain, Frame, FrameDescriptor, GeometryKind, LAW_LINEAR, LAW_LOGARITHMIC, SampleType,
    TGC_POINTS, TgcPoint, flags,
};

/// Largest description that is read: the longest list of times has a third of this.
const JSON_BYTES_MAX: usize = 1 << 24;

/// Name of a geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shape {
    Linear,
    Convex,
    Phased,
    Raster,
    RasterUnknown,
}

/// Name of an amplitude law.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Law {
    Linear,
    Logarithmic,
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

/// The description, field by field as in the file. Field names end in their unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    geometry: Shape,
    amplitude_law: Law,
    range_db: f32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    apex_radius_mm: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_angle_rad: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_angle_rad: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_mm: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    right_mm: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_depth_mm: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_depth_mm: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    top_mm: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spacing_x_mm: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spacing_y_mm: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<ContentPart>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    speed_of_sound_m_s: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frame_rate_hz: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gain_db: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tgc: Option<Vec<[f32; 2]>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tgc_pending: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burnt_in_overlay: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_acq_ns: Option<Vec<u64>>,
}

/// What a geometry makes of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Needed,
    Allowed,
    Meaningless,
}

impl Description {
    /// Reads a description.
    pub fn parse(source: Source<'_>, json: &[u8]) -> Result<Self, ReplayError> {
        if json.len() > JSON_BYTES_MAX {
            let fix = "it should hold a description only";
            return Err(source.too_large(
                Place::Whole,
                "bytes",
                json.len() as u64,
                JSON_BYTES_MAX as u64,
                fix,
            ));
        }
        serde_json::from_slice(json)
            .map_err(|error| source.malformed(Place::Line(error.line() as u64), error.to_string()))
    }

    /// The descriptor that all frames share, without its times.
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
        let kind = match self.geometry {
            Shape::Linear => GeometryKind::Linear,
            Shape::Convex => GeometryKind::Convex,
            Shape::Phased => GeometryKind::Phased,
            Shape::Raster => GeometryKind::Raster,
            Shape::RasterUnknown => GeometryKind::RasterUnknown,
        };
        let law = match self.amplitude_law {
            Law::Linear => LAW_LINEAR,
            Law::Logarithmic => LAW_LOGARITHMIC,
        };
        let points = self.tgc.as_deref().unwrap_or_default();
        if points.len() > TGC_POINTS {
            let (seen, max) = (points.len() as u64, TGC_POINTS as u64);
            let fix = "keep the points that matter";
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
            geometry: kind as u32,
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
            amplitude_law: law,
            law_range_db: self.range_db,
            gain_db: number(self.gain_db),
            frame_rate_hz: number(self.frame_rate_hz),
            tgc_points: points.len() as u32,
            tgc,
            ..FrameDescriptor::blank()
        })
    }

    /// Whether the geometry's fields are there, and no others.
    fn check_fields(&self, source: Source<'_>) -> Result<(), ReplayError> {
        use Need::{Allowed, Meaningless, Needed};
        // In this order: linear, sector, raster, raster of unknown scale.
        let fields = [
            (
                "apex_radius_mm",
                self.apex_radius_mm.is_some(),
                [Meaningless, Needed, Meaningless, Meaningless],
            ),
            (
                "first_angle_rad",
                self.first_angle_rad.is_some(),
                [Meaningless, Needed, Meaningless, Meaningless],
            ),
            (
                "last_angle_rad",
                self.last_angle_rad.is_some(),
                [Meaningless, Needed, Meaningless, Meaningless],
            ),
            ("left_mm", self.left_mm.is_some(), [Needed, Meaningless, Allowed, Meaningless]),
            ("right_mm", self.right_mm.is_some(), [Needed, Meaningless, Meaningless, Meaningless]),
            ("first_depth_mm", self.first_depth_mm.is_some(), [Needed, Needed, Meaningless, Meaningless]),
            ("last_depth_mm", self.last_depth_mm.is_some(), [Needed, Needed, Meaningless, Meaningless]),
            ("top_mm", self.top_mm.is_some(), [Meaningless, Meaningless, Allowed, Meaningless]),
            ("spacing_x_mm", self.spacing_x_mm.is_some(), [Meaningless, Meaningless, Needed, Meaningless]),
            ("spacing_y_mm", self.spacing_y_mm.is_some(), [Meaningless, Meaningless, Needed, Meaningless]),
            ("content", self.content.is_some(), [Meaningless, Meaningless, Allowed, Allowed]),
            ("speed_of_sound_m_s", self.speed_of_sound_m_s.is_some(), [Needed, Needed, Allowed, Allowed]),
        ];
        let column = match self.geometry {
            Shape::Linear => 0,
            Shape::Convex | Shape::Phased => 1,
            Shape::Raster => 2,
            Shape::RasterUnknown => 3,
        };
        for (name, is_given, needs) in fields {
            let problem = match (needs[column], is_given) {
                (Needed, false) => "missing, and its geometry needs it",
                (Meaningless, true) => "has no meaning for its geometry: leave it out",
                _ => continue,
            };
            return Err(source.malformed(Place::Field(name), problem));
        }
        Ok(())
    }

    /// The description of frames like this one; none if it has a vendor's amplitude table, which has no name here.
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
            speed_of_sound_m_s: given(is_polar, descriptor.speed_of_sound_m_s),
            frame_rate_hz: given(descriptor.frame_rate_hz > 0.0, descriptor.frame_rate_hz),
            gain_db: given(descriptor.gain_db != 0.0, descriptor.gain_db),
            tgc: (!points.is_empty()).then(|| points.iter().map(|p| [p.depth_mm, p.gain_db]).collect()),
            tgc_pending: frame.has(flags::TGC_PENDING).then_some(true),
            burnt_in_overlay: frame.has(flags::BURNT_IN_OVERLAY).then_some(true),
            t_acq_ns: Some(t_acq_ns),
        })
    }
}
