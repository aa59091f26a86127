//! The geometry of a frame: converts between line/sample positions and points of the probe's plane.
//!
//! The probe's plane is measured in millimetres: `x` to the right of the probe's axis, `y` down into the body, the
//! middle of the probe's face at the origin. Line and sample positions are real numbers; the centres of samples are at
//! integers. A picture has its own plane: in millimetres if its pixel pitch is known, else in pixels.

/// A point in the probe's plane (millimetres, or pixels where the scale is unknown).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// To the right.
    pub x: f32,
    /// Down.
    pub y: f32,
}

/// A position among the samples of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LineSample {
    /// Scan line, or image row.
    pub line: f32,
    /// Sample along the line, or image column.
    pub sample: f32,
}

/// An upright rectangle in the probe's plane.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rect {
    /// Left edge.
    pub x0: f32,
    /// Top edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Bottom edge.
    pub y1: f32,
}

impl Rect {
    /// Horizontal extent.
    pub fn width(&self) -> f32 {
        self.x1 - self.x0
    }

    /// Vertical extent.
    pub fn height(&self) -> f32 {
        self.y1 - self.y0
    }
}

/// Parallel scan lines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Linear {
    /// Number of lines.
    pub lines: u32,
    /// Samples per line.
    pub samples: u32,
    /// Lateral position of the first line.
    pub left_mm: f32,
    /// Distance from one line to the next.
    pub line_step_mm: f32,
    /// Depth of the first sample.
    pub first_depth_mm: f32,
    /// Distance from one sample to the next.
    pub depth_step_mm: f32,
}

/// Scan lines that diverge from an apex behind (convex) or at (phased) the probe's face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sector {
    /// Number of lines.
    pub lines: u32,
    /// Samples per line.
    pub samples: u32,
    /// Distance from the apex to the face; depths count from the face.
    pub apex_radius_mm: f32,
    /// Direction of the first line, from the probe's axis, positive to the right.
    pub first_angle_rad: f32,
    /// Angle from one line to the next.
    pub angle_step_rad: f32,
    /// Depth of the first sample.
    pub first_depth_mm: f32,
    /// Distance from one sample to the next.
    pub depth_step_mm: f32,
}

/// The part of a picture that shows the scan, without its borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Its first column.
    pub column: u32,
    /// Its first row.
    pub row: u32,
    /// Pixels across.
    pub columns: u32,
    /// Pixels down.
    pub rows: u32,
}

/// A picture. Pixel positions count from the top left pixel of the whole picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Raster {
    /// The part that shows the scan.
    pub content: Content,
    /// Position of the centre of the whole picture's left-most column.
    pub left: f32,
    /// Position of the centre of the whole picture's top row.
    pub top: f32,
    /// Column pitch.
    pub pitch_x: f32,
    /// Row pitch.
    pub pitch_y: f32,
    /// Whether the plane is in millimetres (else pixels).
    pub millimetres: bool,
}

impl Raster {
    /// A picture of unknown scale: the plane's unit is the pixel, pixels are square, and the origin is the centre of
    /// the top left pixel.
    pub const fn unknown(content: Content) -> Self {
        Self { content, left: 0.0, top: 0.0, pitch_x: 1.0, pitch_y: 1.0, millimetres: false }
    }
}

/// The geometry of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Geometry {
    /// Parallel lines.
    Linear(Linear),
    /// Convex and phased probes.
    Sector(Sector),
    /// A picture.
    Raster(Raster),
}

impl Geometry {
    /// Whether points of the plane are millimetres.
    pub const fn is_millimetres(&self) -> bool {
        match self {
            Self::Raster(raster) => raster.millimetres,
            Self::Linear(_) | Self::Sector(_) => true,
        }
    }

    /// Whether a point of the plane is the same position in the body in both geometries while the probe does not move:
    /// both planes are in millimetres and of one probe (depth, sector or zoom may change, the transducer may not).
    pub fn shares_plane_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Linear(_), Self::Linear(_)) => true,
            (Self::Sector(a), Self::Sector(b)) => a.apex_radius_mm == b.apex_radius_mm,
            (Self::Raster(a), Self::Raster(b)) => (a.millimetres && b.millimetres) || a == b,
            _ => false,
        }
    }

    /// Bounding rectangle of the scanned field. A picture ends half a pixel beyond the centres of the outermost pixels of
    /// its content, a polar field at its outermost samples.
    pub fn field_of_view(&self) -> Rect {
        match *self {
            Self::Linear(g) => Rect {
                x0: g.left_mm,
                y0: g.first_depth_mm,
                x1: g.left_mm + g.line_step_mm * (g.lines - 1) as f32,
                y1: g.first_depth_mm + g.depth_step_mm * (g.samples - 1) as f32,
            },
            Self::Sector(g) => g.field_of_view(),
            Self::Raster(g) => Rect {
                x0: g.left + (g.content.column as f32 - 0.5) * g.pitch_x,
                y0: g.top + (g.content.row as f32 - 0.5) * g.pitch_y,
                x1: g.left + ((g.content.column + g.content.columns) as f32 - 0.5) * g.pitch_x,
                y1: g.top + ((g.content.row + g.content.rows) as f32 - 0.5) * g.pitch_y,
            },
        }
    }

    /// The point of the plane at a line/sample position (extrapolated outside the field).
    pub fn to_plane(&self, at: LineSample) -> Point {
        match *self {
            Self::Linear(g) => Point {
                x: g.left_mm + g.line_step_mm * at.line,
                y: g.first_depth_mm + g.depth_step_mm * at.sample,
            },
            Self::Sector(g) => {
                let angle = g.first_angle_rad + g.angle_step_rad * at.line;
                let radius = g.apex_radius_mm + g.first_depth_mm + g.depth_step_mm * at.sample;
                Point { x: radius * libm::sinf(angle), y: radius * libm::cosf(angle) - g.apex_radius_mm }
            }
            Self::Raster(g) => Point { x: g.left + g.pitch_x * at.sample, y: g.top + g.pitch_y * at.line },
        }
    }

    /// The line/sample position of a point of the plane (outside `0..lines` or `0..samples` if out of the field).
    pub fn to_line_sample(&self, point: Point) -> LineSample {
        match *self {
            Self::Linear(g) => LineSample {
                line: (point.x - g.left_mm) / g.line_step_mm,
                sample: (point.y - g.first_depth_mm) / g.depth_step_mm,
            },
            Self::Sector(g) => {
                let down = point.y + g.apex_radius_mm;
                let radius = libm::sqrtf(point.x * point.x + down * down);
                LineSample {
                    line: (libm::atan2f(point.x, down) - g.first_angle_rad) / g.angle_step_rad,
                    sample: (radius - g.apex_radius_mm - g.first_depth_mm) / g.depth_step_mm,
                }
            }
            Self::Raster(g) => {
                LineSample { line: (point.y - g.top) / g.pitch_y, sample: (point.x - g.left) / g.pitch_x }
            }
        }
    }
}

impl Sector {
    /// Distance of a point of the plane from the sector's nearest side or arc, mm; negative outside the sector.
    pub fn inside_mm(&self, point: Point) -> f32 {
        let down = point.y + self.apex_radius_mm;
        let radius = libm::sqrtf(point.x * point.x + down * down);
        let near = self.apex_radius_mm + self.first_depth_mm;
        let far = near + self.depth_step_mm * (self.samples - 1) as f32;
        let last_angle_rad = self.first_angle_rad + self.angle_step_rad * (self.lines - 1) as f32;
        // Distance to the right of the line from the apex in a direction.
        let right_of = |angle_rad: f32| point.x * libm::cosf(angle_rad) - down * libm::sinf(angle_rad);
        let sides = right_of(self.first_angle_rad).min(-right_of(last_angle_rad));
        sides.min(radius - near).min(far - radius)
    }

    fn field_of_view(&self) -> Rect {
        let near = self.apex_radius_mm + self.first_depth_mm;
        let far = near + self.depth_step_mm * (self.samples - 1) as f32;
        let last_angle_rad = self.first_angle_rad + self.angle_step_rad * (self.lines - 1) as f32;
        let (sin0, cos0) = (libm::sinf(self.first_angle_rad), libm::cosf(self.first_angle_rad));
        let (sin1, cos1) = (libm::sinf(last_angle_rad), libm::cosf(last_angle_rad));
        // Angles are within a quarter turn to either side, so that x grows with the angle, and y is largest at the
        // angle closest to straight down and smallest at the angle farthest from it.
        let straight_down = self.first_angle_rad <= 0.0 && last_angle_rad >= 0.0;
        let cos_most = if straight_down { 1.0 } else { cos0.max(cos1) };
        let edge = |sin: f32, towards: f32| if sin * towards > 0.0 { far * sin } else { near * sin };
        Rect {
            x0: edge(sin0, -1.0),
            y0: near * cos0.min(cos1) - self.apex_radius_mm,
            x1: edge(sin1, 1.0),
            y1: far * cos_most - self.apex_radius_mm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn geometries() -> impl Strategy<Value = Geometry> {
        let lines_samples = (2u32..300, 2u32..900);
        prop_oneof![
            (lines_samples.clone(), -50.0..50.0f32, 0.05..1.0f32, 0.0..20.0f32, 0.02..0.5f32).prop_map(
                |((lines, samples), left_mm, line_step_mm, first_depth_mm, depth_step_mm)| {
                    Geometry::Linear(Linear {
                        lines,
                        samples,
                        left_mm,
                        line_step_mm,
                        first_depth_mm,
                        depth_step_mm,
                    })
                }
            ),
            (lines_samples.clone(), 0.0..80.0f32, -1.5..0.5f32, 0.1..1.0f32, 1.0..20.0f32, 0.02..0.5f32)
                .prop_map(
                    |(
                        (lines, samples),
                        apex_radius_mm,
                        first_angle_rad,
                        span,
                        first_depth_mm,
                        depth_step_mm,
                    )| {
                        Geometry::Sector(Sector {
                            lines,
                            samples,
                            apex_radius_mm,
                            first_angle_rad,
                            angle_step_rad: span / (lines - 1) as f32,
                            first_depth_mm,
                            depth_step_mm,
                        })
                    }
                ),
            (lines_samples, 0u32..50, -50.0..50.0f32, 0.05..1.0f32, 0.05..1.0f32).prop_map(
                |((rows, columns), border, left, pitch_x, pitch_y)| {
                    Geometry::Raster(Raster {
                        content: Content { column: border, row: border / 2, columns, rows },
                        left,
                        top: 0.0,
                        pitch_x,
                        pitch_y,
                        millimetres: true,
                    })
                }
            ),
        ]
    }

    proptest! {
        /// A round trip gives the same position, and every sample is inside the field of view.
        #[test]
        fn round_trip(geometry in geometries(), u in 0.0..1.0f32, v in 0.0..1.0f32) {
            let [line, sample, lines, samples] = match geometry {
                Geometry::Linear(g) => [0, 0, g.lines, g.samples],
                Geometry::Sector(g) => [0, 0, g.lines, g.samples],
                Geometry::Raster(g) => [g.content.row, g.content.column, g.content.rows, g.content.columns],
            };
            let at = LineSample {
                line: line as f32 + u * (lines - 1) as f32,
                sample: sample as f32 + v * (samples - 1) as f32,
            };
            let point = geometry.to_plane(at);
            let back = geometry.to_line_sample(point);
            prop_assert!((back.line - at.line).abs() < 0.02, "{at:?} -> {point:?} -> {back:?}");
            prop_assert!((back.sample - at.sample).abs() < 0.02, "{at:?} -> {point:?} -> {back:?}");
            let view = geometry.field_of_view();
            let slack = 1e-3 * (1.0 + view.width() + view.height());
            prop_assert!(point.x >= view.x0 - slack && point.x <= view.x1 + slack, "{point:?} outside {view:?}");
            prop_assert!(point.y >= view.y0 - slack && point.y <= view.y1 + slack, "{point:?} outside {view:?}");
        }
    }

    proptest! {
        /// On a side or an arc the distance is 0; from there inwards it grows by the way, outwards it is negative.
        #[test]
        fn distance_to_a_sectors_edge(geometry in geometries(), u in 0.0..1.0f32, way in 0.0..0.2f32) {
            let Geometry::Sector(g) = geometry else { return Ok(()) };
            let [last_line, last_sample] = [(g.lines - 1) as f32, (g.samples - 1) as f32];
            let depth_mm = g.depth_step_mm * last_sample;
            let slack = 1e-3 * (1.0 + g.apex_radius_mm + g.first_depth_mm + depth_mm);
            for (line, sample) in
                [(0.0, u * last_sample), (last_line, u * last_sample), (u * last_line, 0.0), (u * last_line, last_sample)]
            {
                let on_edge = g.inside_mm(geometry.to_plane(LineSample { line, sample }));
                prop_assert!(on_edge.abs() <= slack, "{on_edge} mm at line {line}, sample {sample}");
            }
            // Along the middle line, from the near arc, as long as that is the nearest edge.
            let deeper = |sample: f32| g.inside_mm(geometry.to_plane(LineSample { line: last_line / 2.0, sample }));
            let inwards = deeper(way * last_sample);
            prop_assert!(inwards >= -slack && inwards <= way * depth_mm + slack);
            prop_assert!((deeper(-1.0) + g.depth_step_mm).abs() <= slack);
            prop_assert!((deeper(last_sample + 1.0) + g.depth_step_mm).abs() <= slack);
        }
    }

    /// The rectangle touches the field on all four sides, for sectors that contain the axis and sectors that do not.
    #[test]
    fn sector_view_is_tight() {
        for (first, last) in [(-0.6f32, 0.6f32), (0.2, 0.9), (-1.2, -0.3)] {
            let sector = Sector {
                lines: 201,
                samples: 201,
                apex_radius_mm: 12.0,
                first_angle_rad: first,
                angle_step_rad: (last - first) / 200.0,
                first_depth_mm: 1.0,
                depth_step_mm: 0.5,
            };
            let geometry = Geometry::Sector(sector);
            let mut seen = Rect { x0: f32::MAX, y0: f32::MAX, x1: f32::MIN, y1: f32::MIN };
            for line in 0..201 {
                for sample in [0.0, 200.0] {
                    let p = geometry.to_plane(LineSample { line: line as f32, sample });
                    seen = Rect {
                        x0: seen.x0.min(p.x),
                        y0: seen.y0.min(p.y),
                        x1: seen.x1.max(p.x),
                        y1: seen.y1.max(p.y),
                    };
                }
            }
            let view = geometry.field_of_view();
            for (a, b) in [(view.x0, seen.x0), (view.y0, seen.y0), (view.x1, seen.x1), (view.y1, seen.y1)] {
                assert!((a - b).abs() < 0.02, "{view:?} against {seen:?}");
            }
        }
    }
}
