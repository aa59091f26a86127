//! The settings of a simulated scan, and the descriptor of its frames.

use crate::compose::{BesideLiver, Scaled, SharedPhantom};
use crate::echo::Beam;
use crate::field::Field;
use crate::liver::Liver;
use crate::scanner::Chain;
use crate::{fetal_head, heart};
use sonotrace_hal::frame::{
    Domain, FrameDescriptor, FrameError, GeometryKind, LAW_LINEAR, LAW_LOGARITHMIC, SampleType,
};

/// Noise of high-frequency probes, whose echoes are attenuated more: they transmit more power and have less noise.
pub(crate) const QUIET_NOISE_DB: f32 = -66.0;

/// Limits of the size of a body.
pub(crate) const SIZE_LIMITS: (f32, f32) = (0.5, 1.5);
/// Largest distance of liver from the field of view.
pub(crate) const LIVER_MAX_MM: f32 = 150.0;

/// The probe's shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Probe {
    /// Lines diverge from the middle of the face.
    Phased {
        /// Angle from the axis to the outermost line.
        half_angle_rad: f32,
    },
    /// Lines are perpendicular to a curved face.
    Convex {
        /// Radius of the face.
        radius_mm: f32,
        /// Angle from the axis to the outermost line.
        half_angle_rad: f32,
    },
    /// Parallel lines, the middle one on the axis.
    Linear {
        /// Distance from the first line to the last.
        width_mm: f32,
    },
}

/// The type of a frame's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Bytes, logarithmic over the dynamic range.
    Logarithmic,
    /// Bytes proportional to the envelope.
    Linear,
    /// In-phase and quadrature pairs, before envelope detection and video filter. White is an envelope of 32767.
    Iq,
}

/// What is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anatomy {
    /// A beating heart: see [`heart`].
    Heart,
    /// A swaying fetal head: see [`fetal_head`].
    FetalHead,
}

impl Anatomy {
    /// Names of its objects, in order of their numbers from 1.
    pub const fn object_names(self) -> &'static [&'static str] {
        match self {
            Self::Heart => &heart::OBJECT_NAMES,
            Self::FetalHead => &fetal_head::OBJECT_NAMES,
        }
    }

    /// The phantom, with a texture from `seed`.
    pub fn phantom(self, seed: u64) -> SharedPhantom {
        match self {
            Self::Heart => Box::new(heart::Heart::new(seed)),
            Self::FetalHead => Box::new(fetal_head::FetalHead::new(seed)),
        }
    }
}

/// The settings of a simulated scan.
#[derive(Debug, Clone, PartialEq)]
pub struct SimConfig {
    /// Seed of all randomness.
    pub seed: u64,
    /// What is scanned.
    pub anatomy: Anatomy,
    /// Size of the body relative to its usual size: all its distances from the middle of the probe's face.
    pub size: f32,
    /// Smallest distance from the sides of the field of view beyond which the body is liver, which a slide brings into view; `None`
    /// for the phantom's own tissue.
    pub liver_beside_mm: Option<f32>,
    /// The probe's shape.
    pub probe: Probe,
    /// Scan lines.
    pub lines: u32,
    /// Samples per line.
    pub samples: u32,
    /// Depth of the first sample.
    pub first_depth_mm: f32,
    /// Depth of the last sample.
    pub depth_mm: f32,
    /// Frames per second.
    pub frame_rate_hz: f32,
    /// Cycles of the anatomy's motion per minute: beats of the heart, sways of the head.
    pub heart_rate_bpm: f32,
    /// Dynamic range from black to white.
    pub range_db: f32,
    /// Overall gain.
    pub gain_db: f32,
    /// What the samples are.
    pub output: Output,
    /// Density of the scatterers, relative to the density that gives fully developed speckle at full resolution. The
    /// time of a frame is nearly proportional to it; the mean brightness does not depend on it. Frames of few lines and
    /// samples have large resolution cells and look the same with a tenth.
    pub density: f32,
    /// The transducer.
    pub beam: Beam,
    /// The receive chain.
    pub chain: Chain,
}

impl Default for SimConfig {
    /// A cardiac probe and a heart: 128 lines of 512 samples over 75 degrees and 150 mm, 30 frames per second, 70 beats
    /// per minute.
    fn default() -> Self {
        Self {
            seed: 1,
            anatomy: Anatomy::Heart,
            size: 1.0,
            liver_beside_mm: None,
            probe: Probe::Phased { half_angle_rad: 37.5 * core::f32::consts::PI / 180.0 },
            lines: 128,
            samples: 512,
            first_depth_mm: 1.0,
            depth_mm: 150.0,
            frame_rate_hz: 30.0,
            heart_rate_bpm: 70.0,
            range_db: 50.0,
            gain_db: 0.0,
            output: Output::Logarithmic,
            density: 1.0,
            beam: Beam::default(),
            chain: Chain::default(),
        }
    }
}

impl SimConfig {
    /// An abdominal probe and a fetal head: 128 lines of 512 samples over 70 degrees and 160 mm, 3.5 MHz, 20 frames per
    /// second, 5 sways per minute.
    pub fn fetal_head() -> Self {
        Self {
            anatomy: Anatomy::FetalHead,
            probe: Probe::Convex { radius_mm: 60.0, half_angle_rad: 35.0 * core::f32::consts::PI / 180.0 },
            depth_mm: 160.0,
            frame_rate_hz: 20.0,
            heart_rate_bpm: 5.0,
            beam: Beam::CONVEX,
            // No ribs at the sides, and less haze from a belly than from a chest.
            chain: Chain {
                noise_db: QUIET_NOISE_DB,
                edge_loss_db: 4.0,
                floor_db: -26.0,
                haze_db: -28.0,
                ..Chain::default()
            },
            ..Self::default()
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A number is outside its limits or not finite.
    #[error("simulator setting `{setting}` is {seen}, not within {min}..={max}")]
    Range {
        /// Name of the setting.
        setting: &'static str,
        /// The value found.
        seen: f32,
        /// Smallest value allowed.
        min: f32,
        /// Largest value allowed.
        max: f32,
    },
    /// The frames would be malformed.
    #[error("the simulated frames would be refused: {0}")]
    Frame(#[from] FrameError),
}

impl SimConfig {
    /// The scan lines, if all settings are within their limits.
    pub(crate) fn field(&self) -> Result<Field, SimError> {
        self.check()?;
        let geometry = self.descriptor().check()?.geometry;
        // `descriptor` makes only polar frames.
        let field = Field::of(geometry).ok_or(FrameError::Mismatch { a: "domain", b: "geometry" })?;
        Ok(field.with_density(self.density))
    }

    /// The body to scan.
    ///
    /// # Errors
    /// [`SimError`] names the setting that is out of its limits, and its value.
    pub fn phantom(&self) -> Result<SharedPhantom, SimError> {
        let field = self.field()?;
        let mut phantom = self.anatomy.phantom(self.seed);
        if self.size != 1.0 {
            phantom = Box::new(Scaled { inner: phantom, size: self.size });
        }
        if let Some(from_mm) = self.liver_beside_mm {
            phantom = Box::new(BesideLiver { inner: phantom, field, from_mm, liver: Liver::new(self.seed) });
        }
        Ok(phantom)
    }

    fn check(&self) -> Result<(), SimError> {
        let within = |setting, seen: f32, min: f32, max: f32| {
            // Written so that NaN fails.
            if seen >= min && seen <= max { Ok(()) } else { Err(SimError::Range { setting, seen, min, max }) }
        };
        if let Probe::Linear { width_mm } = self.probe {
            within("probe.width_mm", width_mm, 1.0, 200.0)?;
        }
        within("size", self.size, SIZE_LIMITS.0, SIZE_LIMITS.1)?;
        within("liver_beside_mm", self.liver_beside_mm.unwrap_or(0.0), 0.0, LIVER_MAX_MM)?;
        within("frame_rate_hz", self.frame_rate_hz, 1.0, 1000.0)?;
        within("heart_rate_bpm", self.heart_rate_bpm, 0.0, 300.0)?;
        within("depth_mm", self.depth_mm, 20.0, 400.0)?;
        within("first_depth_mm", self.first_depth_mm, 0.0, 0.5 * self.depth_mm)?;
        within("gain_db", self.gain_db, -60.0, 60.0)?;
        within("density", self.density, 0.01, 2.0)?;
        within("beam.frequency_mhz", self.beam.frequency_mhz, 0.5, 20.0)?;
        within("beam.speed_of_sound_m_s", self.beam.speed_of_sound_m_s, 1000.0, 2000.0)?;
        within("beam.pulse_mm", self.beam.pulse_mm, 0.02, 5.0)?;
        within("beam.divergence_rad", self.beam.divergence_rad, 1e-4, 0.2)?;
        within("beam.focus_mm", self.beam.focus_mm, 1.0, 1000.0)?;
        within("beam.aperture_mm", self.beam.aperture_mm, 0.0, 20.0)?;
        within("chain.attenuation_db_cm_mhz", self.chain.attenuation_db_cm_mhz, 0.0, 3.0)?;
        within("chain.compensated", self.chain.compensated, 0.0, 1.5)?;
        within("chain.noise_db", self.chain.noise_db, -200.0, 20.0)?;
        within("chain.floor_db", self.chain.floor_db, -200.0, 20.0)?;
        within("chain.haze_db", self.chain.haze_db, -200.0, 20.0)?;
        within("chain.reverberation_db", self.chain.reverberation_db, -200.0, 40.0)?;
        within("chain.reverberation_mm", self.chain.reverberation_mm, 0.1, 100.0)?;
        within("chain.side_lobe_db", self.chain.side_lobe_db, -200.0, 0.0)?;
        within("chain.contact_db", self.chain.contact_db, 0.0, 40.0)?;
        within("chain.edge_loss_db", self.chain.edge_loss_db, 0.0, 100.0)
    }

    /// The descriptor of every frame, except for the gain curve and the fields that change from frame to frame.
    pub(crate) fn descriptor(&self) -> FrameDescriptor {
        let (domain, sample_type, amplitude_law) = match self.output {
            Output::Logarithmic => (Domain::PolarEnvelope, SampleType::U8, LAW_LOGARITHMIC),
            Output::Linear => (Domain::PolarEnvelope, SampleType::U8, LAW_LINEAR),
            Output::Iq => (Domain::PolarIq, SampleType::I16Pair, LAW_LINEAR),
        };
        let stride_bytes = self.samples.saturating_mul(sample_type.bytes());
        let (geometry, apex_radius_mm, half_angle_rad, width_mm) = match self.probe {
            Probe::Phased { half_angle_rad } => (GeometryKind::Phased, 0.0, half_angle_rad, 0.0),
            Probe::Convex { radius_mm, half_angle_rad } => {
                (GeometryKind::Convex, radius_mm, half_angle_rad, 0.0)
            }
            Probe::Linear { width_mm } => (GeometryKind::Linear, 0.0, 0.0, width_mm),
        };
        FrameDescriptor {
            payload_bytes: self.lines.saturating_mul(stride_bytes),
            domain: domain as u32,
            sample_type: sample_type as u32,
            lines: self.lines,
            samples: self.samples,
            stride_bytes,
            geometry: geometry as u32,
            geometry_epoch: 1,
            apex_radius_mm,
            // Subtraction, because negation could give a negative zero.
            first_angle_rad: 0.0 - half_angle_rad,
            last_angle_rad: half_angle_rad,
            first_depth_mm: self.first_depth_mm,
            last_depth_mm: self.depth_mm,
            left_mm: 0.0 - 0.5 * width_mm,
            right_mm: 0.5 * width_mm,
            speed_of_sound_m_s: self.beam.speed_of_sound_m_s,
            amplitude_law,
            law_range_db: self.range_db,
            gain_db: self.gain_db,
            frame_rate_hz: self.frame_rate_hz,
            ..FrameDescriptor::blank()
        }
    }
}
