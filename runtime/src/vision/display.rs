//! The device's display raster, and a contour on it and in the probe's plane.

use super::error::{VisionError, need, within};
use super::grid::{InputGrid, Vertex};
use sonotrace_hal::geometry::{Geometry, Point};

/// Largest side of a display raster, pixels.
pub const DISPLAY_SIDE_MAX: u32 = 16_384;

/// The raster on which the device draws, as its configuration declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// The frame's own pixels. Only for pictures.
    Source,
    /// A picture of this size into which the field of view is fitted, isotropically and centred.
    Raster {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
}

/// The position of display pixels in the plane. Display coordinates are pixel indices, whole at pixel centres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DisplayRaster {
    /// The plane's point at display position (0, 0).
    origin: [f64; 2],
    /// Plane units per display pixel.
    pitch: [f64; 2],
}

impl DisplayRaster {
    /// Computes the display of a geometry.
    ///
    /// # Errors
    /// [`VisionError::Unsupported`] for [`Display::Source`] with a polar geometry, [`VisionError::Range`] for a side
    /// that is not within `1..=DISPLAY_SIDE_MAX` or a field of view without extent.
    pub fn new(geometry: &Geometry, display: Display) -> Result<Self, VisionError> {
        let (width, height) = match (display, geometry) {
            (Display::Source, Geometry::Raster(g)) => {
                return Ok(Self {
                    origin: [g.left.into(), g.top.into()],
                    pitch: [g.pitch_x.into(), g.pitch_y.into()],
                });
            }
            (Display::Source, _) => {
                return Err(VisionError::Unsupported {
                    what: "display in source pixels for polar frames: declare a display raster",
                });
            }
            (Display::Raster { width, height }, _) => (width, height),
        };
        let width = within("display width", width.into(), 1.0, DISPLAY_SIDE_MAX.into())?;
        let height = within("display height", height.into(), 1.0, DISPLAY_SIDE_MAX.into())?;
        let view = geometry.field_of_view();
        let view_width = within("width of the field of view", view.width().into(), 1e-6, 1e9)?;
        let view_height = within("height of the field of view", view.height().into(), 1e-6, 1e9)?;
        let pitch = (view_width / width).max(view_height / height);
        let centre = [
            0.5 * (f64::from(view.x0) + f64::from(view.x1)),
            0.5 * (f64::from(view.y0) + f64::from(view.y1)),
        ];
        Ok(Self {
            origin: [centre[0] - 0.5 * (width - 1.0) * pitch, centre[1] - 0.5 * (height - 1.0) * pitch],
            pitch: [pitch, pitch],
        })
    }

    /// Returns the area of a display pixel, in the plane's unit.
    pub fn pixel_area(&self) -> f32 {
        (self.pitch[0] * self.pitch[1]) as f32
    }

    /// Returns the plane's point at a display position.
    pub fn to_plane(&self, at: Vertex) -> Point {
        Point {
            x: (self.origin[0] + f64::from(at[0]) * self.pitch[0]) as f32,
            y: (self.origin[1] + f64::from(at[1]) * self.pitch[1]) as f32,
        }
    }

    /// Returns the display position of a point of the plane.
    pub fn to_display(&self, point: Point) -> Vertex {
        [
            ((f64::from(point.x) - self.origin[0]) / self.pitch[0]) as f32,
            ((f64::from(point.y) - self.origin[1]) / self.pitch[1]) as f32,
        ]
    }
}

/// Maps a contour from the input grid to the display and to the plane: point `i` of `contour` becomes point `i` of
/// `display_px` and of `plane`. Both maps keep the orientation. If the geometry's scale is unknown, the plane's unit is
/// pixels, not millimetres.
///
/// # Errors
/// [`VisionError::Slice`] if an output is shorter than the contour.
pub fn map_contour(
    grid: &InputGrid,
    display: &DisplayRaster,
    contour: &[Vertex],
    display_px: &mut [Vertex],
    plane: &mut [Vertex],
) -> Result<(), VisionError> {
    need("display contour", display_px.len(), contour.len())?;
    need("plane contour", plane.len(), contour.len())?;
    for ((&at, px), mm) in contour.iter().zip(display_px).zip(plane) {
        let point = grid.to_plane(at);
        *px = display.to_display(point);
        *mm = [point.x, point.y];
    }
    Ok(())
}
