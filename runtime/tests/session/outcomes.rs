//! Scans: one outcome for every frame, prompts served on their frame, objects tracked, and the same overlays for the
//! same frames.

use crate::common::{
    AlignedBytes, FIELD_MM, Memory, QUEUED, Scan, Ticking, boxed, click, disc, disc_model, distance,
    every_frame, frame, on_display, only, picture, remove, samples, state,
};
use sonotrace::hal::clock::{Clock, ManualClock};
use sonotrace::hal::command::{CommandError, PointSpace, Prompt, PromptKind};
use sonotrace::hal::frame::{FrameDescriptor, flags};
use sonotrace::hal::geometry::Point;
use sonotrace::hal::overlay::{Overlay, Rung, STAGES, State, valid};
use sonotrace::session::{DropReason, Policy, Poll, SessionConfig, SessionError, memory_required};
use sonotrace::tracking::programs::TrackerError;
use sonotrace::vision::Display;

/// Approximate radius of the small model's disc after a click, millimetres; the mask's cells are 5 mm.
const CLICK_RADIUS_MM: f32 = 6.5 * 1.25;

fn live() -> SessionConfig<'static> {
    SessionConfig { policy: Policy::Newest, ..every_frame() }
}

/// Returns the bytes of an overlay without its times.
fn shown(overlay: &Overlay) -> Vec<u8> {
    let timeless = Overlay { latency_ns: 0, age_ns: 0, stage_ns: [0; STAGES], heartbeat: 0, ..*overlay };
    bytemuck::bytes_of(&timeless).to_vec()
}

#[test]
fn a_click_gives_a_fresh_contour_around_it() {
    for at in [[0.0, 20.0], [-6.0, 14.5], [7.3, 26.1], [-9.0, 29.0], [3.1, 11.7]] {
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&every_frame());
        let mut scan = memory.open(every_frame(), &clock);
        scan.prompt(click(7, at[0], at[1])).unwrap();
        let overlay = scan.overlay_of(&frame(1));
        let object = only(&overlay);
        assert_eq!((object.id, state(object), overlay.state), (7, State::Fresh, State::Fresh as u32));
        assert_eq!(object.valid, valid::PIXELS | valid::MILLIMETRES | valid::ELLIPSE | valid::VOLUME);
        let off_px = distance(object.centroid_px, on_display(&frame(1), at));
        let off_mm = distance(object.centroid_mm, at);
        assert!(off_px < 1.0, "{at:?}: centroid {:?}, {off_px} px off", object.centroid_px);
        assert!(off_mm < 0.01 * FIELD_MM, "{at:?}: centroid {:?}, {off_mm} mm off", object.centroid_mm);
        // The contour lies between the inscribed disc and the mask's cells that it touches.
        for point in object.contour_mm() {
            let radius = distance(*point, at);
            assert!((radius - CLICK_RADIUS_MM).abs() < 1.0, "{at:?}: contour at {radius} mm");
        }
        // A disc of square cells: its axes and those of its ellipse are about its diameter.
        let diameters = [object.long_axis_mm, object.short_axis_mm, 2.0 * object.ellipse.semi_major_mm];
        assert!(diameters.iter().all(|mm| (mm - 2.0 * CLICK_RADIUS_MM).abs() < 1.5), "{at:?}: {diameters:?}");
        assert!(distance(object.ellipse.centre_mm, object.centroid_mm) < 0.1);
        assert!((object.ellipse.circumference_mm / object.perimeter_mm - 1.0).abs() < 0.05);
        // The volume of a ball with the disc's area.
        let radius_mm = (object.area_mm2 / core::f32::consts::PI).sqrt();
        let ball_ml = 4.0 / 3000.0 * core::f32::consts::PI * radius_mm * radius_mm * radius_mm;
        for ml in [object.volume.discs_ml, object.volume.area_length_ml] {
            assert!((ml / ball_ml - 1.0).abs() < 0.1, "{at:?}: {ml} ml, not {ball_ml}");
        }
        // Pixels and millimetres agree: the display has 72 pixels for 40 mm.
        let scale = 72.0 / FIELD_MM;
        let ratio = object.area_px2 / object.area_mm2 / (scale * scale);
        assert!((ratio - 1.0).abs() < 0.001, "{ratio}");
        assert!(object.confidence > 0.9 && object.confidence <= 1.0);
        let session = scan.finish_and_account();
        assert_eq!((session.prompts_served, session.overlays), (1, 1));
    }
}

#[test]
fn the_same_point_in_every_space_gives_the_same_contour() {
    let at = Point { x: 4.0, y: 18.0 };
    let px = on_display(&frame(1), [at.x, at.y]);
    // 16 lines over 40 mm, 64 samples over 40 mm.
    let line_sample = Point { x: at.y / FIELD_MM * 63.0, y: (at.x + FIELD_MM / 2.0) / FIELD_MM * 15.0 };
    let spaces = [
        (PointSpace::Plane, at),
        (PointSpace::Display, Point { x: px[0], y: px[1] }),
        (PointSpace::LineSample, line_sample),
    ];
    let centroids = spaces.map(|(space, at)| {
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&every_frame());
        let mut scan = memory.open(every_frame(), &clock);
        let kind = PromptKind::Click { at, is_positive: true };
        scan.prompt(Prompt { object: 1, seq: 0, space, kind }).unwrap();
        only(&scan.overlay_of(&frame(1))).centroid_mm
    });
    assert!(distance(centroids[0], [at.x, at.y]) < 0.4);
    assert!(distance(centroids[0], centroids[1]) < 0.01, "{centroids:?}");
    assert!(distance(centroids[0], centroids[2]) < 0.01, "{centroids:?}");
}

#[test]
fn a_tracked_object_stays_in_place() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    scan.prompt(click(1, -5.0, 15.0)).unwrap();
    assert_eq!(state(only(&scan.overlay_of(&frame(1)))), State::Fresh);
    for seq in 2..60 {
        let overlay = scan.overlay_of(&frame(seq));
        let object = only(&overlay);
        assert_eq!((overlay.seq, state(object)), (seq, State::Tracked));
        // It is tracked by a box of whole pixels, so it can move by half a pixel of the grid (0.6 mm) across and down.
        let off_mm = distance(object.centroid_mm, [-5.0, 15.0]);
        assert!(off_mm < 1.3, "frame {seq}: {off_mm} mm off");
        // It does not beat.
        assert_eq!(object.valid & (valid::VOLUME | valid::BEAT), valid::VOLUME);
    }
}

#[test]
fn a_box_gives_an_object_around_its_middle() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    // Corners in any order.
    for (object, corners) in [(1, [-14.0, 8.0, -2.0, 20.0]), (2, [13.0, 33.0, 3.0, 23.0])] {
        scan.prompt(boxed(object, corners)).unwrap();
    }
    let overlay = scan.overlay_of(&frame(1));
    let [first, second] = overlay.objects() else { panic!("{} objects", overlay.objects().len()) };
    assert_eq!((first.id, second.id), (1, 2));
    assert!(distance(first.centroid_mm, [-8.0, 14.0]) < 0.4, "{:?}", first.centroid_mm);
    assert!(distance(second.centroid_mm, [8.0, 28.0]) < 0.4, "{:?}", second.centroid_mm);
}

#[test]
fn a_removed_object_is_gone_and_its_place_is_free() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    for object in 1..=10 {
        scan.prompt(click(object, object as f32 * 2.0 - 11.0, 20.0)).unwrap();
    }
    assert_eq!(scan.overlay_of(&frame(1)).objects().len(), 10);
    // There is no room for an eleventh object until one is removed.
    scan.prompt(click(11, 0.0, 20.0)).unwrap();
    assert_eq!(scan.overlay_of(&frame(2)).objects().len(), 10);
    assert_eq!(scan.session.counters().prompts_refused, 1);
    scan.prompt(remove(4)).unwrap();
    scan.prompt(click(11, 0.0, 20.0)).unwrap();
    let ids = |overlay: &Overlay| overlay.objects().iter().map(|object| object.id).collect::<Vec<_>>();
    assert_eq!(ids(&scan.overlay_of(&frame(3))), [1, 2, 3, 11, 5, 6, 7, 8, 9, 10]);
    for object in [1, 2, 3, 11, 5, 6, 7, 8, 9, 10] {
        scan.prompt(remove(object)).unwrap();
    }
    let empty = scan.overlay_of(&frame(4));
    assert_eq!((empty.objects().len(), empty.state), (0, State::Empty as u32));
}

#[test]
fn prompts_on_kept_frames_are_served_and_on_older_ones_refused() {
    for kept_frames in [1, 2, 4] {
        let config = SessionConfig { kept_frames, ..every_frame() };
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&config);
        let mut scan = memory.open(config, &clock);
        for seq in 1..=8 {
            scan.overlay_of(&frame(seq));
        }
        // While frame 9 is processed, the frames 9 - kept + 1 to 9 are kept.
        let corner =
            |object: u32| [[-11.0, 9.0], [11.0, 9.0], [-11.0, 31.0], [11.0, 31.0]][object as usize % 4];
        for (object, seq) in (5..=10).zip(5..=10) {
            let [x, y] = corner(object);
            scan.prompt(Prompt { seq, ..click(object, x, y) }).unwrap();
        }
        let overlay = scan.overlay_of(&frame(9));
        let counters = scan.session.counters();
        let kept = u64::from(kept_frames);
        // Frame 10 has not arrived.
        assert_eq!((counters.prompts_served, counters.prompts_too_old), (kept, 5 - kept));
        assert_eq!(counters.prompts_refused, 1);
        assert_eq!(overlay.objects().len() as u64, kept);
        for object in overlay.objects() {
            assert!(object.id > 9 - kept_frames && object.id <= 9, "{}", object.id);
            // Served on its own frame, then tracked on this one.
            let expected = if object.id == 9 { State::Fresh } else { State::Tracked };
            assert_eq!(state(object), expected, "object {}", object.id);
            assert!(distance(object.centroid_mm, corner(object.id)) < 2.0);
        }
    }
}

#[test]
fn prompts_outside_the_field_and_without_extent_are_refused() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    let outside = [
        click(1, 0.0, 41.0),
        click(2, -20.5, 20.0),
        click(3, 1e30, 1e30),
        boxed(4, [30.0, 10.0, 60.0, 30.0]),
        boxed(5, [5.0, 10.0, 5.0, 30.0]),
        boxed(6, [1.0, 10.0, 1.0, 10.0]),
    ];
    for prompt in outside {
        scan.prompt(prompt).unwrap();
    }
    let overlay = scan.overlay_of(&frame(1));
    assert!(overlay.objects().is_empty());
    assert_eq!(scan.session.counters().prompts_refused, outside.len() as u64);
    assert_eq!(scan.session.counters().prompts_served, 0);
}

#[test]
fn invalid_prompts_are_not_accepted() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    assert_eq!(scan.prompt(click(0, 0.0, 20.0)), Err(CommandError::ObjectZero));
    assert_eq!(scan.prompt(click(1, f32::NAN, 20.0)), Err(CommandError::NotFinite));
    assert_eq!(scan.prompt(boxed(1, [0.0, 0.0, 1.0, f32::INFINITY])), Err(CommandError::NotFinite));
    for _ in 0..QUEUED.commands {
        scan.prompt(click(1, 0.0, 20.0)).unwrap();
    }
    assert_eq!(scan.prompt(click(1, 0.0, 20.0)), Err(CommandError::Full { capacity: QUEUED.commands }));
    scan.overlay_of(&frame(1));
    assert_eq!(scan.session.counters().prompts_served, u64::from(QUEUED.commands));
    assert_eq!(scan.prompt(click(1, 0.0, 20.0)), Ok(QUEUED.commands + 1));
}

/// The small model's object is right with a probability of 0.95 where the frame shows something, and absent where it does not.
#[test]
fn confidence_decides_the_state_of_an_object() {
    let states = |attention_below: f32| {
        let config = SessionConfig { attention_below, ..every_frame() };
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&config);
        let mut scan = memory.open(config, &clock);
        scan.prompt(click(1, 0.0, 20.0)).unwrap();
        let bright = |seq: u64| !(4..=20).contains(&seq);
        (1..=24)
            .map(|seq| {
                let payload =
                    if bright(seq) { samples(&frame(seq)) } else { vec![0; samples(&frame(seq)).len()] };
                let _ = scan.frames.push(&frame(seq), &payload).unwrap();
                assert_eq!(scan.outcome(), Poll::Overlay(seq));
                let overlay = scan.overlays.take().unwrap();
                let object = only(overlay);
                assert_eq!(object.points == 0, state(object) == State::Absent, "frame {seq}");
                assert!(
                    seq == 1 || (object.confidence > 0.9) == bright(seq),
                    "frame {seq}: {}",
                    object.confidence
                );
                assert_eq!(object.checked_frames_ago, 0);
                state(object)
            })
            .collect::<Vec<_>>()
    };
    // 0 is the model's threshold, 0.5.
    for (attention_below, shown) in [(0.0, State::Tracked), (0.9, State::Tracked), (0.96, State::Attention)] {
        let mut expected = vec![State::Fresh, shown, shown];
        expected.extend([State::Absent; 17]);
        expected.extend([shown; 4]);
        assert_eq!(states(attention_below), expected, "{attention_below}");
    }
}

/// A setting draws objects that are lost, and only these, as the segmenter does.
#[test]
fn lost_objects_are_corrected_if_the_device_wants_it() {
    let followed = |correct_lost: bool| {
        let config = SessionConfig { correct_lost, ..every_frame() };
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&config);
        let mut scan = memory.open(config, &clock);
        scan.prompt(click(1, 0.0, 20.0)).unwrap();
        (1..=6)
            .map(|seq| {
                let bright = samples(&frame(seq));
                // It is lost on frame 4.
                let payload = if seq == 4 { vec![0; bright.len()] } else { bright };
                let _ = scan.frames.push(&frame(seq), &payload).unwrap();
                assert_eq!(scan.outcome(), Poll::Overlay(seq));
                let object = *only(scan.overlays.take().unwrap());
                (object.area_mm2, object.confidence)
            })
            .collect::<Vec<_>>()
    };
    let (mean, alone) = (followed(false), followed(true));
    assert_eq!(mean[..4], alone[..4]);
    assert_ne!(mean[4], alone[4]);
}

#[test]
fn a_picture_of_unknown_scale_has_pixels_and_no_millimetres() {
    let centre = |has_scale: bool| {
        let config = SessionConfig { display: Display::Source, ..every_frame() };
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&config);
        let mut scan = memory.open(config, &clock);
        let kind = PromptKind::Click { at: Point { x: 20.0, y: 27.0 }, is_positive: true };
        scan.prompt(Prompt { object: 1, seq: 0, space: PointSpace::Display, kind }).unwrap();
        *only(&scan.overlay_of(&picture(1, has_scale)))
    };
    let (unknown, known) = (centre(false), centre(true));
    assert!(distance(unknown.centroid_px, [20.0, 27.0]) < 1.0, "{:?}", unknown.centroid_px);
    // One of them was converted through millimetres, in single precision.
    assert!(distance(unknown.centroid_px, known.centroid_px) < 1e-3);
    assert_eq!(unknown.valid, valid::PIXELS);
    assert_eq!(known.valid, valid::PIXELS | valid::MILLIMETRES | valid::ELLIPSE | valid::VOLUME);
    assert!(unknown.volume == Default::default() && unknown.beat == Default::default());
    assert_eq!((unknown.area_mm2, unknown.perimeter_mm, unknown.centroid_mm), (0.0, 0.0, [0.0; 2]));
    assert!(unknown.contour_mm.iter().all(|point| *point == [0.0; 2]));
    assert!(unknown.contour_mm().is_empty() && !unknown.contour_px().is_empty());
    assert!((known.area_mm2 / known.area_px2 - 0.64).abs() < 0.001);
}

/// Returns damaged, frozen, repeated and late frames among good ones, with the reasons for which they are dropped.
fn mixed_frames() -> Vec<(FrameDescriptor, Option<DropReason>)> {
    let crc = |seq, is_right: bool| {
        let mut d = FrameDescriptor { flags: flags::CRC_PRESENT, ..frame(seq) };
        d.crc32 = crc32(&samples(&d)) ^ u32::from(!is_right);
        d
    };
    vec![
        (frame(1), None),
        (FrameDescriptor { magic: 0, ..frame(2) }, Some(DropReason::Malformed)),
        (FrameDescriptor { lines: 0, ..frame(2) }, Some(DropReason::Malformed)),
        (frame(3), None),
        (frame(3), Some(DropReason::OutOfOrder)),
        (frame(2), Some(DropReason::OutOfOrder)),
        (FrameDescriptor { flags: flags::FROZEN, ..frame(4) }, Some(DropReason::Frozen)),
        // Frozen frames do not count as delivered.
        (frame(4), None),
        (FrameDescriptor { t_acq_ns: 1, ..frame(5) }, Some(DropReason::OutOfOrder)),
        (FrameDescriptor { amplitude_law: 0, ..frame(5) }, Some(DropReason::Malformed)),
        (FrameDescriptor { last_depth_mm: f32::NAN, ..frame(5) }, Some(DropReason::Malformed)),
        (crc(5, false), Some(DropReason::Malformed)),
        (crc(5, true), None),
        // A vendor table that the session does not have.
        (FrameDescriptor { amplitude_law: 3, law_table: 1, ..frame(6) }, Some(DropReason::Malformed)),
        (frame(9), None),
    ]
}

/// Computes the CRC-32 (IEEE 802.3), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn every_frame_has_one_outcome_with_its_reason() {
    for config in [every_frame(), live()] {
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&config);
        let mut scan = memory.open(config, &clock);
        let mut expected = [0u64; 5];
        for (descriptor, reason) in mixed_frames() {
            scan.push(&descriptor);
            let outcome = reason.map_or(Poll::Overlay(descriptor.seq), |reason| Poll::Dropped {
                seq: descriptor.seq,
                reason,
            });
            assert_eq!(scan.outcome(), outcome, "{descriptor:?}");
            if let Some(reason) = reason {
                expected[reason as usize] += 1;
            }
        }
        assert_eq!(scan.outcome(), Poll::Idle);
        let counters = scan.finish_and_account();
        assert_eq!(counters.drops, expected);
        assert_eq!(counters.overlays, 5);
    }
}

/// Frames arrive between the slices, faster than the session processes them, and the scan ends in the middle of a
/// frame.
#[test]
fn every_frame_has_one_outcome_when_the_ring_overflows() {
    for (policy, slice_ns) in
        [(Policy::Newest, 1), (Policy::All, 1), (Policy::Newest, 1 << 30), (Policy::All, 1 << 30)]
    {
        // Every seventh end under emulation, where all of them take a minute.
        for end in (1..60).step_by(if cfg!(target_arch = "aarch64") { 7 } else { 1 }) {
            let config = SessionConfig { policy, slice_ns, ..every_frame() };
            // Each reading of the clock ends a slice of 1 ns.
            let clock = Ticking::new(10);
            let mut memory = Memory::of(&config);
            let mut scan = memory.open(config, &clock);
            let mut random = crate::common::Random(end);
            for seq in 1..=end {
                let mixed = &mixed_frames()[random.below(15)].0;
                scan.push(&FrameDescriptor { seq, t_acq_ns: seq, ..*mixed });
                for _ in 0..random.below(6) {
                    scan.session.poll();
                }
            }
            let committed = u64::from(scan.rings.frames.counters().committed);
            assert_eq!(committed, end);
            scan.finish_and_account();
        }
    }
}

#[test]
fn newest_skips_waiting_frames_and_all_does_not() {
    let with = |policy: Policy, count: u64| {
        let config = SessionConfig { policy, ..every_frame() };
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&config);
        let mut scan = memory.open(config, &clock);
        (1..=count).for_each(|seq| scan.push(&frame(seq)));
        let mut delivered = Vec::new();
        while let Poll::Overlay(seq) = scan.outcome() {
            delivered.push(seq);
        }
        let counters = scan.finish_and_account();
        (delivered, counters.dropped(DropReason::Superseded))
    };
    assert_eq!(with(Policy::Newest, 3), (vec![3], 2));
    assert_eq!(with(Policy::All, 3), (vec![1, 2, 3], 0));
    // The ring queues four: with more, it evicts the oldest.
    assert_eq!(QUEUED.frames, 4);
    assert_eq!(with(Policy::All, 9), (vec![6, 7, 8, 9], 5));
    assert_eq!(with(Policy::Newest, 9), (vec![9], 8));
}

#[test]
fn an_end_in_the_middle_of_a_frame_counts_it_and_waiting_frames() {
    let config = SessionConfig { slice_ns: 1, ..every_frame() };
    for polls in 1..20 {
        let clock = Ticking::new(10);
        let mut memory = Memory::of(&config);
        let mut scan = memory.open(config, &clock);
        (1..=3).for_each(|seq| scan.push(&frame(seq)));
        for _ in 0..polls {
            assert_eq!(scan.session.poll(), Poll::Working, "a frame takes more slices");
        }
        let counters = scan.finish_and_account();
        assert_eq!((counters.dropped(DropReason::ShutDown), counters.overlays), (3, 0));
    }
}

#[test]
fn late_overlays_are_counted_as_deadline_misses() {
    let misses = |step_ns: u64| {
        let config = SessionConfig { budget_ns: 1_000_000, slice_ns: 1_000, ..every_frame() };
        let clock = Ticking::new(step_ns);
        let mut memory = Memory::of(&config);
        let mut scan = memory.open(config, &clock);
        scan.prompt(click(1, 0.0, 20.0)).unwrap();
        let mut late = 0;
        for seq in 1..=10 {
            let descriptor = FrameDescriptor { t_enqueue_ns: clock.now_ns(), ..frame(seq) };
            let overlay = scan.overlay_of(&descriptor);
            assert_eq!(overlay.latency_ns, overlay.age_ns);
            assert!(overlay.stage_ns.iter().sum::<u64>() <= overlay.latency_ns);
            late += u64::from(overlay.latency_ns > config.budget_ns);
        }
        assert_eq!(scan.session.counters().overlays, 10, "late overlays are delivered, too");
        assert_eq!(scan.session.counters().deadline_misses, late);
        late
    };
    assert_eq!(misses(1), 0);
    assert_eq!(misses(1_000_000), 10);
}

#[test]
fn an_overlay_reports_the_time_of_each_stage() {
    let clock = ManualClock::new(5_000);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    // More work than one call does with a stopped clock.
    scan.prompt(click(1, 0.0, 20.0)).unwrap();
    scan.push(&FrameDescriptor { t_enqueue_ns: 2_000, ..frame(1) });
    assert_eq!(scan.session.poll(), Poll::Working);
    clock.advance_ns(4_000);
    assert_eq!(scan.outcome(), Poll::Overlay(1));
    let overlay = *scan.overlays.take().unwrap();
    // The clock did not advance in any stage; the frame waited 3000 ns in the ring, and 4000 ns between two calls.
    assert_eq!(overlay.stage_ns, [3_000, 0, 0, 0, 0, 0]);
    assert_eq!((overlay.latency_ns, overlay.rung), (7_000, Rung::Full as u32));
    assert_eq!(overlay.t_acq_ns, frame(1).t_acq_ns);
}

#[test]
fn the_heartbeat_counts_every_poll() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    let mut before = 0;
    for seq in 1..4 {
        assert_eq!(scan.session.poll(), Poll::Idle);
        let overlay = scan.overlay_of(&frame(seq));
        assert!(overlay.heartbeat > before + 1);
        assert_eq!(overlay.heartbeat, scan.session.heartbeat());
        before = overlay.heartbeat;
    }
}

/// Runs a scan of 40 frames with prompts of all kinds. Returns its overlays and its number of polls.
fn small_scan<C: Clock>(config: SessionConfig<'_>, clock: C) -> (Vec<Overlay>, u64) {
    let mut memory = Memory::of(&config);
    let mut scan: Scan<'_, C> = memory.open(config, clock);
    let mut overlays = Vec::new();
    for seq in 1..=40 {
        let prompt = match seq {
            2 => Some(click(1, -6.0, 12.0)),
            5 => Some(boxed(2, [2.0, 20.0, 14.0, 34.0])),
            // A correction, and later a negative click.
            8 => Some(click(1, -4.0, 12.0)),
            11 => {
                let kind = PromptKind::Click { at: Point { x: -9.0, y: 12.0 }, is_positive: false };
                Some(Prompt { kind, ..click(1, 0.0, 0.0) })
            }
            14 => Some(Prompt { seq: 13, ..click(3, 8.0, 9.0) }),
            25 => Some(remove(2)),
            _ => None,
        };
        prompt.map(|prompt| scan.prompt(prompt).unwrap());
        let depth = if seq > 35 { 50.0 } else { FIELD_MM };
        overlays.push(scan.overlay_of(&FrameDescriptor { last_depth_mm: depth, ..frame(seq) }));
    }
    (overlays, scan.session.heartbeat())
}

#[test]
fn the_length_of_slices_does_not_change_overlays() {
    let (whole, polls) = small_scan(every_frame(), ManualClock::new(0));
    let sliced_config = SessionConfig { slice_ns: 1, ..every_frame() };
    let (sliced, more_polls) = small_scan(sliced_config, Ticking::new(7));
    assert!(more_polls > 10 * polls, "{more_polls} polls with short slices, {polls} with long ones");
    for (whole, sliced) in whole.iter().zip(&sliced) {
        assert!(shown(whole) == shown(sliced), "frame {}", whole.seq);
    }
    // The overlays have objects.
    assert!(whole.iter().filter(|overlay| overlay.objects().len() >= 2).count() > 10);
}

#[test]
fn the_same_frames_give_the_same_overlays_to_the_byte() {
    let (first, _) = small_scan(every_frame(), Ticking::new(1_000));
    let (second, _) = small_scan(every_frame(), Ticking::new(1_000));
    for (first, second) in first.iter().zip(&second) {
        assert!(bytemuck::bytes_of(first) == bytemuck::bytes_of(second), "frame {}", first.seq);
    }
}

#[test]
fn unfetched_overlays_are_counted() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    for seq in 1..=10 {
        scan.push(&frame(seq));
        assert_eq!(scan.outcome(), Poll::Overlay(seq));
    }
    // The ring queues four.
    assert_eq!(scan.session.counters().overlays_unfetched, 6);
    let waiting: Vec<u64> = std::iter::from_fn(|| scan.overlays.take().map(|overlay| overlay.seq)).collect();
    assert_eq!(waiting, [7, 8, 9, 10]);
    assert_eq!(scan.finish_and_account().overlays, 10);
}

/// Opens a session over a changed model, in enough memory.
fn open_with(file: &[u8], config: SessionConfig<'_>) -> Result<(), SessionError> {
    let model = sonotrace::format::Model::parse(file)?;
    let mut memory = Memory::of(&every_frame());
    memory.try_open(model, config, &ManualClock::new(0)).map(|_| ())
}

#[test]
fn invalid_settings_are_refused_by_name() {
    let refused = |what: &str, config: SessionConfig<'_>| match open_with(disc(), config) {
        Err(SessionError::Setting { what: named, .. }) => assert_eq!(named, what),
        other => panic!("{what}: {other:?}"),
    };
    refused("slice_ns", SessionConfig { slice_ns: 0, ..every_frame() });
    refused("budget_ns", SessionConfig { budget_ns: 0, ..every_frame() });
    refused("table_rows_per_frame", SessionConfig { table_rows_per_frame: 0, ..every_frame() });
    refused("attention_below", SessionConfig { attention_below: f32::NAN, ..every_frame() });
    refused("absent_from", SessionConfig { absent_from: 0.0, ..every_frame() });
    refused("checks_per_frame", SessionConfig { checks_per_frame: 11, ..every_frame() });
    assert_eq!(open_with(disc(), every_frame()), Ok(()));
}

/// A model whose programs or ports have other names than a session needs, or that has no conventions.
#[test]
fn a_model_that_is_not_for_sessions_is_refused_by_its_missing_part() {
    use sonotrace::format::{ConventionsRecord, FileHeader, SectionKind};
    let changed = |change: &dyn Fn(&mut [u8])| {
        let mut file = AlignedBytes::new(disc());
        change(file.bytes_mut());
        crate::common::refresh_hashes(file.bytes_mut());
        open_with(file.bytes(), every_frame()).unwrap_err()
    };
    let renamed = |name: &str| {
        changed(&|file| {
            let model = disc_model();
            let all = model.programs().iter().flat_map(|program| {
                let ports = model.inputs(program).iter().chain(model.outputs(program));
                let slots = program.slots().iter().map(|slot| slot.name);
                ports.map(|port| port.name).chain([program.name]).chain(slots)
            });
            let all = all.chain(model.header().banks().iter().map(|bank| bank.name));
            let names: &mut [u8] = crate::common::section_mut(file, SectionKind::Names);
            for found in all.filter(|found| model.name(*found) == name) {
                names[found.offset as usize] = b'x';
            }
        })
    };
    assert_eq!(renamed("encoder"), SessionError::Program { name: "encoder" });
    assert_eq!(renamed("decoder"), SessionError::Program { name: "decoder" });
    for (name, needed) in [
        ("image", 1024),
        ("point_coords", 32),
        ("point_labels", 16),
        ("mask_input", 64),
        ("has_mask_input", 1),
        ("masks", 256),
        ("iou", 4),
        ("embedding", 0),
    ] {
        let error = renamed(name);
        assert_eq!(error, SessionError::Port { name, seen: 0, needed });
        assert!(error.to_string().contains(name), "{error}");
    }
    // The tracker's programs, ports, banks and their slots.
    assert_eq!(renamed("tracker"), TrackerError::Program { name: "tracker" }.into());
    assert_eq!(renamed("memory"), TrackerError::Program { name: "memory" }.into());
    for (name, needed) in [
        ("known", 66),
        ("reference_key", 128),
        ("recent3_key", 128),
        ("anchor_shares", 704),
        ("so_far_flow", 32),
        ("so_far_step", 32),
        ("logits", 704),
        ("key", 128),
        ("value", 1),
        ("flow", 32),
        ("step", 32),
        ("identity", 1),
    ] {
        let error = renamed(name);
        assert_eq!(error, TrackerError::Port { name, seen: 0, needed }.into(), "{error}");
    }
    for name in ["features", "motion", "anchor", "previous", "reference", "recent2", "frame"] {
        let error = renamed(name);
        assert!(matches!(error, SessionError::Tracker(TrackerError::Slot { .. })), "{name}: {error}");
    }
    let slots = changed(&|file| {
        crate::common::section_mut::<ConventionsRecord>(file, SectionKind::Conventions)[0].point_slots = 8;
    });
    assert_eq!(slots, SessionError::Port { name: "point_coords", seen: 32, needed: 16 });
    let none = changed(&|file| {
        crate::common::section_mut::<ConventionsRecord>(file, SectionKind::Conventions)[0] =
            bytemuck::Zeroable::zeroed();
        let header: &mut FileHeader = bytemuck::from_bytes_mut(&mut file[..size_of::<FileHeader>()]);
        (header.input_size, header.mask_size) = (0, 0);
    });
    assert_eq!(none, SessionError::Conventions);
    // A file without the tracker's constants, and one with too few copies of a bank.
    let mut header = *disc_model().header();
    (header.grid, header.embedding_channels, header.key_channels, header.flow_side) = (0, 0, 0, 0);
    let without =
        crate::common::with_header(disc(), header, |kind| (kind == SectionKind::Tracking).then_some(&[]));
    assert_eq!(open_with(without.bytes(), every_frame()).unwrap_err(), TrackerError::Tracking.into());
    for (bank, name, needed) in [(1, "memory", 6), (2, "motion", 2), (3, "shares", 2)] {
        let error = changed(&|file| {
            let header: &mut FileHeader = bytemuck::from_bytes_mut(&mut file[..size_of::<FileHeader>()]);
            header.banks[bank].copies -= 1;
        });
        let seen = needed - 1;
        assert_eq!(error, TrackerError::Copies { name, seen, needed }.into(), "{error}");
    }
}

/// Two slots of one name, and a slot that is written although another frame needs it, would make two of a run's slots the same copy.
#[test]
fn a_tracker_whose_slots_cannot_be_bound_is_refused() {
    use sonotrace::format::{ProgramRecord, SectionKind};
    let tracker = disc_model().program("tracker").unwrap().0;
    let with_slots = |change: &dyn Fn(&mut ProgramRecord)| {
        let mut file = AlignedBytes::new(disc());
        change(
            &mut crate::common::section_mut::<ProgramRecord>(file.bytes_mut(), SectionKind::Programs)
                [tracker],
        );
        crate::common::refresh_hashes(file.bytes_mut());
        open_with(file.bytes(), every_frame())
    };
    let slots = disc_model().programs()[tracker].slots();
    for (a, first) in slots.iter().enumerate() {
        for (b, second) in slots.iter().enumerate().filter(|(b, _)| *b != a) {
            if first.bank != second.bank {
                continue;
            }
            let error = with_slots(&|program| program.slots[a].name = program.slots[b].name).unwrap_err();
            let index = a.max(b);
            assert_eq!(error, TrackerError::Slot { program: "tracker", index }.into(), "{error}");
            // Exchanged names: what is written is no longer the frame's.
            let exchanged = with_slots(&|program| {
                (program.slots[a].name, program.slots[b].name) = (second.name, first.name);
            });
            match (first.is_written != 0, second.is_written != 0) {
                (false, false) => assert_eq!(exchanged, Ok(())),
                _ => assert!(
                    matches!(exchanged, Err(SessionError::Tracker(TrackerError::Slot { .. }))),
                    "{exchanged:?}"
                ),
            }
        }
    }
}

/// The head alone determines the memory, which grows with the number of kept frames.
#[test]
fn memory_follows_from_the_head_alone() {
    let with = |kept_frames| {
        let config = SessionConfig { kept_frames, ..every_frame() };
        memory_required(&disc()[..4096], &config).unwrap().bytes
    };
    let state = disc_model().header().banks()[0].copy_bytes as usize;
    // Besides a frame's features, its number, its geometry, its grey levels at the resolution of masks, and its motion are kept.
    let header = disc_model().header();
    let (grey, motion) = (4 * header.mask_size.pow(2) as usize, 8 * header.flow_side.pow(2) as usize);
    let kept = 8 * (state + grey + motion);
    assert!((kept..kept + 8 * 256 + 64).contains(&(with(9) - with(1))), "{}", with(9) - with(1));
}
