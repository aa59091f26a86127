//! The field: the scan lines of a probe as its beamformer uses them, for both sectors and parallel lines.
//!
//! A point has a range along its line and a position across the lines. In a sector, range counts from the apex and the
//! position across is an angle; for parallel lines, range is depth and the position across is in millimetres. All code
//! for both kinds uses these two coordinates.

use sonotrace_hal::geometry::{Geometry, Linear, Point, Sector};

/// Scatterers per millimetre of range and radian of angle. Their density is uniform in range and angle, so that a
/// resolution cell (about 1.5 mm by 0.027 rad) holds about 28 at any depth. Fully developed speckle needs 10 or more
/// (Wagner et al., "Statistics of speckle in ultrasound B-scans", IEEE Trans. Sonics Ultrason. 1983).
pub const SCATTERERS_PER_MM_RAD: f32 = 690.0;
/// Scatterers per square millimetre of a linear probe, so that a cell (0.47 mm by 0.7 mm) holds about 24.
pub const SCATTERERS_PER_MM2: f32 = 72.0;
/// Tissue up to this far outside the field of view has scatterers, because it may move into view.
const MARGIN_MM: f32 = 16.0;
const MARGIN_RAD: f32 = 0.10;
/// Slides farther than this bring tissue so much closer to a sector's apex, or so much farther from it, that the scatterers'
/// density, which is uniform in range and angle, must be made up for. Shorter slides keep the bytes of earlier releases.
const FAR_MM: f32 = 60.0;
/// The largest angle from its axis at which a sliding sector probe can see the body.
const SWEPT_RAD: f32 = 1.5;
/// Millimetres across a linear probe that count as a radian for textures that are defined over angles.
const TEXTURE_MM_PER_RAD: f32 = 30.0;

/// The arrangement of the lines.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    Sector { apex_radius_mm: f32 },
    Parallel,
}

/// Scan lines and their samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// Number of lines.
    pub lines: u32,
    /// Samples per line.
    pub samples: u32,
    /// Position across of the first line: radians (sector) or millimetres (linear).
    pub first: f32,
    /// Distance from one line to the next, in the same unit.
    pub step: f32,
    /// Depth of the first sample.
    pub first_depth_mm: f32,
    /// Distance from one sample to the next.
    pub depth_step_mm: f32,
    /// Density of the scatterers, relative to the density that gives fully developed speckle at full resolution.
    pub density: f32,
    shape: Shape,
}

impl From<Sector> for Field {
    fn from(sector: Sector) -> Self {
        Self {
            lines: sector.lines,
            samples: sector.samples,
            first: sector.first_angle_rad,
            step: sector.angle_step_rad,
            first_depth_mm: sector.first_depth_mm,
            depth_step_mm: sector.depth_step_mm,
            density: 1.0,
            shape: Shape::Sector { apex_radius_mm: sector.apex_radius_mm },
        }
    }
}

impl From<Linear> for Field {
    fn from(linear: Linear) -> Self {
        Self {
            lines: linear.lines,
            samples: linear.samples,
            first: linear.left_mm,
            step: linear.line_step_mm,
            first_depth_mm: linear.first_depth_mm,
            depth_step_mm: linear.depth_step_mm,
            density: 1.0,
            shape: Shape::Parallel,
        }
    }
}

impl Field {
    /// The scan lines of a geometry; `None` for a picture.
    pub fn of(geometry: Geometry) -> Option<Self> {
        match geometry {
            Geometry::Sector(sector) => Some(sector.into()),
            Geometry::Linear(linear) => Some(linear.into()),
            Geometry::Raster(_) => None,
        }
    }

    /// The same lines, with `density` times as many scatterers.
    pub fn with_density(self, density: f32) -> Self {
        Self { density, ..self }
    }

    /// The geometry that a frame of these lines has.
    pub fn geometry(&self) -> Geometry {
        match self.shape {
            Shape::Sector { apex_radius_mm } => Geometry::Sector(Sector {
                lines: self.lines,
                samples: self.samples,
                apex_radius_mm,
                first_angle_rad: self.first,
                angle_step_rad: self.step,
                first_depth_mm: self.first_depth_mm,
                depth_step_mm: self.depth_step_mm,
            }),
            Shape::Parallel => Geometry::Linear(Linear {
                lines: self.lines,
                samples: self.samples,
                left_mm: self.first,
                line_step_mm: self.step,
                first_depth_mm: self.first_depth_mm,
                depth_step_mm: self.depth_step_mm,
            }),
        }
    }

    /// Range of the probe's face.
    pub fn face_mm(&self) -> f32 {
        match self.shape {
            Shape::Sector { apex_radius_mm } => apex_radius_mm,
            Shape::Parallel => 0.0,
        }
    }

    /// Range of a point.
    pub fn range_mm(&self, point: Point) -> f32 {
        match self.shape {
            Shape::Sector { apex_radius_mm } => {
                let down = point.y + apex_radius_mm;
                libm::sqrtf(point.x * point.x + down * down)
            }
            Shape::Parallel => point.y,
        }
    }

    /// Position of a point across the lines: radians (sector) or millimetres (linear).
    pub fn across(&self, point: Point) -> f32 {
        match self.shape {
            Shape::Sector { apex_radius_mm } => libm::atan2f(point.x, point.y + apex_radius_mm),
            Shape::Parallel => point.x,
        }
    }

    /// The point at a range and a position across.
    pub fn point(&self, range_mm: f32, across: f32) -> Point {
        match self.shape {
            Shape::Sector { apex_radius_mm } => {
                let (sin, cos) = libm::sincosf(across);
                Point { x: range_mm * sin, y: range_mm * cos - apex_radius_mm }
            }
            Shape::Parallel => Point { x: across, y: range_mm },
        }
    }

    /// Length of a unit across at a range.
    pub fn mm_across(&self, range_mm: f32) -> f32 {
        match self.shape {
            Shape::Sector { .. } => range_mm,
            Shape::Parallel => 1.0,
        }
    }

    /// A position across as an angle, for textures that are defined over angles.
    pub fn texture_rad(&self, across: f32) -> f32 {
        match self.shape {
            Shape::Sector { .. } => across,
            Shape::Parallel => across / TEXTURE_MM_PER_RAD,
        }
    }

    /// Depth of a sample below the face.
    pub fn depth_mm(&self, sample: u32) -> f32 {
        self.first_depth_mm + self.depth_step_mm * sample as f32
    }

    /// Scatterers of tissue per millimetre of range and unit across.
    pub fn scatterers_per_mm(&self) -> f32 {
        let full = match self.shape {
            Shape::Sector { .. } => SCATTERERS_PER_MM_RAD,
            Shape::Parallel => SCATTERERS_PER_MM2,
        };
        full * self.density
    }
}

/// The part of the body that a scan can see, where it needs scatterers: the field of view with a margin, the union of
/// several fields of view if the sonographer changes depth and angle, extended sideways if the probe slides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScannedRegion {
    field: Field,
    near_mm: f32,
    far_mm: f32,
    first: f32,
    span: f32,
    /// Smallest and largest shift of the anatomy to the right.
    slide_mm: (f32, f32),
}

impl<F: Into<Field>> From<F> for ScannedRegion {
    fn from(field: F) -> Self {
        let field = field.into();
        let margin = match field.shape {
            Shape::Sector { .. } => MARGIN_RAD,
            Shape::Parallel => MARGIN_MM,
        };
        let depth_span_mm = field.depth_step_mm * (field.samples - 1) as f32;
        Self {
            near_mm: (field.face_mm() + field.first_depth_mm - MARGIN_MM).max(0.0),
            far_mm: field.face_mm() + field.first_depth_mm + depth_span_mm + MARGIN_MM,
            first: field.first - margin,
            span: field.step * (field.lines - 1) as f32 + 2.0 * margin,
            slide_mm: (0.0, 0.0),
            field,
        }
    }
}

impl ScannedRegion {
    /// Extends the region to the field of view of another field of the same probe.
    pub fn including(self, field: Field) -> Self {
        let other = Self::from(field);
        let first = self.first.min(other.first);
        let end = (self.first + self.span).max(other.first + other.span);
        // A field inside this one must not change the region, not even by rounding.
        let span = if first == self.first && end == self.first + self.span { self.span } else { end - first };
        Self {
            near_mm: self.near_mm.min(other.near_mm),
            far_mm: self.far_mm.max(other.far_mm),
            first,
            span,
            ..self
        }
    }

    /// Extends the region to the anatomy that is visible when it is shifted by `slide_mm` to the right.
    pub fn with_slide(self, slide_mm: f32) -> Self {
        Self { slide_mm: (self.slide_mm.0.min(slide_mm), self.slide_mm.1.max(slide_mm)), ..self }
    }

    /// The first field.
    pub(crate) fn field(&self) -> &Field {
        &self.field
    }

    /// Smallest and largest range of scatterers.
    pub(crate) fn ranges_mm(&self) -> (f32, f32) {
        let most_mm = self.slide_mm.1.max(-self.slide_mm.0);
        ((self.near_mm - most_mm).max(0.0), self.far_mm + most_mm)
    }

    /// First position across of scatterers, and the span from there.
    pub(crate) fn span(&self) -> (f32, f32) {
        let (least_mm, most_mm) = self.slide_mm;
        match self.field.shape {
            _ if !self.slides() => (self.first, self.span),
            Shape::Sector { .. } => (-SWEPT_RAD, 2.0 * SWEPT_RAD),
            Shape::Parallel => (self.first - most_mm, self.span + most_mm - least_mm),
        }
    }

    /// Whether a point of the body at rest is visible at some shift: its positions across overlap the region.
    pub(crate) fn sees(&self, reference: Point) -> bool {
        let shifted = |slide_mm: f32| self.field.across(Point { x: reference.x + slide_mm, y: reference.y });
        !self.slides()
            || (shifted(self.slide_mm.1) >= self.first && shifted(self.slide_mm.0) <= self.first + self.span)
    }

    /// Whether the probe slides so far that the density of scatterers must be made up for.
    pub(crate) fn slides_far(&self) -> bool {
        self.slide_mm.1.max(-self.slide_mm.0) > FAR_MM
    }

    fn slides(&self) -> bool {
        self.slide_mm != (0.0, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonotrace_hal::geometry::LineSample;

    const SECTOR: Sector = Sector {
        lines: 48,
        samples: 160,
        apex_radius_mm: 12.0,
        first_angle_rad: -0.4,
        angle_step_rad: 0.8 / 47.0,
        first_depth_mm: 2.0,
        depth_step_mm: 0.5,
    };
    const LINEAR: Linear = Linear {
        lines: 48,
        samples: 160,
        left_mm: -19.0,
        line_step_mm: 38.0 / 47.0,
        first_depth_mm: 2.0,
        depth_step_mm: 0.25,
    };

    /// Range and position across agree with line and sample.
    #[test]
    fn agrees_with_the_geometry() {
        for field in [Field::from(SECTOR), Field::from(LINEAR)] {
            assert_eq!(Field::of(field.geometry()), Some(field));
            for (line, sample) in [(0.0, 0.0), (13.5, 40.25), (47.0, 159.0)] {
                let point = field.geometry().to_plane(LineSample { line, sample });
                let (range_mm, across) = (field.range_mm(point), field.across(point));
                let depth_mm = field.first_depth_mm + field.depth_step_mm * sample;
                assert!((range_mm - field.face_mm() - depth_mm).abs() < 1e-4, "{field:?}: {range_mm}");
                assert!((across - field.first - field.step * line).abs() < 1e-4, "{field:?}: {across}");
                let back = field.point(range_mm, across);
                assert!((back.x - point.x).abs() < 1e-4 && (back.y - point.y).abs() < 1e-4, "{field:?}");
            }
        }
    }

    /// The region contains the points that a slide brings into view, and no points that it never brings into view.
    #[test]
    fn region_follows_a_slide() {
        for field in [Field::from(SECTOR), Field::from(LINEAR)] {
            let still = ScannedRegion::from(field);
            let slid = still.with_slide(20.0);
            let edge = field.point(field.face_mm() + 30.0, field.first);
            let outside = |by_mm: f32| Point { x: edge.x - by_mm, y: edge.y };
            assert!(slid.sees(outside(19.0)) && !slid.sees(outside(45.0)));
            assert!(!slid.sees(Point { x: -edge.x + 30.0, y: edge.y }));
            assert_eq!(still.including(field), still);
        }
    }
}
