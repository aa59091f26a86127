//! The session's state machine: the stages of a frame, and the function that advances them.
//!
//! ```text
//! Idle -> Check -> [Table] -> Sample -> Grey -> Encode -> Next -> Publish -> Ended
//!
//! Next <-> Decode -> Learn            a prompt
//! Next <-> Follow                     all objects, once
//! Next <-> Enlarge -> Trace           an object's contour
//! ```
//!
//! Prompts on earlier frames come before the objects are followed, those on the current frame afterwards. A stage runs until it is done or the slice is over. Only this file changes the session's fields; the other files
//! compute.

use super::motion::{Anchored, Motions};
use super::objects::{self, Object, Scene, Told};
use super::overlay::{self, RepeatTarget};
use super::programs::DecoderPrompt;
use super::prompts::{self, FrameTime, Pointed, Situation, Target};
use super::reproject::{Relation, relation};
use super::slice::Slice;
use super::standing::Standing;
use super::stream::Order;
use super::tables::TableIndex;
use super::work::Work;
use super::{DropReason, KeptFeatures, Policy, Session, Waiting};
use crate::exec::Progress;
use crate::float_environment::DefaultEnvironment;
use crate::hal::clock::Clock;
use crate::hal::command::{Command, Prompt};
use crate::hal::event::{Event, EventKind};
use crate::hal::frame::{Frame, FrameError, PayloadCheck, flags};
use crate::hal::geometry::Geometry;
use crate::hal::overlay::{ANSWERS_MAX, PromptAnswer, PromptOutcome, STAGES, State, overlay_flags};
use crate::tracking::Objects;
use crate::tracking::follower::{Drawn, Following};
use crate::tracking::vectors::are_finite;
use crate::vision::budget::{STEP_WORK, StepBudget};
use crate::vision::contour::Tracing;
use crate::vision::sampler::SampleCursor;
use crate::vision::{DisplayRaster, GreyTable, InputGrid, Normalisation, Pick, VisionError, mask};

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
    pub const TRACK: usize = 3;
    pub const DECODE: usize = 4;
    pub const CONTOUR: usize = 5;
}

/// A prompt that is decoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    prompt: DecoderPrompt,
    drawn: Drawn,
}

/// A contour that is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawing {
    place: usize,
    scene: Scene,
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
    /// Keeps its grey levels at the resolution of masks.
    Grey { work: Work, row: usize },
    /// Runs the encoder.
    Encode { work: Work },
    /// Chooses what comes next.
    Next { work: Work },
    /// Runs the decoder for a prompt.
    Decode { work: Work, task: Task },
    /// Makes the tracker remember its mask.
    Learn { work: Work, task: Task, iou: f32 },
    /// Follows all objects.
    Follow { work: Work },
    /// Enlarges an object's mask to the input grid.
    Enlarge { work: Work, drawing: Drawing, row: usize },
    /// Traces the mask's contour.
    Trace { work: Work, drawing: Drawing, tracing: Tracing, is_retry: bool },
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
            | Self::Grey { work, .. }
            | Self::Encode { work }
            | Self::Next { work }
            | Self::Decode { work, .. }
            | Self::Learn { work, .. }
            | Self::Follow { work }
            | Self::Enlarge { work, .. }
            | Self::Trace { work, .. }
            | Self::Publish { work, .. } => Some(work),
        }
    }

    /// Returns the index at which the time of this stage is counted.
    fn column(&self) -> usize {
        match self {
            Self::Idle
            | Self::Check { .. }
            | Self::Table { .. }
            | Self::Sample { .. }
            | Self::Grey { .. } => column::SAMPLE,
            Self::Encode { .. } => column::ENCODE,
            Self::Next { .. } | Self::Follow { .. } => column::TRACK,
            Self::Decode { .. } | Self::Learn { .. } => column::DECODE,
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
            Stage::Grey { work, row } => self.keep_grey(work, row, slice),
            Stage::Encode { work } => match self.run(slice) {
                Progress::Paused => Stage::Encode { work },
                Progress::Done => self.take_features(work),
            },
            Stage::Next { work } => self.next(work),
            Stage::Decode { work, task } => match self.run(slice) {
                Progress::Paused => Stage::Decode { work, task },
                Progress::Done => self.take_mask(work, task),
            },
            Stage::Learn { work, task, iou } => self.learn(work, task, iou, slice),
            Stage::Follow { work } => self.follow(work, slice),
            Stage::Enlarge { work, drawing, row } => self.enlarge(work, drawing, row, slice),
            Stage::Trace { work, drawing, tracing, is_retry } => {
                self.trace(work, drawing, tracing, is_retry, slice)
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
            is_followed: true,
            to_draw: Objects::default(),
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
        self.newest_seq = self.newest_seq.max(frame.seq);
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
                self.newest_seq = frame.seq;
                self.last_gone = None;
                self.kept.iter_mut().for_each(|kept| kept.scene = None);
                self.objects.iter_mut().for_each(|object| object.volumes.clear());
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
        let grid = self.grid_for(&frame);
        let Ok((table, is_new)) = grid.and_then(|grid| self.sampling.of(&frame, grid)) else {
            return self.drop_malformed(frame.seq, &FrameError::Sampling);
        };
        if is_new && self.shown.is_some() && self.sampling.grid_in_use(&frame).is_none() {
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
            slot: self.free_slot(),
            is_followed: false,
            to_draw: Objects::default(),
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

    /// Returns the grid on which a frame is sampled. While objects are followed, another depth or sector keeps their grid, so that their
    /// millimetres stay where they are on the network's input, unless its pixels no longer serve or a prompt points beyond it. Others
    /// get the grid over the whole field of view.
    fn grid_for(&self, frame: &Frame) -> Result<InputGrid, VisionError> {
        let natural = InputGrid::new(&frame.geometry, self.input_size)?;
        if self.is_grid_left {
            return Ok(natural);
        }
        if let Some(grid) = self.sampling.grid_in_use(frame).or_else(|| self.sampling.grid_begun(frame)) {
            return Ok(grid);
        }
        let kept = if !self.follower.followed().is_empty() {
            self.scene
        } else if !self.prompts.is_empty() {
            // Objects are about to be drawn on a kept frame.
            self.shown.and_then(|shown| self.kept[shown.slot as usize].scene)
        } else {
            None
        };
        let is_polar = !matches!(frame.geometry, Geometry::Raster(_));
        let kept = kept.filter(|scene| {
            is_polar && scene.geometry.shares_plane_with(&frame.geometry) && scene.grid.serves_for(&natural)
        });
        Ok(kept.map_or(natural, |scene| scene.grid))
    }

    /// Returns the feature slot of the next frame: the oldest one that the tracker's anchor is not in.
    fn free_slot(&self) -> u32 {
        let anchor = self.follower.memory().map(|memory| memory.anchor().features);
        let free = (0..).zip(self.kept.iter()).filter(|(slot, _)| Some(*slot) != anchor);
        free.min_by_key(|(_, kept)| kept.frame).map_or(0, |(slot, _)| slot)
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
                self.is_grid_left = false;
                self.frames_processed = work.frame;
                let gone = work.frame.checked_sub(self.config.kept_frames.into());
                let gone = self.kept.iter().find(|kept| kept.scene.is_some() && Some(kept.frame) == gone);
                if let Some(gone) = gone {
                    self.last_gone = Some(FrameTime { seq: gone.seq, t_acq_ns: gone.t_acq_ns });
                }
                self.kept[work.slot as usize] = KeptFeatures {
                    seq: frame.seq,
                    t_acq_ns: frame.t_acq_ns,
                    frame: work.frame,
                    scene: Some(scene),
                    anchored: Anchored::default(),
                };
                Stage::Grey { work, row: 0 }
            }
            // The rules for frames leave nothing else that can be wrong.
            Err(_) => self.drop_malformed(frame.seq, &FrameError::Sampling),
        }
    }

    /// Keeps the frame's grey levels at the resolution of masks: each the mean of the input's pixels that it covers.
    fn keep_grey(&mut self, work: Work, mut row: usize, slice: &mut Slice) -> Stage {
        let (side, size) = (self.programs.mask_size, self.input_size as usize);
        let Normalisation { mean, std } = self.normalisation;
        let image = self.executor.input(self.programs.image);
        let grey = &mut self.buffers.grey[work.slot as usize * side * side..][..side * side];
        let covered = |at: usize| at * size / side..((at + 1) * size / side).max(at * size / side + 1);
        while row < side {
            for (column, grey) in grey[row * side..][..side].iter_mut().enumerate() {
                let rows = covered(row).map(|y| &image[y * size..][covered(column)]);
                let (sum, count) = rows.fold((0.0, 0), |(sum, count), pixels| {
                    (sum + pixels.iter().sum::<f32>(), count + pixels.len())
                });
                *grey = sum / count as f32 * std + mean;
            }
            row += 1;
            if row < side && !slice.go_on(&self.clock) {
                return Stage::Grey { work, row };
            }
        }
        Stage::Encode { work }
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
                    let _ = self.prompts.push_back(Waiting { ticket, prompt, made_ns: None });
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

    /// Chooses what comes next on the current frame: prompts, the objects, contours, the overlay.
    fn next(&mut self, mut work: Work) -> Stage {
        while let Some(&Waiting { ticket, prompt, made_ns }) = self.prompts.front() {
            let mut target = self.resolve(&work, &prompt, made_ns);
            match target {
                Ok(Target::Wait) => break,
                Ok(Target::LeaveGrid { on_plane, made_ns }) => {
                    self.is_grid_left = true;
                    if let Some(waiting) = self.prompts.front_mut() {
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
            self.prompts.pop_front();
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
            None => Stage::Publish { work, repeated: None },
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
        // There is room: prompts are taken from the ring only if their replies fit.
        let _ = self.answers.push(PromptAnswer { ticket, object, outcome, reserved: 0, seq, offset_ns });
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
    fn take_mask(&mut self, work: Work, task: Task) -> Stage {
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

    /// Shows an object as lost.
    fn lose(&mut self, seq: u64, place: usize) {
        let object = &mut self.objects[place];
        let was_lost = object.shown.id != 0 && object.shown.state == State::Lost as u32;
        object.show_none(State::Lost, object.told.confidence, object.told.checked_frames_ago);
        if !was_lost {
            let id = object.id;
            self.record(EventKind::ObjectLost, seq, id, 0);
        }
    }

    /// Works on a frame with the follower, for the rest of the slice. `slot`: its features.
    fn advance_follower(&mut self, slot: u32, slice: &mut Slice) -> Following {
        let pixels = self.programs.mask_size * self.programs.mask_size;
        let grey = &self.buffers.grey[slot as usize * pixels..][..pixels];
        // The first piece of work is the one that `poll` has already allowed.
        let (mut is_first, clock) = (true, &self.clock);
        let mut go_on = || core::mem::take(&mut is_first) || slice.go_on(clock);
        self.follower.advance(&mut self.executor, grey, &mut go_on)
    }

    /// Makes the tracker remember the mask of a prompt.
    fn learn(&mut self, mut work: Work, task: Task, iou: f32, slice: &mut Slice) -> Stage {
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
        object.volumes.clear();
        let state = if slot == work.slot { State::Fresh } else { State::Stale };
        object.told = Told { state, confidence: iou, checked_frames_ago: 0 };
        object.drawn_on = slot;
        if work.is_followed {
            work.to_draw = work.to_draw.with(place);
        }
        Stage::Next { work }
    }

    /// Notes that the frame in a slot has become an anchor, if the anchor's number is no longer the one before.
    fn note_anchor(&mut self, slot: u32, before: u32) {
        let anchor = self.follower.anchor();
        if anchor != before {
            self.kept[slot as usize].anchored.as_anchor = Some(anchor);
        }
    }

    /// Begins to follow all objects to the current frame.
    fn begin_following(&mut self, mut work: Work) -> Stage {
        let now = self.kept[work.slot as usize].scene;
        let (Some(now), Some(before)) = (now, self.scene) else {
            // Its features are not finite, or nothing was ever followed.
            work.is_followed = true;
            return self.lose_followed(work);
        };
        let relation = relation(&before, &now, self.programs.mask_size);
        if relation != Relation::Unknown && before.geometry != now.geometry {
            for place in self.follower.followed().places() {
                let id = self.objects[place].id;
                self.record(EventKind::ObjectReprojected, work.seq, id, 0);
            }
        }
        let is_begun = match relation {
            Relation::Same => self.follower.begin(&mut self.executor, work.slot),
            Relation::Unknown => self.follower.begin_elsewhere(&mut self.executor, work.slot),
            Relation::Moved(placement) => {
                self.follower.begin_rescaled(&mut self.executor, work.slot, placement)
            }
        };
        if is_begun {
            return Stage::Follow { work };
        }
        work.is_followed = true;
        Stage::Next { work }
    }

    /// Shows all followed objects as lost on this frame; they are searched for on the next one.
    fn lose_followed(&mut self, work: Work) -> Stage {
        for place in self.follower.followed().places() {
            self.lose(work.seq, place);
        }
        Stage::Next { work }
    }

    /// Follows all objects to the current frame.
    fn follow(&mut self, mut work: Work, slice: &mut Slice) -> Stage {
        match self.advance_follower(work.slot, slice) {
            Following::Paused => return Stage::Follow { work },
            Following::NotFinite => {
                self.record(EventKind::NotFinite, work.seq, 0, 0);
                work.is_followed = true;
                return self.lose_followed(work);
            }
            Following::Done => {}
        }
        for place in self.follower.followed().places() {
            let outcome = self.follower.outcome(place);
            let object = &mut self.objects[place];
            object.standing = object.standing.after(&outcome, &self.thresholds);
            let state = match object.standing {
                Standing { is_absent: true, .. } => State::Absent,
                Standing { needs_attention: true, .. } => State::Attention,
                _ => State::Tracked,
            };
            object.told = Told { state, confidence: outcome.right, checked_frames_ago: outcome.age };
            object.drawn_on = work.slot;
        }
        let (anchor, values) = (self.follower.anchor(), 2 * self.flow_side * self.flow_side);
        let motion = &mut self.buffers.flows[work.slot as usize * values..][..values];
        self.follower.copy_motion(&mut self.executor, motion);
        self.kept[work.slot as usize].anchored.since = Some(anchor);
        self.follower.accept(&mut self.executor);
        self.note_anchor(work.slot, anchor);
        (self.followed_frame, self.scene) = (work.frame, self.kept[work.slot as usize].scene);
        (work.is_followed, work.to_draw) = (true, work.to_draw.or(self.follower.followed()));
        Stage::Next { work }
    }

    // Contours.

    /// Begins to draw an object's contour. An absent one, and one with an empty mask, is shown without.
    fn begin_drawing(&mut self, mut work: Work, place: usize) -> Stage {
        work.to_draw = work.to_draw.without(place);
        let object = &mut self.objects[place];
        let Told { state, confidence, checked_frames_ago } = object.told;
        if state == State::Absent {
            object.show_none(state, confidence, checked_frames_ago);
            return Stage::Next { work };
        }
        let scene = self.kept[object.drawn_on as usize].scene;
        match scene.filter(|_| self.follower.box_of(self.follower.odds(place)).is_some()) {
            Some(scene) => Stage::Enlarge { work, drawing: Drawing { place, scene }, row: 0 },
            None => self.show_lost(work, place),
        }
    }

    fn show_lost(&mut self, work: Work, place: usize) -> Stage {
        self.lose(work.seq, place);
        Stage::Next { work }
    }

    fn enlarge(&mut self, work: Work, drawing: Drawing, mut row: usize, slice: &mut Slice) -> Stage {
        let (side, size) = (self.programs.mask_size, self.input_size as usize);
        let mask = self.follower.odds(drawing.place);
        while row < size {
            let end = size.min(row + (STEP_WORK as usize / size).max(1));
            if mask::upsample_rows(mask, side, size, row..end, self.buffers.field).is_err() {
                return self.show_lost(work, drawing.place);
            }
            row = end;
            if row < size && !slice.go_on(&self.clock) {
                return Stage::Enlarge { work, drawing, row };
            }
        }
        let object = &self.objects[drawing.place];
        let mut clicks = [[0.0; 2]; super::CLICKS_MAX];
        // A prompt's mask is the component that was clicked.
        let is_prompted = matches!(object.told.state, State::Fresh | State::Stale);
        let pick = if is_prompted { object.prompt.pick(&mut clicks) } else { Pick::Largest };
        self.begin_trace(work, drawing, pick, !is_prompted)
    }

    fn begin_trace(&mut self, work: Work, drawing: Drawing, pick: Pick<'_>, is_retry: bool) -> Stage {
        let field = objects::field(self.buffers.field, &drawing.scene, &self.config);
        match field.map(|field| Tracing::new(&field, pick, objects::PIXELS_MIN)) {
            Some(Ok(tracing)) => Stage::Trace { work, drawing, tracing, is_retry },
            _ => self.show_lost(work, drawing.place),
        }
    }

    fn trace(
        &mut self,
        work: Work,
        drawing: Drawing,
        mut tracing: Tracing,
        is_retry: bool,
        slice: &mut Slice,
    ) -> Stage {
        let Drawing { place, scene } = drawing;
        let super::Buffers { field, labels, points, links, .. } = &mut self.buffers;
        let Some(field) = objects::field(field, &scene, &self.config) else {
            return self.show_lost(work, place);
        };
        loop {
            match tracing.step(&field, labels, points, links, &mut StepBudget::new(STEP_WORK)) {
                Ok(true) => break,
                Ok(false) if slice.go_on(&self.clock) => {}
                Ok(false) => return Stage::Trace { work, drawing, tracing, is_retry },
                Err(_) => return self.show_lost(work, place),
            }
        }
        let (contour, object) = (tracing.contour(), &mut self.objects[place]);
        if contour.is_none() && !is_retry && object.prompt.has_positive_click() {
            // The mask contains none of the positive clicks: show its largest component.
            return self.begin_trace(work, drawing, Pick::Largest, true);
        }
        match contour.and_then(|contour| objects::entry(object.id, &object.told, &contour, &scene, points)) {
            Some(shown) => {
                object.show(shown, &scene, work.t_acq_ns);
                Stage::Next { work }
            }
            None => self.show_lost(work, place),
        }
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
