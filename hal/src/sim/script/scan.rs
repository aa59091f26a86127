//! Plays a script: for each frame of the scan, everything that happens and what the front end hands over.

use super::{Action, FRAMES_AGO_MAX, Mark, Script, ScriptPrompt, ScriptShadow, Trap};
use crate::command::{Prompt, PromptKind, Space};
use crate::frame::{FrameDescriptor, flags};
use crate::geometry::Point;
use crate::sim::field::Reach;
use crate::sim::phantom::TruthObject;
use crate::sim::random::smooth_step;
use crate::sim::shade::Shadow;
use crate::sim::{Body, Conditions, SimError, SimFrame, Simulator, field};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many newer frames overtake a [`Trap::Late`] frame.
pub const LATE_FRAMES: u64 = 2;
/// Times of events are decimal fractions, those of frames are not: this late is not late.
const SLACK_S: f64 = 1e-9;

/// What a receiver is to make of a delivery, in general terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A good frame, newer than all before it.
    Good,
    /// Refused: by [`FrameProducer::push`](crate::ring::FrameProducer::push) where the bytes given are fewer than
    /// announced or more than the ring was made for, else by the check of the descriptor or of the payload.
    Malformed,
    /// Well formed, and not newer than a good frame before it.
    OutOfOrder,
    /// Well formed, and flagged as frozen.
    Frozen,
    /// A good frame whose clock or count has started anew, so that it seems old. Those that follow are [`Self::Good`],
    /// for a receiver that has understood.
    Restarted,
}

/// One frame handed over: what to push into a ring.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its descriptor; `t_enqueue_ns` is left to whoever pushes it.
    pub descriptor: FrameDescriptor,
    /// Its bytes; not always as many as the descriptor announces.
    pub payload: Vec<u8>,
    /// What it is to be taken for.
    pub expected: Expected,
    /// What is wrong with it, or special about it.
    pub trap: Option<Trap>,
    /// The truth about each object, for [`Expected::Good`] and [`Expected::Restarted`]; else empty.
    pub truth: Vec<TruthObject>,
}

/// What the user asks of the session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Request {
    /// The image is frozen.
    Freeze,
    /// The image is live again.
    Resume,
    /// A prompt, on the frame that the user looked at.
    Prompt(Prompt),
}

/// What happens at one frame time.
#[derive(Debug, Clone)]
pub struct Step {
    /// Number of the frame time, from 0.
    pub index: u64,
    /// Its time, from the start of the scan.
    pub time_s: f64,
    /// What the user asks before the frame comes, in order.
    pub requests: Vec<Request>,
    /// What is to be pushed, in order: nothing while a frame is missing or held back, two for a duplicate.
    pub deliveries: Vec<Delivery>,
    /// The trap that acts on this frame time's own frame.
    pub trap: Option<Trap>,
}

/// Where the probe is on its way.
#[derive(Debug, Clone, Copy, Default)]
struct Slide {
    from_mm: f32,
    to_mm: f32,
    start_s: f64,
    over_s: f32,
}

impl Slide {
    fn at_mm(&self, time_s: f64) -> f32 {
        let passed_s = (time_s - self.start_s) as f32;
        if passed_s >= self.over_s {
            return self.to_mm;
        }
        self.from_mm + (self.to_mm - self.from_mm) * smooth_step(passed_s / self.over_s)
    }
}

/// A script being played: an iterator over the frame times of the scan. The same script gives the same steps.
#[derive(Debug)]
pub struct ScriptedScan {
    script: Script,
    /// One for each geometry that occurs; all look at the same body.
    simulators: Vec<Simulator>,
    /// By how many times the geometry was turned: which simulator it was turned to.
    turns: Vec<usize>,
    /// Number of the next event.
    event: usize,
    index: u64,
    turned: usize,
    /// The simulator that the last live frame came from.
    current: usize,
    epoch: u32,
    conditions: Conditions,
    slide: Slide,
    is_frozen: bool,
    traps: VecDeque<Trap>,
    /// Frames still to go missing.
    missing: u32,
    has_gap: bool,
    /// Frame times that the clock and the count started at.
    clock_start: u64,
    seq_start: u64,
    /// Late frames, and the frame time after which they are delivered.
    held: Vec<(u64, Delivery)>,
    /// The last good frame, which a frozen image shows.
    shown: Option<(FrameDescriptor, Vec<u8>)>,
    /// Sequence number and truth of the last good frames, the newest last.
    history: VecDeque<(u64, Vec<TruthObject>)>,
}

impl ScriptedScan {
    /// Sets up the scan: draws the body as far as it is ever seen, and the tables of each geometry.
    ///
    /// # Errors
    /// [`SimError`] if the settings do not make a scan, which [`Script::parse`] has found out before.
    pub fn new(script: &Script) -> Result<Self, SimError> {
        let mut config = script.settings().config();
        let mut configs = vec![config.clone()];
        let mut turns = vec![0];
        let mut reach = Reach::from(field(&config)?);
        for event in script.events() {
            if let Action::Slide { to_mm, .. } = event.action {
                reach = reach.slid(to_mm);
            }
            if event.action.turn(&mut config) {
                reach = reach.including(field(&config)?);
                let known = configs.iter().position(|other| *other == config);
                turns.push(known.unwrap_or(configs.len()));
                if known.is_none() {
                    configs.push(config.clone());
                }
            }
        }
        let body = Arc::new(Body::draw(config.anatomy, reach, config.seed));
        let simulators = configs.into_iter().map(|config| Simulator::of(Arc::clone(&body), config));
        Ok(Self {
            script: script.clone(),
            simulators: simulators.collect::<Result<_, _>>()?,
            turns,
            event: 0,
            index: 0,
            turned: 0,
            current: 0,
            epoch: 1,
            conditions: Conditions::default(),
            slide: Slide::default(),
            is_frozen: false,
            traps: VecDeque::new(),
            missing: 0,
            has_gap: false,
            clock_start: 0,
            seq_start: 0,
            held: Vec::new(),
            shown: None,
            history: VecDeque::new(),
        })
    }

    /// Bytes of the payload of a good frame: what a ring for this scan is made for.
    pub fn payload_bytes(&self) -> usize {
        self.script.settings().config().descriptor().payload_bytes as usize
    }

    /// Lets everything happen that is due, and collects what the user asks.
    fn act(&mut self, time_s: f64) -> Vec<Request> {
        let mut requests = Vec::new();
        while let Some(event) = self.script.events().get(self.event).copied() {
            if event.at_s > time_s + SLACK_S {
                break;
            }
            self.event += 1;
            match event.action {
                Action::Gain { change_db } => self.conditions.more_gain_db += change_db,
                Action::Slide { to_mm, over_s } => {
                    let from_mm = self.slide.at_mm(event.at_s);
                    self.slide = Slide { from_mm, to_mm, start_s: event.at_s, over_s };
                }
                Action::Depth { .. } | Action::Sector { .. } | Action::Width { .. } => self.turned += 1,
                Action::Freeze => {
                    self.is_frozen = true;
                    requests.push(Request::Freeze);
                }
                Action::Resume => {
                    self.is_frozen = false;
                    requests.push(Request::Resume);
                }
                Action::Shadow(shadow) => self.conditions.shadow = shadow.map(|shadow| self.shadow(shadow)),
                Action::Trap(trap) => self.traps.push_back(trap),
                // After all else that is due, on what is on the screen before the frame comes.
                Action::Prompt(prompt) => {
                    self.conditions.slide_mm = self.slide.at_mm(time_s);
                    requests.extend(self.prompt(prompt).map(Request::Prompt));
                }
            }
        }
        self.conditions.slide_mm = self.slide.at_mm(time_s);
        requests
    }

    fn shadow(&self, shadow: ScriptShadow) -> Shadow {
        let unit = if self.script.settings().probe.is_linear() { 1.0 } else { core::f32::consts::PI / 180.0 };
        let (from, to) = (shadow.from * unit, shadow.to * unit);
        Shadow { from, to, depth_mm: shadow.below_mm, loss_db: shadow.loss_db }
    }

    /// The prompt on the frame that the user looked at; on the frame to come if none was ever shown.
    fn prompt(&self, prompt: ScriptPrompt) -> Option<Prompt> {
        let newest = self.history.len().checked_sub(1);
        let seen = newest.map(|newest| &self.history[newest.saturating_sub(prompt.frames_ago as usize)]);
        let (seq, truth) = match seen {
            Some((seq, truth)) => (*seq, truth.clone()),
            None => (0, self.simulators[self.current].truth_under(self.index, &self.conditions)),
        };
        // A script names only objects that its phantom has.
        let named = |name: &str| truth.iter().find(|object| object.name == name);
        let kind = match prompt.mark {
            Mark::Click { name } => PromptKind::Click { at: named(name)?.click_mm, is_positive: true },
            Mark::NotHere { name } => PromptKind::Click { at: named(name)?.click_mm, is_positive: false },
            Mark::Box { name } => {
                let (from, to) = bounds(&named(name)?.contour_mm);
                PromptKind::Box { from, to }
            }
            Mark::Remove => PromptKind::Remove,
        };
        Some(Prompt { object: prompt.object, seq, space: Space::Plane, kind })
    }

    /// The descriptor's numbers, times and flags at this frame time.
    fn stamp(&self, descriptor: FrameDescriptor, more_flags: u32) -> FrameDescriptor {
        let simulator = &self.simulators[self.current];
        FrameDescriptor {
            seq: self.index - self.seq_start + 1,
            t_acq_ns: simulator.t_acq_ns(self.index) - simulator.t_acq_ns(self.clock_start),
            flags: descriptor.flags | more_flags,
            ..descriptor
        }
    }

    /// A live frame, and the truth about it.
    fn render(&mut self) -> Delivery {
        let wanted = self.turns[self.turned];
        if wanted != self.current {
            self.current = wanted;
            self.epoch += 1;
        }
        let SimFrame { descriptor, payload, truth } =
            self.simulators[self.current].frame_under(self.index, &self.conditions);
        let gap = if core::mem::take(&mut self.has_gap) { flags::GAP_BEFORE } else { 0 };
        let descriptor = FrameDescriptor { geometry_epoch: self.epoch, ..self.stamp(descriptor, gap) };
        Delivery { descriptor, payload, expected: Expected::Good, trap: None, truth }
    }

    /// What a frozen image repeats; the frame to come if none was ever shown.
    fn repeat(&mut self) -> Delivery {
        let (descriptor, payload) = match &self.shown {
            Some(shown) => shown.clone(),
            None => {
                let frame = self.render();
                self.shown = Some((frame.descriptor, frame.payload.clone()));
                (frame.descriptor, frame.payload)
            }
        };
        let descriptor = self.stamp(descriptor, flags::FROZEN);
        Delivery { descriptor, payload, expected: Expected::Frozen, trap: None, truth: Vec::new() }
    }

    /// The live frame of this frame time, with what befalls it.
    fn deliver(&mut self, trap: Option<Trap>) -> Vec<Delivery> {
        match trap {
            Some(Trap::ClockRestart) => {
                self.clock_start = self.index;
                self.held.clear();
            }
            Some(Trap::SeqRestart) => {
                self.seq_start = self.index;
                self.held.clear();
                // Their numbers now mean other frames.
                self.history.clear();
            }
            Some(Trap::Missing { frames }) => {
                self.missing = frames - 1;
                self.has_gap = true;
                return Vec::new();
            }
            _ => {}
        }
        let good = self.render();
        let mut deliveries = match trap {
            None => vec![self.show(good)],
            Some(trap) => self.spring(trap, good),
        };
        let now = self.index;
        let due = |(at, _): &(u64, Delivery)| *at <= now;
        if deliveries.iter().any(|delivery| delivery.expected == Expected::Good) {
            deliveries.extend(self.held.iter().filter(|held| due(held)).map(|(_, late)| late.clone()));
            self.held.retain(|held| !due(held));
        }
        deliveries
    }

    /// What becomes of a good frame that falls into a trap.
    fn spring(&mut self, trap: Trap, good: Delivery) -> Vec<Delivery> {
        let stride_bytes = good.descriptor.stride_bytes;
        let bad = |delivery: Delivery| {
            vec![Delivery { expected: Expected::Malformed, trap: Some(trap), truth: Vec::new(), ..delivery }]
        };
        match trap {
            Trap::Missing { .. } => Vec::new(),
            Trap::Late => {
                let late =
                    Delivery { expected: Expected::OutOfOrder, trap: Some(trap), truth: Vec::new(), ..good };
                self.held.push((self.index + LATE_FRAMES, late));
                Vec::new()
            }
            Trap::Duplicate => {
                let again = Delivery {
                    expected: Expected::OutOfOrder,
                    trap: Some(trap),
                    truth: Vec::new(),
                    ..good.clone()
                };
                vec![self.show(good), again]
            }
            Trap::ClockRestart | Trap::SeqRestart => {
                let restarted = Delivery { expected: Expected::Restarted, trap: Some(trap), ..good };
                vec![self.show(restarted)]
            }
            Trap::ShortPayload => {
                let mut short = good;
                short.payload.truncate(short.payload.len() - stride_bytes as usize);
                bad(short)
            }
            Trap::ShortAnnounced => {
                let mut short = good;
                short.descriptor.payload_bytes -= stride_bytes;
                bad(short)
            }
            Trap::LongPayload => {
                let mut long = good;
                long.descriptor.payload_bytes += stride_bytes;
                long.payload.extend_from_within(..stride_bytes as usize);
                bad(with_checksum(long))
            }
            Trap::Corrupt => {
                let mut corrupt = good;
                let middle = corrupt.payload.len() / 2;
                corrupt.payload[middle] ^= 0x10;
                bad(corrupt)
            }
            Trap::BadGeometry => {
                let mut lie = good;
                lie.descriptor.last_depth_mm = f32::NAN;
                bad(lie)
            }
            Trap::ImpossibleGeometry => {
                let mut lie = good;
                let descriptor = &mut lie.descriptor;
                (descriptor.first_depth_mm, descriptor.last_depth_mm) =
                    (descriptor.last_depth_mm, descriptor.first_depth_mm);
                bad(lie)
            }
            Trap::Large { lines } => {
                let mut large = good;
                let (own, stride_bytes) = (large.descriptor.lines, stride_bytes as usize);
                let nearest = |line: u32| (u64::from(line) * u64::from(own) / u64::from(lines)) as usize;
                let line = |at: usize| large.payload[at * stride_bytes..][..stride_bytes].iter().copied();
                large.payload = (0..lines).flat_map(|at| line(nearest(at))).collect();
                large.descriptor.lines = lines;
                large.descriptor.payload_bytes = lines * stride_bytes as u32;
                bad(with_checksum(large))
            }
        }
    }

    /// Notes a good frame as what is on the screen.
    fn show(&mut self, good: Delivery) -> Delivery {
        self.shown = Some((good.descriptor, good.payload.clone()));
        self.history.push_back((good.descriptor.seq, good.truth.clone()));
        if self.history.len() > FRAMES_AGO_MAX as usize + 1 {
            self.history.pop_front();
        }
        good
    }
}

impl Iterator for ScriptedScan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let settings = *self.script.settings();
        if self.index >= settings.frames() {
            return None;
        }
        let time_s = self.index as f64 / f64::from(settings.rate_hz);
        let requests = self.act(time_s);
        let (mut trap, mut deliveries) = (None, Vec::new());
        if self.is_frozen {
            deliveries.push(self.repeat());
        } else if self.missing > 0 {
            trap = Some(Trap::Missing { frames: self.missing });
            self.missing -= 1;
        } else {
            trap = self.traps.pop_front();
            deliveries = self.deliver(trap);
        }
        let step = Step { index: self.index, time_s, requests, deliveries, trap };
        self.index += 1;
        Some(step)
    }
}

/// The checksum of what it now holds.
fn with_checksum(mut delivery: Delivery) -> Delivery {
    delivery.descriptor.crc32 = crc32fast::hash(&delivery.payload);
    delivery
}

/// Top left and bottom right corner of the upright rectangle around a contour.
fn bounds(contour: &[Point]) -> (Point, Point) {
    let first = contour.first().copied().unwrap_or_default();
    contour.iter().fold((first, first), |(least, most), at| {
        (
            Point { x: least.x.min(at.x), y: least.y.min(at.y) },
            Point { x: most.x.max(at.x), y: most.y.max(at.y) },
        )
    })
}
