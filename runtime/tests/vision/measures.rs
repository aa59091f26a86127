//! Measures against closed formulas, and simplification against a slow reference.

use crate::boundaries::simplify;
use core::f64::consts::PI;
use proptest::prelude::*;
use sonotrace::vision::measures::signed_area;
use sonotrace::vision::{Link, Measures, Vertex, VisionError, fit_ellipse};

/// Returns the measures of one boundary loop.
fn measure(polygon: &[Vertex]) -> Option<Measures> {
    sonotrace::vision::measure([polygon])
}

/// Returns the measures of an outer boundary and its holes.
fn measure_loops(loops: &[&[Vertex]]) -> Option<Measures> {
    sonotrace::vision::measure(loops.iter().copied())
}

fn ellipse(points: usize, a: f64, b: f64, centre: [f64; 2], turn: f64) -> Vec<Vertex> {
    let (sin, cos) = turn.sin_cos();
    (0..points)
        .map(|i| {
            let t = 2.0 * PI * i as f64 / points as f64;
            let (x, y) = (a * t.cos(), b * t.sin());
            [(centre[0] + x * cos - y * sin) as f32, (centre[1] + x * sin + y * cos) as f32]
        })
        .collect()
}

fn close(got: f64, expected: f64, relative: f64) -> bool {
    (got - expected).abs() <= relative * expected.abs()
}

#[test]
fn circle_and_ellipse() {
    let circle = measure(&ellipse(2000, 30.0, 30.0, [100.0, -40.0], 0.0)).unwrap();
    assert!(close(circle.area.into(), PI * 900.0, 1e-5), "{circle:?}");
    assert!(close(circle.perimeter.into(), 2.0 * PI * 30.0, 1e-5), "{circle:?}");
    assert!((circle.centroid[0] - 100.0).abs() < 1e-4 && (circle.centroid[1] + 40.0).abs() < 1e-4);
    // Ramanujan's second approximation of the perimeter, better than 1e-6 here.
    let (a, b) = (40.0f64, 25.0f64);
    let h = ((a - b) / (a + b)).powi(2);
    let around = PI * (a + b) * (1.0 + 3.0 * h / (10.0 + (4.0 - 3.0 * h).sqrt()));
    let ellipse = measure(&ellipse(4000, a, b, [1.0, 2.0], 0.7)).unwrap();
    assert!(close(ellipse.area.into(), PI * a * b, 1e-5), "{ellipse:?}");
    assert!(close(ellipse.perimeter.into(), around, 1e-5), "{ellipse:?}");
}

#[test]
fn orientation_of_a_rectangle_does_not_matter() {
    let mut corners = [[2.0, 1.0], [7.0, 1.0], [7.0, 4.0], [2.0, 4.0]];
    // Right, down, left: clockwise on the screen.
    assert_eq!(signed_area(&corners), 15.0);
    let clockwise = measure(&corners).unwrap();
    assert_eq!((clockwise.area, clockwise.perimeter, clockwise.centroid), (15.0, 16.0, [4.5, 2.5]));
    let bounds = clockwise.bounds;
    assert_eq!((bounds.x0, bounds.y0, bounds.x1, bounds.y1), (2.0, 1.0, 7.0, 4.0));
    corners.reverse();
    assert_eq!(signed_area(&corners), -15.0);
    assert_eq!(measure(&corners), Some(clockwise));
}

#[test]
fn sector_of_an_annulus() {
    let (near, far, half, n) = (20.0f64, 60.0f64, 0.6f64, 3000);
    let arc = |radius: f64, from: f64, to: f64| {
        (0..=n).map(move |i| {
            let angle = from + (to - from) * f64::from(i) / f64::from(n);
            [(radius * angle.sin()) as f32, (radius * angle.cos()) as f32]
        })
    };
    let sector: Vec<Vertex> = arc(near, -half, half).chain(arc(far, half, -half)).collect();
    let seen = measure(&sector).unwrap();
    assert!(close(seen.area.into(), half * (far * far - near * near), 1e-5), "{seen:?}");
    assert!(close(seen.perimeter.into(), 2.0 * half * (far + near) + 2.0 * (far - near), 1e-5), "{seen:?}");
    let down = 2.0 / 3.0 * half.sin() / half * (far.powi(3) - near.powi(3)) / (far * far - near * near);
    assert!(seen.centroid[0].abs() < 1e-4 && close(seen.centroid[1].into(), down, 1e-5), "{seen:?}");
}

/// Calculated by hand: 10 x 8 without 2 x 2 and 4 x 1.
#[test]
fn holes_are_subtracted() {
    let outer = [[0.0, 0.0], [10.0, 0.0], [10.0, 8.0], [0.0, 8.0]];
    let small = [[1.0, 1.0], [1.0, 3.0], [3.0, 3.0], [3.0, 1.0]];
    let flat = [[5.0, 6.0], [5.0, 7.0], [9.0, 7.0], [9.0, 6.0]];
    let seen = measure_loops(&[&outer, &small, &flat]).unwrap();
    assert_eq!((seen.area, seen.perimeter), (72.0, 36.0));
    // (80 * 5 - 4 * 2 - 4 * 7) / 72 and (80 * 4 - 4 * 2 - 4 * 6.5) / 72.
    assert!(close(seen.centroid[0].into(), 364.0 / 72.0, 1e-6), "{seen:?}");
    assert!(close(seen.centroid[1].into(), 286.0 / 72.0, 1e-6), "{seen:?}");
    let alone = measure(&outer).unwrap();
    assert_eq!(
        (seen.bounds, seen.long_axis, seen.short_axis),
        (alone.bounds, alone.long_axis, alone.short_axis)
    );
    // Either orientation, and holes in any order.
    let turned = |points: &[Vertex]| points.iter().rev().copied().collect::<Vec<_>>();
    let (outer_turned, small_turned, flat_turned) = (turned(&outer), turned(&small), turned(&flat));
    let other = measure_loops(&[&outer_turned, &flat_turned, &small_turned]).unwrap();
    assert_eq!((other.area, other.perimeter, other.bounds), (seen.area, seen.perimeter, seen.bounds));
    assert!(close(other.centroid[0].into(), 364.0 / 72.0, 1e-6), "{other:?}");

    // No measures: holes that run the same way as the outer boundary, are as large or larger, have no area or have corners
    // that are not finite.
    let broken = [[1.0, 1.0], [1.0, f32::NAN], [3.0, 3.0]];
    let line = [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]];
    let twice: Vec<Vertex> = outer_turned.iter().map(|corner| corner.map(|at| 2.0 * at)).collect();
    let none: [&[&[Vertex]]; 9] = [
        &[],
        &[&outer, &small_turned],
        &[&outer, &small, &flat_turned],
        &[&outer, &outer_turned],
        &[&outer, &twice],
        &[&outer, &broken],
        &[&outer, &line],
        &[&outer, &small[..2]],
        &[&outer, &[]],
    ];
    for loops in none {
        assert_eq!(measure_loops(loops), None, "{loops:?}");
    }
}

#[test]
fn axes_of_a_rectangle_and_a_triangle() {
    // The diagonal is 5; the other two corners are at a distance of 3 * 4 / 5 from it, on either side.
    let seen = measure(&[[1.0, 1.0], [5.0, 1.0], [5.0, 4.0], [1.0, 4.0]]).unwrap();
    assert_eq!((seen.long_axis, seen.short_axis), (5.0, 4.8));
    // The longest side, and the height above it.
    let seen = measure(&[[0.0, 0.0], [10.0, 0.0], [4.0, 3.0]]).unwrap();
    assert_eq!((seen.long_axis, seen.short_axis), (10.0, 3.0));
}

/// Computes the circumference of an ellipse by its arc length, with the trapezoid rule, which converges fast over a
/// full turn.
fn arc_length(a: f64, b: f64) -> f64 {
    let n = 4_000;
    let speed = |i: i32| {
        let t = 2.0 * PI * f64::from(i) / f64::from(n);
        (a * t.sin()).hypot(b * t.cos())
    };
    (0..n).map(speed).sum::<f64>() * 2.0 * PI / f64::from(n)
}

#[test]
fn ellipses_at_many_angles() {
    for (a, b) in [(40.0, 25.0), (90.0, 3.0), (12.0, 11.5), (500.0, 1.0)] {
        let circumference = arc_length(a, b);
        // Every sixth angle under emulation, where all of them take a minute.
        for step in (0..=36).step_by(if cfg!(target_arch = "aarch64") { 6 } else { 1 }) {
            let turn = PI * (f64::from(step) / 36.0 - 0.5);
            let mut corners = ellipse(4000, a, b, [300.0, -120.0], turn);
            let measures = measure(&corners).unwrap();
            assert!(close(measures.long_axis.into(), 2.0 * a, 1e-5), "{measures:?}");
            // In a flat ellipse the long axis is off by up to a hundred-thousandth of a turn.
            assert!(close(measures.short_axis.into(), 2.0 * b, 1e-4 + 1e-5 * a / b), "{measures:?} {b}");
            let fitted = fit_ellipse(&corners).unwrap();
            assert!(close(fitted.semi_major_mm.into(), a, 1e-5), "{fitted:?}");
            assert!(close(fitted.semi_minor_mm.into(), b, 1e-4), "{fitted:?}");
            assert!((fitted.centre_mm[0] - 300.0).abs() < 1e-3 && (fitted.centre_mm[1] + 120.0).abs() < 1e-3);
            // The angle is defined up to half a turn.
            let off = (f64::from(fitted.angle_rad) - turn).rem_euclid(PI);
            assert!(off.min(PI - off) < 1e-4, "{fitted:?} for {turn}");
            assert!(fitted.angle_rad.abs() <= core::f32::consts::FRAC_PI_2);
            assert!(close(fitted.circumference_mm.into(), circumference, 1e-3), "{fitted:?}");
            corners.reverse();
            let turned = fit_ellipse(&corners).unwrap();
            assert!(
                close(turned.semi_major_mm.into(), a, 1e-5) && close(turned.semi_minor_mm.into(), b, 1e-4)
            );
        }
    }
}

#[test]
fn ellipse_of_128_points_and_of_a_circle() {
    // As many points as an overlay's outer boundary has.
    let fitted = fit_ellipse(&ellipse(128, 40.0, 25.0, [1.0, 2.0], 0.4)).unwrap();
    assert!(close(fitted.semi_major_mm.into(), 40.0, 1e-3) && close(fitted.semi_minor_mm.into(), 25.0, 1e-3));
    assert!(close(fitted.circumference_mm.into(), arc_length(40.0, 25.0), 1e-3), "{fitted:?}");
    let fitted = fit_ellipse(&ellipse(2000, 30.0, 30.0, [0.0, 0.0], 0.0)).unwrap();
    assert!(close(fitted.semi_major_mm.into(), 30.0, 1e-5) && close(fitted.semi_minor_mm.into(), 30.0, 1e-5));
    // Calculated by hand: the variance of a side of 6 is 6 * 6 / 12.
    let fitted = fit_ellipse(&[[0.0, 0.0], [6.0, 0.0], [6.0, 2.0], [0.0, 2.0]]).unwrap();
    assert!(close(fitted.semi_major_mm.into(), 2.0 * 3.0f64.sqrt(), 1e-6));
    assert!(close(fitted.semi_minor_mm.into(), 2.0 / 3.0f64.sqrt(), 1e-6));
    assert_eq!((fitted.centre_mm, fitted.angle_rad), ([3.0, 1.0], 0.0));
}

#[test]
fn polygons_without_area_have_no_measures() {
    let point = [3.0, 4.0];
    let nan = [f32::NAN, 1.0];
    let none: [&[Vertex]; 8] = [
        &[],
        &[point],
        &[point, [5.0, 6.0]],
        &[point; 5],
        &[[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]],
        &[[0.0, 0.0], [2.0, 2.0], [2.0, 0.0], [0.0, 2.0]],
        &[[0.0, 0.0], nan, [1.0, 0.0]],
        &[[0.0, 0.0], [f32::INFINITY, 0.0], [1.0, 1.0]],
    ];
    for polygon in none {
        assert_eq!(measure(polygon), None, "{polygon:?}");
        assert_eq!(fit_ellipse(polygon), None, "{polygon:?}");
    }
    // Finite corners, but not finite measures.
    let vast = [[-3e38, -3e38], [3e38, -3e38], [3e38, 3e38], [-3e38, 3e38]];
    assert_eq!(measure(&vast), None);
    assert_eq!(fit_ellipse(&vast), None);
    // Flat to within rounding; and two lobes of opposite orientation, with a negative moment.
    assert_eq!(fit_ellipse(&[[0.0, 0.0], [1e6, 0.0], [1e6, 1.0], [0.0, 1.0]]), None);
    assert_eq!(fit_ellipse(&[[0.0, 0.0], [20.0, 20.0], [20.0, 0.0], [-1.0, 21.0]]), None);
}

/// Returns whether no two sides of a polygon meet except in their common corner.
fn is_simple(polygon: &[Vertex]) -> bool {
    let side = |a: Vertex, b: Vertex, c: Vertex| {
        let [a, b, c] = [a, b, c].map(|p| p.map(f64::from));
        (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
    };
    let n = polygon.len();
    (0..n).all(|i| {
        (i + 2..n).filter(|&j| (j + 1) % n != i).all(|j| {
            let (a, b, c, d) = (polygon[i], polygon[(i + 1) % n], polygon[j], polygon[(j + 1) % n]);
            side(a, b, c) * side(a, b, d) > 0.0 || side(c, d, a) * side(c, d, b) > 0.0
        })
    })
}

fn simplified(points: &[Vertex], keep: usize) -> Vec<Vertex> {
    let mut points = points.to_vec();
    let mut links = vec![Link::default(); points.len()];
    let left = simplify(&mut points, keep, &mut links).unwrap();
    points.truncate(left);
    points
}

#[test]
fn corners_are_kept_and_points_on_straight_sides_removed() {
    let mut square: Vec<Vertex> = Vec::new();
    for i in 0..20 {
        square.push([i as f32, 0.0]);
    }
    for i in 0..20 {
        square.push([20.0, i as f32]);
    }
    for i in 0..20 {
        square.push([20.0 - i as f32, 20.0]);
    }
    for i in 0..20 {
        square.push([0.0, 20.0 - i as f32]);
    }
    assert_eq!(simplified(&square, 4), [[0.0, 0.0], [20.0, 0.0], [20.0, 20.0], [0.0, 20.0]]);
    assert_eq!(simplified(&square, 80), square);
    assert_eq!(simplified(&square, 3).len(), 3);
}

#[test]
fn simplification_checks_its_arguments() {
    let mut points = vec![[0.0; 2]; 10];
    let mut links = vec![Link::default(); 9];
    assert_eq!(simplify(&mut points, 10, &mut []), Ok(10));
    assert!(matches!(simplify(&mut points, 2, &mut links), Err(VisionError::Range { .. })));
    assert!(matches!(
        simplify(&mut points, 5, &mut links),
        Err(VisionError::Slice { seen: 9, needed: 10, .. })
    ));
    let broken = vec![[f32::NAN, f32::INFINITY]; 10];
    assert_eq!(simplified(&broken, 4).len(), 4);
}

/// Simplifies as the paper describes: look at all triangles, remove the smallest, repeat.
fn slowly_simplified(points: &[Vertex], keep: usize) -> Vec<Vertex> {
    let mut left: Vec<(usize, Vertex)> = points.iter().copied().enumerate().collect();
    let mut floor = vec![0.0f32; points.len()];
    while left.len() > keep {
        let n = left.len();
        let cost = |i: usize, floor: &[f32]| {
            let [a, b, c] =
                [left[(i + n - 1) % n].1, left[i].1, left[(i + 1) % n].1].map(|p| p.map(f64::from));
            let area = 0.5 * ((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])).abs();
            (area as f32).max(floor[left[i].0])
        };
        let least = (0..n).min_by(|&i, &j| cost(i, &floor).total_cmp(&cost(j, &floor))).unwrap();
        let area = cost(least, &floor);
        let (before, after) = (left[(least + n - 1) % n].0, left[(least + 1) % n].0);
        floor[before] = area;
        floor[after] = area;
        left.remove(least);
    }
    left.into_iter().map(|(_, point)| point).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The heap removes the same points as a search of all triangles each time.
    #[test]
    fn simplification_matches_the_slow_reference(
        points in prop::collection::vec((-50i32..50, -50i32..50), 3..60),
        keep in 3usize..40,
    ) {
        // Whole coordinates cause many ties.
        let points: Vec<Vertex> = points.into_iter().map(|(x, y)| [x as f32, y as f32]).collect();
        prop_assert_eq!(simplified(&points, keep), slowly_simplified(&points, keep));
    }

    /// Smooth shapes keep their area within 0.5 % and stay simple at 128 points.
    #[test]
    fn smooth_shapes_keep_their_area(
        points in 200usize..1500,
        a in 10.0..100.0f64,
        ratio in 0.3..1.0f64,
        turn in 0.0..3.0f64,
        wave in 0.0..0.15f64,
        lobes in 2u32..5,
    ) {
        let shape: Vec<Vertex> = ellipse(points, a, a * ratio, [128.0, 128.0], turn)
            .into_iter()
            .map(|[x, y]| {
                let (dx, dy) = (f64::from(x) - 128.0, f64::from(y) - 128.0);
                let swell = 1.0 + wave * (f64::from(lobes) * dy.atan2(dx)).cos();
                [(128.0 + dx * swell) as f32, (128.0 + dy * swell) as f32]
            })
            .collect();
        let thinned = simplified(&shape, 128);
        prop_assert_eq!(thinned.len(), 128);
        let (before, after) = (signed_area(&shape), signed_area(&thinned));
        prop_assert!((after / before - 1.0).abs() < 0.005, "{} to {}", before, after);
        prop_assert!(is_simple(&thinned));
    }

    /// Moments against sums over fine rows; axes against the extents across each pair of corners.
    #[test]
    fn ellipse_and_axes_against_sums_over_rows(
        points in prop::collection::vec((0.3..1.0f64, 0.0..1.0f64), 3..12),
        at in (-200.0..200.0f64, -200.0..200.0f64),
    ) {
        let n = points.len() as f64;
        let star: Vec<Vertex> = points.iter().enumerate().map(|(i, (radius, jitter))| {
            let angle = 2.0 * PI * (i as f64 + 0.8 * jitter) / n;
            [(at.0 + 60.0 * radius * angle.cos()) as f32, (at.1 + 60.0 * radius * angle.sin()) as f32]
        }).collect();
        let (Some(measures), Some(fitted)) = (measure(&star), fit_ellipse(&star)) else {
            return Err(TestCaseError::fail("no measures"));
        };
        // Row by row, between each pair of crossings.
        let corners: Vec<[f64; 2]> =
            star.iter().map(|[x, y]| [f64::from(*x) - at.0, f64::from(*y) - at.1]).collect();
        let (pitch, rows) = (0.01f64, 12_500);
        let mut sums = [0.0f64; 6];
        for row in 0..rows {
            let y = (f64::from(row) + 0.5) * pitch - 62.5;
            let mut crossings: Vec<f64> = (0..corners.len())
                .map(|i| (corners[i], corners[(i + 1) % corners.len()]))
                .filter(|(a, b)| (a[1] > y) != (b[1] > y))
                .map(|(a, b)| (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0])
                .collect();
            crossings.sort_by(f64::total_cmp);
            for within in crossings.chunks_exact(2) {
                let [one, x, xx] = [1, 2, 3].map(|n| (within[1].powi(n) - within[0].powi(n)) / f64::from(n));
                for (sum, value) in sums.iter_mut().zip([one, x, y * one, xx, x * y, y * y * one]) {
                    *sum += value;
                }
            }
        }
        let [area, x, y, xx, xy, yy] = sums;
        let (x, y) = (x / area, y / area);
        let (xx, xy, yy) = (xx / area - x * x, xy / area - x * y, yy / area - y * y);
        prop_assert!((f64::from(fitted.centre_mm[0]) - at.0 - x).abs() < 0.01, "{fitted:?}");
        prop_assert!((f64::from(fitted.centre_mm[1]) - at.1 - y).abs() < 0.01, "{fitted:?}");
        // The ellipse's own moments are those that were summed.
        let (a, b, turn) = (fitted.semi_major_mm, fitted.semi_minor_mm, f64::from(fitted.angle_rad));
        let (a, b) = ((f64::from(a) / 2.0).powi(2), (f64::from(b) / 2.0).powi(2));
        let (c, s) = (turn.cos(), turn.sin());
        prop_assert!(a >= b);
        for (got, summed) in [(a * c * c + b * s * s, xx), ((a - b) * c * s, xy), (a * s * s + b * c * c, yy)] {
            prop_assert!((got - summed).abs() < 0.001 * (xx + yy), "{got} against {summed}");
        }

        let (mut long, mut short) = (0.0f64, 0.0f64);
        for (i, j) in (0..star.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
            let [a, b] = [star[i], star[j]].map(|p| p.map(f64::from));
            let turn = (b[1] - a[1]).atan2(b[0] - a[0]);
            let across = |p: &Vertex| f64::from(p[1]) * turn.cos() - f64::from(p[0]) * turn.sin();
            let high = star.iter().map(across).fold(f64::MIN, f64::max);
            let low = star.iter().map(across).fold(f64::MAX, f64::min);
            let length = (b[0] - a[0]).hypot(b[1] - a[1]);
            if length > long {
                (long, short) = (length, high - low);
            }
        }
        prop_assert!(close(measures.long_axis.into(), long, 1e-6), "{measures:?} against {long}");
        prop_assert!(close(measures.short_axis.into(), short, 1e-5), "{measures:?} against {short}");
    }

    /// Area and perimeter do not change when the polygon is moved and rotated; the centroid moves with it.
    #[test]
    fn measures_of_a_moved_polygon(
        points in prop::collection::vec((0.2..1.0f64, 0.0..1.0f64), 3..40),
        turn in 0.0..6.3f64,
        by in (-200.0..200.0f64, -200.0..200.0f64),
    ) {
        let n = points.len() as f64;
        // Star-shaped around the origin, so that it is simple.
        let star: Vec<[f64; 2]> = points.iter().enumerate().map(|(i, (radius, jitter))| {
            let angle = 2.0 * PI * (i as f64 + 0.8 * jitter) / n;
            [60.0 * radius * angle.cos(), 60.0 * radius * angle.sin()]
        }).collect();
        let moved: Vec<Vertex> = star.iter().map(|[x, y]| [
            (by.0 + x * turn.cos() - y * turn.sin()) as f32,
            (by.1 + x * turn.sin() + y * turn.cos()) as f32,
        ]).collect();
        let still: Vec<Vertex> = star.iter().map(|p| p.map(|v| v as f32)).collect();
        let (still, moved) = (measure(&still).unwrap(), measure(&moved).unwrap());
        prop_assert!((still.area - moved.area).abs() < 0.02 + 1e-4 * still.area);
        prop_assert!((still.perimeter - moved.perimeter).abs() < 0.01);
        let [x, y] = still.centroid.map(f64::from);
        let expected = [by.0 + x * turn.cos() - y * turn.sin(), by.1 + x * turn.sin() + y * turn.cos()];
        // The rounding of distant corners affects the centroid in proportion to perimeter over area.
        let slack = 1e-3 + 5e-5 * f64::from(still.perimeter / still.area) * 60.0;
        prop_assert!((f64::from(moved.centroid[0]) - expected[0]).abs() < slack);
        prop_assert!((f64::from(moved.centroid[1]) - expected[1]).abs() < slack);
    }
}
