//! The session's state machine: the stages of a frame, and the function that advances them.
//!
//! ```text
//! Idle -> Check -> [Table] -> Sample -> Encode -> Next <-> { [Reproject] -> Decode -> Enlarge -> Trace }
//!                                                  Next -> Publish -> Ended
//! ```
//!
//! A stage runs until it is done or the slice is over. Only this file changes the session's fields; the other files
//! compute.

use super::objects::{self, MaskOutput, Object, Scene};
use super::overlay::{self, RepeatTarget};
use super::programs::{DecoderPrompt, GridClick};
use super::prompts::{self, Pointed, Target};
use super::reproject::{Reprojection, reprojection};
use super::slice::Slice;
use super::stream::Order;
use super::tables::TableIndex;
use super::work::Work;
use super::{DropReason, KeptFeatures, Policy, Session, Waiting};
use crate::exec::Progress;
use crate::float_environment::DefaultEnvironment;
use crate::hal::clock::Clock;
use crate::hal::command::Command;
use crate::hal::event::{Event, EventKind};
use crate::hal::frame::{Frame, FrameError, PayloadCheck, flags};
use crate::hal::overlay::{ANSWERS_MAX, PromptAnswer, PromptOutcome, STAGES, State, overlay_flags};
use crate::vision::budget::{STEP_WORK, StepBudget};
use crate::vision::contour::Tracing;
use crate::vision::reproject::reproject_rows;
use crate::vision::sampler::SampleCursor;
use crate::vision::{DisplayRaster, GreyTable, Pick, VisionError, mask};

/// Bytes of a payload that are hashed in one piece.
const CHECK_BYTES: usize = 32 * 1024;

/// Result of one call of [`Session::poll`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// There is no frame to process.
    Idle,
    /// A frame is being processed.
    Working,
    /// A frame was dropped and counted. (Frames superseded by a newer one are counted, but not reported here.)
    Dropped {
        /// Sequence number in its descriptor; arbitrary if it is malformed.
        seq: u64,
        /// The reason.
        reason: DropReason,
    },
    /// The overlay of this frame was committed.
    Overlay(u64),
    /// A further overlay of this frozen frame was committed.
    Update(u64),
}

/// Indices of [`crate::hal::overlay::Overlay::stage_ns`].
mod column {
    pub const QUEUE: usize = 0;
    pub const SAMPLE: usize = 1;
    pub const ENCODE: usize = 2;
    pub const DECODE: usize = 3;
    pub const CONTOUR: usize = 4;
}

/// A decode of an object: its prompt, and the slot of the features.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    object: usize,
    prompt: DecoderPrompt,
    slot: u32,
    /// State of the object if its mask is trusted.
    state: State,
}

/// A mask that is reprojected to the geometry of the features in a slot before it is decoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    object: usize,
    slot: u32,
    scene: Scene,
    box_px: [f32; 4],
    /// Click that corrects the mask; `None` if the object is tracked.
    click: Option<GridClick>,
}

/// Stage of the current frame.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "the session holds a single one")]
pub(super) enum Stage {
    /// No frame is being processed.
    Idle,
    /// Checks the payload of the held frame.
    Check { frame: Frame, taken_ns: u64, check: PayloadCheck },
    /// Fills the sampling table of its geometry, at most `rows` more rows on this frame.
    Table { work: Work, frame: Frame, table: TableIndex, rows: u32 },
    /// Samples the frame into the encoder's input.
    Sample { work: Work, frame: Frame, table: TableIndex, cursor: SampleCursor },
    /// Runs the encoder.
    Encode { work: Work },
    /// Chooses the next decode.
    Next { work: Work },
    /// Reprojects an object's mask to another geometry.
    Reproject { work: Work, to: Move, row: usize },
    /// Runs the decoder for an object.
    Decode { work: Work, task: Task },
    /// Enlarges its mask to the input grid.
    Enlarge { work: Work, task: Task, confidence: f32, row: usize },
    /// Traces the mask's contour.
    Trace { work: Work, task: Task, confidence: f32, tracing: Tracing, is_retry: bool },
    /// Commits the overlay: of the current frame, or with contours repeated on it.
    Publish { work: Work, repeated: Option<RepeatTarget> },
    /// The frame has its outcome, or there is no frame.
    Ended(Poll),
}

impl Stage {
    fn work_mut(&mut self) -> Option<&mut Work> {
        match self {
            Self::Idle | Self::Check { .. } | Self::Ended(_) => None,
            Self::Table { work, .. }
            | Self::Sample { work, .. }
            | Self::Encode { work }
            | Self::Next { work }
            | Self::Reproject { work, .. }
            | Self::Decode { work, .. }
            | Self::Enlarge { work, .. }
            | Self::Trace { work, .. }
            | Self::Publish { work, .. } => Some(work),
        }
    }

    /// Returns the index at which the time of this stage is counted.
    fn column(&self) -> usize {
        match self {
            Self::Idle | Self::Check { .. } | Self::Table { .. } | Self::Sample { .. } => column::SAMPLE,
            Self::Encode { .. } => column::ENCODE,
            Self::Next { .. } | Self::Reproject { .. } | Self::Decode { .. } => column::DECODE,
            Self::Enlarge { .. } | Self::Trace { .. } | Self::Publish { .. } | Self::Ended(_) => {
                column::CONTOUR
            }
        }
    }

    /// Returns whether the current frame has no outcome yet. (A further overlay of a frozen frame is no outcome.)
    pub fn owes_outcome(mut self) -> bool {
        match self.work_mut() {
            Some(work) => work.flags & overlay_flags::UPDATE == 0,
            None => matches!(self, Self::Check { .. }),
        }
    }
}

/// Returns whether all values are finite. It looks at all of them, which is faster than to stop at the first that is not.
fn are_finite(values: &[f32]) -> bool {
    /// All bits of the exponent: of infinity and NaN.
    const EXPONENT: u32 = 0x7f80_0000;
    values.iter().fold(0, |most: u32, value| most.max(value.to_bits() & EXPONENT)) != EXPONENT
}

impl<C: Clock> Session<'_, C> {
    /// Continues the current frame, or takes the next one, for one slice.
    ///
    /// It computes for [`super::SessionConfig::slice_ns`] and at most one piece of work longer: a tile of an operation, or about
    /// 4096 pixel visits of sampling or contouring.
    ///
    /// Whatever floating-point environment the caller has set (exceptions that stop the thread, another rounding), the session
    /// computes in the default one, and gives the caller's back.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn poll(&mut self) -> Poll {
        let _environment = DefaultEnvironment::enter();
        self.slice()
    }

    /// Computes for one slice.
    #[inline(never)]
    fn slice(&mut self) -> Poll {
        self.heartbeat += 1;
        self.count_evicted();
        self.take_commands();
        let mut slice = Slice::new(&self.clock, self.config.slice_ns);
        let mut stage = core::mem::replace(&mut self.stage, Stage::Idle);
        while slice.go_on(&self.clock) {
            let (column, start_ns) = (stage.column(), slice.now_ns());
            stage = self.advance(stage, &mut slice);
            let taken_ns = slice.read(&self.clock).saturating_sub(start_ns);
            if let Some(work) = stage.work_mut() {
                work.stage_ns[column] += taken_ns;
            }
            if let Stage::Ended(poll) = stage {
                return poll;
            }
        }
        self.stage = stage;
        Poll::Working
    }

    /// Runs a stage until it is done or the slice is over, and returns the next stage.
    fn advance(&mut self, stage: Stage, slice: &mut Slice) -> Stage {
        match stage {
            Stage::Idle => match self.frozen_update() {
                Some(work) => Stage::Next { work },
                None => self.take_frame(),
            },
            Stage::Check { frame, taken_ns, check } => self.check(frame, taken_ns, check, slice),
            Stage::Table { work, frame, table, rows } => self.fill_table(work, frame, table, rows, slice),
            Stage::Sample { work, frame, table, cursor } => self.sample(work, frame, table, cursor, slice),
            Stage::Encode { work } => match self.run(slice) {
                Progress::Paused => Stage::Encode { work },
                Progress::Done => self.take_features(work),
            },
            Stage::Next { work } => self.next(work),
            Stage::Reproject { work, to, row } => self.reproject(work, to, row, slice),
            Stage::Decode { work, task } => match self.run(slice) {
                Progress::Paused => Stage::Decode { work, task },
                Progress::Done => self.take_mask(work, task),
            },
            Stage::Enlarge { work, task, confidence, row } => {
                self.enlarge(work, task, confidence, row, slice)
            }
            Stage::Trace { work, task, confidence, tracing, is_retry } => {
                self.trace(work, task, confidence, tracing, is_retry, slice)
            }
            Stage::Publish { work, repeated } => Stage::Ended(self.publish(work, repeated)),
            Stage::Ended(_) => Stage::Idle,
        }
    }

    // Input of frames.

    /// Counts the frames that the ring evicted since the last call.
    pub(super) fn count_evicted(&mut self) {
        let evicted = self.ports.frames.counters().evicted;
        let frames = evicted.wrapping_sub(self.evicted);
        self.evicted = evicted;
        self.drop_unseen(frames.into());
    }

    /// Counts frames that were superseded before they were read.
    fn drop_unseen(&mut self, frames: u64) {
        self.counters.drop_frames(DropReason::Superseded, frames);
        self.unseen_since_last += frames;
    }

    /// Drops the held frame.
    fn drop_frame(&mut self, seq: u64, reason: DropReason) -> Stage {
        self.ports.frames.release();
        self.counters.drop_frames(reason, 1);
        if reason != DropReason::Frozen {
            self.record(EventKind::FrameDropped, seq, reason as u32, 0);
        }
        Stage::Ended(Poll::Dropped { seq, reason })
    }

    /// Returns the shown frame if the image is frozen and prompts wait, to serve them with a further overlay.
    fn frozen_update(&self) -> Option<Work> {
        let shown = self.shown.filter(|_| self.frozen.is() && !self.prompts.is_empty())?;
        Some(Work {
            t_asked_ns: self.clock.now_ns(),
            stage_ns: [0; STAGES],
            flags: overlay_flags::UPDATE,
            ..shown
        })
    }

    /// Takes a frame from the ring.
    fn take_frame(&mut self) -> Stage {
        let taken_ns = self.clock.now_ns();
        let taken = match self.config.policy {
            Policy::All => self.ports.frames.take().map(|view| (view, 0)),
            Policy::Newest => self.ports.frames.take_newest(),
        };
        let Some((view, superseded)) = taken else { return Stage::Ended(Poll::Idle) };
        let (descriptor, payload_bytes) = (*view.descriptor(), view.payload().len());
        self.drop_unseen(superseded.into());
        let begun = self
            .frame_rules()
            .check(&descriptor, payload_bytes)
            .and_then(|frame| Ok((frame, PayloadCheck::begin(&descriptor, payload_bytes)?)));
        match begun {
            Ok((frame, check)) => Stage::Check { frame, taken_ns, check },
            Err(error) => self.drop_unread(descriptor.seq, &error),
        }
    }

    /// Drops a frame that is refused before its place in the stream is known.
    fn drop_unread(&mut self, seq: u64, error: &FrameError) -> Stage {
        // Its number does not count as missing.
        self.unseen_since_last += 1;
        self.drop_malformed(seq, error)
    }

    /// Drops the held frame, which cannot be used.
    fn drop_malformed(&mut self, seq: u64, error: &FrameError) -> Stage {
        let (reason, field) = (DropReason::Malformed, error.field());
        self.ports.frames.release();
        self.counters.drop_malformed(field);
        self.record(EventKind::FrameDropped, seq, reason as u32, field as u64);
        Stage::Ended(Poll::Dropped { seq, reason })
    }

    fn check(&mut self, frame: Frame, taken_ns: u64, mut check: PayloadCheck, slice: &mut Slice) -> Stage {
        loop {
            let payload = self.ports.frames.held().map_or(&[][..], |view| view.payload());
            match check.advance(payload, CHECK_BYTES) {
                Some(Ok(())) => return self.accept(frame, taken_ns),
                Some(Err(error)) => return self.drop_unread(frame.seq, &error),
                None if !slice.go_on(&self.clock) => return Stage::Check { frame, taken_ns, check },
                None => {}
            }
        }
    }

    /// Accepts or drops a frame with a valid payload: the image must be live and the frame in order. Finds its sampling
    /// table.
    fn accept(&mut self, frame: Frame, taken_ns: u64) -> Stage {
        self.set_frozen(self.frozen.by_command, frame.has(flags::FROZEN));
        if self.frozen.is() {
            self.unseen_since_last += 1;
            return self.drop_frame(frame.seq, DropReason::Frozen);
        }
        let skipped = match self.stream.classify(&frame) {
            Order::Late => return self.drop_frame(frame.seq, DropReason::OutOfOrder),
            Order::Next { skipped } => skipped,
            Order::Restarted => {
                // Objects are kept; prompts on frames before the restart can no longer be served.
                self.counters.restarts += 1;
                self.unseen_since_last = 0;
                self.kept.iter_mut().for_each(|kept| kept.seq = 0);
                self.record(EventKind::StreamRestarted, frame.seq, 0, 0);
                0
            }
        };
        let missing = skipped.saturating_sub(core::mem::take(&mut self.unseen_since_last));
        if missing > 0 {
            // Saturate when sequence numbers jump.
            self.counters.frames_missing = self.counters.frames_missing.saturating_add(missing);
            self.record(EventKind::FramesMissing, frame.seq, 0, missing);
        }
        let Ok((table, is_new)) = self.sampling.of(&frame, self.input_size) else {
            return self.drop_malformed(frame.seq, &FrameError::Sampling);
        };
        if is_new && self.shown.is_some() {
            self.counters.geometry_changes += 1;
            self.record(EventKind::GeometryChanged, frame.seq, frame.geometry_epoch, 0);
        }
        let mut stage_ns = [0; STAGES];
        stage_ns[column::QUEUE] = taken_ns.saturating_sub(frame.t_enqueue_ns);
        stage_ns[column::SAMPLE] = self.clock.now_ns().saturating_sub(taken_ns);
        let has_gap = skipped > 0 || frame.has(flags::GAP_BEFORE);
        let work = Work {
            seq: frame.seq,
            t_acq_ns: frame.t_acq_ns,
            t_commit_ns: frame.t_enqueue_ns,
            t_asked_ns: frame.t_enqueue_ns,
            geometry_epoch: frame.geometry_epoch,
            frame: self.frames_processed + 1,
            slot: self.next_slot,
            stage_ns,
            flags: if has_gap { overlay_flags::GAP_BEFORE } else { 0 },
        };
        if self.sampling.is_complete(table) {
            return self.begin_sampling(work, frame, table);
        }
        self.sampling.count_frame(table);
        // There is no complete table yet, so there are no contours to repeat: fill the first table at once.
        let is_first = self.sampling.are_empty();
        let rows = if is_first { self.input_size } else { self.config.table_rows_per_frame };
        Stage::Table { work, frame, table, rows }
    }

    fn fill_table(
        &mut self,
        work: Work,
        frame: Frame,
        table: TableIndex,
        mut rows: u32,
        slice: &mut Slice,
    ) -> Stage {
        loop {
            if self.sampling.fill_row(table).is_err() {
                return self.drop_malformed(frame.seq, &FrameError::Sampling);
            }
            rows -= 1;
            if self.sampling.is_complete(table) {
                if self.shown.is_some() {
                    let frames = self.sampling.frames(table);
                    self.record(EventKind::TableReady, frame.seq, frame.geometry_epoch, frames.into());
                }
                return self.begin_sampling(work, frame, table);
            }
            if rows == 0 {
                return self.repeat(work, &frame);
            }
            if !slice.go_on(&self.clock) {
                return Stage::Table { work, frame, table, rows };
            }
        }
    }

    /// Repeats the contours of the previous frame, at their position on this one, whose table is incomplete.
    fn repeat(&mut self, work: Work, frame: &Frame) -> Stage {
        match self.frame_rules().display_of(&frame.geometry) {
            Ok(display) => {
                self.ports.frames.release();
                Stage::Publish { work, repeated: Some(RepeatTarget { geometry: frame.geometry, display }) }
            }
            Err(error) => self.drop_malformed(frame.seq, &error),
        }
    }

    fn begin_sampling(&mut self, work: Work, frame: Frame, table: TableIndex) -> Stage {
        self.programs.begin_encoder(&mut self.executor, work.slot);
        Stage::Sample { work, frame, table, cursor: SampleCursor::default() }
    }

    fn sample(
        &mut self,
        work: Work,
        frame: Frame,
        table: TableIndex,
        mut cursor: SampleCursor,
        slice: &mut Slice,
    ) -> Stage {
        let mut sample = || -> Result<Option<Scene>, VisionError> {
            let grey = GreyTable::new(&frame, self.normalisation, self.config.vendor_tables)?;
            let display = DisplayRaster::new(&frame.geometry, self.config.display)?;
            let payload = self.ports.frames.held().map_or(&[][..], |view| view.payload());
            let (sampler, entries) = self.sampling.complete(table)?;
            let sampling = sampler.sampling(entries, &frame, payload, &grey)?;
            let input = self.executor.input_mut(self.programs.image);
            while !sampling.step(&mut cursor, input, &mut StepBudget::new(STEP_WORK))? {
                if !slice.go_on(&self.clock) {
                    return Ok(None);
                }
            }
            Ok(Some(Scene { geometry: frame.geometry, grid: *sampler.grid(), display }))
        };
        match sample() {
            Ok(None) => Stage::Sample { work, frame, table, cursor },
            Ok(Some(scene)) => {
                self.ports.frames.release();
                self.sampling.use_for_frames(table);
                self.frames_processed = work.frame;
                self.next_slot = (work.slot + 1) % self.config.kept_frames;
                self.kept[work.slot as usize] =
                    KeptFeatures { seq: frame.seq, frame: work.frame, scene: Some(scene) };
                Stage::Encode { work }
            }
            // The rules for frames leave nothing else that can be wrong.
            Err(_) => self.drop_malformed(frame.seq, &FrameError::Sampling),
        }
    }

    /// Continues the executor's run.
    fn run(&mut self, slice: &mut Slice) -> Progress {
        // The first tile is the piece of work that `poll` has already allowed.
        let (mut is_first, clock) = (true, &self.clock);
        self.executor.advance(&mut || core::mem::take(&mut is_first) || slice.go_on(clock))
    }

    // Prompts and objects.

    /// Takes commands from their ring: freezes or resumes at once, and queues prompts. Waiting and answered prompts
    /// together are at most `ANSWERS_MAX`; the others stay in the ring. Takes no more than were there at the start, because the
    /// device may send them faster than they are taken.
    fn take_commands(&mut self) {
        for _ in 0..self.ports.commands.backlog() {
            if self.prompts.len() + self.answers.len() >= ANSWERS_MAX {
                return;
            }
            match self.ports.commands.take() {
                None => return,
                Some(Ok(Command::Freeze)) => self.set_frozen(true, self.frozen.by_frame),
                Some(Ok(Command::Resume)) => self.set_frozen(false, self.frozen.by_frame),
                Some(Ok(Command::Prompt { ticket, prompt })) => {
                    // There is room, as checked above.
                    let _ = self.prompts.push_back(Waiting { ticket, prompt });
                }
                Some(Err(_)) => {
                    self.counters.bad_commands += 1;
                    self.record(EventKind::BadCommand, 0, 0, 0);
                }
            }
        }
    }

    fn set_frozen(&mut self, by_command: bool, by_frame: bool) {
        let was_frozen = self.frozen.is();
        self.frozen = super::Frozen { by_command, by_frame };
        if self.frozen.is() != was_frozen {
            let kind = if was_frozen { EventKind::Resumed } else { EventKind::Frozen };
            self.record(kind, self.shown.map_or(0, |shown| shown.seq), 0, 0);
        }
    }

    /// Chooses the next decode of the current frame: prompts first, then objects that are not updated on it yet.
    fn next(&mut self, work: Work) -> Stage {
        while let Some(Waiting { ticket, prompt }) = self.prompts.pop_front() {
            let target = prompts::target(&prompt, &work, self.kept, self.objects);
            self.answer(&work, ticket, prompt.object, target.as_ref().err().copied());
            match target {
                Ok(Target::Remove(place)) => self.objects[place] = Object::new(0),
                Ok(Target::Decode { place, pointed, slot }) => {
                    if self.objects[place].id == 0 {
                        self.objects[place] = Object::new(prompt.object);
                    }
                    return self.begin_prompted(work, place, pointed, slot);
                }
                Err(_) => {}
            }
        }
        while let Some(object) = self.objects.iter().position(|o| o.has_mask && o.frame != work.frame) {
            let scene = self.kept[work.slot as usize].scene;
            match scene.map(|scene| (scene, reprojection(&self.objects[object], &scene))) {
                Some((_, Reprojection::Same)) => return self.begin_tracked(work, object),
                Some((scene, Reprojection::To { box_px })) => {
                    let to = Move { object, slot: work.slot, scene, box_px, click: None };
                    return Stage::Reproject { work, to, row: 0 };
                }
                Some((_, Reprojection::Lost)) | None => self.lose(work.seq, object),
            }
        }
        Stage::Publish { work, repeated: None }
    }

    fn answer(&mut self, work: &Work, ticket: u32, object: u32, refusal: Option<PromptOutcome>) {
        match refusal {
            None => self.counters.prompts_served += 1,
            Some(PromptOutcome::TooOld) => self.counters.prompts_too_old += 1,
            Some(_) => self.counters.prompts_refused += 1,
        }
        let outcome = refusal.unwrap_or(PromptOutcome::Served) as u32;
        // There is room: prompts are taken from the ring only if their replies fit.
        let _ = self.answers.push(PromptAnswer { ticket, object, outcome, reserved: 0 });
        self.record(EventKind::PromptAnswered, work.seq, outcome, ticket.into());
    }

    fn lose(&mut self, seq: u64, object: usize) {
        self.objects[object].lose();
        self.record(EventKind::ObjectLost, seq, self.objects[object].id, 0);
    }

    /// Adds a click or box to the object's prompt and begins to decode the object.
    fn begin_prompted(&mut self, work: Work, place: usize, pointed: Pointed, slot: u32) -> Stage {
        let (frame, scene) = (self.kept[slot as usize].frame, self.kept[slot as usize].scene);
        let object = &mut self.objects[place];
        let click = match pointed {
            Pointed::Box(box_px) => {
                // A box replaces all earlier prompts and the mask of the object.
                (object.has_mask, object.prompt) = (false, DecoderPrompt::of_box(box_px));
                None
            }
            Pointed::Click(click) => Some(click),
        };
        let is_first_here = object.prompted_frame != frame;
        object.prompted_frame = frame;
        if let (Some(click), true, true, Some(scene)) = (click, is_first_here, object.has_mask, scene) {
            // The first click on this frame corrects the tracked mask, whose box replaces earlier clicks.
            match reprojection(object, &scene) {
                Reprojection::Same => object.prompt = DecoderPrompt::of_box(object.box_px),
                Reprojection::To { box_px } => {
                    let to = Move { object: place, slot, scene, box_px, click: Some(click) };
                    return Stage::Reproject { work, to, row: 0 };
                }
                Reprojection::Lost => (object.has_mask, object.prompt) = (false, DecoderPrompt::default()),
            }
        } else if click.is_some() && is_first_here {
            object.prompt = DecoderPrompt::default();
        }
        if let Some(click) = click {
            object.prompt.add(click);
        }
        let prompt = object.prompt;
        self.begin_decode(work, Task { object: place, prompt, slot, state: State::Fresh })
    }

    /// Updates an object on the current frame: prompts the decoder with the object's last mask and the box of that
    /// mask.
    fn begin_tracked(&mut self, work: Work, object: usize) -> Stage {
        let prompt = DecoderPrompt::of_box(self.objects[object].box_px);
        self.begin_decode(work, Task { object, prompt, slot: work.slot, state: State::Tracked })
    }

    fn reproject(&mut self, work: Work, to: Move, mut row: usize, slice: &mut Slice) -> Stage {
        let side = self.programs.mask_size;
        let object = &mut self.objects[to.object];
        let Some(own) = object.scene else { return Stage::Next { work } };
        let mask = &mut self.buffers.masks[to.object * side * side..][..side * side];
        let moved = &mut self.buffers.field[..side * side];
        while row < side {
            let end = side.min(row + (STEP_WORK as usize / side).max(1));
            if reproject_rows(mask, side, &own.grid, &to.scene.grid, row..end, moved).is_err() {
                self.lose(work.seq, to.object);
                return Stage::Next { work };
            }
            row = end;
            if row < side && !slice.go_on(&self.clock) {
                return Stage::Reproject { work, to, row };
            }
        }
        mask.copy_from_slice(moved);
        (object.box_px, object.scene) = (to.box_px, Some(to.scene));
        match to.click {
            Some(click) => {
                object.prompt = DecoderPrompt::of_box(to.box_px);
                object.prompt.add(click);
                let prompt = object.prompt;
                self.begin_decode(
                    work,
                    Task { object: to.object, prompt, slot: to.slot, state: State::Fresh },
                )
            }
            None => {
                let id = object.id;
                self.record(EventKind::ObjectReprojected, work.seq, id, 0);
                self.begin_tracked(work, to.object)
            }
        }
    }

    fn begin_decode(&mut self, work: Work, task: Task) -> Stage {
        let elements = self.programs.mask_size * self.programs.mask_size;
        let mask = &self.buffers.masks[task.object * elements..][..elements];
        let mask = self.objects[task.object].has_mask.then_some(mask);
        task.prompt.begin(&mut self.executor, &self.programs, task.slot, mask);
        Stage::Decode { work, task }
    }

    /// Checks the encoder's outputs. Features with a value that is not finite are not kept, so that no object is found on them.
    fn take_features(&mut self, work: Work) -> Stage {
        let outputs = 0..self.programs.encoder_outputs;
        if !outputs.into_iter().all(|port| are_finite(self.executor.output(port))) {
            self.kept[work.slot as usize].scene = None;
            self.record(EventKind::NotFinite, work.seq, 0, 0);
        }
        Stage::Next { work }
    }

    /// Copies the decoder's mask to the object's mask. An object whose mask or score is not finite is lost.
    fn take_mask(&mut self, work: Work, task: Task) -> Stage {
        let iou = self.executor.output(self.programs.iou);
        let candidate = task.prompt.choose(iou);
        let confidence = iou[candidate];
        let elements = self.programs.mask_size * self.programs.mask_size;
        let mask = &self.executor.output(self.programs.masks)[candidate * elements..][..elements];
        if !are_finite(iou) || !are_finite(mask) {
            self.record(EventKind::NotFinite, work.seq, self.objects[task.object].id, 0);
            return self.show(work, &task, None);
        }
        self.buffers.masks[task.object * elements..][..elements].copy_from_slice(mask);
        Stage::Enlarge { work, task, confidence, row: 0 }
    }

    fn enlarge(
        &mut self,
        work: Work,
        task: Task,
        confidence: f32,
        mut row: usize,
        slice: &mut Slice,
    ) -> Stage {
        let (side, size) = (self.programs.mask_size, self.input_size as usize);
        let mask = &self.buffers.masks[task.object * side * side..][..side * side];
        while row < size {
            let end = size.min(row + (STEP_WORK as usize / size).max(1));
            if mask::upsample_rows(mask, side, size, row..end, self.buffers.field).is_err() {
                return self.show(work, &task, None);
            }
            row = end;
            if row < size && !slice.go_on(&self.clock) {
                return Stage::Enlarge { work, task, confidence, row };
            }
        }
        let mut clicks = [[0.0; 2]; super::CLICKS_MAX];
        let pick = task.prompt.pick(&mut clicks);
        self.begin_trace(work, task, confidence, pick, false)
    }

    fn begin_trace(
        &mut self,
        work: Work,
        task: Task,
        confidence: f32,
        pick: Pick<'_>,
        is_retry: bool,
    ) -> Stage {
        let scene = self.kept[task.slot as usize].scene;
        let field = scene.and_then(|scene| objects::field(self.buffers.field, &scene, &self.config));
        match field.map(|field| Tracing::new(&field, pick, objects::PIXELS_MIN)) {
            Some(Ok(tracing)) => Stage::Trace { work, task, confidence, tracing, is_retry },
            _ => self.show(work, &task, None),
        }
    }

    fn trace(
        &mut self,
        work: Work,
        task: Task,
        confidence: f32,
        mut tracing: Tracing,
        is_retry: bool,
        slice: &mut Slice,
    ) -> Stage {
        let super::Buffers { field, labels, points, links, .. } = &mut self.buffers;
        let scene = self.kept[task.slot as usize].scene;
        let Some((scene, field)) =
            scene.and_then(|scene| Some((scene, objects::field(field, &scene, &self.config)?)))
        else {
            return self.show(work, &task, None);
        };
        loop {
            match tracing.step(&field, labels, points, links, &mut StepBudget::new(STEP_WORK)) {
                Ok(true) => break,
                Ok(false) if slice.go_on(&self.clock) => {}
                Ok(false) => return Stage::Trace { work, task, confidence, tracing, is_retry },
                Err(_) => return self.show(work, &task, None),
            }
        }
        let contour = tracing.contour();
        if contour.is_none() && !is_retry && task.prompt.has_positive_click() {
            // The mask contains none of the positive clicks: show its largest component.
            return self.begin_trace(work, task, confidence, Pick::Largest, true);
        }
        let output = contour.map(|contour| MaskOutput { contour, scene, confidence, state: task.state });
        self.show(work, &task, output)
    }

    /// Shows the new contour of an object; without a trusted contour the object is lost.
    fn show(&mut self, work: Work, task: &Task, output: Option<MaskOutput>) -> Stage {
        let id = self.objects[task.object].id;
        let found = output.and_then(|output| objects::found(id, &output, self.buffers.points, &self.config));
        let object = &mut self.objects[task.object];
        object.frame = self.kept[task.slot as usize].frame;
        match found {
            Some(found) => {
                (object.has_mask, object.scene) = (true, Some(found.scene));
                (object.box_px, object.shown) = (found.box_px, found.shown);
            }
            None => self.lose(work.seq, task.object),
        }
        Stage::Next { work }
    }

    // Output of overlays and events.

    /// Records an event.
    pub(super) fn record(&mut self, kind: EventKind, seq: u64, detail: u32, value: u64) {
        let event = Event { t_ns: self.clock.now_ns(), seq, kind: kind as u32, detail, value };
        self.counters.events_lost += u64::from(self.ports.events.record(&event));
    }

    /// Keeps the answers of the overlay that was evicted unread, for the next overlays: an answer is delivered once.
    fn keep_answers(&mut self) {
        // The evicted overlay's slot is the next one to be filled, and still holds it.
        let Ok(mut evicted) = self.ports.overlays.acquire() else { return };
        let newer = core::mem::take(&mut self.answers);
        for answer in evicted.overlay_mut().answers().iter().chain(&newer) {
            // There is room: an overlay has at most half of it, and prompts are only taken while the answers that wait
            // and those that will come of them fit into the other half.
            let _ = self.answers.push(*answer);
        }
    }

    /// Commits the overlay of the current frame, with its own contours or repeated ones, and counts it.
    fn publish(&mut self, work: Work, repeated: Option<RepeatTarget>) -> Poll {
        let of_ns = match (&repeated, &self.shown) {
            (Some(_), Some(shown)) => shown.t_commit_ns,
            _ => work.t_commit_ns,
        };
        let now_ns = self.clock.now_ns();
        let latency_ns = now_ns.saturating_sub(work.t_asked_ns);
        let is_fetched = match self.ports.overlays.acquire() {
            Ok(mut slot) => {
                let times = overlay::Times { age_ns: now_ns.saturating_sub(of_ns), latency_ns };
                overlay::write(slot.overlay_mut(), &work, &times, self.objects, repeated.as_ref());
                let answered = overlay::add_answers(slot.overlay_mut(), &self.answers);
                slot.overlay_mut().heartbeat = self.heartbeat;
                if self.frozen.is() {
                    slot.overlay_mut().flags |= overlay_flags::FROZEN;
                }
                self.answers.drain(..answered);
                let is_evicted = slot.commit().evicted;
                if is_evicted {
                    self.keep_answers();
                }
                !is_evicted
            }
            // The device broke the protocol: it keeps slots that it does not own, so that none is free.
            Err(_) => false,
        };
        if !is_fetched {
            self.counters.overlays_unfetched += 1;
            let so_far = self.counters.overlays_unfetched;
            if so_far.is_power_of_two() {
                self.record(EventKind::OverlaysUnfetched, work.seq, 0, so_far);
            }
        }
        if work.flags & overlay_flags::UPDATE != 0 {
            self.counters.updates += 1;
            return Poll::Update(work.seq);
        }
        match repeated {
            Some(_) => self.counters.repeats += 1,
            None => self.shown = Some(work),
        }
        self.counters.overlays += 1;
        let late_ns = latency_ns.saturating_sub(self.config.budget_ns);
        // Log only the first of consecutive misses: the others would evict everything else from the ring.
        if late_ns > 0 && !self.was_late {
            self.record(EventKind::DeadlineMissed, work.seq, 0, late_ns);
        }
        self.was_late = late_ns > 0;
        self.counters.deadline_misses += u64::from(self.was_late);
        Poll::Overlay(work.seq)
    }
}
