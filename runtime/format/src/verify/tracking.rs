//! Checks how a session follows objects.

use crate::{INTERVAL_MAX, Model, ModelError, REGRESSION_MAX};

pub(super) fn check(model: &Model<'_>) -> Result<(), ModelError> {
    let wrong = |problem| Err(ModelError::Record { table: "tracking", index: 0, problem });
    let header = model.header;
    let sizes = [header.grid, header.embedding_channels, header.key_channels, header.flow_side];
    let Some(tracking) = model.tracking else {
        return if sizes == [0; 4] { Ok(()) } else { wrong("the header has a tracker's sizes without one") };
    };
    if sizes.contains(&0) || sizes[0] != tracking.grid {
        return wrong("its sizes differ from the header's");
    }
    if !header.mask_size.is_multiple_of(tracking.grid) {
        return wrong("masks are not a whole number of pixels for each token");
    }
    let intervals = [tracking.kept_every, tracking.anchored_every, tracking.held_frames];
    if intervals.iter().any(|interval| !(1..=INTERVAL_MAX).contains(interval)) {
        return wrong("an interval is not within 1..=65536 frames");
    }
    let shares = [
        tracking.anchor_dice,
        tracking.trust,
        tracking.lost_below,
        tracking.found_from,
        tracking.flagged_below,
    ];
    if shares.iter().any(|share| !(0.0..=1.0).contains(share)) {
        return wrong("a threshold or a weight is not within 0..=1");
    }
    if tracking.lost_below > tracking.found_from {
        return wrong("an object would be found again below the probability at which it is lost");
    }
    let factors = tracking.regressions.iter().flat_map(|of| of.weights.iter().chain([&of.bias]));
    if factors.into_iter().any(|factor| factor.is_nan() || factor.abs() > REGRESSION_MAX) {
        return wrong("a weight of a regression is not within -1e6..=1e6");
    }
    Ok(())
}
