//! Latency of frames that come at a rate.

use crate::commands::scan::progress;
use crate::output::latency_svg::FrameLatency;
use crate::output::stages::{StageTimes, TOTAL};
use crate::watch::{Seen, watch};
use anyhow::{Context, Result, bail};
use sonotrace::format::Model;
use sonotrace::hal::clock::{Clock, SystemClock};
use sonotrace::hal::command::{PointSpace, Prompt, PromptKind};
use sonotrace::hal::frame::FrameDescriptor;
use sonotrace::hal::overlay::{Overlay, STAGE_NAMES, STAGES, overlay_flags};
use sonotrace::hal::ring::{OverlayConsumer, RingSizes, Rings};
use sonotrace::realtime::{Scheduling, Warnings, lock_process};
use sonotrace::region::{Region, prefault_stack};
use sonotrace::session::{Counters, Policy, Poll, Ports, Session, SessionConfig};
use sonotrace_sim::heart::MYOCARDIUM;
use sonotrace_sim::{SimConfig, Simulator};
use std::thread;
use std::time::Duration;

/// Frames of the simulated scan, which is streamed again and again.
const LOOP_FRAMES: u64 = 30;
/// Time before a frame is due from which the thread spins, because the system's timer is late.
const SPIN_NS: u64 = 200_000;

/// What a trace shows of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Traced {
    /// Its sequence number.
    pub seq: u64,
    /// When it was due, on the session's clock.
    pub due_ns: u64,
    /// From then to its overlay.
    pub latency_ns: u64,
    /// Time spent in each stage.
    pub stage_ns: [u64; STAGES],
    /// Objects on its overlay.
    pub objects: u32,
}

/// Frames of a simulated heart, streamed at a rate.
pub struct Frames {
    period_ns: u64,
    scan: Vec<(FrameDescriptor, Vec<u8>)>,
    prompts: Vec<Prompt>,
    /// Times of the stages, and from the time at which a frame is due to its overlay: if a frame is late, so is the next one
    /// (coordinated omission is corrected).
    pub times: StageTimes,
    /// Latency of each frame.
    pub latencies: Vec<FrameLatency>,
    /// What a trace shows of each frame.
    pub traced: Vec<Traced>,
    /// Frames whose latency exceeded the period.
    pub misses: u64,
    /// Memory of the session.
    pub memory_bytes: usize,
    /// Memory of this process that is in use, after each round.
    pub resident_bytes: Vec<u64>,
    /// Allocations and page faults of all calls of the session.
    pub seen: Seen,
    /// The session's totals.
    pub counters: Counters,
}

impl Frames {
    /// Simulates a scan with a click in each chamber.
    ///
    /// # Errors
    /// A rate that the simulator refuses.
    pub fn new(fps: f64) -> Result<Self> {
        let simulator = Simulator::new(SimConfig { frame_rate_hz: fps as f32, ..SimConfig::default() })?;
        let frames: Vec<_> = (0..LOOP_FRAMES).map(|index| simulator.frame(index)).collect();
        let click = |object: &sonotrace_sim::phantom::TruthObject| {
            let kind = PromptKind::Click { at: object.click_mm, is_positive: true };
            Prompt { object: object.id, seq: 0, space: PointSpace::Plane, kind }
        };
        let objects = frames.first().context("the simulator made no frame")?.truth.iter();
        let prompts = objects.filter(|object| object.id != MYOCARDIUM).map(click).collect();
        Ok(Self {
            period_ns: (1e9 / fps) as u64,
            scan: frames.into_iter().map(|frame| (frame.descriptor, frame.payload)).collect(),
            prompts,
            times: StageTimes::new(&STAGE_NAMES)?,
            latencies: Vec::new(),
            traced: Vec::new(),
            misses: 0,
            memory_bytes: 0,
            resident_bytes: Vec::new(),
            seen: Seen::default(),
            counters: Counters::default(),
        })
    }

    /// Time from one frame to the next.
    pub fn period_ns(&self) -> u64 {
        self.period_ns
    }

    /// Streams `rounds` times `count` frames; calls `after` each round with its number and times. Returns what the system refused.
    ///
    /// # Errors
    /// A session that cannot be opened, or a frame without an overlay.
    pub fn stream(
        &mut self,
        file: &[u8],
        config: &SessionConfig<'_>,
        scheduling: Scheduling,
        (rounds, count): (u64, u64),
        mut after: impl FnMut(u64, String),
    ) -> Result<Warnings> {
        let payload_bytes = self.scan.iter().map(|frame| frame.1.len()).max().unwrap_or(0);
        let sizes = RingSizes { frames: 2, payload_bytes, overlays: 2, commands: 16, events: 64 };
        let mut regions = Region::each(sizes.region_bytes()?)?;
        let rings = Rings::create(regions.each_mut().map(Region::as_mut_slice), &sizes)?;
        self.memory_bytes = sonotrace::session::memory_required(file, config)?.bytes;
        let mut memory = Region::new(self.memory_bytes)?;
        let mut warnings = Warnings::default();
        warnings.note(memory.locked());
        let clock = SystemClock::start();
        let model = Model::parse(file)?;
        let mut session = Session::open(model, *config, memory.as_mut_slice(), Ports::of(&rings)?, clock)?;
        let mut producer = rings.frames.producer()?;
        let mut overlays = rings.overlays.consumer()?;
        let mut commands = rings.commands.producer()?;
        for prompt in &self.prompts {
            commands.prompt(*prompt)?;
        }
        prefault_stack();
        // Room for all, and used once, so that no frame waits for memory and none grows.
        let frames = (rounds * count) as usize;
        let used = Traced { seq: 1, due_ns: 1, latency_ns: 1, stage_ns: [1; STAGES], objects: 1 };
        self.latencies.resize(frames, FrameLatency { seq: 1, latency_ns: Some(1) });
        self.traced.resize(frames, used);
        self.latencies.clear();
        self.traced.clear();
        self.resident_bytes.reserve(rounds as usize);
        let bar = progress(rounds * count, "frames");
        session.with_helpers(scheduling, |session, refused| -> Result<()> {
            warnings.merge(*refused);
            if scheduling.priority.is_some() {
                warnings.note(lock_process());
            }
            let start_ns = clock.now_ns() + self.period_ns;
            for round in 0..rounds {
                let mut minute = StageTimes::new(&[])?;
                for index in round * count..(round + 1) * count {
                    let due_ns = start_ns + index * self.period_ns;
                    while clock.now_ns() < due_ns {
                        if self.poll(session, &mut overlays, &mut minute)? == Poll::Idle {
                            wait_until(&clock, due_ns);
                        }
                    }
                    let (descriptor, payload) = &self.scan[(index % self.scan.len() as u64) as usize];
                    let descriptor = FrameDescriptor {
                        seq: index + 1,
                        t_acq_ns: due_ns,
                        t_enqueue_ns: due_ns,
                        ..*descriptor
                    };
                    let _ = producer.push(&descriptor, payload)?;
                    // A scanner does not wait.
                    while config.policy == Policy::All && !self.has_overlay_of(index + 1) {
                        self.poll(session, &mut overlays, &mut minute)?;
                    }
                    bar.inc(1);
                }
                while self.poll(session, &mut overlays, &mut minute)? != Poll::Idle {}
                self.resident_bytes.push(resident_bytes());
                let ms = |share| minute.quantile_ns(TOTAL, share).unwrap_or(0) as f64 / 1e6;
                let (p50, p99, p999, max) = (ms(0.5), ms(0.99), ms(0.999), ms(1.0));
                after(round + 1, format!("p50 {p50:.2}, p99 {p99:.2}, p99.9 {p999:.2}, max {max:.2} ms"));
            }
            self.counters = session.counters();
            Ok(())
        })?;
        bar.finish_and_clear();
        Ok(warnings)
    }

    /// Polls once, and takes the overlays that came of it.
    fn poll(
        &mut self,
        session: &mut Session<'_, SystemClock>,
        overlays: &mut OverlayConsumer<'_>,
        minute: &mut StageTimes,
    ) -> Result<Poll> {
        let (poll, seen) = watch(|| session.poll());
        self.seen.allocations += seen.allocations;
        self.seen.page_faults += seen.page_faults;
        if let Poll::Dropped { seq, reason } = poll {
            bail!("frame {seq} has no overlay: it was dropped, {}", reason.name());
        }
        while let Some(overlay) = overlays.take() {
            if overlay.flags & overlay_flags::UPDATE == 0 {
                minute.record(&[], overlay.latency_ns);
                self.record(overlay);
            }
        }
        Ok(poll)
    }

    fn has_overlay_of(&self, seq: u64) -> bool {
        self.latencies.last().is_some_and(|frame| frame.seq >= seq)
    }

    fn record(&mut self, overlay: &Overlay) {
        let latency_ns = overlay.latency_ns;
        self.times.record(&overlay.stage_ns, latency_ns);
        self.latencies.push(FrameLatency { seq: overlay.seq, latency_ns: Some(latency_ns) });
        self.misses += u64::from(latency_ns > self.period_ns);
        self.traced.push(Traced {
            seq: overlay.seq,
            due_ns: overlay.t_acq_ns,
            latency_ns,
            stage_ns: overlay.stage_ns,
            objects: overlay.object_count,
        });
    }
}

/// Returns the memory of this process that is in use; 0 if the system does not tell.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    1024 * kilobytes.unwrap_or(0)
}

fn wait_until(clock: &SystemClock, due_ns: u64) {
    let left_ns = due_ns.saturating_sub(clock.now_ns());
    if left_ns > SPIN_NS {
        thread::sleep(Duration::from_nanos(left_ns - SPIN_NS));
    }
    while clock.now_ns() < due_ns {
        std::hint::spin_loop();
    }
}
