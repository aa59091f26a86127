//! Runs frames through the pipeline: an acquisition thread, the session's thread, and this one, which fetches overlays.

use crate::watch::{Seen, watch};
use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, bounded};
use indicatif::{ProgressBar, ProgressStyle};
use sonotrace::exec::MemoryRequired;
use sonotrace::format::Model;
use sonotrace::hal::clock::{Clock, SystemClock};
use sonotrace::hal::command::Prompt;
use sonotrace::hal::frame::FrameDescriptor;
use sonotrace::hal::overlay::{Overlay, PromptAnswer, PromptOutcome};
use sonotrace::hal::ring::{RingSizes, Rings};
use sonotrace::realtime::{Priority, Scheduling, Want, Warnings, lock_process, map_program, set_thread};
use sonotrace::region::{Region, prefault_stack};
use sonotrace::session::{Counters, DropReason, Policy, Poll, Ports, Session, SessionConfig};
use sonotrace_replay::Recorded;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Capacities of the rings. This process's own threads fetch overlays and events at once.
const QUEUED: RingSizes =
    RingSizes { frames: 4, payload_bytes: 0, overlays: 8, commands: PROMPTS_MAX as u32, events: 256 };
/// Largest number of prompts for one frame.
pub const PROMPTS_MAX: usize = 64;
/// Lengths of the waits that the session's thread tries before the first frame. It stops after the first one that allocates:
/// only a thread's first real wait on a channel does. A channel yields a few times before it waits. On a loaded machine a
/// short time is over by then, and the thread has not waited.
const WARM_UPS_MS: [u64; 5] = [1, 10, 100, 1000, 10_000];

/// Longest sleep of the thread that fetches overlays: then it sees that the session's thread has ended.
const OVERLAY_WAIT: Duration = Duration::from_millis(20);

/// Results of a scan.
#[derive(Debug)]
pub struct Scanned {
    /// The overlays, in order.
    pub overlays: Vec<Overlay>,
    /// Counters of the frames' outcomes.
    pub counters: Counters,
    /// Frames that the session dropped individually, and why. Superseded frames are not among them.
    pub dropped: Vec<(u64, DropReason)>,
    /// Frames that were committed to the ring.
    pub committed: u64,
    /// Allocations and page faults of the session's thread, from its start to its end.
    pub seen: Seen,
    /// The session's memory.
    pub memory: MemoryRequired,
    /// Memory of the rings.
    pub ring_bytes: usize,
    /// What the system refused: memory that is locked; for a real-time scan, priority and cores.
    pub warnings: Warnings,
    /// Confidence below which an object needs attention.
    pub attention_below: f32,
    /// Time to open the session, from the model's bytes to a ready session.
    pub open_ns: u64,
}

impl Scanned {
    /// Why the frame `seq` has no overlay.
    pub fn drop_reason(&self, seq: u64) -> DropReason {
        let reported = self.dropped.iter().find(|(dropped, _)| *dropped == seq);
        // The session reports every other reason by frame.
        reported.map_or(DropReason::Superseded, |&(_, reason)| reason)
    }

    /// Prompts that were not served: the frame, and the reply.
    pub fn refused_prompts(&self) -> impl Iterator<Item = (u64, &PromptAnswer)> {
        let answers =
            self.overlays.iter().flat_map(|overlay| overlay.answers().iter().map(|a| (overlay.seq, a)));
        answers.filter(|(_, answer)| answer.outcome != PromptOutcome::Served as u32)
    }
}

/// A prompt of a scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timed {
    /// Sequence number of its frame: it is queued before this frame comes, and after all earlier ones are done.
    pub seq: u64,
    /// The prompt, for the next frame.
    pub prompt: Prompt,
}

/// Runs all `frames` through a session; `prompts` are in the order of their frames. With [`Policy::Newest`] frames come
/// at `frame_rate_hz`, as from a scanner, and prompts with them; with [`Policy::All`] each frame comes when the one before is
/// done.
///
/// # Errors
/// A model that is refused, a session that cannot be opened, no frame at all, or a thread that panicked.
pub fn scan(
    file: &[u8],
    config: SessionConfig<'_>,
    scheduling: Scheduling,
    frames: &[Recorded],
    prompts: &[Timed],
    frame_rate_hz: f64,
) -> Result<Scanned> {
    let clock = SystemClock::start();
    let opening_ns = clock.now_ns();
    let model = Model::parse(file)?;
    let payload_bytes = frames.iter().map(|frame| frame.payload.len()).max().context("there is no frame")?;
    let sizes = RingSizes { payload_bytes, ..QUEUED };
    let mut ring_memory = Region::each(sizes.region_bytes()?)?;
    let ring_bytes = ring_memory.iter().map(Region::bytes).sum();
    let rings = Rings::create(ring_memory.each_mut().map(Region::as_mut_slice), &sizes)?;
    let required = sonotrace::session::memory_required(file, &config)?;
    let mut memory = Region::new(required.bytes)?;
    let mut warnings = Warnings::default();
    warnings.note(memory.locked());
    let mut producer = rings.frames.producer()?;
    let mut overlays_out = rings.overlays.consumer()?;
    let mut commands = rings.commands.producer()?;
    let mut events_out = rings.events.consumer()?;
    let policy = config.policy;
    let mut session = Session::open(model, config, memory.as_mut_slice(), Ports::of(&rings)?, clock)?;
    let open_ns = clock.now_ns() - opening_ns;
    let is_first = |timed: &Timed| timed.seq <= 1;
    let (first, mut later) = prompts.split_at(prompts.partition_point(is_first));
    for timed in first {
        commands.prompt(timed.prompt)?;
    }
    // Frames that are done.
    let done = &AtomicU64::new(0);
    // Room for all, so that the session's thread does not allocate.
    let mut dropped = Vec::with_capacity(frames.len());
    let mut overlays = Vec::with_capacity(frames.len());
    let bar = progress(frames.len() as u64, "scanning");
    // Wake-ups, with a capacity of one: a thread needs no second one before it has handled the first.
    let (pushed, wait_for_push) = bounded(1);
    let (polled, wait_for_poll) = bounded(1);
    let (scanned, fed) = thread::scope(|scope| {
        let dropped = &mut dropped;
        let session_thread = scope.spawn(move || {
            prefault_stack();
            warnings.note(map_program());
            let seen = session.with_helpers(scheduling, |session, refused| {
                warnings.merge(*refused);
                if scheduling.priority.is_some() {
                    // All threads run, and everything is open.
                    warnings.note(lock_process());
                }
                for ms in WARM_UPS_MS {
                    if watch(|| wait_for_push.recv_timeout(Duration::from_millis(ms))).1.allocations > 0 {
                        break;
                    }
                }
                let _ = polled.try_send(());
                watch(|| run_session(session, &wait_for_push, &polled, dropped, done)).1
            });
            (session, seen, warnings)
        });
        let feeding_thread = scope.spawn(move || -> Result<Warnings> {
            // As on a device: a frame is handed over also while all cores compute.
            let refused = set_thread(None, scheduling.priority.map(Priority::above));
            // The session's thread must be ready before the first frame.
            let _ = wait_for_poll.recv();
            let period_ns = (1e9 / frame_rate_hz) as u64;
            let start_ns = clock.now_ns();
            for (index, frame) in (0u64..).zip(frames) {
                match policy {
                    Policy::Newest => {
                        let due_ns = start_ns + index * period_ns;
                        thread::sleep(Duration::from_nanos(due_ns.saturating_sub(clock.now_ns())));
                    }
                    // Replay may wait for the session; a scanner never does.
                    Policy::All => while producer.backlog() > 0 && wait_for_poll.recv().is_ok() {},
                }
                let (now, rest) =
                    later.split_at(later.partition_point(|timed| timed.seq <= frame.descriptor.seq));
                later = rest;
                if !now.is_empty() && policy == Policy::All {
                    // Else they would be served on the frame in work.
                    while done.load(Ordering::Acquire) < index && wait_for_poll.recv().is_ok() {}
                }
                for timed in now {
                    commands.prompt(timed.prompt)?;
                }
                let descriptor = FrameDescriptor { t_enqueue_ns: clock.now_ns(), ..frame.descriptor };
                // The session counts a frame that was evicted.
                let _ = producer.push(&descriptor, &frame.payload)?;
                let _ = pushed.try_send(());
            }
            Ok(refused)
        });
        loop {
            overlays_out.wait(OVERLAY_WAIT);
            // Checked before the ring is emptied, so that the last overlays are not missed.
            let is_over = session_thread.is_finished();
            while let Some(view) = overlays_out.take() {
                overlays.push(*view);
                bar.set_position(overlays.last().map_or(0, |overlay: &Overlay| overlay.seq));
            }
            events_out.drain();
            if is_over {
                break;
            }
        }
        (session_thread.join(), feeding_thread.join())
    });
    bar.finish_and_clear();
    let (session, seen, mut warnings) =
        scanned.map_err(|_| anyhow::anyhow!("the session's thread ended in a panic"))?;
    warnings.merge(fed.map_err(|_| anyhow::anyhow!("the acquisition thread ended in a panic"))??);
    let (memory, attention_below) = (session.memory(), session.attention_below());
    let committed = u64::from(rings.frames.counters().committed);
    Ok(Scanned {
        overlays,
        counters: session.finish(),
        dropped,
        committed,
        seen,
        memory,
        ring_bytes,
        warnings,
        attention_below,
        open_ns,
    })
}

impl Scanned {
    /// How the session was opened, as text.
    pub fn notes(&self) -> String {
        let milliseconds = self.open_ns as f64 / 1e6;
        let locked = if self.warnings.has(Want::LockedMemory) { "" } else { "; memory is locked" };
        format!("model verified, self-tested and ready in {milliseconds:.0} ms{locked}")
    }
}

/// The real-time thread's loop, until no more frames will be pushed and the ring is empty. Wakes the acquisition thread
/// after each step; the overlay ring wakes the thread that fetches overlays.
fn run_session<C: Clock>(
    session: &mut Session<'_, C>,
    wait_for_push: &Receiver<()>,
    polled: &Sender<()>,
    dropped: &mut Vec<(u64, DropReason)>,
    done: &AtomicU64,
) {
    let mut is_fed = false;
    loop {
        match session.poll() {
            Poll::Idle if is_fed => return,
            Poll::Idle => {
                is_fed = wait_for_push.recv().is_err();
                continue;
            }
            Poll::Working | Poll::Update(_) | Poll::Computed(_) => {}
            Poll::Dropped { seq, reason } => {
                dropped.push((seq, reason));
                done.fetch_add(1, Ordering::Release);
            }
            Poll::Overlay(_) => {
                done.fetch_add(1, Ordering::Release);
            }
        }
        let _ = polled.try_send(());
    }
}

/// A progress bar. It is shown only on a terminal.
pub fn progress(length: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{msg:>20} {bar:40} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar
}
