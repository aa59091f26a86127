//! Holes of components, against flood fills, against areas summed cell by cell, and on shapes with known boundaries.

use crate::boundaries::{
    Found, circle, fill, find, find_component, find_holes, flood, holds, is_simple_loop, rough,
};
use crate::random_cases::random_cases;
use core::f64::consts::PI;
use proptest::prelude::*;
use sonotrace::hal::overlay::{CONTOUR_POINTS_MAX, HOLE_POINTS_MAX, HOLES_MAX, OUTER_POINTS_MAX};
use sonotrace::vision::components::labels_len;
use sonotrace::vision::contour::BOUNDARIES_MAX;
use sonotrace::vision::measures::signed_area;
use sonotrace::vision::{Component, Field, Link, Pick, Vertex, VisionError, measure, trace};

fn area(loops: &[Vec<Vertex>]) -> f64 {
    loops.iter().map(|points| signed_area(points)).sum()
}

/// Returns the size and first pixel of each hole.
fn sizes(found: &Found) -> Vec<(usize, [usize; 2])> {
    found.holes.iter().map(|hole| (hole.pixels, hole.first)).collect()
}

/// Parses a field drawn with characters: `#` is 1, `.` is -1, and a digit is minus its value.
fn drawn(rows: &[&str]) -> (Vec<f32>, usize, usize) {
    let value = |c: u8| match c {
        b'#' => 1.0,
        b'.' => -1.0,
        digit => -f32::from(digit - b'0'),
    };
    (rows.iter().flat_map(|row| row.bytes().map(value)).collect(), rows[0].len(), rows.len())
}

fn find_drawn(rows: &[&str], pick: Pick<'_>) -> Found {
    let (values, w, h) = drawn(rows);
    find(&values, w, h, pick, 0).unwrap()
}

proptest! {
    #![proptest_config(random_cases(60))]

    /// Both radii of an annulus within 0.05 px, its area within 0.5 %. Also when simplified, but then relative to the area
    /// with the hole: a polygon of 32 corners in a circle lacks 0.64 % of its area.
    #[test]
    fn annulus(cx in 45.0..55.0f64, cy in 45.0..55.0f64, near in 8.0..18.0f64, thick in 4.0..20.0f64) {
        let far = near + thick;
        let (outer, inner) = (circle(cx, cy, far), circle(cx, cy, near));
        let values = fill(100, 100, |x, y| outer(x, y).min(-inner(x, y)));
        let found = find(&values, 100, 100, Pick::Largest, 12).unwrap();
        prop_assert_eq!(found.loops.len(), 2);
        prop_assert!(!found.at_border);
        let expected = PI * (far * far - near * near);
        for (loops, slack) in [(&found.loops, 5e-3 * expected), (&found.traced, 5e-3 * PI * far * far)] {
            for (points, radius) in loops.iter().zip([far, near]) {
                for [x, y] in points {
                    let off = (f64::from(*x) - cx).hypot(f64::from(*y) - cy) - radius;
                    prop_assert!(off.abs() < 0.05, "{off}");
                }
            }
            prop_assert!(signed_area(&loops[0]) > 0.0 && signed_area(&loops[1]) < 0.0);
            let area = area(loops);
            prop_assert!((area - expected).abs() < slack, "{area} against {expected}");
            let measures = measure(loops.iter().map(Vec::as_slice)).unwrap();
            prop_assert!((f64::from(measures.area) - area).abs() < 1e-6 * area);
            prop_assert!((f64::from(measures.long_axis) - 2.0 * far).abs() < 0.1);
            prop_assert!((f64::from(measures.short_axis) - 2.0 * far).abs() < 0.1);
            let [x, y] = measures.centroid.map(f64::from);
            prop_assert!((x - cx).abs() < 0.05 && (y - cy).abs() < 0.05);
        }
    }
}

#[test]
fn a_hole_in_a_component_at_the_border() {
    // A disc across the left edge, with a hole.
    let (disc, hole) = (circle(10.3, 40.0, 30.0), circle(18.0, 44.0, 9.0));
    let values = fill(80, 80, |x, y| disc(x, y).min(-hole(x, y)));
    let found = find(&values, 80, 80, Pick::Largest, 12).unwrap();
    assert!(found.at_border);
    assert_eq!(found.loops.len(), 2);
    let (half, depth) = (30.0f64, 10.8f64);
    let segment = half * half * (depth / half).acos() - depth * (half * half - depth * depth).sqrt();
    let expected = PI * half * half - segment - PI * 81.0;
    assert!((area(&found.loops) / expected - 1.0).abs() < 2e-3, "{}", area(&found.loops));

    // A part of the outside that reaches the field's border is no hole, even through a gap of one pixel.
    for rows in [
        ["#####", "#...#", "#...#", "##.##"],
        ["#.###", "#...#", "#...#", "#####"],
        ["#####", "#...#", "#....", "#####"],
        ["#####", "....#", "#...#", "#####"],
    ] {
        let found = find_drawn(&rows, Pick::Largest);
        assert_eq!(found.holes, [], "{rows:?}");
        assert!(found.at_border);
    }
    // Nor is one that reaches the edge of the component's box.
    let found = find_drawn(&["......", ".####.", ".#..#.", ".#.##.", ".###..", "......"], Pick::Largest);
    assert_eq!(sizes(&found), [(3, [2, 2])]);
    let found = find_drawn(&["......", ".####.", ".#..#.", ".#.##.", ".#....", "......"], Pick::Largest);
    assert_eq!(found.holes, []);
    assert!(!found.at_border);
}

#[test]
fn saddles_separate_or_connect_holes() {
    // Two inside pixels at 1 and two outside ones at -0.5: the inside is connected and the outside separated; the reverse
    // with -5.
    let with = |deep: f32, rows: &[&str]| {
        let (mut values, w, h) = drawn(rows);
        for value in values.iter_mut().filter(|value| **value < 0.0) {
            *value *= deep;
        }
        find(&values, w, h, Pick::Largest, 0).unwrap()
    };
    let rows = ["######", "#.####", "##.###", "######"];
    assert_eq!(sizes(&with(0.5, &rows)), [(1, [1, 1]), (1, [2, 2])]);
    assert_eq!(sizes(&with(5.0, &rows)), [(2, [1, 1])]);
    let rows = ["######", "###.##", "##.###", "######"];
    assert_eq!(sizes(&with(0.5, &rows)), [(1, [3, 1]), (1, [2, 2])]);
    assert_eq!(sizes(&with(5.0, &rows)), [(2, [3, 1])]);
    // Between a hole and a bay.
    for rows in [["#####", ".####", "#.###", "#####"], ["#####", "####.", "###.#", "#####"]] {
        assert_eq!(with(0.5, &rows).holes.len(), 1);
        assert_eq!(with(5.0, &rows).holes, []);
    }
    // A diamond that is connected by saddles only, if their middle is inside.
    let rows = [".....", "..#..", ".#.#.", "..#..", "....."];
    assert_eq!(sizes(&with(0.5, &rows)), [(1, [2, 2])]);
    let separate = with(5.0, &rows);
    assert_eq!((separate.component.pixels, separate.holes), (1, vec![]));
    for found in [with(0.5, &["######", "#.####", "##.###", "######"]), with(0.5, &rows)] {
        assert!(found.loops.iter().all(|points| is_simple_loop(points)));
    }
}

#[test]
fn the_largest_holes_are_found_in_order() {
    let rows = [
        "####################",
        "#.##..###..##.######",
        "####..###..########.",
        "#######.#####...####",
        "###.###.#####...####",
        "####################",
    ];
    let found = find_drawn(&rows, Pick::Largest);
    let all = [(6, [13, 3]), (4, [4, 1]), (4, [9, 1]), (2, [7, 3]), (1, [1, 1]), (1, [13, 1]), (1, [3, 4])];
    assert_eq!(sizes(&found), all);
    assert_eq!(found.traced.len(), BOUNDARIES_MAX);
    for (least, kept) in [(1, 7), (2, 4), (3, 3), (4, 3), (5, 1), (6, 1), (7, 0)] {
        let (values, w, h) = drawn(&rows);
        let found = find(&values, w, h, Pick::Largest, least).unwrap();
        assert_eq!(sizes(&found), all[..kept]);
        assert_eq!(found.traced.len(), 1 + kept.min(HOLES_MAX));
    }
    // With less room the first of the same order are kept.
    let (values, w, h) = drawn(&rows);
    let field = Field::new(&values, w, h, w).unwrap();
    let mut labels = vec![0; labels_len(w, h)];
    for room in 0..9 {
        let component = find_component(&field, Pick::Largest, &mut labels).unwrap().unwrap();
        let mut holes = vec![Component::default(); room];
        let count = find_holes(&field, &component, found.bounds, 0, &mut labels, &mut holes);
        assert_eq!(count, Ok(room.min(7)));
        let got: Vec<_> = holes.iter().take(7).map(|hole| (hole.pixels, hole.first)).collect();
        assert_eq!(got, all[..room.min(7)]);
    }
}

/// Two concentric annuli and a dot in their middle: each annulus has its own hole, without the islands in it.
#[test]
fn islands_do_not_count_as_holes() {
    let values = fill(100, 100, |x, y| {
        let r = (x - 50.0).hypot(y - 50.0);
        [8.0f64, 15.0, 25.0, 35.0, 45.0].iter().fold(-1e3, |level, edge| (edge - r).min(-level))
    });
    let at = |x: f32| find(&values, 100, 100, Pick::Containing(&[[x, 50.0]]), 12).unwrap();
    for (x, far, near, island) in [(90.0, 45.0f64, 35.0f64, 25.0f64), (70.0, 25.0, 15.0, 8.0)] {
        let found = at(x);
        assert_eq!(found.loops.len(), 2);
        let expected = PI * (far * far - near * near);
        assert!((area(&found.loops) / expected - 1.0).abs() < 5e-3);
        // The mask has edges at whole radii: pixels on them are outside.
        let r = |i: usize| ((i % 100) as f64 - 50.0).hypot((i / 100) as f64 - 50.0);
        assert_eq!(found.holes[0].pixels, (0..10_000).filter(|&i| r(i) >= island && r(i) <= near).count());
    }
    let dot = at(50.0);
    assert!(dot.holes.is_empty());
    assert!((area(&dot.loops) / (PI * 64.0) - 1.0).abs() < 1e-2);
    // Two components side by side: each has only its own hole.
    let rows = [
        "#######...",
        "#..#..#.##",
        "#.##..#.##",
        "#######...",
        "..........",
        "####......",
        "#..#......",
        "####......",
    ];
    let large = find_drawn(&rows, Pick::Largest);
    assert_eq!(sizes(&large), [(4, [4, 1]), (3, [1, 1])]);
    let small = find_drawn(&rows, Pick::Containing(&[[0.0, 6.0]]));
    assert_eq!(sizes(&small), [(2, [1, 6])]);
    let none = find_drawn(&rows, Pick::Containing(&[[8.0, 1.0]]));
    assert_eq!(none.holes, []);
}

/// Wavy shapes have more points than an overlay has room for.
#[test]
fn points_are_limited() {
    let wavy = |cx: f64, cy: f64, radius: f64, lobes: f64| {
        move |x: f64, y: f64| {
            let (dx, dy) = (x - cx, y - cy);
            radius * (1.0 + 0.1 * (lobes * dy.atan2(dx)).cos()) - dx.hypot(dy)
        }
    };
    let outer = wavy(128.0, 128.0, 105.0, 7.0);
    let holes = [(90.0, 90.0, 25.0), (165.0, 85.0, 28.0), (90.0, 165.0, 31.0), (165.0, 165.0, 34.0)]
        .map(|(x, y, radius)| wavy(x, y, radius, 5.0));
    let values = fill(256, 256, |x, y| holes.iter().fold(outer(x, y), |level, hole| level.min(-hole(x, y))));
    let found = find(&values, 256, 256, Pick::Largest, 12).unwrap();
    let lens: Vec<usize> = found.traced.iter().map(Vec::len).collect();
    let mut full = [HOLE_POINTS_MAX; BOUNDARIES_MAX];
    full[0] = OUTER_POINTS_MAX;
    assert_eq!(lens, full);
    let (before, after) = (area(&found.loops), area(&found.traced));
    assert!((after / before - 1.0).abs() < 5e-3, "{before} to {after}");
    // Radius times 1 + 0.1 cos: the area is that of the circle times 1 + 0.1^2 / 2.
    let squares = 105.0f64.powi(2) - [25.0f64, 28.0, 31.0, 34.0].iter().map(|r| r * r).sum::<f64>();
    assert!((before / (PI * 1.005 * squares) - 1.0).abs() < 2e-3, "{before}");

    // With minimum room, loops are thinned before they are simplified, and keep their shape.
    let field = Field::new(&values, 256, 256, 256).unwrap();
    let mut labels = vec![0; labels_len(256, 256)];
    let mut points = [[0.0; 2]; CONTOUR_POINTS_MAX];
    let mut links = [Link::default(); CONTOUR_POINTS_MAX];
    let contour = trace(&field, Pick::Largest, 12, &mut labels, &mut points, &mut links).unwrap().unwrap();
    assert_eq!(contour.boundaries as usize, BOUNDARIES_MAX);
    let thinned: f64 = contour.split(&points).map(signed_area).sum();
    assert!((thinned / before - 1.0).abs() < 1e-2, "{before} to {thinned}");

    let short = |what, seen, needed| Err(VisionError::Slice { what, seen, needed });
    let refused = trace(&field, Pick::Largest, 12, &mut labels, &mut points[..255], &mut links);
    assert_eq!(refused, short("contour points", 255, 256));
    let refused = trace(&field, Pick::Largest, 12, &mut labels, &mut points, &mut links[..255]);
    assert_eq!(refused, short("simplification scratch", 255, 256));
    let refused = trace(&field, Pick::Largest, 12, &mut labels[..65_535], &mut points, &mut links);
    assert_eq!(refused, short("labels scratch", 65_535, 65_536));
    let empty = [-1.0; 4];
    let field = Field::new(&empty, 2, 2, 2).unwrap();
    assert_eq!(trace(&field, Pick::Largest, 12, &mut labels, &mut points, &mut links), Ok(None));
}

/// Returns the area of a component (`member`, by pixel): the sum of its parts between each four pixel centres, with the
/// outermost pixels repeated at the field's edge.
fn area_by_cells(values: &[f32], w: usize, h: usize, member: &[bool]) -> f64 {
    let at = |i: usize| {
        let value = values[i];
        f64::from(if value.is_nan() { -1e30 } else { value.clamp(-1e30, 1e30) })
    };
    // Pixel centres and both edges of the field: position and pixel.
    let line = |count: usize| -> Vec<(f64, usize)> {
        let centres = (0..count).map(|i| (i as f64, i));
        std::iter::once((-0.5, 0)).chain(centres).chain([(count as f64 - 0.5, count - 1)]).collect()
    };
    let shoelace = |corners: &[[f64; 2]]| {
        let n = corners.len();
        (0..n)
            .map(|i| (corners[i], corners[(i + 1) % n]))
            .map(|(a, b)| a[0] * b[1] - b[0] * a[1])
            .sum::<f64>()
            / 2.0
    };
    let mut sum = 0.0;
    for rows in line(h).windows(2) {
        for columns in line(w).windows(2) {
            let corner = |x: usize, y: usize| ([columns[x].0, rows[y].0], rows[y].1 * w + columns[x].1);
            let corners = [corner(0, 0), corner(1, 0), corner(1, 1), corner(0, 1)];
            let is_inside = |i: usize| at(corners[i % 4].1) > 0.0;
            let crossing = |inside: usize, outside: usize| {
                let ((a, i), (b, o)) = (corners[inside % 4], corners[outside % 4]);
                let part = (at(i) / (at(i) - at(o))).clamp(1.0 / 1024.0, 1023.0 / 1024.0);
                [a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])]
            };
            let inside = (0..4).filter(|&i| is_inside(i)).count();
            let is_saddle = inside == 2 && is_inside(0) == is_inside(2);
            let middle =
                values_sum(&[at(corners[0].1), at(corners[1].1), at(corners[3].1), at(corners[2].1)]);
            if is_saddle && middle <= 0.0 {
                // Two separate corners.
                for i in (0..4).filter(|&i| is_inside(i) && member[corners[i].1]) {
                    sum += shoelace(&[crossing(i, i + 3), corners[i].0, crossing(i, i + 1)]);
                }
                continue;
            }
            // Otherwise one polygon.
            let mut polygon = Vec::new();
            for (i, corner) in corners.iter().enumerate() {
                if is_inside(i) {
                    polygon.push(corner.0);
                }
                match (is_inside(i), is_inside(i + 1)) {
                    (true, false) => polygon.push(crossing(i, i + 1)),
                    (false, true) => polygon.push(crossing(i + 1, i)),
                    _ => {}
                }
            }
            let is_member = (0..4).any(|i| is_inside(i) && member[corners[i].1]);
            sum += if is_member { shoelace(&polygon) } else { 0.0 };
        }
    }
    sum
}

/// Sums in single precision and in this order, as documented: the sign at a saddle's middle may depend on it.
fn values_sum(values: &[f64; 4]) -> f32 {
    values.iter().fold(0.0, |sum, &value| sum + value as f32)
}

proptest! {
    #![proptest_config(random_cases(1500))]

    /// On noise, for each component: holes are those of a flood fill, boundaries are simple, nested and anticlockwise, they
    /// enclose the pixels of the flood fill, and their areas add up.
    #[test]
    fn noise_gives_the_holes_of_a_flood_fill(
        w in 1usize..14,
        h in 1usize..14,
        values in prop::collection::vec(rough(), 169),
        lift in prop::sample::select(vec![-0.2f32, 0.0, 0.2, 0.4, 0.6]),
        pixels_min in 0usize..4,
    ) {
        let values: Vec<f32> = values[..w * h].iter().map(|value| value + lift).collect();
        let is_inside = |i: usize| values[i] > 0.0;
        let mut seen = vec![false; w * h];
        let (mut parts, mut gaps) = (Vec::new(), Vec::new());
        for first in 0..w * h {
            if seen[first] {
                continue;
            }
            let members = flood(&values, w, h, (first % w, first / w));
            (0..w * h).for_each(|i| seen[i] |= members[i]);
            if is_inside(first) { &mut parts } else { &mut gaps }.push((first, members));
        }
        let found: Vec<Found> = parts
            .iter()
            .map(|(first, _)| find(&values, w, h, Pick::Containing(&[[(first % w) as f32, (first / w) as f32]]), 0).unwrap())
            .collect();
        let first = |i: &usize| [i % w, i / w];
        let count = |members: &[bool]| members.iter().filter(|&&member| member).count();

        // A gap is enclosed by the component whose outer boundary is the smallest of those around it.
        let mut expected = vec![Vec::new(); parts.len()];
        for (at, members) in &gaps {
            let touches = |i: usize| [0, w - 1].contains(&(i % w)) || [0, h - 1].contains(&(i / w));
            if (0..w * h).any(|i| members[i] && touches(i)) {
                continue;
            }
            let [x, y] = first(at).map(|at| at as f32 + 1e-5);
            let around = (0..parts.len())
                .filter(|&part| holds(&found[part].loops[0], x, y))
                .min_by(|&a, &b| signed_area(&found[a].loops[0]).total_cmp(&signed_area(&found[b].loops[0])));
            expected[around.unwrap()].push((count(members), first(at)));
        }
        for ((at, members), (found, mut expected)) in parts.iter().zip(found.iter().zip(expected)) {
            // A stable sort: reading order among equals.
            expected.sort_by_key(|&(pixels, _)| std::cmp::Reverse(pixels));
            prop_assert_eq!(sizes(found), &expected[..]);
            prop_assert_eq!(found.component.first, first(at));
            let large = find(&values, w, h, Pick::Containing(&[first(at).map(|at| at as f32)]), pixels_min).unwrap();
            expected.retain(|&(pixels, _)| pixels >= pixels_min);
            prop_assert_eq!(sizes(&large), expected);

            for (index, points) in found.loops.iter().enumerate() {
                prop_assert!(is_simple_loop(points), "{points:?}");
                prop_assert_eq!(signed_area(points) > 0.0, index == 0);
                let is_within = index == 0 || points.iter().all(|&[x, y]| holds(&found.loops[0], x, y));
                prop_assert!(is_within, "{points:?} in {:?}", found.loops[0]);
            }
            for (i, &is_member) in members.iter().enumerate() {
                let [x, y] = first(&i).map(|at| at as f32 + 1e-5);
                let is_within = found.loops.iter().filter(|points| holds(points, x, y)).count() % 2 == 1;
                prop_assert_eq!(is_within, is_member, "pixel {}", i);
            }
            let (sum, cells) = (area(&found.loops), area_by_cells(&values, w, h, members));
            prop_assert!((sum - cells).abs() < 1e-4 * (1.0 + cells), "{sum} against {cells}");
        }
    }
}

proptest! {
    #![proptest_config(random_cases(200))]

    /// Rows of more pixels than a word has bits: the largest component and its holes are those of a flood fill.
    #[test]
    fn wide_noise_gives_the_components_of_a_flood_fill(
        w in prop::sample::select(vec![63usize, 64, 65, 127, 128, 129, 200]),
        h in 1usize..9,
        values in prop::collection::vec(rough(), 200 * 8),
        lift in prop::sample::select(vec![-0.2f32, 0.0, 0.2, 0.4, 0.6]),
    ) {
        let values: Vec<f32> = values[..w * h].iter().map(|value| value + lift).collect();
        let found = find(&values, w, h, Pick::Largest, 0);
        let (mut seen, mut parts) = (vec![false; w * h], Vec::new());
        for first in 0..w * h {
            if seen[first] {
                continue;
            }
            let members = flood(&values, w, h, (first % w, first / w));
            (0..w * h).for_each(|i| seen[i] |= members[i]);
            let pixels = members.iter().filter(|&&member| member).count();
            parts.push((values[first] > 0.0, pixels, [first % w, first / w], members));
        }
        // The first among equals.
        let largest = parts.iter().filter(|part| part.0).rev().max_by_key(|part| part.1);
        prop_assert_eq!(found.is_some(), largest.is_some());
        let (Some(found), Some((_, pixels, first, component))) = (found, largest) else { return Ok(()) };
        prop_assert_eq!(found.component, Component { first: *first, pixels: *pixels });
        // What reaches the edge of the field or of another component's hole is no hole of this component.
        let holes = parts.iter().filter(|(is_inside, _, [x, y], gap)| {
            let touches = |i: usize| [0, w - 1].contains(&(i % w)) || [0, h - 1].contains(&(i / w));
            !is_inside && !(0..w * h).any(|i| gap[i] && touches(i)) && component[(y - 1) * w + x]
        });
        let mut expected: Vec<_> = holes.map(|part| (part.1, part.2)).collect();
        expected.sort_by_key(|&(pixels, _)| std::cmp::Reverse(pixels));
        prop_assert_eq!(sizes(&found), expected);
    }
}
