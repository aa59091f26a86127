//! Ten minutes on the simulated scanner with every fault: each frame is accounted for, the same seed gives the same
//! overlays to the byte, and the scan allocates nothing.
#![allow(clippy::unwrap_used)]

#[path = "common/allocations.rs"]
mod allocations;
mod common;

use common::{AlignedBytes, QUEUED, disc, disc_model, every_frame};
use sonotrace::hal::clock::ManualClock;
use sonotrace::hal::event::EventKind;
use sonotrace::hal::overlay::{Overlay, PromptOutcome, Rung, State};
use sonotrace::hal::ring::{RingSizes, Rings};
use sonotrace::session::{
    Counters, DropReason, Policy, Poll, Ports, Session, SessionConfig, memory_required,
};
use sonotrace::vision::Display;
use sonotrace_sim::script::{Expected, Fault, Request, Script, ScriptedScan, Step};
use std::collections::BTreeSet;

const SCRIPT: &str = include_str!("../../hal/sim/tests/data/ten_minutes.scan");

/// Returns the steps of the script. On aarch64, where tests also run under emulation, and with a sanitizer at a tenth of its
/// frame rate: all events, in less time.
fn steps() -> Vec<Step> {
    let script = match cfg!(any(target_arch = "aarch64", sonotrace_sanitizer)) {
        true => SCRIPT.replace("rate 20 hz", "rate 2 hz"),
        false => SCRIPT.to_owned(),
    };
    ScriptedScan::new(&Script::parse(&script).unwrap()).unwrap().collect()
}

/// Result of a scan.
struct ScanResult {
    /// Hash over all bytes of all overlays.
    overlays: blake3::Hash,
    shown: u64,
    states: BTreeSet<u32>,
    answers: Vec<PromptOutcome>,
    events: BTreeSet<u32>,
    counters: Counters,
    committed: u64,
    prompts: u64,
    allocations: u64,
}

/// Compares a frame's outcome with the script's expectation.
fn check(outcome: Poll, seq: u64, expected: Expected, behind: &mut u32) {
    // A restart is detected only after some frames; those before it count as late.
    if expected == Expected::Restarted {
        *behind = 2;
    }
    let reason = match expected {
        Expected::Good | Expected::Restarted if *behind > 0 => {
            *behind -= 1;
            Some(DropReason::OutOfOrder)
        }
        Expected::Good | Expected::Restarted => None,
        Expected::Malformed => Some(DropReason::Malformed),
        Expected::OutOfOrder => Some(DropReason::OutOfOrder),
        Expected::Frozen => Some(DropReason::Frozen),
    };
    match reason {
        None => assert_eq!(outcome, Poll::Overlay(seq)),
        Some(reason) => assert_eq!(outcome, Poll::Dropped { seq, reason }),
    }
}

/// Plays the steps. Without `polls_per_frame`, polls until each frame's outcome and compares it with the expectation.
/// With few polls per frame, the session falls behind.
fn play(steps: &[Step], config: SessionConfig<'_>, polls_per_frame: Option<u32>) -> ScanResult {
    let slot_bytes = steps.iter().flat_map(|step| &step.deliveries).map(|d| d.payload.len()).min().unwrap();
    // The size of a good frame: one line more than the short payload.
    let slot_bytes = slot_bytes + slot_bytes / 31;
    let sizes = RingSizes { payload_bytes: slot_bytes, overlays: 8, ..QUEUED };
    let mut rings = sizes.region_bytes().unwrap().map(AlignedBytes::zeroed);
    let mut region = AlignedBytes::zeroed(memory_required(disc(), &config).unwrap().bytes);
    let rings = Rings::create(rings.each_mut().map(AlignedBytes::bytes_mut), &sizes).unwrap();
    let ports = Ports::of(&rings).unwrap();
    let (mut acquisition, mut display) =
        (rings.frames.producer().unwrap(), rings.overlays.consumer().unwrap());
    let (mut user, mut log) = (rings.commands.producer().unwrap(), rings.events.consumer().unwrap());
    let clock = ManualClock::new(0);
    let mut session = Session::open(disc_model(), config, region.bytes_mut(), ports, &clock).unwrap();
    let memory = session.memory();

    let mut hash = blake3::Hasher::new();
    let mut result = ScanResult {
        overlays: hash.finalize(),
        shown: 0,
        states: BTreeSet::new(),
        answers: Vec::with_capacity(1000),
        events: BTreeSet::new(),
        counters: Counters::default(),
        committed: 0,
        prompts: 0,
        allocations: 0,
    };
    let mut behind = 0;
    for step in steps {
        let now_ns = (step.time_s * 1e9) as u64;
        clock.set_ns(now_ns);
        for request in &step.requests {
            match request {
                Request::Freeze => user.set_frozen(true).unwrap(),
                Request::Resume => user.set_frozen(false).unwrap(),
                Request::Prompt(prompt) => {
                    user.prompt(*prompt).unwrap();
                    result.prompts += 1;
                }
            }
        }
        for delivery in &step.deliveries {
            let mut descriptor = delivery.descriptor;
            descriptor.t_enqueue_ns = now_ns;
            let before = allocations::calls();
            let pushed = acquisition.push(&descriptor, &delivery.payload);
            if pushed.is_err() {
                // The ring itself refused the frame, so it was never committed.
                assert_eq!(delivery.expected, Expected::Malformed);
                continue;
            }
            result.committed += 1;
            match polls_per_frame {
                Some(polls) => {
                    for _ in 0..polls {
                        session.poll();
                    }
                }
                None => {
                    let outcome = loop {
                        match session.poll() {
                            Poll::Working | Poll::Computed(_) | Poll::Update(_) => {}
                            outcome => break outcome,
                        }
                    };
                    check(outcome, descriptor.seq, delivery.expected, &mut behind);
                }
            }
            result.allocations += allocations::calls() - before;
        }
        // Prompts on a frozen image are served between its frames.
        while polls_per_frame.is_none() && session.poll() != Poll::Idle {}
        while let Some(overlay) = display.take() {
            hash.update(bytemuck::bytes_of(overlay));
            record_overlay(overlay, &mut result);
        }
        while let Some(event) = log.take() {
            result.events.insert(event.kind);
        }
    }
    assert_eq!(session.memory(), memory);
    result.counters = session.finish();
    result.overlays = hash.finalize();
    assert_eq!(u64::from(rings.frames.counters().committed), result.committed);
    result
}

/// Records the content of an overlay, and checks its invariants.
fn record_overlay(overlay: &Overlay, result: &mut ScanResult) {
    for object in overlay.objects() {
        result.shown += 1;
        result.states.insert(object.state);
        assert_eq!(object.points == 0, object.state == State::Lost as u32);
    }
    result
        .answers
        .extend(overlay.answers().iter().map(|answer| PromptOutcome::from_wire(answer.outcome).unwrap()));
}

fn replay() -> SessionConfig<'static> {
    SessionConfig {
        policy: Policy::All,
        table_rows_per_frame: 8,
        kept_frames: 4,
        display: Display::Raster { width: 320, height: 240 },
        ..every_frame()
    }
}

#[test]
fn ten_minutes_with_every_fault_are_accounted_for_and_replay_to_the_byte() {
    // Each scan is simulated separately, from the same seed.
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(steps);
        (steps(), other.join().unwrap())
    });
    let (one, two) = std::thread::scope(|scope| {
        let other = scope.spawn(|| play(&second, replay(), None));
        (play(&first, replay(), None), other.join().unwrap())
    });
    assert_eq!(one.counters.outcomes(), one.committed, "{:?}", one.counters);
    assert_eq!(one.allocations, 0, "calls to the allocator from the first frame to the last");
    assert_eq!(
        (one.overlays, one.counters),
        (two.overlays, two.counters),
        "the same seed gave other overlays"
    );

    // Every fault and event occurred.
    let counters = &one.counters;
    let dropped = |reason| counters.dropped(reason);
    for reason in [DropReason::Malformed, DropReason::OutOfOrder, DropReason::Frozen] {
        assert!(dropped(reason) > 0, "no frame was dropped as {}", reason.name());
    }
    assert_eq!(counters.restarts, 3);
    assert!(counters.rungs[Rung::Repeat as usize] > 0 && counters.updates > 0 && counters.frames_missing > 0);
    assert_eq!(counters.frames_missing, left_out(&first), "{counters:?}");
    assert_eq!(one.answers.len() as u64, one.prompts);
    assert!(one.answers.contains(&PromptOutcome::Served) && one.answers.contains(&PromptOutcome::TooOld));
    let kinds = [
        EventKind::Opened,
        EventKind::GeometryChanged,
        EventKind::TableReady,
        EventKind::FrameDropped,
        EventKind::FramesMissing,
        EventKind::StreamRestarted,
        EventKind::Frozen,
        EventKind::Resumed,
        EventKind::PromptAnswered,
        EventKind::ObjectReprojected,
    ];
    for kind in kinds {
        assert!(one.events.contains(&(kind as u32)), "{kind:?} was never recorded");
    }
    assert!(one.states.contains(&(State::Stale as u32)) && one.states.contains(&(State::Fresh as u32)));
    assert!(one.shown > first.len() as u64, "{} objects on {} frames", one.shown, first.len());

    // The same scan for a session that cannot keep up.
    let live = SessionConfig { policy: Policy::Newest, slice_ns: 1, ..replay() };
    let (slow, again) = (play(&first, live, Some(1)), play(&second, live, Some(1)));
    assert_eq!(slow.counters.outcomes(), slow.committed, "{:?}", slow.counters);
    assert!(slow.counters.dropped(DropReason::Superseded) > 0);
    assert_eq!((slow.overlays, slow.counters), (again.overlays, again.counters));
}

/// Returns the count of missing sequence numbers: of frames that the script never delivers, that the ring refuses, or
/// that are late.
fn left_out(steps: &[Step]) -> u64 {
    let is_refused = |fault: Option<Fault>| {
        matches!(fault, Some(Fault::ShortPayload | Fault::LongPayload | Fault::Large { .. } | Fault::Late))
    };
    let is_left_out =
        |step: &&Step| matches!(step.fault, Some(Fault::Missing { .. })) || is_refused(step.fault);
    steps.iter().filter(is_left_out).count() as u64
}
