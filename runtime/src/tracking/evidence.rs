//! What shows whether a tracked mask is right, and the probabilities that follow from it.

use super::looks::{Look, Sizes};
use super::vectors::dot;
use crate::format::{EVIDENCE, Evidence, Judgement, RegressionRecord, TrackingRecord};
use crate::kernels::arch::Instructions;
use crate::kernels::{math, pixels};
use bytemuck::cast;

/// Least share or grey level before a logarithm or a division.
const LEAST: f32 = 1e-4;
/// Least area in pixels before a logarithm or a division.
const AREA_MIN: f32 = 1.0;
/// Odds of a pixel whose probability is 0.9: pixels nearer to 0 are doubtful.
const ODDS_SURE: f32 = 2.197_224_6;
/// Frames: an older answer of the segmenter says no less.
const AGE_MAX: u32 = 16;

/// The evidence of the segmenter's answer, which is kept until the object's next turn.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Checked {
    /// Its estimate for its answer.
    pub iou: f32,
    /// The same, minus that of the reference.
    pub iou_lost: f32,
    /// Dice of the tracked mask and the answer.
    pub agreement: f32,
    /// Sum of differences of probability, over the root of the area, at most 20.
    pub gap: f32,
}

/// How far the tracker's mask and the segmenter's answer agree.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Comparison {
    /// Dice of both.
    agreement: f32,
    /// Sum of differences of probability.
    gap: f32,
}

impl Comparison {
    /// Compares the tracker's odds with the segmenter's.
    pub fn of(instructions: Instructions, tracked: &[f32], drawn: &[f32]) -> Self {
        let (mut both, mut one, mut other) = (0u32, 0u32, 0u32);
        for (&tracked, &drawn) in tracked.iter().zip(drawn) {
            let (is_tracked, is_drawn) = (tracked > 0.0, drawn > 0.0);
            both += u32::from(is_tracked && is_drawn);
            one += u32::from(is_tracked);
            other += u32::from(is_drawn);
        }
        let gap = pixels::gap(instructions, tracked, drawn);
        Self { agreement: dice(both, one, other), gap: gap as f32 }
    }
}

impl Checked {
    /// Returns the evidence of an answer; `now` is the refined mask, with the segmenter's estimate.
    pub fn new(comparison: &Comparison, now: &Look<'_>, reference: &Look<'_>) -> Self {
        Self {
            iou: now.figures.iou,
            iou_lost: now.figures.iou - reference.figures.iou,
            agreement: comparison.agreement,
            gap: (comparison.gap / root_of_area(now)).min(20.0),
        }
    }
}

/// How well a frame's tokens are known from a reference, by the tracker's keys.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Of each token of the frame: its largest cosine with the reference's tokens.
    pub best: &'a [f32],
    /// Of each token of the frame: the share of its attention that the object gets in the reference.
    pub found: &'a [f32],
}

/// Returns an object's evidence. `odds` are those of the mask that `now` describes, `age` the frames since `checked`.
pub fn evidence_of(
    instructions: Instructions,
    sizes: &Sizes,
    [now, before, reference]: [&Look<'_>; 3],
    odds: &[f32],
    known: &Known<'_>,
    checked: &Checked,
    age: u32,
) -> Evidence {
    let area = area_of(now);
    let (sureness, doubtful) = pixels::sureness(instructions, odds, ODDS_SURE);
    let covered = now.cells().iter().sum::<f32>().max(LEAST);
    let found_inside = dot(known.found, now.cells());
    let found: f32 = known.found.iter().sum();
    let tokens = known.best.len() as f32;
    let step = libm::logf(area / area_of(before));
    let drift = libm::logf(area / area_of(reference));
    Evidence {
        iou: checked.iou,
        iou_lost: checked.iou_lost,
        agreement: checked.agreement,
        gap: checked.gap,
        age: age.min(AGE_MAX) as f32,
        sureness: sureness as f32 / area,
        doubt: (doubtful as f32 / root_of_area(now)).min(20.0),
        step: step.abs().min(3.0),
        step_overlap: overlap(now.mask, before.mask),
        moved: (distance(now, before) / root_of_area(now)).min(3.0),
        away: (distance(now, reference) / root_of_area(reference)).min(4.0),
        drift: drift.abs().min(3.0),
        size: libm::logf(area / sizes.pixels() as f32),
        alike: dot(now.inside(), reference.inside()),
        ring_alike: dot(now.ring(), reference.ring()),
        contrast: dot(now.inside(), now.ring()) - dot(reference.inside(), reference.ring()),
        alike_before: dot(now.inside(), before.inside()),
        frame_alike: dot(now.whole(), reference.whole()),
        known: dot(known.best, now.cells()) / covered,
        frame_known: known.best.iter().sum::<f32>() / tokens,
        found_inside: found_inside / covered,
        found_share: found_inside / found.max(LEAST),
        found_all: (found / reference.cells().iter().sum::<f32>().max(LEAST)).min(4.0),
        grey: log_ratio(now.figures.grey, reference.figures.grey),
        spread: log_ratio(now.figures.spread, reference.figures.spread),
        dark: now.figures.dark - reference.figures.dark,
        level: log_ratio(now.figures.level, reference.figures.level),
    }
}

/// Probabilities of an object's mask, by [`Judgement`]. Evidence that is not finite gives numbers that are not.
pub fn judge(record: &TrackingRecord, evidence: &Evidence) -> [f32; Judgement::ALL.len()] {
    let values: [f32; EVIDENCE] = cast(*evidence);
    record.regressions.map(|RegressionRecord { weights, bias }| math::sigmoid(bias + dot(&weights, &values)))
}

fn area_of(look: &Look<'_>) -> f32 {
    look.figures.area.max(AREA_MIN)
}

fn root_of_area(look: &Look<'_>) -> f32 {
    libm::sqrtf(area_of(look))
}

fn distance(a: &Look<'_>, b: &Look<'_>) -> f32 {
    let ([ax, ay], [bx, by]) = (a.figures.centre, b.figures.centre);
    libm::hypotf(ax - bx, ay - by)
}

/// Dice of two masks as bits; 0 if both are empty.
fn overlap(a: &[u64], b: &[u64]) -> f32 {
    let count = |words: &[u64]| words.iter().map(|word| word.count_ones()).sum();
    let both = a.iter().zip(b).map(|(a, b)| (a & b).count_ones()).sum();
    dice(both, count(a), count(b))
}

fn dice(both: u32, one: u32, other: u32) -> f32 {
    2.0 * both as f32 / (one + other).max(1) as f32
}

/// The logarithm of a level over another, within 4.
fn log_ratio(now: f32, reference: f32) -> f32 {
    libm::logf(now.max(LEAST) / reference.max(LEAST)).clamp(-4.0, 4.0)
}
