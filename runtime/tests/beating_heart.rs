//! The packaged model on the simulated heart: volumes and ejection fraction of a live contour, from frames to overlays. Not under
//! emulation or with a sanitizer, where it would take minutes.
#![cfg(not(any(target_arch = "aarch64", sonotrace_sanitizer)))]
#![allow(clippy::unwrap_used)]

mod common;

use common::{AlignedBytes, Scan, boxed, click, every_frame, only, state};
use sonotrace::format::Model;
use sonotrace::hal::clock::ManualClock;
use sonotrace::hal::command::Prompt;
use sonotrace::hal::overlay::{Beat, OverlayObject, State, valid};
use sonotrace::hal::ring::RingSizes;
use sonotrace::session::{Poll, memory_required};
use sonotrace_sim::beat::END_SYSTOLE_PHASE;
use sonotrace_sim::config::SimConfig;
use sonotrace_sim::heart::{Heart, LEFT_VENTRICLE};
use sonotrace_sim::simulator::{SimFrame, Simulator};
use std::path::Path;

/// The history begins at the end of a diastole, which it does not see the rise to: four beats, and some frames until the volume has
/// left the last maximum.
const BEATS: f32 = 4.5;
/// Errors of the network's contours: a part of a volume, and of the ejection fraction itself. (Seen: 0.17 during filling, 0.054.)
const VOLUME_ERROR_MAX: f64 = 0.2;
const EJECTION_ERROR_MAX: f64 = 0.08;

/// The rhythm of a simulated scan.
struct Rhythm {
    frame_rate_hz: f32,
    rate_per_min: f32,
}

impl Rhythm {
    fn frames_a_beat(&self) -> f32 {
        60.0 * self.frame_rate_hz / self.rate_per_min
    }
}

/// Follows the ventricle from a box around it for [`BEATS`] beats, and passes each frame's phase and the object on it to `look`. Then
/// passes the scan, with the simulator and the number of its next frame, to `then`.
fn follow(
    rhythm: &Rhythm,
    mut look: impl FnMut(f32, &OverlayObject),
    then: impl FnOnce(&mut Scan<'_, &ManualClock>, &Simulator, u64),
) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/sonosamlite.sono");
    let file = AlignedBytes::new(&std::fs::read(path).unwrap());
    let (frame_rate_hz, heart_rate_bpm) = (rhythm.frame_rate_hz, rhythm.rate_per_min);
    let scanner = SimConfig { frame_rate_hz, heart_rate_bpm, density: 0.2, ..SimConfig::default() };
    let simulator = Simulator::new(scanner).unwrap();
    let config = every_frame();
    let payload_bytes = simulator.frame(0).payload.len();
    let sizes = RingSizes { frames: 2, payload_bytes, overlays: 2, commands: 4, events: 64 };
    let mut rings = sizes.region_bytes().unwrap().map(AlignedBytes::zeroed);
    let mut region = AlignedBytes::zeroed(memory_required(file.bytes(), &config).unwrap().bytes);
    let clock = ManualClock::new(0);
    let model = Model::parse(file.bytes()).unwrap();
    let rings = rings.each_mut().map(AlignedBytes::bytes_mut);
    let mut scan = Scan::open(model, rings, &sizes, region.bytes_mut(), config, &clock).unwrap();
    let truth = simulator.truth(0);
    let ventricle = truth.iter().find(|object| object.id == LEFT_VENTRICLE).unwrap();
    let bounds =
        ventricle.contour_mm.iter().fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |[x0, y0, x1, y1], at| {
            [x0.min(at.x), y0.min(at.y), x1.max(at.x), y1.max(at.y)]
        });
    scan.prompt(boxed(1, bounds)).unwrap();
    let frames = (BEATS * rhythm.frames_a_beat()) as u64;
    for index in 0..frames {
        let object = shown(&mut scan, &simulator.frame(index));
        look(index as f32 / rhythm.frames_a_beat(), &object);
    }
    then(&mut scan, &simulator, frames);
}

/// Returns the object on a frame.
fn shown(scan: &mut Scan<'_, &ManualClock>, frame: &SimFrame) -> OverlayObject {
    let _ = scan.frames.push(&frame.descriptor, &frame.payload).unwrap();
    assert_eq!(scan.outcome(), Poll::Overlay(frame.descriptor.seq));
    *only(scan.overlays.take().unwrap())
}

fn has_beat(object: &OverlayObject) -> bool {
    let has_beat = object.valid & valid::BEAT != 0;
    assert!(has_beat || object.beat == Beat::default());
    has_beat
}

#[test]
fn the_simulated_hearts_ejection_fraction() {
    let rhythm = Rhythm { frame_rate_hz: 20.0, rate_per_min: 75.0 };
    let mut last = None;
    let look = |phase: f32, object: &OverlayObject| {
        assert_eq!(state(object), if phase == 0.0 { State::Fresh } else { State::Tracked });
        assert_eq!(object.valid & (valid::VOLUME | valid::AT_BORDER), valid::VOLUME, "at {phase}");
        let expected_ml = Heart::left_ventricle_ml(phase);
        for ml in [object.volume.discs_ml, object.volume.area_length_ml] {
            let error = f64::from(ml) / expected_ml - 1.0;
            assert!(error.abs() < VOLUME_ERROR_MAX, "at {phase}: {ml} ml, not {expected_ml}");
        }
        last = has_beat(object).then_some(object.beat);
        assert!(last.is_none() || phase > 3.0, "at {phase}");
    };
    // The clock of a stream that restarts may seem to go on.
    follow(&rhythm, look, |scan, simulator, next| {
        let mut frame = simulator.frame(next);
        assert!(has_beat(&shown(scan, &frame)));
        frame = simulator.frame(next + 1);
        frame.descriptor.clock_id += 1;
        let object = shown(scan, &frame);
        assert_eq!(object.valid & (valid::VOLUME | valid::BEAT), valid::VOLUME);
    });
    let beat = last.expect("a beat after three whole ones");
    let [largest, smallest] = [0.0, END_SYSTOLE_PHASE].map(Heart::left_ventricle_ml);
    let expected = (largest - smallest) / largest;
    let error = f64::from(beat.ejection_fraction) - expected;
    assert!(error.abs() < EJECTION_ERROR_MAX, "{beat:?}, not {expected}");
    assert!((beat.rate_per_min / rhythm.rate_per_min - 1.0).abs() < 0.02, "{beat:?}");
    // The last whole beat is the fourth. Its end of systole is a plateau.
    let phase = |t_ns: u64| t_ns as f32 / 60e9 * rhythm.rate_per_min;
    assert!((phase(beat.largest_t_ns) - 3.0).abs() < 1.1 / rhythm.frames_a_beat(), "{beat:?}");
    assert!((phase(beat.smallest_t_ns) - 3.385).abs() < 1.5 / rhythm.frames_a_beat(), "{beat:?}");
}

/// A click on the frame before, which the object is then followed from.
#[test]
fn a_prompt_begins_the_beat_anew() {
    let rhythm = Rhythm { frame_rate_hz: 18.0, rate_per_min: 90.0 };
    follow(
        &rhythm,
        |_, _| {},
        |scan, simulator, next| {
            let frame = simulator.frame(next);
            let before = shown(scan, &frame);
            assert!(has_beat(&before), "{:?}", before.beat);
            let [x, y] = before.centroid_mm;
            scan.prompt(Prompt { seq: frame.descriptor.seq, ..click(1, x, y) }).unwrap();
            let object = shown(scan, &simulator.frame(next + 1));
            assert_eq!(state(&object), State::Tracked);
            assert_eq!(object.valid & (valid::VOLUME | valid::BEAT), valid::VOLUME);
        },
    );
}
