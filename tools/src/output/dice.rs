//! Dice of two contours.

use sonotrace_hal::geometry::Point;

/// Pitch of the grid on which areas are compared.
pub const PITCH_MM: f64 = 0.25;
/// Most cells of the grid along one side; beyond, the pitch is coarser.
const CELLS_MAX: f64 = 4096.0;

/// Dice, `2 |A and B| / (|A| + |B|)`, of the insides (even-odd) of two contours in millimetres, each made of closed rings,
/// counted at the centres of a common grid of [`PITCH_MM`]. Zero where either has no inside or a point that is not finite.
pub fn dice(a: &[&[Point]], b: &[&[Point]]) -> f64 {
    let all = || a.iter().chain(b).copied().flatten();
    if a.is_empty() || b.is_empty() || !all().all(|point| point.x.is_finite() && point.y.is_finite()) {
        return 0.0;
    }
    let bounds = |axis: fn(&Point) -> f32| {
        all().fold((f64::MAX, f64::MIN), |(low, high), point| {
            (low.min(axis(point).into()), high.max(axis(point).into()))
        })
    };
    let ((left, right), (top, bottom)) = (bounds(|point| point.x), bounds(|point| point.y));
    let pitch = PITCH_MM.max((right - left) / CELLS_MAX).max((bottom - top) / CELLS_MAX);
    let rows = ((bottom - top) / pitch).ceil() as usize;
    let (mut in_a, mut in_b, mut in_both) = (0u64, 0u64, 0u64);
    let (mut spans_a, mut spans_b) = (Vec::new(), Vec::new());
    for row in 0..rows {
        let y = top + (row as f64 + 0.5) * pitch;
        cells_inside(a, y, left, pitch, &mut spans_a);
        cells_inside(b, y, left, pitch, &mut spans_b);
        in_a += spans_a.iter().map(|span| span[1] - span[0]).sum::<u64>();
        in_b += spans_b.iter().map(|span| span[1] - span[0]).sum::<u64>();
        for first in &spans_a {
            for second in &spans_b {
                in_both += first[1].min(second[1]).saturating_sub(first[0].max(second[0]));
            }
        }
    }
    if in_a == 0 || in_b == 0 { 0.0 } else { 2.0 * in_both as f64 / (in_a + in_b) as f64 }
}

/// The cells of one row whose centres lie inside a contour, as spans `[first, behind the last]`.
fn cells_inside(rings: &[&[Point]], y: f64, left: f64, pitch: f64, spans: &mut Vec<[u64; 2]>) {
    let mut crossings = Vec::new();
    let sides = rings.iter().flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1)));
    for (a, b) in sides {
        let (ax, ay, bx, by) = (f64::from(a.x), f64::from(a.y), f64::from(b.x), f64::from(b.y));
        if (ay <= y) != (by <= y) {
            crossings.push(ax + (y - ay) / (by - ay) * (bx - ax));
        }
    }
    crossings.sort_by(f64::total_cmp);
    // The first cell whose centre is not left of the crossing.
    let cell = |x: f64| ((x - left) / pitch - 0.5).ceil().max(0.0) as u64;
    spans.clear();
    spans.extend(crossings.chunks_exact(2).map(|pair| [cell(pair[0]), cell(pair[1])]));
}

#[cfg(test)]
mod tests {
    use super::dice as dice_of_rings;
    use super::*;
    use std::f64::consts::{PI, TAU};

    /// Of contours of one ring.
    fn dice(a: &[Point], b: &[Point]) -> f64 {
        dice_of_rings(&[a], &[b])
    }

    fn circle(x: f64, y: f64, radius: f64) -> Vec<Point> {
        let at = |i: u32| (f64::from(i) * TAU / 256.0).sin_cos();
        (0..256)
            .map(at)
            .map(|(sin, cos)| Point { x: (x + radius * cos) as f32, y: (y + radius * sin) as f32 })
            .collect()
    }

    #[test]
    fn circles_agree_with_the_formula() {
        let radius = 20.0f64;
        for apart in [0.0, 1.0, 5.0, 17.3, 30.0, 39.0] {
            // Area of the lens of two equal circles.
            let half_angle = (apart / (2.0 * radius)).acos();
            let lens =
                2.0 * radius * radius * half_angle - apart * (radius * radius - apart * apart / 4.0).sqrt();
            let expected = lens / (PI * radius * radius);
            let seen = dice(&circle(-7.0, 40.0, radius), &circle(-7.0 + apart, 40.0, radius));
            assert!((seen - expected).abs() < 2e-3, "{apart} mm apart: {seen}, not {expected}");
        }
    }

    #[test]
    fn a_circle_in_a_circle() {
        let seen = dice(&circle(0.0, 0.0, 20.0), &circle(3.0, -2.0, 10.0));
        assert!((seen - 2.0 * 100.0 / 500.0).abs() < 2e-3, "{seen}");
    }

    #[test]
    fn holes_are_outside() {
        let (outer, hole) = (circle(0.0, 0.0, 20.0), circle(0.0, 0.0, 10.0));
        let seen = dice_of_rings(&[&outer, &hole], &[&outer]);
        assert!((seen - 2.0 * 300.0 / 700.0).abs() < 2e-3, "{seen}");
        assert_eq!(dice_of_rings(&[&outer, &hole], &[&hole]), 0.0);
    }

    #[test]
    fn itself_is_one_and_disjoint_is_none() {
        let polygon = circle(3.0, 50.0, 8.0);
        let mut reversed = polygon.clone();
        reversed.reverse();
        assert_eq!(dice(&polygon, &polygon), 1.0);
        assert_eq!(dice(&polygon, &reversed), 1.0);
        assert_eq!(dice(&polygon, &circle(30.0, 50.0, 8.0)), 0.0);
    }

    /// A polygon that is not convex crosses a row more than twice.
    #[test]
    fn notches_are_outside() {
        let corner = |x: f32, y: f32| Point { x, y };
        let comb = [
            corner(0., 0.),
            corner(30., 0.),
            corner(30., 20.),
            corner(20., 20.),
            corner(20., 5.),
            corner(10., 5.),
            corner(10., 20.),
            corner(0., 20.),
        ];
        let notch = [corner(10., 5.), corner(20., 5.), corner(20., 20.), corner(10., 20.)];
        let whole = [corner(0., 0.), corner(30., 0.), corner(30., 20.), corner(0., 20.)];
        assert_eq!(dice(&comb, &notch), 0.0);
        assert!((dice(&comb, &whole) - 2.0 * 450.0 / 1050.0).abs() < 1e-12);
    }

    #[test]
    fn what_has_no_inside_has_no_dice() {
        let polygon = circle(0.0, 0.0, 8.0);
        let nowhere = [Point { x: f32::NAN, y: 0.0 }; 5];
        assert_eq!(dice(&polygon, &[]), 0.0);
        assert_eq!(dice(&polygon, &polygon[..2]), 0.0);
        assert_eq!(dice(&polygon, &nowhere), 0.0);
        assert_eq!(dice(&circle(0.0, 0.0, 1e20), &circle(0.0, 0.0, 1e20)), 1.0);
    }
}
