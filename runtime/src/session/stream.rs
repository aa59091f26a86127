//! The order of a stream: which frames are late, which are the start of a stream that began again, and how many are
//! missing.

use crate::hal::frame::Frame;

/// So many frames in a row that are behind the delivered ones, yet in order among themselves, are a stream that began
/// again (a probe that restarted counts from zero). Late frames come one by one between others, and duplicates are not
/// in order among themselves.
pub(super) const RESTART_FRAMES: u32 = 3;

/// Where a frame stands in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Behind the last one, with so many sequence numbers left out between them.
    Next {
        /// Numbers left out.
        skipped: u64,
    },
    /// Not later than a frame that was delivered.
    Behind,
    /// The first frame of a stream that began again.
    Restarted,
}

/// What is remembered of the frames gone by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stream {
    last: Option<Place>,
    /// The last frame that was behind, and how many of them came in a row.
    behind: Option<(Place, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    seq: u64,
    t_acq_ns: u64,
    clock_id: u32,
}

impl Place {
    /// Whether this one comes after `other`: on one clock, a higher number and no earlier time.
    fn is_after(&self, other: &Self) -> bool {
        self.clock_id == other.clock_id && self.seq > other.seq && self.t_acq_ns >= other.t_acq_ns
    }
}

impl Stream {
    /// Judges a frame, and remembers it.
    pub fn judge(&mut self, frame: &Frame) -> Order {
        let place = Place { seq: frame.seq, t_acq_ns: frame.t_acq_ns, clock_id: frame.clock_id };
        let Some(last) = self.last else {
            self.last = Some(place);
            return Order::Next { skipped: 0 };
        };
        let is_other_clock = place.clock_id != last.clock_id;
        if place.is_after(&last) {
            (self.last, self.behind) = (Some(place), None);
            return Order::Next { skipped: place.seq - last.seq - 1 };
        }
        let run = match self.behind {
            Some((before, run)) if place.is_after(&before) => run + 1,
            _ => 1,
        };
        if run >= RESTART_FRAMES || is_other_clock {
            (self.last, self.behind) = (Some(place), None);
            return Order::Restarted;
        }
        self.behind = Some((place, run));
        Order::Behind
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
        let judged = frames.iter().map(|&(seq, t_acq_ns, clock_id)| {
            (frame.seq, frame.t_acq_ns, frame.clock_id) = (seq, t_acq_ns, clock_id);
            stream.judge(&frame)
        });
        judged.collect()
    }

    const NEXT: Order = Order::Next { skipped: 0 };

    #[test]
    fn late_and_repeated_frames_are_behind() {
        // Frame 3 comes late (its number says so), then one whose time alone says so, then 5 twice more.
        let seen =
            orders(&[(1, 10, 0), (2, 20, 0), (4, 40, 0), (3, 30, 0), (5, 50, 0), (6, 45, 0), (5, 50, 0)]);
        let skipped = Order::Next { skipped: 1 };
        assert_eq!(seen, [NEXT, NEXT, skipped, Order::Behind, NEXT, Order::Behind, Order::Behind]);
        // However often a frame is repeated, the stream has not begun again.
        let mut repeated = vec![(9, 90, 0)];
        repeated.extend([(9, 90, 0); 20]);
        assert!(orders(&repeated)[1..].iter().all(|order| *order == Order::Behind));
    }

    #[test]
    fn a_stream_that_begins_again_is_gone_on_with() {
        // The clock alone, the number alone, and both.
        for restarted in [
            [(6, 1, 0), (7, 2, 0), (8, 3, 0), (9, 4, 0)],
            [(1, 60, 0), (2, 70, 0), (3, 80, 0), (4, 90, 0)],
            [(1, 0, 0), (2, 0, 0), (3, 10, 0), (4, 20, 0)],
        ] {
            let mut frames = vec![(4, 40, 0), (5, 50, 0)];
            frames.extend(restarted);
            let seen = orders(&frames);
            assert_eq!(seen[2..], [Order::Behind, Order::Behind, Order::Restarted, NEXT], "{restarted:?}");
        }
        // Another clock says so itself.
        assert_eq!(orders(&[(5, 50, 0), (6, 1, 7), (7, 2, 7)]), [NEXT, Order::Restarted, NEXT]);
    }

    #[test]
    fn late_frames_between_others_never_begin_a_stream() {
        let mut frames = Vec::new();
        for seq in 10..60 {
            frames.push((seq, 10 * seq, 0));
            // Two late ones, in order, between any two of the others.
            frames.extend([(seq - 8, 10 * (seq - 8), 0), (seq - 7, 10 * (seq - 7), 0)]);
        }
        assert!(!orders(&frames).contains(&Order::Restarted));
    }
}
