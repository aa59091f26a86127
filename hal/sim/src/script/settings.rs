//! The settings at the head of a script.

use crate::config::{Anatomy, Output, Probe, QUIET_NOISE_DB, SimConfig};
use crate::echo::Beam;
use crate::scanner::Chain;

/// The probe, without the opening of its sector, which can change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScriptProbe {
    /// A phased array.
    Phased,
    /// A curved array.
    Convex {
        /// Radius of its face.
        radius_mm: f32,
    },
    /// A linear array.
    Linear {
        /// Distance from its first line to its last.
        width_mm: f32,
    },
}

impl ScriptProbe {
    /// Whether its lines are parallel: then positions across are millimetres, not degrees.
    pub const fn is_linear(self) -> bool {
        matches!(self, Self::Linear { .. })
    }
}

/// The settings at the head of a script.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// What is scanned.
    pub anatomy: Anatomy,
    /// The probe, which also determines beam and noise.
    pub probe: ScriptProbe,
    /// Seed of all randomness.
    pub seed: u64,
    /// Scan lines.
    pub lines: u32,
    /// Samples per line.
    pub samples: u32,
    /// Depth of the last sample.
    pub depth_mm: f32,
    /// Full opening of the sector; 0 for a linear probe.
    pub sector_deg: f32,
    /// Frames per second.
    pub rate_hz: f32,
    /// Cycles of the anatomy's motion per minute.
    pub cycles_per_min: f32,
    /// Dynamic range.
    pub range_db: f32,
    /// Gain.
    pub gain_db: f32,
    /// What the samples are.
    pub output: Output,
    /// Density of the scatterers, relative to full density.
    pub density: f32,
    /// Distance of liver from the sides of the field of view at the start of the scan; `None` for the phantom's own tissue.
    pub liver_beside_mm: Option<f32>,
    /// Length of the scan.
    pub duration_s: f64,
}

impl Settings {
    /// The defaults for an anatomy with a probe, or with its usual probe.
    pub fn new(anatomy: Anatomy, probe: Option<ScriptProbe>) -> Self {
        let (config, own) = match anatomy {
            Anatomy::Heart => (SimConfig::default(), ScriptProbe::Phased),
            Anatomy::FetalHead => (SimConfig::fetal_head(), ScriptProbe::Convex { radius_mm: 60.0 }),
        };
        let probe = probe.unwrap_or(own);
        Self {
            anatomy,
            probe,
            seed: config.seed,
            lines: config.lines,
            samples: config.samples,
            depth_mm: config.depth_mm,
            sector_deg: match probe {
                ScriptProbe::Phased => 75.0,
                ScriptProbe::Convex { .. } => 70.0,
                ScriptProbe::Linear { .. } => 0.0,
            },
            rate_hz: config.frame_rate_hz,
            cycles_per_min: config.heart_rate_bpm,
            range_db: config.range_db,
            gain_db: config.gain_db,
            output: config.output,
            density: config.density,
            liver_beside_mm: config.liver_beside_mm,
            duration_s: 10.0,
        }
    }

    /// The simulator's configuration at the start of the scan.
    pub fn config(&self) -> SimConfig {
        let base = match self.anatomy {
            Anatomy::Heart => SimConfig::default(),
            Anatomy::FetalHead => SimConfig::fetal_head(),
        };
        let half_angle_rad = half_angle_rad(self.sector_deg);
        let (probe, beam, noise_db) = match self.probe {
            ScriptProbe::Phased => {
                (Probe::Phased { half_angle_rad }, Beam::default(), Chain::default().noise_db)
            }
            ScriptProbe::Convex { radius_mm } => {
                (Probe::Convex { radius_mm, half_angle_rad }, Beam::CONVEX, QUIET_NOISE_DB)
            }
            ScriptProbe::Linear { width_mm } => (Probe::Linear { width_mm }, Beam::LINEAR, QUIET_NOISE_DB),
        };
        SimConfig {
            seed: self.seed,
            probe,
            lines: self.lines,
            samples: self.samples,
            depth_mm: self.depth_mm,
            frame_rate_hz: self.rate_hz,
            heart_rate_bpm: self.cycles_per_min,
            range_db: self.range_db,
            gain_db: self.gain_db,
            output: self.output,
            density: self.density,
            liver_beside_mm: self.liver_beside_mm,
            beam,
            chain: Chain { noise_db, ..base.chain },
            ..base
        }
    }

    /// Frames of the scan.
    pub fn frames(&self) -> u64 {
        (self.duration_s * f64::from(self.rate_hz)) as u64
    }
}

/// Half of a sector's opening.
pub(super) fn half_angle_rad(sector_deg: f32) -> f32 {
    0.5 * sector_deg * core::f32::consts::PI / 180.0
}
