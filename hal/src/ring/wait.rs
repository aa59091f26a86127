//! Sleeping until the producer commits, on a futex: the ready queue's write position, which changes with each commit.
//!
//! The futex is not private to the process, because the ring's memory may be shared with others.

use super::protocol::{IndexConsumer, IndexProducer};
use core::time::Duration;
use rustix::thread::futex::{Flags, Timespec, wait as futex_wait, wake as futex_wake};
use std::time::Instant;

/// Longest sleep in one call of the system, for timeouts that are out of its range.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Waits until a slot is queued or the time is over; returns whether one is queued.
pub fn wait(consumer: &IndexConsumer<'_>, timeout: Duration) -> bool {
    let start = Instant::now();
    consumer.wait(|word, position| {
        let left = timeout.saturating_sub(start.elapsed());
        if left.is_zero() {
            return false;
        }
        // An hour at most, which fits.
        let Ok(left) = Timespec::try_from(left.min(SLEEP_MAX)) else { return false };
        // An error is a signal, the end of the time, or a position that has changed already: the caller looks again.
        let _ = futex_wait(word, Flags::empty(), position, Some(&left));
        true
    })
}

/// Wakes the consumer if it sleeps.
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub fn wake(producer: &IndexProducer<'_>) {
    if let Some(word) = producer.sleeper() {
        // It fails only for an invalid address.
        let _ = futex_wake(word, Flags::empty(), 1);
    }
}
