//! The contour of a mask's component: its outer boundary and the boundaries of its largest holes, ready for an overlay.
//!
//! Three files do the work: [`super::components`] finds the component and its holes, [`super::boundary`] follows their
//! boundary loops, [`super::simplify`] limits the points. The loops are stored one after another in one slice, the
//! outer boundary first, then holes from the largest to the smallest.

use super::boundary::{BOUNDARY_ROOM_MIN, Boundary, BoundaryWalk};
use super::budget::StepBudget;
use super::components::{Component, ComponentSearch, HoleSearch, Pick, path_links_max};
use super::error::{VisionError, need};
use super::grid::Vertex;
use super::mask::{Field, PixelBox};
use super::simplify::{Link, REMOVE_WORK, Simplification};
use sonotrace_hal::overlay::{CONTOUR_POINTS_MAX, HOLE_POINTS_MAX, HOLES_MAX, OUTER_POINTS_MAX};

/// Most boundary loops of a contour: the outer one, and one for each hole.
pub const BOUNDARIES_MAX: usize = 1 + HOLES_MAX;

// While the last hole is followed, the loops before it leave at least a hole's points of room.
const _: () = assert!(HOLE_POINTS_MAX >= BOUNDARY_ROOM_MIN);

/// A contour: how its points, which the caller owns, are divided into boundary loops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contour {
    /// Points of each boundary loop, the outer one first; 0 beyond the last.
    pub boundary_points: [u32; BOUNDARIES_MAX],
    /// Boundary loops: one, and one for each hole.
    pub boundaries: u32,
    /// Points of all loops together.
    pub points: usize,
    /// Whether the component touches the border of the field.
    pub at_border: bool,
    /// The component.
    pub component: Component,
    /// The component's bounding box.
    pub bounds: PixelBox,
}

impl Contour {
    /// Divides the contour's points, or what they were mapped to, into boundary loops, the outer one first.
    ///
    /// # Panics
    /// If there are fewer points than the contour has.
    pub fn split<'a>(&self, points: &'a [Vertex]) -> impl Iterator<Item = &'a [Vertex]> + use<'a> {
        let mut rest = &points[..self.points];
        self.boundary_points.into_iter().take(self.boundaries as usize).map(move |count| {
            let (boundary, behind) = rest.split_at(count as usize);
            rest = behind;
            boundary
        })
    }
}

/// Writes the contour of the wanted component into `points`, in pixel indices of the field: an outer boundary of at
/// most [`OUTER_POINTS_MAX`] points, clockwise on the screen, and after it, anticlockwise, boundaries of at most
/// [`HOLE_POINTS_MAX`] points around the [`HOLES_MAX`] largest holes of at least `hole_pixels_min` pixels. Other
/// components, also those in the holes, are ignored. `None` if there is no such component.
///
/// Each loop is thinned and simplified on its own: where the mask is narrower than the detail that this drops, as on
/// noise, a simplified loop may cross itself or another.
///
/// `labels` is scratch of [`super::components::labels_len`] elements. `points` has room for [`CONTOUR_POINTS_MAX`] or
/// more: a loop is first followed in the room after the previous loops, thinned if necessary, and then simplified.
/// `links` is scratch, one [`Link`] for each of `points`. The work is bounded by a few passes over the field;
/// [`Tracing`] does it in steps.
///
/// # Errors
/// [`VisionError::Slice`] for a slice that is too short, whatever the field contains; [`VisionError::Range`] for too many
/// points to pick by.
pub fn trace(
    field: &Field<'_>,
    pick: Pick<'_>,
    hole_pixels_min: usize,
    labels: &mut [i32],
    points: &mut [Vertex],
    links: &mut [Link],
) -> Result<Option<Contour>, VisionError> {
    let mut tracing = Tracing::new(field, pick, hole_pixels_min)?;
    while !tracing.step(field, labels, points, links, &mut StepBudget::new(u32::MAX))? {}
    Ok(tracing.contour())
}

/// A resumable [`trace`]: a state machine without buffers of its own.
///
/// The largest piece of work is [`Self::piece_work_max`]: 394 units for 256 columns.
#[derive(Debug, Clone, Copy)]
pub struct Tracing {
    hole_pixels_min: usize,
    contour: Contour,
    holes: [Component; HOLES_MAX],
    hole_count: usize,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Component(ComponentSearch),
    Holes(HoleSearch),
    Follow(BoundaryWalk),
    Simplify(Simplification),
    Done,
}

impl Tracing {
    /// Returns the largest piece of work on a field of so many columns: one pixel with its three union-find paths, see
    /// [`super::components`], nearly always less; or, on a field of few columns, to remove a point.
    pub const fn piece_work_max(columns: usize) -> u32 {
        let pixel = 1 + 3 * path_links_max(columns) as u32;
        if pixel > REMOVE_WORK { pixel } else { REMOVE_WORK }
    }

    /// Starts to trace; arguments as for [`trace`].
    ///
    /// # Errors
    /// [`VisionError::Range`] for too many points to pick by.
    pub fn new(field: &Field<'_>, pick: Pick<'_>, hole_pixels_min: usize) -> Result<Self, VisionError> {
        Ok(Self {
            hole_pixels_min,
            contour: Contour::default(),
            holes: [Component::default(); HOLES_MAX],
            hole_count: 0,
            stage: Stage::Component(ComponentSearch::new(field, pick)?),
        })
    }

    /// Continues until done (true) or the budget is used up. Arguments as for [`trace`], the same in each step; between
    /// steps their contents must not change.
    ///
    /// # Errors
    /// [`VisionError::Slice`] for a slice that is too short.
    ///
    /// # Panics
    /// May panic if the arguments differ between steps.
    pub fn step(
        &mut self,
        field: &Field<'_>,
        labels: &mut [i32],
        points: &mut [Vertex],
        links: &mut [Link],
        budget: &mut StepBudget,
    ) -> Result<bool, VisionError> {
        need("contour points", points.len(), CONTOUR_POINTS_MAX)?;
        need("simplification scratch", links.len(), points.len())?;
        while !budget.is_used_up() {
            let free = &mut points[self.contour.points..];
            let is_done = match &mut self.stage {
                Stage::Component(search) => search.step(field, labels, budget)?,
                Stage::Holes(search) => search.step(field, labels, &mut self.holes, budget)?,
                Stage::Follow(walk) => walk.step(field, free, budget)?,
                Stage::Simplify(simplification) => simplification.step(free, links, budget)?,
                Stage::Done => break,
            };
            if is_done {
                self.stage = self.next_stage(field)?;
            }
        }
        Ok(matches!(self.stage, Stage::Done))
    }

    /// Returns the contour; `None` before the last step, or if there is no such component.
    pub fn contour(&self) -> Option<Contour> {
        (matches!(self.stage, Stage::Done) && self.contour.boundaries > 0).then_some(self.contour)
    }

    /// Takes the result of a stage that is done; returns the stage that follows.
    fn next_stage(&mut self, field: &Field<'_>) -> Result<Stage, VisionError> {
        let contour = &mut self.contour;
        Ok(match self.stage {
            Stage::Component(search) => match search.component(field) {
                Some(component) => {
                    contour.component = component;
                    Stage::Follow(BoundaryWalk::new(field, component.first))
                }
                None => Stage::Done,
            },
            Stage::Follow(walk) => {
                let Boundary { points, bounds, .. } = walk.boundary();
                let is_outer = contour.boundaries == 0;
                if is_outer {
                    let all = field.bounds();
                    contour.bounds = bounds;
                    contour.at_border =
                        all.is_edge(bounds.x0, bounds.y0) || all.is_edge(bounds.x1, bounds.y1);
                }
                let keep = if is_outer { OUTER_POINTS_MAX } else { HOLE_POINTS_MAX };
                Stage::Simplify(Simplification::new(points, keep)?)
            }
            Stage::Simplify(simplification) => {
                contour.boundary_points[contour.boundaries as usize] = simplification.kept() as u32;
                contour.boundaries += 1;
                contour.points += simplification.kept();
                if contour.boundaries == 1 {
                    let search = HoleSearch::new(&contour.component, contour.bounds, self.hole_pixels_min);
                    Stage::Holes(search)
                } else {
                    self.next_hole(field)
                }
            }
            Stage::Holes(search) => {
                self.hole_count = search.count();
                self.next_hole(field)
            }
            Stage::Done => Stage::Done,
        })
    }

    /// Follows the next hole, if there is one.
    fn next_hole(&self, field: &Field<'_>) -> Stage {
        match self.holes[..self.hole_count].get(self.contour.boundaries as usize - 1) {
            Some(hole) => Stage::Follow(BoundaryWalk::new(field, hole.first)),
            None => Stage::Done,
        }
    }
}
