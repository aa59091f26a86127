//! The heart beat: contraction and valve opening over time.

use crate::random::smooth_step;

/// State of the heart at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beat {
    /// From 0 (end of diastole, largest ventricle) to 1 (end of systole).
    pub contraction: f32,
    /// From 0 (atrioventricular valves closed) to 1 (open).
    pub valve_opening: f32,
}

impl Beat {
    /// The heart at `phase`, the fraction of the beat since the end of diastole; only its fractional part is used.
    ///
    /// Times follow the Wiggers diagram of a beat at rest: systole for a little over a third, fast early filling,
    /// diastasis, and the atrial kick. The valve is widest open during early filling and the kick.
    pub fn at_phase(phase: f32) -> Self {
        let phase = phase - libm::floorf(phase);
        Self {
            contraction: interpolate(&CONTRACTION, phase),
            valve_opening: interpolate(&VALVE_OPENING, phase),
        }
    }
}

/// Key points: fraction of the beat, contraction.
const CONTRACTION: [(f32, f32); 6] =
    [(0.0, 0.0), (0.36, 1.0), (0.41, 1.0), (0.64, 0.24), (0.84, 0.20), (1.0, 0.0)];
/// Key points: fraction of the beat, valve opening.
const VALVE_OPENING: [(f32, f32); 7] =
    [(0.0, 0.0), (0.43, 0.0), (0.52, 1.0), (0.66, 0.45), (0.82, 0.45), (0.89, 0.8), (1.0, 0.0)];
/// Fraction of the beat at which contraction is greatest.
pub const END_SYSTOLE_PHASE: f32 = 0.36;

fn interpolate(keys: &[(f32, f32)], phase: f32) -> f32 {
    let mut value = keys[0].1;
    for pair in keys.windows(2) {
        let ((start, from), (end, to)) = (pair[0], pair[1]);
        if phase >= start {
            value = from + (to - from) * smooth_step((phase - start) / (end - start));
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beat_is_periodic_smooth_and_within_limits() {
        let mut last = Beat::at_phase(0.0);
        assert_eq!(last, Beat { contraction: 0.0, valve_opening: 0.0 });
        assert_eq!(Beat::at_phase(END_SYSTOLE_PHASE).contraction, 1.0);
        for i in 1..=3000 {
            let now = Beat::at_phase(i as f32 / 1000.0);
            assert!((0.0..=1.0).contains(&now.contraction) && (0.0..=1.0).contains(&now.valve_opening));
            // The steepest part, the opening of the valve, rises by 1 in 0.09 of a beat, times 1.5 for the cubic.
            assert!((now.contraction - last.contraction).abs() < 0.01, "contraction jumps at {i}");
            assert!((now.valve_opening - last.valve_opening).abs() < 0.02, "valve jumps at {i}");
            last = now;
        }
        let (one, other) = (Beat::at_phase(0.25), Beat::at_phase(7.25));
        assert_eq!(one, other);
    }
}
