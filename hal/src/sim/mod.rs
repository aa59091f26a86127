//! A simulated scanner: polar frames of a body that moves, with the true contours, all from one seed.
//!
//! [`Simulator`] gives one frame after the other as a front end would: a complete [`FrameDescriptor`], its payload, and
//! beside them what no scanner knows, the truth about each object. The same configuration gives the same bytes, on every
//! platform: all randomness comes from the seed, and every function of a real number from `libm`.
//!
//! * [`config`]: what a scan is made from: anatomy, probe, output.
//! * [`phantom`]: what there is to see; [`heart`], [`fetal_head`]: two of them; [`cycle`], [`beat`]: how they move.
//! * [`field`]: the scan lines, of fans and of linear probes alike.
//! * [`scatter`]: the point scatterers that make tissue echo; [`echo`]: their echoes on the scan lines.
//! * [`scanner`]: attenuation, noise, gain, clutter, compression; [`shade`]: shadows.
//! * [`script`]: a day's work: what the sonographer, the device and its faults do to a scan, and when.
//! * [`polygon`], [`random`]: helpers.
//!
//! What is simplified: a plane instead of a slice, a separable Gaussian point-spread function, no refraction, no
//! multiple scattering (its haze is added instead), blood whose speckle is entirely new on each frame.

pub mod beat;
pub mod config;
pub mod cycle;
pub mod echo;
pub mod fetal_head;
pub mod field;
pub mod heart;
pub mod phantom;
pub mod polygon;
pub mod random;
pub mod scanner;
pub mod scatter;
pub mod script;
pub mod shade;

pub use config::{Anatomy, Output, Probe, SimConfig, SimError};

use crate::frame::{FrameDescriptor, FrameError, flags};
use crate::geometry::{Geometry, Point};
use cycle::Motion;
use field::{Field, Reach};
use phantom::{Phantom, Screen, TruthObject};
use scanner::Scanner;
use scatter::Scatterers;
use shade::{Shade, Shadow};
use std::sync::Arc;

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

/// What may differ from one frame of a scan to the next, beside the time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Conditions {
    /// How far the anatomy is shifted to the right; the scatterers must have been drawn for it (see [`Reach::slid`]).
    pub slide_mm: f32,
    /// Gain beyond that of the configuration.
    pub more_gain_db: f32,
    /// What stands between the probe and the body.
    pub shadow: Option<Shadow>,
}

/// A body to scan: a phantom and its scatterers, which simulators with one or another geometry share.
pub struct Body {
    phantom: Box<dyn Phantom + Send + Sync>,
    scatterers: Scatterers,
    screens: Vec<Screen>,
}

impl Body {
    /// Draws the scatterers of what is ever seen of a body.
    pub fn draw(anatomy: Anatomy, reach: impl Into<Reach>, seed: u64) -> Self {
        let phantom = anatomy.phantom(seed);
        let scatterers = Scatterers::draw(&*phantom, reach, seed);
        Self { screens: phantom.screens(), scatterers, phantom }
    }
}

impl core::fmt::Debug for Body {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let counts = (self.scatterers.tissue.len(), self.scatterers.blood.len());
        f.debug_struct("Body").field("tissue_blood", &counts).finish_non_exhaustive()
    }
}

/// A simulated scanner looking at a body.
#[derive(Debug, Clone)]
pub struct Simulator {
    config: SimConfig,
    body: Arc<Body>,
    scanner: Scanner,
    /// The descriptor of every frame, but for its number, time, gain and checksum.
    template: FrameDescriptor,
}

impl Simulator {
    /// Sets up a scan: draws the scatterers and the tables, which takes about as long as a frame.
    ///
    /// # Errors
    /// [`SimError`] names the setting that does not hold, its limits and its value.
    pub fn new(config: SimConfig) -> Result<Self, SimError> {
        let field = field(&config)?;
        let body = Body::draw(config.anatomy, field, config.seed);
        Self::of(Arc::new(body), config)
    }

    /// Sets up a scan of a body that was drawn before, for a reach that holds this configuration's field.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(body: Arc<Body>, config: SimConfig) -> Result<Self, SimError> {
        let scanner = Scanner::new(field(&config)?, &config.beam, config.chain, config.seed);
        let mut template = config.descriptor();
        template.tgc = *scanner.tgc();
        template.tgc_points = template.tgc.len() as u32;
        template.check()?;
        Ok(Self { config, body, scanner, template })
    }

    /// The configuration.
    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    /// Where the samples of every frame lie.
    pub fn geometry(&self) -> Geometry {
        self.scanner.field().geometry()
    }

    /// When the frame `index` (from 0) is acquired, from the start of the scan.
    pub fn t_acq_ns(&self, index: u64) -> u64 {
        (index as f64 * 1e9 / f64::from(self.config.frame_rate_hz)) as u64
    }

    /// Where the anatomy is in its motion on the frame `index`; the scan starts at the start of a cycle, for the heart
    /// the end of diastole.
    pub fn motion(&self, index: u64) -> Motion {
        let cycles = index as f64 * f64::from(self.config.heart_rate_bpm)
            / (60.0 * f64::from(self.config.frame_rate_hz));
        self.body.phantom.motion((cycles - libm::floor(cycles)) as f32)
    }

    fn motion_under(&self, index: u64, conditions: &Conditions) -> Motion {
        Motion { slide_mm: conditions.slide_mm, ..self.motion(index) }
    }

    fn shade_under(&self, motion: Motion, conditions: &Conditions) -> Shade {
        let mut shade = Shade::clear(*self.scanner.field());
        self.body.screens.iter().for_each(|screen| shade.add_screen(screen, motion));
        conditions.shadow.iter().for_each(|shadow| shade.add_shadow(shadow));
        shade
    }

    /// The truth about each object on the frame `index`.
    pub fn truth(&self, index: u64) -> Vec<TruthObject> {
        self.truth_under(index, &Conditions::default())
    }

    /// The truth about each object on the frame `index` under `conditions`.
    pub fn truth_under(&self, index: u64, conditions: &Conditions) -> Vec<TruthObject> {
        phantom::truth(&*self.body.phantom, self.motion_under(index, conditions))
    }

    /// Where on the frame `index` the tissue lies that lies at `reference` at the start of a cycle.
    pub fn follow(&self, reference: Point, index: u64) -> Point {
        self.body.phantom.displacement(reference).apply(reference, self.motion(index))
    }

    /// The envelope of the frame `index` before compression, `lines` times `samples`, scaled so that plain muscle has a
    /// mean power of about 1.
    pub fn envelope(&self, index: u64) -> Vec<f32> {
        self.envelope_under(index, &Conditions::default())
    }

    /// The envelope of the frame `index` under `conditions`.
    pub fn envelope_under(&self, index: u64, conditions: &Conditions) -> Vec<f32> {
        let motion = self.motion_under(index, conditions);
        self.scanner.envelope(&self.body.scatterers, motion, &self.shade_under(motion, conditions), index)
    }

    /// Makes the frame `index` (from 0; its sequence number is `index + 1`). Frames do not depend on one another.
    pub fn frame(&self, index: u64) -> SimFrame {
        self.frame_under(index, &Conditions::default())
    }

    /// Makes the frame `index` under `conditions`.
    pub fn frame_under(&self, index: u64, conditions: &Conditions) -> SimFrame {
        let gain_db = self.config.gain_db + conditions.more_gain_db;
        let envelope = || self.envelope_under(index, conditions);
        let payload = match self.config.output {
            Output::Logarithmic => scanner::compress_log(&envelope(), gain_db, self.config.range_db),
            Output::Linear => scanner::compress_linear(&envelope(), gain_db),
            Output::Iq => {
                let motion = self.motion_under(index, conditions);
                let shade = self.shade_under(motion, conditions);
                let baseband = self.scanner.baseband(&self.body.scatterers, motion, &shade, index);
                scanner::quantise_iq(&baseband, gain_db)
            }
        };
        let descriptor = FrameDescriptor {
            seq: index + 1,
            t_acq_ns: self.t_acq_ns(index),
            crc32: crc32fast::hash(&payload),
            flags: flags::CRC_PRESENT,
            gain_db,
            ..self.template
        };
        SimFrame { descriptor, payload, truth: self.truth_under(index, conditions) }
    }
}

/// The scan lines of a configuration.
fn field(config: &SimConfig) -> Result<Field, SimError> {
    config.check()?;
    let geometry = config.descriptor().check()?.geometry;
    // `descriptor` makes polar frames only.
    let field = Field::of(geometry).ok_or(FrameError::Mismatch { a: "domain", b: "geometry" })?;
    Ok(field.with_density(config.density))
}
