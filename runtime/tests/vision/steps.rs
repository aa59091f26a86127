//! Resumable contours and sampling: any steps give the same result, and no step exceeds its documented bound.

use crate::boundaries::rough;
use crate::random_cases::random_cases;
use proptest::prelude::*;
use sonotrace::hal::frame::{
    FrameDescriptor, LAW_LINEAR, LAW_LOGARITHMIC, LINES_MAX, SAMPLES_MAX, TGC_POINTS, TgcPoint, flags,
};
use sonotrace::hal::overlay::CONTOUR_POINTS_MAX;
use sonotrace::vision::components::{PICK_POINTS_MAX, labels_len, path_links_max};
use sonotrace::vision::simplify::REMOVE_WORK;
use sonotrace::vision::{
    Contour, Field, GreyTable, Link, Normalisation, Pick, STEP_WORK, SampleCursor, Sampler, StepBudget,
    Tracing, Vertex, trace,
};

/// Traces in steps of the given sizes, in turn. Checks the work of each step; returns the contour, its points, and the
/// work of the longest step.
fn trace_in_steps(
    field: &Field<'_>,
    pick: Pick<'_>,
    hole_pixels_min: usize,
    room: usize,
    steps: &[u32],
) -> (Option<Contour>, Vec<Vertex>, u32) {
    let mut labels = vec![0x5555_5555; labels_len(field.columns(), field.rows())];
    let mut points = vec![[f32::NAN; 2]; room];
    let mut links = vec![Link::default(); room];
    let mut tracing = Tracing::new(field, pick, hole_pixels_min).unwrap();
    let mut longest = 0;
    for &step in steps.iter().cycle() {
        assert_eq!(tracing.contour(), None);
        let mut budget = StepBudget::new(step);
        let is_done = tracing.step(field, &mut labels, &mut points, &mut links, &mut budget).unwrap();
        assert!(budget.work() < step.max(1) + Tracing::piece_work_max(field.columns()), "{budget:?}");
        assert!(is_done || budget.is_used_up());
        longest = longest.max(budget.work());
        if is_done {
            break;
        }
    }
    let contour = tracing.contour();
    points.truncate(contour.map_or(0, |contour| contour.points));
    (contour, points, longest)
}

fn trace_at_once(
    field: &Field<'_>,
    pick: Pick<'_>,
    hole_pixels_min: usize,
    room: usize,
) -> (Option<Contour>, Vec<Vertex>) {
    let mut labels = vec![0x5555_5555; labels_len(field.columns(), field.rows())];
    let mut points = vec![[f32::NAN; 2]; room];
    let mut links = vec![Link::default(); room];
    let contour = trace(field, pick, hole_pixels_min, &mut labels, &mut points, &mut links).unwrap();
    points.truncate(contour.map_or(0, |contour| contour.points));
    (contour, points)
}

proptest! {
    #![proptest_config(random_cases(300))]

    /// Tracing noise in steps of any sizes gives the same contour as in one go.
    #[test]
    fn any_steps_give_the_same_contour(
        w in 1usize..40,
        h in 1usize..40,
        values in prop::collection::vec(rough(), 40 * 40),
        lift in prop::sample::select(vec![-0.2f32, 0.0, 0.2, 0.4, 0.6]),
        // With the minimum room, loops are thinned.
        room in prop::sample::select(vec![CONTOUR_POINTS_MAX, 700, 4096]),
        hole_pixels_min in 0usize..4,
        at in prop::option::of(prop::collection::vec((-2.0..42.0f32, -2.0..42.0f32), 0..PICK_POINTS_MAX)),
        steps in prop::collection::vec(prop_oneof![0u32..9, 0u32..3000], 1..9),
    ) {
        let values: Vec<f32> = values[..w * h].iter().map(|value| value + lift).collect();
        let field = Field::new(&values, w, h, w).unwrap();
        let at: Option<Vec<Vertex>> = at.map(|points| points.into_iter().map(|(x, y)| [x, y]).collect());
        let pick = at.as_deref().map_or(Pick::Largest, Pick::Containing);
        let (contour, points) = trace_at_once(&field, pick, hole_pixels_min, room);
        let (in_steps, points_in_steps, _) = trace_in_steps(&field, pick, hole_pixels_min, room, &steps);
        prop_assert_eq!(contour, in_steps);
        let bits = |points: &[Vertex]| points.iter().map(|point| point.map(f32::to_bits)).collect::<Vec<_>>();
        prop_assert_eq!(bits(&points), bits(&points_in_steps));
    }
}

/// On a field of few columns, paths are so short that to remove a point is the largest piece.
#[test]
fn steps_of_narrow_fields_are_bounded() {
    for columns in 1..8 {
        // Rows of full width and rows of single pixels, so that the contour has more points than are kept.
        let rows = 600;
        let is_inside = |i: usize| (i / columns).is_multiple_of(2) || (i % columns).is_multiple_of(4);
        let values: Vec<f32> = (0..columns * rows).map(|i| if is_inside(i) { 0.6 } else { -0.3 }).collect();
        let field = Field::new(&values, columns, rows, columns).unwrap();
        let (contour, _, longest) = trace_in_steps(&field, Pick::Largest, 2, 4096, &[1]);
        assert!(contour.unwrap().points > 100, "{columns} columns");
        assert!(longest >= REMOVE_WORK, "{columns} columns");
    }
}

const SIDE: usize = 256;

/// Returns masks of 256 x 256 that need as much work as possible, each in another stage.
fn worst_masks() -> Vec<(&'static str, Vec<f32>)> {
    let mask = |is_inside: &dyn Fn(usize, usize) -> bool| -> Vec<f32> {
        (0..SIDE * SIDE).map(|i| if is_inside(i % SIDE, i / SIDE) { 1.0 } else { -0.9 }).collect()
    };
    let mut state = 1u64;
    let mut noise = |share: u64| {
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        (0..SIDE * SIDE).map(|_| if next() % 100 < share { 1.0f32 } else { -0.9 }).collect::<Vec<_>>()
    };
    let (sparse, even, dense) = (noise(42), noise(50), noise(60));
    // Each tooth starts a row above the one on its left, so that each is the new root when their handle connects them.
    let comb = |x: usize, y: usize| (x.is_multiple_of(2) && y + x / 2 >= 128) || y >= 200;
    // Square layers, every second one inside. On the left side of each, one pixel is exchanged: a gap in the layers
    // that are inside, and a bridge to the next.
    let spiral = |x: usize, y: usize| {
        let layer = x.min(y).min(SIDE - 1 - x).min(SIDE - 1 - y);
        let is_exchanged = x == layer && y == layer + 1;
        layer.is_multiple_of(2) != is_exchanged
    };
    let shapes: [(&'static str, Vec<f32>); 9] = [
        ("empty", mask(&|_, _| false)),
        ("full", mask(&|_, _| true)),
        ("checkerboard", mask(&|x, y| (x + y).is_multiple_of(2))),
        ("separate pixels", mask(&|x, y| x.is_multiple_of(2) && y.is_multiple_of(2))),
        ("holes", mask(&|x, y| x.is_multiple_of(2) || y.is_multiple_of(2))),
        ("rows", mask(&|x, y| y.is_multiple_of(2) || x == if y % 4 == 1 { 0 } else { SIDE - 1 })),
        ("comb", mask(&comb)),
        ("comb of holes", mask(&|x, y| x == 0 || x == SIDE - 1 || y == 0 || y == SIDE - 1 || !comb(x, y))),
        ("spiral", mask(&spiral)),
    ];
    let separated = shapes[2].1.iter().map(|value| if *value > 0.0 { 0.5 } else { -0.9 }).collect();
    let others = [
        ("separate checkerboard", separated),
        ("sparse noise", sparse),
        ("even noise", even),
        ("dense noise", dense),
    ];
    shapes.into_iter().chain(others).collect()
}

/// A session can keep the state of a tracing between its slices.
#[test]
fn the_state_of_a_tracing_is_small() {
    assert!(size_of::<Tracing>() <= 640, "{}", size_of::<Tracing>());
}

/// No step of a tracing exceeds its bound, and the pieces of work between steps are as small as documented.
#[test]
fn steps_of_the_worst_masks_are_bounded() {
    // On inside pixels of most masks.
    let mut at = [[0.0f32; 2]; PICK_POINTS_MAX];
    for (i, at) in at.iter_mut().enumerate() {
        *at = [(16 * i) as f32, (254 - 10 * i) as f32];
    }
    let mut largest_piece = 0;
    for (name, values) in worst_masks() {
        let field = Field::new(&values, SIDE, SIDE, SIDE).unwrap();
        for pick in [Pick::Largest, Pick::Containing(&at)] {
            for room in [CONTOUR_POINTS_MAX, 4096] {
                let (contour, points) = trace_at_once(&field, pick, 0, room);
                assert!(contour.is_some() || name == "empty", "{name}");
                // Each step is checked there.
                let (in_steps, points_in_steps, _) = trace_in_steps(&field, pick, 0, room, &[STEP_WORK]);
                assert_eq!((contour, &points), (in_steps, &points_in_steps), "{name}");
                let (in_pieces, points_in_pieces, piece) = trace_in_steps(&field, pick, 0, room, &[1]);
                assert_eq!((contour, &points), (in_pieces, &points_in_pieces), "{name}");
                largest_piece = largest_piece.max(piece);
            }
        }
    }
    // The comb has a path of nearly the greatest length, so that the bound is no overestimate.
    assert!(largest_piece >= path_links_max(SIDE) as u32 - 2, "{largest_piece}");
}

/// Returns a linear array's IQ frame with the maximum lines and samples, and a pending gain curve.
fn largest_iq() -> FrameDescriptor {
    let mut d = FrameDescriptor::blank();
    (d.domain, d.sample_type, d.geometry) = (2, 3, 1);
    (d.lines, d.samples, d.stride_bytes) = (LINES_MAX, SAMPLES_MAX, 4 * SAMPLES_MAX);
    d.payload_bytes = d.lines * d.stride_bytes;
    (d.amplitude_law, d.law_range_db, d.speed_of_sound_m_s) = (LAW_LINEAR, 60.0, 1540.0);
    (d.left_mm, d.right_mm, d.last_depth_mm) = (-50.0, 50.0, 100.0);
    (d.flags, d.tgc_points) = (flags::TGC_PENDING, TGC_POINTS as u32);
    for (i, point) in d.tgc.iter_mut().enumerate() {
        *point = TgcPoint { depth_mm: 12.0 * i as f32, gain_db: i as f32 };
    }
    d
}

/// Returns a picture with the maximum rows and columns.
fn largest_picture() -> FrameDescriptor {
    let mut d = FrameDescriptor::blank();
    (d.domain, d.sample_type, d.geometry) = (4, 1, 5);
    (d.lines, d.samples, d.stride_bytes) = (LINES_MAX, SAMPLES_MAX, SAMPLES_MAX);
    d.payload_bytes = d.lines * d.stride_bytes;
    (d.amplitude_law, d.law_range_db) = (LAW_LOGARITHMIC, 60.0);
    d
}

/// Samples a frame in steps until `work_max` is done. Checks the work of each step and the values; returns the work, and the
/// samples that the largest pixel reads.
fn sample_in_steps(descriptor: &FrameDescriptor, work_max: u64) -> (u64, u32) {
    let frame = descriptor.check().unwrap();
    let noise: Vec<u8> = (0..65_521u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let payload = noise.repeat(frame.payload_bytes as usize / noise.len() + 1);
    let payload = &payload[..frame.payload_bytes as usize];
    let grey = GreyTable::new(&frame, Normalisation { mean: 0.0, std: 1.0 }, &[]).unwrap();
    let pixels = Sampler::table_len(SIDE as u32);
    let mut table = vec![bytemuck::Zeroable::zeroed(); pixels];
    let mut out = vec![f32::NAN; pixels];
    let sampler = Sampler::build(&frame, SIDE as u32, &mut table).unwrap();
    let pixel_max = sampler.pixel_samples_max();
    let sampling = sampler.sampling(&table, &frame, payload, &grey).unwrap();
    let (mut cursor, mut work, mut is_done) = (SampleCursor::default(), 0, false);
    while !is_done && work < work_max {
        let mut budget = StepBudget::new(STEP_WORK);
        is_done = sampling.step(&mut cursor, &mut out, &mut budget).unwrap();
        assert!(budget.work() < STEP_WORK + pixel_max, "{budget:?}");
        work += u64::from(budget.work());
    }
    let in_range = |value: &f32| (0.0..=1.0001).contains(value);
    let sampled = out.iter().take_while(|value| in_range(value)).count();
    assert!(sampled > 0 && out[sampled..].iter().all(|value| !is_done && value.is_nan()), "{sampled}");
    (work, pixel_max)
}

/// Of the largest frames a share, because all of their steps are alike; frames of an eighth as many lines and samples as a
/// whole.
#[test]
fn steps_of_the_largest_frames_are_bounded() {
    // Under emulation, which is some twenty times slower, a smaller share.
    let share = if cfg!(target_arch = "aarch64") { 64 } else { 8 };
    let samples = u64::from(LINES_MAX * SAMPLES_MAX);
    for (largest, expected) in [(largest_picture(), 65 * 65), (largest_iq(), 64 * 32)] {
        let (work, pixel_max) = sample_in_steps(&largest, 4 * samples / share);
        assert_eq!(pixel_max, expected);
        assert!(work >= 4 * samples / share, "{work}");
        let (lines, stride_bytes) = (LINES_MAX / 8, largest.stride_bytes / 8);
        let smaller = FrameDescriptor {
            lines,
            samples: SAMPLES_MAX / 8,
            stride_bytes,
            payload_bytes: lines * stride_bytes,
            ..largest
        };
        // Each sample is read about four times: twice along its line, and twice across.
        let (work, _) = sample_in_steps(&smaller, u64::MAX);
        assert!(work > 3 * samples / 64, "{work}");
    }
}

/// No geometry makes a pixel read more samples than documented, not even one that is nearly a line.
#[test]
fn pixels_of_extreme_geometries_are_bounded() {
    let (iq, picture) = (largest_iq(), largest_picture());
    let linear = |width: f32, depth: f32| FrameDescriptor {
        left_mm: 0.0,
        right_mm: width,
        last_depth_mm: depth,
        ..iq
    };
    let sector = |geometry: u32, apex: f32, half_angle: f32, depth: f32| FrameDescriptor {
        geometry,
        apex_radius_mm: apex,
        first_angle_rad: -half_angle,
        last_angle_rad: half_angle,
        last_depth_mm: depth,
        ..iq
    };
    let scaled =
        |x: f32, y: f32| FrameDescriptor { geometry: 4, spacing_x_mm: x, spacing_y_mm: y, ..picture };
    let mut most = 0;
    for descriptor in [
        linear(900.0, 0.2),
        linear(0.2, 900.0),
        linear(900.0, 900.0),
        sector(2, 900.0, 1.5, 0.2),
        sector(2, 900.0, 0.01, 900.0),
        sector(2, 5.0, 1.5, 900.0),
        sector(3, 0.0, 1.5, 0.2),
        sector(3, 0.0, 0.01, 900.0),
        scaled(0.01, 9.0),
        scaled(9.0, 0.01),
        scaled(1.0, 1.0),
    ] {
        let sampler = Sampler::new(&descriptor.check().unwrap(), SIDE as u32).unwrap();
        most = most.max(sampler.pixel_samples_max());
    }
    assert_eq!(most, 8192 * 33);
}
