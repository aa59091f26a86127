//! Faults of a stream: late and repeated frames, missing numbers, restarts, freezing, contradictory frames.

use crate::common::{
    AlignedBytes, Memory, SLOT_PAYLOAD_BYTES, Scan, Ticking, boxed, click, every_frame, frame, remove,
    samples,
};
use sonotrace::hal::clock::{Clock, ManualClock};
use sonotrace::hal::command::Prompt;
use sonotrace::hal::event::{Event, EventKind};
use sonotrace::hal::frame::{FrameDescriptor, flags};
use sonotrace::hal::overlay::{Overlay, PromptOutcome, State, overlay_flags};
use sonotrace::hal::ring::{FrameRing, RingError};
use sonotrace::session::{DropReason, Policy, Poll, SessionConfig};

fn states(overlay: &Overlay) -> Vec<State> {
    overlay.objects().iter().map(|object| State::from_wire(object.state).unwrap()).collect()
}

fn dropped<C: Clock>(scan: &mut Scan<'_, C>, descriptor: &FrameDescriptor, reason: DropReason) {
    scan.push(descriptor);
    assert_eq!(scan.outcome(), Poll::Dropped { seq: descriptor.seq, reason }, "{descriptor:?}");
}

#[test]
fn late_and_repeated_frames_are_dropped_as_out_of_order() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    scan.overlay_of(&frame(1));
    scan.overlay_of(&frame(3));
    dropped(&mut scan, &frame(2), DropReason::OutOfOrder);
    // A newer number with an older time.
    dropped(&mut scan, &FrameDescriptor { t_acq_ns: frame(2).t_acq_ns, ..frame(4) }, DropReason::OutOfOrder);
    for _ in 0..9 {
        dropped(&mut scan, &frame(3), DropReason::OutOfOrder);
    }
    scan.overlay_of(&frame(5));
    // Each has an event with its number and the reason.
    let is_drop = |event: &Event| event.kind == EventKind::FrameDropped as u32;
    let told: Vec<Event> = std::iter::from_fn(|| scan.events.take()).filter(is_drop).collect();
    let expected = [&[2, 4][..], &[3; 9]].concat();
    assert_eq!(told.iter().map(|event| event.seq).collect::<Vec<_>>(), expected);
    assert!(told.iter().all(|event| event.detail == DropReason::OutOfOrder as u32), "{told:?}");
    let counters = scan.finish_and_account();
    assert_eq!((counters.overlays, counters.dropped(DropReason::OutOfOrder)), (3, 11));
}

#[test]
fn missing_numbers_are_reported_and_counted() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    assert_eq!(scan.overlay_of(&frame(5)).flags, 0, "nothing is missing before the first frame");
    assert_eq!(scan.overlay_of(&frame(6)).flags, 0);
    assert_eq!(scan.overlay_of(&frame(10)).flags, overlay_flags::GAP_BEFORE);
    // A frame that was dropped is not missing, but the one after it has a gap before it.
    dropped(&mut scan, &FrameDescriptor { lines: 0, ..frame(11) }, DropReason::Malformed);
    assert_eq!(scan.overlay_of(&frame(12)).flags, overlay_flags::GAP_BEFORE);
    let told = FrameDescriptor { flags: flags::GAP_BEFORE, ..frame(13) };
    assert_eq!(scan.overlay_of(&told).flags, overlay_flags::GAP_BEFORE);
    assert!(scan.event_kinds().contains(&EventKind::FramesMissing));
    assert_eq!(scan.finish_and_account().frames_missing, 3);
}

/// A single wrong number costs its own frame: the next one is in order again, and nothing counts as missing.
#[test]
fn a_wrong_number_costs_one_frame() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    scan.overlay_of(&frame(1));
    for (wrong, next) in [(u64::MAX, 2), (1 << 40, 3), (1 << 21, 4)] {
        scan.push(&FrameDescriptor { seq: wrong, t_acq_ns: frame(next).t_acq_ns, ..frame(1) });
        assert_eq!(scan.outcome(), Poll::Dropped { seq: wrong, reason: DropReason::OutOfOrder });
        scan.overlay_of(&frame(next));
    }
    let counters = scan.finish_and_account();
    assert_eq!((counters.frames_missing, counters.restarts), (0, 0));
}

/// Superseded frames do not count as missing.
#[test]
fn superseded_frames_are_not_missing() {
    let config = SessionConfig { policy: Policy::Newest, ..every_frame() };
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&config);
    let mut scan = memory.open(config, &clock);
    scan.overlay_of(&frame(1));
    let mut seq = 1;
    for burst in 1..20 {
        // More than the ring queues, so that some are evicted and some skipped.
        for _ in 0..burst {
            seq += 1;
            scan.push(&frame(seq));
        }
        assert_eq!(scan.outcome(), Poll::Overlay(seq));
    }
    let counters = scan.finish_and_account();
    assert_eq!((counters.frames_missing, counters.overlays), (0, 20));
}

#[test]
fn a_restarted_stream_is_followed() {
    let restarts: [fn(u64) -> FrameDescriptor; 3] = [
        |after| FrameDescriptor { t_acq_ns: after * 20_000_000, ..frame(100 + after) },
        |after| FrameDescriptor { t_acq_ns: (100 + after) * 20_000_000, ..frame(after) },
        |after| frame(after),
    ];
    for restarted in restarts {
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&every_frame());
        let mut scan = memory.open(every_frame(), &clock);
        scan.prompt(click(1, 0.0, 20.0)).unwrap();
        for seq in 98..=100 {
            scan.overlay_of(&frame(seq));
        }
        dropped(&mut scan, &restarted(1), DropReason::OutOfOrder);
        dropped(&mut scan, &restarted(2), DropReason::OutOfOrder);
        for after in 3..10 {
            assert_eq!(states(&scan.overlay_of(&restarted(after))), [State::Tracked], "objects are kept");
        }
        assert!(scan.event_kinds().contains(&EventKind::StreamRestarted));
        let counters = scan.finish_and_account();
        assert_eq!((counters.restarts, counters.frames_missing), (1, 0));
    }
}

#[test]
fn another_clock_is_a_restart_at_once() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    scan.overlay_of(&frame(50));
    for seq in 51..55 {
        scan.overlay_of(&FrameDescriptor { clock_id: 3, t_acq_ns: seq - 50, ..frame(seq) });
    }
    assert_eq!(scan.finish_and_account().restarts, 1);
}

/// A number from before the restart does not refer to features from before it.
#[test]
fn numbers_from_before_a_restart_are_invalid_after_it() {
    let config = SessionConfig { kept_frames: 4, ..every_frame() };
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&config);
    let mut scan = memory.open(config, &clock);
    for seq in 10..=12 {
        scan.overlay_of(&frame(seq));
    }
    dropped(&mut scan, &frame(1), DropReason::OutOfOrder);
    dropped(&mut scan, &frame(2), DropReason::OutOfOrder);
    scan.prompt(Prompt { seq: 12, ..click(1, 0.0, 20.0) }).unwrap();
    let overlay = scan.overlay_of(&frame(3));
    assert_eq!(overlay.answers()[0].outcome, PromptOutcome::FutureFrame as u32);
}

#[test]
fn frozen_frames_are_dropped_and_counted_until_the_image_is_live() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    scan.prompt(click(1, 0.0, 20.0)).unwrap();
    scan.overlay_of(&frame(1));
    scan.event_kinds();
    let frozen = |seq| FrameDescriptor { flags: flags::FROZEN, ..frame(seq) };
    for seq in 2..5 {
        dropped(&mut scan, &frozen(seq), DropReason::Frozen);
    }
    // The next frame without the flag is live.
    let overlay = scan.overlay_of(&frame(5));
    assert_eq!((states(&overlay), overlay.flags), (vec![State::Tracked], overlay_flags::GAP_BEFORE));
    assert_eq!(scan.event_kinds(), [EventKind::Frozen, EventKind::Resumed]);
    // A command freezes the image, whatever the flags of the frames.
    scan.commands.set_frozen(true).unwrap();
    dropped(&mut scan, &frame(6), DropReason::Frozen);
    dropped(&mut scan, &frozen(7), DropReason::Frozen);
    dropped(&mut scan, &frame(8), DropReason::Frozen);
    scan.commands.set_frozen(false).unwrap();
    scan.overlay_of(&frame(9));
    assert_eq!(scan.event_kinds(), [EventKind::Frozen, EventKind::Resumed]);
    let counters = scan.finish_and_account();
    assert_eq!((counters.dropped(DropReason::Frozen), counters.frames_missing), (6, 0));
}

#[test]
fn prompts_on_a_frozen_image_are_served_on_it() {
    for by_command in [true, false] {
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&every_frame());
        let mut scan = memory.open(every_frame(), &clock);
        scan.prompt(click(1, -6.0, 12.0)).unwrap();
        scan.overlay_of(&frame(1));
        clock.advance_ns(500_000_000);
        if by_command {
            scan.commands.set_frozen(true).unwrap();
            assert_eq!(scan.outcome(), Poll::Idle);
        } else {
            dropped(&mut scan, &FrameDescriptor { flags: flags::FROZEN, ..frame(2) }, DropReason::Frozen);
        }
        // A new object, a correction on the frame by its number, and an unknown object.
        scan.prompt(click(2, 8.0, 30.0)).unwrap();
        scan.prompt(Prompt { seq: 1, ..click(1, -4.0, 12.0) }).unwrap();
        scan.prompt(remove(9)).unwrap();
        assert_eq!(scan.outcome(), Poll::Update(1));
        let overlay = *scan.overlays.take().unwrap();
        assert_eq!(overlay.flags, overlay_flags::UPDATE | overlay_flags::FROZEN);
        assert_eq!((overlay.seq, overlay.t_acq_ns), (1, frame(1).t_acq_ns));
        assert_eq!(states(&overlay), [State::Fresh, State::Fresh]);
        let outcomes: Vec<u32> = overlay.answers().iter().map(|answer| answer.outcome).collect();
        let (served, unknown) = (PromptOutcome::Served as u32, PromptOutcome::UnknownObject as u32);
        assert_eq!(outcomes, [served, served, unknown]);
        // Its age is that of the frame; its latency that of the prompt.
        assert_eq!((overlay.age_ns, overlay.latency_ns), (500_000_000, 0));
        assert_eq!(scan.outcome(), Poll::Idle);
        scan.prompt(remove(1)).unwrap();
        assert_eq!(scan.outcome(), Poll::Update(1));
        assert_eq!(scan.overlays.take().unwrap().objects().len(), 1);
        if by_command {
            scan.commands.set_frozen(false).unwrap();
        }
        let live = FrameDescriptor { t_enqueue_ns: 500_000_000, ..frame(3) };
        assert_eq!(states(&scan.overlay_of(&live)), [State::Tracked]);
        let counters = scan.finish_and_account();
        assert_eq!((counters.updates, counters.overlays, counters.deadline_misses), (2, 2, 0));
    }
}

/// Before the first overlay there is no frame to prompt on: the prompt waits for the first frame.
#[test]
fn a_prompt_before_the_first_frame_waits_for_it_even_when_frozen() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    scan.commands.set_frozen(true).unwrap();
    scan.prompt(click(1, 0.0, 20.0)).unwrap();
    assert_eq!(scan.outcome(), Poll::Idle);
    dropped(&mut scan, &frame(1), DropReason::Frozen);
    scan.commands.set_frozen(false).unwrap();
    assert_eq!(states(&scan.overlay_of(&frame(2))), [State::Fresh]);
}

#[test]
fn an_interrupted_update_is_no_frame() {
    let config = SessionConfig { slice_ns: 1, ..every_frame() };
    let clock = Ticking::new(1);
    let mut memory = Memory::of(&config);
    let mut scan = memory.open(config, &clock);
    scan.overlay_of(&frame(1));
    scan.commands.set_frozen(true).unwrap();
    scan.prompt(click(1, 0.0, 20.0)).unwrap();
    scan.prompt(boxed(2, [0.0, 8.0, 9.0, 17.0])).unwrap();
    // One call starts the update, and one serves the first prompt.
    assert_eq!([scan.session.poll(), scan.session.poll()], [Poll::Working; 2]);
    let counters = scan.finish_and_account();
    assert_eq!((counters.overlays, counters.updates, counters.prompts_unanswered), (1, 0, 1));
}

#[test]
fn a_payload_that_is_not_as_long_as_announced_is_malformed() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    let announced = |payload_bytes: u32| FrameDescriptor { payload_bytes, ..frame(1) };
    let right = frame(1).payload_bytes;
    for payload_bytes in [0, 1, right - 1, right + 1, u32::MAX] {
        let mut slot = scan.frames.acquire().unwrap();
        *slot.descriptor_mut() = announced(payload_bytes);
        let _ = slot.commit();
        assert_eq!(
            scan.outcome(),
            Poll::Dropped { seq: 1, reason: DropReason::Malformed },
            "{payload_bytes}"
        );
    }
    // The ring itself refuses a descriptor that announces more bytes than are given.
    let short = scan.frames.push(&frame(1), &samples(&frame(1))[1..]);
    assert!(matches!(short, Err(RingError::PayloadShort { .. })));
    scan.overlay_of(&frame(1));
    scan.finish_and_account();
}

#[test]
fn a_frame_larger_than_its_slot_is_refused_by_the_ring_and_dropped_by_the_session() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    let large = FrameDescriptor { lines: 256, payload_bytes: 256 * 64, ..frame(1) };
    assert!(large.check().is_ok() && large.payload_bytes as usize > SLOT_PAYLOAD_BYTES);
    let refused = scan.frames.push(&large, &samples(&large)).unwrap_err();
    assert_eq!(refused.to_string(), "frame payload is 16384 bytes, a slot holds 8192");
    // A front end that writes the descriptor itself and commits a frame that it could not fill.
    let mut slot = scan.frames.acquire().unwrap();
    *slot.descriptor_mut() = large;
    let _ = slot.commit();
    assert_eq!(scan.outcome(), Poll::Dropped { seq: 1, reason: DropReason::Malformed });
    assert_eq!(scan.finish_and_account().dropped(DropReason::Malformed), 1);
    // The ring reports its capacity in advance.
    let mut memory = AlignedBytes::zeroed(FrameRing::region_bytes(2, 100).unwrap());
    assert_eq!(FrameRing::create(memory.bytes_mut(), 2, 100).unwrap().payload_capacity(), 100);
}

/// Geometry that contradicts itself or the samples is refused before anything is computed from it.
#[test]
fn a_contradictory_geometry_is_malformed() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    scan.prompt(click(1, 0.0, 20.0)).unwrap();
    scan.overlay_of(&frame(1));
    let sector = FrameDescriptor {
        geometry: 2,
        apex_radius_mm: 30.0,
        first_angle_rad: -0.5,
        last_angle_rad: 0.5,
        ..frame(2)
    };
    let contradictions = [
        FrameDescriptor { lines: 17, ..frame(2) },
        FrameDescriptor { samples: 65, ..frame(2) },
        FrameDescriptor { last_depth_mm: f32::INFINITY, ..frame(2) },
        FrameDescriptor { last_depth_mm: -1.0, ..frame(2) },
        FrameDescriptor { left_mm: 30.0, ..frame(2) },
        FrameDescriptor { geometry: 4, spacing_x_mm: 0.0, ..frame(2) },
        FrameDescriptor { first_angle_rad: 0.6, ..sector },
        FrameDescriptor { last_angle_rad: 3.0, ..sector },
        FrameDescriptor { apex_radius_mm: f32::NAN, ..sector },
        FrameDescriptor { content_columns: 5, content_rows: 5, ..frame(2) },
    ];
    for descriptor in contradictions {
        dropped(&mut scan, &descriptor, DropReason::Malformed);
    }
    assert_eq!(states(&scan.overlay_of(&frame(3))), [State::Tracked]);
    let counters = scan.finish_and_account();
    assert_eq!((counters.geometry_changes, counters.dropped(DropReason::Malformed)), (0, 10));
}

/// Two sessions in separate memory do not affect each other.
#[test]
fn two_sessions_do_not_affect_each_other() {
    let alone = || {
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&every_frame());
        let mut scan = memory.open(every_frame(), &clock);
        scan.prompt(click(1, 0.0, 20.0)).unwrap();
        (1..20).map(|seq| bytemuck::bytes_of(&scan.overlay_of(&frame(seq))).to_vec()).collect::<Vec<_>>()
    };
    let (clock, config) = (ManualClock::new(0), every_frame());
    let (mut memory, mut other_memory) = (Memory::of(&config), Memory::of(&config));
    let mut scan = memory.open(config, &clock);
    let mut other = other_memory.open(config, &clock);
    scan.prompt(click(1, 0.0, 20.0)).unwrap();
    other.prompt(click(5, 7.0, 9.0)).unwrap();
    let mut beside = Vec::new();
    for seq in 1..20 {
        other.overlay_of(&frame(seq + 1000));
        beside.push(bytemuck::bytes_of(&scan.overlay_of(&frame(seq))).to_vec());
    }
    assert!(beside == alone());
}
