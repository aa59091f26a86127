//! What the parts of a frame's work cost: measured when the session is opened, and learnt again from each frame.

/// A part of a frame's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The encoder.
    Encode,
    /// Following all objects, without the segmenter.
    Track,
    /// The segmenter's check of one object.
    Check,
    /// One prompt: its mask is decoded and learnt.
    Prompt,
    /// The contour of one object.
    Contour,
    /// Time between the pieces of work on a frame: between two calls of `poll`, or taken by the system.
    Between,
}

const PARTS: usize = Part::Between as usize + 1;

/// Frames that a cost is first learnt from: it is the least that was seen on them. (The first ones run with cold caches.)
const FIRST_FRAMES: u8 = 4;
/// A cost rises by at most this share of itself with a frame...
const RISE: u64 = 8;
/// ... and falls by at most this share. It settles where a frame in three costs more, and a single slow frame changes little.
const FALL: u64 = 16;

/// What was done for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Done {
    spent_ns: [u64; PARTS],
    times: [u32; PARTS],
}

impl Done {
    /// Adds time that was spent on a part.
    pub fn spend(&mut self, part: Part, ns: u64) {
        self.spent_ns[part as usize] += ns;
    }

    /// Counts a part that was done so many times.
    pub fn count(&mut self, part: Part, times: usize) {
        self.times[part as usize] += times as u32;
    }

    /// Returns how often a part was done.
    pub fn times(&self, part: Part) -> usize {
        self.times[part as usize] as usize
    }
}

/// The costs of all parts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Costs {
    ns: [u64; PARTS],
    frames: [u8; PARTS],
}

impl Costs {
    /// Sets a cost that was measured before the first frame.
    pub fn measured(&mut self, part: Part, ns: u64) {
        self.ns[part as usize] = ns;
    }

    /// Returns the time that a part takes, but for one frame in three.
    pub fn of(&self, part: Part) -> u64 {
        self.ns[part as usize]
    }

    /// Returns the time that a part takes when it is done so many times.
    pub fn of_all(&self, part: Part, times: usize) -> u64 {
        self.of(part).saturating_mul(times as u64)
    }

    /// Learns from a frame.
    pub fn learn(&mut self, done: &Done) {
        for part in 0..PARTS {
            let times = u64::from(done.times[part]);
            let Some(seen) = done.spent_ns[part].checked_div(times) else { continue };
            let known = self.ns[part];
            let frames = self.frames[part];
            self.frames[part] = frames.saturating_add(1);
            self.ns[part] = if frames == 0 {
                seen
            } else if frames < FIRST_FRAMES {
                seen.min(known)
            } else if seen > known {
                known + (seen - known).min(known / RISE + 1)
            } else {
                known - (known - seen).min(known / FALL + 1)
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(part: Part, ns: u64, times: usize) -> Done {
        let mut done = Done::default();
        done.spend(part, ns);
        done.count(part, times);
        done
    }

    #[test]
    fn costs_follow_a_slower_machine_but_not_one_slow_frame() {
        let mut costs = Costs::default();
        let mut learn = |ns: u64, frames: usize| {
            for _ in 0..frames {
                costs.learn(&frame(Part::Encode, ns, 1));
            }
            costs.of(Part::Encode)
        };
        // The start was cold.
        assert_eq!(learn(20_000, 1), 20_000);
        assert_eq!(learn(8_000, 3), 8_000);
        assert!(learn(80_000, 1) <= 9_001);
        assert_eq!(learn(24_000, 12), 24_000);
        assert_eq!(learn(8_000, 60), 8_000);
    }

    #[test]
    fn what_was_not_done_teaches_nothing() {
        let mut costs = Costs::default();
        costs.measured(Part::Check, 5_000);
        costs.learn(&Done::default());
        assert_eq!((costs.of(Part::Check), costs.of(Part::Track)), (5_000, 0));
    }

    #[test]
    fn a_cost_is_of_one_time() {
        let mut costs = Costs::default();
        costs.learn(&frame(Part::Check, 9_000, 3));
        assert_eq!((costs.of(Part::Check), costs.of_all(Part::Check, 2)), (3_000, 6_000));
    }

    /// With a cost that varies, about a frame in three costs more than what is expected.
    #[test]
    fn a_third_of_the_frames_costs_more_than_expected() {
        let (mut costs, mut state, mut more) = (Costs::default(), 1u64, 0);
        let frames = 20_000;
        for _ in 0..frames {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let ns = 1_000_000 + (state >> 44);
            more += u32::from(ns > costs.of(Part::Track));
            costs.learn(&frame(Part::Track, ns, 1));
        }
        let share = f64::from(more) / f64::from(frames);
        assert!((0.25..0.42).contains(&share), "{share}");
    }
}
