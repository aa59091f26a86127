//! Levels in decibels, and smoothing.

/// The amplitude ratio of a level in dB.
pub fn decibel(db: f32) -> f32 {
    libm::powf(10.0, db / 20.0)
}

/// Filters in place with weights 1/4, 1/2, 1/4 over neighbours `step` apart; the ends are not changed.
pub(crate) fn smooth(plane: &mut [f32], step: usize) {
    let mut before: Vec<f32> = plane[..step].to_vec();
    for at in step..plane.len() - step {
        let here = plane[at];
        let slot = at % step;
        plane[at] = 0.25 * before[slot] + 0.5 * here + 0.25 * plane[at + step];
        before[slot] = here;
    }
}
