//! Resolves prompts: their frame, and their position on it.

use super::KeptFeatures;
use super::motion::{Between, Motions};
use super::objects::{Object, Scene, place_of};
use super::programs::GridClick;
use super::work::Work;
use crate::hal::command::{PointSpace, Prompt, PromptKind};
use crate::hal::geometry::{LineSample, Point};
use crate::hal::overlay::PromptOutcome;
use crate::vision::InputGrid;

/// Effect of a prompt.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// Remove the object at this index.
    Remove(usize),
    /// Decode a mask for the object at index `place` (which may be free), from a click or box, on a kept frame.
    Decode { place: usize, pointed: Pointed, served: Served },
    /// Its frame is newer than the current one: wait for it.
    Wait,
    /// It points beyond the grid, but into the field of view: wait for a frame on another grid, with the prompt on the plane, and the
    /// time of its frame.
    LeaveGrid { on_plane: Prompt, made_ns: u64 },
}

/// The frame on which a prompt is served.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Served {
    /// Its feature slot.
    pub slot: u32,
    /// Its time minus that of the prompt's frame.
    pub offset_ns: i64,
    /// Where the prompt's frame lies, if it was not computed.
    between: Option<Between>,
}

impl Served {
    /// A frame without one between.
    fn on(slot: u32, offset_ns: i64) -> Self {
        Self { slot, offset_ns, between: None }
    }
}

/// Number and time of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameTime {
    pub seq: u64,
    pub t_acq_ns: u64,
}

/// What is known when a prompt is resolved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation<'a> {
    /// The current frame.
    pub work: &'a Work,
    /// By feature slot.
    pub kept: &'a [KeptFeatures],
    /// Number of the last frames that prompts can be served on.
    pub kept_frames: u64,
    /// The last computed frame before them; `None` if they are all of the stream.
    pub last_gone: Option<FrameTime>,
    pub objects: &'a [Object],
    /// The newest frame with an overlay: it may be newer than the current one.
    pub newest: Option<FrameTime>,
    /// Largest sequence number that was seen.
    pub newest_seq: u64,
    /// Whether newer frames wait.
    pub has_more: bool,
    /// Whether the image is frozen: no further frame will be computed.
    pub is_frozen: bool,
    pub motions: Motions<'a>,
}

/// Returns the effect of a prompt. `made_ns`: the time of its frame, if it has waited for a frame on another grid.
///
/// # Errors
/// The reason why it cannot be served.
pub(super) fn target(
    prompt: &Prompt,
    made_ns: Option<u64>,
    now: &Situation<'_>,
) -> Result<Target, PromptOutcome> {
    let known = place_of(now.objects, prompt.object);
    if prompt.kind == PromptKind::Remove {
        return known.map(Target::Remove).ok_or(PromptOutcome::UnknownObject);
    }
    let Some(mut served) = now.frame_of(prompt.seq)? else { return Ok(Target::Wait) };
    let KeptFeatures { scene, t_acq_ns, .. } = now.kept[served.slot as usize];
    let scene = scene.ok_or(PromptOutcome::TooOld)?;
    if let Some(made_ns) = made_ns {
        served.offset_ns = t_acq_ns.wrapping_sub(made_ns) as i64;
    }
    let moved = |pointed: Pointed| pointed.moved(now, &served, &scene.grid);
    let Some(pointed) = Pointed::at(&scene, &scene.grid, prompt).map(moved) else {
        // The grid may be that of another depth or sector.
        let natural = InputGrid::new(&scene.geometry, scene.grid.size()).ok();
        let is_in_field = natural
            .is_some_and(|natural| natural != scene.grid && Pointed::at(&scene, &natural, prompt).is_some());
        if !is_in_field || now.is_frozen {
            return Err(PromptOutcome::OutsideField);
        }
        let made_ns = t_acq_ns.wrapping_sub(served.offset_ns as u64);
        return Ok(Target::LeaveGrid { on_plane: on_plane(&scene, prompt), made_ns });
    };
    let place = match (known, pointed) {
        (Some(place), _) => place,
        (None, Pointed::Click(GridClick { is_positive: false, .. })) => {
            return Err(PromptOutcome::UnknownObject);
        }
        (None, _) => place_of(now.objects, 0).ok_or(PromptOutcome::NoRoom)?,
    };
    Ok(Target::Decode { place, pointed, served })
}

impl Situation<'_> {
    /// Returns the number of the current frame; 0 if the stream has begun anew since.
    fn current_seq(&self) -> u64 {
        self.kept[self.work.slot as usize].seq
    }

    /// Returns the time of the current frame minus that of a newer one, by its number; 0 if its time is not known.
    fn before_ns(&self, seq: u64) -> i64 {
        let now = FrameTime { seq: self.current_seq(), t_acq_ns: self.work.t_acq_ns };
        match self.newest.filter(|newest| newest.seq >= seq) {
            Some(newest) => -(libm::round(between(&now, &newest, seq) * span_ns(&now, &newest)) as i64),
            None => 0,
        }
    }

    /// Returns the frame on which a prompt on frame `seq` is served: that frame (0 means the current one), or, if it was not
    /// computed, the nearest one that was; `None` if a nearer one is still to come.
    ///
    /// # Errors
    /// [`PromptOutcome::TooOld`] for a frame that is nearer to one whose features are not kept any more,
    /// [`PromptOutcome::FutureFrame`] for one that is not there.
    fn frame_of(&self, seq: u64) -> Result<Option<Served>, PromptOutcome> {
        let current = Served::on(self.work.slot, 0);
        let current_seq = self.current_seq();
        if seq == 0 || seq == current_seq {
            return Ok(Some(current));
        }
        if seq > current_seq {
            return match (seq <= self.newest_seq, self.has_more) {
                (false, false) => Err(PromptOutcome::FutureFrame),
                (_, true) if !self.is_frozen => Ok(None),
                // It was not computed, or the image is frozen on an earlier one.
                _ => Ok(Some(Served::on(self.work.slot, self.before_ns(seq)))),
            };
        }
        let is_recent = |kept: &KeptFeatures| kept.frame + self.kept_frames > self.work.frame;
        let recent = || self.kept.iter().zip(0..).filter(|(kept, _)| kept.scene.is_some() && is_recent(kept));
        let after = recent().filter(|(kept, _)| kept.seq >= seq).min_by_key(|(kept, _)| kept.seq);
        // The current frame has no features.
        let Some((after, slot_after)) = after else { return Ok(Some(current)) };
        let on_after = |offset_ns| Ok(Some(Served::on(slot_after, offset_ns)));
        if after.seq == seq {
            return on_after(0);
        }
        // The time of the prompt's frame, by its number: as a share of the way, since the frame before, and until the one after.
        let after_time = FrameTime { seq: after.seq, t_acq_ns: after.t_acq_ns };
        let between = |before: &FrameTime| {
            let (share, span_ns) = (between(before, &after_time, seq), span_ns(before, &after_time));
            (share, libm::round(span_ns * share) as i64, libm::round(span_ns * (1.0 - share)) as i64)
        };
        let before = recent().filter(|(kept, _)| kept.seq < seq).max_by_key(|(kept, _)| kept.seq);
        if let Some((before, slot)) = before {
            let before_time = FrameTime { seq: before.seq, t_acq_ns: before.t_acq_ns };
            let (share, since_ns, until_ns) = between(&before_time);
            // A frame without features may be the first one of another geometry.
            let is_same = before.scene.map(|scene| scene.geometry) == after.scene.map(|scene| scene.geometry);
            let is_nearer = is_same && since_ns < until_ns;
            let between = Some(Between { before: slot, after: slot_after, share: share as f32 });
            let (slot, offset_ns) = if is_nearer { (slot, -since_ns) } else { (slot_after, until_ns) };
            return Ok(Some(Served { slot, offset_ns, between }));
        }
        // Before all kept frames: the first of them is the nearest that was computed, or the last one that is not kept any more.
        match self.last_gone {
            None => on_after(0),
            Some(gone) if gone.seq < seq => match between(&gone) {
                (_, since_ns, until_ns) if until_ns <= since_ns => on_after(until_ns),
                _ => Err(PromptOutcome::TooOld),
            },
            Some(_) => Err(PromptOutcome::TooOld),
        }
    }
}

/// Returns where frame `seq` lies between two others, by its number: 0 to 1.
fn between(before: &FrameTime, after: &FrameTime, seq: u64) -> f64 {
    (seq - before.seq) as f64 / (after.seq - before.seq) as f64
}

/// Returns the time from one frame to another; 0 if the clock went back.
fn span_ns(before: &FrameTime, after: &FrameTime) -> f64 {
    after.t_acq_ns.saturating_sub(before.t_acq_ns) as f64
}

/// The click or box of a prompt, in grid pixels.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pointed {
    Click(GridClick),
    /// Left, top, right, bottom.
    Box([f32; 4]),
}

impl Pointed {
    /// Converts a prompt on a scene to pixels of a grid; `None` if it lies outside the grid or has no extent.
    fn at(scene: &Scene, grid: &InputGrid, prompt: &Prompt) -> Option<Self> {
        let on_grid = |point| grid.to_grid(to_plane(scene, prompt.space, point));
        match prompt.kind {
            PromptKind::Click { at, is_positive } => {
                let at = on_grid(at);
                grid.contains(at).then_some(Self::Click(GridClick { at, is_positive }))
            }
            PromptKind::Box { from, to } => {
                let (a, b) = (on_grid(from), on_grid(to));
                let [x0, y0, x1, y1] = [a[0].min(b[0]), a[1].min(b[1]), a[0].max(b[0]), a[1].max(b[1])];
                // A box may cross the edge of the field, but its middle must be inside.
                let is_inside = grid.contains([(x0 + x1) / 2.0, (y0 + y1) / 2.0]);
                (is_inside && x1 > x0 && y1 > y0).then_some(Self::Box([x0, y0, x1, y1]))
            }
            PromptKind::Remove => None,
        }
    }

    /// Moves it to the frame on which it is served, if its own was not computed. A click that would leave the grid stays.
    fn moved(self, now: &Situation<'_>, served: &Served, grid: &InputGrid) -> Self {
        let Some(between) = served.between else { return self };
        let moved = |at| now.motions.moved(&between, served.slot, at);
        match self {
            Self::Click(click) => {
                let at = moved(click.at);
                Self::Click(if grid.contains(at) { GridClick { at, ..click } } else { click })
            }
            Self::Box([x0, y0, x1, y1]) => {
                let middle = [(x0 + x1) / 2.0, (y0 + y1) / 2.0];
                let [x, y] = moved(middle);
                let [along, down] = [x - middle[0], y - middle[1]];
                let is_inside = grid.contains([x, y]);
                let [along, down] = if is_inside { [along, down] } else { [0.0; 2] };
                Self::Box([x0 + along, y0 + down, x1 + along, y1 + down])
            }
        }
    }
}

/// Maps a prompt's point to the probe's plane.
fn to_plane(scene: &Scene, space: PointSpace, point: Point) -> Point {
    match space {
        PointSpace::Plane => point,
        PointSpace::LineSample => scene.geometry.to_plane(LineSample { line: point.y, sample: point.x }),
        PointSpace::Display => scene.display.to_plane([point.x, point.y]),
    }
}

/// The same prompt with its points on the probe's plane, for the next frame.
fn on_plane(scene: &Scene, prompt: &Prompt) -> Prompt {
    let point = |at| to_plane(scene, prompt.space, at);
    let kind = match prompt.kind {
        PromptKind::Click { at, is_positive } => PromptKind::Click { at: point(at), is_positive },
        PromptKind::Box { from, to } => PromptKind::Box { from: point(from), to: point(to) },
        PromptKind::Remove => PromptKind::Remove,
    };
    Prompt { seq: 0, space: PointSpace::Plane, kind, ..*prompt }
}
