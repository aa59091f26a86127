//! The time slice of one call of `poll`.

use crate::hal::clock::Clock;

/// Pieces of work after which a slice ends although the clock shows the same time: a clock that stands still must not make one
/// call run for ever. (A clock that works moves with each piece, or ticks so coarsely that an early end costs nothing.)
const STILL_PIECES_MAX: u32 = 64;

/// A slice: asked before each piece of work whether it may start.
#[derive(Debug)]
pub(super) struct Slice {
    end_ns: u64,
    now_ns: u64,
    still_pieces: u32,
    is_first: bool,
    is_over: bool,
}

impl Slice {
    pub fn new(clock: &impl Clock, slice_ns: u64) -> Self {
        let now_ns = clock.now_ns();
        let end_ns = now_ns.saturating_add(slice_ns);
        Self { end_ns, now_ns, still_pieces: 0, is_first: true, is_over: false }
    }

    /// Whether one more piece of work may start: always one in a slice, so that every slice makes progress; then until its end.
    pub fn go_on(&mut self, clock: &impl Clock) -> bool {
        if core::mem::take(&mut self.is_first) {
            return true;
        }
        if !self.is_over {
            let before_ns = self.now_ns;
            self.still_pieces = if self.read(clock) == before_ns { self.still_pieces + 1 } else { 0 };
            self.is_over = self.now_ns >= self.end_ns || self.still_pieces >= STILL_PIECES_MAX;
        }
        !self.is_over
    }

    /// Reads the clock.
    pub fn read(&mut self, clock: &impl Clock) -> u64 {
        self.now_ns = clock.now_ns();
        self.now_ns
    }

    /// The time that was read last.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hal::clock::ManualClock;

    fn pieces(slice_ns: u64, step_ns: u64) -> u32 {
        let clock = ManualClock::new(0);
        let mut slice = Slice::new(&&clock, slice_ns);
        let mut pieces = 0;
        while slice.go_on(&&clock) {
            pieces += 1;
            clock.advance_ns(step_ns);
        }
        assert!(!slice.go_on(&&clock), "a slice that is over stays so");
        pieces
    }

    #[test]
    fn a_slice_ends_by_time_or_by_pieces_and_makes_progress() {
        assert_eq!(pieces(100, 10), 10);
        assert_eq!(pieces(100, 1000), 1);
        assert_eq!(pieces(1, 1), 1);
        assert_eq!(pieces(100, 0), 1 + STILL_PIECES_MAX - 1);
    }
}
