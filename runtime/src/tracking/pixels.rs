//! Steps over the pixels of masks: probabilities, odds, and shares of the objects in a pixel.
//!
//! Masks are held as probabilities: of an id against all others, from the softmax over the ids that are followed. The odds
//! that the segmenter is told, and that contours are drawn from, are their logits.

use super::Objects;
use crate::kernels::math;
use core::ops::Range;

/// Least distance of a probability from 0 and 1.
const SURE: f32 = 1e-6;

/// Replaces logits of the background and of each place, `[places + 1, pixels]`, by probabilities, in some pixels. Objects
/// that are not followed get no share.
pub fn softmax(logits: &mut [f32], pixels: usize, followed: Objects, range: Range<usize>) {
    for at in range {
        let ids = || core::iter::once(0).chain(followed.places().map(|place| place + 1));
        let most = ids().fold(f32::MIN, |most, id| math::max(most, logits[id * pixels + at]));
        let mut sum = 0.0;
        for id in ids() {
            let value = math::exp(logits[id * pixels + at] - most);
            logits[id * pixels + at] = value;
            sum += value;
        }
        for id in ids() {
            logits[id * pixels + at] = (logits[id * pixels + at] / sum).clamp(SURE, 1.0 - SURE);
        }
    }
}

/// Writes the probabilities of odds.
pub fn probabilities(odds: &[f32], probabilities: &mut [f32]) {
    for (p, &odds) in probabilities.iter_mut().zip(odds) {
        *p = math::sigmoid(odds).clamp(SURE, 1.0 - SURE);
    }
}

/// Writes the logits of probabilities.
pub fn odds(probabilities: &[f32], odds: &mut [f32]) {
    for (odds, &p) in odds.iter_mut().zip(probabilities) {
        *odds = libm::logf(p / (1.0 - p));
    }
}

/// Draws the segmenter's answer, logits, into a tracked mask's probabilities at weight `trust`.
pub fn blend(probabilities: &mut [f32], drawn: &[f32], trust: f32) {
    for (p, &drawn) in probabilities.iter_mut().zip(drawn) {
        *p = (trust * math::sigmoid(drawn) + (1.0 - trust) * *p).clamp(SURE, 1.0 - SURE);
    }
}

/// Writes the shares of the background and of each place in some pixels, `[places + 1, pixels]`: objects share a pixel in
/// proportion to their odds, and the background gets the rest.
pub fn shares(
    probabilities: &[f32],
    pixels: usize,
    followed: Objects,
    shares: &mut [f32],
    range: Range<usize>,
) {
    for at in range {
        let mut sum = 1.0;
        for place in followed.places() {
            let p = probabilities[(place + 1) * pixels + at];
            let ratio = p / (1.0 - p);
            shares[(place + 1) * pixels + at] = ratio;
            sum += ratio;
        }
        shares[at] = 1.0 / sum;
        for place in followed.places() {
            shares[(place + 1) * pixels + at] /= sum;
        }
    }
}
