//! Measures against closed formulas, and the simplification that comes before them.
#![allow(clippy::unwrap_used)]

use core::f64::consts::PI;
use proptest::prelude::*;
use sonotrace::vision::measures::signed_area;
use sonotrace::vision::{Link, Vertex, VisionError, measure, simplify};

fn ellipse(points: usize, a: f64, b: f64, centre: [f64; 2], turn: f64) -> Vec<Vertex> {
    (0..points)
        .map(|i| {
            let t = 2.0 * PI * i as f64 / points as f64;
            let (x, y) = (a * t.cos(), b * t.sin());
            [
                (centre[0] + x * turn.cos() - y * turn.sin()) as f32,
                (centre[1] + x * turn.sin() + y * turn.cos()) as f32,
            ]
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
fn rectangle_either_way_round() {
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
fn sector_of_a_ring() {
    let (near, far, half, n) = (20.0f64, 60.0f64, 0.6f64, 3000);
    let arc = |radius: f64, from: f64, to: f64| {
        (0..=n).map(move |i| {
            let angle = from + (to - from) * f64::from(i) / f64::from(n);
            [(radius * angle.sin()) as f32, (radius * angle.cos()) as f32]
        })
    };
    let ring: Vec<Vertex> = arc(near, -half, half).chain(arc(far, half, -half)).collect();
    let seen = measure(&ring).unwrap();
    assert!(close(seen.area.into(), half * (far * far - near * near), 1e-5), "{seen:?}");
    assert!(close(seen.perimeter.into(), 2.0 * half * (far + near) + 2.0 * (far - near), 1e-5), "{seen:?}");
    let down = 2.0 / 3.0 * half.sin() / half * (far.powi(3) - near.powi(3)) / (far * far - near * near);
    assert!(seen.centroid[0].abs() < 1e-4 && close(seen.centroid[1].into(), down, 1e-5), "{seen:?}");
}

#[test]
fn what_has_no_area_has_no_measures() {
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
    }
}

/// Whether no two sides of a polygon meet but where they join.
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
fn corners_survive_and_points_on_straight_sides_go() {
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
fn bounds_of_simplification() {
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

/// The method by its description: look at all triangles, take out the smallest, begin again.
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

    /// The heap takes out the same points as looking at all triangles each time.
    #[test]
    fn simplification_is_that_of_its_description(
        points in prop::collection::vec((-50i32..50, -50i32..50), 3..60),
        keep in 3usize..40,
    ) {
        // Whole coordinates bring many ties.
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

    /// Area and perimeter do not change when the polygon is moved and turned; the centroid goes along.
    #[test]
    fn measures_move_along(
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
        // The rounding of far-off corners weighs on the centroid by perimeter over area.
        let slack = 1e-3 + 5e-5 * f64::from(still.perimeter / still.area) * 60.0;
        prop_assert!((f64::from(moved.centroid[0]) - expected[0]).abs() < slack);
        prop_assert!((f64::from(moved.centroid[1]) - expected[1]).abs() < slack);
    }
}
