//! Plays a script: for each frame time of the scan, the requests of the user and the frames of the front end.

use super::delivery::{Delivery, Expected};
use super::events::{Action, FRAMES_AGO_MAX, Fault, LATE_FRAMES, Mark, Script, ScriptPrompt, ScriptShadow};
use crate::config::SimError;
use crate::field::ScannedRegion;
use crate::phantom::TruthObject;
use crate::random::smooth_step;
use crate::shadow::Shadow;
use crate::simulator::{Body, Conditions, SimFrame, Simulator};
use sonotrace_hal::command::{PointSpace, Prompt, PromptKind};
use sonotrace_hal::frame::{FrameDescriptor, flags};
use sonotrace_hal::geometry::Point;
use std::collections::VecDeque;
use std::sync::Arc;

/// Tolerance between times of events, which are decimal fractions, and times of frames, which are not.
const SLACK_S: f64 = 1e-9;

/// A request of the user to the session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Request {
    /// The image is frozen.
    Freeze,
    /// The image is live again.
    Resume,
    /// A prompt, made on a displayed frame.
    Prompt(Prompt),
}

/// What happens at one frame time.
#[derive(Debug, Clone)]
pub struct Step {
    /// Number of the frame time, from 0.
    pub index: u64,
    /// Its time, from the start of the scan.
    pub time_s: f64,
    /// Requests of the user before the frame arrives, in order.
    pub requests: Vec<Request>,
    /// Frames to push, in order: none if the frame is missing or late, two if it is a duplicate.
    pub deliveries: Vec<Delivery>,
    /// The fault of this frame time's own frame.
    pub fault: Option<Fault>,
}

/// A slide of the probe.
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

/// A scan in progress: an iterator over its frame times. The same script gives the same steps.
#[derive(Debug)]
pub struct ScriptedScan {
    script: Script,
    /// One for each geometry of the scan, all of the same body.
    simulators: Vec<Simulator>,
    /// Per number of geometry changes so far: index of the simulator.
    simulator_after: Vec<usize>,
    /// Number of the next event.
    event: usize,
    /// Number of the frame time.
    index: u64,
    /// Number of geometry changes so far.
    geometry_changes: usize,
    /// The simulator of the last live frame.
    current: usize,
    epoch: u32,
    conditions: Conditions,
    slide: Slide,
    is_frozen: bool,
    faults: VecDeque<Fault>,
    /// Number of following frames that are missing too.
    missing: u32,
    has_gap: bool,
    /// Frame times at which the clock and the sequence numbers started.
    clock_start: u64,
    seq_start: u64,
    /// Late frames, and the frame time from which on they are delivered.
    late: Vec<(u64, Delivery)>,
    /// The last good frame, which a frozen image repeats.
    displayed: Option<(FrameDescriptor, Vec<u8>)>,
    /// Sequence numbers and true contours of the last good frames, newest last.
    history: VecDeque<(u64, Vec<TruthObject>)>,
}

impl ScriptedScan {
    /// Sets up the scan: draws the body in all of the scanned region, and computes the tables of each geometry.
    ///
    /// # Errors
    /// [`SimError`] if the simulator refuses the settings. [`Script::parse`] refuses such a script.
    pub fn new(script: &Script) -> Result<Self, SimError> {
        let mut config = script.settings().config();
        let mut configs = vec![config.clone()];
        let mut simulator_after = vec![0];
        let mut region = ScannedRegion::from(config.field()?);
        for event in script.events() {
            if let Action::Slide { to_mm, .. } = event.action {
                region = region.with_slide(to_mm);
            }
            if event.action.change_geometry(&mut config) {
                region = region.including(config.field()?);
                let known = configs.iter().position(|other| *other == config);
                simulator_after.push(known.unwrap_or(configs.len()));
                if known.is_none() {
                    configs.push(config.clone());
                }
            }
        }
        let body = Arc::new(Body::draw(config.anatomy, region, config.seed));
        let simulators = configs.into_iter().map(|config| Simulator::with_body(Arc::clone(&body), config));
        Ok(Self {
            script: script.clone(),
            simulators: simulators.collect::<Result<_, _>>()?,
            simulator_after,
            event: 0,
            index: 0,
            geometry_changes: 0,
            current: 0,
            epoch: 1,
            conditions: Conditions::default(),
            slide: Slide::default(),
            is_frozen: false,
            faults: VecDeque::new(),
            missing: 0,
            has_gap: false,
            clock_start: 0,
            seq_start: 0,
            late: Vec::new(),
            displayed: None,
            history: VecDeque::new(),
        })
    }

    /// Payload bytes of a good frame: the size for the slots of a ring.
    pub fn payload_bytes(&self) -> usize {
        self.script.settings().config().descriptor().payload_bytes as usize
    }

    /// Applies all events that are due. Returns the requests of the user.
    fn apply_events(&mut self, time_s: f64) -> Vec<Request> {
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
                Action::Depth { .. } | Action::Sector { .. } | Action::Width { .. } => {
                    self.geometry_changes += 1;
                }
                Action::Freeze => {
                    self.is_frozen = true;
                    requests.push(Request::Freeze);
                }
                Action::Resume => {
                    self.is_frozen = false;
                    requests.push(Request::Resume);
                }
                Action::Shadow(shadow) => self.conditions.shadow = shadow.map(|shadow| self.shadow(shadow)),
                Action::Fault(fault) => self.faults.push_back(fault),
                // A prompt before the first frame needs the shift of this time.
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

    /// The prompt on a displayed frame, or on the next frame if there is none yet.
    fn prompt(&self, prompt: ScriptPrompt) -> Option<Prompt> {
        let newest = self.history.len().checked_sub(1);
        let seen = newest.map(|newest| &self.history[newest.saturating_sub(prompt.frames_ago as usize)]);
        let (seq, truth) = match seen {
            Some((seq, truth)) => (*seq, truth.clone()),
            None => (0, self.simulators[self.current].truth_under(self.index, &self.conditions)),
        };
        // The parser accepts only names of the phantom's objects.
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
        Some(Prompt { object: prompt.object, seq, space: PointSpace::Plane, kind })
    }

    /// The descriptor with number, time and flags of this frame time.
    fn stamp(&self, descriptor: FrameDescriptor, more_flags: u32) -> FrameDescriptor {
        let simulator = &self.simulators[self.current];
        FrameDescriptor {
            seq: self.index - self.seq_start + 1,
            t_acq_ns: simulator.t_acq_ns(self.index) - simulator.t_acq_ns(self.clock_start),
            flags: descriptor.flags | more_flags,
            ..descriptor
        }
    }

    /// A live frame.
    fn render(&mut self) -> Delivery {
        let wanted = self.simulator_after[self.geometry_changes];
        if wanted != self.current {
            self.current = wanted;
            self.epoch += 1;
        }
        let SimFrame { descriptor, payload, truth } =
            self.simulators[self.current].frame_under(self.index, &self.conditions);
        let gap = if core::mem::take(&mut self.has_gap) { flags::GAP_BEFORE } else { 0 };
        let descriptor = FrameDescriptor { geometry_epoch: self.epoch, ..self.stamp(descriptor, gap) };
        Delivery { descriptor, payload, expected: Expected::Good, fault: None, truth }
    }

    /// The repeated frame of a frozen image, or the next frame if there is none yet.
    fn repeat(&mut self) -> Delivery {
        let (descriptor, payload) = match &self.displayed {
            Some(displayed) => displayed.clone(),
            None => {
                let frame = self.render();
                self.displayed = Some((frame.descriptor, frame.payload.clone()));
                (frame.descriptor, frame.payload)
            }
        };
        let descriptor = self.stamp(descriptor, flags::FROZEN);
        Delivery { descriptor, payload, expected: Expected::Frozen, fault: None, truth: Vec::new() }
    }

    /// The live frame of this frame time, with its fault, and late frames that are due.
    fn deliver(&mut self, fault: Option<Fault>) -> Vec<Delivery> {
        match fault {
            Some(Fault::ClockRestart) => {
                self.clock_start = self.index;
                self.late.clear();
            }
            Some(Fault::SeqRestart) => {
                self.seq_start = self.index;
                self.late.clear();
                // The old sequence numbers now mean other frames.
                self.history.clear();
            }
            Some(Fault::Missing { frames }) => {
                self.missing = frames - 1;
                self.has_gap = true;
                return Vec::new();
            }
            _ => {}
        }
        let good = self.render();
        let mut deliveries = match fault {
            None => vec![self.display(good)],
            Some(fault) => self.apply_fault(fault, good),
        };
        let now = self.index;
        let is_due = |(at, _): &(u64, Delivery)| *at <= now;
        if deliveries.iter().any(|delivery| delivery.expected == Expected::Good) {
            deliveries.extend(self.late.iter().filter(|late| is_due(late)).map(|(_, frame)| frame.clone()));
            self.late.retain(|late| !is_due(late));
        }
        deliveries
    }

    /// The frames that are delivered in place of a good frame with a fault.
    fn apply_fault(&mut self, fault: Fault, good: Delivery) -> Vec<Delivery> {
        match fault {
            Fault::Missing { .. } => Vec::new(),
            Fault::Late => {
                self.late.push((self.index + LATE_FRAMES, good.faulty(fault, Expected::OutOfOrder)));
                Vec::new()
            }
            Fault::Duplicate => {
                let again = good.clone().faulty(fault, Expected::OutOfOrder);
                vec![self.display(good), again]
            }
            Fault::ClockRestart | Fault::SeqRestart => {
                let restarted = Delivery { expected: Expected::Restarted, fault: Some(fault), ..good };
                vec![self.display(restarted)]
            }
            _ => vec![good.malformed(fault)],
        }
    }

    /// Records a good frame as the displayed one.
    fn display(&mut self, good: Delivery) -> Delivery {
        self.displayed = Some((good.descriptor, good.payload.clone()));
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
        let requests = self.apply_events(time_s);
        let (mut fault, mut deliveries) = (None, Vec::new());
        if self.is_frozen {
            deliveries.push(self.repeat());
        } else if self.missing > 0 {
            fault = Some(Fault::Missing { frames: self.missing });
            self.missing -= 1;
        } else {
            fault = self.faults.pop_front();
            deliveries = self.deliver(fault);
        }
        let step = Step { index: self.index, time_s, requests, deliveries, fault };
        self.index += 1;
        Some(step)
    }
}

/// Top left and bottom right corner of the bounding rectangle of a contour.
fn bounds(contour: &[Point]) -> (Point, Point) {
    let first = contour.first().copied().unwrap_or_default();
    contour.iter().fold((first, first), |(least, most), at| {
        (
            Point { x: least.x.min(at.x), y: least.y.min(at.y) },
            Point { x: most.x.max(at.x), y: most.y.max(at.y) },
        )
    })
}
