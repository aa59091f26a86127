//! Plays a script: for each frame time of the scan, the requests of the user and the frames of the front end.

use super::delivery::{Delivery, Expected, Scene};
use super::events::{
    Action, FRAMES_AGO_MAX, Fault, LATE_FRAMES, Mark, Script, ScriptPatient, ScriptPrompt, ScriptShadow,
};
use crate::config::{SimConfig, SimError};
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
    /// For each other patient of the scan, one for each geometry.
    others: Vec<(ScriptPatient, Vec<Simulator>)>,
    /// The patient among `others`; `None` for the own one.
    other: Option<usize>,
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
    /// The shadow, and the time at which it appeared.
    shadow: Option<(ScriptShadow, f64)>,
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
    displayed: Option<Delivery>,
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
        let mut patients: Vec<ScriptPatient> = Vec::new();
        for event in script.events() {
            if let Action::Patient(Some(patient)) = event.action
                && !patients.contains(&patient)
            {
                patients.push(patient);
            }
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
        let simulators = simulators_of(&configs, region)?;
        let others = patients.into_iter().map(|patient| {
            let other = |own: &SimConfig| SimConfig {
                anatomy: patient.anatomy,
                seed: patient.seed,
                size: patient.size_percent / 100.0,
                heart_rate_bpm: patient.cycles_per_min,
                liver_beside_mm: None,
                ..own.clone()
            };
            let configs: Vec<SimConfig> = configs.iter().map(other).collect();
            Ok((patient, simulators_of(&configs, region)?))
        });
        let others = others.collect::<Result<_, SimError>>()?;
        Ok(Self {
            script: script.clone(),
            simulators,
            others,
            other: None,
            simulator_after,
            event: 0,
            index: 0,
            geometry_changes: 0,
            current: 0,
            epoch: 1,
            conditions: Conditions::default(),
            slide: Slide::default(),
            shadow: None,
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
                Action::Shadow(shadow) => self.shadow = shadow.map(|shadow| (shadow, event.at_s)),
                Action::Power { power_db } => self.conditions.power_db = power_db,
                Action::Air { is_lifted } => self.conditions.in_air = is_lifted,
                Action::Patient(patient) => {
                    let is_this = |other: &(ScriptPatient, Vec<Simulator>)| Some(other.0) == patient;
                    self.other = self.others.iter().position(is_this);
                }
                Action::Fault(fault) => self.faults.push_back(fault),
                // A prompt before the first frame needs the shift of this time.
                Action::Prompt(prompt) => {
                    self.conditions.slide_mm = self.slide.at_mm(time_s);
                    requests.extend(self.prompt(prompt).map(Request::Prompt));
                }
            }
        }
        self.conditions.slide_mm = self.slide.at_mm(time_s);
        self.conditions.shadow =
            self.shadow.map(|(shadow, start_s)| self.shadow_at(shadow, time_s - start_s));
        self.conditions.reflector_db = self.shadow.and_then(|(shadow, _)| shadow.reflector_db);
        requests
    }

    /// A shadow that appeared `passed_s` ago.
    fn shadow_at(&self, shadow: ScriptShadow, passed_s: f64) -> Shadow {
        let (mut from, mut to) = (shadow.from, shadow.to);
        if let Some(sweep) = shadow.sweep {
            let over_s = f64::from(sweep.over_s);
            let part = if passed_s < over_s { (passed_s / over_s).max(0.0) as f32 } else { 1.0 };
            from += (sweep.from - from) * part;
            to += (sweep.to - to) * part;
        }
        let unit = if self.script.settings().probe.is_linear() { 1.0 } else { core::f32::consts::PI / 180.0 };
        Shadow { from: from * unit, to: to * unit, depth_mm: shadow.below_mm, loss_db: shadow.loss_db }
    }

    /// The prompt on a displayed frame, or on the next frame if there is none yet.
    fn prompt(&self, prompt: ScriptPrompt) -> Option<Prompt> {
        let newest = self.history.len().checked_sub(1);
        let seen = newest.map(|newest| &self.history[newest.saturating_sub(prompt.frames_ago as usize)]);
        let own = || self.simulators[self.current].truth_under(self.index, &self.conditions);
        let (seq, truth) = match seen {
            // In air and with another patient, a prompt is made where the own patient's object would be.
            Some((seq, truth)) if truth.is_empty() => (*seq, own()),
            Some((seq, truth)) => (*seq, truth.clone()),
            None => (0, own()),
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
        let simulators = self.other.map_or(&self.simulators, |other| &self.others[other].1);
        let SimFrame { descriptor, payload, mut truth } =
            simulators[self.current].frame_under(self.index, &self.conditions);
        let scene = match self.other {
            _ if self.conditions.in_air => Scene::Air,
            Some(_) => Scene::OtherPatient,
            None => Scene::Own,
        };
        if scene != Scene::Own {
            truth.clear();
        }
        let gap = if core::mem::take(&mut self.has_gap) { flags::GAP_BEFORE } else { 0 };
        let descriptor = FrameDescriptor { geometry_epoch: self.epoch, ..self.stamp(descriptor, gap) };
        let (shadow, anatomy) = (self.conditions.shadow, self.script.settings().anatomy);
        Delivery { descriptor, payload, expected: Expected::Good, fault: None, scene, shadow, anatomy, truth }
    }

    /// The repeated frame of a frozen image, or the next frame if there is none yet.
    fn repeat(&mut self) -> Delivery {
        let shown = match &self.displayed {
            Some(displayed) => displayed.clone(),
            None => {
                let frame = Delivery { expected: Expected::Frozen, truth: Vec::new(), ..self.render() };
                self.displayed = Some(frame.clone());
                frame
            }
        };
        Delivery { descriptor: self.stamp(shown.descriptor, flags::FROZEN), ..shown }
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
        let (payload, truth) = (good.payload.clone(), Vec::new());
        let shown = Delivery { expected: Expected::Frozen, fault: None, payload, truth, ..good };
        self.displayed = Some(shown);
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

/// A simulator for each geometry of one body; the first geometry is that at the start of the scan.
fn simulators_of(configs: &[SimConfig], region: ScannedRegion) -> Result<Vec<Simulator>, SimError> {
    let Some(first) = configs.first() else { return Ok(Vec::new()) };
    let body = Arc::new(Body::of(first.phantom()?, region, first.seed));
    configs.iter().map(|config| Simulator::with_body(Arc::clone(&body), config.clone())).collect()
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
