//! One scan: frames and prompts in, overlays out, one outcome for every frame.
//!
//! A session works in slices: [`Session::poll`] takes a frame or goes on with the one in work, for at most
//! [`SessionConfig::slice_ns`], and returns. It runs on one thread, waits for nothing, and uses only the region that it
//! was opened with. Time comes from the clock that it was given, so that a scan replays exactly.
//!
//! Until there is a tracker, an object is carried from frame to frame by prompting the mask decoder with the object's
//! last mask and that mask's box.

mod config;
mod counters;
mod objects;
mod programs;
mod prompt;
mod step;

pub use config::{CONTOUR_ROOM, Policy, SessionConfig, memory_parts, memory_required};
pub use counters::{Counters, DROP_REASONS, DropReason};
pub use prompt::{PROMPTS_WAITING_MAX, Prompt, PromptError, PromptKind, Space};
pub use step::Poll;

use crate::exec::{ExecError, Executor, KEPT_FRAMES_MAX, MemoryRequired};
use crate::hal::clock::Clock;
use crate::hal::geometry::Geometry;
use crate::hal::overlay::OBJECTS_MAX;
use crate::hal::ring::{FrameConsumer, OverlayProducer};
use crate::model::{Model, ModelError};
use crate::vision::{Normalisation, Sampler};
use config::{SessionLayout, Tables};
use objects::{Object, Scene};
use programs::Programs;
use step::{Frames, Work};

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

/// A frame whose features are kept.
#[derive(Debug, Clone, Copy)]
struct Kept {
    seq: u64,
    /// None while the place is free.
    scene: Option<(Scene, Geometry)>,
}

/// A scan in progress.
pub struct Session<'m, C: Clock> {
    config: SessionConfig<'m>,
    clock: C,
    executor: Executor<'m>,
    programs: Programs,
    normalisation: Normalisation,
    tables: Tables<'m>,
    frames: FrameConsumer<'m>,
    overlays: OverlayProducer<'m>,
    prompts: heapless::Deque<Prompt, PROMPTS_WAITING_MAX>,
    objects: [Object; OBJECTS_MAX],
    kept: [Kept; KEPT_FRAMES_MAX as usize],
    sampler: Option<Sampler>,
    work: Work,
    seen: Frames,
    counters: Counters,
    heartbeat: u64,
    required: MemoryRequired,
}

impl<'m, C: Clock> Session<'m, C> {
    /// Opens a session: cuts up the region, binds the model to it, and runs each of its programs once as self-test.
    /// When this returns, everything that the scan will touch has been touched.
    ///
    /// `region` has the size and alignment of [`memory_required`].
    ///
    /// # Errors
    /// What is wrong with the model, the settings or the region, or a self-test that failed.
    pub fn open(
        model: Model<'m>,
        config: SessionConfig<'m>,
        region: &'m mut [u8],
        frames: FrameConsumer<'m>,
        overlays: OverlayProducer<'m>,
        clock: C,
    ) -> Result<Self, SessionError> {
        for (what, seen, min, max) in [
            ("slice_ns", config.slice_ns as f64, 1.0, 1e12),
            ("budget_ns", config.budget_ns as f64, 1.0, 1e12),
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
        let (memory, tables) = config::cut(region, &layout)?;
        let programs = Programs::find(&model)?;
        let mut executor = Executor::new(model, config.kept_frames, memory)?;
        executor.self_test()?;
        let conventions = model.conventions();
        let seen = Frames::new(frames.counters().evicted);
        Ok(Self {
            config,
            clock,
            executor,
            programs,
            normalisation: Normalisation { mean: conventions.mean, std: conventions.std },
            tables,
            frames,
            overlays,
            prompts: heapless::Deque::new(),
            objects: [Object::free(); OBJECTS_MAX],
            kept: [Kept { seq: 0, scene: None }; KEPT_FRAMES_MAX as usize],
            sampler: None,
            work: Work::Idle,
            seen,
            counters: Counters::default(),
            heartbeat: 0,
            required: layout.required(),
        })
    }

    /// Hands in a prompt; it is served with the next frame that is worked on.
    ///
    /// # Errors
    /// [`PromptError`]; a prompt whose frame is too old, or outside the field of view, is counted when its turn comes.
    pub fn prompt(&mut self, prompt: Prompt) -> Result<(), PromptError> {
        prompt.check()?;
        self.prompts.push_back(prompt).map_err(|_| PromptError::QueueFull)
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

    /// Ends the scan: the frame in work and all frames that wait are counted as shut down. Returns the totals.
    pub fn finish(mut self) -> Counters {
        self.count_given_back();
        if !matches!(self.work, Work::Idle) {
            self.counters.drop_frames(DropReason::ShutDown, 1);
        }
        while self.frames.take().is_some() {
            self.counters.drop_frames(DropReason::ShutDown, 1);
        }
        self.count_given_back();
        self.counters
    }
}
