//! Beamforming: sums the echoes of scatterers as complex baseband samples along the scan lines.
//!
//! The point-spread function is a separable Gaussian: the envelope of the pulse along the line, the two-way beam across
//! the lines. The phase of an echo is that of the carrier over the round trip, `4 pi f r / c`, so that echoes interfere
//! and give speckle (Meunier and Bertrand, "Echographic image mean gray level changes with tissue dynamics: a
//! system-based model study", IEEE Trans. Biomed. Eng. 1995, uses the same model).

use crate::field::Field;
use sonotrace_hal::geometry::Point;

/// The transducer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beam {
    /// Centre frequency.
    pub frequency_mhz: f32,
    /// Speed of sound.
    pub speed_of_sound_m_s: f32,
    /// Standard deviation of the envelope of the pulse, as a length in the body.
    pub pulse_mm: f32,
    /// Standard deviation of the focused two-way beam, as an angle seen from the probe's face.
    pub divergence_rad: f32,
    /// Depth of the transmit focus.
    pub focus_mm: f32,
    /// Standard deviation, at the face, of the part of the beam that is not focused dynamically.
    pub aperture_mm: f32,
}

impl Default for Beam {
    /// A cardiac probe at 2.5 MHz.
    fn default() -> Self {
        Self {
            frequency_mhz: 2.5,
            speed_of_sound_m_s: 1540.0,
            pulse_mm: 0.62,
            divergence_rad: 0.0115,
            focus_mm: 75.0,
            aperture_mm: 1.1,
        }
    }
}

/// Widest beam, as an angle seen from the face: dynamic receive focusing keeps it this narrow close to the face.
const WIDEST_RAD: f32 = 0.030;

impl Beam {
    /// An abdominal probe at 3.5 MHz.
    pub const CONVEX: Self = Self {
        frequency_mhz: 3.5,
        speed_of_sound_m_s: 1540.0,
        pulse_mm: 0.45,
        divergence_rad: 0.0105,
        focus_mm: 80.0,
        aperture_mm: 1.3,
    };
    /// A probe for superficial organs at 7.5 MHz.
    pub const LINEAR: Self = Self {
        frequency_mhz: 7.5,
        speed_of_sound_m_s: 1540.0,
        pulse_mm: 0.2,
        divergence_rad: 0.01,
        focus_mm: 30.0,
        aperture_mm: 0.45,
    };

    /// Standard deviation of the beam at `depth_mm` (above 0), as an angle seen from the face: the diffraction limit
    /// combined with the cone that converges to the focus and diverges behind it.
    pub fn width_rad(&self, depth_mm: f32) -> f32 {
        let cone_rad = self.aperture_mm * (1.0 - depth_mm / self.focus_mm) / depth_mm;
        libm::hypotf(self.divergence_rad, cone_rad).min(WIDEST_RAD)
    }

    /// Carrier cycles of the round trip to a scatterer, per millimetre of its range.
    pub fn turns_per_mm(&self) -> f32 {
        2.0e3 * self.frequency_mhz / self.speed_of_sound_m_s
    }
}

/// Complex samples, line by line, with separate real and imaginary parts.
#[derive(Debug, Clone)]
pub struct Echoes {
    /// Samples per line.
    pub samples: usize,
    /// Real parts.
    pub re: Vec<f32>,
    /// Imaginary parts.
    pub im: Vec<f32>,
}

impl Echoes {
    /// `lines` lines of `samples` zeros.
    pub fn zeros(lines: usize, samples: usize) -> Self {
        Self { samples, re: vec![0.0; lines * samples], im: vec![0.0; lines * samples] }
    }
}

/// Positions of the pulse between two samples in its table.
const SUBSAMPLES: usize = 32;
/// Entries of the beam's table per standard deviation.
const BEAM_STEPS: f32 = 64.0;
/// Gaussians are cut off at this many standard deviations.
const CUTOFF: f32 = 2.8;

/// The beamformer of one field: its tables.
#[derive(Debug, Clone)]
pub struct Beamformer {
    field: Field,
    turns_per_mm: f32,
    /// Samples of a pulse to either side of its centre.
    pulse_radius: usize,
    /// `SUBSAMPLES` rows of `2 * pulse_radius + 1` weights.
    pulse: Vec<f32>,
    /// The right half of a Gaussian, `BEAM_STEPS` entries per standard deviation.
    gaussian: Vec<f32>,
    /// Per sample: standard deviation of the beam in lines.
    beam_lines: Vec<f32>,
    /// Per sample: peak of the point-spread function, so that plain muscle has a mean power of 1 everywhere.
    peak: Vec<f32>,
}

impl Beamformer {
    /// Computes the tables. Pulses shorter than 0.6 samples and beams narrower than 0.6 lines are widened to that, because
    /// the samples could not represent them.
    pub fn new(field: impl Into<Field>, beam: &Beam) -> Self {
        let field = field.into();
        let pulse_samples = (beam.pulse_mm / field.depth_step_mm).max(0.6);
        let pulse_radius = libm::ceilf(CUTOFF * pulse_samples) as usize;
        let mut pulse = Vec::with_capacity(SUBSAMPLES * (2 * pulse_radius + 1));
        for row in 0..SUBSAMPLES {
            let fraction = (row as f32 + 0.5) / SUBSAMPLES as f32;
            for tap in 0..=2 * pulse_radius {
                pulse.push(gaussian((tap as f32 - pulse_radius as f32 - fraction) / pulse_samples));
            }
        }
        let gaussian =
            (0..=(CUTOFF * BEAM_STEPS) as usize).map(|i| gaussian(i as f32 / BEAM_STEPS)).collect();
        let beam_lines: Vec<f32> = (0..field.samples)
            .map(|sample| {
                let depth_mm = field.depth_mm(sample).max(0.1);
                let width_mm = beam.width_rad(depth_mm) * depth_mm;
                (width_mm / field.mm_across(field.face_mm() + depth_mm) / field.step).max(0.6)
            })
            .collect();
        // The mean power of many echoes is their density times the integral of the squared point-spread function.
        let per_sample_line = field.scatterers_per_mm() * field.depth_step_mm * field.step;
        let peak = beam_lines
            .iter()
            .map(|lines| 1.0 / libm::sqrtf(per_sample_line * core::f32::consts::PI * pulse_samples * lines))
            .collect();
        let turns_per_mm = beam.turns_per_mm();
        Self { field, turns_per_mm, pulse_radius, pulse, gaussian, beam_lines, peak }
    }

    /// Adds the echo of a scatterer at `point`, with its amplitude, and with `turns` added to its phase.
    pub fn add(&self, echoes: &mut Echoes, point: Point, amplitude: f32, turns: f32) {
        let field = &self.field;
        let range_mm = field.range_mm(point);
        let sample = (range_mm - field.face_mm() - field.first_depth_mm) / field.depth_step_mm;
        let radius = self.pulse_radius as f32;
        // Written so that NaN is outside.
        let is_inside = sample > -radius && sample < field.samples as f32 - 1.0 + radius;
        if !is_inside {
            return;
        }
        let line = (field.across(point) - field.first) / field.step;
        let nearest = (sample.max(0.0) as usize).min(self.peak.len() - 1);
        let width = self.beam_lines[nearest];
        let first_line = libm::ceilf(line - CUTOFF * width).max(0.0);
        let last_line = libm::floorf(line + CUTOFF * width).min(field.lines as f32 - 1.0);
        if first_line > last_line {
            return;
        }
        let phase = range_mm * self.turns_per_mm + turns;
        let (sin, cos) = libm::sincosf(core::f32::consts::TAU * (phase - libm::floorf(phase)));
        let strength = amplitude * self.peak[nearest];

        let whole = libm::floorf(sample);
        let row = ((sample - whole) * SUBSAMPLES as f32) as usize;
        let taps = 2 * self.pulse_radius + 1;
        let pulse = &self.pulse[row.min(SUBSAMPLES - 1) * taps..][..taps];
        // The taps that are on the line.
        let start = whole as isize - self.pulse_radius as isize;
        let skip = start.min(0).unsigned_abs();
        let start = start.max(0) as usize;
        let pulse = &pulse[skip..(taps).min(skip + echoes.samples - start)];

        let steps_per_line = BEAM_STEPS / width;
        for index in first_line as usize..=last_line as usize {
            let offset = ((index as f32 - line).abs() * steps_per_line) as usize;
            let weight = strength * self.gaussian[offset.min(self.gaussian.len() - 1)];
            let (re, im) = (weight * cos, weight * sin);
            let at = index * echoes.samples + start;
            let re_line = &mut echoes.re[at..at + pulse.len()];
            let im_line = &mut echoes.im[at..at + pulse.len()];
            for ((re_out, im_out), tap) in re_line.iter_mut().zip(im_line).zip(pulse) {
                *re_out += re * tap;
                *im_out += im * tap;
            }
        }
    }
}

/// A Gaussian of standard deviation and height 1.
fn gaussian(x: f32) -> f32 {
    libm::expf(-0.5 * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use sonotrace_hal::geometry::{Linear, Sector};

    /// The formula for one scatterer, without tables and in double precision: a Gaussian along and across, with the phase
    /// of the round trip.
    struct Formula {
        lines: usize,
        samples: usize,
        first: f64,
        step: f64,
        first_depth_mm: f64,
        depth_step_mm: f64,
        /// Radius of the face; `None` for parallel lines.
        apex_mm: Option<f64>,
        scatterers_per_mm: f64,
    }

    impl Formula {
        /// The largest error of the tables, relative to the peak of the echo, for echoes inside the field and around it.
        fn worst_error(&self, beamformer: &Beamformer, beam: &Beam) -> f64 {
            let mut random = Random::new(3, 3);
            let mut worst = 0.0f64;
            for _ in 0..200 {
                let across =
                    self.first + self.step * self.lines as f64 * (1.1 * f64::from(random.uniform()) - 0.05);
                let depth_mm = self.first_depth_mm
                    + self.depth_step_mm * self.samples as f64 * (1.1 * f64::from(random.uniform()) - 0.05);
                let (x, y) = match self.apex_mm {
                    Some(apex_mm) => {
                        let radius = apex_mm + depth_mm;
                        (radius * libm::sin(across), radius * libm::cos(across) - apex_mm)
                    }
                    None => (across, depth_mm),
                };
                let range_mm = self.apex_mm.unwrap_or(0.0) + depth_mm;
                let turns = random.uniform();
                let mut echoes = Echoes::zeros(self.lines, self.samples);
                beamformer.add(&mut echoes, Point { x: x as f32, y: y as f32 }, 1.5, turns);

                let sample = (depth_mm - self.first_depth_mm) / self.depth_step_mm;
                let nearest = (sample.max(0.0) as usize).min(self.samples - 1);
                let beam_depth_mm = self.first_depth_mm + self.depth_step_mm * nearest as f64;
                let beam_mm = f64::from(beam.width_rad(beam_depth_mm as f32)) * beam_depth_mm;
                // In radians in a sector.
                let width = beam_mm / self.apex_mm.map_or(1.0, |apex_mm| apex_mm + beam_depth_mm);
                let width = width.max(0.6 * self.step);
                let pulse_mm = f64::from(beam.pulse_mm);
                let density = self.scatterers_per_mm * core::f64::consts::PI * pulse_mm * width;
                let peak = 1.5 / libm::sqrt(density);
                let cycles = range_mm * 2.0e3 * f64::from(beam.frequency_mhz) / 1540.0 + f64::from(turns);
                let phase = core::f64::consts::TAU * cycles;
                for line in 0..self.lines {
                    for at in 0..self.samples {
                        let aside = (self.first + self.step * line as f64 - across) / width;
                        let along = self.first_depth_mm + self.depth_step_mm * at as f64 - depth_mm;
                        let along = along / pulse_mm;
                        let spread = peak * libm::exp(-0.5 * (aside * aside + along * along));
                        let (re, im) = (spread * libm::cos(phase), spread * libm::sin(phase));
                        let index = line * self.samples + at;
                        let (re_error, im_error) =
                            (f64::from(echoes.re[index]) - re, f64::from(echoes.im[index]) - im);
                        worst = worst.max(libm::hypot(re_error, im_error) / peak);
                    }
                }
            }
            worst
        }
    }

    /// The tables agree with the formula, also for echoes across the edges of the field. A Gaussian is cut off at 2 % of
    /// its peak, and its table has steps of about 1 %.
    #[test]
    fn tables_agree_with_the_formula() {
        let beam = Beam { pulse_mm: 0.8, ..Beam::default() };
        let step = 0.8 / 47.0;
        let sector = Sector {
            lines: 48,
            samples: 160,
            apex_radius_mm: 12.0,
            first_angle_rad: -0.4,
            angle_step_rad: step,
            first_depth_mm: 2.0,
            depth_step_mm: 0.5,
        };
        let formula = Formula {
            lines: 48,
            samples: 160,
            first: -0.4,
            step: f64::from(step),
            first_depth_mm: 2.0,
            depth_step_mm: 0.5,
            apex_mm: Some(12.0),
            scatterers_per_mm: 690.0,
        };
        let error = formula.worst_error(&Beamformer::new(sector, &beam), &beam);
        assert!(error < 0.03, "sector: {error}");

        let beam = Beam { pulse_mm: 0.3, ..Beam::LINEAR };
        let linear = Linear {
            lines: 60,
            samples: 160,
            left_mm: -15.0,
            line_step_mm: 0.5,
            first_depth_mm: 1.0,
            depth_step_mm: 0.25,
        };
        let formula = Formula {
            lines: 60,
            samples: 160,
            first: -15.0,
            step: 0.5,
            first_depth_mm: 1.0,
            depth_step_mm: 0.25,
            apex_mm: None,
            scatterers_per_mm: 72.0,
        };
        let error = formula.worst_error(&Beamformer::new(linear, &beam), &beam);
        assert!(error < 0.03, "linear: {error}");
    }

    /// The beam is wider, in millimetres, behind the focus than at the focus.
    #[test]
    fn beam_widens_behind_its_focus() {
        let beam = Beam::default();
        let width_mm = |depth_mm: f32| beam.width_rad(depth_mm) * depth_mm;
        let mut last_mm = width_mm(60.0);
        for depth_mm in 61..200 {
            let here_mm = width_mm(depth_mm as f32);
            assert!(here_mm > last_mm, "at {depth_mm} mm");
            last_mm = here_mm;
        }
        assert!(width_mm(140.0) > 1.8 * width_mm(70.0));
    }
}
