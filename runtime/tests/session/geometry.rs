//! The geometry changes during a scan: no frame waits for a sampling table, and objects keep their millimetres,
//! or are searched for.

use crate::common::{
    FIELD_MM, Memory, boxed, click, distance, every_frame, frame, on_display, only, picture, state,
};
use sonotrace::hal::clock::ManualClock;
use sonotrace::hal::command::{PointSpace, Prompt, PromptKind};
use sonotrace::hal::event::EventKind;
use sonotrace::hal::frame::FrameDescriptor;
use sonotrace::hal::geometry::Point;
use sonotrace::hal::overlay::{PromptOutcome, Rung, State, valid};
use sonotrace::session::{DropReason, Poll, SessionConfig};
use sonotrace::vision::Display;

/// Returns settings with 8 table rows per frame. The small model's input has 32 rows, so the table of a new geometry is
/// complete on its fourth frame.
fn in_steps() -> SessionConfig<'static> {
    SessionConfig { table_rows_per_frame: 8, ..every_frame() }
}

fn deeper(seq: u64) -> FrameDescriptor {
    FrameDescriptor { last_depth_mm: 60.0, geometry_epoch: 1, ..frame(seq) }
}

fn sector(seq: u64, first_angle_rad: f32, last_angle_rad: f32, last_depth_mm: f32) -> FrameDescriptor {
    FrameDescriptor {
        geometry: 2,
        apex_radius_mm: 30.0,
        first_angle_rad,
        last_angle_rad,
        last_depth_mm,
        ..frame(seq)
    }
}

/// Returns the same frame with another number and time.
fn numbered(descriptor: FrameDescriptor, seq: u64) -> FrameDescriptor {
    FrameDescriptor { seq, t_acq_ns: seq * 20_000_000, ..descriptor }
}

#[test]
fn frames_of_a_new_geometry_repeat_stale_contours_until_its_table_is_complete() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&in_steps());
    let mut scan = memory.open(in_steps(), &clock);
    scan.prompt(click(1, 0.0, 20.0)).unwrap();
    let before = *only(&scan.overlay_of(&frame(1)));
    assert_eq!(state(&before), State::Fresh);
    scan.event_kinds();
    for seq in 2..=4 {
        clock.advance_ns(20_000_000);
        let overlay =
            scan.overlay_of(&FrameDescriptor { t_enqueue_ns: (seq - 1) * 20_000_000, ..deeper(seq) });
        let object = only(&overlay);
        assert_eq!((overlay.seq, overlay.rung, state(object)), (seq, Rung::Repeat as u32, State::Stale));
        assert_eq!((overlay.latency_ns, overlay.age_ns), (0, (seq - 1) * 20_000_000));
        // In millimetres it does not move; on the display, it is drawn where that position lies now.
        assert_eq!(object.contour_mm(), before.contour_mm());
        for (px, mm) in object.contour_px().iter().zip(object.contour_mm()) {
            assert!(distance(*px, on_display(&deeper(seq), *mm)) < 1e-3);
        }
        assert!(distance(object.centroid_px, on_display(&deeper(seq), object.centroid_mm)) < 1e-3);
        // The field is 1.5 times as high, on a display of the same size.
        assert!((object.area_px2 / before.area_px2 - 1.0 / 2.25).abs() < 1e-3);
    }
    let overlay = scan.overlay_of(&FrameDescriptor { t_enqueue_ns: 60_000_000, ..deeper(5) });
    assert_eq!((overlay.rung, state(only(&overlay))), (Rung::Full as u32, State::Tracked));
    // A pixel of the new grid has 1.9 mm.
    assert!(distance(only(&overlay).centroid_mm, [0.0, 20.0]) < 2.0, "{:?}", only(&overlay).centroid_mm);
    let kinds = scan.event_kinds();
    assert_eq!(kinds, [EventKind::GeometryChanged, EventKind::TableReady, EventKind::ObjectReprojected]);
    let counters = scan.finish_and_account();
    let repeats = counters.rungs[Rung::Repeat as usize];
    assert_eq!((repeats, counters.geometry_changes, counters.overlays), (3, 1, 5));
}

/// Repeated overlays are drawn for another geometry than that of the last processed frame. A prompt on the frozen image
/// is served on that frame, and the other objects are drawn at their positions on it.
#[test]
fn a_repeat_does_not_change_the_frozen_frame() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&in_steps());
    let mut scan = memory.open(in_steps(), &clock);
    scan.prompt(click(1, 0.0, 20.0)).unwrap();
    let before = *only(&scan.overlay_of(&frame(1)));
    assert_eq!(state(only(&scan.overlay_of(&deeper(2)))), State::Stale);
    // A picture of unknown scale: the object's position on it is not known.
    assert_eq!(state(only(&scan.overlay_of(&picture(3, false)))), State::Lost);
    scan.commands.set_frozen(true).unwrap();
    scan.prompt(click(2, -10.0, 30.0)).unwrap();
    assert_eq!(scan.outcome(), Poll::Update(1));
    let overlay = scan.overlays.take().unwrap();
    assert_eq!((overlay.seq, overlay.rung, overlay.object_count), (1, Rung::Full as u32, 2));
    let after = &overlay.objects()[0];
    assert_eq!((state(after), after.contour_px()), (State::Fresh, before.contour_px()));
    assert_eq!((after.centroid_px, after.area_px2), (before.centroid_px, before.area_px2));
}

#[test]
fn the_old_table_is_used_until_the_new_one_is_complete_and_then_both() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&in_steps());
    let mut scan = memory.open(in_steps(), &clock);
    scan.overlay_of(&frame(1));
    let mut rungs = Vec::new();
    for seq in 2..=17 {
        let descriptor = if seq % 2 == 0 { deeper(seq) } else { frame(seq) };
        rungs.push(scan.overlay_of(&descriptor).rung);
    }
    let (full, repeat) = (Rung::Full as u32, Rung::Repeat as u32);
    // Every second frame has the old geometry and is always processed. Of the new geometry, the fourth frame and all
    // later ones are.
    assert_eq!(rungs[..7], [repeat, full, repeat, full, repeat, full, full]);
    assert!(rungs[7..].iter().all(|&rung| rung == full), "{rungs:?}");
    assert_eq!(scan.session.counters().geometry_changes, 1);
}

/// A front end that alternates between three geometries: each frame has its outcome, and fills at most its share of
/// rows.
#[test]
fn alternating_geometries_cost_bounded_work_and_give_stale_contours() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&in_steps());
    let mut scan = memory.open(in_steps(), &clock);
    scan.prompt(click(1, 0.0, 20.0)).unwrap();
    scan.overlay_of(&frame(1));
    for seq in 2..60 {
        let last_depth_mm = 45.0 + 5.0 * (seq % 3) as f32;
        let overlay = scan.overlay_of(&FrameDescriptor { last_depth_mm, ..frame(seq) });
        assert_eq!(overlay.rung, Rung::Repeat as u32);
        assert_eq!(state(only(&overlay)), State::Stale);
    }
    assert_eq!(state(only(&scan.overlay_of(&frame(60)))), State::Tracked);
    assert_eq!(scan.finish_and_account().rungs[Rung::Repeat as usize], 58);
}

#[test]
fn the_first_table_is_filled_at_once() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&in_steps());
    let mut scan = memory.open(in_steps(), &clock);
    scan.prompt(click(1, 0.0, 20.0)).unwrap();
    assert_eq!(state(only(&scan.overlay_of(&frame(1)))), State::Fresh);
    assert_eq!(scan.session.counters().geometry_changes, 0);
}

#[test]
fn objects_are_reprojected_to_another_depth_sector_and_zoom() {
    let zoomed = |seq: u64, spacing: f32, corner: f32| FrameDescriptor {
        spacing_x_mm: spacing,
        spacing_y_mm: spacing,
        left_mm: corner,
        top_mm: corner,
        ..picture(seq, true)
    };
    let changes = [
        ("depth", frame(1), deeper(2), [0.0, 20.0]),
        ("shallower", deeper(1), frame(2), [-6.0, 25.0]),
        ("width", frame(1), FrameDescriptor { left_mm: -30.0, right_mm: 25.0, ..frame(2) }, [5.0, 18.0]),
        ("sector", sector(1, -0.5, 0.5, 60.0), sector(2, -0.3, 0.6, 60.0), [4.0, 25.0]),
        ("sector and depth", sector(1, -0.5, 0.5, 60.0), sector(2, -0.6, 0.6, 90.0), [4.0, 30.0]),
        ("zoom", zoomed(1, 0.8, 0.0), zoomed(2, 0.6, 4.0), [18.0, 18.0]),
    ];
    for (what, first, second, at) in changes {
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&every_frame());
        let mut scan = memory.open(every_frame(), &clock);
        scan.prompt(click(1, at[0], at[1])).unwrap();
        let before = *only(&scan.overlay_of(&first));
        let overlay = scan.overlay_of(&second);
        let after = only(&overlay);
        assert_eq!(state(after), State::Tracked, "{what}");
        // The small model's disc has a radius of 7 pixels on any grid, so its position is compared, not its size.
        let off_mm = distance(after.centroid_mm, before.centroid_mm);
        assert!(off_mm < 2.5, "{what}: {off_mm} mm off");
        assert!(scan.event_kinds().contains(&EventKind::ObjectReprojected), "{what}");
    }
}

#[test]
fn another_probe_or_an_unknown_scale_loses_objects() {
    let unknown = |seq: u64, side: u32| FrameDescriptor {
        lines: side,
        samples: side,
        stride_bytes: side,
        payload_bytes: side * side,
        ..picture(seq, false)
    };
    let changes = [
        ("linear to convex", frame(1), sector(2, -0.5, 0.5, 60.0)),
        (
            "another radius",
            sector(1, -0.5, 0.5, 60.0),
            FrameDescriptor { apex_radius_mm: 40.0, ..sector(2, -0.5, 0.5, 60.0) },
        ),
        ("probe to picture", frame(1), picture(2, true)),
        ("unknown scale", unknown(1, 48), unknown(2, 50)),
    ];
    for (what, first, second) in changes {
        for table_rows_per_frame in [8, u32::MAX] {
            let config = SessionConfig { table_rows_per_frame, ..every_frame() };
            let clock = ManualClock::new(0);
            let mut memory = Memory::of(&config);
            let mut scan = memory.open(config, &clock);
            let middle = Point { x: 24.0, y: 20.0 };
            let kind = PromptKind::Click { at: middle, is_positive: true };
            scan.prompt(Prompt { object: 1, seq: 0, space: PointSpace::Display, kind }).unwrap();
            assert_eq!(state(only(&scan.overlay_of(&first))), State::Fresh, "{what}");
            for seq in 2..9 {
                let overlay = scan.overlay_of(&numbered(second, seq));
                let object = only(&overlay);
                // Its contour cannot be repeated. Once the table is complete, it is searched for by what it looks like.
                if overlay.rung == Rung::Repeat as u32 {
                    assert_eq!((object.id, state(object), object.points), (1, State::Lost, 0), "{what}");
                    assert_eq!((overlay.state, object.valid), (State::Lost as u32, 0), "{what}");
                } else {
                    assert_eq!((object.id, state(object)), (1, State::Tracked), "{what}");
                }
            }
            scan.prompt(Prompt { object: 1, seq: 0, space: PointSpace::Display, kind }).unwrap();
            assert_eq!(state(only(&scan.overlay_of(&numbered(second, 9)))), State::Fresh, "{what}");
            assert_eq!(state(only(&scan.overlay_of(&numbered(second, 10)))), State::Tracked, "{what}");
        }
    }
}

#[test]
fn an_object_outside_the_new_field_is_absent() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.open(every_frame(), &clock);
    scan.prompt(click(1, -12.0, 30.0)).unwrap();
    scan.prompt(click(2, 12.0, 10.0)).unwrap();
    assert_eq!(scan.overlay_of(&frame(1)).objects().len(), 2);
    let right_half = FrameDescriptor { left_mm: 2.0, ..frame(2) };
    let overlay = scan.overlay_of(&right_half);
    let states: Vec<State> = overlay.objects().iter().map(state).collect();
    assert_eq!(states, [State::Absent, State::Tracked]);
}

#[test]
fn prompts_on_frames_of_the_previous_geometry_are_served_and_reprojected() {
    let config = SessionConfig { kept_frames: 4, ..every_frame() };
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&config);
    let mut scan = memory.open(config, &clock);
    scan.overlay_of(&frame(1));
    scan.prompt(Prompt { seq: 1, ..click(1, 5.0, 22.0) }).unwrap();
    scan.prompt(Prompt { seq: 1, ..boxed(2, [-12.0, 8.0, -3.0, 17.0]) }).unwrap();
    let overlay = scan.overlay_of(&deeper(2));
    let [first, second] = overlay.objects() else { panic!("{} objects", overlay.objects().len()) };
    assert_eq!((state(first), state(second)), (State::Tracked, State::Tracked));
    assert!(distance(first.centroid_mm, [5.0, 22.0]) < 2.5, "{:?}", first.centroid_mm);
    assert!(distance(second.centroid_mm, [-7.5, 12.5]) < 2.5, "{:?}", second.centroid_mm);
    // An object on another probe's frame is searched for by what it looks like.
    scan.prompt(Prompt { seq: 2, ..click(3, 0.0, 32.0) }).unwrap();
    let overlay = scan.overlay_of(&sector(3, -0.5, 0.5, 60.0));
    assert_eq!(overlay.answers()[0].outcome, PromptOutcome::Served as u32);
    assert_eq!(overlay.objects().iter().map(|object| object.id).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn prompts_while_a_table_is_filled_wait_for_the_first_frame_that_is_computed() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&in_steps());
    let mut scan = memory.open(in_steps(), &clock);
    scan.overlay_of(&frame(1));
    assert!(scan.overlay_of(&deeper(2)).objects().is_empty());
    // Frame 2 was not processed and has no features. Frame 1 is nearer than frame 5, but has the geometry before.
    let first = scan.prompt(Prompt { seq: 2, ..click(1, 0.0, 12.0) }).unwrap();
    let next = scan.prompt(click(2, 0.0, 36.0)).unwrap();
    for seq in 3..=4 {
        assert_eq!(scan.overlay_of(&deeper(seq)).answers(), []);
    }
    let overlay = scan.overlay_of(&deeper(5));
    let answers: Vec<(u32, u32)> =
        overlay.answers().iter().map(|answer| (answer.ticket, answer.outcome)).collect();
    assert_eq!(answers, [first, next].map(|ticket| (ticket, PromptOutcome::Served as u32)));
    assert!(overlay.answers().iter().all(|answer| answer.seq == 5));
    let step_ns = (deeper(5).t_acq_ns - deeper(2).t_acq_ns) as i64;
    assert_eq!(overlay.answers().iter().map(|answer| answer.offset_ns).collect::<Vec<_>>(), [step_ns, 0]);
    let fresh: Vec<_> = overlay.objects().iter().map(|object| (object.id, state(object))).collect();
    assert_eq!(fresh, [(1, State::Fresh), (2, State::Fresh)]);
}

/// Geometries are compared by their values: the front end's epoch may stay or change.
#[test]
fn epochs_are_ignored() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&in_steps());
    let mut scan = memory.open(in_steps(), &clock);
    scan.overlay_of(&FrameDescriptor { geometry_epoch: 7, ..frame(1) });
    assert_eq!(scan.overlay_of(&FrameDescriptor { geometry_epoch: 8, ..frame(2) }).rung, Rung::Full as u32);
    assert_eq!(
        scan.overlay_of(&FrameDescriptor { geometry_epoch: 8, ..deeper(3) }).rung,
        Rung::Repeat as u32
    );
}

/// A frame that cannot be sampled (its vendor table is missing) hides no change of geometry, and no object is lost.
#[test]
fn a_frame_that_cannot_be_sampled_does_not_hide_a_change_of_geometry() {
    let with = |last_depth_mm: f32| {
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&every_frame());
        let mut scan = memory.open(every_frame(), &clock);
        scan.prompt(click(1, 0.0, 20.0)).unwrap();
        scan.overlay_of(&frame(1));
        scan.push(&FrameDescriptor { amplitude_law: 3, law_table: 9, last_depth_mm: 30.0, ..frame(2) });
        assert_eq!(scan.outcome(), Poll::Dropped { seq: 2, reason: DropReason::Malformed });
        *only(&scan.overlay_of(&FrameDescriptor { last_depth_mm, ..frame(3) }))
    };
    for depth_mm in [60.0, FIELD_MM] {
        let object = with(depth_mm);
        assert_eq!(state(&object), State::Tracked);
        assert!(distance(object.centroid_mm, [0.0, 20.0]) < 2.0, "{:?}", object.centroid_mm);
    }
}

/// A picture with black borders gives the same millimetres as without borders.
#[test]
fn black_borders_do_not_change_the_scale() {
    let with = |border: u32| {
        let config = SessionConfig { display: Display::Source, ..every_frame() };
        let clock = ManualClock::new(0);
        let mut memory = Memory::of(&config);
        let mut scan = memory.open(config, &clock);
        let side = 48 + 2 * border;
        let bordered = FrameDescriptor {
            lines: side,
            samples: side,
            stride_bytes: side,
            payload_bytes: side * side,
            content_column: border,
            content_row: border,
            content_columns: 48,
            content_rows: 48,
            left_mm: -0.8 * border as f32,
            top_mm: -0.8 * border as f32,
            ..picture(1, true)
        };
        scan.prompt(click(1, 18.0, 21.0)).unwrap();
        *only(&scan.overlay_of(&bordered))
    };
    let (plain, bordered) = (with(0), with(9));
    assert_eq!(plain.valid & valid::MILLIMETRES, valid::MILLIMETRES);
    assert!((plain.area_mm2 - bordered.area_mm2).abs() < 1e-3 * plain.area_mm2);
    assert!(distance(plain.centroid_mm, bordered.centroid_mm) < 1e-3);
    // In pixels of the whole picture, borders included.
    let moved = [plain.centroid_px[0] + 9.0, plain.centroid_px[1] + 9.0];
    assert!(
        distance(moved, bordered.centroid_px) < 1e-3,
        "{:?} {:?}",
        plain.centroid_px,
        bordered.centroid_px
    );
}

/// While objects are followed, another depth keeps the grid: their place on the network's input does not change. A prompt beyond it is
/// served once the whole field is sampled again.
#[test]
fn the_grid_stays_with_the_objects_until_a_prompt_points_beyond_it() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&in_steps());
    let mut scan = memory.open(in_steps(), &clock);
    scan.prompt(click(1, 2.0, 21.0)).unwrap();
    let before = *only(&scan.overlay_of(&frame(1)));
    for seq in 2..=5 {
        scan.overlay_of(&deeper(seq));
    }
    let overlay = scan.overlay_of(&deeper(6));
    // The same pixels of the mask, so the same millimetres up to the mask's refinement.
    let after = only(&overlay);
    assert!(distance(after.centroid_mm, before.centroid_mm) < 1.0, "{:?}", after.centroid_mm);
    assert!((after.area_mm2 / before.area_mm2 - 1.0).abs() < 0.3, "{} mm2", after.area_mm2);
    // 52 mm deep: below the first field of 40 mm.
    let ticket = scan.prompt(Prompt { seq: 6, ..click(2, 0.0, 52.0) }).unwrap();
    let mut waited = 0;
    let overlay = loop {
        let overlay = scan.overlay_of(&deeper(7 + waited));
        if !overlay.answers().is_empty() {
            break overlay;
        }
        waited += 1;
        assert!(waited < 10, "the prompt is never served");
    };
    let answer = &overlay.answers()[0];
    assert_eq!((answer.ticket, answer.outcome), (ticket, PromptOutcome::Served as u32));
    assert_eq!(answer.seq, 7 + waited);
    let ids: Vec<_> = overlay.objects().iter().map(|object| object.id).collect();
    assert_eq!(ids, [1, 2]);
    assert!(distance(overlay.objects()[1].centroid_mm, [0.0, 52.0]) < 3.0);
    // Neither is a change of geometry.
    assert_eq!(scan.session.counters().geometry_changes, 1);
    // Outside the field, it is refused at once.
    scan.prompt(click(3, 0.0, 70.0)).unwrap();
    let overlay = scan.overlay_of(&deeper(30));
    assert_eq!(overlay.answers()[0].outcome, PromptOutcome::OutsideField as u32);
}
