//! The network's input, sampled straight from a frame's payload.
//!
//! Scan conversion, log compression where it is still due, letterboxing and normalisation happen in one pass. Where
//! each input pixel lies among the samples is worked out once per geometry, into a table; per frame, a pixel is the
//! weighted mean of the samples around that place.
//!
//! The weights are a separable triangle, `max(0, 1 - |i - centre| / half)` along the line and across the lines,
//! normalised to sum 1 over the samples that exist. Its half-width is one sample, or the distance between input pixels
//! where that is larger. On pictures this is exactly the antialiased bilinear filter of Pillow's `Image.resize`, which
//! training uses (but for Pillow's rounding to bytes). In a sector the distance between lines grows with the radius, and
//! so the lateral half-width falls with it; near the apex it is limited to [`SECTOR_HALF_LINES_MAX`].
//!
//! Interpolation is between grey levels, after the amplitude law, as in a scanner's own scan conversion. Of IQ samples
//! the envelope is taken first, sample by sample, so that no phase is averaged.

use super::amplitude::{GainCurve, GreyTable, IqLevels, Levels};
use super::{InputGrid, VisionError, need};
use bytemuck::{Pod, Zeroable};
use core::ops::Range;
use sonotrace_hal::frame::{Domain, Frame, LINES_MAX, SAMPLES_MAX};
use sonotrace_hal::geometry::{Geometry, Raster};

/// Most lines to either side that a pixel near a sector's apex is averaged over. Without a limit a pixel at the apex
/// itself would read every sample of the fan.
pub const SECTOR_HALF_LINES_MAX: f32 = 16.0;

/// Samples along a line whose weights are held at a time.
const TAPS_AT_ONCE: usize = 16;

/// Fractional bits of positions in the table.
const FRACTION: u32 = 16;
const ONE: i32 = 1 << FRACTION;
const OUTSIDE: LutEntry = LutEntry { sample_q16: i32::MIN, line_q16: i32::MIN };

/// Where an input pixel lies among the samples, in 1/65536 of a sample and of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct LutEntry {
    sample_q16: i32,
    line_q16: i32,
}

/// How frames of one geometry are sampled. Goes with the table that [`Sampler::build`] filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    grid: InputGrid,
    geometry: Geometry,
    half_samples: f32,
    half_lines: HalfLines,
}

/// Half-width of the filter across lines.
#[derive(Debug, Clone, Copy, PartialEq)]
enum HalfLines {
    Constant(f32),
    /// `reach / (apex + sample)`, all in samples of depth: the arc between lines grows with the radius.
    Sector {
        reach: f32,
        apex: f32,
    },
}

impl Sampler {
    /// Entries of the table for an input grid of `size` by `size`.
    pub const fn table_len(size: u32) -> usize {
        size as usize * size as usize
    }

    /// Works out the grid of a frame's geometry and fills `table` with the place of each input pixel. To be done once
    /// per geometry.
    ///
    /// # Errors
    /// As [`Self::new`] and [`Self::fill`].
    pub fn build(frame: &Frame, size: u32, table: &mut [LutEntry]) -> Result<Self, VisionError> {
        let sampler = Self::new(frame, size)?;
        sampler.fill(0..size, table)?;
        Ok(sampler)
    }

    /// Works out the grid of a frame's geometry. Goes with a table that [`Self::fill`] has filled.
    ///
    /// # Errors
    /// [`VisionError::Unsupported`] for radio-frequency frames, [`VisionError::Mismatch`] for a frame whose geometry does
    /// not go with its lines, samples or domain, [`VisionError::Range`] for a size that is no grid's.
    pub fn new(frame: &Frame, size: u32) -> Result<Self, VisionError> {
        check_domain(frame)?;
        let grid = InputGrid::new(&frame.geometry, size)?;
        let (half_samples, half_lines) = half_widths(&frame.geometry, &grid);
        Ok(Self { grid, geometry: frame.geometry, half_samples, half_lines })
    }

    /// Fills some `rows` of the table (within the grid's side). Once all have been filled, in any order, the table
    /// serves frames of this geometry; so its making can be spread over time.
    ///
    /// # Errors
    /// [`VisionError::Slice`] if `table` has fewer than [`Self::table_len`] entries.
    pub fn fill(&self, rows: Range<u32>, table: &mut [LutEntry]) -> Result<(), VisionError> {
        let (grid, side) = (&self.grid, self.grid.size() as usize);
        need("sampling table", table.len(), side * side)?;
        for y in rows.start..rows.end.min(grid.size()) {
            let row = &mut table[y as usize * side..][..side];
            for (x, entry) in (0u32..).zip(row) {
                *entry = if x < grid.columns() && y < grid.rows() {
                    place(&self.geometry, grid, x.into(), y.into())
                } else {
                    OUTSIDE
                };
            }
        }
        Ok(())
    }

    /// The input grid that is sampled.
    pub const fn grid(&self) -> &InputGrid {
        &self.grid
    }

    /// Whether the table serves this frame: its geometry is the one that the table was built for. (The epoch is the
    /// front end's word; this is the fact.)
    pub fn fits(&self, frame: &Frame) -> bool {
        self.geometry == frame.geometry
    }

    /// Samples the network's input: `out` receives `size * size` normalised grey levels, row by row. Pixels outside the
    /// scanned field, and the letterbox's padding, are black. `table` is the one filled by [`Self::build`].
    ///
    /// # Errors
    /// [`VisionError::GeometryChanged`] if the frame is not of the geometry built for, [`VisionError::Unsupported`] for
    /// other domains or a pending gain curve on a picture (its depths along the lines are not known),
    /// [`VisionError::Mismatch`] for a stride shorter than a line, [`VisionError::Slice`] for a short payload, table or
    /// output.
    pub fn sample(
        &self,
        table: &[LutEntry],
        frame: &Frame,
        payload: &[u8],
        grey: &GreyTable,
        out: &mut [f32],
    ) -> Result<(), VisionError> {
        check_domain(frame)?;
        if !self.fits(frame) {
            return Err(VisionError::GeometryChanged { epoch: frame.geometry_epoch });
        }
        let pixels = Self::table_len(self.grid.size());
        need("sampling table", table.len(), pixels)?;
        need("network input", out.len(), pixels)?;
        let source = Source::new(frame, payload)?;
        let depth = match (grey.curve(), self.depth()) {
            (Some(_), None) => {
                return Err(VisionError::Unsupported { what: "pending gain curve on a picture" });
            }
            (Some(curve), Some(depth)) => Some((curve, depth)),
            (None, _) => None,
        };
        let (table, out) = (&table[..pixels], &mut out[..pixels]);
        match grey.levels() {
            Levels::Bytes(levels) if frame.domain != Domain::PolarIq => {
                self.fill_input(table, &source, &Bytes(levels), grey, depth, out);
            }
            Levels::Iq(levels) if frame.domain == Domain::PolarIq => {
                self.fill_input(table, &source, levels, grey, depth, out);
            }
            _ => return Err(VisionError::Mismatch { a: "domain", b: "amplitude_law" }),
        }
        Ok(())
    }

    fn fill_input(
        &self,
        table: &[LutEntry],
        source: &Source<'_>,
        levels: &impl StoredLevels,
        grey: &GreyTable,
        depth: Option<(&GainCurve, [f32; 2])>,
        out: &mut [f32],
    ) {
        let outside = grey.outside();
        for (pixel, entry) in out.iter_mut().zip(table) {
            if *entry == OUTSIDE {
                *pixel = outside;
                continue;
            }
            let along = Taps::around(entry.sample_q16, self.half_samples, source.samples);
            let across = Taps::around(entry.line_q16, self.half_lines(along.centre_q16), source.lines);
            *pixel = match depth {
                None => source.mean(&along, &across, levels, grey),
                Some((curve, depth)) => source.compensated_mean(&along, &across, levels, grey, curve, depth),
            };
        }
    }

    fn half_lines(&self, sample_q16: i32) -> f32 {
        match self.half_lines {
            HalfLines::Constant(half) => half,
            HalfLines::Sector { reach, apex } => {
                // At the apex itself this is infinite, which the limit takes care of.
                let radius = apex + sample_q16 as f32 / ONE as f32;
                (reach / radius.max(0.0)).clamp(1.0, SECTOR_HALF_LINES_MAX)
            }
        }
    }

    /// Depth of the first sample and from one to the next; none for pictures.
    fn depth(&self) -> Option<[f32; 2]> {
        match self.geometry {
            Geometry::Linear(g) => Some([g.first_depth_mm, g.depth_step_mm]),
            Geometry::Sector(g) => Some([g.first_depth_mm, g.depth_step_mm]),
            Geometry::Raster(_) => None,
        }
    }
}

/// Refuses what is not sampled here, and frames whose parts contradict each other.
fn check_domain(frame: &Frame) -> Result<(), VisionError> {
    let picture = match frame.domain {
        Domain::PolarEnvelope | Domain::PolarIq => false,
        Domain::ScanConverted => true,
        Domain::PolarRf => return Err(VisionError::Unsupported { what: "RF frames (domain PolarRf)" }),
    };
    if picture != matches!(frame.geometry, Geometry::Raster(_)) {
        return Err(VisionError::Mismatch { a: "domain", b: "geometry" });
    }
    let (lines, samples) = match frame.geometry {
        Geometry::Linear(g) => (g.lines, g.samples),
        Geometry::Sector(g) => (g.lines, g.samples),
        Geometry::Raster(Raster { content, .. }) => {
            let fits = |first: u32, count: u32, all: u32| {
                count > 0 && first.checked_add(count).is_some_and(|end| end <= all)
            };
            if !fits(content.row, content.rows, frame.lines) {
                return Err(VisionError::Mismatch { a: "lines", b: "content_rows" });
            }
            if !fits(content.column, content.columns, frame.samples) {
                return Err(VisionError::Mismatch { a: "samples", b: "content_columns" });
            }
            (frame.lines, frame.samples)
        }
    };
    if lines != frame.lines || !(1..=LINES_MAX).contains(&lines) {
        return Err(VisionError::Mismatch { a: "lines", b: "geometry" });
    }
    if samples != frame.samples || !(1..=SAMPLES_MAX).contains(&samples) {
        return Err(VisionError::Mismatch { a: "samples", b: "geometry" });
    }
    Ok(())
}

/// Half-widths of the filter along and across the lines.
fn half_widths(geometry: &Geometry, grid: &InputGrid) -> (f32, HalfLines) {
    let at_least_one = |half: f64, most: u32| half.clamp(1.0, most.into()) as f32;
    match *geometry {
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
    }
}

/// Where the centre of a valid grid pixel lies among the samples. Polar fields end at their outermost samples, pictures
/// half a pixel beyond.
fn place(geometry: &Geometry, grid: &InputGrid, x: f64, y: f64) -> LutEntry {
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
            // From the content's own first pixel, which is where a source begins.
            let scale_x = f64::from(g.content.columns) / f64::from(grid.columns());
            let scale_y = f64::from(g.content.rows) / f64::from(grid.rows());
            return LutEntry {
                sample_q16: q16((x + 0.5) * scale_x - 0.5),
                line_q16: q16((y + 0.5) * scale_y - 0.5),
            };
        }
    };
    let inside =
        sample >= 0.0 && sample <= f64::from(samples - 1) && line >= 0.0 && line <= f64::from(lines - 1);
    if inside { LutEntry { sample_q16: q16(sample), line_q16: q16(line) } } else { OUTSIDE }
}

fn q16(position: f64) -> i32 {
    libm::rint(position * f64::from(ONE)) as i32
}

/// The samples along one axis that a pixel reads, with their weights. Always at least one, and always ones that exist,
/// whatever the table holds.
struct Taps {
    first: usize,
    last: usize,
    centre_q16: i32,
    per_half: f32,
}

impl Taps {
    fn around(centre_q16: i32, half: f32, count: usize) -> Self {
        // Half a sample beyond the outermost still leaves one with weight. All below 2^31: count <= 2^13, half <= 2^13.
        let centre_q16 = centre_q16.clamp(-ONE / 2, ((count as i32) << FRACTION) - ONE / 2);
        let half_q16 = (half * ONE as f32) as i32;
        let first = (centre_q16 - half_q16 + (ONE - 1)) >> FRACTION;
        let last = (centre_q16 + half_q16) >> FRACTION;
        Self {
            first: first.max(0) as usize,
            last: (last as usize).min(count - 1),
            centre_q16,
            per_half: 1.0 / half_q16 as f32,
        }
    }

    fn weight(&self, index: usize) -> f32 {
        let distance_q16 = (((index as i32) << FRACTION) - self.centre_q16).abs();
        1.0 - distance_q16 as f32 * self.per_half
    }

    fn sum(&self) -> f32 {
        (self.first..=self.last).map(|index| self.weight(index)).sum()
    }
}

/// The samples of a checked payload that show the scan.
struct Source<'a> {
    payload: &'a [u8],
    lines: usize,
    samples: usize,
    stride: usize,
    sample_bytes: usize,
}

impl<'a> Source<'a> {
    fn new(frame: &Frame, payload: &'a [u8]) -> Result<Self, VisionError> {
        let (stride, sample_bytes) = (frame.stride_bytes as usize, frame.sample_type.bytes() as usize);
        let (lines, samples) = (frame.lines as usize, frame.samples as usize);
        if stride < samples * sample_bytes {
            return Err(VisionError::Mismatch { a: "samples", b: "stride_bytes" });
        }
        // A saturated product is longer than any payload.
        let needed = stride.saturating_mul(lines - 1).saturating_add(samples * sample_bytes);
        need("payload", payload.len(), needed)?;
        let Geometry::Raster(Raster { content, .. }) = frame.geometry else {
            return Ok(Self { payload, lines, samples, stride, sample_bytes });
        };
        let first = content.row as usize * stride + content.column as usize * sample_bytes;
        let (lines, samples) = (content.rows as usize, content.columns as usize);
        Ok(Self { payload: &payload[first..], lines, samples, stride, sample_bytes })
    }

    fn line(&self, line: usize) -> &[u8] {
        debug_assert!(line < self.lines);
        &self.payload[line * self.stride..][..self.samples * self.sample_bytes]
    }

    fn mean(&self, along: &Taps, across: &Taps, levels: &impl StoredLevels, grey: &GreyTable) -> f32 {
        let mut total = 0.0;
        let mut weights = [0.0; TAPS_AT_ONCE];
        // Nearly always once; the weights serve all lines.
        for first in (along.first..=along.last).step_by(TAPS_AT_ONCE) {
            let count = (along.last + 1 - first).min(TAPS_AT_ONCE);
            let weights = &mut weights[..count];
            for (offset, weight) in weights.iter_mut().enumerate() {
                *weight = along.weight(first + offset);
            }
            for line in across.first..=across.last {
                let stored = self.line(line)[first * self.sample_bytes..].chunks_exact(self.sample_bytes);
                let mut sum = 0.0;
                for (weight, stored) in weights.iter().zip(stored) {
                    sum += weight * levels.finished(stored, grey);
                }
                total += across.weight(line) * sum;
            }
        }
        total / (along.sum() * across.sum())
    }

    /// As [`Self::mean`], with a gain that depends on the sample's depth. Sample by sample, so that the gain is looked
    /// up once for all lines.
    fn compensated_mean(
        &self,
        along: &Taps,
        across: &Taps,
        levels: &impl StoredLevels,
        grey: &GreyTable,
        curve: &GainCurve,
        [first_mm, step_mm]: [f32; 2],
    ) -> f32 {
        let mut total = 0.0;
        for sample in along.first..=along.last {
            let gain = curve.gain_at(first_mm + step_mm * sample as f32);
            let mut sum = 0.0;
            for line in across.first..=across.last {
                let stored = &self.line(line)[sample * self.sample_bytes..][..self.sample_bytes];
                sum += across.weight(line) * grey.finish(levels.level(stored) + gain);
            }
            total += along.weight(sample) * sum;
        }
        total / (along.sum() * across.sum())
    }
}

/// What a stored sample's bytes mean.
trait StoredLevels {
    /// As the grey table holds it: finished, or before the pending curve.
    fn level(&self, stored: &[u8]) -> f32;
    /// Finished, where no curve is pending.
    fn finished(&self, stored: &[u8], grey: &GreyTable) -> f32;
}

struct Bytes<'a>(&'a [f32; 256]);

impl StoredLevels for Bytes<'_> {
    fn level(&self, stored: &[u8]) -> f32 {
        self.0[usize::from(stored[0])]
    }

    fn finished(&self, stored: &[u8], _: &GreyTable) -> f32 {
        // The table of bytes is finished when it is made.
        self.level(stored)
    }
}

impl StoredLevels for IqLevels {
    fn level(&self, stored: &[u8]) -> f32 {
        self.of(i16::from_le_bytes([stored[0], stored[1]]), i16::from_le_bytes([stored[2], stored[3]]))
    }

    fn finished(&self, stored: &[u8], grey: &GreyTable) -> f32 {
        grey.finish(self.level(stored))
    }
}
