//! Order of the frames of a stream: detects late frames, restarts and missing frames.

use crate::hal::frame::Frame;

/// Number of consecutive late frames, in order among themselves, that indicate a restart (a restarted probe counts from
/// zero). Other late frames arrive between frames in order, and duplicates are not in order among themselves.
pub(super) const RESTART_FRAMES: u32 = 3;

/// Largest plausible step from one sequence number to the next: nine hours at 30 frames a second. A frame further ahead is late until
/// the frames after it confirm a restart, so that one wrong number neither stops the stream nor counts as missing frames.
const STEP_MAX: u64 = 1 << 20;

/// Position of a frame in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// After the last frame in order.
    Next {
        /// Sequence numbers missing between the two.
        skipped: u64,
    },
    /// Not after the last frame in order.
    Late,
    /// The first frame after a restart.
    Restarted,
}

/// The last frames of a stream.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stream {
    last: Option<Place>,
    /// The last late frame, and the number of consecutive late frames up to it.
    late: Option<(Place, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    seq: u64,
    t_acq_ns: u64,
    clock_id: u32,
}

impl Place {
    /// Returns whether this frame comes after `other`: same clock, higher number, no earlier time.
    fn is_after(&self, other: &Self) -> bool {
        self.clock_id == other.clock_id && self.seq > other.seq && self.t_acq_ns >= other.t_acq_ns
    }
}

impl Stream {
    /// Classifies a frame and stores its position.
    pub fn classify(&mut self, frame: &Frame) -> Order {
        let place = Place { seq: frame.seq, t_acq_ns: frame.t_acq_ns, clock_id: frame.clock_id };
        let Some(last) = self.last else {
            self.last = Some(place);
            return Order::Next { skipped: 0 };
        };
        let is_other_clock = place.clock_id != last.clock_id;
        if place.is_after(&last) && place.seq - last.seq <= STEP_MAX {
            (self.last, self.late) = (Some(place), None);
            return Order::Next { skipped: place.seq - last.seq - 1 };
        }
        let run = match self.late {
            Some((before, run)) if place.is_after(&before) => run + 1,
            _ => 1,
        };
        if run >= RESTART_FRAMES || is_other_clock {
            (self.last, self.late) = (Some(place), None);
            return Order::Restarted;
        }
        self.late = Some((place, run));
        Order::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hal::frame::FrameDescriptor;

    fn orders(frames: &[(u64, u64, u32)]) -> Vec<Order> {
        let mut stream = Stream::default();
        let descriptor = FrameDescriptor {
            payload_bytes: 16,
            domain: 4,
            sample_type: 1,
            lines: 4,
            samples: 4,
            stride_bytes: 4,
            geometry: 5,
            amplitude_law: 2,
            law_range_db: 60.0,
            ..FrameDescriptor::blank()
        };
        let mut frame = descriptor.check().expect("a valid picture");
        let classified = frames.iter().map(|&(seq, t_acq_ns, clock_id)| {
            (frame.seq, frame.t_acq_ns, frame.clock_id) = (seq, t_acq_ns, clock_id);
            stream.classify(&frame)
        });
        classified.collect()
    }

    const NEXT: Order = Order::Next { skipped: 0 };

    #[test]
    fn late_and_repeated_frames_are_late() {
        // Frame 3 has a late number, frame 6 a late time, and frame 5 is repeated.
        let seen =
            orders(&[(1, 10, 0), (2, 20, 0), (4, 40, 0), (3, 30, 0), (5, 50, 0), (6, 45, 0), (5, 50, 0)]);
        let skipped = Order::Next { skipped: 1 };
        assert_eq!(seen, [NEXT, NEXT, skipped, Order::Late, NEXT, Order::Late, Order::Late]);
        // Repeats of one frame are never a restart.
        let mut repeated = vec![(9, 90, 0)];
        repeated.extend([(9, 90, 0); 20]);
        assert!(orders(&repeated)[1..].iter().all(|order| *order == Order::Late));
    }

    #[test]
    fn a_wrong_number_is_late_and_a_far_stream_a_restart() {
        let seen = orders(&[(1, 10, 0), (u64::MAX, 20, 0), (2, 30, 0), (1 << 40, 40, 0), (3, 50, 0)]);
        assert_eq!(seen, [NEXT, Order::Late, NEXT, Order::Late, NEXT]);
        let far = 1 << 40;
        let seen = orders(&[(1, 10, 0), (far, 20, 0), (far + 1, 30, 0), (far + 2, 40, 0), (far + 3, 50, 0)]);
        assert_eq!(seen, [NEXT, Order::Late, Order::Late, Order::Restarted, NEXT]);
        let seen = orders(&[(1, 10, 0), (1 + STEP_MAX, 20, 0)]);
        assert_eq!(seen, [NEXT, Order::Next { skipped: STEP_MAX - 1 }]);
    }

    #[test]
    fn a_restarted_stream_is_followed() {
        // Only the clock restarts, only the number, or both.
        for restarted in [
            [(6, 1, 0), (7, 2, 0), (8, 3, 0), (9, 4, 0)],
            [(1, 60, 0), (2, 70, 0), (3, 80, 0), (4, 90, 0)],
            [(1, 0, 0), (2, 0, 0), (3, 10, 0), (4, 20, 0)],
        ] {
            let mut frames = vec![(4, 40, 0), (5, 50, 0)];
            frames.extend(restarted);
            let seen = orders(&frames);
            assert_eq!(seen[2..], [Order::Late, Order::Late, Order::Restarted, NEXT], "{restarted:?}");
        }
        // Another `clock_id` is a restart at once.
        assert_eq!(orders(&[(5, 50, 0), (6, 1, 7), (7, 2, 7)]), [NEXT, Order::Restarted, NEXT]);
    }

    #[test]
    fn late_frames_between_others_are_no_restart() {
        let mut frames = Vec::new();
        for seq in 10..60 {
            frames.push((seq, 10 * seq, 0));
            // Two late frames, in order, between any two of the others.
            frames.extend([(seq - 8, 10 * (seq - 8), 0), (seq - 7, 10 * (seq - 7), 0)]);
        }
        assert!(!orders(&frames).contains(&Order::Restarted));
    }
}
