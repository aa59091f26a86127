//! Dice of two contours.

use i_overlay::core::extract::BooleanExtractionBuffer;
use i_overlay::core::fill_rule::FillRule;
use i_overlay::core::overlay_rule::OverlayRule;
use i_overlay::float::overlay::FloatOverlay;
use i_overlay::i_shape::float::area::Area;
use sonotrace_hal::geometry::Point;

/// Dice, `2 |A and B| / (|A| + |B|)`, of the insides (even-odd) of two contours in millimetres, each made of polygons.
/// Zero if either has no inside or a point that is not finite.
pub fn dice(a: &[&[Point]], b: &[&[Point]]) -> f64 {
    if !a.iter().chain(b).copied().flatten().all(|point| point.x.is_finite() && point.y.is_finite()) {
        return 0.0;
    }
    let polygon =
        |points: &&[Point]| points.iter().map(|at| [f64::from(at.x), f64::from(at.y)]).collect::<Vec<_>>();
    let [a, b] = [a, b].map(|polygons| polygons.iter().map(polygon).collect::<Vec<_>>());
    let mut overlay = FloatOverlay::<_, i64>::from_subj_and_clip(&a, &b);
    let Some(parts) = overlay.build_graph_view(FillRule::EvenOdd) else { return 0.0 };
    let mut buffer = BooleanExtractionBuffer::default();
    let [of_a, of_b, of_both] = [OverlayRule::Subject, OverlayRule::Clip, OverlayRule::Intersect]
        .map(|rule| parts.extract_shapes(rule, &mut buffer).area());
    if of_a == 0.0 || of_b == 0.0 { 0.0 } else { 2.0 * of_both / (of_a + of_b) }
}

#[cfg(test)]
mod tests {
    use super::dice as dice_of_polygons;
    use super::*;
    use std::f64::consts::{PI, TAU};

    /// Dice of two contours of one polygon each.
    fn dice(a: &[Point], b: &[Point]) -> f64 {
        dice_of_polygons(&[a], &[b])
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
            assert!((seen - expected).abs() < 5e-4, "{apart} mm apart: {seen}, not {expected}");
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
        let seen = dice_of_polygons(&[&outer, &hole], &[&outer]);
        assert!((seen - 2.0 * 300.0 / 700.0).abs() < 2e-3, "{seen}");
        assert_eq!(dice_of_polygons(&[&outer, &hole], &[&hole]), 0.0);
    }

    /// Where polygons of one contour overlap, or a polygon crosses itself, every other region is outside.
    #[test]
    fn crossing_polygons_are_even_odd() {
        let square =
            |x0: f32, x1: f32| [(x0, 0.), (x1, 0.), (x1, 10.), (x0, 10.)].map(|(x, y)| Point { x, y });
        let (left, right, both) = (square(0., 10.), square(5., 15.), square(5., 10.));
        assert_eq!(dice_of_polygons(&[&left, &right], &[&both]), 0.0);
        assert!((dice_of_polygons(&[&left, &right], &[&left]) - 2.0 * 50.0 / 200.0).abs() < 1e-9);
        let bow = [(0., 0.), (10., 10.), (10., 0.), (0., 10.)].map(|(x, y)| Point { x, y });
        assert!((dice(&bow, &left) - 2.0 * 50.0 / 150.0).abs() < 1e-9);
    }

    #[test]
    fn equal_contours_give_one_and_disjoint_ones_zero() {
        let polygon = circle(3.0, 50.0, 8.0);
        let mut reversed = polygon.clone();
        reversed.reverse();
        assert_eq!(dice(&polygon, &polygon), 1.0);
        assert_eq!(dice(&polygon, &reversed), 1.0);
        assert_eq!(dice(&polygon, &circle(30.0, 50.0, 8.0)), 0.0);
    }

    /// A row may cross a polygon that is not convex more than twice.
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
    fn contours_without_an_inside_give_zero() {
        let polygon = circle(0.0, 0.0, 8.0);
        let nowhere = [Point { x: f32::NAN, y: 0.0 }; 5];
        assert_eq!(dice(&polygon, &[]), 0.0);
        assert_eq!(dice(&polygon, &polygon[..2]), 0.0);
        assert_eq!(dice(&polygon, &nowhere), 0.0);
        assert_eq!(dice(&circle(0.0, 0.0, 1e20), &circle(0.0, 0.0, 1e20)), 1.0);
    }
}
