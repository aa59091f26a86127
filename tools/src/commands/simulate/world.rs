//! A whole scan: scanner, session, display and user, on one clock. Everything follows from the seed.

use super::checks::Checks;
use super::clock::CostClock;
use super::faults::{Fault, between, chance, one_of};
use super::scanner::{PAYLOAD_MAX, PERIOD_NS, View, descriptor, payload};
use crate::watch::watch;
use anyhow::{Context, Result, bail, ensure};
use sonotrace::format::{AlignedBytes, Model};
use sonotrace::hal::command::{PointSpace, Prompt, PromptKind};
use sonotrace::hal::frame::FrameDescriptor;
use sonotrace::hal::geometry::Point;
use sonotrace::hal::overlay::{Overlay, OverlayObject, PromptOutcome, Rung, State, overlay_flags};
use sonotrace::hal::ring::{
    CommandProducer, EventConsumer, FrameProducer, OverlayConsumer, RingSizes, Rings,
};
use sonotrace::session::{Counters, Policy, Poll, Ports, Session, SessionConfig, memory_required};
use sonotrace::vision::Display;
use sonotrace_sim::random::Random;
use std::collections::BTreeMap;

/// Least frames of a scan: a part with faults, one to recover, and one without.
pub const FRAMES_MIN: u64 = 300;
/// Frames within which all is well again after the last fault.
const RECOVERY_FRAMES: u64 = 90;
/// Frames after these, on which all must be well.
const CALM_FRAMES: u64 = 60;
/// Frames at the start, without faults.
const START_FRAMES: u64 = 12;
/// Share of the frames at which a fault begins.
const FAULTS: f32 = 0.15;
/// Readings of the clock in a call of `poll` besides those of its slice.
const OTHER_READINGS: u64 = 80;
/// Where the user clicks after the last fault, mm.
const LAST_CLICK: [f32; 2] = [4.0, 18.0];
/// Capacities of the rings.
const QUEUED: RingSizes =
    RingSizes { frames: 4, payload_bytes: PAYLOAD_MAX, overlays: 4, commands: 16, events: 64 };

/// A fault that the simulation adds on purpose to see that it is caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Canary {
    /// A stale contour is shown as a tracked one.
    StaleAsTracked,
    /// An overlay is delivered for another frame.
    WrongFrame,
    /// A frame gets two overlays.
    TwoOutcomes,
    /// The age of contours is too low.
    TooYoung,
    /// A frame that was abandoned changes the contours of later ones.
    LeftTraces,
}

/// What happened in a scan.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Frames committed.
    pub committed: u64,
    /// The session's totals.
    pub counters: Counters,
    /// How often each fault happened, by its place in [`Fault::ALL`].
    pub faults: [u64; Fault::ALL.len()],
    /// Frames with contours of their own that were computed again without faults, with the same result.
    pub compared: u64,
    /// Hash of all overlays and totals.
    pub digest: String,
}

/// A frame on its way to the ring.
struct Sent {
    descriptor: FrameDescriptor,
    payload: Vec<u8>,
    /// `None` if it is damaged.
    view: Option<View>,
}

/// Where the scanner is.
struct Stream {
    seq: u64,
    /// Sequence number before its first frame.
    base: u64,
    clock_id: u32,
    /// What its clock says less than ours.
    behind_ns: u64,
    view: View,
    epoch: u32,
}

/// The frames until which something lasts.
#[derive(Default)]
struct Until {
    burst: u64,
    frozen_frames: u64,
    freeze: u64,
    stalled: u64,
    slow: u64,
}

/// Memory of a scan.
pub struct Memory {
    rings: [AlignedBytes; 4],
    region: AlignedBytes,
}

impl Memory {
    /// Memory for a model.
    ///
    /// # Errors
    /// A model that is refused.
    pub fn new(file: &[u8], config: &SessionConfig<'_>) -> Result<Self> {
        Ok(Self {
            rings: QUEUED.region_bytes()?.map(AlignedBytes::zeroed),
            region: AlignedBytes::zeroed(memory_required(file, config)?.bytes),
        })
    }
}

/// A session, and the far ends of its rings.
struct Device<'m> {
    session: Session<'m, &'m CostClock>,
    frames: FrameProducer<'m>,
    overlays: OverlayConsumer<'m>,
    commands: CommandProducer<'m>,
    events: EventConsumer<'m>,
}

impl<'m> Device<'m> {
    fn open(
        file: &'m [u8],
        config: SessionConfig<'m>,
        memory: &'m mut Memory,
        clock: &'m CostClock,
    ) -> Result<Self> {
        let rings = Rings::create(memory.rings.each_mut().map(AlignedBytes::bytes_mut), &QUEUED)?;
        let ports = Ports::of(&rings)?;
        Ok(Self {
            session: Session::open(Model::parse(file)?, config, memory.region.bytes_mut(), ports, clock)?,
            frames: rings.frames.producer()?,
            overlays: rings.overlays.consumer()?,
            commands: rings.commands.producer()?,
            events: rings.events.consumer()?,
        })
    }
}

/// The objects of an overlay, for a comparison.
type Shown = Vec<(u32, Vec<[f32; 2]>)>;

/// The contours of a frame of its own.
struct Own {
    seq: u64,
    /// `None` if they went out with no overlay of that frame.
    objects: Option<Shown>,
}

/// What was counted when all must be well again, and the frames with good overlays since.
struct Calm {
    counters: Counters,
    first_seq: u64,
    good: u64,
}

/// A scan in progress.
pub struct World<'m> {
    random: Random,
    clock: &'m CostClock,
    config: SessionConfig<'m>,
    device: Device<'m>,
    checks: Checks,
    stream: Stream,
    until: Until,
    /// Frame at which each held frame is sent.
    held: Vec<(u64, Sent)>,
    /// When its first frame is due.
    start_ns: u64,
    /// Time before which the session's thread does not run.
    asleep_until_ns: u64,
    piece_ns: u64,
    /// The newest frame on the display.
    displayed: u64,
    /// Long after the last fault: what is known from then on.
    calm: Option<Calm>,
    /// Frames that were sent, if they are computed again later.
    kept: Option<BTreeMap<u64, Sent>>,
    /// The frames whose contours were computed, in order.
    own: Vec<Own>,
    is_noting: bool,
    canary: Option<Canary>,
    summary: Summary,
    hash: blake3::Hasher,
}

/// Returns the settings of a scan, and what a piece of work costs.
pub fn settings(seed: u64) -> (SessionConfig<'static>, u64, bool) {
    let mut random = Random::new(seed, 1);
    let only_timing = seed % 4 == 3;
    let config = SessionConfig {
        policy: Policy::Newest,
        kept_frames: between(&mut random, 1, 4) as u32,
        table_rows_per_frame: one_of(&mut random, &[4, 8, 32, u32::MAX]),
        checks_per_frame: if only_timing { 0 } else { between(&mut random, 0, 2) as u32 },
        correct_lost: seed % 2 == 1,
        display: Display::Raster { width: 96, height: 72 },
        ..SessionConfig::default()
    };
    // A frame with one object takes up to 200 pieces, and has 33 ms.
    (config, between(&mut random, 10_000, 100_000), only_timing)
}

impl<'m> World<'m> {
    /// A scan before its first frame.
    ///
    /// # Errors
    /// A model that is refused.
    pub fn new(
        file: &'m [u8],
        seed: u64,
        memory: &'m mut Memory,
        clock: &'m CostClock,
        canary: Option<Canary>,
    ) -> Result<Self> {
        let (config, piece_ns, only_timing) = settings(seed);
        clock.set_piece(piece_ns);
        Ok(Self {
            random: Random::new(seed, 2),
            clock,
            config,
            device: Device::open(file, config, memory, clock)?,
            checks: Checks::default(),
            stream: Stream { seq: 0, base: 0, clock_id: 0, behind_ns: 0, view: View::Linear, epoch: 1 },
            until: Until::default(),
            held: Vec::new(),
            start_ns: clock.peek_ns(),
            asleep_until_ns: 0,
            piece_ns,
            displayed: 0,
            calm: None,
            kept: only_timing.then(BTreeMap::new),
            own: Vec::new(),
            is_noting: only_timing,
            canary,
            summary: Summary::default(),
            hash: blake3::Hasher::new(),
        })
    }

    /// Runs the scan; `each_frame` is called once for each frame.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn run(mut self, file: &[u8], frames: u64, each_frame: &dyn Fn()) -> Result<Summary> {
        let faults = START_FRAMES..frames - RECOVERY_FRAMES - CALM_FRAMES;
        self.start_ns = self.clock.peek_ns();
        self.first_prompts().into_iter().for_each(|prompt| self.prompt(prompt));
        for frame in 0..frames {
            each_frame();
            let due_ns = self.start_ns + frame * PERIOD_NS;
            let step = self.frame(frame, due_ns, &faults);
            step.with_context(|| format!("at frame {frame} of the scan"))?;
            if frame == frames - CALM_FRAMES {
                let (counters, first_seq) =
                    (self.device.session.counters(), self.stream.base + self.stream.seq);
                self.calm = Some(Calm { counters, first_seq, good: 0 });
            }
        }
        self.run_until(self.start_ns + frames * PERIOD_NS)?;
        self.check_calm().context("long after the last fault")?;
        self.compare(file).context("the computed frames alone, without faults, give other contours")?;
        self.summary.counters = self.device.session.finish();
        ensure!(
            self.summary.counters.outcomes() == self.summary.committed,
            "{} frames were committed, but {} have an outcome: {:?}",
            self.summary.committed,
            self.summary.counters.outcomes(),
            self.summary.counters
        );
        self.hash.update(format!("{:?}", self.summary.counters).as_bytes());
        self.summary.digest = self.hash.finalize().to_hex()[..16].to_owned();
        Ok(self.summary)
    }

    /// Lets the session run until a frame is due, and sends it, or what comes in its place.
    fn frame(&mut self, frame: u64, due_ns: u64, faults: &std::ops::Range<u64>) -> Result<()> {
        self.run_until(due_ns)?;
        if frame == faults.end {
            self.end_faults();
        }
        if frame == faults.end + RECOVERY_FRAMES / 2 {
            // The user begins anew. What was computed so far can be computed again.
            self.is_noting = false;
            for object in 1..=12 {
                self.prompt(Prompt { kind: PromptKind::Remove, ..self.click(object, [0.0; 2], 0) });
            }
            self.prompt(self.click(1, LAST_CLICK, 0));
        }
        let fault = if faults.contains(&frame) && chance(&mut self.random, FAULTS) {
            Some(self.fault())
        } else {
            None
        };
        if let Some(fault) = fault {
            let at = Fault::ALL.iter().position(|&other| other == fault).unwrap_or(0);
            self.summary.faults[at] += 1;
        }
        if frame == self.until.freeze {
            let _ = self.device.commands.set_frozen(false);
        }
        if frame == self.until.slow {
            self.clock.set_piece(self.piece_ns);
        }
        if fault == Some(Fault::Restart) {
            self.restart(due_ns);
        }
        let mut sent = self.acquire(due_ns, frame < self.until.frozen_frames);
        match fault {
            None | Some(Fault::Restart) => {}
            Some(Fault::Late) => {
                let at = frame + between(&mut self.random, 1, 4);
                self.held.push((at, sent));
                return self.release(frame);
            }
            Some(Fault::Burst) => self.until.burst = frame + between(&mut self.random, 1, 6),
            Some(Fault::Duplicate) => {
                let again = Sent { payload: sent.payload.clone(), ..sent };
                self.send(again)?;
            }
            Some(Fault::Torn) => {
                let at = between(&mut self.random, 0, sent.payload.len() as u64 - 1) as usize;
                sent.payload[at] ^= 0x41;
                sent.view = None;
            }
            Some(Fault::Malformed | Fault::Noise) => self.damage(&mut sent, fault == Some(Fault::Noise)),
            Some(Fault::Missing) => return self.release(frame),
            Some(Fault::FrozenFrames) => self.until.frozen_frames = frame + between(&mut self.random, 1, 8),
            Some(Fault::Freeze) => {
                if self.device.commands.set_frozen(true).is_ok() {
                    self.until.freeze = frame + between(&mut self.random, 1, 20);
                }
            }
            Some(Fault::StalledConsumer) => self.until.stalled = frame + between(&mut self.random, 2, 40),
            Some(Fault::Overrun) => {
                let pieces = between(&mut self.random, 0, 300);
                self.clock.overrun(pieces, between(&mut self.random, 2, 400) * 1_000_000);
            }
            Some(Fault::Slow) => {
                self.until.slow = frame + between(&mut self.random, 10, 120);
                let factor = 1.0 + 6.0 * self.random.uniform();
                self.clock.set_piece((self.piece_ns as f32 * factor) as u64);
            }
            Some(Fault::Unscheduled) => {
                self.asleep_until_ns = due_ns + between(&mut self.random, 5, 700) * 1_000_000;
            }
            Some(Fault::View) => {
                self.stream.view = one_of(&mut self.random, &View::ALL);
                self.stream.epoch += 1;
            }
            Some(Fault::Prompts) => self.prompts(),
        }
        if frame < self.until.burst {
            self.held.push((self.until.burst, sent));
        } else {
            self.send(sent)?;
        }
        self.release(frame)
    }

    /// Sends the held frames that are due.
    fn release(&mut self, frame: u64) -> Result<()> {
        while let Some(at) = self.held.iter().position(|(at, _)| *at <= frame) {
            let (_, sent) = self.held.remove(at);
            self.send(sent)?;
        }
        Ok(())
    }

    fn fault(&mut self) -> Fault {
        if self.kept.is_some() {
            one_of(&mut self.random, &Fault::OF_TIMING)
        } else {
            one_of(&mut self.random, &Fault::ALL)
        }
    }

    fn end_faults(&mut self) {
        self.until = Until { slow: u64::MAX, freeze: u64::MAX, ..Until::default() };
        self.asleep_until_ns = 0;
        self.clock.set_piece(self.piece_ns);
        let _ = self.device.commands.set_frozen(false);
        if self.stream.view != View::Linear {
            self.stream.view = View::Linear;
            self.stream.epoch += 1;
        }
    }

    // The scanner.

    fn acquire(&mut self, due_ns: u64, is_frozen: bool) -> Sent {
        self.stream.seq += 1;
        let Stream { seq, base, clock_id, behind_ns, view, epoch } = self.stream;
        let mut descriptor = descriptor(base + seq, due_ns - behind_ns, clock_id, view, epoch);
        let payload = payload(&descriptor, &mut self.random);
        descriptor.crc32 = crc32fast::hash(&payload);
        if is_frozen {
            descriptor.flags |= sonotrace::hal::frame::flags::FROZEN;
        }
        Sent { descriptor, payload, view: Some(view) }
    }

    /// Writes random words into a descriptor, or noise all over it, but for its place in the stream.
    fn damage(&mut self, sent: &mut Sent, is_noise: bool) {
        let FrameDescriptor { seq, t_acq_ns, clock_id, .. } = sent.descriptor;
        let words: &mut [u32] = bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(&mut sent.descriptor));
        if is_noise {
            words[2..].iter_mut().for_each(|word| *word = self.random.next_u64() as u32);
        } else {
            for _ in 0..between(&mut self.random, 1, 4) {
                let at = between(&mut self.random, 0, words.len() as u64 - 1) as usize;
                let bits =
                    [0, 1, u32::MAX, f32::NAN.to_bits(), 1e30f32.to_bits(), self.random.next_u64() as u32];
                words[at] = one_of(&mut self.random, &bits);
            }
        }
        sent.descriptor = FrameDescriptor { seq, t_acq_ns, clock_id, ..sent.descriptor };
        sent.view = None;
    }

    fn restart(&mut self, due_ns: u64) {
        // Below all numbers so far, or on another clock.
        self.held.clear();
        self.until.burst = 0;
        self.stream.clock_id += 1;
        self.stream.base = between(&mut self.random, 1, 1 << 40) << 20;
        (self.stream.seq, self.stream.behind_ns) = (0, due_ns - between(&mut self.random, 0, 1_000_000_000));
        self.checks.restart();
    }

    fn send(&mut self, sent: Sent) -> Result<()> {
        let mut descriptor = sent.descriptor;
        descriptor.t_enqueue_ns = self.clock.peek_ns();
        let mut slot = self.device.frames.acquire()?;
        *slot.descriptor_mut() = descriptor;
        let room = slot.payload_mut();
        let bytes = sent.payload.len().min(room.len());
        room[..bytes].copy_from_slice(&sent.payload[..bytes]);
        let _ = slot.commit();
        self.summary.committed += 1;
        self.checks.commit(&descriptor, sent.view);
        if let Some(kept) = self.kept.as_mut().filter(|_| sent.view.is_some()) {
            kept.insert(descriptor.seq, Sent { descriptor, ..sent });
        }
        // Two frames are not committed at the same time. The times between them differ, so that an age tells the frame.
        let apart_ns = between(&mut self.random, 1, 100_000);
        self.clock.pass_until(self.clock.peek_ns() + apart_ns);
        Ok(())
    }

    // The user.

    fn click(&self, object: u32, [x, y]: [f32; 2], seq: u64) -> Prompt {
        let kind = PromptKind::Click { at: Point { x, y }, is_positive: true };
        Prompt { object, seq, space: PointSpace::Plane, kind }
    }

    fn prompt(&mut self, prompt: Prompt) {
        // A full ring refuses it.
        if self.device.commands.prompt(prompt).is_ok() {
            self.checks.prompt(prompt.object);
        }
    }

    fn prompts(&mut self) {
        for _ in 0..between(&mut self.random, 1, 6) {
            let random = &mut self.random;
            let object = between(random, 1, 12) as u32;
            let [x, y] = [60.0 * random.uniform() - 30.0, 50.0 * random.uniform() - 2.0];
            let seq = match between(random, 0, 5) {
                0 => 0,
                1 => self.displayed.saturating_sub(between(random, 0, 60)),
                2 => self.displayed + between(random, 1, 1000),
                _ => self.displayed,
            };
            let at = Point { x, y };
            let to = Point { x: x + 12.0 * random.uniform(), y: y + 12.0 * random.uniform() - 2.0 };
            let kind = match between(random, 0, 6) {
                0 => PromptKind::Remove,
                1 => PromptKind::Click { at, is_positive: false },
                2 | 3 => PromptKind::Box { from: at, to },
                _ => PromptKind::Click { at, is_positive: true },
            };
            let space = one_of(random, &[PointSpace::Plane, PointSpace::LineSample, PointSpace::Display]);
            self.prompt(Prompt { object, seq, space, kind });
        }
    }

    // The session's thread, and the display.

    fn run_until(&mut self, due_ns: u64) -> Result<()> {
        while self.clock.peek_ns() < due_ns {
            if self.clock.peek_ns() < self.asleep_until_ns {
                self.clock.pass_until(self.asleep_until_ns.min(due_ns));
                continue;
            }
            let poll = self.poll()?;
            if self.until.stalled == 0 || self.frame_now() >= self.until.stalled {
                self.until.stalled = 0;
                self.fetch()?;
            }
            if poll == Poll::Idle {
                self.clock.pass_until(due_ns);
            }
        }
        Ok(())
    }

    /// The number of the frame that comes next, counted from the start of the scan.
    fn frame_now(&self) -> u64 {
        (self.clock.peek_ns() - self.start_ns) / PERIOD_NS
    }

    fn poll(&mut self) -> Result<Poll> {
        let session = &mut self.device.session;
        let (before, beat, readings) = (session.counters(), session.heartbeat(), self.clock.readings());
        let (poll, seen) = watch(|| session.poll());
        let after = session.counters();
        ensure!(seen.allocations == 0, "a call of poll allocated {} times", seen.allocations);
        ensure!(session.heartbeat() == beat + 1, "the heartbeat went from {beat} to {}", session.heartbeat());
        let readings = self.clock.readings() - readings;
        let pieces = self.config.slice_ns / self.piece_ns;
        ensure!(
            readings <= pieces + OTHER_READINGS,
            "a call of poll did {readings} pieces of work, not {pieces}"
        );
        self.checks.poll(poll, &before, &after, self.device.frames.backlog())?;
        if let (true, Poll::Computed(seq)) = (self.is_noting, poll) {
            self.own.push(Own { seq, objects: None });
        }
        while let Some(event) = self.device.events.take() {
            self.hash.update(bytemuck::bytes_of(&event));
        }
        Ok(poll)
    }

    fn fetch(&mut self) -> Result<()> {
        while let Some(view) = self.device.overlays.take() {
            let mut overlay = Box::new(*view);
            self.hash.update(bytemuck::bytes_of(&*overlay));
            self.sing(&mut overlay);
            self.displayed = overlay.seq;
            self.checks.overlay(&overlay, self.clock.peek_ns())?;
            if self.canary == Some(Canary::TwoOutcomes) && overlay.seq % 64 == 40 {
                self.checks.overlay(&overlay, self.clock.peek_ns())?;
            }
            for answer in overlay.answers() {
                ensure!(PromptOutcome::from_wire(answer.outcome).is_some(), "answer {answer:?}");
            }
            if self.is_noting {
                self.note_own(&overlay)?;
            }
            if let Some(calm) = &mut self.calm {
                calm.good += u64::from(overlay.seq >= calm.first_seq && is_good(&overlay));
            }
        }
        Ok(())
    }

    /// Falsifies an overlay, if a canary is asked for.
    fn sing(&self, overlay: &mut Overlay) {
        let is_repeated = overlay.rung >= Rung::Spread as u32;
        match self.canary {
            Some(Canary::StaleAsTracked) if is_repeated => {
                for object in &mut overlay.objects {
                    if object.state == State::Stale as u32 {
                        object.state = State::Tracked as u32;
                    }
                }
                overlay.state = overlay.objects().iter().map(|object| object.state).max().unwrap_or(0);
            }
            Some(Canary::WrongFrame) if overlay.seq % 64 == 33 => overlay.seq += 1,
            Some(Canary::TooYoung) if overlay.age_ns > PERIOD_NS => overlay.age_ns -= PERIOD_NS / 2,
            Some(Canary::LeftTraces) if !is_repeated && overlay.seq > 100 => {
                overlay.objects.iter_mut().for_each(|object| object.contour_px[0][0] += 0.25);
            }
            _ => {}
        }
    }

    /// Notes contours of a frame's own, or the frame that repeated ones are of.
    fn note_own(&mut self, overlay: &Overlay) -> Result<()> {
        let is_update = overlay.flags & overlay_flags::UPDATE != 0;
        if overlay.rung < Rung::Spread as u32 {
            self.own.push(Own { seq: overlay.seq, objects: Some(shown(overlay)) });
        } else if is_update {
            // On the same display: the view does not change here.
            let seq = self.checks.source_of(overlay).context("contours of no frame")?;
            self.own.push(Own { seq, objects: Some(shown(overlay)) });
        }
        Ok(())
    }

    // What must hold at the end.

    /// Long after the last fault, each frame has had its overlay in time, with contours of its own.
    fn check_calm(&self) -> Result<()> {
        let Some(Calm { counters: before, good, .. }) = &self.calm else { bail!("the scan is too short") };
        let after = self.device.session.counters();
        let missed = after.deadline_misses - before.deadline_misses;
        let dropped = after.drops.iter().sum::<u64>() - before.drops.iter().sum::<u64>();
        ensure!(missed == 0 && dropped == 0, "{missed} deadlines were missed, {dropped} frames dropped");
        // The last ones may still wait.
        ensure!(
            *good + 2 >= CALM_FRAMES,
            "only {good} of {CALM_FRAMES} overlays show the object, where it is, as tracked"
        );
        Ok(())
    }

    /// Computes the frames again whose contours were computed, and no others, one after the other: frames that were dropped, late
    /// or abandoned have changed nothing.
    fn compare(&mut self, file: &[u8]) -> Result<()> {
        let Some(kept) = self.kept.take() else { return Ok(()) };
        let clock = CostClock::new(1000);
        let config = SessionConfig { policy: Policy::All, ..self.config };
        let mut memory = Memory::new(file, &config)?;
        let mut device = Device::open(file, config, &mut memory, &clock)?;
        for prompt in self.first_prompts() {
            device.commands.prompt(prompt)?;
        }
        let mut last = 0;
        for Own { seq, objects } in &self.own {
            if *seq > last {
                let sent = kept.get(seq).with_context(|| format!("frame {seq} was never sent"))?;
                let _ = device.frames.push(&sent.descriptor, &sent.payload)?;
                while device.session.poll() != Poll::Idle {}
                last = *seq;
            }
            let overlay = core::iter::from_fn(|| device.overlays.take().map(shown)).last();
            let Some(again) = overlay else { continue };
            if let Some(objects) = objects {
                ensure!(*objects == again, "frame {seq}: {}", difference(objects, &again));
                self.summary.compared += 1;
            }
        }
        Ok(())
    }

    fn first_prompts(&self) -> [Prompt; 2] {
        [self.click(1, [0.0, 20.0], 0), self.click(2, [-10.0, 8.0], 0)]
    }
}

/// Whether an overlay shows the object of the last prompt where it is.
fn is_good(overlay: &Overlay) -> bool {
    let [object] = overlay.objects() else { return false };
    let [x, y] = object.centroid_mm;
    let is_there = (x - LAST_CLICK[0]).hypot(y - LAST_CLICK[1]) < 3.0;
    let is_own = overlay.rung < Rung::Spread as u32 && object.state == State::Tracked as u32;
    is_there && is_own && overlay.flags & overlay_flags::UPDATE == 0
}

fn difference(one: &Shown, two: &Shown) -> String {
    let ids = |shown: &Shown| shown.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    if ids(one) != ids(two) {
        return format!("objects {:?} and {:?}", ids(one), ids(two));
    }
    let differs = one.iter().zip(two).find(|(a, b)| a != b);
    differs.map_or_else(String::new, |((id, a), (_, b))| {
        let at = a.iter().zip(b).position(|(a, b)| a != b);
        format!("object {id}: {} and {} points, the first difference at {at:?}", a.len(), b.len())
    })
}

fn shown(overlay: &Overlay) -> Shown {
    let of = |object: &OverlayObject| (object.id, object.contour_px().to_vec());
    overlay.objects().iter().map(of).collect()
}
