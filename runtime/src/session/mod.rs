//! One scan: frames and prompts in, overlays out, one outcome for every frame.
//!
//! A session works in slices: [`Session::poll`] takes a frame or goes on with the one in work, for at most
//! [`SessionConfig::slice_ns`], and returns. It runs on one thread, waits for nothing, and uses only the region that it
//! was opened with. Time comes from the clock that it was given, so that a scan replays exactly.
//!
//! An object is tracked from frame to frame by prompting the mask decoder with the object's
//! last mask and that mask's box.
//!
//! * `config`: settings, and the memory that follows from them.
//! * `advance`: the state machine: the only place where a session's fields change; `slice`: the time it may take.
//! * `stream`: the order of frames; `tables`: the sampling tables of two geometries.
//! * `prompts`: what the user points at; `programs`: the networks, and what they are told.
//! * `objects`: from a mask to what is shown; `reproject`: from one geometry to another.
//! * `overlay`: what an overlay says; `counters`: what became of every frame.

mod advance;
mod config;
mod counters;
mod objects;
mod overlay;
mod programs;
mod prompts;
mod reproject;
mod slice;
mod stream;
mod tables;

pub use advance::Poll;
pub use config::{CONTOUR_ROOM, Policy, SessionConfig, memory_parts, memory_required};
pub use counters::{Counters, DROP_REASONS, DropReason};
pub use programs::{CLICKS_MAX, DecoderPrompt, GridClick, Programs};

use crate::exec::{ExecError, Executor, KEPT_FRAMES_MAX, MemoryRequired};
use crate::format::{Model, ModelError};
use crate::hal::clock::Clock;
use crate::hal::command::{Command, Prompt};
use crate::hal::event::EventKind;
use crate::hal::overlay::{ANSWERS_MAX, OBJECTS_MAX, PromptAnswer};
use crate::hal::ring::{CommandConsumer, EventProducer, FrameConsumer, OverlayProducer};
use crate::memory::RawRegion;
use crate::vision::Normalisation;
use advance::{Stage, Work};
use config::{Buffers, SessionLayout};
use objects::{Object, Scene};
use stream::Stream;
use tables::SamplingTables;

/// Why a session could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The model was compiled without conventions.
    #[error("the model says nothing of its input: compile it with --conventions")]
    Conventions,
    /// A program is missing.
    #[error("the model has no program `{name}`")]
    Program {
        /// Its name.
        name: &'static str,
    },
    /// A port is missing or has another size.
    #[error(
        "port `{name}` has {seen} elements, a session needs {needed} (and shares `embedding` between programs)"
    )]
    Port {
        /// Its name.
        name: &'static str,
        /// Elements found; 0 for a missing port.
        seen: u64,
        /// Elements needed.
        needed: u64,
    },
    /// A setting has no meaning.
    #[error("session setting `{what}` is {seen}, not within {min}..={max}")]
    Setting {
        /// Which.
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
    /// The model or its memory.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The executor, or its self-test.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

/// The session's ends of its rings.
pub struct Ports<'m> {
    /// Frames in.
    pub frames: FrameConsumer<'m>,
    /// Prompts, and freezing, in.
    pub commands: CommandConsumer<'m>,
    /// Overlays out.
    pub overlays: OverlayProducer<'m>,
    /// What happened, out.
    pub events: EventProducer<'m>,
}

/// A frame whose features are kept.
#[derive(Debug, Clone, Copy)]
struct KeptFeatures {
    seq: u64,
    /// Its number, counting frames that are worked on from 1.
    frame: u64,
    /// None while the slot is free.
    scene: Option<Scene>,
}

/// A prompt that waits for its frame.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    ticket: u32,
    prompt: Prompt,
}

/// Why the image counts as frozen.
#[derive(Debug, Clone, Copy, Default)]
struct Frozen {
    /// The device said so.
    by_command: bool,
    /// The last frame said so.
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
    buffers: Buffers<'m>,
    sampling: SamplingTables<'m>,
    ports: Ports<'m>,
    prompts: heapless::Deque<Waiting, ANSWERS_MAX>,
    answers: heapless::Vec<PromptAnswer, ANSWERS_MAX>,
    objects: [Object; OBJECTS_MAX],
    kept: [KeptFeatures; KEPT_FRAMES_MAX as usize],
    /// Slot of the next frame's features.
    next_slot: u32,
    stage: Stage,
    stream: Stream,
    frozen: Frozen,
    /// The last frame that was worked on to its overlay.
    shown: Option<Work>,
    frames_worked_on: u64,
    /// The ring's count of evicted frames, as last read.
    evicted: u32,
    /// Frames dropped since the last one in order whose numbers lie between it and the next.
    unseen_since_last: u64,
    was_late: bool,
    counters: Counters,
    heartbeat: u64,
    required: MemoryRequired,
}

impl<'m, C: Clock> Session<'m, C> {
    /// Opens a session: cuts up the region, binds the model to it, and runs each of its programs once as self-test.
    /// When this returns, every byte of the region has been written, so that no page of it is missing later.
    ///
    /// `region` has the size and alignment of [`memory_required`].
    ///
    /// # Errors
    /// What is wrong with the model, the settings or the region, or a self-test that failed.
    pub fn open(
        model: Model<'m>,
        config: SessionConfig<'m>,
        region: impl Into<RawRegion<'m>>,
        ports: Ports<'m>,
        clock: C,
    ) -> Result<Self, SessionError> {
        for (what, seen, min, max) in [
            ("slice_ns", config.slice_ns as f64, 1.0, 1e12),
            ("budget_ns", config.budget_ns as f64, 1.0, 1e12),
            ("table_rows_per_frame", config.table_rows_per_frame.into(), 1.0, u32::MAX.into()),
            ("attention_below", config.attention_below.into(), 0.0, 1.0),
            ("lost_below", config.lost_below.into(), 0.0, 1.0),
        ] {
            // Written so that NaN fails.
            let is_within = seen >= min && seen <= max;
            if !is_within {
                return Err(SessionError::Setting { what, seen, min, max });
            }
        }
        let layout = SessionLayout::new(model.header(), &config)?;
        let (memory, sampling, buffers) = config::cut(region.into(), &layout)?;
        let programs = Programs::find(&model)?;
        let mut executor = Executor::new(model, config.executor(), memory)?;
        executor.self_test()?;
        let conventions = model.conventions();
        let evicted = ports.frames.counters().evicted;
        let required = layout.required();
        let mut session = Self {
            config,
            clock,
            executor,
            programs,
            normalisation: Normalisation { mean: conventions.mean, std: conventions.std },
            input_size: conventions.input_size,
            buffers,
            sampling: SamplingTables::new(sampling),
            ports,
            prompts: heapless::Deque::new(),
            answers: heapless::Vec::new(),
            objects: [Object::new(0); OBJECTS_MAX],
            kept: [KeptFeatures { seq: 0, frame: 0, scene: None }; KEPT_FRAMES_MAX as usize],
            next_slot: 0,
            stage: Stage::Idle,
            stream: Stream::default(),
            frozen: Frozen::default(),
            shown: None,
            frames_worked_on: 0,
            evicted,
            unseen_since_last: 0,
            was_late: false,
            counters: Counters::default(),
            heartbeat: 0,
            required,
        };
        session.record(EventKind::Opened, 0, 0, required.bytes as u64);
        Ok(session)
    }

    /// Totals so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Counts calls of [`Self::poll`], so that a watchdog sees the session live.
    pub fn heartbeat(&self) -> u64 {
        self.heartbeat
    }

    /// Memory of the region that is in use, fixed since the session was opened.
    pub fn memory(&self) -> MemoryRequired {
        self.required
    }

    /// Ends the scan: the frame in work and all frames that wait are counted as shut down, prompts that wait as
    /// unanswered. Returns the totals.
    pub fn finish(mut self) -> Counters {
        self.count_evicted();
        self.counters.drop_frames(DropReason::ShutDown, self.stage.owes_outcome().into());
        while self.ports.frames.take().is_some() {
            self.counters.drop_frames(DropReason::ShutDown, 1);
        }
        self.count_evicted();
        self.counters.prompts_unanswered += self.prompts.len() as u64;
        while let Some(command) = self.ports.commands.take() {
            self.counters.prompts_unanswered += u64::from(matches!(command, Ok(Command::Prompt { .. })));
        }
        self.record(EventKind::Closed, 0, 0, self.counters.overlays);
        self.counters
    }
}
