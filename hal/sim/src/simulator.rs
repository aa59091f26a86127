//! The simulator: makes the frames of a body.

use crate::compose::SharedPhantom;
use crate::config::{Anatomy, Output, SimConfig, SimError};
use crate::field::ScannedRegion;
use crate::motion::Motion;
use crate::phantom::{self, AttenuatingLayer, TruthObject};
use crate::scanner::{self, Scanner};
use crate::scatter::Scatterers;
use crate::shadow::{Shadow, ShadowMap};
use sonotrace_hal::frame::{FrameDescriptor, flags};
use sonotrace_hal::geometry::{Geometry, Point};
use std::sync::Arc;

/// One simulated frame.
#[derive(Debug, Clone)]
pub struct SimFrame {
    /// Its descriptor, with checksum. The caller that pushes the frame into a ring sets `t_enqueue_ns`.
    pub descriptor: FrameDescriptor,
    /// Its samples, line by line.
    pub payload: Vec<u8>,
    /// The true contour of each object; empty in air.
    pub truth: Vec<TruthObject>,
}

/// The conditions that can change from frame to frame of a scan, apart from time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Conditions {
    /// Shift of the anatomy to the right. The body must be drawn for it: see [`ScannedRegion::with_slide`].
    pub slide_mm: f32,
    /// Gain in addition to the configured gain.
    pub more_gain_db: f32,
    /// A shadow of an obstacle between the probe and the body.
    pub shadow: Option<Shadow>,
    /// Echo of that obstacle where its shadow starts, relative to plain muscle; `None` if the probe has lost contact
    /// there, which has no echo.
    pub reflector_db: Option<f32>,
    /// Transmitted power relative to full power, at most 0. Noise does not depend on it.
    pub power_db: f32,
    /// Whether the probe is lifted off the body.
    pub in_air: bool,
}

/// A body to scan: a phantom and its scatterers. Simulators with different geometries can share it.
pub struct Body {
    phantom: SharedPhantom,
    scatterers: Scatterers,
    layers: Vec<AttenuatingLayer>,
}

impl Body {
    /// A body with random scatterers in all of the scanned region.
    pub fn draw(anatomy: Anatomy, region: impl Into<ScannedRegion>, seed: u64) -> Self {
        Self::of(anatomy.phantom(seed), region, seed)
    }

    /// As [`Self::draw`], of any phantom.
    pub fn of(phantom: SharedPhantom, region: impl Into<ScannedRegion>, seed: u64) -> Self {
        let scatterers = Scatterers::draw(&*phantom, region, seed);
        Self { layers: phantom.attenuating_layers(), scatterers, phantom }
    }
}

impl core::fmt::Debug for Body {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let counts = (self.scatterers.tissue.len(), self.scatterers.blood.len());
        f.debug_struct("Body").field("tissue_blood", &counts).finish_non_exhaustive()
    }
}

/// A simulated scanner with a body.
#[derive(Debug, Clone)]
pub struct Simulator {
    config: SimConfig,
    body: Arc<Body>,
    scanner: Scanner,
    /// The descriptor of every frame, except for its number, time, gain and checksum.
    template: FrameDescriptor,
}

impl Simulator {
    /// Sets up a scan: draws the scatterers and computes the tables, which takes about as long as a frame.
    ///
    /// # Errors
    /// [`SimError`] names the setting that is out of its limits, and its value.
    pub fn new(config: SimConfig) -> Result<Self, SimError> {
        let field = config.field()?;
        let body = Body::of(config.phantom()?, field, config.seed);
        Self::with_body(Arc::new(body), config)
    }

    /// Sets up a scan of a body that was drawn for a region which contains this configuration's field.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_body(body: Arc<Body>, config: SimConfig) -> Result<Self, SimError> {
        let scanner = Scanner::new(config.field()?, &config.beam, config.chain, config.seed);
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

    /// The geometry of every frame.
    pub fn geometry(&self) -> Geometry {
        self.scanner.field().geometry()
    }

    /// Acquisition time of frame `index` (from 0), from the start of the scan.
    pub fn t_acq_ns(&self, index: u64) -> u64 {
        (index as f64 * 1e9 / f64::from(self.config.frame_rate_hz)) as u64
    }

    /// The motion of the anatomy at frame `index`. The scan starts at the start of a cycle, for the heart the end of
    /// diastole.
    pub fn motion(&self, index: u64) -> Motion {
        let cycles = index as f64 * f64::from(self.config.heart_rate_bpm)
            / (60.0 * f64::from(self.config.frame_rate_hz));
        self.body.phantom.motion((cycles - libm::floor(cycles)) as f32)
    }

    fn motion_under(&self, index: u64, conditions: &Conditions) -> Motion {
        Motion { slide_mm: conditions.slide_mm, ..self.motion(index) }
    }

    fn shadows_under(&self, motion: Motion, conditions: &Conditions) -> ShadowMap {
        let mut shadows = ShadowMap::clear(*self.scanner.field());
        self.body.layers.iter().for_each(|layer| shadows.add_layer(layer, motion));
        if let Some(shadow) = &conditions.shadow {
            shadows.add_shadow(shadow);
            conditions.reflector_db.iter().for_each(|level_db| shadows.add_reflector(shadow, *level_db));
        }
        if conditions.power_db < 0.0 {
            shadows.add_loss_everywhere(-conditions.power_db);
        }
        shadows
    }

    /// The true contours at frame `index`.
    pub fn truth(&self, index: u64) -> Vec<TruthObject> {
        self.truth_under(index, &Conditions::default())
    }

    /// The true contours at frame `index` under `conditions`, whether or not the probe sees them.
    pub fn truth_under(&self, index: u64, conditions: &Conditions) -> Vec<TruthObject> {
        phantom::truth(&*self.body.phantom, self.motion_under(index, conditions))
    }

    /// Position at frame `index` of the tissue that is at `reference` at the start of a cycle.
    pub fn follow(&self, reference: Point, index: u64) -> Point {
        self.body.phantom.displacement(reference).apply(reference, self.motion(index))
    }

    /// The envelope of frame `index` before compression, `lines` times `samples`. Plain muscle has a mean power of about
    /// 1.
    pub fn envelope(&self, index: u64) -> Vec<f32> {
        self.envelope_under(index, &Conditions::default())
    }

    /// The envelope of frame `index` under `conditions`.
    pub fn envelope_under(&self, index: u64, conditions: &Conditions) -> Vec<f32> {
        if conditions.in_air {
            return self.scanner.envelope_in_air(conditions.power_db, index);
        }
        let motion = self.motion_under(index, conditions);
        self.scanner.envelope(&self.body.scatterers, motion, &self.shadows_under(motion, conditions), index)
    }

    /// Makes frame `index` (from 0; its sequence number is `index + 1`). Frames can be made in any order.
    pub fn frame(&self, index: u64) -> SimFrame {
        self.frame_under(index, &Conditions::default())
    }

    /// Makes frame `index` under `conditions`.
    pub fn frame_under(&self, index: u64, conditions: &Conditions) -> SimFrame {
        let gain_db = self.config.gain_db + conditions.more_gain_db;
        let envelope = || self.envelope_under(index, conditions);
        let payload = match self.config.output {
            Output::Logarithmic => scanner::compress_log(&envelope(), gain_db, self.config.range_db),
            Output::Linear => scanner::compress_linear(&envelope(), gain_db),
            Output::Iq if conditions.in_air => {
                scanner::quantise_iq(&self.scanner.baseband_in_air(conditions.power_db, index), gain_db)
            }
            Output::Iq => {
                let motion = self.motion_under(index, conditions);
                let shadows = self.shadows_under(motion, conditions);
                let baseband = self.scanner.baseband(&self.body.scatterers, motion, &shadows, index);
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
        let truth = if conditions.in_air { Vec::new() } else { self.truth_under(index, conditions) };
        SimFrame { descriptor, payload, truth }
    }
}
