//! Volumes against bodies of known volume, a slow reference, and the simulated heart.

use core::f64::consts::PI;
use proptest::prelude::*;
use sonotrace::hal::overlay::Volume;
use sonotrace::vision::{Vertex, volume};
use sonotrace_sim::beat::END_SYSTOLE_PHASE;
use sonotrace_sim::heart::{Heart, LEFT_ATRIUM, LEFT_VENTRICLE, MYOCARDIUM};
use sonotrace_sim::phantom::{Phantom, truth};

/// Where a body's section lies: its turn, and the place of its origin.
#[derive(Debug, Clone, Copy)]
struct Pose {
    turn: f64,
    at: [f64; 2],
}

const UPRIGHT: Pose = Pose { turn: 0.0, at: [0.0; 2] };

fn placed(points: impl IntoIterator<Item = [f64; 2]>, pose: Pose) -> Vec<Vertex> {
    let (sin, cos) = pose.turn.sin_cos();
    let placed =
        |[x, y]: [f64; 2]| [(pose.at[0] + x * cos - y * sin) as f32, (pose.at[1] + x * sin + y * cos) as f32];
    points.into_iter().map(placed).collect()
}

/// Returns the section of a body of revolution by its radius along the axis, with `steps` sides along either flank.
fn section(radius: impl Fn(f64) -> f64, from: f64, to: f64, steps: usize, pose: Pose) -> Vec<Vertex> {
    // Denser at the ends, where round ones are steep.
    let along = |step: usize| {
        let part = 0.5 - 0.5 * (PI * step as f64 / steps as f64).cos();
        from + (to - from) * part
    };
    let upper = (0..=steps).map(along).map(|z| [z, -radius(z)]);
    let lower = (0..=steps).rev().map(along).map(|z| [z, radius(z)]);
    placed(upper.chain(lower), pose)
}

/// Returns the volume of a body of revolution, in ml: the sum of fine discs.
fn revolved_ml(radius: impl Fn(f64) -> f64, from: f64, to: f64) -> f64 {
    const STEPS: usize = 100_000;
    let step = (to - from) / STEPS as f64;
    let squares: f64 = (0..STEPS).map(|at| radius(from + (at as f64 + 0.5) * step).powi(2)).sum();
    PI * squares * step / 1000.0
}

/// Returns the relative errors of both methods.
fn errors(volume: &Volume, truth_ml: f64) -> [f64; 2] {
    [volume.discs_ml, volume.area_length_ml].map(|ml| f64::from(ml) / truth_ml - 1.0)
}

fn poses() -> impl Iterator<Item = Pose> {
    (0..48).map(|step| Pose { turn: PI * f64::from(step) / 24.0, at: [3.7 * f64::from(step) - 90.0, 120.0] })
}

/// The error of 20 discs of an ellipsoid, whose squared radius is quadratic along the axis: the midpoint rule's,
/// `h * h / 24 * f''` per length, which is `1 / (2 * 20 * 20)` of the volume.
const ELLIPSOID_DISCS: f64 = 1.0 / 800.0;

#[test]
fn spheres_and_prolate_spheroids() {
    for (a, b) in [(30.0, 30.0), (45.0, 22.0), (80.0, 8.0), (6.0, 5.9)] {
        let radius = |z: f64| b * (1.0 - (z / a) * (z / a)).max(0.0).sqrt();
        let truth_ml = 4.0 / 3.0 * PI * a * b * b / 1000.0;
        assert!((revolved_ml(radius, -a, a) / truth_ml - 1.0).abs() < 1e-6);
        for pose in poses() {
            let seen = volume(&section(radius, -a, a, 1000, pose)).unwrap();
            let [discs, area_length] = errors(&seen, truth_ml);
            assert!((discs - ELLIPSOID_DISCS).abs() < 5e-5, "{a} {b} {pose:?}: discs {discs}");
            assert!(area_length.abs() < 5e-5, "{a} {b} {pose:?}: area-length {area_length}");
            assert!((f64::from(seen.length_mm) / (2.0 * a) - 1.0).abs() < 1e-4, "{seen:?}");
            // As many points as an overlay has, and as few as a small object may have: they lie on the body, so that all is inside.
            let [fine, coarse] = [64, 16].map(|steps| volume(&section(radius, -a, a, steps, pose)).unwrap());
            for (seen, limit) in [(fine, 0.002), (coarse, 0.025)] {
                let [discs, area_length] = errors(&seen, truth_ml);
                assert!(discs.abs() < limit && area_length.abs() < limit, "{a} {b}: {discs} {area_length}");
            }
        }
    }
}

#[test]
fn a_cylinder_a_cone_and_a_truncated_ellipsoid() {
    let (length, radius) = (70.0, 21.0);
    let (a, b, base) = (60.0, 24.0, -18.0);
    let cylinder = |_: f64| radius;
    let cone = |z: f64| radius * (1.0 - z / length);
    // The usual model of a ventricle: cut off at the base.
    let ventricle = |z: f64| b * (1.0 - (z / a) * (z / a)).max(0.0).sqrt();
    let cut_ml = PI * b * b * ((a - base) - (a * a * a - base * base * base) / (3.0 * a * a)) / 1000.0;
    assert!((revolved_ml(ventricle, base, a) / cut_ml - 1.0).abs() < 1e-6);
    for pose in poses() {
        let seen = volume(&section(cylinder, 0.0, length, 1, pose)).unwrap();
        let [discs, area_length] = errors(&seen, PI * radius * radius * length / 1000.0);
        // Area-length takes it for an ellipsoid.
        assert!(
            discs.abs() < 1e-5 && (area_length - (32.0 / (3.0 * PI * PI) - 1.0)).abs() < 1e-5,
            "{seen:?}"
        );

        let seen = volume(&section(cone, 0.0, length, 1, pose)).unwrap();
        let [discs, area_length] = errors(&seen, PI * radius * radius * length / 3000.0);
        // By the midpoint rule, too: a sixteen-hundredth too small.
        assert!((discs + 1.0 / 1600.0).abs() < 1e-5, "{discs}");
        assert!((area_length - (8.0 / (PI * PI) - 1.0)).abs() < 1e-5, "{area_length}");

        let seen = volume(&section(ventricle, base, a, 1000, pose)).unwrap();
        let [discs, area_length] = errors(&seen, cut_ml);
        let height = (a - base) / 20.0;
        let expected = height * height / 24.0 * (2.0 * PI * b * b / (a * a)) * (a - base) / (1000.0 * cut_ml);
        assert!((discs - expected).abs() < 5e-5, "{discs}, not {expected}");
        assert!(area_length.abs() < 0.05, "{area_length}");
        assert!((f64::from(seen.length_mm) - (a - base)).abs() < 0.01, "{seen:?}");
    }
}

/// The ventricle of the simulated heart over a beat, against its own volume: the fitted axis is its own, and both
/// methods find its ejection fraction. The chord between the farthest points is neither its axis nor its length.
#[test]
fn the_simulated_ventricle() {
    let heart = Heart::new(1);
    let at = |phase: f32, id: u32| -> Vec<Vertex> {
        let objects = truth(&heart, heart.motion(phase));
        let object = objects.iter().find(|object| object.id == id).unwrap();
        object.contour_mm.iter().map(|point| [point.x, point.y]).collect()
    };
    for percent in 0..100 {
        let phase = percent as f32 / 100.0;
        let seen = volume(&at(phase, LEFT_VENTRICLE)).unwrap();
        let [discs, area_length] = errors(&seen, Heart::left_ventricle_ml(phase));
        assert!(discs.abs() < 0.002, "{percent} %: discs {discs}");
        assert!((0.0..0.02).contains(&area_length), "{percent} %: area-length {area_length}");
        let [from, to] = seen.axis_mm;
        let tilt = ((to[0] - from[0]) / (to[1] - from[1])).atan();
        // The sine of the heart's tilt is 0.0998.
        assert!((tilt - 0.1f32).abs() < 0.01, "{percent} %: tilt {tilt}");
    }
    let fraction = |largest: f64, smallest: f64| (largest - smallest) / largest;
    let [diastole, systole] =
        [0.0, END_SYSTOLE_PHASE].map(|phase| volume(&at(phase, LEFT_VENTRICLE)).unwrap());
    let expected = fraction(Heart::left_ventricle_ml(0.0), Heart::left_ventricle_ml(END_SYSTOLE_PHASE));
    let discs = fraction(diastole.discs_ml.into(), systole.discs_ml.into());
    let area_length = fraction(diastole.area_length_ml.into(), systole.area_length_ml.into());
    assert!((discs - expected).abs() < 0.001, "{discs}, not {expected}");
    assert!((area_length - expected).abs() < 0.01, "{area_length}, not {expected}");
    // The longest chord, from the apex to a corner of the base.
    let outline = at(0.0, LEFT_VENTRICLE);
    let longest = sonotrace::vision::measure([&outline[..]]).unwrap().long_axis;
    assert!((diastole.length_mm - 71.0).abs() < 0.1 && longest > 72.5, "{} {longest}", diastole.length_mm);
    // Volumes of the other objects: the muscle is no body of revolution.
    assert!(volume(&at(0.0, LEFT_ATRIUM)).is_some());
    assert_eq!(volume(&at(0.0, MYOCARDIUM)), None);
}

#[test]
fn outlines_without_a_volume_are_refused() {
    let none: [&[Vertex]; 8] = [
        &[],
        &[[3.0, 4.0], [5.0, 6.0]],
        &[[3.0, 4.0]; 5],
        &[[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]],
        &[[0.0, 0.0], [f32::NAN, 1.0], [1.0, 0.0]],
        &[[0.0, 0.0], [f32::INFINITY, 0.0], [1.0, 1.0]],
        // Flat to within rounding, and too large.
        &[[0.0, 0.0], [1e6, 0.0], [1e6, 1.0], [0.0, 1.0]],
        &[[-1e15, -1e15], [1e15, -1e15], [1e15, 1e15], [-1e15, 1e15]],
    ];
    for outline in none {
        assert_eq!(volume(outline), None, "{outline:?}");
    }
    // Crosses itself: the second lobe runs the other way round.
    assert_eq!(volume(&[[0.0, 0.0], [40.0, 20.0], [40.0, 0.0], [0.0, 18.0]]), None);
    // A square that is run around twice.
    let square = [[0.0, 0.0], [10.0, 0.0], [10.0, 8.0], [0.0, 8.0]];
    assert_eq!(volume(&[square, square].concat()), None);
    // A horseshoe: lines across its axis meet it four times.
    let arc = |radius: f64| {
        (0..=60).map(move |step| {
            let angle = PI * (0.15 + 1.7 * f64::from(step) / 60.0);
            [radius * angle.cos(), 2.0 * radius * angle.sin()]
        })
    };
    let horseshoe = arc(30.0).chain(arc(20.0).collect::<Vec<_>>().into_iter().rev());
    assert_eq!(volume(&placed(horseshoe, UPRIGHT)), None);
}

/// A notch at the base, as a valve's leaflets make it, leaves the volume within its own size.
#[test]
fn a_notch_at_the_base_is_accepted() {
    let (length, radius) = (70.0, 20.0);
    let with_notch = |depth: f64| {
        placed(
            [
                [0.0, -radius],
                [0.0, -3.0],
                [depth, 0.0],
                [0.0, 3.0],
                [0.0, radius],
                [length, radius],
                [length, -radius],
            ],
            UPRIGHT,
        )
    };
    let [whole, notched] = [0.001, 6.0].map(|depth| volume(&with_notch(depth)).unwrap());
    let part = notched.discs_ml / whole.discs_ml;
    assert!((0.97..1.0).contains(&part), "{part}");
    // One that divides most of the body holds more than 5 % of it.
    assert_eq!(volume(&with_notch(60.0)), None);
}

/// Volume by the axis that the result names: for each disc, crossings of all sides in order, in pairs.
fn slow_discs_ml(outline: &[Vertex], seen: &Volume) -> f64 {
    let [from, to] = seen.axis_mm.map(|end| end.map(f64::from));
    let length = (to[0] - from[0]).hypot(to[1] - from[1]);
    let unit = [(to[0] - from[0]) / length, (to[1] - from[1]) / length];
    let corners: Vec<[f64; 2]> = outline
        .iter()
        .map(|corner| [f64::from(corner[0]) - from[0], f64::from(corner[1]) - from[1]])
        .map(|[x, y]| [x * unit[0] + y * unit[1], y * unit[0] - x * unit[1]])
        .collect();
    let mut sum = 0.0;
    for disc in 0..20 {
        let middle = (f64::from(disc) + 0.5) * length / 20.0;
        let mut crossings: Vec<f64> = (0..corners.len())
            .map(|i| (corners[i], corners[(i + 1) % corners.len()]))
            .filter(|(a, b)| (a[0] > middle) != (b[0] > middle))
            .map(|(a, b)| a[1] + (middle - a[0]) * (b[1] - a[1]) / (b[0] - a[0]))
            .collect();
        crossings.sort_by(f64::total_cmp);
        let width: f64 = crossings.chunks_exact(2).map(|pair| pair[1] - pair[0]).sum();
        sum += width * width;
    }
    PI / 4.0 * sum * length / 20.0 / 1000.0
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A volume does not depend on the corner that the outline begins with, on its orientation, or on the body's place, and grows
    /// with the third power of its size.
    #[test]
    fn volumes_of_moved_turned_and_enlarged_spheroids(
        a in 5.0..60.0f64,
        ratio in 0.15..1.0f64,
        turn in 0.0..6.3f64,
        at in (-200.0..200.0f64, -200.0..200.0f64),
        steps in 10usize..80,
        first in 0usize..1000,
        size in 0.2..5.0f64,
    ) {
        let radius = |z: f64| ratio * a * (1.0 - (z / a) * (z / a)).max(0.0).sqrt();
        let pose = Pose { turn, at: [at.0, at.1] };
        let outline = section(radius, -a, a, steps, pose);
        let still = volume(&section(radius, -a, a, steps, UPRIGHT)).unwrap();
        let close = |seen: &Volume, scale: f64| {
            let scaled = [still.discs_ml, still.area_length_ml].map(|ml| f64::from(ml) * scale.powi(3));
            (f64::from(seen.discs_ml) / scaled[0] - 1.0).abs() < 1e-3
                && (f64::from(seen.area_length_ml) / scaled[1] - 1.0).abs() < 1e-3
        };
        let mut other = outline.clone();
        other.rotate_left(first % outline.len());
        prop_assert!(close(&volume(&other).unwrap(), 1.0));
        other.reverse();
        prop_assert!(close(&volume(&other).unwrap(), 1.0));
        let enlarged: Vec<Vertex> = outline.iter().map(|corner| corner.map(|at| (f64::from(at) * size) as f32)).collect();
        prop_assert!(close(&volume(&enlarged).unwrap(), size));
    }

    /// Discs against the slow reference, on any star; the discs' widths make up the area, and a volume is refused only where
    /// lines across the axis are interrupted.
    #[test]
    fn discs_of_stars_match_the_slow_reference(
        points in prop::collection::vec((0.3..1.0f64, 0.0..1.0f64), 3..40),
        at in (-200.0..200.0f64, -200.0..200.0f64),
    ) {
        let n = points.len() as f64;
        let star: Vec<Vertex> = points.iter().enumerate().map(|(i, (radius, jitter))| {
            let angle = 2.0 * PI * (i as f64 + 0.8 * jitter) / n;
            [(at.0 + 60.0 * radius * angle.cos()) as f32, (at.1 + 60.0 * radius * angle.sin()) as f32]
        }).collect();
        if let Some(seen) = volume(&star) {
            let slow = slow_discs_ml(&star, &seen);
            prop_assert!((f64::from(seen.discs_ml) / slow - 1.0).abs() < 1e-3, "{seen:?}, not {slow}");
            prop_assert!(seen.area_length_ml > 0.0 && seen.length_mm > 0.0);
        }
    }

    /// Any corners at all, also outlines that cross themselves: no panic, and finite volumes or none.
    #[test]
    fn any_corners(
        few in prop::collection::vec((-9i8..9, -9i8..9), 0..12),
        odd in prop::collection::vec((0usize..12, any::<f32>()), 0..3),
    ) {
        let mut outline: Vec<Vertex> = few.into_iter().map(|(x, y)| [f32::from(x), f32::from(y)]).collect();
        if let Some(seen) = volume(&outline) {
            // The body lies within a cylinder around the outline's extent.
            let bound_ml = PI * 26.0f64.powi(3) / 1000.0;
            prop_assert!(seen.discs_ml > 0.0 && f64::from(seen.discs_ml) < bound_ml, "{seen:?}");
            let [from, to] = seen.axis_mm;
            prop_assert!(((to[0] - from[0]).hypot(to[1] - from[1]) - seen.length_mm).abs() < 1e-3, "{seen:?}");
        }
        for (at, value) in odd {
            if let Some(corner) = outline.get_mut(at) {
                corner[at % 2] = value;
            }
        }
        if let Some(seen) = volume(&outline) {
            prop_assert!(seen.discs_ml.is_finite() && seen.area_length_ml.is_finite() && seen.length_mm.is_finite());
            prop_assert!(seen.axis_mm.iter().flatten().all(|at| at.is_finite()));
        }
    }

    /// Noise of a millimetre on each of a contour's points changes a ventricle's volume by a few percent, and its axis by a few
    /// degrees.
    #[test]
    fn a_rough_outline_changes_the_volume_little(
        rough in prop::collection::vec(-1.0..1.0f64, 128),
        turn in 0.0..6.3f64,
    ) {
        let (a, b, base) = (60.0, 24.0, -18.0);
        let radius = |z: f64| b * (1.0 - (z / a) * (z / a)).max(0.0).sqrt();
        let pose = Pose { turn, at: [10.0, 90.0] };
        let still = volume(&section(radius, base, a, 63, pose)).unwrap();
        let mut outline = section(radius, base, a, 63, pose);
        for (corner, by) in outline.iter_mut().zip(&rough) {
            let away = [f64::from(corner[0]) - 10.0, f64::from(corner[1]) - 90.0];
            let distance = away[0].hypot(away[1]);
            *corner = [0, 1].map(|axis| (f64::from(corner[axis]) + by * away[axis] / distance) as f32);
        }
        let seen = volume(&outline).unwrap();
        prop_assert!((seen.discs_ml / still.discs_ml - 1.0).abs() < 0.06, "{seen:?}, not {still:?}");
        prop_assert!((seen.area_length_ml / still.area_length_ml - 1.0).abs() < 0.06, "{seen:?}, not {still:?}");
    }
}
