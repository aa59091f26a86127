//! The simulated user on a loop, as in `models/sonotrace_models/evaluate/loops.py` and `hard.py`.
//!
//! On the first frame the user clicks on each object until its mask is good. On later frames the objects are followed, and Dice is
//! taken; an object of which a frame's mask has next to nothing has none. Where it is below [`ACCEPTED_DICE`] the user intervenes
//! with corrective clicks, if corrections are wanted.

use super::super::data::OBJECT_PX_MIN;
use super::super::protocol::{Mask, first_click, next_click};
use anyhow::Result;
use sonotrace::hal::overlay::State;
use sonotrace::session::DecoderPrompt;

/// Below, the user intervenes (the paper's threshold).
pub const ACCEPTED_DICE: f64 = 0.90;
/// From this Dice on, the user stops clicking.
const GOOD_DICE: f64 = 0.95;
/// Clicks on the first frame, per object.
const FIRST_CLICKS_MAX: usize = 5;
/// Clicks of one intervention.
const CORRECTIONS_MAX: usize = 3;

/// A model that follows the objects of one loop. Objects are numbered from 0, frames come in order.
pub trait Model {
    /// Goes to the next frame and follows the drawn objects to it. Returns the true mask of each object on the input grid; none after
    /// the last frame.
    ///
    /// # Errors
    /// A frame that cannot be read or computed.
    fn next(&mut self) -> Result<Option<Vec<Mask>>>;

    /// An object's logits on the frame.
    fn logits(&self, object: usize) -> Vec<f32>;

    /// What the model says of an object that it has followed to the frame.
    fn told(&self, object: usize) -> Told;

    /// The mask of logits on the input grid.
    fn mask(&self, logits: &[f32]) -> Mask;

    /// The box that is part of a correction's prompt: left, top, right, bottom; none for an empty mask.
    fn box_of(&self, logits: &[f32]) -> Option<[f32; 4]>;

    /// The logits for a prompt on the frame.
    fn answer(&mut self, prompt: &DecoderPrompt, before: Option<&[f32]>) -> Vec<f32>;

    /// Takes a mask on the frame that the user drew (on the first frame) or corrected.
    ///
    /// # Errors
    /// A mask that cannot be computed with.
    fn learn(&mut self, object: usize, logits: &[f32]) -> Result<()>;
}

/// What the model says of a followed object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Told {
    /// Probability that its mask is right.
    pub confidence: f32,
    /// State on overlays.
    pub state: State,
}

/// An object on a frame after the first one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Followed {
    /// Before an intervention; none where the object is not in the frame.
    pub dice: Option<f64>,
    /// Pixels of the true mask, over those on the first frame.
    pub share: f64,
    /// What the model says.
    pub told: Told,
    /// The intervention on this frame.
    pub intervention: Option<Intervention>,
}

/// An intervention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intervention {
    /// Dice lost since the frame before; before the first frame on which the object was followed, since a Dice of 1.
    pub drop: f64,
    /// Corrective clicks.
    pub clicks: usize,
}

/// One object through one loop.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Played {
    /// Clicks on the first frame.
    pub first_clicks: usize,
    /// From the second frame on.
    pub frames: Vec<Followed>,
}

/// Plays a loop. `on_frame` is called after each frame.
///
/// # Errors
/// A frame that cannot be read or computed.
pub fn play(model: &mut impl Model, is_corrected: bool, mut on_frame: impl FnMut()) -> Result<Vec<Played>> {
    let Some(first) = model.next()? else { return Ok(Vec::new()) };
    let mut played = vec![Played::default(); first.len()];
    for (object, (truth, played)) in first.iter().zip(&mut played).enumerate() {
        let (logits, clicks) = click_until_good(model, truth, None, FIRST_CLICKS_MAX);
        played.first_clicks = clicks;
        model.learn(object, &logits)?;
    }
    on_frame();
    // Dice of each object on the last frame that it was in, after an intervention.
    let mut kept = vec![1.0; first.len()];
    while let Some(truths) = model.next()? {
        let mut corrected = Vec::new();
        for (object, truth) in truths.iter().enumerate() {
            let logits = model.logits(object);
            let area = truth.area();
            let dice = (area >= OBJECT_PX_MIN).then(|| model.mask(&logits).dice(truth));
            let mut intervention = None;
            if let Some(dice) = dice {
                let drop = kept[object] - dice;
                kept[object] = dice;
                if is_corrected && dice < ACCEPTED_DICE {
                    let (logits, clicks) = click_until_good(model, truth, Some(logits), CORRECTIONS_MAX);
                    kept[object] = model.mask(&logits).dice(truth);
                    intervention = Some(Intervention { drop, clicks });
                    corrected.push((object, logits));
                }
            }
            let share = area as f64 / first[object].area().max(1) as f64;
            let told = model.told(object);
            played[object].frames.push(Followed { dice, share, told, intervention });
        }
        for (object, logits) in corrected {
            model.learn(object, &logits)?;
        }
        on_frame();
    }
    Ok(played)
}

/// Clicks until the mask is good. Returns its logits and the number of clicks.
fn click_until_good(
    model: &mut impl Model,
    truth: &Mask,
    before: Option<Vec<f32>>,
    clicks_max: usize,
) -> (Vec<f32>, usize) {
    // As in a session: the box of the followed mask is part of the prompt.
    let mut prompt = DecoderPrompt::default();
    prompt.box_px = before.as_ref().and_then(|logits| model.box_of(logits));
    let mut logits = before;
    for made in 0..clicks_max {
        let click = match &logits {
            None => first_click(truth),
            Some(logits) => next_click(truth, &model.mask(logits)),
        };
        let Some(click) = click else { return (logits.unwrap_or_default(), made) };
        prompt.add(click);
        let answer = model.answer(&prompt, logits.as_deref());
        let is_good = model.mask(&answer).dice(truth) >= GOOD_DICE;
        logits = Some(answer);
        if is_good {
            return (logits.unwrap_or_default(), made + 1);
        }
    }
    (logits.unwrap_or_default(), clicks_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 32;
    /// True pixels of an object that is there: the first ones.
    const WHOLE: usize = 400;

    /// Numbers that look random.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % end
        }
    }

    /// What happens in a loop: masks are the first pixels of the true one, and are told apart by their number.
    #[derive(Clone)]
    struct Events {
        /// By frame and object: whether the object is there.
        is_there: Vec<Vec<bool>>,
        /// By frame and object: pixels that the tracker loses of the mask on the frame before.
        lost: Vec<Vec<usize>>,
        /// Pixels of a first click's answer, and pixels that another click adds, by object.
        first: Vec<usize>,
        added: Vec<usize>,
    }

    impl Events {
        fn random(seed: u64) -> Self {
            let mut numbers = Numbers(seed);
            let (frames, objects) = (2 + numbers.below(12), 1 + numbers.below(3));
            let mut each = |of: &mut dyn FnMut(&mut Numbers) -> usize| {
                (0..objects).map(|_| of(&mut numbers)).collect::<Vec<_>>()
            };
            let (first, added) =
                (each(&mut |numbers| 250 + numbers.below(150)), each(&mut |numbers| 20 + numbers.below(80)));
            let lost = (0..frames).map(|_| each(&mut |numbers| numbers.below(30))).collect();
            let there = |numbers: &mut Numbers| usize::from(numbers.below(5) > 0);
            let is_there = (0..frames)
                .map(|frame| each(&mut |numbers| if frame == 0 { 1 } else { there(numbers) }))
                .map(|of| of.into_iter().map(|is_there| is_there == 1).collect())
                .collect();
            Self { is_there, lost, first, added }
        }
    }

    /// Plays events with masks.
    struct Stub {
        events: Events,
        frame: usize,
        pixels: Vec<usize>,
        /// The object whose first prompt comes next.
        drawn: usize,
        learnt: Vec<(usize, usize)>,
    }

    fn mask_of(pixels: usize) -> Mask {
        Mask { side: SIDE, pixels: (0..SIDE * SIDE).map(|at| at < pixels).collect() }
    }

    /// Logits of a mask; a value beside them says which object they are of.
    fn logits_of(object: usize, pixels: usize) -> Vec<f32> {
        let inside = (0..SIDE * SIDE).map(|at| if at < pixels { 1.0 } else { -1.0 });
        inside.chain([object as f32]).collect()
    }

    impl Model for Stub {
        fn next(&mut self) -> Result<Option<Vec<Mask>>> {
            let frame = self.frame;
            self.frame += 1;
            let Some(is_there) = self.events.is_there.get(frame) else { return Ok(None) };
            if frame > 0 {
                for (pixels, lost) in self.pixels.iter_mut().zip(&self.events.lost[frame]) {
                    *pixels = pixels.saturating_sub(*lost);
                }
            }
            // Fewer pixels than an object needs.
            let none = OBJECT_PX_MIN - 1;
            Ok(Some(is_there.iter().map(|&is| mask_of(if is { WHOLE } else { none })).collect()))
        }

        fn logits(&self, object: usize) -> Vec<f32> {
            logits_of(object, self.pixels[object])
        }

        fn told(&self, object: usize) -> Told {
            Told { confidence: self.pixels[object] as f32, state: State::Tracked }
        }

        fn mask(&self, logits: &[f32]) -> Mask {
            Mask { side: SIDE, pixels: logits[..SIDE * SIDE].iter().map(|&logit| logit > 0.0).collect() }
        }

        fn box_of(&self, logits: &[f32]) -> Option<[f32; 4]> {
            self.mask(logits).bounds().map(|bounds| bounds.map(|at| at as f32))
        }

        fn answer(&mut self, prompt: &DecoderPrompt, before: Option<&[f32]>) -> Vec<f32> {
            // On the first frame there is no mask to begin with, and so no box; `frame` is the next one.
            assert_eq!(prompt.box_px.is_some(), self.frame > 1);
            let Some(before) = before else {
                assert_eq!(prompt.clicks().len(), 1);
                return logits_of(self.drawn, self.events.first[self.drawn]);
            };
            let object = before[SIDE * SIDE] as usize;
            logits_of(object, (self.mask(before).area() + self.events.added[object]).min(WHOLE))
        }

        fn learn(&mut self, object: usize, logits: &[f32]) -> Result<()> {
            self.pixels[object] = self.mask(logits).area();
            self.learnt.push((self.frame - 1, object));
            self.drawn = object + 1;
            Ok(())
        }
    }

    /// The same in numbers of pixels: by object, clicks on the first frame; by frame, Dice, drop and clicks.
    type InNumbers = Vec<(usize, Vec<(Option<f64>, Option<(f64, usize)>)>)>;

    fn in_numbers(events: &Events, is_corrected: bool) -> InNumbers {
        let dice = |pixels: usize| 2.0 * pixels as f64 / (pixels + WHOLE) as f64;
        let mut all = Vec::new();
        for object in 0..events.first.len() {
            let mut pixels = events.first[object];
            let mut first_clicks = 1;
            while first_clicks < 5 && dice(pixels) < 0.95 {
                pixels = (pixels + events.added[object]).min(WHOLE);
                first_clicks += 1;
            }
            let (mut before, mut frames) = (1.0, Vec::new());
            for frame in 1..events.is_there.len() {
                pixels = pixels.saturating_sub(events.lost[frame][object]);
                if !events.is_there[frame][object] {
                    frames.push((None, None));
                    continue;
                }
                let seen = dice(pixels);
                let mut clicks = 0;
                if is_corrected && seen < 0.90 {
                    loop {
                        pixels = (pixels + events.added[object]).min(WHOLE);
                        clicks += 1;
                        if clicks == 3 || dice(pixels) >= 0.95 {
                            break;
                        }
                    }
                }
                frames.push((Some(seen), (clicks > 0).then_some((before - seen, clicks))));
                before = dice(pixels);
            }
            all.push((first_clicks, frames));
        }
        all
    }

    #[test]
    fn loops_are_played_as_in_numbers_of_pixels() {
        let mut interventions = 0;
        for seed in 0..400 {
            let (events, is_corrected) = (Events::random(seed), seed % 4 > 0);
            let objects = events.first.len();
            let mut stub = Stub { events, frame: 0, pixels: vec![0; objects], drawn: 0, learnt: Vec::new() };
            let mut frames = 0;
            let played = play(&mut stub, is_corrected, || frames += 1).expect("nothing fails");
            assert_eq!(frames, stub.events.is_there.len());
            let seen: InNumbers = played
                .iter()
                .map(|of| {
                    let frame = |frame: &Followed| {
                        (frame.dice, frame.intervention.map(|made| (made.drop, made.clicks)))
                    };
                    (of.first_clicks, of.frames.iter().map(frame).collect())
                })
                .collect();
            assert_eq!(seen, in_numbers(&stub.events, is_corrected), "seed {seed}");
            // Each mask that the user made was learnt, and no other one.
            let made = played.iter().flat_map(|of| &of.frames).filter(|frame| frame.intervention.is_some());
            assert_eq!(stub.learnt.len(), objects + made.count(), "seed {seed}");
            interventions += stub.learnt.len() - objects;
        }
        assert!(interventions > 100, "{interventions} interventions");
    }

    #[test]
    fn a_frame_is_told_of_before_it_is_corrected() {
        let events = Events {
            is_there: vec![vec![true], vec![true], vec![false]],
            lost: vec![vec![0], vec![200], vec![0]],
            first: vec![WHOLE],
            added: vec![150],
        };
        let mut stub = Stub { events, frame: 0, pixels: vec![0], drawn: 0, learnt: Vec::new() };
        let played = play(&mut stub, true, || {}).expect("nothing fails");
        let [first, last] = played[0].frames[..] else { panic!("two frames follow the first one") };
        assert_eq!((first.told.confidence, first.share), (200.0, 1.0));
        assert_eq!(first.intervention.map(|made| made.clicks), Some(2));
        assert_eq!((last.dice, last.share), (None, (OBJECT_PX_MIN - 1) as f64 / WHOLE as f64));
    }
}
