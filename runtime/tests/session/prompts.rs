//! Prompts: many objects, several clicks each, and replies.

use crate::common::{
    Memory, QUEUED, Ticking, boxed, click, distance, every_frame, frame, on_display, picture, remove, state,
};
use sonotrace::hal::clock::ManualClock;
use sonotrace::hal::command::{CommandError, PointSpace, Prompt, PromptKind};
use sonotrace::hal::event::EventKind;
use sonotrace::hal::frame::FrameDescriptor;
use sonotrace::hal::geometry::Point;
use sonotrace::hal::overlay::{Overlay, PromptOutcome, State, valid};
use sonotrace::session::{DecoderPrompt, GridClick, Poll, SessionConfig};

fn negative(object: u32, x: f32, y: f32) -> Prompt {
    let kind = PromptKind::Click { at: Point { x, y }, is_positive: false };
    Prompt { object, seq: 0, space: PointSpace::Plane, kind }
}

fn centroid(overlay: &Overlay, id: u32) -> [f32; 2] {
    overlay.objects().iter().find(|object| object.id == id).unwrap().centroid_mm
}

fn answers(overlay: &Overlay) -> Vec<(u32, u32, PromptOutcome)> {
    let read = |answer: &sonotrace::hal::overlay::PromptAnswer| {
        (answer.ticket, answer.object, PromptOutcome::from_wire(answer.outcome).unwrap())
    };
    overlay.answers().iter().map(read).collect()
}

#[test]
fn a_single_click_takes_the_best_candidate() {
    let mut prompt = DecoderPrompt::default();
    prompt.add(GridClick { at: [9.0, 9.0], is_positive: true });
    assert_eq!(prompt.choose(&[0.9, 0.2, 0.7, 0.6]), 2);
    assert_eq!(prompt.choose(&[0.9]), 0);
    prompt.add(GridClick { at: [20.0, 9.0], is_positive: false });
    assert_eq!(prompt.choose(&[0.1, 0.2, 0.7, 0.6]), 0);
    assert_eq!(DecoderPrompt::of_box([1.0, 1.0, 9.0, 9.0]).choose(&[0.1, 0.2, 0.7, 0.6]), 0);
}

/// The small model's disc lies at the mean of all its points: all clicks reach it.
#[test]
fn clicks_on_one_frame_add_up() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    for (x, y) in [(-6.0, 14.0), (0.0, 20.0), (6.0, 29.0)] {
        scan.prompt(click(1, x, y)).unwrap();
    }
    scan.prompt(negative(1, 4.0, 13.0)).unwrap();
    let overlay = scan.overlay_of(&frame(1));
    let mean = [(-6.0 + 0.0 + 6.0 + 4.0) / 4.0, (14.0 + 20.0 + 29.0 + 13.0) / 4.0];
    assert!(distance(centroid(&overlay, 1), mean) < 0.7, "{:?}, not {mean:?}", centroid(&overlay, 1));
    assert_eq!(scan.session.counters().prompts_served, 4);
}

#[test]
fn clicks_on_a_kept_frame_add_up_too() {
    let config = SessionConfig { kept_frames: 4, ..every_frame() };
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&config);
    let mut scan = memory.open(config, &clock);
    scan.prompt(click(1, -6.0, 14.0)).unwrap();
    scan.overlay_of(&frame(1));
    scan.overlay_of(&frame(2));
    // Made on frame 1, where the first click was made.
    scan.prompt(Prompt { seq: 1, ..click(1, 2.0, 20.0) }).unwrap();
    let overlay = scan.overlay_of(&frame(3));
    assert!(distance(centroid(&overlay, 1), [-2.0, 17.0]) < 1.3, "{:?}", centroid(&overlay, 1));
}

/// On a later frame, the box of the tracked mask replaces earlier clicks.
#[test]
fn a_click_on_a_later_frame_corrects_the_tracked_mask() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    scan.prompt(click(1, 0.0, 20.0)).unwrap();
    for seq in 1..4 {
        scan.overlay_of(&frame(seq));
    }
    scan.prompt(click(1, 6.0, 20.0)).unwrap();
    let overlay = scan.overlay_of(&frame(4));
    // The mean of two corners around the old centre and of the click: a third of the way.
    assert!(distance(centroid(&overlay, 1), [2.0, 20.0]) < 1.0, "{:?}", centroid(&overlay, 1));
    assert_eq!(overlay.objects()[0].state, State::Fresh as u32);
    // On the next frame it is tracked.
    let overlay = scan.overlay_of(&frame(5));
    assert_eq!(overlay.objects()[0].state, State::Tracked as u32);
}

#[test]
fn a_box_restarts_an_object() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    scan.prompt(click(1, -10.0, 10.0)).unwrap();
    scan.prompt(boxed(1, [3.0, 23.0, 13.0, 33.0])).unwrap();
    let overlay = scan.overlay_of(&frame(1));
    assert!(distance(centroid(&overlay, 1), [8.0, 28.0]) < 0.6, "{:?}", centroid(&overlay, 1));
}

#[test]
fn more_clicks_than_the_decoder_has_slots_for_are_served() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    for round in 0..3 {
        for _ in 0..QUEUED.commands {
            scan.prompt(click(1, -8.0 + 8.0 * round as f32, 20.0)).unwrap();
        }
        scan.commands.set_frozen(true).unwrap_err();
        let overlay = scan.overlay_of(&frame(1 + round));
        assert_eq!(overlay.answers().len(), QUEUED.commands as usize);
    }
    assert_eq!(scan.session.counters().prompts_served, 3 * u64::from(QUEUED.commands));
}

/// Objects in the corners, each drawn on a frame of its own: some are corrected, removed or drawn again while the others are tracked.
/// With all ten of them, and with more references than the tracker has memories.
#[test]
fn objects_do_not_affect_each_other() {
    let places = [[-11.0, 9.0], [11.0, 9.0], [-11.0, 31.0], [11.0, 31.0]];
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    for (id, at) in (1..).zip(&places) {
        scan.prompt(click(id, at[0], at[1])).unwrap();
        scan.overlay_of(&frame(u64::from(id)));
    }
    // Places of objects 2 and 4 are taken by others, again and again, on frames of their own.
    for round in 0..8u32 {
        let seq = 4 + 3 * u64::from(round);
        let (removed, new) =
            (if round == 0 { [2, 4] } else { [3 + 2 * round, 4 + 2 * round] }, 5 + 2 * round);
        for id in removed {
            scan.prompt(remove(id)).unwrap();
        }
        scan.prompt(click(new, places[1][0], places[1][1])).unwrap();
        scan.overlay_of(&frame(seq + 1));
        // A box draws the first object again; a click corrects it.
        scan.prompt(boxed(1, [-16.0, 4.0, -6.0, 14.0])).unwrap();
        scan.prompt(click(new + 1, places[3][0], places[3][1])).unwrap();
        scan.overlay_of(&frame(seq + 2));
        scan.prompt(click(1, places[0][0], places[0][1])).unwrap();
        let overlay = scan.overlay_of(&frame(seq + 3));
        let ids: Vec<u32> = overlay.objects().iter().map(|object| object.id).collect();
        assert_eq!(ids, [1, new, 3, new + 1]);
        for (object, at) in overlay.objects().iter().zip(&places) {
            let fresh = object.id == 1;
            assert_eq!(
                object.state,
                if fresh { State::Fresh } else { State::Tracked } as u32,
                "{}",
                object.id
            );
            let off_mm = distance(object.centroid_mm, *at);
            assert!(off_mm < 2.0, "round {round}, object {}: {off_mm} mm off", object.id);
        }
    }
    assert_eq!(scan.session.counters().prompts_refused, 0);
}

#[test]
fn every_prompt_is_answered_once_with_its_ticket() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    let first = scan.prompt(click(1, 0.0, 20.0)).unwrap();
    scan.prompt(click(2, 90.0, 20.0)).unwrap();
    scan.prompt(remove(3)).unwrap();
    scan.prompt(negative(4, 0.0, 20.0)).unwrap();
    scan.prompt(Prompt { seq: 77, ..click(5, 0.0, 20.0) }).unwrap();
    assert_eq!(first, 1);
    let overlay = scan.overlay_of(&frame(1));
    assert_eq!(
        answers(&overlay),
        [
            (1, 1, PromptOutcome::Served),
            (2, 2, PromptOutcome::OutsideField),
            (3, 3, PromptOutcome::UnknownObject),
            (4, 4, PromptOutcome::UnknownObject),
            (5, 5, PromptOutcome::FutureFrame),
        ]
    );
    assert_eq!(overlay.objects().len(), 1);
    assert!(scan.overlay_of(&frame(2)).answers().is_empty());
    for object in 2..=12 {
        scan.prompt(click(object, 0.0, 20.0)).unwrap();
    }
    let overlay = scan.overlay_of(&frame(3));
    let no_room: Vec<u32> = answers(&overlay)
        .into_iter()
        .filter(|(_, _, outcome)| *outcome == PromptOutcome::NoRoom)
        .map(|(_, object, _)| object)
        .collect();
    assert_eq!(no_room, [11, 12]);
    let told = scan.event_kinds().into_iter().filter(|kind| *kind == EventKind::PromptAnswered).count();
    assert_eq!(told, 16);
}

/// Prompts that arrive while frames are dropped have their replies on the next overlays; none is lost.
#[test]
fn replies_wait_for_an_overlay() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    let mut tickets = Vec::new();
    for round in 0..4 {
        for _ in 0..QUEUED.commands / 2 {
            tickets.push(scan.prompt(click(1, 0.0, 20.0)).unwrap());
        }
        scan.push(&sonotrace::hal::frame::FrameDescriptor { lines: 0, ..frame(round + 1) });
        assert!(matches!(scan.outcome(), Poll::Dropped { .. }));
    }
    assert_eq!(scan.prompt(click(1, 0.0, 20.0)), Err(CommandError::Full { capacity: QUEUED.commands }));
    let mut answered = Vec::new();
    for seq in 10..14 {
        let overlay = scan.overlay_of(&frame(seq));
        answered.extend(overlay.answers().iter().map(|answer| answer.ticket));
    }
    assert_eq!(answered, tickets);
    assert_eq!(scan.finish_and_account().prompts_unanswered, 0);
}

#[test]
fn prompts_waiting_at_the_end_are_counted() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    scan.prompt(click(1, 0.0, 20.0)).unwrap();
    assert_eq!(scan.outcome(), Poll::Idle);
    scan.prompt(click(2, 0.0, 20.0)).unwrap();
    scan.commands.set_frozen(true).unwrap();
    scan.prompt(click(3, 0.0, 20.0)).unwrap();
    assert_eq!(scan.finish_and_account().prompts_unanswered, 3);
}

/// At 30 frames a second with one frame in ten computed, each click on a displayed frame is served: on that frame or the nearest one
/// that was computed. The answer names it, and how far off it is in time.
#[test]
fn every_click_on_a_displayed_frame_is_served() {
    const STEP_NS: u64 = 33_333_333;
    let config = SessionConfig { policy: sonotrace::session::Policy::Newest, ..every_frame() };
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&config);
    let mut scan = memory.open(config, &clock);
    let descriptor = |seq: u64| FrameDescriptor { t_acq_ns: seq * STEP_NS, ..frame(seq) };
    let (mut asked, mut answered, mut computed) = (Vec::new(), Vec::new(), Vec::new());
    let mut seq = 0;
    for round in 0..66u64 {
        // Ten frames pass while one is computed; the display shows each. A click comes on one of them, some frames late.
        for _ in 0..10 {
            seq += 1;
            scan.push(&descriptor(seq));
            if round < 60 && seq % 10 == round % 10 {
                let shown = seq.saturating_sub(round % 7).max(1);
                let ticket = scan.prompt(Prompt { seq: shown, ..click(1, 0.0, 20.0) }).unwrap();
                asked.push((ticket, shown));
            }
        }
        let Poll::Overlay(of) = scan.outcome() else { panic!("no overlay") };
        computed.push(of);
        answered.extend_from_slice(scan.overlays.take().unwrap().answers());
    }
    assert_eq!(asked.len(), 60);
    assert_eq!(asked.len(), answered.len());
    let mut elsewhere = 0;
    for ((ticket, shown), answer) in asked.into_iter().zip(answered) {
        assert_eq!((answer.ticket, answer.outcome), (ticket, PromptOutcome::Served as u32));
        let nearest = computed.iter().map(|of| of.abs_diff(shown)).min().unwrap();
        assert_eq!(answer.seq.abs_diff(shown), nearest, "frame {shown}: {}", answer.seq);
        // The time of a frame before the first one that was computed is not known.
        let is_known = shown >= computed[0];
        let off_ns = if is_known { (answer.seq as i64 - shown as i64) * STEP_NS as i64 } else { 0 };
        assert!((answer.offset_ns - off_ns).abs() <= 16, "{} ns, not {off_ns}", answer.offset_ns);
        elsewhere += u64::from(nearest > 0);
    }
    assert!(elsewhere > 30, "{elsewhere} clicks were on frames that were not computed");
    let counters = scan.session.counters();
    assert_eq!((counters.prompts_too_old, counters.prompts_refused), (0, 0));
}

#[test]
fn only_what_is_older_than_all_kept_frames_is_too_old() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    for seq in [1, 5, 6] {
        scan.overlay_of(&frame(seq));
    }
    // While frame 7 is computed, frames 6 and 7 are kept: frame 5 is not, and frame 4 is nearest to it. Frame 9 has not come.
    for seq in [6, 5, 4, 9] {
        scan.prompt(Prompt { seq, ..click(1, 0.0, 20.0) }).unwrap();
    }
    let overlay = scan.overlay_of(&frame(7));
    let outcomes: Vec<u32> = overlay.answers().iter().map(|answer| answer.outcome).collect();
    let expected =
        [PromptOutcome::Served, PromptOutcome::TooOld, PromptOutcome::TooOld, PromptOutcome::FutureFrame];
    assert_eq!(outcomes, expected.map(|outcome| outcome as u32));
}

/// A prompt on the frame before, which comes at any moment while a frame of another geometry is computed: its contour is drawn where it
/// is on that frame, or not at all.
#[test]
fn a_contour_of_an_earlier_frame_lies_on_the_display_of_the_current_one() {
    let deeper = FrameDescriptor { last_depth_mm: 60.0, geometry_epoch: 2, ..frame(2) };
    let mut late = 0;
    for polls in 0..80 {
        for descriptor in [deeper, picture(2, false)] {
            let config = SessionConfig { slice_ns: 4, ..every_frame() };
            let clock = Ticking::new(1);
            let mut memory = Memory::of(&config);
            let mut scan = memory.open(config, &clock);
            scan.prompt(click(1, 10.0, 30.0)).unwrap();
            scan.overlay_of(&frame(1));
            scan.push(&descriptor);
            let early = (0..polls).map(|_| scan.session.poll()).find(|poll| *poll != Poll::Working);
            scan.prompt(Prompt { seq: 1, ..click(2, -8.0, 15.0) }).unwrap();
            assert_eq!(early.unwrap_or_else(|| scan.outcome()), Poll::Overlay(2));
            let overlay = *scan.overlays.take().unwrap();
            for object in overlay.objects() {
                late += u32::from(object.state == State::Stale as u32);
                let is_known = descriptor.last_depth_mm == 60.0;
                assert_eq!(object.valid & valid::MILLIMETRES != 0, is_known, "{polls}: {:?}", state(object));
                if is_known {
                    let expected = on_display(&descriptor, object.centroid_mm);
                    assert!(
                        distance(object.centroid_px, expected) < 0.1,
                        "{polls}: {:?}",
                        object.centroid_px
                    );
                }
            }
        }
    }
    assert!(late > 0, "no prompt came after the objects had been followed");
}
