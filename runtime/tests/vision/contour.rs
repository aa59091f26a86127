//! Contours of fields whose curves are known, and of noise.

use crate::boundaries::{
    Found, circle, fill, find_component, flood, follow_boundary, holds, is_simple_loop, rough,
};
use crate::random_cases::random_cases;
use core::f64::consts::PI;
use proptest::prelude::*;
use sonotrace::vision::components::{PICK_POINTS_MAX, labels_len};
use sonotrace::vision::mask::PixelBox;
use sonotrace::vision::measures::signed_area;
use sonotrace::vision::{Boundary, Field, Pick, Vertex, VisionError};

fn contour(values: &[f32], columns: usize, rows: usize, pick: Pick<'_>) -> Option<(Found, Vec<Vertex>)> {
    let found = crate::boundaries::find(values, columns, rows, pick, 0)?;
    let outer = found.loops[0].clone();
    Some((found, outer))
}

fn outer_contour(
    field: &Field<'_>,
    pick: Pick<'_>,
    labels: &mut [i32],
    points: &mut [Vertex],
) -> Result<Option<Boundary>, VisionError> {
    let component = find_component(field, pick, labels)?;
    component.map(|component| follow_boundary(field, &component, points)).transpose()
}

proptest! {
    #![proptest_config(random_cases(100))]

    /// Every point within 0.02 px of the circle, the area within 0.1 %, clockwise on the screen.
    #[test]
    fn circles(cx in 45.0..55.0f64, cy in 45.0..55.0f64, radius in 18.0..40.0f64) {
        let (found, points) = contour(&fill(100, 100, circle(cx, cy, radius)), 100, 100, Pick::Largest).unwrap();
        for [x, y] in &points {
            let off = (f64::from(*x) - cx).hypot(f64::from(*y) - cy) - radius;
            prop_assert!(off.abs() < 0.02, "{off}");
        }
        let area = signed_area(&points);
        prop_assert!((area / (PI * radius * radius) - 1.0).abs() < 1e-3, "{area}");
        prop_assert!(!found.at_border);
    }

    /// The same for rotated ellipses; the distance is to first order, field over gradient.
    #[test]
    fn ellipses(cx in 45.0..55.0f64, cy in 45.0..55.0f64, a in 25.0..40.0f64, ratio in 0.6..1.0f64, turn in 0.0..3.2f64) {
        let b = a * ratio;
        let level = |x: f64, y: f64| {
            let (dx, dy) = (x - cx, y - cy);
            let (u, v) = ((dx * turn.cos() + dy * turn.sin()) / a, (dy * turn.cos() - dx * turn.sin()) / b);
            10.0 * (1.0 - u.hypot(v))
        };
        let (_, points) = contour(&fill(100, 100, level), 100, 100, Pick::Largest).unwrap();
        for [x, y] in &points {
            let (x, y) = (f64::from(*x), f64::from(*y));
            let slope = |dx: f64, dy: f64| (level(x + dx, y + dy) - level(x - dx, y - dy)) / 2e-3;
            let off = level(x, y) / slope(1e-3, 0.0).hypot(slope(0.0, 1e-3));
            prop_assert!(off.abs() < 0.02, "{off}");
        }
        let area = signed_area(&points);
        prop_assert!((area / (PI * a * b) - 1.0).abs() < 1e-3, "{area}");
    }
}

#[test]
fn a_full_field_gives_its_rectangle() {
    for (columns, rows) in [(7, 5), (1, 1), (1, 4), (6, 1), (2, 2)] {
        let (found, points) = contour(&vec![3.0; columns * rows], columns, rows, Pick::Largest).unwrap();
        assert_eq!(signed_area(&points), (columns * rows) as f64);
        assert!(found.at_border);
        assert_eq!(found.component.pixels, columns * rows);
        for [x, y] in points {
            assert!(x == -0.5 || x == columns as f32 - 0.5 || y == -0.5 || y == rows as f32 - 0.5);
        }
    }
}

/// A circle across each of the sides is closed along the picture's edge, half a pixel beyond the outermost centres.
#[test]
fn circles_across_the_border_are_closed_along_it() {
    let (size, radius) = (80usize, 30.0f64);
    let far = size as f64 - 0.5;
    for (cx, cy) in [(10.3, 40.0), (69.1, 40.2), (40.0, 10.7), (40.4, 68.8)] {
        let values = fill(size, size, circle(cx, cy, radius));
        let (found, points) = contour(&values, size, size, Pick::Largest).unwrap();
        assert!(found.at_border);
        let mut along = 0;
        for [x, y] in &points {
            let (x, y) = (f64::from(*x), f64::from(*y));
            let on_edge = x == -0.5 || y == -0.5 || x == far || y == far;
            let off = (x - cx).hypot(y - cy) - radius;
            // Between the outermost centres and the edge the field is constant, so the end of the arc deviates a little.
            assert!(off.abs() < 0.02 || (on_edge && off < 0.5), "[{x}, {y}] is {off} off");
            along += usize::from(on_edge);
        }
        assert!(along > 40, "{along}");
        // The circle without the segment beyond the edge.
        let inside = (cx + 0.5).min(far - cx).min(cy + 0.5).min(far - cy);
        let segment =
            radius * radius * (inside / radius).acos() - inside * (radius * radius - inside * inside).sqrt();
        let expected = PI * radius * radius - segment;
        let area = signed_area(&points);
        assert!((area / expected - 1.0).abs() < 1e-3, "{area} against {expected}");
    }
}

#[test]
fn the_requested_component_is_picked() {
    let (small, large) = (circle(20.0, 20.0, 8.0), circle(60.0, 55.0, 15.0));
    let values = fill(90, 80, |x, y| small(x, y).max(large(x, y)));
    let area = |pick: Pick<'_>| contour(&values, 90, 80, pick).map(|(_, points)| signed_area(&points));
    let near = |area: Option<f64>, radius: f64| (area.unwrap() / (PI * radius * radius) - 1.0).abs() < 6e-3;
    assert!(near(area(Pick::Largest), 15.0));
    assert!(near(area(Pick::Containing(&[[20.0, 26.0]])), 8.0));
    assert!(near(area(Pick::Containing(&[[60.4, 55.0]])), 15.0));
    for outside in [[40.0, 40.0], [-0.6, 20.0], [90.0, 20.0], [f32::NAN, 20.0], [20.0, f32::INFINITY]] {
        assert_eq!(area(Pick::Containing(&[outside])), None, "{outside:?}");
    }
    assert_eq!(contour(&[-1.0; 12], 4, 3, Pick::Largest), None);
}

/// The outer boundary ignores holes, and an island in a hole is another component.
#[test]
fn outer_boundaries_ignore_holes() {
    let values = fill(80, 80, |x, y| {
        let r = (x - 40.0).hypot(y - 40.0);
        if r < 12.0 { 6.0 - r } else { (30.0 - r).min(r - 18.0) }
    });
    let (_, annulus) = contour(&values, 80, 80, Pick::Containing(&[[40.0, 15.0]])).unwrap();
    assert!((signed_area(&annulus) / (PI * 900.0) - 1.0).abs() < 2e-3);
    let (_, dot) = contour(&values, 80, 80, Pick::Containing(&[[40.0, 40.0]])).unwrap();
    assert!((signed_area(&dot) / (PI * 36.0) - 1.0).abs() < 2e-2);
}

#[test]
fn saddles_are_connected_by_their_mean() {
    // Two inside pixels on a diagonal: connected if the mean of the four is above 0, otherwise two squares.
    for (inside, connected) in [(5.0, true), (0.5, false)] {
        for values in [[inside, -1.0, -1.0, inside], [-1.0, inside, inside, -1.0]] {
            let (found, points) = contour(&values, 2, 2, Pick::Largest).unwrap();
            assert_eq!(found.component.pixels, if connected { 2 } else { 1 });
            assert!(is_simple_loop(&points), "{points:?}");
        }
    }
    // A checkerboard consists of saddles only.
    for amount in [0.9f32, 1.1] {
        let values: Vec<f32> = (0..81).map(|i| if i % 2 == 0 { amount } else { -1.0 }).collect();
        let (found, points) = contour(&values, 9, 9, Pick::Largest).unwrap();
        assert_eq!(found.component.pixels, if amount > 1.0 { 41 } else { 1 });
        assert!(is_simple_loop(&points), "{points:?}");
    }
}

#[test]
fn a_full_slice_thins_the_contour() {
    let values = fill(200, 200, circle(100.0, 100.0, 80.0));
    let field = Field::new(&values, 200, 200, 200).unwrap();
    let mut labels = vec![0; labels_len(200, 200)];
    let mut all = vec![[0.0; 2]; 4000];
    let whole = outer_contour(&field, Pick::Largest, &mut labels, &mut all).unwrap().unwrap();
    for room in [16, 17, 100, 101, 500, whole.points - 1] {
        let mut points = vec![[0.0; 2]; room];
        let found = outer_contour(&field, Pick::Largest, &mut labels, &mut points).unwrap().unwrap();
        assert!(found.every.is_power_of_two() && found.every > 1);
        let expected: Vec<Vertex> = all[..whole.points].iter().step_by(found.every).copied().collect();
        assert_eq!(points[..found.points], expected, "room for {room}");
        assert!(found.points > room / 2 - 1);
    }
    let mut points = vec![[0.0; 2]; 15];
    let refused = outer_contour(&field, Pick::Largest, &mut labels, &mut points);
    assert_eq!(refused, Err(VisionError::Slice { what: "contour points", seen: 15, needed: 16 }));
    let refused = outer_contour(&field, Pick::Largest, &mut labels[..39_999], &mut all);
    assert_eq!(refused, Err(VisionError::Slice { what: "labels scratch", seen: 39_999, needed: 40_000 }));
}

proptest! {
    #![proptest_config(random_cases(800))]

    /// On noise: a simple loop around exactly the component, with its points where the sign changes or on the border.
    #[test]
    fn noise_gives_simple_loops_around_the_component(w in 1usize..12, h in 1usize..12, values in prop::collection::vec(rough(), 144), at in (0usize..12, 0usize..12)) {
        let values = &values[..w * h];
        let start = (at.0 % w, at.1 % h);
        let inside = |x: usize, y: usize| values[y * w + x] > 0.0;
        let found = contour(values, w, h, Pick::Containing(&[[start.0 as f32, start.1 as f32]]));
        prop_assert_eq!(found.is_some(), inside(start.0, start.1));
        let Some((found, points)) = found else { return Ok(()) };
        prop_assert!(is_simple_loop(&points), "{points:?}");
        prop_assert!(signed_area(&points) > 0.0);
        for &[x, y] in &points {
            let (right, bottom) = (w as f32 - 0.5, h as f32 - 0.5);
            prop_assert!(x >= -0.5 && y >= -0.5 && x <= right && y <= bottom);
            if x == -0.5 || y == -0.5 || x == right || y == bottom {
                continue;
            }
            let (x0, y0) = (x.floor() as usize, y.floor() as usize);
            let (x1, y1) = (x.ceil() as usize, y.ceil() as usize);
            prop_assert!((x0 == x1) != (y0 == y1), "[{x}, {y}] is on no edge of the grid");
            prop_assert!(inside(x0, y0) != inside(x1, y1), "[{x}, {y}]: no change of sign");
        }
        let component = flood(values, w, h, start);
        prop_assert_eq!(found.component.pixels, component.iter().filter(|&&member| member).count());
        let members = (0..w * h).filter(|&at| component[at]).map(|at| (at % w, at / w));
        let expected = members.fold(PixelBox::of(start.0, start.1), |bounds, (x, y)| bounds.with(x, y));
        prop_assert_eq!(found.bounds, expected);
        // The ray is shifted a little from the pixel rows, because corners may be on them.
        for y in 0..h {
            for x in 0..w {
                if component[y * w + x] {
                    prop_assert!(holds(&points, x as f32 + 1e-5, y as f32 + 1e-5), "pixel ({x}, {y}) is not enclosed");
                }
            }
        }
        // Pixels on the left and right border that are not of the component are not enclosed.
        for y in 0..h {
            for x in [0, w - 1] {
                if !component[y * w + x] {
                    prop_assert!(!holds(&points, x as f32 + 1e-5, y as f32 + 1e-5), "pixel ({x}, {y}) is enclosed");
                }
            }
        }
        // The largest, by a flood fill from every pixel.
        let most = (0..w * h)
            .filter(|&i| values[i] > 0.0)
            .map(|i| flood(values, w, h, (i % w, i / w)).iter().filter(|&&member| member).count())
            .max();
        let largest = contour(values, w, h, Pick::Largest).map(|(found, _)| found.component.pixels);
        prop_assert_eq!(largest, most);
    }
}

/// Of the components that contain one of the points, the largest is picked.
#[test]
fn the_largest_component_with_a_point_in_it_is_picked() {
    let discs = [(20.0, 26.0, 8.0), (60.0, 55.0, 15.0), (70.0, 12.0, 5.0)];
    let nearest = |x: f64, y: f64| {
        discs.iter().map(|&(cx, cy, radius)| circle(cx, cy, radius)(x, y)).fold(f64::MIN, f64::max)
    };
    let values = fill(90, 80, nearest);
    let pixels = |points: &[Vertex]| {
        contour(&values, 90, 80, Pick::Containing(points)).map(|(found, _)| found.component.first[1])
    };
    let row = |index: usize| {
        let (_, cy, radius): (f64, f64, f64) = discs[index];
        // The field is 0 on the edge itself, so that a pixel on it is outside.
        Some((cy - radius) as usize + 1)
    };
    assert_eq!(pixels(&[[70.0, 12.0], [20.0, 26.0]]), row(0));
    assert_eq!(pixels(&[[70.0, 12.0], [20.0, 26.0], [60.0, 55.0]]), row(1));
    assert_eq!(pixels(&[[0.0, 0.0], [70.0, 12.0]]), row(2));
    assert_eq!(pixels(&[[0.0, 0.0], [f32::NAN, 12.0]]), None);
    assert_eq!(pixels(&[]), None);
    let field = Field::new(&values, 90, 80, 90).unwrap();
    let mut labels = vec![0; labels_len(90, 80)];
    let points = [[60.0, 55.0]; PICK_POINTS_MAX + 1];
    let most = find_component(&field, Pick::Containing(&points[1..]), &mut labels).unwrap();
    assert_eq!(most.map(|component| component.first[1]), row(1));
    let refused = find_component(&field, Pick::Containing(&points), &mut labels);
    assert!(matches!(refused, Err(VisionError::Range { what: "points to pick by", .. })));
}
