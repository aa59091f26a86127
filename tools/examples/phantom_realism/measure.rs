//! First-order statistics of a picture, and the size of its speckle.

use crate::picture::{ATRIUM, CAVITY, Fan, MUSCLE, Picture};
use anyhow::Result;

/// Grey values up to this count as black.
const BLACK: f32 = 10.0;
/// Side of the polar grid that speckle is measured on.
const GRID: usize = 256;
/// Half the window, across and along, whose mean is subtracted before the correlation.
const WINDOW: (usize, usize) = (22, 16);
/// Largest lag, in grid steps.
const LAGS: usize = 24;

/// Mean and standard deviation of a region's grey.
#[derive(Debug, Clone, Copy, Default)]
pub struct Region {
    /// Mean.
    pub mean: f32,
    /// Standard deviation.
    pub deviation: f32,
}

/// Speckle of a region, without its slow changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Speckle {
    /// Standard deviation in grey values.
    pub deviation: f32,
    /// Full width at half maximum of the autocovariance along the beam, in percent of the depth.
    pub along_percent: f32,
    /// The same across the beam, in degrees.
    pub across_deg: f32,
}

/// All measures of a picture.
#[derive(Debug, Clone)]
pub struct Measures {
    /// The whole sector.
    pub sector: Region,
    /// Black share of the sector.
    pub black: f32,
    /// 5th, 25th, 50th, 75th and 95th percentile of the sector.
    pub percentiles: [f32; 5],
    /// The left ventricle's cavity.
    pub cavity: Region,
    /// Its muscle.
    pub muscle: Region,
    /// The left atrium's cavity.
    pub atrium: Region,
    /// Speckle in the ventricle's cavity.
    pub cavity_speckle: Speckle,
    /// Speckle in the muscle.
    pub muscle_speckle: Speckle,
}

impl Measures {
    /// Measures a picture.
    pub fn of(picture: &Picture) -> Result<Self> {
        let fan = picture.fan()?;
        let inside =
            |at: usize| fan.contains((at % picture.width) as f32 + 0.5, (at / picture.width) as f32 + 0.5);
        let labelled = |label: u8| -> Vec<f32> {
            let pixels = picture.grey.iter().zip(&picture.labels);
            pixels.filter(|(_, own)| **own == label).map(|(grey, _)| f32::from(*grey)).collect()
        };
        let mut sector: Vec<f32> =
            (0..picture.grey.len()).filter(|at| inside(*at)).map(|at| f32::from(picture.grey[at])).collect();
        sector.sort_by(f32::total_cmp);
        let percentile = |percent: usize| sector[(sector.len() - 1) * percent / 100];
        let polar = Polar::new(picture, &fan);
        Ok(Self {
            sector: region(&sector),
            black: sector.iter().filter(|grey| **grey <= BLACK).count() as f32 / sector.len() as f32,
            percentiles: [5, 25, 50, 75, 95].map(percentile),
            cavity: region(&labelled(CAVITY)),
            muscle: region(&labelled(MUSCLE)),
            atrium: region(&labelled(ATRIUM)),
            cavity_speckle: polar.speckle(CAVITY, &fan),
            muscle_speckle: polar.speckle(MUSCLE, &fan),
        })
    }
}

fn region(values: &[f32]) -> Region {
    let n = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / n;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / n;
    Region { mean, deviation: variance.sqrt() }
}

/// A picture on a grid of angle (rows) and range (columns).
struct Polar {
    grey: Vec<f32>,
    labels: Vec<u8>,
}

impl Polar {
    fn new(picture: &Picture, fan: &Fan) -> Self {
        let (mut grey, mut labels) = (Vec::with_capacity(GRID * GRID), Vec::with_capacity(GRID * GRID));
        for at in 0..GRID * GRID {
            let angle =
                fan.first_rad + (fan.last_rad - fan.first_rad) * (at / GRID) as f32 / (GRID - 1) as f32;
            let radius = fan.radius_px * (at % GRID) as f32 / (GRID - 1) as f32;
            let (x, y) = (fan.apex.0 + radius * angle.sin(), fan.apex.1 + radius * angle.cos());
            let value = picture.grey_at(x, y);
            labels.push(if value.is_some() { picture.label_at(x, y) } else { 0 });
            grey.push(value.unwrap_or(0.0));
        }
        Self { grey, labels }
    }

    /// Autocovariance of the deviation from the window's mean, both over the region alone.
    fn speckle(&self, label: u8, fan: &Fan) -> Speckle {
        let of_region = |row: usize, column: usize| {
            let at = row * GRID + column;
            (self.labels[at] == label).then_some(self.grey[at])
        };
        let mut deviation = vec![None; GRID * GRID];
        for row in 0..GRID {
            for column in 0..GRID {
                let Some(own) = of_region(row, column) else { continue };
                let (mut sum, mut count) = (0.0, 0.0);
                for r in row.saturating_sub(WINDOW.0)..(row + WINDOW.0 + 1).min(GRID) {
                    for c in column.saturating_sub(WINDOW.1)..(column + WINDOW.1 + 1).min(GRID) {
                        if let Some(value) = of_region(r, c) {
                            sum += value;
                            count += 1.0;
                        }
                    }
                }
                deviation[row * GRID + column] = Some(own - sum / count);
            }
        }
        let covariance = |lag_rows: usize, lag_columns: usize| {
            let (mut sum, mut count) = (0.0f32, 0.0f32);
            for row in 0..GRID - lag_rows {
                for column in 0..GRID - lag_columns {
                    let other = (row + lag_rows) * GRID + column + lag_columns;
                    let pair = (deviation[row * GRID + column], deviation[other]);
                    if let (Some(a), Some(b)) = pair {
                        sum += a * b;
                        count += 1.0;
                    }
                }
            }
            sum / count.max(1.0)
        };
        let degrees = (fan.last_rad - fan.first_rad).to_degrees();
        Speckle {
            deviation: covariance(0, 0).sqrt(),
            along_percent: 100.0 / (GRID - 1) as f32 * width_at_half(|lag| covariance(0, lag)),
            across_deg: degrees / (GRID - 1) as f32 * width_at_half(|lag| covariance(lag, 0)),
        }
    }
}

/// Twice the lag at which a covariance has fallen to half its value at lag 0; infinite if it never does.
fn width_at_half(covariance: impl Fn(usize) -> f32) -> f32 {
    let half = 0.5 * covariance(0);
    let mut last = 2.0 * half;
    for lag in 1..=LAGS {
        let here = covariance(lag);
        if here < half {
            return 2.0 * (lag as f32 - (half - here) / (last - here));
        }
        last = here;
    }
    f32::INFINITY
}

/// Prints one row for each measure, one column for each picture.
pub fn print_table(pictures: &[Picture], measures: &[Measures]) {
    print!("{:<38}", "");
    pictures.iter().for_each(|picture| print!("{:>20}", picture.name));
    println!();
    type Column = fn(&Measures) -> f32;
    let rows: [(&str, Column); 21] = [
        ("sector: mean grey", |m| m.sector.mean),
        ("sector: standard deviation", |m| m.sector.deviation),
        ("sector: black (grey <= 10), %", |m| 100.0 * m.black),
        ("sector: 5th percentile", |m| m.percentiles[0]),
        ("sector: 25th percentile", |m| m.percentiles[1]),
        ("sector: median", |m| m.percentiles[2]),
        ("sector: 75th percentile", |m| m.percentiles[3]),
        ("sector: 95th percentile", |m| m.percentiles[4]),
        ("LV cavity: mean grey", |m| m.cavity.mean),
        ("LV cavity: standard deviation", |m| m.cavity.deviation),
        ("LV muscle: mean grey", |m| m.muscle.mean),
        ("LV muscle: standard deviation", |m| m.muscle.deviation),
        ("LA cavity: mean grey", |m| m.atrium.mean),
        ("LA cavity: standard deviation", |m| m.atrium.deviation),
        ("contrast, muscle minus LV cavity", |m| m.muscle.mean - m.cavity.mean),
        ("speckle in LV cavity: deviation", |m| m.cavity_speckle.deviation),
        ("speckle in LV cavity: along, % depth", |m| m.cavity_speckle.along_percent),
        ("speckle in LV cavity: across, degrees", |m| m.cavity_speckle.across_deg),
        ("speckle in muscle: deviation", |m| m.muscle_speckle.deviation),
        ("speckle in muscle: along, % depth", |m| m.muscle_speckle.along_percent),
        ("speckle in muscle: across, degrees", |m| m.muscle_speckle.across_deg),
    ];
    for (name, column) in rows {
        print!("{name:<38}");
        measures.iter().for_each(|own| print!("{:>20.2}", column(own)));
        println!();
    }
}
