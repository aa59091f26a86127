//! Resolves prompts: their frame, and their position on it.

use super::KeptFeatures;
use super::objects::{Object, Scene, place_of};
use super::programs::GridClick;
use super::work::Work;
use crate::hal::command::{PointSpace, Prompt, PromptKind};
use crate::hal::geometry::{LineSample, Point};
use crate::hal::overlay::PromptOutcome;
use crate::vision::Vertex;

/// Effect of a prompt.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// Remove the object at this index.
    Remove(usize),
    /// Decode a mask for the object at index `place` (which may be free), from a click or box, on the features in
    /// `slot`.
    Decode { place: usize, pointed: Pointed, slot: u32 },
}

/// Returns the effect of a prompt; `work` is the current frame.
///
/// # Errors
/// The reason why it cannot be served.
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
    // The mask of that frame must be reprojected to the current frame.
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

/// Returns the feature slot of frame `seq`; 0 means the current frame.
fn slot_of(seq: u64, work: &Work, kept: &[KeptFeatures]) -> Option<u32> {
    if seq == 0 || seq == work.seq {
        return Some(work.slot);
    }
    kept.iter().position(|kept| kept.scene.is_some() && kept.seq == seq).map(|slot| slot as u32)
}

/// The click or box of a prompt, in grid pixels.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pointed {
    Click(GridClick),
    /// Left, top, right, bottom.
    Box([f32; 4]),
}

impl Pointed {
    /// Converts a prompt to grid pixels; `None` if it lies outside the field of view or has no extent.
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
                // A box may cross the edge of the field, but its middle must be inside.
                let is_inside = scene.grid.contains([(x0 + x1) / 2.0, (y0 + y1) / 2.0]);
                (is_inside && x1 > x0 && y1 > y0).then_some(Self::Box([x0, y0, x1, y1]))
            }
            PromptKind::Remove => None,
        }
    }
}

/// Maps a prompt's point to the input grid.
fn to_grid(scene: &Scene, space: PointSpace, point: Point) -> Vertex {
    let plane = match space {
        PointSpace::Plane => point,
        PointSpace::LineSample => scene.geometry.to_plane(LineSample { line: point.y, sample: point.x }),
        PointSpace::Display => scene.display.to_plane([point.x, point.y]),
    };
    scene.grid.to_grid(plane)
}
