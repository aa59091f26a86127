//! The front end: from scatterers to the bytes of a polar frame.
//!
//! The steps, in the order of a scanner: echoes with attenuation by tissue, by poor contact and by shadows; electronic
//! noise; time gain compensation; clutter (reverberations near the probe and haze, which do not move, and which shadows
//! attenuate too); envelope; smoothing; compression. IQ output skips the last three. The default levels make pictures
//! look like the echocardiograms of CAMUS.

use crate::echo::{Beam, Beamformer, Echoes};
use crate::field::Field;
use crate::motion::Motion;
use crate::random::{Random, Texture, smooth_step};
use crate::scatter::{Scatterers, blood_turns};
use crate::shadow::ShadowMap;
use crate::signal::{decibel, smooth};
use sonotrace_hal::frame::{TGC_POINTS, TgcPoint};

/// The receive chain: from echoes to a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chain {
    /// Attenuation of tissue, one way.
    pub attenuation_db_cm_mhz: f32,
    /// Part of the attenuation that the gain curve compensates.
    pub compensated: f32,
    /// Noise before compensation, relative to plain muscle at the face.
    pub noise_db: f32,
    /// Haze of multiple scattering, relative to plain muscle. It has no speckle, because a line averages many
    /// transmissions.
    pub floor_db: f32,
    /// Haze with speckle at all depths, relative to plain muscle.
    pub haze_db: f32,
    /// Reverberations at the face, relative to plain muscle.
    pub reverberation_db: f32,
    /// Depth over which reverberations fall to 1/e (of their level in dB above the haze).
    pub reverberation_mm: f32,
    /// Off-axis echoes from side lobes, relative to the main lobe.
    pub side_lobe_db: f32,
    /// Variation of the probe's contact from line to line.
    pub contact_db: f32,
    /// Loss on the outermost lines, where contact is poor.
    pub edge_loss_db: f32,
    /// Whether to smooth the envelope over neighbouring samples and lines, as scanners do for display.
    pub video_filter: bool,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            attenuation_db_cm_mhz: 0.5,
            compensated: 0.95,
            noise_db: -45.0,
            floor_db: -18.5,
            haze_db: -19.0,
            reverberation_db: 7.0,
            reverberation_mm: 9.0,
            side_lobe_db: -25.0,
            contact_db: 1.5,
            edge_loss_db: 12.0,
            video_filter: true,
        }
    }
}

/// Offsets of the gain curve's points: a user's setting of the sliders.
const SLIDERS_DB: [f32; TGC_POINTS] = [-2.0, 0.5, 0.0, -0.5, 0.0, 1.0, 1.5, 1.0];
/// Mean power of plain muscle, below white at gain 0.
const MUSCLE_BELOW_WHITE_DB: f32 = 26.5;
/// Reverberations between the face and the lens of a probe in air: their distance in lengths of the pulse, the level of the
/// first relative to plain muscle, and the loss from one to the next.
const AIR_PITCH: f32 = 8.0;
const AIR_FIRST_DB: f32 = 20.0;
const AIR_LOSS_DB: f32 = 7.5;
/// Number of lines over which side lobes decay.
const SIDE_LOBE_LINES: f32 = 9.0;

/// Where the probe is.
#[derive(Clone, Copy)]
enum Source<'a> {
    Body { scatterers: &'a Scatterers, motion: Motion, shadows: &'a ShadowMap },
    Air { power_db: f32 },
}

/// The front end of one field.
#[derive(Debug, Clone)]
pub struct Scanner {
    field: Field,
    beamformer: Beamformer,
    chain: Chain,
    seed: u64,
    tgc: [TgcPoint; TGC_POINTS],
    /// Per sample: attenuation, both ways.
    attenuation: Vec<f32>,
    /// Per sample: gain of the compensation.
    compensation: Vec<f32>,
    /// Per line: factor of the contact.
    contact: Vec<f32>,
    /// Clutter, added after compensation.
    clutter: Echoes,
    /// Length of the pulse, one standard deviation.
    pulse_mm: f32,
}

impl Scanner {
    /// Sets up a front end. Clutter, contact and noise depend on `seed`.
    pub fn new(field: impl Into<Field>, beam: &Beam, chain: Chain, seed: u64) -> Self {
        let field = field.into();
        let depth_mm = |sample: u32| field.depth_mm(sample);
        let loss_db =
            |depth_mm: f32| 2.0 * chain.attenuation_db_cm_mhz * beam.frequency_mhz * depth_mm / 10.0;
        let last_mm = depth_mm(field.samples - 1);
        let mut tgc = [TgcPoint::default(); TGC_POINTS];
        for (index, (point, slider_db)) in tgc.iter_mut().zip(SLIDERS_DB).enumerate() {
            point.depth_mm = last_mm * index as f32 / (TGC_POINTS - 1) as f32;
            point.gain_db = chain.compensated * loss_db(point.depth_mm) + slider_db;
        }
        let beamformer = Beamformer::new(field, beam);
        let clutter = clutter(&field, &beamformer, &chain, seed);
        let contact_texture = Texture::new(seed.wrapping_add(40), 0.11, 1.0);
        Self {
            attenuation: (0..field.samples).map(|sample| decibel(-loss_db(depth_mm(sample)))).collect(),
            compensation: (0..field.samples).map(|sample| decibel(gain_db(&tgc, depth_mm(sample)))).collect(),
            contact: (0..field.lines)
                .map(|line| {
                    let across = 2.0 * line as f32 / (field.lines - 1) as f32 - 1.0;
                    let edge = smooth_step((across.abs() - 0.62) / 0.38);
                    decibel(-chain.edge_loss_db * edge + chain.contact_db * contact_texture.at(across, 0.0))
                })
                .collect(),
            field,
            beamformer,
            chain,
            seed,
            tgc,
            clutter,
            pulse_mm: beam.pulse_mm,
        }
    }

    /// Its scan lines.
    pub fn field(&self) -> &Field {
        &self.field
    }

    /// The gain curve that has been applied.
    pub fn tgc(&self) -> &[TgcPoint; TGC_POINTS] {
        &self.tgc
    }

    /// The envelope of the frame `index`, line by line, before compression; the mean power of plain muscle is about 1.
    pub fn envelope(
        &self,
        scatterers: &Scatterers,
        motion: Motion,
        shadows: &ShadowMap,
        index: u64,
    ) -> Vec<f32> {
        self.detect(Source::Body { scatterers, motion, shadows }, index)
    }

    /// The envelope of the frame `index` with the probe in air, which reflects everything: reverberations of the probe
    /// itself, and noise. `power_db` is the transmitted power, relative to full power.
    pub fn envelope_in_air(&self, power_db: f32, index: u64) -> Vec<f32> {
        self.detect(Source::Air { power_db }, index)
    }

    fn detect(&self, source: Source<'_>, index: u64) -> Vec<f32> {
        let mut envelope = vec![0.0; (self.field.lines * self.field.samples) as usize];
        self.receive(source, index, |at, _, _, power| envelope[at] = libm::sqrtf(power));
        if self.chain.video_filter {
            smooth_both(&mut envelope, self.field.samples as usize);
        }
        envelope
    }

    /// The complex samples of the frame `index`: their magnitude is its envelope without the video filter. The part of
    /// the envelope that has no phase, [`Chain::floor_db`], gets the phase of the echo.
    pub fn baseband(
        &self,
        scatterers: &Scatterers,
        motion: Motion,
        shadows: &ShadowMap,
        index: u64,
    ) -> Echoes {
        self.with_phase(Source::Body { scatterers, motion, shadows }, index)
    }

    /// As [`Self::baseband`], for a probe in air: see [`Self::envelope_in_air`].
    pub fn baseband_in_air(&self, power_db: f32, index: u64) -> Echoes {
        self.with_phase(Source::Air { power_db }, index)
    }

    fn with_phase(&self, source: Source<'_>, index: u64) -> Echoes {
        let mut baseband = Echoes::zeros(self.field.lines as usize, self.field.samples as usize);
        self.receive(source, index, |at, re, im, power| {
            let own = re * re + im * im;
            let (magnitude, scale) = (libm::sqrtf(power), libm::sqrtf(power / own));
            let (re, im) = if own > 0.0 { (re * scale, im * scale) } else { (magnitude, 0.0) };
            (baseband.re[at], baseband.im[at]) = (re, im);
        });
        baseband
    }

    /// Passes the index of each sample, its real and imaginary part, and its power (with the floor) to `take`.
    fn receive(&self, source: Source<'_>, index: u64, take: impl FnMut(usize, f32, f32, f32)) {
        match source {
            Source::Body { scatterers, motion, shadows } => {
                self.receive_from_body(scatterers, motion, shadows, index, take);
            }
            Source::Air { power_db } => self.receive_in_air(power_db, index, take),
        }
    }

    fn receive_from_body(
        &self,
        scatterers: &Scatterers,
        motion: Motion,
        shadows: &ShadowMap,
        index: u64,
        mut take: impl FnMut(usize, f32, f32, f32),
    ) {
        let (lines, samples) = (self.field.lines as usize, self.field.samples as usize);
        let mut echoes = Echoes::zeros(lines, samples);
        for scatterer in &scatterers.tissue {
            let point = scatterer.at(motion);
            self.beamformer.add(&mut echoes, point, scatterers.amplitude(scatterer, point), 0.0);
        }
        for (number, scatterer) in scatterers.blood.iter().enumerate() {
            let turns = blood_turns(self.seed, index, number);
            let point = scatterer.at(motion);
            self.beamformer.add(&mut echoes, point, scatterers.amplitude(scatterer, point), turns);
        }
        add_side_lobes(&mut echoes, decibel(self.chain.side_lobe_db));
        let noise = self.noise(index);
        let floor = decibel(2.0 * self.chain.floor_db);
        let left = shadows.amplitudes();
        let reflections = shadows.reflections();
        for line in 0..lines {
            for sample in 0..samples {
                let at = line * samples + sample;
                let left = left.as_ref().map_or(1.0, |left| left[at]);
                let weakened = self.attenuation[sample] * self.contact[line] * left;
                let gain = self.compensation[sample];
                let re = (echoes.re[at] * weakened + noise.re[at]) * gain + self.clutter.re[at] * left;
                let im = (echoes.im[at] * weakened + noise.im[at]) * gain + self.clutter.im[at] * left;
                let reflected = reflections.map_or(0.0, |reflections| reflections[at]);
                take(at, re, im, re * re + im * im + floor * left * left + reflected);
            }
        }
    }

    /// The reverberations are parallel to the face and have no speckle.
    fn receive_in_air(&self, power_db: f32, index: u64, mut take: impl FnMut(usize, f32, f32, f32)) {
        let samples = self.field.samples as usize;
        let noise = self.noise(index);
        let bands = Texture::new(self.seed.wrapping_add(43), 0.14, 1.0);
        let pitch_mm = AIR_PITCH * self.pulse_mm;
        for line in 0..self.field.lines {
            let across = self.field.texture_rad(self.field.first + self.field.step * line as f32);
            let line_db = power_db + AIR_FIRST_DB + 2.0 * bands.at(across, 0.0);
            for sample in 0..self.field.samples {
                let at = line as usize * samples + sample as usize;
                let number = self.field.depth_mm(sample) / pitch_mm;
                let away = (number - libm::roundf(number)) * AIR_PITCH / 1.5;
                let amplitude = decibel(line_db - AIR_LOSS_DB * number) * libm::expf(-0.5 * away * away);
                let gain = self.compensation[sample as usize];
                let (re, im) = (noise.re[at] * gain, noise.im[at] * gain);
                take(at, re, im, re * re + im * im + amplitude * amplitude);
            }
        }
    }

    /// Electronic noise of frame `index`: white noise, limited to about the band of the pulse and smoothed over
    /// neighbouring lines, which share channels.
    fn noise(&self, index: u64) -> Echoes {
        let (lines, samples) = (self.field.lines as usize, self.field.samples as usize);
        let mut random = Random::new(self.seed, 1000 + index);
        let mut noise = Echoes::zeros(lines, samples);
        // Each of the two filters 1/4, 1/2, 1/4 keeps 3/8 of the power; half of it is in each part.
        let level = decibel(self.chain.noise_db) * libm::sqrtf(0.5) * 8.0 / 3.0;
        for plane in [&mut noise.re, &mut noise.im] {
            plane.iter_mut().for_each(|value| *value = level * random.normal());
            smooth_both(plane, samples);
        }
        noise
    }
}

/// Filters with weights 1/4, 1/2, 1/4 along each line, then across the lines.
fn smooth_both(plane: &mut [f32], samples: usize) {
    plane.chunks_exact_mut(samples).for_each(|line| smooth(line, 1));
    smooth(plane, samples);
}

/// Adds to each line the echoes of its neighbours, times `level` and an exponential of their distance.
fn add_side_lobes(echoes: &mut Echoes, level: f32) {
    let keep = libm::expf(-1.0 / SIDE_LOBE_LINES);
    let samples = echoes.samples;
    for plane in [&mut echoes.re, &mut echoes.im] {
        let lines = plane.len() / samples;
        let own = plane.clone();
        for backwards in [false, true] {
            let mut neighbours = vec![0.0f32; samples];
            for step in 0..lines {
                let line = if backwards { lines - 1 - step } else { step };
                let span = line * samples..(line + 1) * samples;
                for ((neighbours, out), own) in
                    neighbours.iter_mut().zip(&mut plane[span.clone()]).zip(&own[span])
                {
                    *out += level * *neighbours;
                    *neighbours = keep * (*neighbours + own);
                }
            }
        }
    }
}

/// Gain at `depth_mm`, linear between the points of the curve.
fn gain_db(tgc: &[TgcPoint], depth_mm: f32) -> f32 {
    let mut gain_db = tgc[0].gain_db;
    for pair in tgc.windows(2) {
        let part = ((depth_mm - pair[0].depth_mm) / (pair[1].depth_mm - pair[0].depth_mm)).clamp(0.0, 1.0);
        gain_db += part * (pair[1].gain_db - pair[0].gain_db);
    }
    gain_db
}

/// Reverberations and haze: separate speckle that does not move, strongest at the face, in faint bands.
fn clutter(field: &Field, beamformer: &Beamformer, chain: &Chain, seed: u64) -> Echoes {
    let mut random = Random::new(seed, 2);
    let mut echoes = Echoes::zeros(field.lines as usize, field.samples as usize);
    let patches = Texture::new(seed.wrapping_add(41), 0.16, 22.0);
    let bands = Texture::new(seed.wrapping_add(42), 0.5, 2.4);
    // A quarter of the density of tissue suffices for speckle. It halves the amplitude, which is doubled below.
    let per_sample_line = field.scatterers_per_mm() * field.depth_step_mm * field.step;
    let count = (0.25 * per_sample_line * (field.lines * field.samples) as f32) as usize;
    for _ in 0..count {
        let line = field.lines as f32 * random.uniform();
        let depth_mm = field.first_depth_mm + field.depth_step_mm * field.samples as f32 * random.uniform();
        let across = field.first + field.step * line;
        let texture_rad = field.texture_rad(across);
        let near = libm::expf(-depth_mm / chain.reverberation_mm);
        let level_db = chain.haze_db
            + (chain.reverberation_db - chain.haze_db) * near
            + 2.5 * patches.at(texture_rad, depth_mm)
            + 7.0 * near * bands.at(texture_rad, depth_mm);
        let point = field.point(field.face_mm() + depth_mm, across);
        beamformer.add(&mut echoes, point, 2.0 * decibel(level_db), random.uniform());
    }
    echoes
}

/// Log compression: `range_db` from black to white; white is 26.5 dB minus `gain_db` above plain muscle.
pub fn compress_log(envelope: &[f32], gain_db: f32, range_db: f32) -> Vec<u8> {
    let white_db = MUSCLE_BELOW_WHITE_DB - gain_db;
    let grey = |value: &f32| {
        let below_db = 20.0 * libm::log10f(value.max(1e-12)) - white_db;
        // The cast to u8 saturates.
        libm::roundf(255.0 * (1.0 + below_db / range_db)) as u8
    };
    envelope.iter().map(grey).collect()
}

/// No compression: proportional to the envelope, with the same white.
pub fn compress_linear(envelope: &[f32], gain_db: f32) -> Vec<u8> {
    let scale = 255.0 / decibel(MUSCLE_BELOW_WHITE_DB - gain_db);
    envelope.iter().map(|value| libm::roundf(scale * value) as u8).collect()
}

/// Envelope of IQ samples that is white.
const IQ_FULL_SCALE: f32 = 32_767.0;

/// Neither envelope nor compression: pairs of little-endian 16-bit numbers, in-phase first, with the same white. Each part
/// saturates separately, as in a converter.
pub fn quantise_iq(baseband: &Echoes, gain_db: f32) -> Vec<u8> {
    let scale = IQ_FULL_SCALE / decibel(MUSCLE_BELOW_WHITE_DB - gain_db);
    let stored = |value: f32| (libm::roundf(scale * value) as i16).max(-i16::MAX).to_le_bytes();
    let pairs = baseband.re.iter().zip(&baseband.im);
    pairs.flat_map(|(re, im)| [stored(*re), stored(*im)]).flatten().collect()
}
