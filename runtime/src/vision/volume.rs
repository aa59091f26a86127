//! Volume of a heart's chamber from one contour, taken for a body of revolution about its long axis.
//!
//! The two formulas are those of the guidelines for single-plane volumes (Lang et al., JASE 2015;28:1-39): the method of discs
//! (modified Simpson's rule) and the area-length method. Guidelines place the long axis by hand, from the apex to the middle of the
//! annulus. Without landmarks it is taken along the longest diameter of the outline's fitted ellipse ([`fit_ellipse`]): the
//! direction in which the area's second moment is largest. The whole area determines it, so noise of single points barely turns
//! it, and for a chamber that is symmetric about its axis it is that axis. The chord between the two farthest points runs from the
//! apex to a corner of a flat base: about 3 % too long and 13 degrees off for a normal ventricle.
//!
//! Holes are ignored: the guidelines count papillary muscles and trabeculae as part of the cavity.

use super::grid::Vertex;
use super::measures::{fit_ellipse, signed_area};
use core::f64::consts::PI;
use sonotrace_hal::overlay::Volume;

/// Discs along the long axis, as in the guidelines. For an ellipsoid, whose squared diameters are quadratic along the axis, so many
/// discs give a volume that is too large by `1 / (2 * 20 * 20)`, an eighth of a percent.
pub const DISCS: usize = 20;

/// Largest part of the volume that gaps in the discs may hold. A line across the axis may meet a notch or a ripple of the outline,
/// for example at the base, and is then interrupted; but an outline that folds back on itself is not the section of a body of
/// revolution.
const GAPS_MAX: f64 = 0.05;

/// Allowance for rounding: by how much the length inside the outline may exceed the distance of its ends, as a part of it.
const ROUNDING: f64 = 1e-6;

/// Cubic millimetres in a millilitre.
const MM3_PER_ML: f64 = 1000.0;

/// Where a line across the axis meets the outline, measured along that line.
#[derive(Debug, Clone, Copy)]
struct Chord {
    low: f64,
    high: f64,
    /// Length inside the outline: crossings in one direction minus crossings in the other one.
    inside: f64,
}

/// Returns the volume of the body of revolution whose section is the area inside a closed outline in millimetres, given as its
/// corners, in either orientation.
///
/// * Discs: `pi / 4 * sum(d * d) * length / 20` over 20 discs of equal height; `d` is the length inside the outline of the line
///   across the axis in the middle of a disc, also where the disc's centre is off the axis.
/// * Area-length: `8 * area * area / (3 * pi * length)`, exact for an ellipsoid.
///
/// The length is the extent of the outline along its long axis (see the module). An almost round outline has no certain axis, but
/// then the volume hardly depends on it.
///
/// `None` where the volume is undefined: no ellipse can be fitted (fewer than three corners, one that is not finite, no area, too
/// thin), the outline crosses itself so that a disc has no width, it folds back on itself so that gaps in the discs hold more than
/// 5 % of the volume, or a value is too large for its type.
pub fn volume(outline: &[Vertex]) -> Option<Volume> {
    let ellipse = fit_ellipse(outline)?;
    let [x, y] = ellipse.centre_mm.map(f64::from);
    let (sin, cos) = libm::sincos(f64::from(ellipse.angle_rad));
    // Along the axis and across it, from the centroid.
    let turned = |corner: Vertex| {
        let (dx, dy) = (f64::from(corner[0]) - x, f64::from(corner[1]) - y);
        [dx * cos + dy * sin, dy * cos - dx * sin]
    };
    let (mut first, mut last) = (f64::INFINITY, f64::NEG_INFINITY);
    for &corner in outline {
        let [along, _] = turned(corner);
        (first, last) = (first.min(along), last.max(along));
    }
    let length = last - first;
    let height = length / DISCS as f64;
    let mut chords = [Chord { low: f64::INFINITY, high: f64::NEG_INFINITY, inside: 0.0 }; DISCS];
    let mut before = turned(*outline.last()?);
    for &corner in outline {
        let after = turned(corner);
        let (from, to) = if before[0] < after[0] { (before, after) } else { (after, before) };
        let direction = if before[0] < after[0] { -1.0 } else { 1.0 };
        // The first disc whose middle is at `from` or behind it.
        let mut disc = libm::ceil((from[0] - first) / height - 0.5).max(0.0) as usize;
        while disc < DISCS {
            let middle = first + (disc as f64 + 0.5) * height;
            if middle >= to[0] {
                break;
            }
            let across = from[1] + (middle - from[0]) * (to[1] - from[1]) / (to[0] - from[0]);
            let chord = &mut chords[disc];
            (chord.low, chord.high) = (chord.low.min(across), chord.high.max(across));
            chord.inside += direction * across;
            disc += 1;
        }
        before = after;
    }
    let area = signed_area(outline);
    let (mut inside_mm3, mut whole_mm3) = (0.0, 0.0);
    for chord in &chords {
        let (inside, whole) = (chord.inside * area.signum(), chord.high - chord.low);
        // False for NaN, and for lines that no side meets, which rounding can leave at the ends of the axis.
        let is_section = inside > 0.0 && inside <= whole * (1.0 + ROUNDING);
        if !is_section {
            return None;
        }
        inside_mm3 += PI / 4.0 * inside * inside * height;
        whole_mm3 += PI / 4.0 * whole * whole * height;
    }
    if inside_mm3 < (1.0 - GAPS_MAX) * whole_mm3 {
        return None;
    }
    let end = |along: f64| [(x + along * cos) as f32, (y + along * sin) as f32];
    let volume = Volume {
        discs_ml: (inside_mm3 / MM3_PER_ML) as f32,
        area_length_ml: (8.0 * area * area / (3.0 * PI * length) / MM3_PER_ML) as f32,
        length_mm: length as f32,
        axis_mm: [end(first), end(last)],
    };
    let is_finite = [volume.discs_ml, volume.area_length_ml].iter().all(|ml| ml.is_finite() && *ml > 0.0);
    is_finite.then_some(volume)
}
