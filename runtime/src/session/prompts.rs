//! Prompts: which frame they were made on, and what they point at there.

use super::KeptFeatures;
use super::advance::Work;
use super::objects::{Object, Scene, place_of};
use super::programs::GridClick;
use crate::hal::command::{PointSpace, Prompt, PromptKind};
use crate::hal::geometry::{LineSample, Point};
use crate::hal::overlay::PromptOutcome;
use crate::vision::Vertex;

/// What a prompt asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// The end of the object at this place.
    Remove(usize),
    /// A mask for the object at this place (which may be free), by what is pointed at, on the features in this slot.
    Decode { place: usize, pointed: Pointed, slot: u32 },
}

/// What a prompt asks for while a frame is in work.
///
/// # Errors
/// Why it cannot be served.
pub(super) fn target(
    prompt: &Prompt,
    work: &Work,
    kept: &[KeptFeatures],
    objects: &[Object],
) -> Result<Target, PromptOutcome> {
    let known = place_of(objects, prompt.object);
    if prompt.kind == PromptKind::Remove {
        return known.map(Target::Remove).ok_or(PromptOutcome::UnknownObject);
    }
    let slot = slot_of(prompt.seq, work, kept).ok_or(PromptOutcome::TooOld)?;
    let scene = kept[slot as usize].scene.ok_or(PromptOutcome::TooOld)?;
    // A mask of that frame must be reprojected to the frame in work.
    if kept[work.slot as usize].scene.is_none_or(|now| !scene.geometry.shares_plane_with(&now.geometry)) {
        return Err(PromptOutcome::TooOld);
    }
    let pointed = Pointed::at(&scene, prompt).ok_or(PromptOutcome::OutsideField)?;
    let place = match (known, pointed) {
        (Some(place), _) => place,
        (None, Pointed::Click(GridClick { is_positive: false, .. })) => {
            return Err(PromptOutcome::UnknownObject);
        }
        (None, _) => place_of(objects, 0).ok_or(PromptOutcome::NoRoom)?,
    };
    Ok(Target::Decode { place, pointed, slot })
}

/// The feature slot of the frame with a number; 0 stands for the frame in work.
fn slot_of(seq: u64, work: &Work, kept: &[KeptFeatures]) -> Option<u32> {
    if seq == 0 || seq == work.seq {
        return Some(work.slot);
    }
    kept.iter().position(|kept| kept.scene.is_some() && kept.seq == seq).map(|slot| slot as u32)
}

/// What a prompt points at, in grid pixels.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pointed {
    Click(GridClick),
    /// Left, top, right, bottom.
    Box([f32; 4]),
}

impl Pointed {
    /// None if it lies outside the field of view, or has no extent.
    fn at(scene: &Scene, prompt: &Prompt) -> Option<Self> {
        let on_grid = |point| to_grid(scene, prompt.space, point);
        match prompt.kind {
            PromptKind::Click { at, is_positive } => {
                let at = on_grid(at);
                scene.grid.contains(at).then_some(Self::Click(GridClick { at, is_positive }))
            }
            PromptKind::Box { from, to } => {
                let (a, b) = (on_grid(from), on_grid(to));
                let [x0, y0, x1, y1] = [a[0].min(b[0]), a[1].min(b[1]), a[0].max(b[0]), a[1].max(b[1])];
                // A box may reach over the edge, but not lie beside the field.
                let is_inside = scene.grid.contains([(x0 + x1) / 2.0, (y0 + y1) / 2.0]);
                (is_inside && x1 > x0 && y1 > y0).then_some(Self::Box([x0, y0, x1, y1]))
            }
            PromptKind::Remove => None,
        }
    }
}

/// Where a prompt's point lies on the input grid.
fn to_grid(scene: &Scene, space: PointSpace, point: Point) -> Vertex {
    let plane = match space {
        PointSpace::Plane => point,
        PointSpace::LineSample => scene.geometry.to_plane(LineSample { line: point.y, sample: point.x }),
        PointSpace::Display => scene.display.to_plane([point.x, point.y]),
    };
    scene.grid.to_grid(plane)
}
