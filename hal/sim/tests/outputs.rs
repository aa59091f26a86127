//! Other settings of the simulated scanner: IQ, linear probes, fewer scatterers, a fetal head, slides and shadows.

use sonotrace_hal::geometry::{Geometry, LineSample, Point};
use sonotrace_sim::echo::Beam;
use sonotrace_sim::field::{Field, ScannedRegion};
use sonotrace_sim::phantom::TruthObject;
use sonotrace_sim::scanner::Chain;
use sonotrace_sim::shadow::Shadow;
use sonotrace_sim::{Anatomy, Body, Conditions, Output, Probe, SimConfig, Simulator, fetal_head};
use std::sync::Arc;

fn simulator(config: SimConfig) -> Simulator {
    Simulator::new(config).expect("a valid configuration")
}

/// Without the video filter, which IQ does not have.
fn unfiltered() -> SimConfig {
    let chain = Chain { video_filter: false, ..Chain::default() };
    SimConfig { lines: 64, samples: 192, chain, ..SimConfig::default() }
}

fn iq_pairs(payload: &[u8]) -> Vec<(i16, i16)> {
    let part = |bytes: &[u8]| i16::from_le_bytes([bytes[0], bytes[1]]);
    payload.chunks_exact(4).map(|pair| (part(&pair[..2]), part(&pair[2..]))).collect()
}

fn magnitude((re, im): (i16, i16)) -> f64 {
    f64::from(re).hypot(f64::from(im))
}

/// The compressed envelope of IQ, with white at 32767, gives the logarithmic bytes.
#[test]
#[cfg_attr(
    target_arch = "aarch64",
    ignore = "long under emulation: other tests show that the bytes are the same on every platform"
)]
fn iq_compresses_to_the_logarithmic_picture() {
    for (gain_db, shadow) in [
        (0.0, None),
        (-4.0, None),
        (9.0, Some(Shadow { from: -0.2, to: 0.1, depth_mm: 30.0, loss_db: 20.0 })),
    ] {
        let conditions = Conditions { shadow, ..Conditions::default() };
        let config = SimConfig { gain_db, ..unfiltered() };
        let logarithmic = simulator(config.clone()).frame_under(4, &conditions).payload;
        let iq = simulator(SimConfig { output: Output::Iq, ..config }).frame_under(4, &conditions).payload;
        let mut grey_levels = 0;
        for (pair, byte) in iq_pairs(&iq).into_iter().zip(&logarithmic) {
            // Quantisation of the two parts is about 1 dB at this level, and less above.
            if magnitude(pair) > 60.0 {
                let below_white_db = 20.0 * (magnitude(pair) / 32767.0).log10();
                let grey = (255.0 * (1.0 + below_white_db / 50.0)).clamp(0.0, 255.0);
                assert!((grey - f64::from(*byte)).abs() < 1.3, "{pair:?}: {grey} against {byte}");
                grey_levels += u32::from(*byte > 0);
            }
        }
        assert!(grey_levels > 10_000, "only {grey_levels} samples compared");
    }
}

/// Echoes beyond full scale saturate and keep their sign.
#[test]
fn iq_saturates() {
    let sim = simulator(SimConfig { gain_db: 40.0, output: Output::Iq, ..unfiltered() });
    let pairs = iq_pairs(&sim.frame(0).payload);
    let at = |end: i16| pairs.iter().filter(|pair| pair.0 == end || pair.1 == end).count();
    assert!(at(i16::MAX) > 500 && at(-i16::MAX) > 500 && at(i16::MIN) == 0);
}

/// Consecutive IQ frames have the same phase where tissue does not move.
#[test]
fn iq_is_coherent() {
    let chain = Chain { noise_db: -200.0, ..unfiltered().chain };
    let config = SimConfig { output: Output::Iq, heart_rate_bpm: 0.0, chain, ..unfiltered() };
    let sim = simulator(config);
    let (a, b) = (iq_pairs(&sim.frame(0).payload), iq_pairs(&sim.frame(1).payload));
    let same = |(a, b): (&(i16, i16), &(i16, i16))| {
        let dot = f64::from(a.0) * f64::from(b.0) + f64::from(a.1) * f64::from(b.1);
        magnitude(*a) > 800.0 && dot > 0.95 * magnitude(*a) * magnitude(*b)
    };
    let bright = a.iter().filter(|pair| magnitude(**pair) > 800.0).count();
    let kept = a.iter().zip(&b).filter(|pairs| same(*pairs)).count();
    assert!(bright > 1000 && kept > bright * 8 / 10, "{kept} of {bright}");
}

/// The mean brightness of plain tissue does not depend on how many scatterers it has.
#[test]
#[cfg_attr(
    target_arch = "aarch64",
    ignore = "long under emulation: other tests show that the bytes are the same on every platform"
)]
fn brightness_does_not_depend_on_density() {
    let mean = |density: f32| {
        let sim = simulator(SimConfig { lines: 32, samples: 128, density, ..SimConfig::default() });
        let picture = sim.frame(0).payload;
        picture.iter().map(|grey| f64::from(*grey)).sum::<f64>() / picture.len() as f64
    };
    let (full, tenth) = (mean(1.0), mean(0.1));
    assert!((full - tenth).abs() < 8.0, "{full} against {tenth}");
}

fn object(truth: &[TruthObject], id: u32) -> &TruthObject {
    truth.iter().find(|object| object.id == id).expect("an object that every frame has")
}

/// Bone is brighter than brain, tissue below the head is darker than tissue beside it, and the whole head is in view at
/// all times of its sway.
#[test]
fn fetal_head_has_realistic_brightness() {
    let sim = simulator(SimConfig { density: 0.5, ..SimConfig::fetal_head() });
    let (lines, samples) = (sim.config().lines as usize, sim.config().samples as usize);
    for index in [0, 60, 150] {
        let frame = sim.frame(index);
        let head = object(&frame.truth, fetal_head::HEAD);
        let geometry = sim.geometry();
        let grey = |point: Point| {
            let LineSample { line, sample } = geometry.to_line_sample(point);
            assert!(line >= 0.0 && line <= (lines - 1) as f32, "{point:?} out of view");
            assert!(sample >= 0.0 && sample <= (samples - 1) as f32, "{point:?} out of view");
            f64::from(frame.payload[line as usize * samples + sample as usize])
        };
        let middle = head.centroid_mm();
        let towards = |edge: &Point, part: f32| Point {
            x: middle.x + (edge.x - middle.x) * part,
            y: middle.y + (edge.y - middle.y) * part,
        };
        let mean_at =
            |part: f32| head.contour_mm.iter().map(|edge| grey(towards(edge, part))).sum::<f64>() / 180.0;
        let (bone, brain) = (mean_at(0.965), mean_at(0.75));
        assert!(bone > brain + 60.0, "frame {index}: bone {bone}, brain {brain}");
        let mean = |x_mm: f32, y_mm: f32| {
            let near = (-10..=10).flat_map(|dx| (-10..=10).map(move |dy| (dx as f32, dy as f32)));
            near.map(|(dx, dy)| grey(Point { x: x_mm + 0.5 * dx, y: y_mm + 0.5 * dy })).sum::<f64>() / 441.0
        };
        let (beneath, beside) = (mean(0.0, 145.0), mean(77.0, 125.0));
        assert!(beside > beneath + 20.0, "frame {index}: beneath {beneath}, beside {beside}");
        assert!((head.area_mm2() / fetal_head::area_mm2() - 1.0).abs() < 1e-3);
    }
}

fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len() as f32;
    let (mean_a, mean_b) = (a.iter().sum::<f32>() / n, b.iter().sum::<f32>() / n);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - mean_a) * (y - mean_b);
        aa += (x - mean_a) * (x - mean_a);
        bb += (y - mean_b) * (y - mean_b);
    }
    ab / (aa * bb).sqrt()
}

/// A slide moves the true contours by exactly its amount, and the speckle with them. A linear probe's image is shifted, a
/// sector probe's shows the tissue from another angle. At the old position only the outline of the wall is similar.
#[test]
#[cfg_attr(
    target_arch = "aarch64",
    ignore = "long under emulation: other tests show that the bytes are the same on every platform"
)]
fn slide_moves_truth_and_speckle_together() {
    const SLIDE_MM: f32 = 3.0;
    let still = SimConfig { heart_rate_bpm: 0.0, ..SimConfig::default() };
    let linear = SimConfig {
        probe: Probe::Linear { width_mm: 60.0 },
        beam: Beam::LINEAR,
        depth_mm: 80.0,
        // The slide is six lines.
        lines: 121,
        chain: Chain { noise_db: -90.0, haze_db: -60.0, ..Chain::default() },
        ..still.clone()
    };
    for (config, least_moving, most_standing) in [(still, 0.7, 0.62), (linear, 0.9, 0.5)] {
        let field = Field::of(simulator(config.clone()).geometry()).expect("scan lines");
        let body = Body::draw(Anatomy::Heart, ScannedRegion::from(field).with_slide(SLIDE_MM), config.seed);
        let sim = Simulator::with_body(Arc::new(body), config.clone()).expect("a valid configuration");
        let slid = Conditions { slide_mm: SLIDE_MM, ..Conditions::default() };
        for (before, after) in sim.truth(0).iter().zip(sim.truth_under(0, &slid)) {
            assert!((after.area_mm2() - before.area_mm2()).abs() < 0.1);
            for (a, b) in before.contour_mm.iter().zip(&after.contour_mm) {
                assert!((b.x - a.x - SLIDE_MM).abs() < 1e-4 && (b.y - a.y).abs() < 1e-4);
            }
        }
        let (before, after) = (sim.envelope(0), sim.envelope_under(0, &slid));
        let samples = config.samples as usize;
        let value = |envelope: &[f32], point: Point| {
            let LineSample { line, sample } = sim.geometry().to_line_sample(point);
            let at = |line: usize, sample: usize| envelope[line * samples + sample];
            let (l, s) = (line as usize, sample as usize);
            let (across, along) = (line - l as f32, sample - s as f32);
            let near = at(l, s) * (1.0 - across) + at(l + 1, s) * across;
            let far = at(l, s + 1) * (1.0 - across) + at(l + 1, s + 1) * across;
            near * (1.0 - along) + far * along
        };
        let septum = sim.truth(0)[2].click_mm;
        let (mut was, mut followed, mut stayed) = (Vec::new(), Vec::new(), Vec::new());
        for row in -30..=30 {
            for column in -6..=6 {
                let old = Point { x: septum.x + 0.5 * column as f32, y: septum.y + 0.4 * row as f32 };
                let new = Point { x: old.x + SLIDE_MM, y: old.y };
                was.push(value(&before, old));
                followed.push(value(&after, new));
                stayed.push(value(&after, old));
            }
        }
        let (moving, standing) = (correlation(&was, &followed), correlation(&was, &stayed));
        assert!(moving > least_moving, "followed: {moving}, at the same place: {standing}");
        assert!(standing < most_standing, "followed: {moving}, at the same place: {standing}");
    }
}

/// A shadow darkens its own lines below its depth, and no others.
#[test]
#[cfg_attr(
    target_arch = "aarch64",
    ignore = "long under emulation: other tests show that the bytes are the same on every platform"
)]
fn shadow_darkens_its_lines() {
    let sim = simulator(SimConfig { lines: 64, samples: 192, ..SimConfig::default() });
    let rib = Shadow { from: -0.3, to: -0.1, depth_mm: 20.0, loss_db: 30.0 };
    let shaded = Conditions { shadow: Some(rib), ..Conditions::default() };
    let (clear, dark) = (sim.envelope(2), sim.envelope_under(2, &shaded));
    let Geometry::Sector(sector) = sim.geometry() else { panic!("a phased probe has a sector") };
    for line in 0..64 {
        let angle = sector.first_angle_rad + sector.angle_step_rad * line as f32;
        let sum = |envelope: &[f32], samples: core::ops::Range<usize>| {
            envelope[line * 192..][samples].iter().sum::<f32>()
        };
        assert_eq!(sum(&clear, 0..20), sum(&dark, 0..20), "line {line} in front of the shadow");
        let left = sum(&dark, 30..150) / sum(&clear, 30..150);
        if (-0.26..-0.14).contains(&angle) {
            assert!(left < 0.25, "line {line}: {left}");
        } else if !(-0.4..0.0).contains(&angle) {
            assert_eq!(left, 1.0, "line {line}");
        }
    }
}

/// The bytes of the head's frames are also the same on every platform.
#[test]
fn head_bytes_are_the_same_on_every_platform() {
    let small = SimConfig { lines: 48, samples: 128, density: 0.2, ..SimConfig::fetal_head() };
    let linear = SimConfig {
        probe: Probe::Linear { width_mm: 40.0 },
        beam: Beam::LINEAR,
        output: Output::Iq,
        ..small.clone()
    };
    let seen = [small, linear].map(|config| simulator(config).frame(5).descriptor.crc32);
    assert_eq!(seen, [3_567_820_977, 4_212_319_841]);
}
