//! How well a frame's tokens are known from a reference, by the cosines of the tracker's keys.

use super::vectors::dot;
use crate::kernels::math;
use core::ops::Range;

/// The keys of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// `[tokens, channels]`.
    pub values: &'a [f32],
    /// One over the length of each token's key.
    pub scales: &'a [f32],
}

impl Keys<'_> {
    fn token(&self, at: usize) -> &[f32] {
        let channels = self.values.len() / self.scales.len();
        &self.values[at * channels..][..channels]
    }
}

/// Computes for some tokens of a frame the largest cosine with a reference's tokens, and the share of their attention that
/// each object gets there.
///
/// The attention is the softmax over the reference's tokens of 2 √channels times the cosine, the tracker's own temperature
/// for keys of the usual length.
///
/// * `cells`: of each object, the share of each of the reference's tokens that lies inside.
/// * `best`: by token; `found`: by object, then token. Only the tokens in `range` are written.
/// * `likes`: room for one value for each of the reference's tokens.
pub fn attend<'a>(
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
    for at in range {
        let (token, scale) = (now.token(at), now.scales[at]);
        for (other, like) in likes.iter_mut().enumerate() {
            *like = dot(token, reference.token(other)) * scale * reference.scales[other];
        }
        let most = likes.iter().copied().fold(f32::MIN, math::max);
        best[at] = most;
        let mut sum = 0.0;
        for like in likes.iter_mut() {
            *like = math::exp(sharpness * (*like - most));
            sum += *like;
        }
        for (object, cells) in cells.clone() {
            found[object * tokens + at] = dot(likes, cells) / sum;
        }
    }
}
