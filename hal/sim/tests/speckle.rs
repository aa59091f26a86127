//! The speckle of a uniform body has the statistics of fully developed speckle.

mod common;

use common::Uniform;
use sonotrace_hal::geometry::{Linear, Sector};
use sonotrace_sim::echo::Beam;
use sonotrace_sim::field::Field;
use sonotrace_sim::motion::Motion;
use sonotrace_sim::scanner::{Chain, Scanner};
use sonotrace_sim::scatter::Scatterers;
use sonotrace_sim::shadow::ShadowMap;

const SECTOR: Sector = Sector {
    lines: 128,
    samples: 512,
    apex_radius_mm: 0.0,
    first_angle_rad: -0.65,
    angle_step_rad: 1.3 / 127.0,
    first_depth_mm: 1.0,
    depth_step_mm: 149.0 / 511.0,
};

/// Only echoes: without attenuation, noise, clutter and smoothing.
const BARE: Chain = Chain {
    attenuation_db_cm_mhz: 0.0,
    compensated: 0.0,
    noise_db: -200.0,
    floor_db: -200.0,
    haze_db: -200.0,
    reverberation_db: -200.0,
    reverberation_mm: 1.0,
    side_lobe_db: -200.0,
    contact_db: 0.0,
    edge_loss_db: 0.0,
    video_filter: false,
};

const LINEAR: Linear = Linear {
    lines: 128,
    samples: 512,
    left_mm: -19.0,
    line_step_mm: 38.0 / 127.0,
    first_depth_mm: 1.0,
    depth_step_mm: 49.0 / 511.0,
};

fn envelope_of(field: Field, beam: &Beam, seed: u64) -> Vec<f32> {
    let scatterers = Scatterers::draw(&Uniform, field, seed);
    let scanner = Scanner::new(field, beam, BARE, seed);
    scanner.envelope(&scatterers, Motion::REFERENCE, &ShadowMap::clear(field), 0)
}

fn envelope(seed: u64) -> Vec<f32> {
    envelope_of(SECTOR.into(), &Beam::default(), seed)
}

/// Samples between two depths, line by line.
fn band_of(field: &Field, envelope: &[f32], from_mm: f32, to_mm: f32) -> Vec<Vec<f64>> {
    let sample = |depth_mm: f32| ((depth_mm - field.first_depth_mm) / field.depth_step_mm) as usize;
    let lines = envelope.chunks_exact(field.samples as usize);
    lines
        .map(|line| line[sample(from_mm)..sample(to_mm)].iter().map(|value| f64::from(*value)).collect())
        .collect()
}

fn band(envelope: &[f32], from_mm: f32, to_mm: f32) -> Vec<Vec<f64>> {
    band_of(&SECTOR.into(), envelope, from_mm, to_mm)
}

/// The envelope of fully developed speckle is Rayleigh distributed: mean over standard deviation is
/// sqrt(pi / (4 - pi)) = 1.913, and the part above twice the root mean square is exp(-4) = 1.8 %.
fn assert_rayleigh(values: &[f64]) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let power = values.iter().map(|value| value * value).sum::<f64>() / n;
    let ratio = mean / (power - mean * mean).sqrt();
    assert!((ratio - 1.913).abs() < 0.06, "mean over deviation is {ratio}");
    let bright = values.iter().filter(|value| **value > 2.0 * power.sqrt()).count() as f64 / n;
    assert!((0.012..0.025).contains(&bright), "{bright} of the samples are above twice the root mean square");
    // Plain muscle is the reference of all levels.
    assert!((power - 1.0).abs() < 0.12, "mean power is {power}");
}

#[test]
fn envelope_is_rayleigh_distributed() {
    let values: Vec<f64> = (1..=4).flat_map(|seed| band(&envelope(seed), 45.0, 85.0).concat()).collect();
    assert_rayleigh(&values);
}

/// The same for a linear probe, also the size of the speckle.
#[test]
fn linear_probe_shows_developed_speckle() {
    let field = Field::from(LINEAR);
    let pictures: Vec<Vec<f32>> = (1..=4).map(|seed| envelope_of(field, &Beam::LINEAR, seed)).collect();
    let bands: Vec<Vec<Vec<f64>>> =
        pictures.iter().map(|picture| band_of(&field, picture, 20.0, 40.0)).collect();
    assert_rayleigh(&bands.concat().concat());
    let expected = 2.0 * (2.0 * std::f64::consts::LN_2).sqrt();
    let mean_width = |across: bool| bands.iter().map(|band| width_at_half(band, across)).sum::<f64>() / 4.0;
    let beam_mm = f64::from(Beam::LINEAR.width_rad(30.0)) * 30.0;
    let ratio = mean_width(true) * f64::from(LINEAR.line_step_mm) / (expected * beam_mm);
    assert!((0.85..1.15).contains(&ratio), "across: {ratio} of the beam's width");
    let along_mm = mean_width(false) * f64::from(LINEAR.depth_step_mm);
    let ratio = along_mm / (expected * f64::from(Beam::LINEAR.pulse_mm));
    assert!((0.85..1.15).contains(&ratio), "along: {ratio} of the pulse's length");
}

/// Full width at half maximum of the autocovariance, in steps of `lag`.
fn width_at_half(lines: &[Vec<f64>], across: bool) -> f64 {
    let count = (lines.len() * lines[0].len()) as f64;
    let mean = lines.iter().flatten().sum::<f64>() / count;
    let covariance = |lag: usize| {
        let (mut sum, mut pairs) = (0.0, 0.0);
        for (index, line) in lines.iter().enumerate() {
            for (at, value) in line.iter().enumerate() {
                let other = if across {
                    lines.get(index + lag).map(|line| line[at])
                } else {
                    line.get(at + lag).copied()
                };
                if let Some(other) = other {
                    sum += (value - mean) * (other - mean);
                    pairs += 1.0;
                }
            }
        }
        sum / pairs
    };
    let half = 0.5 * covariance(0);
    let mut last = 2.0 * half;
    for lag in 1..40 {
        let here = covariance(lag);
        if here < half {
            return 2.0 * (lag as f64 - (half - here) / (last - here));
        }
        last = here;
    }
    panic!("no half maximum within 40 steps");
}

/// The covariance of the envelope is about the squared magnitude of the covariance of the echoes (Wagner et al. 1983), so
/// that a point spread of standard deviation s gives speckle of width 2 s sqrt(2 ln 2): along the line that of the pulse,
/// across the lines that of the beam, which is wider at depth.
#[test]
fn speckle_is_as_large_as_the_point_spread() {
    let beam = Beam::default();
    let pictures: Vec<Vec<f32>> = (1..=4).map(envelope).collect();
    let mean_width = |from_mm: f32, to_mm: f32, across: bool| {
        pictures.iter().map(|picture| width_at_half(&band(picture, from_mm, to_mm), across)).sum::<f64>()
            / 4.0
    };
    let expected = 2.0 * (2.0 * std::f64::consts::LN_2).sqrt();
    let mut widths_mm = Vec::new();
    for (from_mm, to_mm) in [(60.0, 80.0), (125.0, 145.0)] {
        let middle_mm: f32 = 0.5 * (from_mm + to_mm);
        let across_rad = mean_width(from_mm, to_mm, true) * f64::from(SECTOR.angle_step_rad);
        let ratio = across_rad / (expected * f64::from(beam.width_rad(middle_mm)));
        assert!((0.85..1.15).contains(&ratio), "across, at {middle_mm} mm: {ratio} of the beam's width");
        let along_mm = mean_width(from_mm, to_mm, false) * f64::from(SECTOR.depth_step_mm);
        let ratio = along_mm / (expected * f64::from(beam.pulse_mm));
        assert!((0.85..1.15).contains(&ratio), "along, at {middle_mm} mm: {ratio} of the pulse's length");
        widths_mm.push(across_rad * f64::from(middle_mm));
    }
    assert!(widths_mm[1] > 1.8 * widths_mm[0], "{widths_mm:?} mm");
}
