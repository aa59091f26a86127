//! The tables' figures: interventions by object (the paper's table 2), and what uncorrected loops say, by kind.

use super::play::{ACCEPTED_DICE, Followed, Intervention, Played};
use serde::Serialize;
use sonotrace::hal::overlay::State;
use std::collections::BTreeMap;

/// An object is found again if its last mask has at least this Dice.
const FOUND_DICE: f64 = 0.85;
/// Masks below are wrong: they must be flagged.
const WRONG_DICE: f64 = 0.70;
/// Masks below have missed the object.
const MISSED_DICE: f64 = 0.50;
/// Confidence is judged where the object has at least this share of its pixels on the first frame.
const SEEN_SHARE: f64 = 0.5;
/// Absent objects must be flagged from this absent frame on.
const ABSENT_FROM: usize = 3;
/// A kind with fewer bad masks has no AUROC.
const BAD_MASKS_MIN: usize = 30;

/// Means over an object's loops.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ObjectFigures {
    /// Number of loops.
    pub loops: usize,
    /// Interventions.
    pub interventions_per_loop: f64,
    /// Dice lost since the frame before an intervention; 0 without any.
    pub drop_before: f64,
    /// Clicks in interventions.
    pub clicks_per_loop: f64,
    /// The same by intervention; 0 without any.
    pub clicks_per_intervention: f64,
    /// Clicks on the first frame.
    pub first_clicks_per_loop: f64,
    /// Of the loops' mean Dice, from the second frame on and before interventions; none if the object left all loops at once.
    pub dice_mean: Option<f64>,
}

impl ObjectFigures {
    /// Figures of an object's loops.
    pub fn of(played: &[&Played]) -> Self {
        let loops = played.len();
        let interventions: Vec<Intervention> = played.iter().flat_map(|of| interventions(of)).collect();
        let clicks: usize = interventions.iter().map(|made| made.clicks).sum();
        let first: usize = played.iter().map(|of| of.first_clicks).sum();
        let per_loop = |count: usize| count as f64 / loops.max(1) as f64;
        Self {
            loops,
            interventions_per_loop: per_loop(interventions.len()),
            drop_before: mean(interventions.iter().map(|made| made.drop)).unwrap_or(0.0),
            clicks_per_loop: per_loop(clicks),
            clicks_per_intervention: clicks as f64 / interventions.len().max(1) as f64,
            first_clicks_per_loop: per_loop(first),
            dice_mean: mean(played.iter().filter_map(|of| dice_mean(of))),
        }
    }
}

/// Mean Dice of an object in a loop; none if it was in no frame but the first one.
pub fn dice_mean(played: &Played) -> Option<f64> {
    mean(played.frames.iter().filter_map(|frame| frame.dice))
}

fn interventions(played: &Played) -> impl Iterator<Item = Intervention> {
    played.frames.iter().filter_map(|frame| frame.intervention)
}

/// Figures of uncorrected loops of a kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindFigures {
    /// Number of objects, of all loops.
    pub objects: usize,
    /// Of all masks.
    pub dice_mean: Option<f64>,
    /// Share of masks with a Dice below 0.5.
    pub below_half: Option<f64>,
    /// Mean on the last frame.
    pub dice_last: Option<f64>,
    /// Share of objects with a Dice of 0.85 or more on the last frame.
    pub found_again: Option<f64>,
    /// Area under the curve of confidence, for masks below a Dice of 0.90; none for too few of them.
    pub auroc_below_090: Option<f64>,
    /// The same, below 0.70.
    pub auroc_below_070: Option<f64>,
    /// What users are told.
    #[serde(flatten)]
    pub flags: Flags,
}

impl KindFigures {
    /// Figures of a kind's objects.
    pub fn of(played: &[&Played]) -> Self {
        let frames = || played.iter().flat_map(|of| &of.frames);
        let dice = || frames().filter_map(|frame| frame.dice);
        let last = || played.iter().filter_map(|of| of.frames.last()?.dice);
        let auroc = |bad: f64| {
            let judged = frames().filter(|frame| is_judged(frame));
            let judged: Vec<(f32, bool)> =
                judged.filter_map(|frame| Some((frame.told.confidence, frame.dice? < bad))).collect();
            let count = judged.iter().filter(|(_, is_bad)| *is_bad).count();
            (count >= BAD_MASKS_MIN).then(|| auroc(&judged)).flatten()
        };
        Self {
            objects: played.len(),
            dice_mean: mean(dice()),
            below_half: share(dice().map(|dice| dice < MISSED_DICE)),
            dice_last: mean(last()),
            found_again: share(last().map(|dice| dice >= FOUND_DICE)),
            auroc_below_090: auroc(ACCEPTED_DICE),
            auroc_below_070: auroc(WRONG_DICE),
            flags: Flags::of(played),
        }
    }
}

/// Shares of masks of which users are warned: attention, or absent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Flags {
    /// Of masks below a Dice of 0.70, where at least half of the object is in the mask.
    pub flagged_wrong: Option<f64>,
    /// Of masks at 0.90 or more, there.
    pub flagged_right: Option<f64>,
    /// Of absent objects, from their third absent frame on.
    pub flagged_absent: Option<f64>,
    /// Of these: share with the state absent.
    pub told_absent: Option<f64>,
    /// Share of objects of which at least half is in the mask, with the state absent.
    pub mistaken_absent: Option<f64>,
}

impl Flags {
    fn of(played: &[&Played]) -> Self {
        // Whether each is flagged, or said to be absent.
        let [mut wrong, mut right, mut absent, mut told, mut mistaken] = [const { Vec::new() }; 5];
        for of in played {
            let mut absent_frames = 0;
            for frame in &of.frames {
                let (state, is_flagged) = (frame.told.state, frame.told.state != State::Tracked);
                absent_frames = if frame.dice.is_some() { 0 } else { absent_frames + 1 };
                match frame.dice {
                    None if absent_frames >= ABSENT_FROM => {
                        absent.push(is_flagged);
                        told.push(state == State::Absent);
                    }
                    Some(dice) if is_judged(frame) => {
                        mistaken.push(state == State::Absent);
                        if dice < WRONG_DICE {
                            wrong.push(is_flagged);
                        } else if dice >= ACCEPTED_DICE {
                            right.push(is_flagged);
                        }
                    }
                    _ => {}
                }
            }
        }
        Self {
            flagged_wrong: share(wrong),
            flagged_right: share(right),
            flagged_absent: share(absent),
            told_absent: share(told),
            mistaken_absent: share(mistaken),
        }
    }
}

/// Figures by kind, and of all.
pub fn by_kind<'p>(played: &[(&'p str, &'p Played)]) -> BTreeMap<String, KindFigures> {
    let mut kinds: BTreeMap<String, Vec<&Played>> = BTreeMap::new();
    for (kind, of) in played {
        kinds.entry((*kind).to_owned()).or_default().push(of);
    }
    kinds.into_iter().map(|(kind, of)| (kind, KindFigures::of(&of))).collect()
}

/// Whether the confidence in a mask can be judged.
fn is_judged(frame: &Followed) -> bool {
    frame.dice.is_some() && frame.share >= SEEN_SHARE
}

/// The probability that a bad mask has less confidence than a good one; half of the ties count. None without both.
fn auroc(judged: &[(f32, bool)]) -> Option<f64> {
    let mut sorted = judged.to_vec();
    sorted.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let bad = sorted.iter().filter(|(_, is_bad)| *is_bad).count();
    let good = sorted.len() - bad;
    let (mut bad_below, mut pairs) = (0, 0.0);
    for tied in sorted.chunk_by(|(a, _), (b, _)| a == b) {
        let bad = tied.iter().filter(|(_, is_bad)| *is_bad).count();
        let good = tied.len() - bad;
        pairs += good as f64 * (bad_below as f64 + bad as f64 / 2.0);
        bad_below += bad;
    }
    (bad > 0 && good > 0).then(|| pairs / (bad as f64 * good as f64))
}

fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.into_iter().fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

fn share(of: impl IntoIterator<Item = bool>) -> Option<f64> {
    mean(of.into_iter().map(|is| f64::from(u8::from(is))))
}

#[cfg(test)]
mod tests {
    use super::super::play::Told;
    use super::*;

    fn frame(dice: Option<f64>, confidence: f32, state: State) -> Followed {
        Followed { dice, share: 1.0, told: Told { confidence, state }, intervention: None }
    }

    fn played(frames: Vec<Followed>) -> Played {
        Played { first_clicks: 2, frames }
    }

    #[test]
    fn interventions_are_counted_by_loop() {
        let corrected = |dice, drop, clicks| Followed {
            intervention: Some(Intervention { drop, clicks }),
            ..frame(Some(dice), 0.5, State::Tracked)
        };
        let good = frame(Some(0.96), 0.9, State::Tracked);
        let a = played(vec![good, corrected(0.80, 0.16, 3), corrected(0.88, 0.04, 1)]);
        let b = played(vec![good, frame(None, 0.1, State::Absent), good]);
        let figures = ObjectFigures::of(&[&a, &b]);
        let expected = [1.0, 0.1, 2.0, 2.0, 2.0, ((0.96 + 0.80 + 0.88) / 3.0 + 0.96) / 2.0];
        let seen = [
            figures.interventions_per_loop,
            figures.drop_before,
            figures.clicks_per_loop,
            figures.clicks_per_intervention,
            figures.first_clicks_per_loop,
            figures.dice_mean.expect("there are masks"),
        ];
        assert!(
            seen.iter().zip(expected).all(|(seen, expected)| (seen - expected).abs() < 1e-12),
            "{seen:?}"
        );
        let nothing = ObjectFigures::of(&[&played(vec![frame(None, 0.1, State::Absent)])]);
        assert_eq!(
            (nothing.dice_mean, nothing.drop_before, nothing.clicks_per_intervention),
            (None, 0.0, 0.0)
        );
    }

    #[test]
    fn auroc_is_the_share_of_pairs_in_order() {
        let mut state = 7u64;
        let mut below = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % end
        };
        for _ in 0..50 {
            // Few values, so that many are equal.
            let judged: Vec<(f32, bool)> = (0..40).map(|_| (below(6) as f32 / 5.0, below(3) == 0)).collect();
            let (mut pairs, mut count) = (0.0, 0.0);
            for (bad, _) in judged.iter().filter(|(_, is_bad)| *is_bad) {
                for (good, _) in judged.iter().filter(|(_, is_bad)| !*is_bad) {
                    pairs += if bad < good { 1.0 } else { f64::from(u8::from(bad == good)) / 2.0 };
                    count += 1.0;
                }
            }
            let seen = auroc(&judged).expect("both kinds");
            assert!((seen - pairs / count).abs() < 1e-12, "{seen}");
        }
        assert_eq!(auroc(&[(0.5, true)]), None);
        assert_eq!(auroc(&[]), None);
    }

    #[test]
    fn flags_are_those_that_users_see() {
        let absent = |state| frame(None, 0.1, state);
        let of = played(vec![
            frame(Some(0.5), 0.2, State::Attention),
            frame(Some(0.6), 0.9, State::Tracked),
            frame(Some(0.95), 0.9, State::Absent),
            // Too little of the object is left to be judged.
            Followed { share: 0.4, ..frame(Some(0.1), 0.9, State::Tracked) },
            // The first two absent frames do not count.
            absent(State::Tracked),
            absent(State::Tracked),
            absent(State::Attention),
            absent(State::Absent),
            frame(Some(0.9), 0.9, State::Tracked),
        ]);
        let kinds = by_kind(&[("slide", &of)]);
        let Flags { flagged_wrong, flagged_right, flagged_absent, told_absent, mistaken_absent } =
            kinds["slide"].flags;
        assert_eq!([flagged_wrong, flagged_right, flagged_absent], [Some(0.5), Some(0.5), Some(1.0)]);
        assert_eq!([told_absent, mistaken_absent], [Some(0.5), Some(0.25)]);
        let figures = &kinds["slide"];
        assert_eq!((figures.dice_last, figures.found_again), (Some(0.9), Some(1.0)));
        assert_eq!((figures.below_half, figures.auroc_below_090), (Some(0.2), None));
        let gone = played(vec![absent(State::Absent)]);
        assert_eq!(KindFigures::of(&[&gone]).dice_last, None);
    }
}
