//! What a device learns of frames that were dropped, of overlays that it did not fetch, and of events that it did not read.

use crate::common::{Memory, QUEUED, Scan, click, every_frame, frame, picture, samples};
use sonotrace::hal::clock::{Clock, ManualClock};
use sonotrace::hal::event::{Event, EventKind};
use sonotrace::hal::frame::{FrameDescriptor, FrameField, flags};
use sonotrace::session::{DropReason, Poll, SessionConfig, SessionError};
use sonotrace::vision::{DISPLAY_SIDE_MAX, Display};

/// Commits a frame as a front end does that checks nothing, and returns the session's drop event.
fn drop_event<C: Clock>(scan: &mut Scan<'_, C>, descriptor: &FrameDescriptor) -> Event {
    while scan.events.take().is_some() {}
    let mut slot = scan.frames.acquire().unwrap();
    *slot.descriptor_mut() = *descriptor;
    let _ = slot.commit();
    let dropped = Poll::Dropped { seq: descriptor.seq, reason: DropReason::Malformed };
    assert_eq!(scan.outcome(), dropped);
    let event = scan.events.take().unwrap();
    assert_eq!((event.kind, event.seq), (EventKind::FrameDropped as u32, descriptor.seq));
    event
}

/// The event of each refused frame names the field, the counters divide malformed frames by field, and the rules that a
/// front end can check before a commit give the same field.
#[test]
fn refused_frames_say_why() {
    let clock = ManualClock::new(0);
    for (display, refused) in [
        (
            every_frame().display,
            vec![
                (FrameDescriptor { magic: 0, ..frame(1) }, FrameField::Magic),
                (FrameDescriptor { lines: 0, ..frame(2) }, FrameField::Lines),
                (FrameDescriptor { amplitude_law: 3, law_table: 1, ..frame(3) }, FrameField::LawTable),
                (
                    FrameDescriptor { payload_bytes: 1 << 24, lines: 4096, stride_bytes: 4096, ..frame(4) },
                    FrameField::PayloadBytes,
                ),
                (FrameDescriptor { last_depth_mm: f32::NAN, ..frame(5) }, FrameField::LastDepth),
                (FrameDescriptor { flags: flags::CRC_PRESENT, crc32: 1, ..frame(6) }, FrameField::Crc32),
                (
                    FrameDescriptor { flags: flags::CRC_PRESENT, crc32: 1, ..picture(7, true) },
                    FrameField::Crc32,
                ),
            ],
        ),
        // Source pixels, which polar frames do not have.
        (Display::Source, vec![(frame(1), FrameField::Display), (frame(2), FrameField::Display)]),
    ] {
        let config = SessionConfig { display, ..every_frame() };
        let mut memory = Memory::of(&config);
        let mut scan = memory.open(config, &clock);
        let mut by_field = [0; 32];
        for (descriptor, field) in refused {
            let event = drop_event(&mut scan, &descriptor);
            assert_eq!((event.detail, event.value), (DropReason::Malformed as u32, field as u64), "{event}");
            assert!(event.to_string().ends_with(&format!("dropped, malformed: field `{}`", field.name())));
            by_field[field as usize] += 1;
            let checked = scan.session.frame_rules().check(&descriptor, QUEUED.payload_bytes);
            let expected = if field == FrameField::Crc32 { None } else { Some(field) };
            assert_eq!(checked.err().map(|error| error.field()), expected);
        }
        let counters = scan.session.counters();
        assert_eq!(counters.malformed, by_field);
        assert_eq!(counters.dropped(DropReason::Malformed), by_field.iter().sum::<u64>());
        scan.finish_and_account();
    }
}

#[test]
fn displays_that_cannot_show_anything_are_refused_when_a_session_is_opened() {
    for (width, height) in [(0, 480), (640, 0), (DISPLAY_SIDE_MAX + 1, 480), (640, u32::MAX)] {
        let config = SessionConfig { display: Display::Raster { width, height }, ..every_frame() };
        let refused = config.check().unwrap_err();
        assert!(matches!(refused, SessionError::Setting { .. }), "{refused}");
        let mut memory = Memory::of(&every_frame());
        let opened = memory.try_open(crate::common::disc_model(), config, ManualClock::new(0));
        assert_eq!(opened.err(), Some(refused));
    }
}

/// Overlays are evicted in any pattern of fetching; every answer arrives exactly once.
#[test]
fn an_answer_is_delivered_once_whatever_is_fetched() {
    for (prompts, frames_between) in [(1, 1), (1, 9), (5, 6), (16, 5), (16, 23)] {
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&every_frame());
        let mut scan = memory.open(every_frame(), &clock);
        let (mut tickets, mut answered, mut seq) = (Vec::new(), Vec::new(), 0);
        let mut fetch = |scan: &mut Scan<'_, _>| {
            while let Some(overlay) = scan.overlays.take() {
                answered.extend(overlay.answers().iter().map(|answer| answer.ticket));
            }
        };
        for _ in 0..6 {
            for _ in 0..frames_between {
                for _ in 0..prompts {
                    // When a display fetches nothing for long, prompts stay in their ring, and at last it is full.
                    tickets.extend(scan.prompt(click(1, 0.0, 20.0)));
                }
                seq += 1;
                scan.push(&frame(seq));
                assert_eq!(scan.outcome(), Poll::Overlay(seq));
            }
            fetch(&mut scan);
        }
        for _ in 0..12 {
            seq += 1;
            scan.push(&frame(seq));
            assert_eq!(scan.outcome(), Poll::Overlay(seq));
            fetch(&mut scan);
        }
        // Not in the order of the prompts: an evicted answer comes after those of overlays that were still queued.
        answered.sort_unstable();
        assert_eq!(answered, tickets, "{prompts} prompts, {frames_between} frames between");
        assert!(frames_between <= 4 || scan.session.counters().overlays_unfetched > 0);
    }
}

#[test]
fn events_that_nobody_reads_are_counted() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    // The session's opening is the first event.
    let frames = u64::from(QUEUED.events) + 9;
    for seq in 1..=frames {
        let _ = scan.frames.push(&FrameDescriptor { lines: 1, ..frame(seq) }, &samples(&frame(seq))).unwrap();
        assert_eq!(scan.outcome(), Poll::Dropped { seq, reason: DropReason::Malformed });
    }
    assert_eq!(scan.session.counters().events_lost, 10);
    let read = std::iter::from_fn(|| scan.events.take()).count() as u64;
    assert_eq!(read + 10, frames + 1);
}
