//! Serves prompts: decodes their masks, and makes the tracker learn these.

use super::advance::{Stage, Task};
use super::costs::Part;
use super::motion::Motions;
use super::objects::{Object, Told};
use super::programs::DecoderPrompt;
use super::prompts::{self, FrameTime, Pointed, Situation, Target};
use super::slice::Slice;
use super::standing::Standing;
use super::work::Work;
use super::{KeptFeatures, Session, Waiting};
use crate::hal::clock::Clock;
use crate::hal::command::{Command, Prompt};
use crate::hal::event::EventKind;
use crate::hal::overlay::{ANSWERS_MAX, PromptAnswer, PromptOutcome, State};
use crate::tracking::follower::{Drawn, Following};
use crate::tracking::vectors::are_finite;

impl<C: Clock> Session<'_, C> {
    /// Takes commands from their ring: freezes or resumes at once, and queues prompts. Waiting and answered prompts
    /// together are at most `ANSWERS_MAX`; the others stay in the ring. Takes no more than were there at the start, because the
    /// device may send them faster than they are taken.
    pub(super) fn take_commands(&mut self) {
        for _ in 0..self.ports.commands.backlog() {
            if self.asked.prompts.len() + self.asked.answers.len() >= ANSWERS_MAX {
                return;
            }
            match self.ports.commands.take() {
                None => return,
                Some(Ok(Command::Freeze)) => self.set_frozen(true, self.frozen.by_frame),
                Some(Ok(Command::Resume)) => self.set_frozen(false, self.frozen.by_frame),
                Some(Ok(Command::Prompt { ticket, prompt })) => {
                    // There is room, as checked above.
                    let _ = self.asked.prompts.push_back(Waiting { ticket, prompt, made_ns: None });
                }
                Some(Err(_)) => {
                    self.counters.bad_commands += 1;
                    self.record(EventKind::BadCommand, 0, 0, 0);
                }
            }
        }
    }

    pub(super) fn set_frozen(&mut self, by_command: bool, by_frame: bool) {
        let was_frozen = self.frozen.is();
        self.frozen = super::Frozen { by_command, by_frame };
        if self.frozen.is() != was_frozen {
            let kind = if was_frozen { EventKind::Resumed } else { EventKind::Frozen };
            self.record(kind, self.frames.shown.map_or(0, |shown| shown.seq), 0, 0);
        }
    }

    /// Chooses what comes next on the current frame: prompts, the objects, contours, the overlay.
    pub(super) fn next(&mut self, mut work: Work) -> Stage {
        while let Some(&Waiting { ticket, prompt, made_ns }) = self.asked.prompts.front() {
            let mut target = self.resolve(&work, &prompt, made_ns);
            match target {
                Ok(Target::Wait) => break,
                Ok(Target::LeaveGrid { on_plane, made_ns }) => {
                    self.is_grid_left = true;
                    if let Some(waiting) = self.asked.prompts.front_mut() {
                        (waiting.prompt, waiting.made_ns) = (on_plane, Some(made_ns));
                    }
                    break;
                }
                // After the objects have been followed to the current frame.
                Ok(Target::Decode { served, .. }) if served.slot == work.slot && !work.is_followed => break,
                Ok(Target::Decode { place, pointed, served }) => {
                    let drawn = self.drawn(place, matches!(pointed, Pointed::Box(_)), served.slot);
                    if !self.follower.has_room(&drawn) {
                        target = Err(PromptOutcome::NoRoom);
                    }
                }
                _ => {}
            }
            self.asked.prompts.pop_front();
            self.answer(&work, ticket, prompt.object, &target);
            match target {
                Ok(Target::Remove(place)) => {
                    self.follower.remove(place);
                    self.objects[place] = Object::new(0);
                    work.to_draw = work.to_draw.without(place);
                }
                Ok(Target::Decode { place, pointed, served }) => {
                    if self.objects[place].id == 0 {
                        self.objects[place] = Object::new(prompt.object);
                    }
                    return self.begin_prompted(work, place, pointed, served.slot);
                }
                _ => {}
            }
        }
        if !work.is_followed {
            return self.begin_following(work);
        }
        match work.to_draw.places().next() {
            Some(place) => self.begin_drawing(work, place),
            None => Stage::Publish { work },
        }
    }

    /// Returns the effect of a prompt.
    fn resolve(&self, work: &Work, prompt: &Prompt, made_ns: Option<u64>) -> Result<Target, PromptOutcome> {
        let situation = Situation {
            work,
            kept: self.kept,
            kept_frames: self.config.kept_frames.into(),
            last_gone: self.last_gone,
            objects: self.objects,
            newest_seq: self.newest_seq,
            has_more: self.ports.frames.backlog() > 0,
            newest: self.frames.newest.map(|newest| FrameTime { seq: newest.seq, t_acq_ns: newest.t_acq_ns }),
            is_frozen: self.frozen.is(),
            motions: Motions { kept: self.kept, flows: self.buffers.flows, side: self.flow_side },
        };
        prompts::target(prompt, made_ns, &situation)
    }

    /// What is drawn by a prompt on the features in a slot; `is_box` if it defines the object again.
    fn drawn(&self, place: usize, is_box: bool, slot: u32) -> Drawn {
        let (object, frame) = (&self.objects[place], self.kept[slot as usize].frame);
        let is_followed = self.follower.followed().contains(place);
        let is_new = is_box || !is_followed || object.reference_frame == frame;
        Drawn { features: slot, is_last: frame == self.followed_frame, place, is_new }
    }

    fn answer(&mut self, work: &Work, ticket: u32, object: u32, target: &Result<Target, PromptOutcome>) {
        let outcome = target.as_ref().err().copied().unwrap_or(PromptOutcome::Served);
        match outcome {
            PromptOutcome::Served => self.counters.prompts_served += 1,
            PromptOutcome::TooOld => self.counters.prompts_too_old += 1,
            _ => self.counters.prompts_refused += 1,
        }
        let (seq, offset_ns) = match target {
            Ok(Target::Decode { served, .. }) => (self.kept[served.slot as usize].seq, served.offset_ns),
            Ok(_) => (work.seq, 0),
            Err(_) => (0, 0),
        };
        let outcome = outcome as u32;
        // A reply goes out with the contour, and replies keep their order.
        if self.asked.held > 0 || matches!(target, Ok(Target::Decode { .. })) {
            self.asked.held += 1;
        }
        // There is room: prompts are taken from the ring only if their replies fit.
        let _ =
            self.asked.answers.push(PromptAnswer { ticket, object, outcome, reserved: 0, seq, offset_ns });
        self.record(EventKind::PromptAnswered, work.seq, outcome, ticket.into());
    }

    /// Adds a click or box to the object's prompt and begins to decode the object.
    fn begin_prompted(&mut self, work: Work, place: usize, pointed: Pointed, slot: u32) -> Stage {
        let drawn = self.drawn(place, matches!(pointed, Pointed::Box(_)), slot);
        let kept = &self.kept[slot as usize];
        // Its mask so far, if that lies on the same grid.
        let is_same = self.scene.map(|scene| scene.grid) == kept.scene.map(|scene| scene.grid);
        let has_mask = is_same && self.follower.followed().contains(place);
        let mask = Some(self.follower.odds(place)).filter(|_| has_mask);
        let box_px = mask.and_then(|odds| self.follower.box_of(odds));
        let mask = mask.filter(|_| box_px.is_some());
        let object = &mut self.objects[place];
        let is_first_here = object.prompted_frame != kept.frame;
        object.prompted_frame = kept.frame;
        let mask = match pointed {
            Pointed::Box(box_px) => {
                // A box replaces all earlier prompts and the mask of the object.
                object.prompt = DecoderPrompt::of_box(box_px);
                None
            }
            Pointed::Click(click) => {
                if is_first_here {
                    // It corrects the mask so far, whose box replaces earlier clicks.
                    object.prompt = box_px.map_or_else(DecoderPrompt::default, DecoderPrompt::of_box);
                }
                object.prompt.add(click);
                mask
            }
        };
        let prompt = object.prompt;
        prompt.begin(&mut self.executor, &self.programs, slot, mask);
        Stage::Decode { work, task: Task { prompt, drawn } }
    }

    /// Takes the decoder's mask. One that is empty or not finite changes nothing.
    pub(super) fn take_mask(&mut self, mut work: Work, task: Task) -> Stage {
        work.done.count(Part::Prompt, 1);
        let iou = self.executor.output(self.programs.iou);
        let candidate = task.prompt.choose(iou);
        let elements = self.programs.mask_size * self.programs.mask_size;
        let mask = &self.executor.output(self.programs.masks)[candidate * elements..][..elements];
        let place = task.drawn.place;
        if !are_finite(iou) || !are_finite(mask) {
            self.record(EventKind::NotFinite, work.seq, self.objects[place].id, 0);
            return self.refuse_mask(work, place);
        }
        if !mask.iter().any(|&odds| odds > 0.0) {
            return self.refuse_mask(work, place);
        }
        let iou = iou[candidate].clamp(0.0, 1.0);
        let odds = &mut self.buffers.field[..elements];
        odds.copy_from_slice(mask);
        self.follower.begin_drawn(&mut self.executor, &task.drawn, odds);
        Stage::Learn { work, task, iou }
    }

    /// Shows an object that no mask was found for as lost, if it is not followed.
    fn refuse_mask(&mut self, work: Work, place: usize) -> Stage {
        if !self.follower.followed().contains(place) {
            self.lose(work.seq, place);
        }
        Stage::Next { work }
    }

    /// Makes the tracker remember the mask of a prompt.
    pub(super) fn learn(&mut self, mut work: Work, task: Task, iou: f32, slice: &mut Slice) -> Stage {
        let Drawn { features: slot, place, is_new, .. } = task.drawn;
        match self.advance_follower(slot, slice) {
            Following::Paused => return Stage::Learn { work, task, iou },
            Following::NotFinite => {
                self.record(EventKind::NotFinite, work.seq, self.objects[place].id, 0);
                return self.refuse_mask(work, place);
            }
            Following::Done => {}
        }
        let (is_first, anchor) = (self.follower.followed().is_empty(), self.follower.anchor());
        self.follower.accept(&mut self.executor);
        self.note_anchor(slot, anchor);
        let KeptFeatures { frame, scene, .. } = self.kept[slot as usize];
        if is_first {
            (self.followed_frame, self.scene) = (frame, scene);
        }
        let object = &mut self.objects[place];
        if is_new {
            object.reference_frame = frame;
        }
        object.standing = Standing::default();
        self.buffers.volumes[place].clear();
        let state = if slot == work.slot { State::Fresh } else { State::Stale };
        object.told = Told { state, confidence: iou, checked_frames_ago: 0 };
        object.drawn_on = slot;
        if work.is_followed {
            work.to_draw = work.to_draw.with(place);
        }
        Stage::Next { work }
    }

    /// Notes that the frame in a slot has become an anchor, if the anchor's number is no longer the one before.
    pub(super) fn note_anchor(&mut self, slot: u32, before: u32) {
        let anchor = self.follower.anchor();
        if anchor != before {
            self.kept[slot as usize].anchored.as_anchor = Some(anchor);
        }
    }
}
