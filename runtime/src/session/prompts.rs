//! Prompts: which frame they were made on, what they add to an object, and what becomes of them.

use super::carry::carry;
use super::objects::{Object, Scene, place_of};
use super::programs::{DecoderPrompt, GridClick};
use super::step::{Current, Task};
use super::{Session, Waiting};
use crate::hal::clock::Clock;
use crate::hal::command::{Command, Prompt, PromptKind, Space};
use crate::hal::event::EventKind;
use crate::hal::geometry::{LineSample, Point};
use crate::hal::overlay::{ANSWERS_MAX, PromptAnswer, PromptOutcome, State};
use crate::vision::Vertex;

impl<C: Clock> Session<'_, C> {
    /// Takes commands from their ring: freezing at once, prompts for the frame they belong to. As many prompts wait and
    /// are answered as an overlay has room for answers; more stay in the ring.
    pub(super) fn take_commands(&mut self) {
        while self.prompts.len() + self.answers.len() < ANSWERS_MAX {
            match self.ports.commands.take() {
                None => return,
                Some(Ok(Command::Freeze)) => self.set_frozen(true, self.frozen.by_frame),
                Some(Ok(Command::Resume)) => self.set_frozen(false, self.frozen.by_frame),
                Some(Ok(Command::Prompt { ticket, prompt })) => {
                    // There is room: it was asked for above.
                    let _ = self.prompts.push_back(Waiting { ticket, prompt });
                }
                Some(Err(_)) => {
                    self.counters.bad_commands += 1;
                    self.record(EventKind::BadCommand, 0, 0, 0);
                }
            }
        }
    }

    /// The next decode that a waiting prompt asks for, on the frame that it was made on. Prompts that cannot be served
    /// are answered on the way.
    pub(super) fn next_prompted(&mut self, current: &Current) -> Option<Task> {
        while let Some(Waiting { ticket, prompt }) = self.prompts.pop_front() {
            let served = self.serve(current, &prompt);
            let outcome = match served {
                Ok(_) => PromptOutcome::Served,
                Err(outcome) => outcome,
            };
            self.answer(current, ticket, prompt.object, outcome);
            if let Ok(Some(task)) = served {
                return Some(task);
            }
        }
        None
    }

    fn answer(&mut self, current: &Current, ticket: u32, object: u32, outcome: PromptOutcome) {
        match outcome {
            PromptOutcome::Served => self.counters.prompts_served += 1,
            PromptOutcome::TooOld => self.counters.prompts_too_old += 1,
            _ => self.counters.prompts_refused += 1,
        }
        // There is room: prompts are taken from the ring only as far as their answers fit.
        let _ = self.answers.push(PromptAnswer { ticket, object, outcome: outcome as u32, reserved: 0 });
        self.record(EventKind::PromptAnswered, current.seq, outcome as u32, ticket.into());
    }

    /// What a prompt comes to: a decode, or none where it is served without.
    fn serve(&mut self, current: &Current, prompt: &Prompt) -> Result<Option<Task>, PromptOutcome> {
        let known = place_of(&self.objects, prompt.object);
        if prompt.kind == PromptKind::Remove {
            let place = known.ok_or(PromptOutcome::UnknownObject)?;
            self.objects[place] = Object::new(0);
            return Ok(None);
        }
        let copy = self.copy_of(current, prompt.seq)?;
        let kept = &self.kept[copy as usize];
        let (frame, scene) = (kept.frame, kept.scene.ok_or(PromptOutcome::TooOld)?);
        // A mask of that frame must find its way to the one in work.
        if self.kept[current.copy as usize]
            .scene
            .is_none_or(|now| !scene.geometry.shares_plane_with(&now.geometry))
        {
            return Err(PromptOutcome::TooOld);
        }
        let pointed = Pointed::at(&scene, prompt).ok_or(PromptOutcome::OutsideField)?;
        let place = match (known, pointed) {
            (Some(place), _) => place,
            (None, Pointed::Click(GridClick { is_positive: false, .. })) => {
                return Err(PromptOutcome::UnknownObject);
            }
            (None, _) => {
                let free = place_of(&self.objects, 0).ok_or(PromptOutcome::NoRoom)?;
                self.objects[free] = Object::new(prompt.object);
                free
            }
        };
        self.add_to(place, pointed, frame, &scene);
        Ok(Some(Task { object: place, prompt: self.objects[place].prompt, copy, state: State::Fresh }))
    }

    /// The place of a frame's features among the kept ones.
    fn copy_of(&self, current: &Current, seq: u64) -> Result<u32, PromptOutcome> {
        if seq == 0 || seq == current.seq {
            return Ok(current.copy);
        }
        let kept = &self.kept[..self.config.kept_frames as usize];
        let at = kept.iter().position(|kept| kept.scene.is_some() && kept.seq == seq);
        at.map(|at| at as u32).ok_or(PromptOutcome::TooOld)
    }

    /// Adds what was pointed at to what the decoder is told of an object.
    fn add_to(&mut self, place: usize, pointed: Pointed, frame: u64, scene: &Scene) {
        let elements = self.tables.masks.len() / self.objects.len();
        let mask = &mut self.tables.masks[place * elements..][..elements];
        let object = &mut self.objects[place];
        match pointed {
            Pointed::Box(box_px) => {
                // A box says all about what is meant: it starts the object anew.
                object.has_mask = false;
                object.prompt = DecoderPrompt::of_box(box_px);
            }
            Pointed::Click(click) => {
                if object.prompted_frame != frame {
                    // The first click on this frame. It corrects what was carried here, whose box says what that is.
                    object.has_mask = object.has_mask && carry(object, mask, scene, self.tables.field);
                    object.prompt = match object.has_mask {
                        true => DecoderPrompt::of_box(object.box_px),
                        false => DecoderPrompt::default(),
                    };
                }
                object.prompt.add(click);
            }
        }
        object.prompted_frame = frame;
    }
}

/// What a prompt points at, in grid pixels.
#[derive(Debug, Clone, Copy)]
enum Pointed {
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
fn to_grid(scene: &Scene, space: Space, point: Point) -> Vertex {
    let plane = match space {
        Space::Plane => point,
        Space::LineSample => scene.geometry.to_plane(LineSample { line: point.y, sample: point.x }),
        Space::Display => scene.display.to_plane([point.x, point.y]),
    };
    scene.grid.to_grid(plane)
}
