//! The session's step: a small state machine, so that it can stop after each slice and say what it did.

use super::objects::{Answer, Object, Scene, place_of, show};
use super::programs::DecoderPrompt;
use super::{DropReason, Kept, Policy, Prompt, PromptKind, Session, Space};
use crate::exec::{Progress, Run};
use crate::hal::clock::Clock;
use crate::hal::frame::{Frame, FrameDescriptor, flags};
use crate::hal::geometry::{Geometry, LineSample, Point};
use crate::hal::overlay::{Overlay, Rung, STAGES, State};
use crate::vision::contour::Pick;
use crate::vision::{DisplayRaster, GreyTable, Sampler, Vertex, VisionError};

/// What one call of [`Session::poll`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// There is no frame to work on.
    Idle,
    /// A frame is in work.
    Working,
    /// A frame was dropped, and counted.
    Dropped(DropReason),
    /// The overlay of this frame was committed.
    Overlay(u64),
}

/// Places in [`Overlay::stage_ns`].
mod stage {
    pub const QUEUE: usize = 0;
    pub const SAMPLE: usize = 1;
    pub const ENCODE: usize = 2;
    pub const DECODE: usize = 3;
    pub const CONTOUR: usize = 4;
}

/// The frame in work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current {
    seq: u64,
    t_acq_ns: u64,
    t_commit_ns: u64,
    geometry_epoch: u32,
    /// Place of its features among the kept frames.
    copy: u32,
    stage_ns: [u64; STAGES],
}

/// What is being done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// Nothing.
    Idle,
    /// The encoder runs.
    Encode(Current, Run),
    /// The decoder runs for an object.
    Decode(Current, Run, Task),
}

/// A decode: which object, prompted how, on which kept frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    object: usize,
    prompt: DecoderPrompt,
    pick: Pick,
    copy: u32,
    state: State,
}

/// What is remembered of the frames gone by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frames {
    /// The ring's count of frames given back, as last read.
    given_back: u32,
    /// Sequence number and time of the last frame delivered.
    seq: u64,
    t_acq_ns: u64,
    /// Place of the next frame's features.
    next_copy: u32,
}

impl Frames {
    pub fn new(given_back: u32) -> Self {
        Self { given_back, seq: 0, t_acq_ns: 0, next_copy: 0 }
    }
}

impl<C: Clock> Session<'_, C> {
    /// Goes on with the frame in work, or takes the next one, for one slice.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn poll(&mut self) -> Poll {
        self.heartbeat += 1;
        self.count_given_back();
        match self.work {
            Work::Idle => self.take_frame(),
            Work::Encode(current, run) => self.encode(current, run),
            Work::Decode(current, run, task) => self.decode(current, run, task),
        }
    }

    /// Counts what the ring gave back for want of room since it was last asked.
    pub(super) fn count_given_back(&mut self) {
        let given_back = self.frames.counters().evicted;
        let frames = given_back.wrapping_sub(self.seen.given_back);
        self.seen.given_back = given_back;
        self.counters.drop_frames(DropReason::Superseded, frames.into());
    }

    fn dropped(&mut self, reason: DropReason) -> Poll {
        self.frames.release();
        self.counters.drop_frames(reason, 1);
        Poll::Dropped(reason)
    }

    /// Takes a frame from the ring, checks it, samples it, and begins to encode it.
    fn take_frame(&mut self) -> Poll {
        let taken_ns = self.clock.now_ns();
        let view = match self.config.policy {
            Policy::All => self.frames.take(),
            Policy::Newest => self.frames.take_newest().map(|(view, superseded)| {
                self.counters.drop_frames(DropReason::Superseded, superseded.into());
                view
            }),
        };
        let Some(view) = view else { return Poll::Idle };
        let descriptor: FrameDescriptor = *view.descriptor();
        let frame = match descriptor
            .check()
            .and_then(|frame| descriptor.check_payload(view.payload()).map(|()| frame))
        {
            Ok(frame) => frame,
            Err(_) => return self.dropped(DropReason::Malformed),
        };
        let refusal = if frame.has(flags::FROZEN) {
            Some(DropReason::Frozen)
        } else if frame.seq <= self.seen.seq || frame.t_acq_ns < self.seen.t_acq_ns {
            Some(DropReason::OutOfOrder)
        } else {
            None
        };
        if let Some(reason) = refusal {
            return self.dropped(reason);
        }
        let copy = self.seen.next_copy;
        let sampled = sample(
            &frame,
            view.payload(),
            self.config.display,
            (&mut self.sampler, self.tables.table),
            |frame| GreyTable::new(frame, self.normalisation, self.config.vendor_tables),
            self.executor.input_mut(self.programs.encoder, self.programs.image, copy),
        );
        self.frames.release();
        let scene = match sampled {
            Ok(scene) => scene,
            Err(_) => return self.dropped(DropReason::Malformed),
        };
        let is_other = |kept: &Kept| kept.scene.is_some_and(|(_, before)| before != frame.geometry);
        if self.kept.iter().any(is_other) {
            // Masks, and the features of kept frames, are on the grid of the geometry before.
            self.objects.iter_mut().filter(|object| object.id != 0).for_each(Object::lose);
            self.kept.iter_mut().for_each(|kept| kept.scene = None);
        }
        (self.seen.seq, self.seen.t_acq_ns) = (frame.seq, frame.t_acq_ns);
        self.seen.next_copy = (copy + 1) % self.config.kept_frames;
        self.kept[copy as usize] = Kept { seq: frame.seq, scene: Some((scene, frame.geometry)) };
        let mut stage_ns = [0; STAGES];
        stage_ns[stage::QUEUE] = taken_ns.saturating_sub(frame.t_enqueue_ns);
        stage_ns[stage::SAMPLE] = self.clock.now_ns().saturating_sub(taken_ns);
        let current = Current {
            seq: frame.seq,
            t_acq_ns: frame.t_acq_ns,
            t_commit_ns: frame.t_enqueue_ns,
            geometry_epoch: frame.geometry_epoch,
            copy,
            stage_ns,
        };
        self.work = Work::Encode(current, self.executor.begin(self.programs.encoder, copy));
        Poll::Working
    }

    /// Runs a program until it ends or the slice does. Returns the time it took.
    fn advance(&mut self, run: &mut Run) -> (Progress, u64) {
        let (clock, start_ns) = (&self.clock, self.clock.now_ns());
        let end_ns = start_ns.saturating_add(self.config.slice_ns);
        let mut is_first = true;
        // At least one tile a slice, or a slow clock would stop all progress.
        let mut go_on = || core::mem::take(&mut is_first) || clock.now_ns() < end_ns;
        let progress = self.executor.advance(run, &mut go_on);
        (progress, self.clock.now_ns().saturating_sub(start_ns))
    }

    fn encode(&mut self, mut current: Current, mut run: Run) -> Poll {
        let (progress, taken_ns) = self.advance(&mut run);
        current.stage_ns[stage::ENCODE] += taken_ns;
        match progress {
            Progress::Paused => {
                self.work = Work::Encode(current, run);
                Poll::Working
            }
            Progress::Done => self.next_task(current),
        }
    }

    fn decode(&mut self, mut current: Current, mut run: Run, task: Task) -> Poll {
        let (progress, taken_ns) = self.advance(&mut run);
        current.stage_ns[stage::DECODE] += taken_ns;
        if progress == Progress::Paused {
            self.work = Work::Decode(current, run, task);
            return Poll::Working;
        }
        let start_ns = self.clock.now_ns();
        self.take_answer(&current, &task);
        current.stage_ns[stage::CONTOUR] += self.clock.now_ns().saturating_sub(start_ns);
        self.next_task(current)
    }

    /// Reads the decoder's answer into the object that it is about.
    fn take_answer(&mut self, current: &Current, task: &Task) {
        let (decoder, copy) = (self.programs.decoder, task.copy);
        let iou = self.executor.output(decoder, self.programs.iou, copy);
        let candidate = task.prompt.choose(iou);
        let confidence = iou[candidate];
        let masks = self.executor.output(decoder, self.programs.masks, copy);
        let elements = masks.len() / iou.len();
        let range = task.object * elements..(task.object + 1) * elements;
        self.tables.masks[range.clone()].copy_from_slice(&masks[candidate * elements..][..elements]);
        let Some((scene, _)) = self.kept[copy as usize].scene else { return };
        // Lent out for the call: `show` needs the mask beside the other tables.
        let all_masks = core::mem::take(&mut self.tables.masks);
        let object = &mut self.objects[task.object];
        let answer = Answer { mask: &all_masks[range], pick: task.pick, confidence, state: task.state };
        let shown = show(object, &answer, &scene, &mut self.tables, &self.config);
        self.tables.masks = all_masks;
        if shown.is_err() {
            object.lose();
        }
        if copy == current.copy {
            object.seq = current.seq;
        }
    }

    /// Begins the next decode for the frame in work, or commits its overlay when there is none.
    fn next_task(&mut self, current: Current) -> Poll {
        while let Some(prompt) = self.prompts.pop_front() {
            if let Some(task) = self.task_of_prompt(&current, &prompt) {
                return self.begin(current, task);
            }
        }
        let carried = self.objects.iter().position(|object| object.has_mask && object.seq != current.seq);
        match carried {
            Some(at) => {
                let object = &self.objects[at];
                let task = Task {
                    object: at,
                    prompt: DecoderPrompt { box_px: Some(object.box_px), click_px: None },
                    pick: Pick::Largest,
                    copy: current.copy,
                    state: State::Tracked,
                };
                self.begin(current, task)
            }
            None => self.publish(current),
        }
    }

    fn begin(&mut self, current: Current, task: Task) -> Poll {
        let object = &self.objects[task.object];
        let elements = self.tables.masks.len() / self.objects.len();
        let mask = object.has_mask.then(|| &self.tables.masks[task.object * elements..][..elements]);
        task.prompt.feed(&mut self.executor, &self.programs, task.copy, mask);
        let run = self.executor.begin(self.programs.decoder, task.copy);
        self.work = Work::Decode(current, run, task);
        Poll::Working
    }

    /// The decode that serves a prompt, on the frame that it was made on; none if it cannot be served, which is
    /// counted.
    fn task_of_prompt(&mut self, current: &Current, prompt: &Prompt) -> Option<Task> {
        let Some(place) = place_of(&self.objects, prompt.object) else {
            self.counters.prompts_refused += 1;
            return None;
        };
        if prompt.kind == PromptKind::Remove {
            self.objects[place] = Object::free();
            self.counters.prompts_served += 1;
            return None;
        }
        let is_current = prompt.seq == 0 || prompt.seq == current.seq;
        let copy = if is_current {
            current.copy
        } else {
            let kept = &self.kept[..self.config.kept_frames as usize];
            let Some(at) = kept.iter().position(|kept| kept.scene.is_some() && kept.seq == prompt.seq) else {
                self.counters.prompts_too_old += 1;
                return None;
            };
            at as u32
        };
        let (scene, geometry) = self.kept[copy as usize].scene?;
        let grid_px = |point| to_grid(&scene, &geometry, prompt.space, point);
        let (decoder_prompt, pick) = match prompt.kind {
            PromptKind::Click { at, is_positive } => {
                let at = grid_px(at);
                let pick = if is_positive { Pick::Containing(at) } else { Pick::Largest };
                (DecoderPrompt { box_px: None, click_px: Some((at, is_positive)) }, pick)
            }
            PromptKind::Box { from, to } => {
                let (a, b) = (grid_px(from), grid_px(to));
                let corners = [a[0].min(b[0]), a[1].min(b[1]), a[0].max(b[0]), a[1].max(b[1])];
                (DecoderPrompt { box_px: Some(corners), click_px: None }, Pick::Largest)
            }
            PromptKind::Remove => return None,
        };
        let is_inside = match (decoder_prompt.click_px, decoder_prompt.box_px) {
            (Some((at, _)), _) => scene.grid.contains(at),
            (None, Some([x0, y0, x1, y1])) => {
                // A box may reach over the edge, but not lie beside the field.
                scene.grid.contains([(x0 + x1) / 2.0, (y0 + y1) / 2.0]) && x1 > x0 && y1 > y0
            }
            (None, None) => false,
        };
        if !is_inside {
            self.counters.prompts_refused += 1;
            return None;
        }
        self.counters.prompts_served += 1;
        let object = &mut self.objects[place];
        if object.id != prompt.object {
            *object = Object { id: prompt.object, ..Object::free() };
        }
        let is_correction = object.has_mask;
        if matches!(prompt.kind, PromptKind::Box { .. }) {
            // A box says all about what is meant: it starts the object anew.
            object.has_mask = false;
        }
        let prompt = if is_correction && decoder_prompt.click_px.is_some() {
            // A click on an object that is there already corrects it: its box says what it corrects.
            DecoderPrompt { box_px: Some(object.box_px), ..decoder_prompt }
        } else {
            decoder_prompt
        };
        Some(Task { object: place, prompt, pick, copy, state: State::Fresh })
    }

    /// Commits the overlay of the frame in work.
    fn publish(&mut self, current: Current) -> Poll {
        self.work = Work::Idle;
        let now_ns = self.clock.now_ns();
        let latency_ns = now_ns.saturating_sub(current.t_commit_ns);
        let is_fetched = match self.overlays.acquire() {
            Ok(mut slot) => {
                let overlay = slot.overlay_mut();
                *overlay = Overlay::blank();
                overlay.seq = current.seq;
                overlay.t_acq_ns = current.t_acq_ns;
                overlay.latency_ns = latency_ns;
                overlay.age_ns = latency_ns;
                overlay.stage_ns = current.stage_ns;
                overlay.heartbeat = self.heartbeat;
                overlay.rung = Rung::Full as u32;
                overlay.geometry_epoch = current.geometry_epoch;
                let followed = self.objects.iter().filter(|object| object.id != 0 && object.shown.id != 0);
                for (to, object) in overlay.objects.iter_mut().zip(followed) {
                    *to = object.shown;
                    overlay.object_count += 1;
                    // States are ordered from best to worst.
                    overlay.state = overlay.state.max(object.shown.state);
                }
                !slot.commit().evicted
            }
            // The device keeps slots that are not its own, and so cannot be given this overlay.
            Err(_) => false,
        };
        if !is_fetched {
            self.counters.overlays_unfetched += 1;
        }
        self.counters.overlays += 1;
        if latency_ns > self.config.budget_ns {
            self.counters.deadline_misses += 1;
        }
        Poll::Overlay(current.seq)
    }
}

/// Where a prompt's point lies on the input grid.
fn to_grid(scene: &Scene, geometry: &Geometry, space: Space, point: Point) -> Vertex {
    let plane = match space {
        Space::Plane => point,
        Space::LineSample => geometry.to_plane(LineSample { line: point.y, sample: point.x }),
        Space::Display => scene.display.to_plane([point.x, point.y]),
    };
    scene.grid.to_grid(plane)
}

/// Samples a frame into the encoder's input, building the table first if the frame's geometry is a new one. Returns
/// where the frame lies.
fn sample(
    frame: &Frame,
    payload: &[u8],
    display: crate::vision::Display,
    (sampler, table): (&mut Option<Sampler>, &mut [crate::vision::LutEntry]),
    grey: impl Fn(&Frame) -> Result<GreyTable, VisionError>,
    out: &mut [f32],
) -> Result<Scene, VisionError> {
    let grey = grey(frame)?;
    let raster = DisplayRaster::new(&frame.geometry, display)?;
    let fitting = sampler.filter(|sampler| sampler.fits(frame));
    let used = match fitting {
        Some(fitting) => fitting,
        None => {
            // The model's input is square.
            let size = out.len().isqrt() as u32;
            // While the table is neither the old one nor the new one it serves no frame.
            *sampler = None;
            Sampler::build(frame, size, table)?
        }
    };
    used.sample(table, frame, payload, &grey, out)?;
    *sampler = Some(used);
    Ok(Scene { grid: *used.grid(), display: raster, is_millimetres: frame.geometry.is_millimetres() })
}
