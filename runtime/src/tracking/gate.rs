//! The gate: which objects' masks are learnt from, by the probability that they may be.
//!
//! 1. An object is lost when this probability falls below `lost_below`, and found again when it reaches `found_from`.
//! 2. Masks of a lost object are not learnt from. It keeps its reference, and is searched for on every frame.
//! 3. While an object was lost at most `held_frames` frames ago, nothing of a frame is remembered, also not the other
//!    objects: most losses are short, and what hides one object often changes the others as well.

use super::{Objects, PLACES};
use crate::format::TrackingRecord;

/// The gate's state. A value: a frame that is abandoned leaves the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gate {
    /// Frames since each object was lost; 0 for one that is found.
    lost_frames: [u32; PLACES],
}

impl Gate {
    /// Takes the probabilities of a frame's masks. Returns the objects whose masks are learnt from.
    ///
    /// A probability that is not a number counts as 0.
    pub fn judge(&mut self, rules: &TrackingRecord, followed: Objects, trusted: &[f32; PLACES]) -> Objects {
        for (place, (lost_frames, &trusted)) in self.lost_frames.iter_mut().zip(trusted).enumerate() {
            let least = if *lost_frames == 0 { rules.lost_below } else { rules.found_from };
            let is_found = !followed.contains(place) || trusted >= least;
            *lost_frames = if is_found { 0 } else { lost_frames.saturating_add(1) };
        }
        let is_held = self.lost_frames.iter().any(|frames| (1..=rules.held_frames).contains(frames));
        if is_held { Objects::default() } else { self.found(followed) }
    }

    /// Marks an object as found: the user prompted it.
    pub fn find(&mut self, place: usize) {
        self.lost_frames[place] = 0;
    }

    /// Returns the objects of `followed` that are found.
    pub fn found(&self, followed: Objects) -> Objects {
        followed.only(|place| self.lost_frames[place] == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    fn rules() -> TrackingRecord {
        TrackingRecord { lost_below: 0.6, found_from: 0.8, held_frames: 3, ..TrackingRecord::zeroed() }
    }

    /// Judges two objects; returns whether each is found, and whether each is learnt from.
    fn judge(gate: &mut Gate, trusted: [f32; 2]) -> ([bool; 2], [bool; 2]) {
        let followed = Objects::first(2);
        let mut of_all = [0.0; PLACES];
        of_all[..2].copy_from_slice(&trusted);
        let learnt = gate.judge(&rules(), followed, &of_all);
        let found = gate.found(followed);
        ([0, 1].map(|place| found.contains(place)), [0, 1].map(|place| learnt.contains(place)))
    }

    #[test]
    fn an_object_is_found_again_at_a_higher_probability_than_it_is_lost_at() {
        let mut gate = Gate::default();
        for (trusted, is_found) in [(0.6, true), (0.59, false), (0.79, false), (0.8, true), (0.6, true)] {
            assert_eq!(judge(&mut gate, [0.9, trusted]).0, [true, is_found], "{trusted}");
        }
    }

    #[test]
    fn nothing_is_remembered_shortly_after_a_loss_and_then_the_others_are() {
        let mut gate = Gate::default();
        assert_eq!(judge(&mut gate, [0.9, 0.9]).1, [true, true]);
        for _ in 0..3 {
            assert_eq!(judge(&mut gate, [0.9, 0.1]).1, [false, false]);
        }
        assert_eq!(judge(&mut gate, [0.9, 0.1]).1, [true, false]);
        gate.find(1);
        assert_eq!(judge(&mut gate, [0.9, 0.7]).1, [true, true]);
    }

    #[test]
    fn what_is_not_a_number_is_lost() {
        let mut gate = Gate::default();
        assert_eq!(judge(&mut gate, [f32::NAN, 0.9]).0, [false, true]);
    }

    #[test]
    fn objects_that_are_not_followed_hold_nothing() {
        let mut gate = Gate::default();
        let trusted = [0.0; PLACES];
        assert_eq!(gate.judge(&rules(), Objects::default(), &trusted), Objects::default());
        assert_eq!(gate, Gate::default());
    }
}
