//! The contour of a mask's component: its outer ring and the rings of its largest holes, ready for an overlay.
//!
//! Composed of the steps beside it: [`super::components`] finds the component and its holes, [`super::ring`] follows
//! their borders, [`super::simplify()`] bounds the points. The rings lie one after another in one slice, outer ring
//! first, then holes from the largest to the smallest.

use super::components::{Component, Components, Hole};
use super::ring::{RING_ROOM_MIN, hole_ring, outer_ring};
use super::simplify::{Link, simplify};
use super::{Field, Vertex, VisionError, need};
use sonotrace_hal::overlay::{CONTOUR_POINTS_MAX, HOLE_POINTS_MAX, HOLES_MAX, OUTER_POINTS_MAX, RINGS_MAX};

// While the last hole is followed, the rings before it have left at least a hole's points of room.
const _: () = assert!(HOLE_POINTS_MAX >= RING_ROOM_MIN);

/// Which component is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pick<'a> {
    /// The largest by pixels; the first in reading order among equals.
    Largest,
    /// The largest of those that hold the pixel nearest to any of some points (pixel indices of the field); the first in
    /// reading order among equals.
    Containing(&'a [Vertex]),
}

/// A contour that was found: how its points, which the caller holds, fall into rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contour {
    /// Points of each ring, outer ring first; 0 beyond the last.
    pub ring_points: [u32; RINGS_MAX],
    /// Rings: one, and one for each hole.
    pub rings: u32,
    /// Points of all rings together.
    pub points: usize,
    /// Whether the component touches the border of the field.
    pub at_border: bool,
    /// The component.
    pub component: Component,
}

impl Contour {
    /// Cuts the contour's points, or what they were mapped to, into rings: outer ring first.
    ///
    /// # Panics
    /// If there are fewer points than the contour has.
    pub fn split<'a>(&self, points: &'a [Vertex]) -> impl Iterator<Item = &'a [Vertex]> + use<'a> {
        let mut rest = &points[..self.points];
        self.ring_points.into_iter().take(self.rings as usize).map(move |count| {
            let (ring, behind) = rest.split_at(count as usize);
            rest = behind;
            ring
        })
    }
}

/// Elements of `labels` scratch that [`trace`] needs for a field.
pub const fn labels_len(columns: usize, rows: usize) -> usize {
    Components::labels_len(columns, rows)
}

/// Writes the contour of the wanted component into `points`, in pixel indices of the field: an outer ring of at most
/// [`OUTER_POINTS_MAX`] points, clockwise on the screen, and behind it, anticlockwise, rings of at most
/// [`HOLE_POINTS_MAX`] points around the [`HOLES_MAX`] largest holes of at least `hole_pixels_min` pixels. Other
/// components, also those in the holes, are left out. `None` if there is no such component.
///
/// Rings are thinned and simplified each for itself: where the mask is narrower than the detail that this drops, as on
/// noise, a simplified ring may cross itself or another.
///
/// `labels` is scratch of [`labels_len`] elements. `points` is room for [`CONTOUR_POINTS_MAX`] or more: a ring is first
/// followed in what the rings before it leave, thinned if it must be, and then simplified. `links` is scratch, one
/// [`Link`] for each of `points`. The work is bounded by a few passes over the field.
///
/// # Errors
/// [`VisionError::Slice`] for a slice that is too short, whatever is on the field.
pub fn trace(
    field: &Field<'_>,
    pick: Pick<'_>,
    hole_pixels_min: usize,
    labels: &mut [i32],
    points: &mut [Vertex],
    links: &mut [Link],
) -> Result<Option<Contour>, VisionError> {
    need("contour points", points.len(), CONTOUR_POINTS_MAX)?;
    need("simplification scratch", links.len(), points.len())?;
    let mut components = Components::label(field, labels)?;
    let Some(component) = components.pick(pick) else { return Ok(None) };
    let mut holes = [Hole::default(); HOLES_MAX];
    let hole_count = components.holes(&component, hole_pixels_min, &mut holes);

    let bounds = component.bounds;
    let at_border =
        bounds.x0 == 0 || bounds.y0 == 0 || bounds.x1 + 1 == field.columns() || bounds.y1 + 1 == field.rows();
    let mut contour = Contour { ring_points: [0; RINGS_MAX], rings: 0, points: 0, at_border, component };
    // The outer ring, then those of the holes.
    let wanted = core::iter::once(None).chain(holes[..hole_count].iter().map(Some));
    for (index, hole) in wanted.enumerate() {
        let free = &mut points[contour.points..];
        let (ring, keep) = match hole {
            None => (outer_ring(field, &component, free)?, OUTER_POINTS_MAX),
            Some(hole) => (hole_ring(field, hole, free)?, HOLE_POINTS_MAX),
        };
        let kept = simplify(&mut free[..ring.points], keep, links)?;
        contour.ring_points[index] = kept as u32;
        contour.rings += 1;
        contour.points += kept;
    }
    Ok(Some(contour))
}
