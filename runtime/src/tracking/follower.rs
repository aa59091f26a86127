//! Follows objects from frame to frame: runs the tracker, redraws and checks some of them, judges all, and remembers.
//!
//! ```text
//! followed:  Track -> Look -> Attend -> Masks -> [Redraw]... -> Describe... -> Judge -> [Share -> Identify -> Fit...] -> Done
//! drawn:    [Track] -> Look -> Masks -> [Redraw]... -> Describe... -> Judge -> Share -> Identify -> Done
//! ```
//!
//! The steps are those of `nets/following.py` in `models/`. Besides following all objects to a frame, a frame can be one on which
//! the user drew an object, or the first one on another grid.
//!
//! A frame is worked on in slices. It changes nothing that the next frame builds on until [`Follower::accept`]; beginning another
//! one abandons it. A correction of the last frame is the exception: it must be worked on to its end, because it writes the frame's
//! memory again.

use super::attention::{Keys, TOGETHER, attend};
use super::evidence::{Checked, Comparison, Known, evidence_of, judge};
use super::looks::{Figures, FrameView, Looks, Sizes};
use super::memory::{FrameCopies, MEMORY_COPIES, Memory, SLOTS};
use super::programs::{IDS, TrackerPrograms};
use super::vectors::are_finite;
use super::warp::{Flow, Overlap, Reach, inside};
use super::{Gate, Objects, PLACES, vectors};
use crate::exec::{Executor, Progress};
use crate::format::TrackingRecord;
use crate::kernels::arch::Instructions;
use crate::kernels::pixels;
use crate::session::{DecoderPrompt, Programs};

/// Pixels of a step between two looks at the clock.
const PIXELS_AT_ONCE: usize = 1024;
/// Tokens of a step between two looks at the clock.
const TOKENS_AT_ONCE: usize = 16;
/// Rows of a comparison with the anchor between two looks at the clock.
const ROWS_AT_ONCE: usize = 8;
/// Sets of looks: of the frame before and of the frame in work, which change places, and of the reference.
const SETS: usize = 3;
/// The set of the reference.
const REFERENCE: usize = 2;

/// What is known of an object on a frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// Probability that its mask is right: the confidence.
    pub right: f32,
    /// Probability that its mask may be learnt from.
    pub trusted: f32,
    /// Probability that nothing of it lies in the field of view.
    pub absent: f32,
    /// Frames since the segmenter checked it.
    pub age: u32,
    /// Whether the gate counts it as found.
    pub is_found: bool,
}

/// Result of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Following {
    /// The frame is done: accept or abandon it.
    Done,
    /// The slice is over, or another part of the work begins ([`Follower::is_checking`]): call again.
    Paused,
    /// A value is not finite: the frame must be abandoned.
    NotFinite,
}

/// What the next frame builds on.
#[derive(Debug, Clone, Copy)]
struct State {
    memory: Memory,
    gate: Gate,
    followed: Objects,
    /// Among the followed objects, the one whose turn is next.
    turn: usize,
    ages: [u32; PLACES],
    checked: [Checked; PLACES],
    /// The set of looks and odds of the last frame: 0 or 1.
    before: usize,
    /// The copies that the last frame wrote.
    last: FrameCopies,
    /// Whether its copy of the memory still holds its keys and values.
    is_last_intact: bool,
    /// Whether the last frame is the reference of all objects: none was followed since.
    is_reference: bool,
    /// Objects that were drawn on an earlier frame since the last one was accepted: where they are on that one is not known.
    elsewhere: Objects,
    /// Number of the anchor.
    anchor: u32,
}

/// A frame on which the user drew an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// The copy of its features.
    pub features: u32,
    /// Whether it is the last one that was accepted.
    pub is_last: bool,
    /// The object's place.
    pub place: usize,
    /// Whether the object is new, or is defined again: this frame becomes its reference.
    pub is_new: bool,
}

/// Where the pixels of masks of one geometry lie on masks of another, along x and y: at the old position times `scale`, plus
/// `shift`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Scale, above 0.
    pub scale: [f32; 2],
    /// Pixels.
    pub shift: [f32; 2],
}

impl Placement {
    /// The same geometry.
    pub const SAME: Self = Self { scale: [1.0; 2], shift: [0.0; 2] };

    /// Returns the figures of a mask, as they would be on the new masks.
    fn moved(&self, figures: &Figures) -> Figures {
        let [x, y] = [0, 1].map(|axis| figures.centre[axis] * self.scale[axis] + self.shift[axis]);
        Figures { area: figures.area * self.scale[0] * self.scale[1], centre: [x, y], ..*figures }
    }
}

/// How the segmenter checks objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// Objects that it redraws on each frame, in turn.
    pub a_frame: usize,
    /// Whether its mask of a lost object is taken alone, and not averaged with the tracker's.
    pub correct_lost: bool,
}

/// Why a frame is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All objects are followed to it.
    Follow,
    /// The same, without an anchor: where things were says nothing.
    Search,
    /// All objects are followed to it; it lies on another grid of the same plane.
    Rescale,
    /// It becomes the reference of all objects.
    Refer,
    /// The last frame, on which an object was drawn.
    Correct { place: usize, is_new: bool },
    /// An earlier frame, on which an object was drawn.
    Insert { place: usize },
}

impl Kind {
    /// Whether the tracker finds the masks, and they are judged. Otherwise they are given, and right: the user drew them.
    fn is_judged(self) -> bool {
        matches!(self, Self::Follow | Self::Search | Self::Rescale)
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Track,
    Look,
    Attend {
        slot: usize,
        token: usize,
    },
    Masks {
        pixel: usize,
    },
    /// `is_begun`: the segmenter runs.
    Redraw {
        place: usize,
        is_begun: bool,
    },
    Describe {
        place: usize,
    },
    Judge,
    Share {
        pixel: usize,
    },
    Identify,
    Fit {
        place: usize,
        row: usize,
        overlap: Overlap,
    },
    Done,
}

/// The frame in work.
#[derive(Debug, Clone, Copy)]
struct Work {
    state: State,
    frame: FrameCopies,
    kind: Kind,
    step: Step,
    /// What the tracker's slots are bound to, beside the frame's own copies.
    bound: Memory,
    /// The objects that share its pixels.
    sharing: Objects,
    /// The objects that the segmenter redraws.
    chosen: Objects,
    iou: [f32; PLACES],
    compared: [Comparison; PLACES],
    outcomes: [Outcome; PLACES],
    /// The objects that it is remembered with.
    learnt: Objects,
    /// Whether it becomes the anchor.
    anchors: bool,
    /// From masks of the frame before to those of this one.
    placement: Placement,
    /// Where the anchor's mask of the object that is compared can be.
    reach: Reach,
}

/// The follower's memory. Its lengths are those of [`BufferLengths`].
#[derive(Debug)]
pub struct Buffers<'m> {
    /// Probabilities, by id and pixel.
    pub probabilities: &'m mut [f32],
    /// Odds, by place and pixel: of the frame before and of the frame in work, which change places.
    pub odds: &'m mut [f32],
    /// Largest cosines, by slot and token; then the attention of each object, by place and token; then scales of the embedding, of
    /// this frame's keys and of a reference's, and room for [`TOGETHER`] values for each token.
    pub tokens: &'m mut [f32],
    /// Mean direction of the frame's embedding.
    pub whole: &'m mut [f32],
    /// Bits of the shares that are above a half, by place.
    pub inside: &'m mut [u64],
    /// Numbers of looks.
    pub figures: &'m mut [Figures],
    /// Bits of looks.
    pub words: &'m mut [u64],
    /// Directions and shares of looks.
    pub floats: &'m mut [f32],
}

/// Number of elements of each of [`Buffers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferLengths {
    /// Floats.
    pub probabilities: usize,
    /// Floats.
    pub odds: usize,
    /// Floats.
    pub tokens: usize,
    /// Floats.
    pub whole: usize,
    /// Words.
    pub inside: usize,
    /// Figures.
    pub figures: usize,
    /// Words.
    pub words: usize,
    /// Floats.
    pub floats: usize,
}

impl BufferLengths {
    /// Returns the lengths for a tracker's sizes.
    pub const fn of(sizes: &Sizes) -> Self {
        let looks = SETS * PLACES;
        Self {
            probabilities: IDS * sizes.pixels(),
            odds: 2 * PLACES * sizes.pixels(),
            tokens: (SLOTS + PLACES + 3 + TOGETHER) * sizes.tokens(),
            whole: sizes.channels,
            inside: PLACES * sizes.mask_words(),
            figures: looks,
            words: looks * sizes.mask_words(),
            floats: looks * sizes.look_floats(),
        }
    }
}

/// Parts of [`Buffers::tokens`].
struct Tokens<'a> {
    best: &'a mut [f32],
    found: &'a mut [f32],
    embedding_scales: &'a mut [f32],
    key_scales: &'a mut [f32],
    reference_scales: &'a mut [f32],
    likes: &'a mut [f32],
}

impl<'a> Tokens<'a> {
    fn of(values: &'a mut [f32], tokens: usize) -> Self {
        let (best, rest) = values.split_at_mut(SLOTS * tokens);
        let (found, rest) = rest.split_at_mut(PLACES * tokens);
        let (embedding_scales, rest) = rest.split_at_mut(tokens);
        let (key_scales, rest) = rest.split_at_mut(tokens);
        let (reference_scales, likes) = rest.split_at_mut(tokens);
        Self { best, found, embedding_scales, key_scales, reference_scales, likes }
    }
}

/// Follows objects in the caller's memory.
#[derive(Debug)]
pub struct Follower<'m> {
    programs: TrackerPrograms,
    decoder: Programs,
    rules: TrackingRecord,
    instructions: Instructions,
    checks: Checks,
    /// Pixels of the network's input for each pixel of a mask.
    pitch: f32,
    probabilities: &'m mut [f32],
    odds: &'m mut [f32],
    tokens: &'m mut [f32],
    whole: &'m mut [f32],
    inside: &'m mut [u64],
    looks: Looks<'m>,
    state: Option<State>,
    work: Option<Work>,
    /// Anchors so far.
    anchors: u32,
}

/// A value that is not finite.
struct NotFinite;

impl<'m> Follower<'m> {
    /// Prepares to follow, with nothing to follow yet.
    pub fn new(
        programs: TrackerPrograms,
        decoder: Programs,
        rules: TrackingRecord,
        input_size: u32,
        checks: Checks,
        instructions: Instructions,
        buffers: Buffers<'m>,
    ) -> Self {
        let Buffers { probabilities, odds, tokens, whole, inside, figures, words, floats } = buffers;
        Self {
            programs,
            decoder,
            rules,
            instructions,
            checks,
            pitch: input_size as f32 / programs.sizes.mask_side.max(1) as f32,
            probabilities,
            odds,
            tokens,
            whole,
            inside,
            looks: Looks::new(programs.sizes, figures, words, floats),
            state: None,
            work: None,
            anchors: 0,
        }
    }

    /// Sets how many objects the segmenter redraws on each frame, from the next one on.
    pub fn set_checks_a_frame(&mut self, checks_a_frame: usize) {
        self.checks.a_frame = checks_a_frame;
    }

    /// Returns whether the segmenter redraws an object of the frame in work.
    pub fn is_checking(&self) -> bool {
        self.work.is_some_and(|work| matches!(work.step, Step::Redraw { .. }))
    }

    /// Returns the objects that are followed.
    pub fn followed(&self) -> Objects {
        self.state.map_or(Objects::default(), |state| state.followed)
    }

    /// Returns what is remembered.
    pub fn memory(&self) -> Option<&Memory> {
        self.state.as_ref().map(|state| &state.memory)
    }

    /// Returns an object's odds on the last frame that was accepted, or on an earlier one on which it was drawn since.
    pub fn odds(&self, place: usize) -> &[f32] {
        let set = self.state.map_or(0, |state| state.before);
        &self.odds[odds_of(set, place, self.programs.sizes.pixels())]
    }

    /// Returns what is known of an object on the frame in work, once it is done.
    pub fn outcome(&self, place: usize) -> Outcome {
        self.work.map_or(Outcome::default(), |work| work.outcomes[place])
    }

    /// Returns the number of the anchor: a new one has a new number.
    pub fn anchor(&self) -> u32 {
        self.state.map_or(0, |state| state.anchor)
    }

    /// Copies the motion of the frame in work since the anchor, `[2, side, side]` as in [`Flow`], once it is done.
    pub fn copy_motion(&self, executor: &mut Executor<'_>, motion: &mut [f32]) {
        if let Some(work) = &self.work {
            self.bind_tracker(executor, &work.bound, &work.frame);
            motion.copy_from_slice(executor.output(self.programs.flow));
        }
    }

    /// Returns whether there is a memory for the reference of an object that the user draws. On the last frame there is one, unless
    /// each holds the reference of an object that is lost.
    pub fn has_room(&self, drawn: &Drawn) -> bool {
        let Some(state) = self.state.filter(|state| !state.followed.is_empty()) else { return true };
        if !drawn.is_last {
            return state.memory.room_for(Objects::default().with(drawn.place)).is_some();
        }
        let objects = state.gate.found(state.followed).without_all(state.elsewhere).with(drawn.place);
        !drawn.is_new || state.is_reference || state.memory.room_to_correct(objects).is_some()
    }

    /// Begins to learn an object's mask, as finite odds, which the user drew on a frame. Without other objects, and on a frame that
    /// is the reference of all others, the frame is the reference of all. There must be room ([`Self::has_room`]).
    pub fn begin_drawn(&mut self, executor: &mut Executor<'_>, drawn: &Drawn, odds: &[f32]) {
        self.work = None;
        let Drawn { features, is_last, place, is_new } = *drawn;
        let pixels = self.programs.sizes.pixels();
        let one = Objects::default().with(place);
        let Some(mut state) = self.state.filter(|state| !state.followed.is_empty()) else {
            self.odds[odds_of(1, place, pixels)].copy_from_slice(odds);
            let frame = FrameCopies { features, memory: 0, motion: 0, shares: 0 };
            self.begin_unknown(executor, Work::new(State::new(frame, one), frame, Kind::Refer, one));
            return;
        };
        let before = state.before;
        let is_new = is_new || state.is_reference;
        state.followed = state.followed.with(place);
        state.gate.find(place);
        let (kind, set) = match is_last {
            true => (Kind::Correct { place, is_new }, before),
            false => (Kind::Insert { place }, 1 - before),
        };
        self.odds[odds_of(set, place, pixels)].copy_from_slice(odds);
        let is_remembered = state.last.memory == state.memory.previous().copy;
        let is_there = is_last && (is_remembered || state.is_last_intact);
        let mut frame = free_copies(&state.memory, features);
        if is_there {
            frame.memory = state.last.memory;
        } else {
            state.is_last_intact = false;
            self.state.as_mut().into_iter().for_each(|state| state.is_last_intact = false);
        }
        let (sharing, learnt) = match is_last {
            true => {
                state.elsewhere = state.elsewhere.without(place);
                let here = state.followed.without_all(state.elsewhere);
                (here, state.gate.found(here))
            }
            false => {
                state.elsewhere = state.elsewhere.with(place);
                (one, one)
            }
        };
        let chosen = if is_new || !is_last { one } else { Objects::default() };
        let step = if is_there { Step::Look } else { Step::Track };
        let work = Work { step, sharing, learnt, ..Work::new(state, frame, kind, chosen) };
        self.begin_unknown(executor, work);
    }

    /// Begins with a frame of which the tracker computes the keys and values alone: it remembers nothing.
    fn begin_unknown(&mut self, executor: &mut Executor<'_>, work: Work) {
        let frame = &work.frame;
        // Copies that differ from the frame's.
        let nothing = FrameCopies {
            features: frame.features,
            memory: (frame.memory + 1) % MEMORY_COPIES,
            motion: 1 - frame.motion.min(1),
            shares: 1 - frame.shares.min(1),
        };
        let bound = Memory::of_reference(&nothing, Objects::default());
        self.bind_tracker(executor, &bound, frame);
        executor.input_mut(self.programs.known).fill(0.0);
        self.work = Some(Work { bound, ..work });
    }

    /// Begins to follow all objects to a frame. Returns false if there are none.
    pub fn begin(&mut self, executor: &mut Executor<'_>, features: u32) -> bool {
        self.begin_judged(executor, features, Kind::Follow, Placement::SAME)
    }

    /// Begins to search for all objects on a frame of which nobody knows where it lies from the frame before. Returns false if there
    /// are none.
    pub fn begin_elsewhere(&mut self, executor: &mut Executor<'_>, features: u32) -> bool {
        self.begin_judged(executor, features, Kind::Search, Placement::SAME)
    }

    /// Begins to follow all objects to a frame on another grid of the same plane. Returns false if there are none.
    pub fn begin_rescaled(
        &mut self,
        executor: &mut Executor<'_>,
        features: u32,
        placement: Placement,
    ) -> bool {
        self.begin_judged(executor, features, Kind::Rescale, placement)
    }

    fn begin_judged(
        &mut self,
        executor: &mut Executor<'_>,
        features: u32,
        kind: Kind,
        placement: Placement,
    ) -> bool {
        self.work = None;
        let Some(state) = self.state.as_mut().filter(|state| !state.followed.is_empty()) else {
            return false;
        };
        // The frame in work takes that copy.
        state.is_last_intact = false;
        let mut state = *state;
        if kind == Kind::Search {
            state.memory.drop_anchor();
        }
        let frame = free_copies(&state.memory, features);
        self.bind_tracker(executor, &state.memory, &frame);
        TrackerPrograms::fill_known(&state.memory, executor.input_mut(self.programs.known));
        let chosen = if kind == Kind::Rescale { state.followed } else { self.take_turns(&mut state) };
        for place in state.followed.places() {
            let age = &mut state.ages[place];
            *age = if chosen.contains(place) { 0 } else { age.saturating_add(1) };
        }
        state.memory.pass();
        self.work = Some(Work { placement, ..Work::new(state, frame, kind, chosen) });
        true
    }

    /// Forgets an object. A frame in work is abandoned.
    pub fn remove(&mut self, place: usize) {
        self.work = None;
        if let Some(state) = &mut self.state {
            state.followed = state.followed.without(place);
            state.gate.find(place);
            state.elsewhere = state.elsewhere.without(place);
            state.memory.forget(place);
        }
    }

    /// Works on the frame until it is done or `go_on` returns false. `grey`: its grey levels at the masks' resolution, 0 to 1.
    /// Without a frame in work, it is done.
    pub fn advance(
        &mut self,
        executor: &mut Executor<'_>,
        grey: &[f32],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Following {
        let Some(mut work) = self.work.take() else { return Following::Done };
        let result = loop {
            if matches!(work.step, Step::Done) {
                break Following::Done;
            }
            let was_checking = matches!(work.step, Step::Redraw { .. });
            match self.step(executor, grey, &mut work, go_on) {
                Ok(Some(next)) => work.step = next,
                Ok(None) => break Following::Paused,
                Err(NotFinite) => return Following::NotFinite,
            }
            if was_checking != matches!(work.step, Step::Redraw { .. }) || !go_on() {
                break Following::Paused;
            }
        };
        self.work = Some(work);
        result
    }

    /// Makes the frame that is done the one that the next frame builds on. A frame that is not done is abandoned.
    pub fn accept(&mut self, executor: &mut Executor<'_>) {
        let Some(work) = self.work.filter(|work| matches!(work.step, Step::Done)) else { return };
        let Work { mut state, frame, kind, learnt, anchors, placement, .. } = work;
        let (now, before) = (1 - state.before, state.before);
        let is_reference = matches!(kind, Kind::Correct { .. }) && state.is_reference;
        let is_anchor = match kind {
            Kind::Follow | Kind::Search => {
                if !learnt.is_empty() {
                    state.memory.remember(&self.rules, &frame, learnt, anchors);
                }
                if kind == Kind::Search {
                    for place in learnt.places() {
                        let now = self.looks.get(look(now, place)).figures;
                        let placed = now.placed_over(self.looks.get(look(REFERENCE, place)).figures);
                        self.looks.set_figures(look(REFERENCE, place), placed);
                    }
                }
                anchors
            }
            Kind::Rescale => {
                if learnt.is_empty() {
                    state.memory.drop_anchor();
                } else {
                    state.memory.correct(&frame, learnt, None);
                }
                for place in state.followed.places() {
                    let moved = placement.moved(self.looks.get(look(REFERENCE, place)).figures);
                    self.looks.set_figures(look(REFERENCE, place), moved);
                }
                !learnt.is_empty()
            }
            Kind::Refer => {
                state.memory = Memory::of_reference(&frame, learnt);
                learnt.places().for_each(|place| self.looks.copy(look(now, place), look(REFERENCE, place)));
                true
            }
            Kind::Correct { place, is_new } => {
                if is_reference {
                    state.memory = Memory::of_reference(&frame, learnt);
                } else {
                    state.memory.correct(&frame, learnt, is_new.then_some(place));
                }
                if is_new {
                    self.looks.copy(look(now, place), look(before, place));
                    // Also of objects whose reference the frame has taken over. The segmenter's estimate stays: it may not have
                    // checked them on this frame.
                    let references = state.memory.references();
                    let with_it =
                        references.iter().find(|of| of.contains(place)).copied().unwrap_or_default();
                    for other in with_it.places() {
                        let iou = self.looks.get(look(REFERENCE, other)).figures.iou;
                        self.looks.copy(look(before, other), look(REFERENCE, other));
                        if other != place {
                            let figures = *self.looks.get(look(REFERENCE, other)).figures;
                            self.looks.set_figures(look(REFERENCE, other), Figures { iou, ..figures });
                        }
                    }
                } else {
                    let odds = &self.odds[odds_of(before, place, self.programs.sizes.pixels())];
                    self.looks.draw(look(before, place), odds, self.instructions);
                }
                true
            }
            Kind::Insert { place } => {
                state.memory.insert(frame.memory, place);
                let pixels = self.programs.sizes.pixels();
                let drawn = odds_of(now, place, pixels);
                self.odds.copy_within(drawn, odds_of(before, place, pixels).start);
                for set in [before, REFERENCE] {
                    self.looks.copy(look(now, place), look(set, place));
                }
                false
            }
        };
        if is_anchor {
            self.anchors = self.anchors.wrapping_add(1);
            state.anchor = self.anchors;
            // Motion is found anew from this frame on.
            let memory = state.memory;
            let next = free_copies(&memory, memory.anchor().features);
            self.bind_tracker(executor, &memory, &next);
            executor.input_mut(self.programs.so_far_flow).fill(0.0);
            if kind == Kind::Refer || is_reference {
                executor.input_mut(self.programs.so_far_step).fill(0.0);
            }
        }
        match kind {
            Kind::Insert { .. } => {}
            Kind::Correct { .. } => (state.last, state.is_last_intact) = (frame, true),
            Kind::Follow | Kind::Search | Kind::Rescale | Kind::Refer => {
                (state.before, state.last, state.is_last_intact) = (now, frame, true);
                state.elsewhere = Objects::default();
            }
        }
        state.is_reference = kind == Kind::Refer || is_reference;
        self.state = Some(state);
        self.work = None;
    }

    fn bind_tracker(&self, executor: &mut Executor<'_>, memory: &Memory, frame: &FrameCopies) {
        let copies = self.programs.tracker_copies(memory, frame);
        executor.begin(self.programs.tracker, copies.get()).expect("the memory names free copies");
    }

    /// The objects that are checked on this frame.
    fn take_turns(&self, state: &mut State) -> Objects {
        let count = state.followed.count().max(1);
        let turn = state.turn % count;
        let is_chosen = |(at, _): &(usize, usize)| (at + count - turn) % count < self.checks.a_frame;
        state.turn = (turn + self.checks.a_frame) % count;
        let chosen = state.followed.places().enumerate().filter(is_chosen);
        chosen.fold(Objects::default(), |chosen, (_, place)| chosen.with(place))
    }

    /// A step, or a part of it: returns the next step, or `None` if the slice is over within this one.
    fn step(
        &mut self,
        executor: &mut Executor<'_>,
        grey: &[f32],
        work: &mut Work,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Step>, NotFinite> {
        let pixels = self.programs.sizes.pixels();
        Ok(Some(match work.step {
            Step::Track => match executor.advance(go_on) {
                Progress::Paused => return Ok(None),
                Progress::Done => {
                    let TrackerPrograms { key, value, flow, step, .. } = self.programs;
                    [key, value, flow, step]
                        .into_iter()
                        .try_for_each(|port| finite(executor.output(port)))?;
                    Step::Look
                }
            },
            Step::Look => {
                self.look(executor)?;
                if work.kind.is_judged() {
                    Step::Attend { slot: 0, token: 0 }
                } else {
                    Step::Masks { pixel: 0 }
                }
            }
            Step::Attend { slot, token } => {
                let objects = work.bound.references()[slot].and(work.sharing);
                let end = (token + TOKENS_AT_ONCE).min(self.programs.sizes.tokens());
                if !objects.is_empty() {
                    self.attend(executor, slot, objects, token..end);
                }
                if !objects.is_empty() && end < self.programs.sizes.tokens() {
                    Step::Attend { slot, token: end }
                } else if slot + 1 < SLOTS {
                    Step::Attend { slot: slot + 1, token: 0 }
                } else {
                    Step::Masks { pixel: 0 }
                }
            }
            Step::Masks { pixel } => {
                let end = (pixel + PIXELS_AT_ONCE).min(pixels);
                if work.kind.is_judged() {
                    self.take_logits(executor, work, pixel..end)?;
                } else {
                    self.take_given(work, pixel..end)?;
                }
                if end < pixels { Step::Masks { pixel: end } } else { work.redraw_from(0) }
            }
            Step::Redraw { place, is_begun } => {
                if !is_begun {
                    self.begin_redraw(executor, work, place);
                }
                if self.is_there(work, place) {
                    if executor.advance(go_on) == Progress::Paused {
                        work.step = Step::Redraw { place, is_begun: true };
                        return Ok(None);
                    }
                    self.take_redrawn(executor, work, place)?;
                }
                work.redraw_from(place + 1)
            }
            Step::Describe { place } => {
                self.describe(executor, work, grey, place);
                work.describe_from(place + 1)
            }
            Step::Judge => {
                self.judge(work)?;
                if work.learnt.is_empty() { Step::Done } else { Step::Share { pixel: 0 } }
            }
            Step::Share { pixel } => {
                let end = (pixel + PIXELS_AT_ONCE).min(pixels);
                self.share(executor, work, pixel..end);
                if end < pixels { Step::Share { pixel: end } } else { Step::Identify }
            }
            Step::Identify => {
                if executor.advance(go_on) == Progress::Paused {
                    return Ok(None);
                }
                finite(executor.output(self.programs.identity))?;
                let is_due =
                    matches!(work.kind, Kind::Follow | Kind::Search) && work.bound.anchor_is_due(&self.rules);
                match work.learnt.places().next().filter(|_| is_due) {
                    Some(place) => Step::Fit { place, row: 0, overlap: Overlap::default() },
                    None => Step::Done,
                }
            }
            Step::Fit { place, row, overlap } => self.fit(executor, work, place, row, overlap),
            Step::Done => Step::Done,
        }))
    }
}

impl State {
    fn new(frame: FrameCopies, followed: Objects) -> Self {
        Self {
            memory: Memory::of_reference(&frame, followed),
            gate: Gate::default(),
            followed,
            turn: 0,
            ages: [0; PLACES],
            checked: [Checked::default(); PLACES],
            before: 0,
            last: frame,
            is_last_intact: false,
            is_reference: false,
            elsewhere: Objects::default(),
            anchor: 0,
        }
    }
}

impl Work {
    /// Begins to work on a frame. All followed objects share it and are learnt from, until they are judged.
    fn new(state: State, frame: FrameCopies, kind: Kind, chosen: Objects) -> Self {
        Self {
            state,
            frame,
            kind,
            step: Step::Track,
            bound: state.memory,
            sharing: state.followed,
            chosen,
            iou: [0.0; PLACES],
            compared: [Comparison::default(); PLACES],
            outcomes: [Outcome::default(); PLACES],
            learnt: state.followed,
            anchors: false,
            placement: Placement::SAME,
            reach: Reach::default(),
        }
    }

    /// The set of the masks: of the frame before if it is corrected, else of the frame in work.
    fn set(&self) -> usize {
        match self.kind {
            Kind::Correct { .. } => self.state.before,
            _ => 1 - self.state.before,
        }
    }

    /// The next object to be redrawn from a place on; if there is none, the first one to be described.
    fn redraw_from(&self, from: usize) -> Step {
        match self.chosen.places().find(|&place| place >= from) {
            Some(place) => Step::Redraw { place, is_begun: false },
            None => self.describe_from(0),
        }
    }

    /// The next object to be described from a place on: all that are judged, else those that are redrawn.
    fn describe_from(&self, from: usize) -> Step {
        let described = if self.kind.is_judged() { self.state.followed } else { self.chosen };
        match described.places().find(|&place| place >= from) {
            Some(place) => Step::Describe { place },
            None => Step::Judge,
        }
    }
}

// The steps.
impl Follower<'_> {
    /// Measures the frame's embedding and keys, which the tracker has computed.
    fn look(&mut self, executor: &Executor<'_>) -> Result<(), NotFinite> {
        let tokens = Tokens::of(self.tokens, self.programs.sizes.tokens());
        let embedding = executor.input(self.programs.embedding);
        vectors::scales_of_columns(embedding, tokens.embedding_scales);
        vectors::mean_direction(self.instructions, embedding, tokens.embedding_scales, self.whole);
        vectors::scales_of_rows(executor.output(self.programs.key), tokens.key_scales);
        finite(self.whole)?;
        finite(tokens.key_scales)
    }

    /// Compares some tokens with those of the reference in a slot.
    fn attend(
        &mut self,
        executor: &Executor<'_>,
        slot: usize,
        objects: Objects,
        range: core::ops::Range<usize>,
    ) {
        let count = self.programs.sizes.tokens();
        let Tokens { best, found, key_scales, reference_scales, likes, .. } = Tokens::of(self.tokens, count);
        let reference = executor.input(self.programs.slot_keys[slot]);
        if range.start == 0 {
            vectors::scales_of_rows(reference, reference_scales);
        }
        let now = Keys { values: executor.output(self.programs.key), scales: key_scales };
        let reference = Keys { values: reference, scales: reference_scales };
        let cells = objects.places().map(|place| (place, self.looks.get(look(REFERENCE, place)).cells()));
        let best = &mut best[slot * count..][..count];
        attend(self.instructions, &now, &reference, cells, range, best, found, likes);
    }

    /// Takes given odds as probabilities, in some pixels.
    fn take_given(&mut self, work: &Work, range: core::ops::Range<usize>) -> Result<(), NotFinite> {
        let pixels = self.programs.sizes.pixels();
        for place in work.sharing.places() {
            let odds = &self.odds[odds_of(work.set(), place, pixels)][range.clone()];
            finite(odds)?;
            let p = &mut self.probabilities[(place + 1) * pixels..][range.clone()];
            pixels::probabilities(self.instructions, odds, p);
        }
        Ok(())
    }

    /// Takes the tracker's logits as probabilities and odds, in some pixels.
    fn take_logits(
        &mut self,
        executor: &Executor<'_>,
        work: &Work,
        range: core::ops::Range<usize>,
    ) -> Result<(), NotFinite> {
        let (pixels, followed) = (self.programs.sizes.pixels(), work.state.followed);
        let logits = executor.output(self.programs.logits);
        let mut ids: heapless::Vec<usize, IDS> = heapless::Vec::new();
        ids.extend(core::iter::once(0).chain(followed.ids()));
        for &id in &ids {
            let logits = &logits[id * pixels..][range.clone()];
            finite(logits)?;
            self.probabilities[id * pixels..][range.clone()].copy_from_slice(logits);
        }
        pixels::softmax(self.instructions, self.probabilities, pixels, &ids, range.clone());
        for place in followed.places() {
            let p = &self.probabilities[(place + 1) * pixels..][range.clone()];
            let odds = &mut self.odds[odds_of(work.set(), place, pixels)][range.clone()];
            pixels::logits(self.instructions, p, odds);
        }
        Ok(())
    }

    /// Returns the box of a mask on the network's input grid: left, top, right, bottom; `None` for an empty mask.
    pub fn box_of(&self, odds: &[f32]) -> Option<[f32; 4]> {
        let [left, top, right, bottom] = extent(odds, self.programs.sizes.mask_side)?;
        let last = self.pitch - 1.0;
        let first = |at: usize| at as f32 * self.pitch;
        Some([first(left), first(top), first(right) + last, first(bottom) + last])
    }

    /// Whether any pixel of an object's mask is inside.
    fn is_there(&self, work: &Work, place: usize) -> bool {
        self.mask(work, place).iter().any(|&odds| odds > 0.0)
    }

    /// An object's odds on the frame in work.
    fn mask(&self, work: &Work, place: usize) -> &[f32] {
        &self.odds[odds_of(work.set(), place, self.programs.sizes.pixels())]
    }

    /// Prompts the segmenter with an object's odds and the box of its mask. An empty mask is its own answer.
    fn begin_redraw(&mut self, executor: &mut Executor<'_>, work: &mut Work, place: usize) {
        let odds = self.mask(work, place);
        match self.box_of(odds) {
            Some(box_px) => {
                DecoderPrompt::of_box(box_px).begin(executor, &self.decoder, work.frame.features, Some(odds));
            }
            None => {
                (work.compared[place], work.iou[place]) =
                    (Comparison::of(self.instructions, odds, odds), 0.0);
            }
        }
    }

    /// Compares the segmenter's answer with the tracker's mask, and draws it in.
    fn take_redrawn(
        &mut self,
        executor: &Executor<'_>,
        work: &mut Work,
        place: usize,
    ) -> Result<(), NotFinite> {
        let pixels = self.programs.sizes.pixels();
        let drawn = &executor.output(self.decoder.masks)[..pixels];
        let iou = executor.output(self.decoder.iou)[0];
        finite(drawn)?;
        finite(&[iou])?;
        work.iou[place] = iou.clamp(0.0, 1.0);
        let odds = &mut self.odds[odds_of(work.set(), place, pixels)];
        work.compared[place] = Comparison::of(self.instructions, odds, drawn);
        if work.kind.is_judged() {
            let p = &mut self.probabilities[(place + 1) * pixels..][..pixels];
            let is_lost = !work.state.gate.found(work.state.followed).contains(place);
            let trust = if self.checks.correct_lost && is_lost { 1.0 } else { self.rules.trust };
            pixels::blend(self.instructions, p, drawn, trust);
            pixels::logits(self.instructions, p, odds);
        }
        Ok(())
    }

    fn describe(&mut self, executor: &mut Executor<'_>, work: &Work, grey: &[f32], place: usize) {
        let sizes = self.programs.sizes;
        // Only to read the embedding.
        self.bind_tracker(executor, &work.bound, &work.frame);
        let scales = Tokens::of(self.tokens, sizes.tokens()).embedding_scales;
        let embedding = executor.input(self.programs.embedding);
        let frame = FrameView { embedding, scales, whole: self.whole, grey };
        let odds = &self.odds[odds_of(work.set(), place, sizes.pixels())];
        let now = look(1 - work.state.before, place);
        self.looks.describe(now, &frame, odds, work.iou[place], self.instructions);
    }

    /// Judges all objects, and decides which are learnt from.
    fn judge(&mut self, work: &mut Work) -> Result<(), NotFinite> {
        let sizes = self.programs.sizes;
        let state = &mut work.state;
        let mut trusted = [0.0; PLACES];
        let tokens = Tokens::of(self.tokens, sizes.tokens());
        if !work.kind.is_judged() {
            for place in work.chosen.places() {
                let now = self.looks.get(look(1 - state.before, place));
                state.checked[place] = Checked::new(&work.compared[place], &now, &now);
                state.ages[place] = 0;
            }
            return Ok(());
        }
        for place in state.followed.places() {
            let [now, mut before, mut reference] =
                [1 - state.before, state.before, REFERENCE].map(|set| self.looks.get(look(set, place)));
            let moved = match work.kind {
                // Nobody knows where it was on this frame's pixels: it did not move, nor change its size.
                Kind::Search => now.figures.placed_over(reference.figures),
                _ => work.placement.moved(reference.figures),
            };
            if work.kind != Kind::Follow {
                // The step from the frame before says nothing where the geometry changes.
                (before, reference.figures) = (now, &moved);
            }
            if work.chosen.contains(place) {
                state.checked[place] = Checked::new(&work.compared[place], &now, &reference);
            }
            let slot = work.bound.references().iter().position(|of| of.contains(place)).unwrap_or(0);
            let [best, found] = [(&tokens.best, slot), (&tokens.found, place)]
                .map(|(values, at)| &values[at * sizes.tokens()..][..sizes.tokens()]);
            let odds = &self.odds[odds_of(1 - state.before, place, sizes.pixels())];
            let (checked, age) = (&state.checked[place], state.ages[place]);
            let looks = [&now, &before, &reference];
            let evidence =
                evidence_of(self.instructions, &sizes, looks, odds, &Known { best, found }, checked, age);
            let judged = judge(&self.rules, &evidence);
            finite(&judged)?;
            let [right, is_trusted, absent] = judged;
            trusted[place] = is_trusted;
            work.outcomes[place] = Outcome { right, trusted: is_trusted, absent, age, is_found: true };
        }
        work.learnt = state.gate.judge(&self.rules, state.followed, &trusted);
        let found = state.gate.found(state.followed);
        for place in state.followed.places() {
            work.outcomes[place].is_found = found.contains(place);
        }
        Ok(())
    }

    /// Writes the frame's shares in some pixels, and which of them are above a half.
    fn share(&mut self, executor: &mut Executor<'_>, work: &Work, range: core::ops::Range<usize>) {
        let sizes = self.programs.sizes;
        let (pixels, words) = (sizes.pixels(), sizes.mask_words());
        let copies = self.programs.memory_copies(&work.bound, &work.frame);
        executor.begin(self.programs.memory, copies.get()).expect("the memory names free copies");
        let shares = executor.input_mut(self.programs.shares);
        if range.start == 0 {
            shares.fill(0.0);
        }
        let ids = work.sharing.ids();
        pixels::shares(self.instructions, self.probabilities, pixels, &ids, shares, range.clone());
        if range.end == pixels {
            for place in work.learnt.places() {
                let shares = &shares[(place + 1) * pixels..][..pixels];
                inside(shares, &mut self.inside[place * words..][..words]);
            }
        }
    }

    /// Compares the anchor's mask of an object, warped, with its mask, in some rows.
    fn fit(
        &mut self,
        executor: &mut Executor<'_>,
        work: &mut Work,
        place: usize,
        row: usize,
        mut overlap: Overlap,
    ) -> Step {
        let sizes = self.programs.sizes;
        let (side, pixels, words) = (sizes.mask_side, sizes.pixels(), sizes.mask_words());
        self.bind_tracker(executor, &work.bound, &work.frame);
        let anchor = &executor.input(self.programs.anchor_shares)[(place + 1) * pixels..][..pixels];
        let flow = Flow { values: executor.output(self.programs.flow), side: sizes.flow_side };
        let end = (row + ROWS_AT_ONCE).min(side);
        if row == 0 {
            work.reach = Reach::of(anchor, side, &flow);
        }
        overlap.add(anchor, &self.inside[place * words..][..words], side, &flow, &work.reach, row..end);
        if end < side {
            return Step::Fit { place, row: end, overlap };
        }
        let is_known = work.bound.anchor().known.contains(place);
        // Written so that a Dice that is not a number does not fit.
        let fits = is_known && overlap.dice() >= self.rules.anchor_dice;
        work.anchors |= !fits;
        match work.learnt.places().find(|&other| other > place) {
            Some(place) if fits => Step::Fit { place, row: 0, overlap: Overlap::default() },
            _ => Step::Done,
        }
    }
}

/// Copies for a frame in which nothing is remembered.
fn free_copies(memory: &Memory, features: u32) -> FrameCopies {
    FrameCopies {
        features,
        memory: memory.free_memory(),
        motion: memory.free_motion(),
        shares: memory.free_shares(),
    }
}

/// The odds of an object in a set.
fn odds_of(set: usize, place: usize, pixels: usize) -> core::ops::Range<usize> {
    let first = (set * PLACES + place) * pixels;
    first..first + pixels
}

/// Index of an object's look in a set.
fn look(set: usize, place: usize) -> usize {
    set * PLACES + place
}

/// First and last column and row with positive odds: left, top, right, bottom; `None` if there are none.
fn extent(odds: &[f32], side: usize) -> Option<[usize; 4]> {
    let mut extent: Option<[usize; 4]> = None;
    for (y, row) in odds.chunks_exact(side).enumerate() {
        let inside = |odds: &f32| *odds > 0.0;
        let (Some(left), Some(right)) = (row.iter().position(inside), row.iter().rposition(inside)) else {
            continue;
        };
        let [x0, y0, x1, _] = extent.unwrap_or([left, y, right, y]);
        extent = Some([x0.min(left), y0, x1.max(right), y]);
    }
    extent
}

fn finite(values: &[f32]) -> Result<(), NotFinite> {
    if are_finite(values) { Ok(()) } else { Err(NotFinite) }
}
