//! The time slice of one call of `poll`.

use crate::hal::clock::Clock;

/// Pieces of work after which a slice ends if the clock does not advance: with a stopped clock, a call must not run for
/// ever. (A working clock advances with each piece, or ticks so coarsely that an early end costs nothing.)
const STILL_PIECES_MAX: u32 = 16;

/// A time slice. It decides before each piece of work whether the piece may start.
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

    /// Ends the slice by a time, if that is earlier.
    pub fn end_by(&mut self, end_ns: u64) {
        self.end_ns = self.end_ns.min(end_ns);
    }

    /// Returns whether another piece of work may start: always for the first one, so that every slice makes progress,
    /// then until the slice ends.
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

    /// Reads the clock and returns its time.
    pub fn read(&mut self, clock: &impl Clock) -> u64 {
        self.now_ns = clock.now_ns();
        self.now_ns
    }

    /// Returns the time that was read last.
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
        assert!(!slice.go_on(&&clock), "a slice that has ended cannot continue");
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
