//! Steps over the pixels of masks: probabilities, their logits, and what some objects share of each pixel.
//!
//! Planes of pixels follow each other: id 0 is the background, the others are objects.

use crate::arch::{Instructions, Isa, Work};
use crate::math;
use core::ops::Range;

/// Least distance of a probability from 0 and 1.
const SURE: f32 = 1e-6;
/// Pixels that are worked on together.
const BLOCK: usize = 64;

/// Work over blocks of pixels.
struct Blocks<F>(F);

impl<F: FnMut()> Work for Blocks<F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, _: I) {
        (self.0)();
    }
}

/// A probability within what its logit can tell.
#[inline(always)]
fn within(p: f32) -> f32 {
    p.clamp(SURE, 1.0 - SURE)
}

/// Replaces logits by probabilities, in some pixels of the planes of these ids: the softmax over them.
///
/// # Panics
/// If a plane is beyond the slice.
pub fn softmax(
    instructions: Instructions,
    planes: &mut [f32],
    pixels: usize,
    ids: &[usize],
    range: Range<usize>,
) {
    instructions.run(Blocks(
        #[inline(always)]
        || {
            for first in range.clone().step_by(BLOCK) {
                let count = BLOCK.min(range.end - first);
                let (mut most, mut sum) = ([f32::MIN; BLOCK], [0.0f32; BLOCK]);
                for id in ids {
                    for (most, logit) in most.iter_mut().zip(&planes[id * pixels + first..][..count]) {
                        *most = math::max(*most, *logit);
                    }
                }
                for id in ids {
                    let logits = &mut planes[id * pixels + first..][..count];
                    for ((logit, most), sum) in logits.iter_mut().zip(&most).zip(&mut sum) {
                        *logit = math::exp_of_negative(*logit - most);
                        *sum += *logit;
                    }
                }
                for id in ids {
                    for (p, sum) in planes[id * pixels + first..][..count].iter_mut().zip(&sum) {
                        *p = within(*p / sum);
                    }
                }
            }
        },
    ));
}

/// Writes the probabilities of logits.
pub fn probabilities(instructions: Instructions, logits: &[f32], probabilities: &mut [f32]) {
    instructions.run(Blocks(
        #[inline(always)]
        || {
            for (p, &logit) in probabilities.iter_mut().zip(logits) {
                *p = within(math::sigmoid(logit));
            }
        },
    ));
}

/// Writes the logits of probabilities, which are above 0 and below 1.
pub fn logits(instructions: Instructions, probabilities: &[f32], logits: &mut [f32]) {
    instructions.run(Blocks(
        #[inline(always)]
        || {
            for (logit, &p) in logits.iter_mut().zip(probabilities) {
                *logit = math::ln(p / (1.0 - p));
            }
        },
    ));
}

/// Draws an answer, logits, into probabilities at weight `trust`.
pub fn blend(instructions: Instructions, probabilities: &mut [f32], drawn: &[f32], trust: f32) {
    instructions.run(Blocks(
        #[inline(always)]
        || {
            for (p, &drawn) in probabilities.iter_mut().zip(drawn) {
                *p = within(trust * math::sigmoid(drawn) + (1.0 - trust) * *p);
            }
        },
    ));
}

/// Writes the shares of the background and of these objects in some pixels: objects share a pixel in proportion to their odds, and the
/// background gets the rest.
///
/// # Panics
/// If a plane is beyond a slice.
pub fn shares(
    instructions: Instructions,
    probabilities: &[f32],
    pixels: usize,
    objects: &[usize],
    shares: &mut [f32],
    range: Range<usize>,
) {
    instructions.run(Blocks(
        #[inline(always)]
        || {
            for first in range.clone().step_by(BLOCK) {
                let count = BLOCK.min(range.end - first);
                let mut sum = [1.0f32; BLOCK];
                for id in objects {
                    let plane = id * pixels + first..id * pixels + first + count;
                    let both = shares[plane.clone()].iter_mut().zip(&probabilities[plane]);
                    for ((share, p), sum) in both.zip(&mut sum) {
                        *share = p / (1.0 - p);
                        *sum += *share;
                    }
                }
                for (share, sum) in shares[first..][..count].iter_mut().zip(&sum) {
                    *share = 1.0 / sum;
                }
                for id in objects {
                    for (share, sum) in shares[id * pixels + first..][..count].iter_mut().zip(&sum) {
                        *share /= sum;
                    }
                }
            }
        },
    ));
}

/// Returns the sum of the absolute differences of two masks' probabilities, from their logits.
pub fn gap(instructions: Instructions, a: &[f32], b: &[f32]) -> f64 {
    let mut sum = 0.0;
    instructions.run(Blocks(
        #[inline(always)]
        || {
            for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
                let mut gaps = [0.0f32; BLOCK];
                for ((gap, &a), &b) in gaps.iter_mut().zip(a).zip(b) {
                    *gap = (math::sigmoid(a) - math::sigmoid(b)).abs();
                }
                sum += total(&gaps);
            }
        },
    ));
    sum
}

/// Returns the sum of the probabilities of the pixels with positive logits, and the number of pixels whose logits are nearer to 0 than
/// `sure`.
pub fn sureness(instructions: Instructions, logits: &[f32], sure: f32) -> (f64, u32) {
    let (mut sum, mut doubtful) = (0.0, 0);
    instructions.run(Blocks(
        #[inline(always)]
        || {
            for logits in logits.chunks(BLOCK) {
                let mut inside = [0.0f32; BLOCK];
                for (inside, &logit) in inside.iter_mut().zip(logits) {
                    let p = math::sigmoid(logit);
                    *inside = if logit > 0.0 { p } else { 0.0 };
                }
                doubtful += logits.iter().map(|logit| u32::from(logit.abs() < sure)).sum::<u32>();
                sum += total(&inside);
            }
        },
    ));
    (sum, doubtful)
}

/// Replaces values, at most `most`, by `e^(sharpness (value - most))`, and returns their sum.
pub fn exponentials(instructions: Instructions, values: &mut [f32], most: f32, sharpness: f32) -> f32 {
    let mut sum = 0.0;
    instructions.run(Blocks(
        #[inline(always)]
        || {
            for values in values.chunks_mut(BLOCK) {
                let mut terms = [0.0f32; BLOCK];
                for (value, term) in values.iter_mut().zip(&mut terms) {
                    *value = math::exp_of_negative(sharpness * (*value - most));
                    *term = *value;
                }
                sum += total(&terms);
            }
        },
    ));
    sum as f32
}

/// The sum, in an order that can be computed in lanes.
#[inline(always)]
fn total(values: &[f32; BLOCK]) -> f64 {
    let mut lanes = [0.0f32; 16];
    for chunk in values.as_chunks::<16>().0 {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().map(|&lane| f64::from(lane)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits from -30 to 30, in no order.
    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * 7919 + seed * 104_729) % 6001) as f32 / 100.0 - 30.0).collect()
    }

    fn p(logit: f32) -> f64 {
        1.0 / (1.0 + (-f64::from(logit)).exp())
    }

    fn near(seen: f32, expected: f64) -> bool {
        (f64::from(seen) - expected).abs() <= 1e-5 * expected.abs().max(1e-2)
    }

    /// With each instruction set, for lengths that are no multiple of a block, against double precision.
    #[test]
    fn each_step_is_that_of_single_pixels() {
        let bound = |p: f64| p.clamp(f64::from(SURE), 1.0 - f64::from(SURE));
        for instructions in Instructions::available() {
            for pixels in [1, 63, 64, 65, 200] {
                let (logits_in, drawn) = (values(pixels, 1), values(pixels, 2));
                let mut seen = vec![0.0; pixels];
                probabilities(instructions, &logits_in, &mut seen);
                assert!(seen.iter().zip(&logits_in).all(|(&seen, &logit)| near(seen, bound(p(logit)))));
                let before = seen.clone();
                blend(instructions, &mut seen, &drawn, 0.25);
                for ((&seen, &before), &drawn) in seen.iter().zip(&before).zip(&drawn) {
                    assert!(near(seen, bound(0.25 * p(drawn) + 0.75 * f64::from(before))), "{seen}");
                }
                let mut back = vec![0.0; pixels];
                logits(instructions, &before, &mut back);
                for (&back, &before) in back.iter().zip(&before) {
                    let before = f64::from(before);
                    assert!((f64::from(back) - (before / (1.0 - before)).ln()).abs() < 1e-2, "{back}");
                }
                let expected: f64 = logits_in.iter().zip(&drawn).map(|(&a, &b)| (p(a) - p(b)).abs()).sum();
                assert!((gap(instructions, &logits_in, &drawn) - expected).abs() < 1e-3);
                let (sum, doubtful) = sureness(instructions, &logits_in, 2.0);
                let inside = logits_in.iter().filter(|&&logit| logit > 0.0).map(|&logit| p(logit));
                assert!((sum - inside.sum::<f64>()).abs() < 1e-3);
                assert_eq!(doubtful as usize, logits_in.iter().filter(|logit| logit.abs() < 2.0).count());
            }
        }
    }

    #[test]
    fn softmax_and_shares_are_over_the_ids_that_are_named() {
        let (pixels, ids) = (70, [0, 2, 3]);
        let planes = values(5 * pixels, 3);
        for instructions in Instructions::available() {
            let mut seen = planes.clone();
            softmax(instructions, &mut seen, pixels, &ids, 2..69);
            let mut shared = vec![9.0; 5 * pixels];
            shares(instructions, &seen, pixels, &ids[1..], &mut shared, 2..69);
            for at in 2..69 {
                let of = |id: usize| f64::from(planes[id * pixels + at]).exp();
                let sum: f64 = ids.iter().map(|&id| of(id)).sum();
                for id in ids {
                    let expected = (of(id) / sum).clamp(f64::from(SURE), 1.0 - f64::from(SURE));
                    assert!(near(seen[id * pixels + at], expected));
                }
                let odds =
                    |id: usize| f64::from(seen[id * pixels + at]) / (1.0 - f64::from(seen[id * pixels + at]));
                let all = 1.0 + odds(2) + odds(3);
                for (id, expected) in [(0, 1.0 / all), (2, odds(2) / all), (3, odds(3) / all)] {
                    let share = f64::from(shared[id * pixels + at]);
                    assert!((share - expected).abs() < 1e-3 * expected + 1e-6, "{share} {expected}");
                }
            }
            // Other ids and pixels stay.
            assert_eq!(seen[pixels..2 * pixels], planes[pixels..2 * pixels]);
            assert_eq!((seen[0], seen[69], shared[1], shared[4 * pixels]), (planes[0], planes[69], 9.0, 9.0));
        }
    }
}
