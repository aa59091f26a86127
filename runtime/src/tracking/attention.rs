//! How well a frame's tokens are known from a reference, by the cosines of the tracker's keys.

use super::vectors::dot;
use crate::kernels::arch::Instructions;
use crate::kernels::{math, pixels, rows};
use core::ops::Range;

/// The keys of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// `[tokens, channels]`.
    pub values: &'a [f32],
    /// One over the length of each token's key.
    pub scales: &'a [f32],
}

/// Tokens of a frame that are compared with a reference together.
pub const TOGETHER: usize = 4;

/// Computes for some tokens of a frame the largest cosine with a reference's tokens, and the share of their attention that
/// each object gets there.
///
/// The attention is the softmax over the reference's tokens of 2 √channels times the cosine, the tracker's own temperature
/// for keys of the usual length.
///
/// * `cells`: of each object, the share of each of the reference's tokens that lies inside.
/// * `best`: by token; `found`: by object, then token. Only the tokens in `range` are written.
/// * `likes`: room for [`TOGETHER`] values for each of the reference's tokens.
#[expect(clippy::too_many_arguments, reason = "three inputs, three outputs, and what they are computed with")]
pub fn attend<'a>(
    instructions: Instructions,
    now: &Keys<'_>,
    reference: &Keys<'_>,
    cells: impl Iterator<Item = (usize, &'a [f32])> + Clone,
    range: Range<usize>,
    best: &mut [f32],
    found: &mut [f32],
    likes: &mut [f32],
) {
    let tokens = now.scales.len();
    let channels = now.values.len() / tokens;
    let sharpness = 2.0 * libm::sqrtf(channels as f32);
    for first in range.clone().step_by(TOGETHER) {
        let count = TOGETHER.min(range.end - first);
        let some = &now.values[first * channels..][..count * channels];
        let likes = &mut likes[..count * tokens];
        rows::products(instructions, reference.values, some, channels, likes);
        for (at, likes) in (first..).zip(likes.chunks_exact_mut(tokens)) {
            for (like, scale) in likes.iter_mut().zip(reference.scales) {
                *like *= now.scales[at] * scale;
            }
            let most = likes.iter().copied().fold(f32::MIN, math::max);
            best[at] = most;
            let sum = pixels::exponentials(instructions, likes, most, sharpness);
            for (object, cells) in cells.clone() {
                found[object * tokens + at] = dot(likes, cells) / sum;
            }
        }
    }
}
