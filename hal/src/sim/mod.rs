//! A simulated scanner: polar frames of a beating heart, with the true contours, all from one seed.
//!
//! [`Simulator`] gives one frame after the other as a front end would: a complete [`FrameDescriptor`], its payload, and
//! beside them what no scanner knows, the truth about each object. The same configuration gives the same bytes, on every
//! platform: all randomness comes from the seed, and every function of a real number from `libm`.
//!
//! * [`phantom`], [`heart`]: what there is to see, and how it moves; [`cycle`]: when.
//! * [`scatter`]: the point scatterers that make tissue echo; [`echo`]: their echoes on the scan lines.
//! * [`scanner`]: attenuation, noise, gain, clutter, compression.
//! * [`polygon`], [`random`]: helpers.
//!
//! What is simplified: a plane instead of a slice, a separable Gaussian point-spread function, no refraction, no
//! multiple scattering (its haze is added instead), blood whose speckle is entirely new on each frame.

pub mod cycle;
pub mod echo;
pub mod heart;
pub mod phantom;
pub mod polygon;
pub mod random;
pub mod scanner;
pub mod scatter;

use crate::frame::{
    Domain, FrameDescriptor, FrameError, GeometryKind, LAW_LINEAR, LAW_LOGARITHMIC, SampleType, flags,
};
use crate::geometry::{Geometry, Point, Sector};
use cycle::Motion;
use echo::Beam;
use heart::Heart;
use phantom::{Phantom, TruthObject};
use scanner::{Chain, Scanner};
use scatter::Scatterers;

/// The probe's shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Probe {
    /// Lines fan out from the middle of the face.
    Phased {
        /// From the axis to the outermost line.
        half_angle_rad: f32,
    },
    /// Lines stand upright on a curved face.
    Convex {
        /// Radius of the face.
        radius_mm: f32,
        /// From the axis to the outermost line.
        half_angle_rad: f32,
    },
}

/// Whether the front end compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Samples are logarithmic over the dynamic range.
    Logarithmic,
    /// Samples are proportional to the envelope.
    Linear,
}

/// Everything that a simulated scan is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct SimConfig {
    /// Where all randomness comes from.
    pub seed: u64,
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
    /// Beats per minute.
    pub heart_rate_bpm: f32,
    /// Dynamic range from black to white.
    pub range_db: f32,
    /// Overall gain.
    pub gain_db: f32,
    /// Whether the front end compresses.
    pub compression: Compression,
    /// The transducer.
    pub beam: Beam,
    /// The receive chain.
    pub chain: Chain,
}

impl Default for SimConfig {
    /// A cardiac probe: 128 lines of 512 samples over 75 degrees and 150 mm, 30 frames a second, 70 beats a minute.
    fn default() -> Self {
        Self {
            seed: 1,
            probe: Probe::Phased { half_angle_rad: 37.5 * core::f32::consts::PI / 180.0 },
            lines: 128,
            samples: 512,
            first_depth_mm: 1.0,
            depth_mm: 150.0,
            frame_rate_hz: 30.0,
            heart_rate_bpm: 70.0,
            range_db: 50.0,
            gain_db: 0.0,
            compression: Compression::Logarithmic,
            beam: Beam::default(),
            chain: Chain::default(),
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
        /// Least value allowed.
        min: f32,
        /// Largest value allowed.
        max: f32,
    },
    /// The frames would not be valid.
    #[error("the simulated frames would be refused: {0}")]
    Frame(#[from] FrameError),
}

/// One simulated frame.
#[derive(Debug, Clone)]
pub struct SimFrame {
    /// Its descriptor, complete with checksum; `t_enqueue_ns` is left to whoever puts the frame into a ring.
    pub descriptor: FrameDescriptor,
    /// Its samples, line by line.
    pub payload: Vec<u8>,
    /// The truth about each object.
    pub truth: Vec<TruthObject>,
}

/// A simulated scanner looking at a beating heart.
#[derive(Debug, Clone)]
pub struct Simulator {
    config: SimConfig,
    heart: Heart,
    scatterers: Scatterers,
    scanner: Scanner,
    /// The descriptor of every frame, but for its number, time and checksum.
    template: FrameDescriptor,
}

impl Simulator {
    /// Sets up a scan: draws the scatterers and the tables, which takes about as long as a frame.
    ///
    /// # Errors
    /// [`SimError`] names the setting that does not hold, its limits and its value.
    pub fn new(config: SimConfig) -> Result<Self, SimError> {
        check(&config)?;
        let mut template = descriptor(&config);
        let Geometry::Sector(sector) = template.check()?.geometry else {
            // `descriptor` makes sectors only.
            return Err(FrameError::Mismatch { a: "domain", b: "geometry" }.into());
        };
        let heart = Heart::new(config.seed);
        let scatterers = Scatterers::draw(&heart, &sector, config.seed);
        let scanner = Scanner::new(sector, &config.beam, config.chain, config.seed);
        template.tgc = *scanner.tgc();
        template.tgc_points = template.tgc.len() as u32;
        template.check()?;
        Ok(Self { config, heart, scatterers, scanner, template })
    }

    /// The configuration.
    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    /// The sector that every frame covers.
    pub fn sector(&self) -> Sector {
        self.scanner.sector()
    }

    /// When the frame `index` (from 0) is acquired, from the start of the scan.
    pub fn t_acq_ns(&self, index: u64) -> u64 {
        (index as f64 * 1e9 / f64::from(self.config.frame_rate_hz)) as u64
    }

    /// Where the heart is in its cycle on the frame `index`; the scan starts at the end of diastole.
    pub fn motion(&self, index: u64) -> Motion {
        let beats = index as f64 * f64::from(self.config.heart_rate_bpm)
            / (60.0 * f64::from(self.config.frame_rate_hz));
        Motion::at_phase((beats - libm::floor(beats)) as f32)
    }

    /// The truth about each object on the frame `index`.
    pub fn truth(&self, index: u64) -> Vec<TruthObject> {
        phantom::truth(&self.heart, self.motion(index))
    }

    /// Where on the frame `index` the tissue lies that lies at `reference` at the end of diastole.
    pub fn follow(&self, reference: Point, index: u64) -> Point {
        self.heart.displacement(reference).apply(reference, self.motion(index))
    }

    /// The envelope of the frame `index` before compression, `lines` times `samples`, scaled so that plain muscle has a
    /// mean power of about 1.
    pub fn envelope(&self, index: u64) -> Vec<f32> {
        self.scanner.envelope(&self.scatterers, self.motion(index), index)
    }

    /// Makes the frame `index` (from 0; its sequence number is `index + 1`). Frames do not depend on one another.
    pub fn frame(&self, index: u64) -> SimFrame {
        let envelope = self.envelope(index);
        let payload = match self.config.compression {
            Compression::Logarithmic => {
                scanner::compress_log(&envelope, self.config.gain_db, self.config.range_db)
            }
            Compression::Linear => scanner::compress_linear(&envelope, self.config.gain_db),
        };
        let descriptor = FrameDescriptor {
            seq: index + 1,
            t_acq_ns: self.t_acq_ns(index),
            crc32: crc32fast::hash(&payload),
            flags: flags::CRC_PRESENT,
            ..self.template
        };
        SimFrame { descriptor, payload, truth: self.truth(index) }
    }
}

fn check(config: &SimConfig) -> Result<(), SimError> {
    let within = |setting, seen: f32, min: f32, max: f32| {
        // Written so that NaN fails.
        if seen >= min && seen <= max { Ok(()) } else { Err(SimError::Range { setting, seen, min, max }) }
    };
    within("frame_rate_hz", config.frame_rate_hz, 1.0, 1000.0)?;
    within("heart_rate_bpm", config.heart_rate_bpm, 0.0, 300.0)?;
    within("depth_mm", config.depth_mm, 20.0, 400.0)?;
    within("first_depth_mm", config.first_depth_mm, 0.0, 0.5 * config.depth_mm)?;
    within("gain_db", config.gain_db, -60.0, 60.0)?;
    within("beam.frequency_mhz", config.beam.frequency_mhz, 0.5, 20.0)?;
    within("beam.speed_of_sound_m_s", config.beam.speed_of_sound_m_s, 1000.0, 2000.0)?;
    within("beam.pulse_mm", config.beam.pulse_mm, 0.02, 5.0)?;
    within("beam.divergence_rad", config.beam.divergence_rad, 1e-4, 0.2)?;
    within("beam.focus_mm", config.beam.focus_mm, 1.0, 1000.0)?;
    within("beam.aperture_mm", config.beam.aperture_mm, 0.0, 20.0)?;
    within("chain.attenuation_db_cm_mhz", config.chain.attenuation_db_cm_mhz, 0.0, 3.0)?;
    within("chain.compensated", config.chain.compensated, 0.0, 1.5)?;
    within("chain.noise_db", config.chain.noise_db, -200.0, 20.0)?;
    within("chain.floor_db", config.chain.floor_db, -200.0, 20.0)?;
    within("chain.haze_db", config.chain.haze_db, -200.0, 20.0)?;
    within("chain.reverberation_db", config.chain.reverberation_db, -200.0, 40.0)?;
    within("chain.reverberation_mm", config.chain.reverberation_mm, 0.1, 100.0)?;
    within("chain.side_lobe_db", config.chain.side_lobe_db, -200.0, 0.0)?;
    within("chain.contact_db", config.chain.contact_db, 0.0, 40.0)?;
    within("chain.edge_loss_db", config.chain.edge_loss_db, 0.0, 100.0)
}

/// The descriptor of every frame, but for what differs from one to the next.
fn descriptor(config: &SimConfig) -> FrameDescriptor {
    let (geometry, apex_radius_mm, half_angle_rad) = match config.probe {
        Probe::Phased { half_angle_rad } => (GeometryKind::Phased, 0.0, half_angle_rad),
        Probe::Convex { radius_mm, half_angle_rad } => (GeometryKind::Convex, radius_mm, half_angle_rad),
    };
    FrameDescriptor {
        payload_bytes: config.lines.saturating_mul(config.samples),
        domain: Domain::PolarEnvelope as u32,
        sample_type: SampleType::U8 as u32,
        lines: config.lines,
        samples: config.samples,
        stride_bytes: config.samples,
        geometry: geometry as u32,
        geometry_epoch: 1,
        apex_radius_mm,
        first_angle_rad: -half_angle_rad,
        last_angle_rad: half_angle_rad,
        first_depth_mm: config.first_depth_mm,
        last_depth_mm: config.depth_mm,
        speed_of_sound_m_s: config.beam.speed_of_sound_m_s,
        amplitude_law: match config.compression {
            Compression::Logarithmic => LAW_LOGARITHMIC,
            Compression::Linear => LAW_LINEAR,
        },
        law_range_db: config.range_db,
        gain_db: config.gain_db,
        frame_rate_hz: config.frame_rate_hz,
        ..FrameDescriptor::blank()
    }
}
