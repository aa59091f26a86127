//! One scan: takes frames and prompts, delivers overlays, with one outcome for every frame.
//!
//! A session works in slices: [`Session::poll`] takes a frame or continues the current one, for about
//! [`SessionConfig::slice_ns`], and returns. It runs on one thread, waits for nothing but the tiles that its helpers have claimed
//! ([`Session::helper`]), and uses only the region that it was opened with. All times come from its clock, so that a scan replays exactly.
//!
//! The tracker ([`crate::tracking`]) follows all objects to each frame at once. A prompt is decoded on the frame that it names, or on
//! the nearest one whose features are kept, and its mask enters the tracker's memory: before the current frame is followed if the
//! prompt's frame is an earlier one, else afterwards.
//!
//! * `config`: settings, and the memory that they need.
//! * `advance`: the state machine; `slice`: the time limit of a call. Its stages: `intake` takes frames, `serving` serves prompts,
//!   `following` follows the objects, `drawing` draws their contours, `publishing` commits overlays in time. Only these change a
//!   session's fields.
//! * `work`: the frame that is processed; `costs`: what its parts cost; `stream`: the order of frames; `tables`: the sampling tables
//!   of two geometries.
//! * `prompts`: resolves the user's prompts; `motion`: moves them from frames that were not computed; `programs`: the networks and
//!   their inputs.
//! * `objects`: tracked objects and their contours; `standing`: their states, with hysteresis; `reproject`: the change to another
//!   geometry.
//! * `overlay`: fills overlays; `counters`: counts the outcomes; `rules`: the frames that a session can use.

mod advance;
mod config;
mod costs;
mod counters;
mod drawing;
mod following;
mod intake;
mod motion;
mod objects;
mod overlay;
mod programs;
mod prompts;
mod publishing;
mod reproject;
mod rules;
mod serving;
mod slice;
mod standing;
mod stream;
mod tables;
mod work;

pub use advance::Poll;
pub use config::{CONTOUR_ROOM, Policy, SessionConfig, memory_parts, memory_required};
pub use counters::Counters;
pub use programs::{CLICKS_MAX, DecoderPrompt, GridClick, Programs};
pub use rules::FrameRules;
pub use standing::{Standing, Thresholds};

pub use crate::hal::event::{DROP_REASONS, DropReason};

use crate::exec::{ExecError, Executor, Helper, MemoryRequired};
use crate::float_environment::ComputingEnvironment;
use crate::format::{Model, ModelError, PROGRAMS_MAX};
use crate::hal::clock::Clock;
use crate::hal::command::{Command, Prompt};
use crate::hal::event::{Event, EventKind};
use crate::hal::overlay::{ANSWERS_MAX, PromptAnswer};
use crate::hal::ring::{CommandConsumer, EventProducer, FrameConsumer, OverlayProducer, RingError, Rings};
use crate::memory::RawRegion;
#[cfg(feature = "std")]
use crate::realtime::{Scheduling, Warnings};
use crate::tracking::follower::{Checks, Follower};
use crate::tracking::programs::{TrackerError, TrackerPrograms};
use crate::vision::Normalisation;
use advance::Frames;
use config::{Buffers, SessionLayout};
use core::mem::ManuallyDrop;
use costs::{Costs, Part};
use motion::Anchored;
use objects::{Object, Scene};
use prompts::FrameTime;
use stream::Stream;
use tables::SamplingTables;

/// Errors of opening a session.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The model was compiled without conventions.
    #[error("the model has no conventions: compile it with --conventions")]
    Conventions,
    /// A program is missing.
    #[error("the model has no program `{name}`")]
    Program {
        /// Its name.
        name: &'static str,
    },
    /// A port is missing or has another size.
    #[error(
        "port `{name}` has {seen} elements, a session needs {needed} (both programs must share `embedding`)"
    )]
    Port {
        /// Its name.
        name: &'static str,
        /// Elements found; 0 for a missing port.
        seen: u64,
        /// Elements needed.
        needed: u64,
    },
    /// A setting is outside its limits.
    #[error("session setting `{what}` is {seen}, not within {min}..={max}")]
    Setting {
        /// Its name.
        what: &'static str,
        /// The value.
        seen: f64,
        /// Least value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// The region is too small.
    #[error("the region holds {seen} bytes, the session needs {needed}")]
    RegionTooSmall {
        /// Bytes given.
        seen: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// The region starts at the wrong address.
    #[error("the region starts at an address that is not a multiple of {needed}")]
    RegionMisaligned {
        /// Alignment needed.
        needed: usize,
    },
    /// The model has no tracker that fits.
    #[error(transparent)]
    Tracker(#[from] TrackerError),
    /// An error of the model file or its memory.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An error of the executor or its self-test.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

/// The session's ends of its rings.
pub struct Ports<'m> {
    /// Consumer of frames.
    pub frames: FrameConsumer<'m>,
    /// Consumer of prompts and freeze commands.
    pub commands: CommandConsumer<'m>,
    /// Producer of overlays.
    pub overlays: OverlayProducer<'m>,
    /// Producer of events.
    pub events: EventProducer<'m>,
}

impl<'m> Ports<'m> {
    /// Claims the session's ends.
    ///
    /// # Errors
    /// If an end is already claimed.
    pub fn of(rings: &Rings<'m>) -> Result<Self, RingError> {
        Ok(Self {
            frames: rings.frames.consumer()?,
            commands: rings.commands.consumer()?,
            overlays: rings.overlays.producer()?,
            events: rings.events.producer()?,
        })
    }
}

/// A frame whose features are kept.
#[derive(Debug, Clone, Copy)]
struct KeptFeatures {
    seq: u64,
    t_acq_ns: u64,
    /// Number of the frame, counting processed frames from 1.
    frame: u64,
    /// `None` if the slot is free.
    scene: Option<Scene>,
    anchored: Anchored,
}

/// A prompt that waits to be served.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    ticket: u32,
    prompt: Prompt,
    /// Time of the frame that the prompt was made on, once it waits for a frame on another grid.
    made_ns: Option<u64>,
}

/// Prompts and replies.
#[derive(Debug, Default)]
struct Asked {
    /// Prompts that wait.
    prompts: heapless::Deque<Waiting, ANSWERS_MAX>,
    /// Replies that no overlay has delivered yet: new ones, and those of an overlay that was evicted unread. Both are at
    /// most as many as an overlay has room for.
    answers: heapless::Vec<PromptAnswer, { 2 * ANSWERS_MAX }>,
    /// Of these, the last ones, which wait for contours in work.
    held: usize,
}

/// Reasons why the image is frozen.
#[derive(Debug, Clone, Copy, Default)]
struct Frozen {
    /// Frozen by a command of the device.
    by_command: bool,
    /// Frozen by the flag of the last frame.
    by_frame: bool,
}

impl Frozen {
    fn is(self) -> bool {
        self.by_command || self.by_frame
    }
}

/// A scan in progress.
pub struct Session<'m, C: Clock> {
    config: SessionConfig<'m>,
    clock: C,
    executor: Executor<'m>,
    programs: Programs,
    normalisation: Normalisation,
    input_size: u32,
    follower: Follower<'m>,
    /// Cells along a side of the tracker's motion.
    flow_side: usize,
    /// Geometry of the follower's masks: of the last frame to which objects were followed.
    scene: Option<Scene>,
    /// That frame, by number of processed frames; 0 if there was none.
    followed_frame: u64,
    /// Whether a prompt points beyond the grid: the next frame is sampled over its whole field of view.
    is_grid_left: bool,
    thresholds: Thresholds,
    buffers: Buffers<'m>,
    sampling: SamplingTables<'m>,
    ports: Ports<'m>,
    /// Prompts and replies; in the region like the objects. Nothing in it needs to be dropped.
    asked: &'m mut ManuallyDrop<Asked>,
    /// The objects, `OBJECTS_MAX` of them. In the region: they are too large for the stack of the thread that opens or
    /// closes a session.
    objects: &'m mut [Object],
    /// By feature slot: `kept_frames`, and one for the tracker's anchor; in the region like the objects.
    kept: &'m mut [KeptFeatures],
    /// The frames that it works on and shows; in the region like the objects.
    frames: &'m mut Frames,
    costs: Costs,
    stream: Stream,
    frozen: Frozen,
    frames_processed: u64,
    /// The ring's count of evicted frames at the last read.
    evicted: u32,
    /// Frames dropped since the last frame in order; their numbers do not count as missing.
    unseen_since_last: u64,
    /// Largest sequence number since the stream began.
    newest_seq: u64,
    /// The last frame of the stream that prompts can no longer be served on.
    last_gone: Option<FrameTime>,
    was_late: bool,
    counters: Counters,
    heartbeat: u64,
    required: MemoryRequired,
}

/// Runs the self-test in the floating-point environment, as a poll runs, and measures what a frame will cost.
fn self_test(
    executor: &mut Executor<'_>,
    programs: &Programs,
    tracker: &TrackerPrograms,
    clock: &impl Clock,
) -> Result<Costs, SessionError> {
    let _environment = ComputingEnvironment::enter();
    let mut times_ns = [0; PROGRAMS_MAX as usize];
    executor.self_test_timed(&|| clock.now_ns(), &mut times_ns)?;
    let [encode, decode, track, remember] =
        [programs.encoder, programs.decoder, tracker.tracker, tracker.memory]
            .map(|program| times_ns[program]);
    let mut costs = Costs::default();
    costs.measured(Part::Encode, encode);
    costs.measured(Part::Track, track.saturating_add(remember));
    costs.measured(Part::Check, decode);
    costs.measured(Part::Prompt, decode.saturating_add(remember));
    Ok(costs)
}

impl<'m, C: Clock> Session<'m, C> {
    /// Opens a session: splits the region, binds the model to it, and runs the self-test. Writes every byte of the
    /// region, so that it causes no page fault later.
    ///
    /// `region` has the size and alignment of [`memory_required`].
    ///
    /// # Errors
    /// An error in the model, the settings or the region, or a failed self-test.
    pub fn open(
        model: Model<'m>,
        config: SessionConfig<'m>,
        region: impl Into<RawRegion<'m>>,
        mut ports: Ports<'m>,
        clock: C,
    ) -> Result<Self, SessionError> {
        config.check()?;
        let layout = SessionLayout::new(model.header(), &config)?;
        let config::Parts { executor: memory, sampling, objects, kept, frames, asked, follower, buffers } =
            config::cut(region.into(), &layout)?;
        let programs = Programs::find(&model)?;
        let tracker = TrackerPrograms::find(&model)?;
        let rules = *model.tracking().ok_or(TrackerError::Tracking)?;
        let mut executor = Executor::new(model, config.executor(), memory)?;
        let costs = self_test(&mut executor, &programs, &tracker, &clock)?;
        let conventions = model.conventions();
        let follower = Follower::new(
            tracker,
            programs,
            rules,
            conventions.input_size,
            Checks { a_frame: config.checks_per_frame as usize, correct_lost: config.correct_lost },
            config.instructions,
            follower,
        );
        let evicted = ports.frames.counters().evicted;
        let required = layout.required();
        // Recorded by hand: a session that is complete before it is returned would be copied, and it is large.
        let (t_ns, value) = (clock.now_ns(), required.bytes as u64);
        let opened = Event { t_ns, seq: 0, kind: EventKind::Opened as u32, detail: 0, value };
        let is_lost = ports.events.record(&opened);
        Ok(Self {
            config,
            clock,
            executor,
            programs,
            normalisation: Normalisation { mean: conventions.mean, std: conventions.std },
            input_size: conventions.input_size,
            follower,
            flow_side: tracker.sizes.flow_side,
            scene: None,
            followed_frame: 0,
            is_grid_left: false,
            thresholds: Thresholds::new(&config, &rules),
            buffers,
            sampling: SamplingTables::new(sampling, config.instructions),
            ports,
            asked,
            objects,
            kept,
            frames,
            costs,
            stream: Stream::default(),
            frozen: Frozen::default(),
            frames_processed: 0,
            evicted,
            unseen_since_last: 0,
            newest_seq: 0,
            last_gone: None,
            was_late: false,
            counters: Counters { events_lost: is_lost.into(), ..Counters::default() },
            heartbeat: 0,
            required,
        })
    }

    /// Returns a thread that helps this one to compute: the first of [`SessionConfig::threads`] less one, then the next one, then
    /// `None`. Call [`Helper::run`] on a thread of its own; it returns when the session is dropped or dismisses its helpers.
    pub fn helper(&mut self) -> Option<Helper<'m>> {
        self.executor.helper()
    }

    /// Makes all helpers return, and waits until they have. From then on, the session computes alone.
    pub fn dismiss_helpers(&mut self) {
        self.executor.dismiss_helpers();
    }

    /// Runs `work` while the other threads of [`SessionConfig::threads`] help, all scheduled alike: for the calling thread, as long as
    /// the work lasts. The work gets what the system refused; it goes on without it.
    #[cfg(feature = "std")]
    pub fn with_helpers<R>(
        &mut self,
        scheduling: impl Into<Scheduling>,
        work: impl FnOnce(&mut Self, &Warnings) -> R,
    ) -> R {
        crate::exec::with_helpers(self, scheduling.into(), Self::helper, Self::dismiss_helpers, work)
    }

    /// Returns what this session requires of a frame.
    pub fn frame_rules(&self) -> FrameRules {
        FrameRules {
            display: self.config.display,
            tables: self.config.vendor_tables.len() as u32,
            input_size: self.input_size,
        }
    }

    /// Checks that the memory of the session's rings holds a state that the rings' protocol can have written.
    ///
    /// # Errors
    /// What was found in the first damaged ring: something else writes into its memory, such as a frame that is longer
    /// than its slot.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn check_rings(&self) -> Result<(), RingError> {
        let Ports { frames, commands, overlays, events } = &self.ports;
        frames.check()?;
        commands.check()?;
        overlays.check()?;
        events.check()
    }

    /// Returns the totals so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the number of calls of [`Self::poll`], for a watchdog.
    pub fn heartbeat(&self) -> u64 {
        self.heartbeat
    }

    /// Returns the confidence below which an object needs attention: the configured one, or the model's.
    pub fn attention_below(&self) -> f32 {
        self.thresholds.attention_below
    }

    /// Returns the size and alignment of the memory in use, which do not change after opening.
    pub fn memory(&self) -> MemoryRequired {
        self.required
    }

    /// Ends the scan: counts the current frame and all waiting frames as shut down, and waiting prompts as unanswered.
    /// Returns the totals.
    pub fn finish(mut self) -> Counters {
        self.count_evicted();
        self.counters.drop_frames(DropReason::ShutDown, self.frames.stage.owes_outcome().into());
        // As many as a ring holds, so that damaged positions cannot keep this busy.
        for _ in 0..self.ports.frames.backlog() {
            self.counters.drop_frames(DropReason::ShutDown, self.ports.frames.take().is_some().into());
        }
        self.count_evicted();
        self.counters.prompts_unanswered += self.asked.prompts.len() as u64;
        for _ in 0..self.ports.commands.backlog() {
            let is_prompt = matches!(self.ports.commands.take(), Some(Ok(Command::Prompt { .. })));
            self.counters.prompts_unanswered += u64::from(is_prompt);
        }
        self.counters.answers_undelivered = self.asked.answers.len() as u64;
        self.record(EventKind::Closed, 0, 0, self.counters.overlays);
        self.counters
    }
}
