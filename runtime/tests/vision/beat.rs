//! Beats found in volumes over time: of the simulated heart, with noise, gaps and other rhythms; and none where there is none.

use core::f64::consts::TAU;
use proptest::prelude::*;
use sonotrace::hal::overlay::Beat;
use sonotrace::vision::VolumeHistory;
use sonotrace_sim::beat::Beat as Phase;

/// Pseudo-random numbers from 0 to 1, and normally distributed ones.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as f64 + 0.5) / f64::from(1u32 << 31)
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (TAU * self.uniform()).cos()
    }
}

const LARGEST_ML: f64 = 120.0;

/// Under emulation and with a sanitizer, tests take fewer frame rates and less time.
const IS_SLOW: bool = cfg!(any(target_arch = "aarch64", sonotrace_sanitizer));

/// Returns the volume at a phase of the beat, as the simulated ventricle's contraction changes it.
fn ventricle_ml(phase: f64, ejection: f64) -> f64 {
    LARGEST_ML * (1.0 - ejection * f64::from(Phase::at_phase(phase.rem_euclid(1.0) as f32).contraction))
}

/// A time in seconds as an acquisition time: not from 0.
fn ns(seconds: f64) -> u64 {
    3_000_000_007 + (seconds * 1e9) as u64
}

fn seconds(t_ns: u64) -> f64 {
    (t_ns - 3_000_000_007) as f64 / 1e9
}

/// Volumes at a frame rate, and what is known of the beat on each frame.
fn followed(
    fps: f64,
    duration_s: f64,
    mut volume_ml: impl FnMut(f64) -> Option<f64>,
) -> Vec<(f64, Option<Beat>)> {
    let mut history = VolumeHistory::new();
    (0..(duration_s * fps) as u64)
        .map(|frame| {
            let t = frame as f64 / fps;
            if let Some(ml) = volume_ml(t) {
                history.push(ns(t), ml as f32);
            }
            (t, history.beat(ns(t)))
        })
        .collect()
}

/// Returns the volumes that are kept of each beat: of frames closer than 15 ms two make one.
fn kept_a_beat(fps: f64, per_min: f64) -> f64 {
    let kept = if fps > 1000.0 / 15.0 { fps / 2.0 } else { fps };
    kept * 60.0 / per_min
}

#[test]
fn a_regular_heart_at_every_frame_rate() {
    let rates = [10.0, 15.0, 20.0, 25.0, 30.0, 45.8, 60.0, 75.0, 90.0, 120.0];
    for fps in rates.into_iter().step_by(if IS_SLOW { 4 } else { 1 }) {
        for per_min in [30.0, 45.0, 60.0, 75.0, 100.0, 150.0, 200.0, 240.0] {
            for (ejection, start) in [(0.6, 0.0), (0.35, 0.45), (0.15, 0.8)] {
                let beat_s = 60.0 / per_min;
                let frames =
                    followed(fps, 9.0 * beat_s, |t| Some(ventricle_ml(start + t / beat_s, ejection)));
                let named = || format!("{fps} fps, {per_min} a minute, {ejection}");
                let per_beat = kept_a_beat(fps, per_min);
                if per_beat < 7.0 {
                    assert!(frames.iter().all(|(_, beat)| beat.is_none()), "{}", named());
                    continue;
                } else if per_beat < 9.0 {
                    continue;
                }
                for (t, beat) in frames {
                    let phase = start + t / beat_s;
                    // Three whole beats after the first end of a diastole that the history shows rising and falling.
                    let first_whole = if start == 0.0 { 1.0 } else { 0.0 };
                    assert!(phase > first_whole + 3.0 || beat.is_none(), "{}: {t} s, too early", named());
                    if phase < 5.4 {
                        continue;
                    }
                    let Some(beat) = beat else { panic!("{}: none at {t} s", named()) };
                    let near =
                        |got: f32, expected: f64, part: f64| (f64::from(got) / expected - 1.0).abs() < part;
                    let allowed = if per_beat < 16.0 { 0.03 } else { 0.012 };
                    assert!(
                        (f64::from(beat.ejection_fraction) - ejection).abs() < allowed,
                        "{}: {beat:?}",
                        named()
                    );
                    assert!(near(beat.largest_ml, LARGEST_ML, allowed), "{}: {beat:?}", named());
                    assert!(near(beat.rate_per_min, per_min, 0.03), "{}: {beat:?}", named());
                    // The frames nearest to the end of a diastole and of a systole (0.36 to 0.41 of a beat), to one frame.
                    let off = |t_ns: u64, phase: f64| {
                        let beats = start + seconds(t_ns) / beat_s - phase;
                        (beats - beats.round()).abs() * per_beat
                    };
                    assert!(off(beat.largest_t_ns, 0.0) < 1.1, "{}: {beat:?}", named());
                    assert!(off(beat.smallest_t_ns, 0.385) < 1.1 + 0.025 * per_beat, "{}: {beat:?}", named());
                    assert!(beat.smallest_t_ns > beat.largest_t_ns);
                    // The last whole beat.
                    let age_beats = (t - seconds(beat.largest_t_ns)) / beat_s;
                    assert!((1.0..2.5).contains(&age_beats), "{}: {age_beats} beats old", named());
                }
            }
        }
    }
}

/// Noise of each frame of 3 % of the largest volume: the parabola keeps most of it out of the extremes.
#[test]
fn noise_of_contours() {
    let limits = [(30.0, 0.03), (20.0, 0.04), (60.0, 0.02), (120.0, 0.015)];
    for (fps, limit) in limits.into_iter().take(if IS_SLOW { 1 } else { 4 }) {
        let mut noise = Noise(11);
        let frames =
            followed(fps, 120.0, |t| Some(ventricle_ml(t / 0.8, 0.6) + 0.03 * LARGEST_ML * noise.normal()));
        let errors: Vec<f64> = frames
            .iter()
            .filter_map(|(_, beat)| Some(f64::from(beat.as_ref()?.ejection_fraction) - 0.6))
            .collect();
        assert!(
            errors.len() as f64 > 0.85 * frames.len() as f64,
            "{fps} fps: {} of {}",
            errors.len(),
            frames.len()
        );
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        assert!(mean.abs() < limit, "{fps} fps: {mean}");
        assert!(errors.iter().all(|error| error.abs() < 0.12), "{fps} fps: {errors:?}");
    }
}

/// A fifth of the frames is missing, and their times jitter.
#[test]
fn missed_frames() {
    let mut noise = Noise(3);
    let mut history = VolumeHistory::new();
    let (mut found, mut late) = (0, 0);
    for frame in 0..3000 {
        let t = (f64::from(frame) + 0.2 * noise.uniform()) / 30.0;
        if noise.uniform() > 0.2 {
            history.push(ns(t), ventricle_ml(t / 0.9, 0.55) as f32);
        }
        if let Some(beat) = history.beat(ns(t)) {
            assert!((f64::from(beat.ejection_fraction) - 0.55).abs() < 0.05, "{beat:?}");
            found += 1;
        }
        late += 1;
    }
    assert!(f64::from(found) > 0.8 * f64::from(late), "{found} of {late}");
}

#[test]
fn no_beat_in_noise_in_a_constant_or_in_a_drift() {
    let minutes = if IS_SLOW { 0.25 } else { 8.0 };
    let mut noise = Noise(5);
    for fps in [10.0, 30.0, 60.0] {
        assert!(followed(fps, 60.0, |_| Some(80.0)).iter().all(|(_, beat)| beat.is_none()));
        assert!(followed(fps, 60.0, |t| Some(80.0 + t)).iter().all(|(_, beat)| beat.is_none()));
        for deviation in [0.03, 0.1, 0.3] {
            // White, and with a memory of some frames.
            for kept in [0.0, 0.6, 0.9, 0.97] {
                let mut now = 0.0;
                let frames = followed(fps, 60.0 * minutes, |_| {
                    now = kept * now + (1.0f64 - kept * kept).sqrt() * noise.normal();
                    Some((100.0 * (1.0 + deviation * now)).max(1.0))
                });
                let found = frames.iter().filter(|(_, beat)| beat.is_some()).count();
                assert_eq!(found, 0, "{fps} fps, {deviation}, {kept}");
            }
        }
    }
}

/// Volumes of beats of the given durations, one after another: systole takes as long in each, up to the half of it.
fn rhythm(durations_s: &[f64]) -> impl Fn(f64) -> Option<f64> + '_ {
    move |t| {
        let mut begun = 0.0;
        for &duration in durations_s {
            if t < begun + duration {
                return Some(ventricle_ml((t - begun) / duration, 0.55));
            }
            begun += duration;
        }
        None
    }
}

#[test]
fn irregular_rhythms_have_no_beat() {
    // Every second, third and fourth beat comes early.
    for pattern in [&[1.0, 0.6][..], &[0.8, 0.8, 0.55], &[0.7, 0.7, 1.0], &[0.8, 0.8, 0.5, 1.1]] {
        let beats: Vec<f64> = pattern.iter().copied().cycle().take(60).collect();
        let frames = followed(30.0, beats.iter().sum(), rhythm(&beats));
        assert!(frames.iter().all(|(_, beat)| beat.is_none()), "{pattern:?}");
    }
    // At random: a beat is only found where three of them happen to be alike. (A duration from fall to fall holds a part of the
    // next systole, so that it differs less than the beats do.)
    let mut noise = Noise(17);
    let beats: Vec<f64> = (0..600).map(|_| 0.5 + 0.7 * noise.uniform()).collect();
    let frames = followed(30.0, beats.iter().sum(), rhythm(&beats));
    let found = frames.iter().filter_map(|(_, beat)| *beat);
    let mut count = 0;
    for beat in found {
        let mut begun = 0.0;
        let started = seconds(beat.largest_t_ns) + 0.1;
        let last = beats.iter().position(|duration| {
            begun += duration;
            started < begun
        });
        let alike = &beats[last.unwrap() - 2..=last.unwrap()];
        let longest = alike.iter().copied().fold(0.0, f64::max);
        let shortest = alike.iter().copied().fold(f64::MAX, f64::min);
        assert!(longest - shortest < 0.25 * longest, "{alike:?}");
        count += 1;
    }
    assert!(f64::from(count) < 0.15 * frames.len() as f64, "{count} of {}", frames.len());
}

/// Breathing, 15 times a minute, changes the heart's rate by 8 %, and moves the ventricle through the plane: 8 % of its volume.
#[test]
fn breathing_is_no_irregular_rhythm() {
    let frames = followed(30.0, 60.0, |t| {
        let breath = (TAU * t / 4.0).sin();
        Some(ventricle_ml((t + 0.04 * 4.0 / TAU * breath) / 0.85, 0.6) * (1.0 + 0.04 * breath))
    });
    let found: Vec<Beat> = frames.iter().filter_map(|(_, beat)| *beat).collect();
    assert!(found.len() as f64 > 0.7 * frames.len() as f64, "{} of {}", found.len(), frames.len());
    assert!(found.iter().all(|beat| (beat.ejection_fraction - 0.6).abs() < 0.06));
}

#[test]
fn gaps_clocks_and_clearing_begin_anew() {
    let filled = || {
        let mut history = VolumeHistory::new();
        for frame in 0..150 {
            let t = f64::from(frame) / 30.0;
            history.push(ns(t), ventricle_ml(t, 0.6) as f32);
        }
        history
    };
    let end_s = 149.0 / 30.0;
    let first_after = |history: &mut VolumeHistory, from_s: f64| {
        (0..300).map(|frame| from_s + f64::from(frame) / 30.0).find_map(|t| {
            history.push(ns(t), ventricle_ml(t, 0.6) as f32);
            history.beat(ns(t)).map(|_| t - from_s)
        })
    };
    // A short gap is none.
    assert!(first_after(&mut filled(), end_s + 0.15).is_some_and(|s| s < 0.1));
    let mut after_gap = filled();
    assert!(after_gap.beat(ns(end_s + 0.39)).is_some());
    assert_eq!(after_gap.beat(ns(end_s + 0.41)), None);
    assert!(first_after(&mut after_gap, end_s + 0.41).is_some_and(|s| s > 3.0));
    let mut earlier = filled();
    assert_eq!(earlier.beat(ns(end_s - 1.0)), None);
    assert!(first_after(&mut earlier, end_s - 1.0).is_some_and(|s| s > 3.0));
    let mut cleared = filled();
    cleared.clear();
    assert_eq!(cleared.beat(ns(end_s)), None);
    assert!(first_after(&mut cleared, end_s + 0.03).is_some_and(|s| s > 3.0));
    // What is no volume is ignored, and so is a second one of a frame.
    let mut odd = filled();
    let before = odd.beat(ns(end_s));
    for volume in [f32::NAN, f32::INFINITY, 0.0, -3.0, 500.0] {
        odd.push(ns(end_s), volume);
        assert_eq!(odd.beat(ns(end_s)), before);
    }
    odd.push(ns(end_s + 0.01), f32::NAN);
    assert_eq!(odd.beat(ns(end_s)), before);
    assert!(before.is_some());
}

#[test]
fn a_heart_that_stops_has_no_beat() {
    let frames = followed(30.0, 20.0, |t| Some(ventricle_ml(t.min(10.2), 0.6)));
    assert!(frames.iter().any(|(t, beat)| *t > 9.0 && beat.is_some()));
    assert!(frames.iter().all(|(t, beat)| *t < 12.1 || beat.is_none()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A sinusoid of any rate, phase and size, at any frame rate with ten frames a beat or more.
    #[test]
    fn sinusoids(
        per_min in 30.0..240.0f64,
        frames in 0.0..1.0f64,
        phase in 0.0..1.0f64,
        ejection in 0.12..0.8f64,
        size in 0.01..1000.0f64,
    ) {
        let slowest = (10.0 * per_min / 60.0f64).max(10.0);
        let fps = slowest + frames * (120.0 - slowest);
        prop_assume!(kept_a_beat(fps, per_min) >= 10.0);
        let beat_s = 60.0 / per_min;
        let frames = followed(fps, 7.0 * beat_s, |t| {
            Some(size * (1.0 - ejection * (0.5 - 0.5 * (TAU * (phase + t / beat_s)).cos())))
        });
        for (t, beat) in frames {
            prop_assert!(t > 3.0 * beat_s || beat.is_none());
            if t > 5.4 * beat_s {
                prop_assert!(beat.is_some(), "{fps} fps, {per_min} a minute, {ejection}: none at {t} s");
                let Beat { ejection_fraction, largest_ml, rate_per_min, .. } = beat.unwrap();
                prop_assert!((f64::from(ejection_fraction) - ejection).abs() < 0.025, "{fps} {per_min}: {beat:?}");
                prop_assert!((f64::from(largest_ml) / size - 1.0).abs() < 0.03, "{fps} {per_min}: {beat:?}");
                prop_assert!((f64::from(rate_per_min) / per_min - 1.0).abs() < 0.04, "{fps} {per_min}: {beat:?}");
            }
        }
    }

    /// Whatever is pushed: what is returned lies within its limits, and names frames.
    #[test]
    fn any_volumes_at_any_times(
        steps in prop::collection::vec((0u64..60_000_000, -0.2..1.0f32), 0..900),
        beats in 0.0..20.0f64,
        restart in 0usize..900,
    ) {
        let mut history = VolumeHistory::new();
        let (mut t_ns, mut times) = (u64::MAX / 2, Vec::new());
        for (index, (step_ns, noise)) in steps.into_iter().enumerate() {
            t_ns = if index == restart { t_ns / 3 } else { t_ns + step_ns };
            let volume = 50.0 + 12.0 * noise * noise * noise + 30.0 * (beats * t_ns as f64 / 1e9).sin() as f32;
            times.push(t_ns);
            history.push(t_ns, volume);
            if let Some(beat) = history.beat(t_ns) {
                prop_assert!(beat.largest_ml > beat.smallest_ml && beat.smallest_ml > 0.0);
                prop_assert!((0.0999..1.0).contains(&beat.ejection_fraction));
                prop_assert!((28.8..250.1).contains(&beat.rate_per_min));
                prop_assert!(beat.largest_t_ns < beat.smallest_t_ns && beat.smallest_t_ns <= t_ns);
                prop_assert!(times.contains(&beat.largest_t_ns) && times.contains(&beat.smallest_t_ns));
            }
        }
    }
}
