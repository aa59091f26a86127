//! The simulation's clock and cost model: time passes when the session looks at the clock, which it does before each piece of work.

use sonotrace::hal::clock::Clock;
use std::cell::Cell;

/// A clock on which each reading takes as long as a piece of work.
#[derive(Debug)]
pub struct CostClock {
    now_ns: Cell<u64>,
    piece_ns: Cell<u64>,
    readings: Cell<u64>,
    /// A piece that takes longer: at which reading, and by how much.
    overrun: Cell<Option<(u64, u64)>>,
}

impl CostClock {
    /// A clock that starts at 1 s.
    pub fn new(piece_ns: u64) -> Self {
        Self {
            now_ns: Cell::new(1_000_000_000),
            piece_ns: Cell::new(piece_ns),
            readings: Cell::new(0),
            overrun: Cell::new(None),
        }
    }

    /// Sets what a piece of work takes from now on.
    pub fn set_piece(&self, piece_ns: u64) {
        self.piece_ns.set(piece_ns);
    }

    /// Makes one piece, so many from now on, take `ns` longer.
    pub fn overrun(&self, pieces: u64, ns: u64) {
        self.overrun.set(Some((self.readings.get() + pieces, ns)));
    }

    /// Returns the time without spending any.
    pub fn peek_ns(&self) -> u64 {
        self.now_ns.get()
    }

    /// Returns how often the clock was read.
    pub fn readings(&self) -> u64 {
        self.readings.get()
    }

    /// Lets time pass until `ns`, if that is not past.
    pub fn pass_until(&self, ns: u64) {
        self.now_ns.set(self.now_ns.get().max(ns));
    }
}

impl Clock for CostClock {
    fn now_ns(&self) -> u64 {
        let reading = self.readings.get() + 1;
        self.readings.set(reading);
        let late_ns = match self.overrun.get() {
            Some((at, ns)) if reading >= at => {
                self.overrun.set(None);
                ns
            }
            _ => 0,
        };
        self.now_ns.set(self.now_ns.get() + self.piece_ns.get() + late_ns);
        self.now_ns.get()
    }
}
