//! The network's square input grid, and its position in the probe's plane.
//!
//! The field of view is scaled to fit the square, isotropically up to the rounding of its extents to whole pixels, and
//! placed at the top left; the rest is padding. Training letterboxes its pictures by the same rule: with `scale = size /
//! max(W, H)` the valid area has `round(W * scale)` by `round(H * scale)` pixels (halves to even, as Python rounds).

use super::error::{VisionError, within};
use sonotrace_hal::geometry::{Geometry, Point};

/// A position on a grid or in the plane, `[x, y]`; the overlay stores contours as slices of these.
pub type Vertex = [f32; 2];

/// Largest side of an input grid.
pub const GRID_SIDE_MAX: u32 = sonotrace_format::INPUT_SIZE_MAX;

/// Largest ratio of the pixels of a grid and of the one over the whole field of view that still serve for each other.
const SERVES_WITHIN: f64 = 1.6;

/// The letterboxed input grid of one geometry. Grid coordinates are pixel indices, whole at pixel centres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputGrid {
    size: u32,
    columns: u32,
    rows: u32,
    x0: f64,
    y0: f64,
    pitch_x: f64,
    pitch_y: f64,
}

impl InputGrid {
    /// Computes the grid of `size` by `size` pixels over the geometry's field of view.
    ///
    /// # Errors
    /// [`VisionError::Range`] if `size` is not within `1..=GRID_SIDE_MAX`, or the field of view has no extent.
    pub fn new(geometry: &Geometry, size: u32) -> Result<Self, VisionError> {
        within("input grid side", size.into(), 1.0, GRID_SIDE_MAX.into())?;
        let view = View::of(geometry);
        within("width of the field of view", view.width, f64::MIN_POSITIVE, 1e9)?;
        within("height of the field of view", view.height, f64::MIN_POSITIVE, 1e9)?;
        let longest = view.shape[0].max(view.shape[1]);
        let fitted = |extent: f64| {
            // At most `size`, since the extent is at most the longest.
            (libm::rint(extent * (f64::from(size) / longest)) as u32).clamp(1, size)
        };
        let (columns, rows) = (fitted(view.shape[0]), fitted(view.shape[1]));
        Ok(Self {
            size,
            columns,
            rows,
            x0: view.x0,
            y0: view.y0,
            pitch_x: view.width / f64::from(columns),
            pitch_y: view.height / f64::from(rows),
        })
    }

    /// Returns the side of the square, pixels.
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// Returns the columns of the valid area, from the left; the rest is padding.
    pub const fn columns(&self) -> u32 {
        self.columns
    }

    /// Returns the rows of the valid area, from the top; the rest is padding.
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// Returns the width of a pixel, in the plane's unit.
    pub const fn pitch_x(&self) -> f64 {
        self.pitch_x
    }

    /// Returns the height of a pixel, in the plane's unit.
    pub const fn pitch_y(&self) -> f64 {
        self.pitch_y
    }

    /// Returns whether this grid still serves where the natural one is `other`: its pixels are neither much smaller nor much larger.
    pub fn serves_for(&self, other: &Self) -> bool {
        let ratio = self.nominal_pitch() / other.nominal_pitch();
        (1.0 / SERVES_WITHIN..=SERVES_WITHIN).contains(&ratio)
    }

    /// Returns the pitch before the extents were rounded to whole pixels: that of an unrounded, isotropic grid.
    pub(super) fn nominal_pitch(&self) -> f64 {
        let width = self.pitch_x * f64::from(self.columns);
        let height = self.pitch_y * f64::from(self.rows);
        width.max(height) / f64::from(self.size)
    }

    /// Returns the plane's point at a grid position (also outside the valid area).
    pub fn to_plane(&self, at: Vertex) -> Point {
        let [x, y] = self.plane_f64(at[0].into(), at[1].into());
        Point { x: x as f32, y: y as f32 }
    }

    /// Returns the grid position of a point of the plane; [`Self::contains`] tells whether it is on the valid area.
    pub fn to_grid(&self, point: Point) -> Vertex {
        [
            ((f64::from(point.x) - self.x0) / self.pitch_x - 0.5) as f32,
            ((f64::from(point.y) - self.y0) / self.pitch_y - 0.5) as f32,
        ]
    }

    /// Returns whether a grid position is on the valid area, edges included. False for NaN.
    pub fn contains(&self, at: Vertex) -> bool {
        at[0] >= -0.5
            && at[0] <= self.columns as f32 - 0.5
            && at[1] >= -0.5
            && at[1] <= self.rows as f32 - 0.5
    }

    pub(super) fn plane_f64(&self, x: f64, y: f64) -> [f64; 2] {
        [self.x0 + (x + 0.5) * self.pitch_x, self.y0 + (y + 0.5) * self.pitch_y]
    }
}

/// Maps a position from one grid of square pixels to another over the same field: with 64 mask pixels over 256 input
/// pixels, `rescale(at, 4.0)` maps from the mask to the input grid.
pub fn rescale(at: Vertex, factor: f32) -> Vertex {
    [(at[0] + 0.5) * factor - 0.5, (at[1] + 0.5) * factor - 0.5]
}

/// Field of view in double precision. `shape` has the aspect ratio of the grid.
struct View {
    x0: f64,
    y0: f64,
    width: f64,
    height: f64,
    shape: [f64; 2],
}

impl View {
    fn of(geometry: &Geometry) -> Self {
        let Geometry::Raster(g) = geometry else {
            let rect = geometry.field_of_view();
            let (x0, y0) = (f64::from(rect.x0), f64::from(rect.y0));
            let (width, height) = (f64::from(rect.x1) - x0, f64::from(rect.y1) - y0);
            return Self { x0, y0, width, height, shape: [width, height] };
        };
        let (pitch_x, pitch_y) = (f64::from(g.pitch_x), f64::from(g.pitch_y));
        let pixels = [f64::from(g.content.columns), f64::from(g.content.rows)];
        let (width, height) = (pixels[0] * pitch_x, pixels[1] * pitch_y);
        Self {
            x0: f64::from(g.left) + (f64::from(g.content.column) - 0.5) * pitch_x,
            y0: f64::from(g.top) + (f64::from(g.content.row) - 0.5) * pitch_y,
            width,
            height,
            // Square pixels are counted, so that the last bit of the pitch cannot decide how a half is rounded.
            shape: if pitch_x == pitch_y { pixels } else { [width, height] },
        }
    }
}
