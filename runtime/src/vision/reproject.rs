//! A mask on the input grid of another geometry.
//!
//! Where the depth or the sector of a scan changes, the same place in the probe's plane has another position on the
//! input grid. A mask is resampled bilinearly at the positions where the new grid's pixels lie on its own grid.

use super::error::{VisionError, need, within};
use super::grid::{InputGrid, rescale};
use super::mask::{Between, FIELD_SIDE_MAX, bilinear};
use core::ops::Range;

/// Logit of the pixels that the mask's own field of view does not cover: outside.
pub const OUTSIDE_LOGIT: f32 = -10.0;

/// Reprojects a mask of `mask_size` by `mask_size` logits over the grid `from` to the grid `to`, whose geometry must
/// share the probe's plane. Writes some `rows` of the new mask (within its side); `out` is the whole new mask, as large
/// as the old. Rows do not depend on each other. The work is `mask_size` pixels per row.
///
/// Beyond the outermost centres of the old mask its values are constant; beyond the valid area of `from` the new mask is
/// [`OUTSIDE_LOGIT`].
///
/// # Errors
/// [`VisionError::Range`] for a side that is not within `1..=FIELD_SIDE_MAX`, [`VisionError::Slice`] for short slices.
pub fn reproject_rows(
    mask: &[f32],
    mask_size: usize,
    from: &InputGrid,
    to: &InputGrid,
    rows: Range<usize>,
    out: &mut [f32],
) -> Result<(), VisionError> {
    within("side of the mask logits", mask_size as f64, 1.0, FIELD_SIDE_MAX as f64)?;
    need("mask logits", mask.len(), mask_size * mask_size)?;
    need("reprojected mask", out.len(), mask_size * mask_size)?;
    let (to_input, to_mask) = (to.size() as f32 / mask_size as f32, mask_size as f32 / from.size() as f32);
    let between = |at: f32| Between::new(at.clamp(0.0, (mask_size - 1) as f32), mask_size);
    for y in rows.start..rows.end.min(mask_size) {
        for (x, value) in out[y * mask_size..][..mask_size].iter_mut().enumerate() {
            let place = to.to_plane(rescale([x as f32, y as f32], to_input));
            let at = from.to_grid(place);
            *value = if from.contains(at) {
                let [across, down] = rescale(at, to_mask).map(between);
                bilinear(mask, mask_size, across, down)
            } else {
                OUTSIDE_LOGIT
            };
        }
    }
    Ok(())
}
