//! The session's step: a small state machine, so that it can stop after each slice and say what it did.

use super::carry::carry;
use super::objects::{Answer, show};
use super::programs::DecoderPrompt;
use super::tables::TableIndex;
use super::{DropReason, Session};
use crate::exec::{Progress, Run};
use crate::hal::clock::Clock;
use crate::hal::event::EventKind;
use crate::hal::frame::Frame;
use crate::hal::overlay::{STAGES, State};

/// What one call of [`Session::poll`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// There is no frame to work on.
    Idle,
    /// A frame is in work.
    Working,
    /// A frame was dropped, and counted. Frames that were passed over for a newer one are only counted.
    Dropped {
        /// The sequence number in its descriptor, which may be anything if it is malformed.
        seq: u64,
        /// Why.
        reason: DropReason,
    },
    /// The overlay of this frame was committed.
    Overlay(u64),
    /// A further overlay of this frozen frame was committed.
    Update(u64),
}

/// Places in [`crate::hal::overlay::Overlay::stage_ns`].
pub(super) mod stage {
    pub const QUEUE: usize = 0;
    pub const SAMPLE: usize = 1;
    pub const ENCODE: usize = 2;
    pub const DECODE: usize = 3;
    pub const CONTOUR: usize = 4;
}

/// The frame in work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current {
    pub seq: u64,
    pub t_acq_ns: u64,
    pub t_commit_ns: u64,
    /// When the work began that its overlay's latency is counted from: its commit, or the reading of a prompt.
    pub t_asked_ns: u64,
    pub geometry_epoch: u32,
    /// Its number, counting frames that are worked on from 1.
    pub frame: u64,
    /// Place of its features among the kept frames.
    pub copy: u32,
    pub stage_ns: [u64; STAGES],
    /// Bits of [`crate::hal::overlay::overlay_flags`].
    pub flags: u32,
}

/// What is being done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// Nothing.
    Idle,
    /// The sampling table of a frame's geometry is made; the frame waits in its slot. So many rows are left to do on
    /// this frame.
    Table(Current, Frame, TableIndex, u32),
    /// The encoder runs.
    Encode(Current, Run),
    /// The decoder runs for an object.
    Decode(Current, Run, Task),
}

/// A decode: which object, prompted how, on which kept frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    pub object: usize,
    pub prompt: DecoderPrompt,
    pub copy: u32,
    pub state: State,
}

impl<C: Clock> Session<'_, C> {
    /// Goes on with the frame in work, or takes the next one, for one slice.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn poll(&mut self) -> Poll {
        self.heartbeat += 1;
        self.count_given_back();
        self.take_commands();
        match self.work {
            Work::Idle => match self.begin_update() {
                Some(current) => self.next_task(current),
                None => self.take_frame(),
            },
            Work::Table(current, frame, table, rows) => self.fill_table(current, &frame, table, rows),
            Work::Encode(current, run) => self.encode(current, run),
            Work::Decode(current, run, task) => self.decode(current, run, task),
        }
    }

    /// On a frozen image, prompts are served on the frame that is shown.
    fn begin_update(&mut self) -> Option<Current> {
        if !self.frozen.is() || self.prompts.is_empty() {
            return None;
        }
        let shown = self.shown?;
        let flags = crate::hal::overlay::overlay_flags::UPDATE;
        Some(Current { t_asked_ns: self.clock.now_ns(), stage_ns: [0; STAGES], flags, ..shown })
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
        let kept = self.kept[copy as usize];
        let Some(scene) = kept.scene else { return };
        // Lent out for the call: `show` needs the mask beside the other tables.
        let all_masks = core::mem::take(&mut self.tables.masks);
        let object = &mut self.objects[task.object];
        let answer = Answer { mask: &all_masks[range], prompt: &task.prompt, confidence, state: task.state };
        let shown = show(object, &answer, &scene, &mut self.tables, &self.config);
        self.tables.masks = all_masks;
        if shown.is_err() {
            object.lose();
        }
        object.frame = kept.frame;
        if !object.has_mask {
            let id = object.id;
            self.record(EventKind::ObjectLost, current.seq, id, 0);
        }
    }

    /// Begins the next decode for the frame in work, or commits its overlay when there is none.
    pub(super) fn next_task(&mut self, current: Current) -> Poll {
        if let Some(task) = self.next_prompted(&current) {
            return self.begin(current, task);
        }
        while let Some(at) = self.objects.iter().position(|o| o.has_mask && o.frame != current.frame) {
            if let Some(task) = self.carried(&current, at) {
                return self.begin(current, task);
            }
            self.objects[at].lose();
            let id = self.objects[at].id;
            self.record(EventKind::ObjectLost, current.seq, id, 0);
        }
        self.publish(current)
    }

    /// The decode that brings an object onto the frame in work: its own mask, and that mask's box. None if nothing of
    /// it is left in the field.
    fn carried(&mut self, current: &Current, at: usize) -> Option<Task> {
        let scene = self.kept[current.copy as usize].scene?;
        let elements = self.tables.masks.len() / self.objects.len();
        let mask = &mut self.tables.masks[at * elements..][..elements];
        let object = &mut self.objects[at];
        let is_moved = object.scene != Some(scene);
        if !carry(object, mask, &scene, self.tables.field) {
            return None;
        }
        let prompt = DecoderPrompt::of_box(object.box_px);
        if is_moved {
            let id = object.id;
            self.record(EventKind::ObjectCarriedOver, current.seq, id, 0);
        }
        Some(Task { object: at, prompt, copy: current.copy, state: State::Tracked })
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
}
