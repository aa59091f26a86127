//! Shared by the tests of contours: fields, the stages of a tracing in one go, all boundary loops of a component, and
//! slow reference functions.
// Each test file uses a part of this; an unwrap that fails here fails the test.
#![allow(dead_code, clippy::unwrap_used)]

use proptest::prelude::*;
use sonotrace::hal::overlay::{CONTOUR_POINTS_MAX, HOLE_POINTS_MAX, HOLES_MAX, OUTER_POINTS_MAX};
use sonotrace::vision::components::labels_len;
use sonotrace::vision::mask::PixelBox;
use sonotrace::vision::{
    Boundary, BoundaryWalk, Component, ComponentSearch, Field, HoleSearch, Link, Pick, Simplification,
    StepBudget, Vertex, VisionError, trace,
};

/// Repeats a step until it is done.
fn finish(mut step: impl FnMut(&mut StepBudget) -> Result<bool, VisionError>) -> Result<(), VisionError> {
    while !step(&mut StepBudget::new(u32::MAX))? {}
    Ok(())
}

pub fn find_component(
    field: &Field<'_>,
    pick: Pick<'_>,
    labels: &mut [i32],
) -> Result<Option<Component>, VisionError> {
    let mut search = ComponentSearch::new(field, pick)?;
    finish(|budget| search.step(field, labels, budget))?;
    Ok(search.component(field))
}

/// Writes the largest holes, as many as there is room for, and returns their number. `labels` are those of
/// [`find_component`].
pub fn find_holes(
    field: &Field<'_>,
    component: &Component,
    bounds: PixelBox,
    pixels_min: usize,
    labels: &mut [i32],
    holes: &mut [Component],
) -> Result<usize, VisionError> {
    let mut search = HoleSearch::new(component, bounds, pixels_min);
    finish(|budget| search.step(field, labels, holes, budget))?;
    Ok(search.count())
}

pub fn follow_boundary(
    field: &Field<'_>,
    component: &Component,
    points: &mut [Vertex],
) -> Result<Boundary, VisionError> {
    let mut walk = BoundaryWalk::new(field, component.first);
    finish(|budget| walk.step(field, points, budget))?;
    Ok(walk.boundary())
}

/// Returns the number of remaining points.
pub fn simplify(points: &mut [Vertex], keep: usize, links: &mut [Link]) -> Result<usize, VisionError> {
    let mut simplification = Simplification::new(points.len(), keep)?;
    finish(|budget| simplification.step(points, links, budget))?;
    Ok(simplification.kept())
}

/// A component and its contour.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub component: Component,
    pub bounds: PixelBox,
    pub at_border: bool,
    /// All of its holes, except those that are too small.
    pub holes: Vec<Component>,
    /// Its boundary loops with all their points: the outer one, and one for each hole.
    pub loops: Vec<Vec<Vertex>>,
    /// The loops as [`trace`] returns them.
    pub traced: Vec<Vec<Vertex>>,
}

/// Finds a component with all its holes and boundary loops, function by function, and checks that [`trace`] returns the
/// same.
pub fn find(
    values: &[f32],
    columns: usize,
    rows: usize,
    pick: Pick<'_>,
    hole_pixels_min: usize,
) -> Option<Found> {
    let field = Field::new(values, columns, rows, columns).unwrap();
    let room = CONTOUR_POINTS_MAX.max(4 * (columns + 2) * (rows + 2));
    let mut labels = vec![0x5555_5555; labels_len(columns, rows)];
    let mut points = vec![[f32::NAN; 2]; room];
    let mut links = vec![Link::default(); room];
    let traced = trace(&field, pick, hole_pixels_min, &mut labels, &mut points, &mut links).unwrap();

    let component = find_component(&field, pick, &mut labels).unwrap();
    assert_eq!(traced.map(|contour| contour.component), component);
    let (contour, component) = (traced?, component?);
    let follow = |component: &Component| {
        let mut points = vec![[f32::NAN; 2]; room];
        let Boundary { points: count, every, bounds } =
            follow_boundary(&field, component, &mut points).unwrap();
        assert_eq!(every, 1);
        points.truncate(count);
        (points, bounds)
    };
    let (outer, bounds) = follow(&component);
    assert_eq!(contour.bounds, bounds);
    let mut holes = vec![Component::default(); columns * rows];
    let count = find_holes(&field, &component, bounds, hole_pixels_min, &mut labels, &mut holes).unwrap();
    holes.truncate(count);
    let inner = holes.iter().map(|hole| follow(hole).0);
    let loops: Vec<Vec<Vertex>> = std::iter::once(outer).chain(inner).collect();

    let packed: Vec<Vec<Vertex>> = contour.split(&points).map(<[Vertex]>::to_vec).collect();
    let simplified: Vec<Vec<Vertex>> = loops
        .iter()
        .take(1 + HOLES_MAX)
        .enumerate()
        .map(|(index, points)| {
            let mut points = points.clone();
            let keep = if index == 0 { OUTER_POINTS_MAX } else { HOLE_POINTS_MAX };
            let kept = simplify(&mut points, keep, &mut links).unwrap();
            points.truncate(kept);
            points
        })
        .collect();
    assert_eq!(packed, simplified);
    assert_eq!(contour.points, packed.iter().map(Vec::len).sum::<usize>());
    assert_eq!(contour.boundary_points.iter().sum::<u32>() as usize, contour.points);
    Some(Found { component, bounds, at_border: contour.at_border, holes, loops, traced: packed })
}

pub fn fill(columns: usize, rows: usize, value: impl Fn(f64, f64) -> f64) -> Vec<f32> {
    (0..rows)
        .flat_map(|y| (0..columns).map(move |x| (x, y)))
        .map(|(x, y)| value(x as f64, y as f64) as f32)
        .collect()
}

pub fn circle(cx: f64, cy: f64, radius: f64) -> impl Fn(f64, f64) -> f64 {
    move |x, y| radius - (x - cx).hypot(y - cy)
}

/// Returns whether all corners differ (so that each connects exactly two sides) and no two sides meet except in their
/// common corner.
pub fn is_simple_loop(points: &[Vertex]) -> bool {
    let n = points.len();
    let side = |a: Vertex, b: Vertex, c: Vertex| {
        let [a, b, c] = [a, b, c].map(|p| p.map(f64::from));
        (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
    };
    let apart = |a: Vertex, b: Vertex, c: Vertex, d: Vertex| {
        let beside = |k: usize| a[k].max(b[k]) < c[k].min(d[k]) || c[k].max(d[k]) < a[k].min(b[k]);
        beside(0) || beside(1) || side(a, b, c) * side(a, b, d) > 0.0 || side(c, d, a) * side(c, d, b) > 0.0
    };
    n >= 3
        && (0..n).all(|i| (i + 1..n).all(|j| points[i] != points[j]))
        && (0..n).all(|i| {
            (i + 2..n)
                .filter(|&j| (j + 1) % n != i)
                .all(|j| apart(points[i], points[(i + 1) % n], points[j], points[(j + 1) % n]))
        })
}

/// Returns whether a point is within a polygon: a ray to its right crosses the sides an odd number of times.
pub fn holds(polygon: &[Vertex], x: f32, y: f32) -> bool {
    let n = polygon.len();
    (0..n).fold(false, |odd, i| {
        let (a, b) = (polygon[i], polygon[(i + 1) % n]);
        let crosses = (a[1] > y) != (b[1] > y) && {
            // Points may lie very close to a side.
            let [ax, ay, bx, by] = [a[0], a[1], b[0], b[1]].map(f64::from);
            f64::from(x) < (bx - ax) * (f64::from(y) - ay) / (by - ay) + ax
        };
        odd != crosses
    })
}

/// Returns the component of a pixel, inside or outside the mask, by flood fill with the documented connections.
pub fn flood(values: &[f32], w: usize, h: usize, start: (usize, usize)) -> Vec<bool> {
    let at = |x: usize, y: usize| {
        if values[y * w + x].is_nan() { -1e30 } else { values[y * w + x].clamp(-1e30, 1e30) }
    };
    let side = at(start.0, start.1) > 0.0;
    let is_of_side = |value: f32| (value > 0.0) == side;
    let mut seen = vec![false; w * h];
    let mut queue = vec![start];
    while let Some((x, y)) = queue.pop() {
        if std::mem::replace(&mut seen[y * w + x], true) {
            continue;
        }
        for (nx, ny) in (y.saturating_sub(1)..h.min(y + 2))
            .flat_map(|ny| (x.saturating_sub(1)..w.min(x + 2)).map(move |nx| (nx, ny)))
        {
            let diagonal = nx != x && ny != y;
            // Summed row by row, so that rounding does not depend on the direction of the flood.
            let (left, right, top, bottom) = (x.min(nx), x.max(nx), y.min(ny), y.max(ny));
            let middle = at(left, top) + at(right, top) + at(left, bottom) + at(right, bottom);
            // A common four-neighbour on this side connects the two diagonal pixels anyway.
            let is_saddle = !is_of_side(at(nx, y)) && !is_of_side(at(x, ny));
            if is_of_side(at(nx, ny)) && (!diagonal || (is_saddle && is_of_side(middle))) {
                queue.push((nx, ny));
            }
        }
    }
    seen
}

pub fn rough() -> impl Strategy<Value = f32> {
    prop_oneof![
        20 => -1.0..1.0f32,
        4 => prop::sample::select(vec![0.0, -0.0, 1.0, -1.0, 1e-30, -1e-30]),
        2 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN]),
    ]
}
