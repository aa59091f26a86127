//! A grey picture of a sector with labels, from a file or from the simulator.

use anyhow::{Context, Result, bail, ensure};
use sonotrace_hal::geometry::{Geometry, Point};
use sonotrace_sim::{Simulator, heart};
use std::path::Path;

/// Label of the left ventricle's cavity, as in CAMUS.
pub const CAVITY: u8 = 1;
/// Label of the left ventricle's muscle.
pub const MUSCLE: u8 = 2;
/// Label of the left atrium's cavity.
pub const ATRIUM: u8 = 3;

/// Longest side of the CAMUS pictures, and so of the simulated ones.
const LONGEST_PX: f32 = 320.0;
/// Pixels up to this are outside the sector: JPEG leaves no exact black.
const LIT: u8 = 10;

/// A picture and its labels, row by row.
pub struct Picture {
    /// Its name in the table.
    pub name: String,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Grey values.
    pub grey: Vec<u8>,
    /// Labels: 0, [`CAVITY`], [`MUSCLE`] or [`ATRIUM`].
    pub labels: Vec<u8>,
}

/// The sector found in a picture, in pixels.
#[derive(Debug, Clone, Copy)]
pub struct Fan {
    /// The crossing of the edges.
    pub apex: (f32, f32),
    /// Direction of the left edge, from straight down.
    pub first_rad: f32,
    /// Direction of the right edge.
    pub last_rad: f32,
    /// From the apex to the bottom.
    pub radius_px: f32,
}

impl Picture {
    /// Reads `NAME.jpg` and its mask from a folder in CAMUS' layout.
    pub fn load(camus: &Path, name: &str) -> Result<Self> {
        let file = camus.join("images").join(format!("{name}.jpg"));
        let image =
            image::open(&file).with_context(|| format!("cannot read {}", file.display()))?.into_luma8();
        let file = camus.join("masks").join(format!("{name}.png"));
        let mask =
            image::open(&file).with_context(|| format!("cannot read {}", file.display()))?.into_luma8();
        ensure!(
            image.dimensions() == mask.dimensions(),
            "{name}: the image is {:?} pixels, its mask {:?}",
            image.dimensions(),
            mask.dimensions()
        );
        ensure!(
            image.width() >= 2 && image.height() >= 2,
            "{name}: {:?} pixels are too few",
            image.dimensions()
        );
        Ok(Self {
            name: name.to_owned(),
            width: image.width() as usize,
            height: image.height() as usize,
            grey: image.into_raw(),
            labels: mask.into_raw(),
        })
    }

    /// Scan-converts a simulated frame (bilinear) and paints its labels.
    pub fn simulate(simulator: &Simulator, index: u64) -> Result<Self> {
        let frame = simulator.frame(index);
        let checked = frame.descriptor.check()?;
        frame.descriptor.check_payload(&frame.payload)?;
        let geometry: Geometry = checked.geometry;
        let view = geometry.field_of_view();
        let pitch_mm = view.width().max(view.height()) / LONGEST_PX;
        let (width, height) = ((view.width() / pitch_mm) as usize, (view.height() / pitch_mm) as usize);
        let (mut grey, mut labels) = (vec![0; width * height], vec![0; width * height]);
        let (lines, samples) = (checked.lines as usize, checked.samples as usize);
        for at in 0..width * height {
            let point = Point {
                x: view.x0 + pitch_mm * ((at % width) as f32 + 0.5),
                y: view.y0 + pitch_mm * ((at / width) as f32 + 0.5),
            };
            let place = geometry.to_line_sample(point);
            if let Some(value) = bilinear(&frame.payload, lines, samples, place.line, place.sample) {
                grey[at] = value.round() as u8;
            }
            for object in &frame.truth {
                let label = match object.id {
                    heart::LEFT_VENTRICLE => CAVITY,
                    heart::LEFT_ATRIUM => ATRIUM,
                    heart::MYOCARDIUM => MUSCLE,
                    _ => continue,
                };
                if object.contains(point) {
                    labels[at] = label;
                }
            }
        }
        Ok(Self { name: format!("simulated frame {index}"), width, height, grey, labels })
    }

    /// Finds the sector: a straight line through the left-most lit pixels of the upper rows, another through the
    /// right-most, and their crossing.
    pub fn fan(&self) -> Result<Fan> {
        let rows = self.height / 8..self.height * 6 / 10;
        let lit = |x: usize, y: usize| self.grey[y * self.width + x] > LIT;
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for y in rows {
            let mut columns = (0..self.width).filter(|x| lit(*x, y));
            if let Some(first) = columns.next() {
                left.push((y as f32, first as f32));
                right.push((y as f32, columns.next_back().unwrap_or(first) as f32 + 1.0));
            }
        }
        let edges = straight_line(left).zip(straight_line(right));
        let Some(((x_left, slope_left), (x_right, slope_right))) = edges else {
            bail!("{}: no sector found", self.name);
        };
        ensure!(slope_right - slope_left > 0.2, "{}: the edges do not fan out", self.name);
        let y = (x_left - x_right) / (slope_right - slope_left);
        let apex = (x_left + slope_left * y, y);
        let column = (apex.0 as usize).min(self.width - 1);
        let bottom =
            (0..self.height).rev().find(|y| lit(column, *y)).context("no lit pixel under the apex")?;
        Ok(Fan {
            apex,
            first_rad: slope_left.atan(),
            last_rad: slope_right.atan(),
            radius_px: bottom as f32 + 1.0 - apex.1,
        })
    }

    /// The grey value between pixels (pixel centres at halves), if inside.
    pub fn grey_at(&self, x: f32, y: f32) -> Option<f32> {
        bilinear(&self.grey, self.height, self.width, y - 0.5, x - 0.5)
    }

    /// The label of the pixel at a point; 0 outside.
    pub fn label_at(&self, x: f32, y: f32) -> u8 {
        if x < 0.0 || y < 0.0 || x as usize >= self.width || y as usize >= self.height {
            return 0;
        }
        self.labels[y as usize * self.width + x as usize]
    }
}

impl Fan {
    /// Whether a pixel lies inside.
    pub fn contains(&self, x: f32, y: f32) -> bool {
        let (dx, dy) = (x - self.apex.0, y - self.apex.1);
        let angle = dx.atan2(dy);
        dx.hypot(dy) < self.radius_px && angle > self.first_rad && angle < self.last_rad
    }
}

/// Least squares for `x = a + b y`, repeated without the points far from the line.
fn straight_line(mut points: Vec<(f32, f32)>) -> Option<(f32, f32)> {
    let mut line = None;
    for far_px in [4.0, 2.0, f32::MAX] {
        if points.len() < 10 {
            return None;
        }
        let n = points.len() as f32;
        let (mean_y, mean_x) =
            (points.iter().map(|p| p.0).sum::<f32>() / n, points.iter().map(|p| p.1).sum::<f32>() / n);
        let along: f32 = points.iter().map(|p| (p.0 - mean_y) * (p.1 - mean_x)).sum();
        let spread: f32 = points.iter().map(|p| (p.0 - mean_y) * (p.0 - mean_y)).sum();
        let slope = along / spread;
        let start = mean_x - slope * mean_y;
        line = Some((start, slope));
        points.retain(|(y, x)| (start + slope * y - x).abs() < far_px);
    }
    line
}

/// Bilinear interpolation in `rows` of `columns`; none outside the outermost centres.
fn bilinear(values: &[u8], rows: usize, columns: usize, row: f32, column: f32) -> Option<f32> {
    if row < 0.0 || column < 0.0 || row > (rows - 1) as f32 || column > (columns - 1) as f32 {
        return None;
    }
    let (top, left) = ((row as usize).min(rows - 2), (column as usize).min(columns - 2));
    let (down, right) = (row - top as f32, column - left as f32);
    let value = |y: usize, x: usize| f32::from(values[y * columns + x]);
    let upper = value(top, left) * (1.0 - right) + value(top, left + 1) * right;
    let lower = value(top + 1, left) * (1.0 - right) + value(top + 1, left + 1) * right;
    Some(upper * (1.0 - down) + lower * down)
}
