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
//! Prompts on earlier frames come before the objects are followed, those on the current frame afterwards. A stage runs until it is
//! done or the slice is over. While a frame whose overlay is committed is still computed, a newer one is taken between two slices,
//! and gets its own: the frame in work is set aside until then.

use super::Session;
use super::costs::Part;
use super::objects::Scene;
use super::programs::DecoderPrompt;
use super::slice::Slice;
use super::tables::TableIndex;
use super::work::Work;
use super::{DropReason, Policy};
use crate::exec::Progress;
use crate::float_environment::ComputingEnvironment;
use crate::hal::clock::Clock;
use crate::hal::frame::{Frame, PayloadCheck};
use crate::hal::overlay::Rung;
use crate::tracking::follower::Drawn;
use crate::vision::contour::Tracing;
use crate::vision::sampler::SampleCursor;

/// Bytes of a payload that are hashed in one piece.
pub(super) const CHECK_BYTES: usize = 32 * 1024;

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
    /// A further overlay of this frame was committed: one with newer contours.
    Update(u64),
    /// The contours of this frame, whose overlay was committed before, are there. A newer frame waits: they go out with that one.
    Computed(u64),
}

/// Indices of [`crate::hal::overlay::Overlay::stage_ns`].
pub(super) mod column {
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
    pub prompt: DecoderPrompt,
    pub drawn: Drawn,
}

/// A contour that is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawing {
    pub place: usize,
    pub scene: Scene,
}

/// Stage of the current frame.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::large_enum_variant, reason = "the session holds a single one")]
pub(super) enum Stage {
    /// No frame is being processed.
    #[default]
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
    /// Commits the overlay.
    Publish { work: Work },
    /// The frame has its outcome, or there is no frame.
    Ended(Poll),
}

/// The frames that a session works on and shows.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// What is done with the one in work.
    pub stage: Stage,
    /// A frame in work that has its overlay, while a newer one gets its own.
    pub set_aside: Option<Stage>,
    /// The last frame that was fully processed.
    pub shown: Option<Work>,
    /// The newest frame with an overlay of the stream.
    pub newest: Option<Work>,
}

impl Stage {
    pub fn work_mut(&mut self) -> Option<&mut Work> {
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
            | Self::Publish { work } => Some(work),
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

    /// Returns the part of a frame's work that this stage is in.
    fn part(&self, is_checking: bool) -> Option<Part> {
        Some(match self {
            Self::Encode { .. } => Part::Encode,
            Self::Follow { .. } => {
                if is_checking {
                    Part::Check
                } else {
                    Part::Track
                }
            }
            Self::Decode { .. } | Self::Learn { .. } => Part::Prompt,
            Self::Enlarge { .. } | Self::Trace { .. } => Part::Contour,
            _ => return None,
        })
    }

    /// Returns the frame in work if it has no overlay yet, its samples are taken, and its contours are not all there.
    fn late_mut(&mut self) -> Option<&mut Work> {
        match self {
            Self::Table { .. } | Self::Sample { .. } | Self::Publish { .. } => None,
            _ => self.work_mut().filter(|work| !work.is_shown),
        }
    }

    /// Returns whether the current frame has no outcome yet.
    pub fn owes_outcome(mut self) -> bool {
        match self.work_mut() {
            Some(work) => !work.is_shown,
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
    /// computes in one of its own, and gives the caller's back.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn poll(&mut self) -> Poll {
        let _environment = ComputingEnvironment::enter();
        self.slice()
    }

    /// Computes for one slice.
    #[inline(never)]
    fn slice(&mut self) -> Poll {
        self.heartbeat += 1;
        self.count_evicted();
        self.take_commands();
        let mut slice = Slice::new(&self.clock, self.config.slice_ns);
        let mut stage = core::mem::replace(&mut self.frames.stage, Stage::Idle);
        if matches!(stage, Stage::Idle)
            && let Some(aside) = self.frames.set_aside.take()
        {
            // At least for this slice: however fast frames come, it goes on.
            stage = aside;
            let now_ns = slice.now_ns();
            stage.work_mut().into_iter().for_each(|work| work.t_worked_ns = now_ns);
        } else {
            stage = self.make_way(stage);
        }
        loop {
            if let Stage::Ended(poll) = stage {
                return poll;
            }
            if let Some(work) = stage.late_mut() {
                if slice.now_ns() >= work.publish_by_ns {
                    work.is_shown = true;
                    let work = *work;
                    self.frames.stage = stage;
                    return self.publish_repeated(&work, Rung::Spread);
                }
                slice.end_by(work.publish_by_ns);
            }
            if !slice.go_on(&self.clock) {
                self.frames.stage = stage;
                return Poll::Working;
            }
            let (column, part) = (stage.column(), stage.part(self.follower.is_checking()));
            let start_ns = slice.now_ns();
            if let Some(work) = stage.work_mut() {
                work.done.spend(Part::Between, start_ns.saturating_sub(work.t_worked_ns));
            }
            stage = self.advance(stage, &mut slice);
            let now_ns = slice.read(&self.clock);
            let taken_ns = now_ns.saturating_sub(start_ns);
            if let Some(work) = stage.work_mut() {
                work.stage_ns[column] += taken_ns;
                work.t_worked_ns = now_ns;
                part.into_iter().for_each(|part| work.done.spend(part, taken_ns));
            }
        }
    }

    /// Sets a frame aside whose overlay is committed, if a newer one waits, and returns the stage of that one.
    fn make_way(&mut self, mut stage: Stage) -> Stage {
        let is_shown = stage.work_mut().is_some_and(|work| work.is_shown);
        if !is_shown || self.config.policy != Policy::Newest || self.ports.frames.backlog() == 0 {
            return stage;
        }
        match self.take_frame() {
            Stage::Ended(Poll::Idle) => stage,
            newer => {
                self.frames.set_aside = Some(stage);
                newer
            }
        }
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
            Stage::Publish { work } => Stage::Ended(self.publish(work)),
            Stage::Ended(_) => Stage::Idle,
        }
    }

    /// Continues the executor's run.
    fn run(&mut self, slice: &mut Slice) -> Progress {
        // The first tile is the piece of work that `poll` has already allowed.
        let (mut is_first, clock) = (true, &self.clock);
        self.executor.advance(&mut || core::mem::take(&mut is_first) || slice.go_on(clock))
    }
}
