//! The network's input, sampled directly from a frame's payload.
//!
//! Scan conversion, log compression (if the frame's amplitude law requires it), letterboxing and normalisation are one
//! pass. The position of each input pixel among the samples is computed once per geometry, into a table; per frame, a
//! pixel is the weighted mean of the samples around its position, by the triangle of [`sonotrace_kernels::sample`].
//!
//! The half-width of the triangle is one sample, or the distance between input pixels if that is larger. On pictures this
//! is exactly the antialiased bilinear filter of Pillow's `Image.resize`, which training uses (except for Pillow's
//! rounding to bytes). In a sector the distance between lines grows with the radius, so that the lateral half-width
//! decreases with it; near the apex it is limited to [`SECTOR_HALF_LINES_MAX`].
//!
//! Grey levels are interpolated after the amplitude law was applied, as in a scanner's own scan conversion. The envelope
//! of IQ samples is computed sample by sample before, so that no phase is averaged.

use super::amplitude::GreyTable;
use super::budget::StepBudget;
use super::error::{VisionError, need};
use super::grid::InputGrid;
use core::ops::Range;
use sonotrace_hal::frame::{Domain, Frame, LINES_MAX, SAMPLES_MAX};
use sonotrace_hal::geometry::{Geometry, Raster};
use sonotrace_kernels::arch::Instructions;
use sonotrace_kernels::sample::{Filter, HalfLines, Lines, sample};
pub use sonotrace_kernels::sample::{Place as LutEntry, SECTOR_HALF_LINES_MAX};

/// How frames of one geometry are sampled. Belongs to the table that it filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    grid: InputGrid,
    geometry: Geometry,
    filter: Filter,
    instructions: Instructions,
}

impl Sampler {
    /// Returns the number of table entries for an input grid of `size` by `size`.
    pub const fn table_len(size: u32) -> usize {
        size as usize * size as usize
    }

    /// Computes the grid of a frame's geometry and fills `table` with the position of each input pixel, once per
    /// geometry.
    ///
    /// # Errors
    /// As [`Self::new`] and [`Self::fill`].
    pub fn build(frame: &Frame, size: u32, table: &mut [LutEntry]) -> Result<Self, VisionError> {
        let sampler = Self::new(frame, size)?;
        sampler.fill(0..size, table)?;
        Ok(sampler)
    }

    /// Computes the grid of a frame's geometry. The table is filled by [`Self::fill`].
    ///
    /// # Errors
    /// [`VisionError::Unsupported`] for radio-frequency frames, [`VisionError::Mismatch`] for a frame whose geometry
    /// contradicts its lines, samples or domain, [`VisionError::Range`] for an invalid grid size.
    pub fn new(frame: &Frame, size: u32) -> Result<Self, VisionError> {
        Self::on_grid(frame, InputGrid::new(&frame.geometry, size)?)
    }

    /// As [`Self::new`], with the grid of another geometry of the same plane, so that its millimetres stay where they are. Pixels
    /// outside the frame's field are black, and what is beyond the grid is not sampled.
    ///
    /// # Errors
    /// As [`Self::new`]; [`VisionError::Unsupported`] for a picture, whose grid is its own.
    pub fn on_grid(frame: &Frame, grid: InputGrid) -> Result<Self, VisionError> {
        check_domain(frame)?;
        let is_picture = matches!(frame.geometry, Geometry::Raster(_));
        if is_picture && grid != InputGrid::new(&frame.geometry, grid.size())? {
            return Err(VisionError::Unsupported { what: "a picture on the grid of another one" });
        }
        let filter = filter(&frame.geometry, &grid);
        Ok(Self { grid, geometry: frame.geometry, filter, instructions: Instructions::best() })
    }

    /// Chooses the instruction set of the kernels, instead of the fastest. The results do not depend on it.
    pub fn with_instructions(self, instructions: Instructions) -> Self {
        Self { instructions, ..self }
    }

    /// Fills some `rows` of the table (within the grid's side). Rows do not depend on each other; when all are filled,
    /// frames of this geometry can be sampled. The work is `size` pixels per row.
    ///
    /// # Errors
    /// [`VisionError::Slice`] if `table` has fewer than [`Self::table_len`] entries.
    pub fn fill(&self, rows: Range<u32>, table: &mut [LutEntry]) -> Result<(), VisionError> {
        let (grid, side) = (&self.grid, self.grid.size() as usize);
        need("sampling table", table.len(), side * side)?;
        let (lines, samples) = counts(&self.geometry);
        let (lines, samples) = (lines as usize, samples as usize);
        for y in rows.start..rows.end.min(grid.size()) {
            let mut outside = 0;
            for (x, entry) in table[y as usize * side..][..side].iter_mut().enumerate().rev() {
                let x = x as u32;
                let is_valid = x < grid.columns() && y < grid.rows();
                let at = if is_valid { position(&self.geometry, grid, x.into(), y.into()) } else { None };
                outside = if at.is_some() { 0 } else { outside + 1 };
                *entry = match at {
                    Some(at) => LutEntry::new(&self.filter, at, samples, lines),
                    None => LutEntry::outside(outside),
                };
            }
        }
        Ok(())
    }

    /// Returns the input grid that is sampled.
    pub const fn grid(&self) -> &InputGrid {
        &self.grid
    }

    /// Returns the geometry that is sampled.
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns whether the table was built for this frame's geometry. Geometries are compared: the epoch number alone
    /// could be wrong.
    pub fn fits(&self, frame: &Frame) -> bool {
        self.geometry == frame.geometry
    }

    /// Samples the network's input: `out` receives `size * size` normalised grey levels, row by row. Pixels outside the
    /// scanned field, and the letterbox's padding, are black. `table` is the one that [`Self::fill`] filled.
    ///
    /// # Errors
    /// As [`Self::sampling`] and [`Sampling::step`].
    pub fn sample(
        &self,
        table: &[LutEntry],
        frame: &Frame,
        payload: &[u8],
        grey: &GreyTable,
        out: &mut [f32],
    ) -> Result<(), VisionError> {
        let sampling = self.sampling(table, frame, payload, grey)?;
        let mut cursor = SampleCursor::default();
        while !sampling.step(&mut cursor, out, &mut StepBudget::new(u32::MAX))? {}
        Ok(())
    }

    /// Checks a frame and returns what is needed to sample it in steps. `grey` was computed from this frame. The checks
    /// take constant time, so that a caller may repeat them for each step.
    ///
    /// # Errors
    /// [`VisionError::GeometryChanged`] if the table was built for another geometry, [`VisionError::Unsupported`] for
    /// other domains or a pending gain curve on a picture (the depths of its rows are not known),
    /// [`VisionError::Mismatch`] for a stride shorter than a line or a grey table of another domain,
    /// [`VisionError::Slice`] for a short payload or table.
    pub fn sampling<'a>(
        &'a self,
        table: &'a [LutEntry],
        frame: &Frame,
        payload: &'a [u8],
        grey: &'a GreyTable,
    ) -> Result<Sampling<'a>, VisionError> {
        check_domain(frame)?;
        if !self.fits(frame) {
            return Err(VisionError::GeometryChanged { epoch: frame.geometry_epoch });
        }
        let pixels = Self::table_len(self.grid.size());
        need("sampling table", table.len(), pixels)?;
        let lines = lines(frame, payload)?;
        if grey.curve().is_some() && frame.domain == Domain::ScanConverted {
            return Err(VisionError::Unsupported { what: "pending gain curve on a picture" });
        }
        if grey.is_iq() != (frame.domain == Domain::PolarIq) {
            return Err(VisionError::Mismatch { a: "domain", b: "amplitude_law" });
        }
        Ok(Sampling { sampler: self, table: &table[..pixels], lines, grey })
    }

    /// Returns the maximum of stored samples that one pixel reads: the product of both filter widths, `2 * half + 1`
    /// samples and lines. With 256 x 256 input pixels that is 65 x 65 for the largest picture, and never more than 8192
    /// x 33, in a field whose depth range is smaller than one pixel.
    pub fn pixel_samples_max(&self) -> u32 {
        let (lines, samples) = counts(&self.geometry);
        let most = |half: f32, count: u32| ((2.0 * half) as u32 + 1).min(count);
        most(self.filter.half_samples, samples) * most(self.filter.half_lines_max(), lines)
    }
}

/// Where sampling continues: the next pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampleCursor {
    pixel: usize,
}

/// A checked frame, ready to be sampled in steps.
pub struct Sampling<'a> {
    sampler: &'a Sampler,
    table: &'a [LutEntry],
    lines: Lines<'a>,
    grey: &'a GreyTable,
}

impl Sampling<'_> {
    /// Samples pixels from the cursor on until all are done (true) or the budget is used up. In each step of a frame
    /// `out` is the whole network input. The work is one unit for each stored sample that is read and for each pixel
    /// outside the field; the largest piece is one pixel, [`Sampler::pixel_samples_max`].
    ///
    /// # Errors
    /// [`VisionError::Slice`] for a short output.
    pub fn step(
        &self,
        cursor: &mut SampleCursor,
        out: &mut [f32],
        budget: &mut StepBudget,
    ) -> Result<bool, VisionError> {
        need("network input", out.len(), self.table.len())?;
        let rest = cursor.pixel.min(self.table.len())..self.table.len();
        let places = &self.table[rest.clone()];
        let Self { sampler: Sampler { filter, instructions, .. }, lines, grey, .. } = self;
        let (pixels, work) = grey
            .with(|grey| sample(*instructions, lines, filter, grey, places, &mut out[rest], budget.left()));
        cursor.pixel += pixels;
        budget.count(work);
        Ok(cursor.pixel >= self.table.len())
    }
}

/// Refuses domains that cannot be sampled, and frames whose fields contradict each other.
fn check_domain(frame: &Frame) -> Result<(), VisionError> {
    let picture = match frame.domain {
        Domain::PolarEnvelope | Domain::PolarIq => false,
        Domain::ScanConverted => true,
        Domain::PolarRf => return Err(VisionError::Unsupported { what: "RF frames (domain PolarRf)" }),
    };
    if picture != matches!(frame.geometry, Geometry::Raster(_)) {
        return Err(VisionError::Mismatch { a: "domain", b: "geometry" });
    }
    let (mut lines, mut samples) = counts(&frame.geometry);
    if let Geometry::Raster(Raster { content, .. }) = frame.geometry {
        let fits = |first: u32, count: u32, all: u32| {
            count > 0 && first.checked_add(count).is_some_and(|end| end <= all)
        };
        if !fits(content.row, content.rows, frame.lines) {
            return Err(VisionError::Mismatch { a: "lines", b: "content_rows" });
        }
        if !fits(content.column, content.columns, frame.samples) {
            return Err(VisionError::Mismatch { a: "samples", b: "content_columns" });
        }
        (lines, samples) = (frame.lines, frame.samples);
    }
    if lines != frame.lines || !(1..=LINES_MAX).contains(&lines) {
        return Err(VisionError::Mismatch { a: "lines", b: "geometry" });
    }
    if samples != frame.samples || !(1..=SAMPLES_MAX).contains(&samples) {
        return Err(VisionError::Mismatch { a: "samples", b: "geometry" });
    }
    Ok(())
}

/// Returns the lines and samples that show the scan; for a picture, the rows and columns of its content.
fn counts(geometry: &Geometry) -> (u32, u32) {
    match *geometry {
        Geometry::Linear(g) => (g.lines, g.samples),
        Geometry::Sector(g) => (g.lines, g.samples),
        Geometry::Raster(g) => (g.content.rows, g.content.columns),
    }
}

/// Returns the samples of a frame that show the scan.
fn lines<'a>(frame: &Frame, payload: &'a [u8]) -> Result<Lines<'a>, VisionError> {
    let (stride, sample_bytes) = (frame.stride_bytes as usize, frame.sample_type.bytes() as usize);
    let (lines, samples) = (frame.lines as usize, frame.samples as usize);
    if stride < samples * sample_bytes {
        return Err(VisionError::Mismatch { a: "samples", b: "stride_bytes" });
    }
    // A saturated product is longer than any payload.
    let needed = stride.saturating_mul(lines - 1).saturating_add(samples * sample_bytes);
    need("payload", payload.len(), needed)?;
    let Geometry::Raster(Raster { content, .. }) = frame.geometry else {
        return Ok(Lines { bytes: payload, lines, samples, stride });
    };
    let first = content.row as usize * stride + content.column as usize * sample_bytes;
    let (lines, samples) = (content.rows as usize, content.columns as usize);
    Ok(Lines { bytes: &payload[first..], lines, samples, stride })
}

/// Returns the half-widths of the filter along and across the lines.
fn filter(geometry: &Geometry, grid: &InputGrid) -> Filter {
    let at_least_one = |half: f64, most: u32| half.clamp(1.0, most.into()) as f32;
    let (half_samples, half_lines) = match *geometry {
        Geometry::Linear(g) => (
            at_least_one(grid.pitch_y() / f64::from(g.depth_step_mm), SAMPLES_MAX),
            HalfLines::Constant(at_least_one(grid.pitch_x() / f64::from(g.line_step_mm), LINES_MAX)),
        ),
        Geometry::Sector(g) => {
            let pitch = grid.nominal_pitch();
            let depth_step_mm = f64::from(g.depth_step_mm);
            let sector = HalfLines::Sector {
                reach: (pitch / (depth_step_mm * f64::from(g.angle_step_rad))) as f32,
                apex: ((f64::from(g.apex_radius_mm) + f64::from(g.first_depth_mm)) / depth_step_mm) as f32,
            };
            (at_least_one(pitch / depth_step_mm, SAMPLES_MAX), sector)
        }
        Geometry::Raster(g) => (
            at_least_one(f64::from(g.content.columns) / f64::from(grid.columns()), SAMPLES_MAX),
            HalfLines::Constant(at_least_one(f64::from(g.content.rows) / f64::from(grid.rows()), LINES_MAX)),
        ),
    };
    Filter { half_samples, half_lines }
}

/// Returns the position of the centre of a valid grid pixel among the samples, `[along the lines, across them]`; `None` outside
/// the field. Polar fields end at their outermost samples, pictures half a pixel beyond.
fn position(geometry: &Geometry, grid: &InputGrid, x: f64, y: f64) -> Option<[f64; 2]> {
    let [plane_x, plane_y] = grid.plane_f64(x, y);
    let (sample, line, samples, lines) = match *geometry {
        Geometry::Linear(g) => (
            (plane_y - f64::from(g.first_depth_mm)) / f64::from(g.depth_step_mm),
            (plane_x - f64::from(g.left_mm)) / f64::from(g.line_step_mm),
            g.samples,
            g.lines,
        ),
        Geometry::Sector(g) => {
            let down = plane_y + f64::from(g.apex_radius_mm);
            let radius = libm::sqrt(plane_x * plane_x + down * down);
            let angle = libm::atan2(plane_x, down);
            (
                (radius - f64::from(g.apex_radius_mm) - f64::from(g.first_depth_mm))
                    / f64::from(g.depth_step_mm),
                (angle - f64::from(g.first_angle_rad)) / f64::from(g.angle_step_rad),
                g.samples,
                g.lines,
            )
        }
        Geometry::Raster(g) => {
            // Relative to the first pixel of the content, where the source starts.
            let scale_x = f64::from(g.content.columns) / f64::from(grid.columns());
            let scale_y = f64::from(g.content.rows) / f64::from(grid.rows());
            return Some([(x + 0.5) * scale_x - 0.5, (y + 0.5) * scale_y - 0.5]);
        }
    };
    let is_inside =
        sample >= 0.0 && sample <= f64::from(samples - 1) && line >= 0.0 && line <= f64::from(lines - 1);
    is_inside.then_some([sample, line])
}
