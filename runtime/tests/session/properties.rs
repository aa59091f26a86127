//! For any frames and prompts, a session does not panic, and its counters add up.

use crate::common::{
    Memory, Random, SLOT_PAYLOAD_BYTES, Ticking, boxed, click, every_frame, frame, picture, remove,
};
use proptest::prelude::*;
use sonotrace::hal::clock::{Clock, ManualClock};
use sonotrace::hal::command::{PointSpace, Prompt, PromptKind};
use sonotrace::hal::frame::FrameDescriptor;
use sonotrace::hal::overlay::{CONTOUR_POINTS_MAX, Overlay, Rung, State, valid};
use sonotrace::session::{Counters, DropReason, Policy, Poll, SessionConfig};
use sonotrace::vision::Display;

/// One step of a scan.
#[derive(Debug, Clone)]
enum Step {
    /// A valid frame.
    Good,
    /// A frame with some words changed.
    Changed(Vec<(usize, u32)>),
    /// A descriptor of random bytes after the right magic.
    Noise(u64),
    Prompt(Prompt),
    Freeze(bool),
    Poll(usize),
    Fetch,
}

/// Generates values for a descriptor's words: integers, floats, and arbitrary bits.
fn word() -> impl Strategy<Value = u32> {
    let floats = [0.0f32, -0.0, 1.0, -1.0, 0.1, 1e-30, 1e30, f32::NAN, f32::INFINITY, f32::MIN_POSITIVE];
    prop_oneof![
        any::<u32>(),
        0u32..70,
        Just(u32::MAX),
        prop::sample::select(floats.to_vec()).prop_map(f32::to_bits),
        (-60.0f32..60.0).prop_map(f32::to_bits),
        (-1.6f32..1.6).prop_map(f32::to_bits),
    ]
}

fn prompt() -> impl Strategy<Value = Prompt> {
    let place = || prop_oneof![-30.0f32..60.0, any::<f32>().prop_filter("finite", |at| at.is_finite())];
    let object = prop_oneof![1u32..4, 1u32..20, Just(u32::MAX)];
    let corners = [place(), place(), place(), place()];
    let space = prop::sample::select(vec![PointSpace::Plane, PointSpace::LineSample, PointSpace::Display]);
    (object, 0u64..12, space, corners, 0..5).prop_map(|(object, seq, space, corners, kind)| {
        let [x, y, ..] = corners;
        let prompt = match kind {
            0 | 1 => click(object, x, y),
            2 | 3 => boxed(object, corners),
            _ => remove(object),
        };
        let kind = match prompt.kind {
            PromptKind::Click { at, .. } => PromptKind::Click { at, is_positive: kind == 0 },
            other => other,
        };
        Prompt { seq, space, kind, ..prompt }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let words = size_of::<FrameDescriptor>() / 4;
    let step = prop_oneof![
        4 => Just(Step::Good),
        3 => prop::collection::vec((0..words, word()), 1..4).prop_map(Step::Changed),
        1 => any::<u64>().prop_map(Step::Noise),
        3 => prompt().prop_map(Step::Prompt),
        4 => (0usize..40).prop_map(Step::Poll),
        1 => any::<bool>().prop_map(Step::Freeze),
        1 => Just(Step::Fetch),
    ];
    prop::collection::vec(step, 1..40)
}

/// Returns a valid descriptor of one of several kinds, small enough for a slot.
fn base(kind: usize, seq: u64) -> FrameDescriptor {
    let sector = FrameDescriptor {
        geometry: 2,
        apex_radius_mm: 30.0,
        first_angle_rad: -0.5,
        last_angle_rad: 0.5,
        last_depth_mm: 60.0,
        ..frame(seq)
    };
    match kind {
        0 => frame(seq),
        1 => sector,
        2 => FrameDescriptor { geometry: 3, apex_radius_mm: 0.0, ..sector },
        3 => picture(seq, true),
        4 => picture(seq, false),
        _ => FrameDescriptor {
            domain: 2,
            sample_type: 3,
            amplitude_law: 1,
            stride_bytes: 256,
            payload_bytes: 16 * 256,
            ..frame(seq)
        },
    }
}

/// Checks what holds for every overlay, whatever the frames.
fn check_overlay(overlay: &Overlay) -> Result<(), TestCaseError> {
    let mut worst = 0;
    for object in overlay.objects() {
        prop_assert!(object.id != 0);
        let state = State::from_wire(object.state);
        prop_assert!(!matches!(state, None | Some(State::Empty)));
        worst = worst.max(object.state);
        prop_assert!(object.points as usize <= CONTOUR_POINTS_MAX);
        prop_assert_eq!(object.points == 0, matches!(state, Some(State::Absent | State::Lost)));
        prop_assert_eq!(object.polygons_px().map(<[_]>::len).sum::<usize>(), object.points as usize);
        // On a frame that was not computed, nothing is of this frame.
        let is_old = matches!(state, Some(State::Absent | State::Stale | State::Lost));
        prop_assert!(overlay.rung < Rung::Spread as u32 || is_old);
        let warns = object.valid & valid::ATTENTION != 0;
        prop_assert!(!warns || matches!(state, Some(State::Attention | State::Stale)));
        prop_assert!(warns || state != Some(State::Attention));
        prop_assert!((0.0..=1.0).contains(&object.confidence));
        prop_assert!(object.area_px2 >= 0.0 && object.area_mm2 >= 0.0 && object.perimeter_mm >= 0.0);
        let points = object.contour_px().iter().chain(object.contour_mm());
        prop_assert!(points.flatten().all(|value| value.is_finite()), "{object:?}");
    }
    prop_assert_eq!(overlay.state, worst);
    Ok(())
}

/// Checks that a call counts what it returns: one outcome at most, besides frames that were superseded.
fn check_poll(poll: Poll, before: &Counters, after: &Counters) -> Result<(), TestCaseError> {
    let superseded = DropReason::Superseded;
    let outcomes = |counters: &Counters| counters.outcomes() - counters.dropped(superseded);
    let counted = (outcomes(after) - outcomes(before), after.updates - before.updates);
    prop_assert_eq!(
        counted,
        match poll {
            Poll::Idle | Poll::Working | Poll::Computed(_) => (0, 0),
            Poll::Dropped { .. } | Poll::Overlay(_) => (1, 0),
            Poll::Update(_) => (0, 1),
        }
    );
    Ok(())
}

fn run(
    policy: Policy,
    kind: usize,
    kept_frames: u32,
    table_rows_per_frame: u32,
    piece_ns: u64,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let display = Display::Raster { width: 96, height: 72 };
    let config = SessionConfig { policy, kept_frames, table_rows_per_frame, display, ..every_frame() };
    let clock = Ticking::new(piece_ns);
    let mut memory = Memory::of(&config);
    let mut scan = memory.open(config, &clock);
    let mut random = Random(steps.len() as u64);
    let payload: Vec<u8> = (0..SLOT_PAYLOAD_BYTES).map(|_| random.word() as u8).collect();
    let (mut seq, mut committed, mut prompts) = (0, 0u64, 0u64);
    for step in steps {
        let mut descriptor = base(kind, seq + 1);
        match step {
            Step::Good => {}
            Step::Changed(changes) => {
                let words: &mut [u32] = bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(&mut descriptor));
                changes.iter().for_each(|&(at, value)| words[at] = value);
            }
            Step::Noise(seed) => {
                let mut noise = Random(*seed);
                let bytes = bytemuck::bytes_of_mut(&mut descriptor);
                bytes[8..].iter_mut().for_each(|byte| *byte = noise.word() as u8);
            }
            Step::Prompt(prompt) => {
                prompts += u64::from(scan.prompt(*prompt).is_ok());
                continue;
            }
            Step::Freeze(is_frozen) => {
                let _ = scan.commands.set_frozen(*is_frozen);
                continue;
            }
            Step::Poll(count) => {
                for _ in 0..*count {
                    let before = scan.session.counters();
                    let poll = scan.session.poll();
                    check_poll(poll, &before, &scan.session.counters())?;
                }
                continue;
            }
            Step::Fetch => {
                if let Some(overlay) = scan.overlays.take() {
                    check_overlay(overlay)?;
                }
                continue;
            }
        }
        // The ring does not check what a front end writes into a slot.
        let mut slot = scan.frames.acquire().unwrap();
        *slot.descriptor_mut() = descriptor;
        slot.payload_mut()[..payload.len()].copy_from_slice(&payload);
        let _ = slot.commit();
        committed += 1;
        seq += 1;
        clock.advance_to(clock.now_ns() + 1_000_000);
    }
    let before = scan.session.counters();
    prop_assert!(before.outcomes() <= committed);
    // Half of the scans process all frames, the others end early.
    if steps.len().is_multiple_of(2) {
        while scan.session.poll() != Poll::Idle {}
        prop_assert_eq!(scan.session.poll(), Poll::Idle);
        while let Some(overlay) = scan.overlays.take() {
            check_overlay(overlay)?;
        }
        let counters = scan.session.counters();
        prop_assert_eq!(counters.outcomes(), committed);
    }
    let counters = scan.session.counters();
    prop_assert_eq!(u64::from(scan.rings.frames.counters().committed), committed);
    prop_assert_eq!(counters.rungs.iter().sum::<u64>(), counters.overlays);
    let end = scan.finish_and_account();
    let answered = end.prompts_served + end.prompts_too_old + end.prompts_refused;
    prop_assert_eq!(answered + end.prompts_unanswered, prompts);
    Ok(())
}

proptest! {
    #![proptest_config(crate::common::random_cases(400))]

    #[test]
    fn any_frames_and_prompts_are_accounted_for(
        is_newest: bool,
        kind in 0usize..6,
        kept_frames in 1u32..4,
        table_rows_per_frame in prop_oneof![Just(u32::MAX), 1u32..20],
        // The budget is 33 ms; a frame takes about 150 pieces.
        piece_ns in prop_oneof![Just(0), 1_000u64..2_000_000],
        steps in steps(),
    ) {
        let policy = if is_newest { Policy::Newest } else { Policy::All };
        run(policy, kind, kept_frames, table_rows_per_frame, piece_ns, &steps)?;
    }
}

/// The frames of each kind are valid before they are changed.
#[test]
fn unchanged_frames_are_valid() {
    for kind in 0..6 {
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&every_frame());
        let mut scan = memory.open(every_frame(), &clock);
        scan.overlay_of(&base(kind, 1));
    }
}
