//! The injected clock: the runtime never reads the machine's own, so that a whole scan can be replayed from a seed.

#[cfg(target_has_atomic = "64")]
use core::sync::atomic::{AtomicU64, Ordering};

/// A monotonic clock in nanoseconds since an arbitrary start.
pub trait Clock {
    /// Nanoseconds since the clock's start; monotonic.
    fn now_ns(&self) -> u64;
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now_ns(&self) -> u64 {
        (**self).now_ns()
    }
}

/// A clock that the caller advances: for tests and bit-exact replay. Not available on machines without 64-bit atomics,
/// which run no replay.
#[cfg(target_has_atomic = "64")]
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

#[cfg(target_has_atomic = "64")]
impl ManualClock {
    /// A clock that reads `start_ns`.
    pub const fn new(start_ns: u64) -> Self {
        Self(AtomicU64::new(start_ns))
    }

    /// Advances the clock by `step_ns`.
    pub fn advance_ns(&self, step_ns: u64) {
        // Relaxed: the value publishes no other memory.
        self.0.fetch_add(step_ns, Ordering::Relaxed);
    }

    /// Sets the clock to `now_ns`, which the caller keeps monotonic.
    pub fn set_ns(&self, now_ns: u64) {
        self.0.store(now_ns, Ordering::Relaxed);
    }
}

#[cfg(target_has_atomic = "64")]
impl Clock for ManualClock {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The machine's monotonic clock, which counts from [`Self::start`].
#[cfg(feature = "std")]
#[derive(Debug, Clone, Copy)]
pub struct SystemClock(std::time::Instant);

#[cfg(feature = "std")]
impl SystemClock {
    /// A clock that reads zero now.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }
}

#[cfg(feature = "std")]
impl Clock for SystemClock {
    fn now_ns(&self) -> u64 {
        // 2^64 ns are 584 years.
        self.0.elapsed().as_nanos() as u64
    }
}
