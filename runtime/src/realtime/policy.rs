//! Scheduling policy of the calling thread. The only unsafe code of this module: the system's calls, which no dependency wraps.

use super::{Want, Warning};
use core::mem::MaybeUninit;
use core::str::FromStr;
use rustix::io::Errno;

/// Highest priority of `SCHED_FIFO` on Linux.
pub const PRIORITY_MAX: u8 = 99;

/// A priority of `SCHED_FIFO`: 1 to [`PRIORITY_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// Below the threads that PREEMPT_RT makes of interrupts (50): a frame is computed for tens of milliseconds, and the next one
    /// must be able to arrive meanwhile.
    pub const DEFAULT: Self = Self(40);

    /// Returns a priority, unless it is 0 or above [`PRIORITY_MAX`].
    pub const fn new(priority: u8) -> Option<Self> {
        if priority >= 1 && priority <= PRIORITY_MAX { Some(Self(priority)) } else { None }
    }

    /// The next higher one, for the thread that hands over frames; the highest has none.
    pub const fn above(self) -> Self {
        if self.0 < PRIORITY_MAX { Self(self.0 + 1) } else { self }
    }

    /// Returns the number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for Priority {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().ok().and_then(Self::new).ok_or("expected a priority of 1 to 99")
    }
}

/// A thread's scheduling policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// `SCHED_FIFO`.
    Fifo(Priority),
    /// Another one, as the system told it.
    Other { policy: i32, priority: i32 },
}

impl Policy {
    /// Returns that of the calling thread.
    pub fn of_this_thread() -> Result<Self, Warning> {
        let mut policy = 0;
        let mut parameters = MaybeUninit::<libc::sched_param>::zeroed();
        // SAFETY: it has no requirement.
        let thread = unsafe { libc::pthread_self() };
        // SAFETY: the calling thread, and room for both results.
        check(unsafe { libc::pthread_getschedparam(thread, &mut policy, parameters.as_mut_ptr()) })?;
        // SAFETY: zeroed, which is a valid value, and filled in by the call.
        let priority = unsafe { parameters.assume_init() }.sched_priority;
        Ok(Self::Other { policy, priority })
    }

    /// Sets that of the calling thread. (`sched_setscheduler` would do the same, but musl lacks it.)
    pub fn set(self) -> Result<(), Warning> {
        let (policy, priority) = match self {
            Self::Fifo(priority) => (libc::SCHED_FIFO, priority.get().into()),
            Self::Other { policy, priority } => (policy, priority),
        };
        // SAFETY: a plain structure of numbers, for which zeros are a valid value.
        let mut parameters: libc::sched_param = unsafe { core::mem::zeroed() };
        parameters.sched_priority = priority;
        // SAFETY: it has no requirement.
        let thread = unsafe { libc::pthread_self() };
        // SAFETY: the calling thread, and parameters that are filled in.
        check(unsafe { libc::pthread_setschedparam(thread, policy, &parameters) })
    }
}

/// The calls return their error's number.
fn check(error: i32) -> Result<(), Warning> {
    match error {
        0 => Ok(()),
        error => Err(Warning::new(Want::Priority, Errno::from_raw_os_error(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_those_of_the_system() {
        assert_eq!(Priority::new(0), None);
        assert_eq!(Priority::new(100), None);
        assert_eq!(Priority::new(99).map(Priority::get), Some(99));
        assert_eq!("7".parse(), Ok(Priority(7)));
        assert_eq!((Priority(7).above(), Priority(99).above()), (Priority(8), Priority(99)));
        for text in ["", "0", "100", "-1", "256", "fifty"] {
            assert!(text.parse::<Priority>().is_err(), "{text}");
        }
        // SAFETY: it has no requirement.
        let most = unsafe { libc::sched_get_priority_max(libc::SCHED_FIFO) };
        assert_eq!(most, PRIORITY_MAX.into());
    }
}
