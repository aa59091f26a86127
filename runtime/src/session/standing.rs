//! States of followed objects, with hysteresis: an object at a threshold does not change its state on each frame.

use super::config::SessionConfig;
use crate::format::TrackingRecord;
use crate::hal::overlay::State;
use crate::tracking::follower::Outcome;

/// A state is left when its probability is so far beyond the threshold at which it is entered, or half of the way to the end.
const MARGIN: f32 = 0.05;

/// Thresholds of the states.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    pub(super) attention_below: f32,
    absent_from: f32,
}

impl Thresholds {
    /// Returns those of a configuration: by default the model's.
    pub fn new(config: &SessionConfig<'_>, rules: &TrackingRecord) -> Self {
        let of_model = config.attention_below == 0.0;
        let attention_below = if of_model { rules.flagged_below } else { config.attention_below };
        Self { attention_below, absent_from: config.absent_from }
    }
}

/// How far an object is to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// The user should check it.
    pub needs_attention: bool,
    /// Nothing of it lies in the field of view.
    pub is_absent: bool,
}

impl Standing {
    /// Returns the standing on the next frame.
    #[must_use]
    pub fn after(self, outcome: &Outcome, thresholds: &Thresholds) -> Self {
        let Thresholds { attention_below, absent_from } = *thresholds;
        let above = if self.needs_attention { MARGIN.min((1.0 - attention_below) / 2.0) } else { 0.0 };
        let below = if self.is_absent { MARGIN.min(absent_from / 2.0) } else { 0.0 };
        Self {
            needs_attention: outcome.right < attention_below + above,
            is_absent: outcome.absent >= absent_from - below,
        }
    }

    /// Returns the state that overlays show.
    pub fn state(self) -> State {
        match self {
            Self { is_absent: true, .. } => State::Absent,
            Self { needs_attention: true, .. } => State::Attention,
            _ => State::Tracked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_hysteresis() {
        let thresholds = Thresholds { attention_below: 0.5, absent_from: 0.5 };
        let mut standing = Standing::default();
        for (right, needs_attention) in
            [(0.5, false), (0.49, true), (0.51, true), (0.54, true), (0.56, false), (0.5, false)]
        {
            standing = standing.after(&Outcome { right, ..Outcome::default() }, &thresholds);
            assert_eq!(standing.needs_attention, needs_attention, "{right}");
        }
        for (absent, is_absent) in [(0.49, false), (0.5, true), (0.46, true), (0.44, false), (0.49, false)] {
            standing = standing.after(&Outcome { absent, ..Outcome::default() }, &thresholds);
            assert_eq!(standing.is_absent, is_absent, "{absent}");
        }
    }

    #[test]
    fn an_absent_object_is_shown_as_absent_first_of_all() {
        let state = |needs_attention, is_absent| Standing { needs_attention, is_absent }.state();
        assert_eq!([state(false, false), state(true, false)], [State::Tracked, State::Attention]);
        assert_eq!([state(false, true), state(true, true)], [State::Absent; 2]);
    }

    #[test]
    fn a_sure_object_leaves_attention_at_any_threshold() {
        let thresholds = Thresholds { attention_below: 0.99, absent_from: 0.01 };
        let standing = Standing { needs_attention: true, is_absent: true };
        let sure = Outcome { right: 1.0, absent: 0.0, ..Outcome::default() };
        assert_eq!(standing.after(&sure, &thresholds), Standing::default());
    }
}
