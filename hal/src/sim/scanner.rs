//! The front end: from scatterers to the bytes of a polar frame.
//!
//! In this order, as in a scanner: echoes weakened by attenuation, by lines in poor contact and by shadows, electronic
//! noise, time gain compensation, clutter (reverberations near the probe and haze, which stand still and are shadowed
//! too), envelope, smoothing, compression. What leaves as IQ leaves before the last three. The default levels are those
//! at which pictures look like the echocardiograms of CAMUS.

use super::cycle::Motion;
use super::echo::{Beam, Beamformer, Echoes};
use super::field::Field;
use super::random::{Random, Texture, smooth_step};
use super::scatter::{Scatterers, blood_turns, decibel};
use super::shade::Shade;
use crate::frame::{TGC_POINTS, TgcPoint};

/// How echoes become a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chain {
    /// Attenuation of tissue, one way.
    pub attenuation_db_cm_mhz: f32,
    /// Part of the attenuation that the gain curve makes up for.
    pub compensated: f32,
    /// Noise before compensation, against plain muscle at the face.
    pub noise_db: f32,
    /// Haze that multiple scattering leaves in every line, averaged over the transmissions that make it up and so
    /// without speckle, against plain muscle.
    pub floor_db: f32,
    /// Haze with speckle, over the whole depth, against plain muscle.
    pub haze_db: f32,
    /// Reverberations at the face, against plain muscle.
    pub reverberation_db: f32,
    /// Depth over which they fall to 1/e (as a level in dB over the haze).
    pub reverberation_mm: f32,
    /// Off-axis echoes that the side lobes let in, against the main lobe.
    pub side_lobe_db: f32,
    /// Unevenness of the probe's contact from line to line.
    pub contact_db: f32,
    /// Loss on the outermost lines, where the probe loses contact.
    pub edge_loss_db: f32,
    /// Whether the envelope is smoothed over neighbouring samples and lines, as scanners do for the eye.
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

/// Offsets of the gain curve's points, as a user's hand leaves the sliders.
const SLIDERS_DB: [f32; TGC_POINTS] = [-2.0, 0.5, 0.0, -0.5, 0.0, 1.0, 1.5, 1.0];
/// Level of plain muscle's mean power below white, at gain 0.
const MUSCLE_BELOW_WHITE_DB: f32 = 26.5;
/// Lines over which side lobes let echoes in.
const SIDE_LOBE_LINES: f32 = 9.0;

/// The front end of one field.
#[derive(Debug, Clone)]
pub struct Scanner {
    field: Field,
    beamformer: Beamformer,
    chain: Chain,
    seed: u64,
    tgc: [TgcPoint; TGC_POINTS],
    /// Per sample: attenuation on the way.
    attenuation: Vec<f32>,
    /// Per sample: compensation.
    compensation: Vec<f32>,
    /// Per line: contact.
    contact: Vec<f32>,
    /// What stands still, after compensation.
    clutter: Echoes,
}

impl Scanner {
    /// Sets up a front end. The clutter and the contact of each line depend on `seed`, as does each frame's noise.
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
        }
    }

    /// The lines that it scans.
    pub fn field(&self) -> &Field {
        &self.field
    }

    /// The gain curve that has been applied.
    pub fn tgc(&self) -> &[TgcPoint; TGC_POINTS] {
        &self.tgc
    }

    /// The envelope of the frame `index`, line by line, before compression; the mean power of plain muscle is about 1.
    pub fn envelope(&self, scatterers: &Scatterers, motion: Motion, shade: &Shade, index: u64) -> Vec<f32> {
        let mut envelope = vec![0.0; (self.field.lines * self.field.samples) as usize];
        self.receive(scatterers, motion, shade, index, |at, _, _, power| envelope[at] = libm::sqrtf(power));
        if self.chain.video_filter {
            smooth_both(&mut envelope, self.field.samples as usize);
        }
        envelope
    }

    /// The complex samples of the frame `index`: their magnitude is its envelope without the video filter. The part of
    /// the envelope that has no phase, [`Chain::floor_db`], takes that of the echo.
    pub fn baseband(&self, scatterers: &Scatterers, motion: Motion, shade: &Shade, index: u64) -> Echoes {
        let mut baseband = Echoes::silent(self.field.lines as usize, self.field.samples as usize);
        self.receive(scatterers, motion, shade, index, |at, re, im, power| {
            let own = re * re + im * im;
            let (magnitude, scale) = (libm::sqrtf(power), libm::sqrtf(power / own));
            let (re, im) = if own > 0.0 { (re * scale, im * scale) } else { (magnitude, 0.0) };
            (baseband.re[at], baseband.im[at]) = (re, im);
        });
        baseband
    }

    /// Gives out each sample's number, its real and imaginary part, and its power, floor included.
    fn receive(
        &self,
        scatterers: &Scatterers,
        motion: Motion,
        shade: &Shade,
        index: u64,
        mut take: impl FnMut(usize, f32, f32, f32),
    ) {
        let (lines, samples) = (self.field.lines as usize, self.field.samples as usize);
        let mut echoes = Echoes::silent(lines, samples);
        for scatterer in &scatterers.tissue {
            self.beamformer.add(&mut echoes, scatterer.at(motion), scatterer.amplitude, 0.0);
        }
        for (number, scatterer) in scatterers.blood.iter().enumerate() {
            let turns = blood_turns(self.seed, index, number);
            self.beamformer.add(&mut echoes, scatterer.at(motion), scatterer.amplitude, turns);
        }
        add_side_lobes(&mut echoes, decibel(self.chain.side_lobe_db));
        let noise = self.noise(index);
        let floor = decibel(2.0 * self.chain.floor_db);
        let left = shade.amplitudes();
        for line in 0..lines {
            for sample in 0..samples {
                let at = line * samples + sample;
                let left = left.as_ref().map_or(1.0, |left| left[at]);
                let weakened = self.attenuation[sample] * self.contact[line] * left;
                let gain = self.compensation[sample];
                let re = (echoes.re[at] * weakened + noise.re[at]) * gain + self.clutter.re[at] * left;
                let im = (echoes.im[at] * weakened + noise.im[at]) * gain + self.clutter.im[at] * left;
                take(at, re, im, re * re + im * im + floor * left * left);
            }
        }
    }

    /// Electronic noise of the frame `index`: white, then limited to about the pulse's band and smoothed over
    /// neighbouring lines, which share their channels.
    fn noise(&self, index: u64) -> Echoes {
        let (lines, samples) = (self.field.lines as usize, self.field.samples as usize);
        let mut random = Random::new(self.seed, 1000 + index);
        let mut noise = Echoes::silent(lines, samples);
        // The two passes of 1/4, 1/2, 1/4 leave 3/8 of the power each; half of it is in either part.
        let level = decibel(self.chain.noise_db) * libm::sqrtf(0.5) * 8.0 / 3.0;
        for plane in [&mut noise.re, &mut noise.im] {
            plane.iter_mut().for_each(|value| *value = level * random.normal());
            smooth_both(plane, samples);
        }
        noise
    }
}

/// Weights 1/4, 1/2, 1/4 along each line and then across the lines.
fn smooth_both(plane: &mut [f32], samples: usize) {
    plane.chunks_exact_mut(samples).for_each(|line| smooth(line, 1));
    smooth(plane, samples);
}

/// Weights 1/4, 1/2, 1/4 over neighbours `step` apart, in place; the ends keep what they have.
pub(super) fn smooth(plane: &mut [f32], step: usize) {
    let mut before: Vec<f32> = plane[..step].to_vec();
    for at in step..plane.len() - step {
        let here = plane[at];
        let slot = at % step;
        plane[at] = 0.25 * before[slot] + 0.5 * here + 0.25 * plane[at + step];
        before[slot] = here;
    }
}

/// Adds to each line what its neighbours hear, weakened by `level` and falling off exponentially with their distance.
fn add_side_lobes(echoes: &mut Echoes, level: f32) {
    let keep = libm::expf(-1.0 / SIDE_LOBE_LINES);
    let samples = echoes.samples;
    for plane in [&mut echoes.re, &mut echoes.im] {
        let lines = plane.len() / samples;
        let own = plane.clone();
        for backwards in [false, true] {
            let mut heard = vec![0.0f32; samples];
            for step in 0..lines {
                let line = if backwards { lines - 1 - step } else { step };
                let span = line * samples..(line + 1) * samples;
                for ((heard, out), own) in heard.iter_mut().zip(&mut plane[span.clone()]).zip(&own[span]) {
                    *out += level * *heard;
                    *heard = keep * (*heard + own);
                }
            }
        }
    }
}

/// The gain at `depth_mm`, linear between the curve's points.
fn gain_db(tgc: &[TgcPoint], depth_mm: f32) -> f32 {
    let mut gain_db = tgc[0].gain_db;
    for pair in tgc.windows(2) {
        let part = ((depth_mm - pair[0].depth_mm) / (pair[1].depth_mm - pair[0].depth_mm)).clamp(0.0, 1.0);
        gain_db += part * (pair[1].gain_db - pair[0].gain_db);
    }
    gain_db
}

/// Reverberations and haze: speckle of its own that stands still, strongest at the face, in faint bands.
fn clutter(field: &Field, beamformer: &Beamformer, chain: &Chain, seed: u64) -> Echoes {
    let mut random = Random::new(seed, 2);
    let mut echoes = Echoes::silent(field.lines as usize, field.samples as usize);
    let patches = Texture::new(seed.wrapping_add(41), 0.16, 22.0);
    let bands = Texture::new(seed.wrapping_add(42), 0.5, 2.4);
    // A quarter of the tissue's scatterers: enough for speckle, and half the amplitude, made up for.
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

/// Log compression: `range_db` from black to white, white at 26.5 dB above plain muscle less `gain_db`.
pub fn compress_log(envelope: &[f32], gain_db: f32, range_db: f32) -> Vec<u8> {
    let white_db = MUSCLE_BELOW_WHITE_DB - gain_db;
    let grey = |value: &f32| {
        let below_db = 20.0 * libm::log10f(value.max(1e-12)) - white_db;
        // A cast to u8 saturates at both ends.
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

/// No envelope and no compression: pairs of little-endian 16-bit numbers, in-phase first, with the same white. Either
/// part saturates by itself, as a converter does.
pub fn quantise_iq(baseband: &Echoes, gain_db: f32) -> Vec<u8> {
    let scale = IQ_FULL_SCALE / decibel(MUSCLE_BELOW_WHITE_DB - gain_db);
    let stored = |value: f32| (libm::roundf(scale * value) as i16).max(-i16::MAX).to_le_bytes();
    let pairs = baseband.re.iter().zip(&baseband.im);
    pairs.flat_map(|(re, im)| [stored(*re), stored(*im)]).flatten().collect()
}
