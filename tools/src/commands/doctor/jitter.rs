//! Measures how late a thread wakes up from sleeps to fixed times.

use super::check::Check;
use crate::commands::scan::progress;
use crate::output::latency_svg::FrameLatency;
use crate::output::stages::{StageSummary, StageTimes, TOTAL};
use anyhow::{Context, Result};
use rustix::thread::{ClockId, clock_nanosleep_absolute};
use rustix::time::{Timespec, clock_gettime};
use serde::Serialize;
use sonotrace::realtime::{Priority, Want, Warnings, set_thread};
use sonotrace::region::prefault_stack;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Latest wake-up that is good: what boards with PREEMPT_RT and isolated cores stay far below, others not.
pub const GOOD_NS: u64 = 100_000;
/// Latest wake-up that a scan can bear: a tenth of a frame at 30 frames a second.
pub const BEARABLE_NS: u64 = 3_300_000;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Wake-ups.
    pub count: u64,
    /// Time from one to the next.
    pub period_ns: u64,
    /// Priority of the thread.
    pub priority: Priority,
    /// Its core; none if the system chooses.
    pub core: Option<usize>,
}

/// Times from when a thread should wake up to when it did.
#[derive(Debug, Clone)]
pub struct Jitter {
    /// What was measured.
    pub plan: Plan,
    /// The times. If a wake-up is late, so are those that were due meanwhile.
    pub times: StageTimes,
    /// One by one.
    pub each: Vec<FrameLatency>,
    /// What the system refused the thread.
    pub warnings: Warnings,
}

/// The same, as JSON.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    wake_ups: u64,
    period_ns: u64,
    /// Without it, the thread had the default policy.
    fifo_priority: Option<u8>,
    core: Option<usize>,
    #[serde(flatten)]
    times: StageSummary,
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn sleep_until(due_ns: u64) {
    let due = Timespec { tv_sec: (due_ns / 1_000_000_000) as _, tv_nsec: (due_ns % 1_000_000_000) as _ };
    // A signal ends it early: the thread sleeps again, unless the time has come.
    while clock_nanosleep_absolute(ClockId::Monotonic, &due).is_err() && now_ns() < due_ns {}
}

impl Jitter {
    /// Measures, with a progress bar.
    ///
    /// # Errors
    /// Memory that is not there, or a thread that cannot be started.
    pub fn measure(plan: Plan) -> Result<Self> {
        let mut times = StageTimes::new(&[])?;
        let mut each = Vec::with_capacity(usize::try_from(plan.count)?);
        let done = &AtomicU64::new(0);
        let bar = progress(plan.count, "waking up");
        let measured = thread::scope(|scope| {
            let measuring = scope.spawn(move || {
                let warnings = set_thread(plan.core, Some(plan.priority));
                prefault_stack();
                let start_ns = now_ns() + plan.period_ns;
                for index in 0..plan.count {
                    let due_ns = start_ns + index * plan.period_ns;
                    sleep_until(due_ns);
                    let late_ns = now_ns().saturating_sub(due_ns);
                    times.record(&[], late_ns);
                    each.push(FrameLatency { seq: index + 1, latency_ns: Some(late_ns) });
                    done.store(index + 1, Ordering::Relaxed);
                }
                Self { plan, times, each, warnings }
            });
            while !measuring.is_finished() {
                bar.set_position(done.load(Ordering::Relaxed));
                thread::sleep(Duration::from_millis(50));
            }
            measuring.join()
        });
        bar.finish_and_clear();
        measured.ok().context("the measuring thread ended in a panic")
    }

    fn times(&self) -> StageSummary {
        let quantile = |share| self.times.quantile_ns(TOTAL, share).unwrap_or(0);
        StageSummary {
            p50_ns: quantile(0.5),
            p99_ns: quantile(0.99),
            p999_ns: quantile(0.999),
            max_ns: quantile(1.0),
        }
    }

    /// The numbers.
    pub fn summary(&self) -> Summary {
        let Plan { period_ns, priority, core, .. } = self.plan;
        Summary {
            wake_ups: self.times.frames(),
            period_ns,
            fifo_priority: (!self.warnings.has(Want::Priority)).then(|| priority.get()),
            core: core.filter(|_| !self.warnings.has(Want::Core)),
            times: self.times(),
        }
    }

    /// The line of the table.
    pub fn check(&self) -> Check {
        let us = |ns: u64| ns as f64 / 1e3;
        let StageSummary { p50_ns, p99_ns, p999_ns, max_ns } = self.times();
        let how = match self.summary().fifo_priority {
            Some(priority) => format!("SCHED_FIFO {priority}"),
            None => "default policy".to_owned(),
        };
        let found = format!(
            "p50 {:.0}, p99 {:.0}, p99.9 {:.0}, max {:.0} us ({how}, {} times)",
            us(p50_ns),
            us(p99_ns),
            us(p999_ns),
            us(max_ns),
            self.times.frames()
        );
        verdict(found, max_ns)
    }
}

/// What the latest wake-up means.
fn verdict(found: String, max_ns: u64) -> Check {
    let name = "wake-up jitter";
    if max_ns <= GOOD_NS {
        Check::ok(name, found)
    } else if max_ns <= BEARABLE_NS {
        Check::warn(name, found, "see the lines above; isolated cores and PREEMPT_RT help most")
    } else {
        Check::fail(name, found, "more than a tenth of a frame: see the lines above")
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn every_wake_up_is_counted_and_none_is_early() {
        let plan = Plan { count: 40, period_ns: 100_000, priority: Priority::DEFAULT, core: None };
        let jitter = Jitter::measure(plan).unwrap();
        let summary = jitter.summary();
        assert_eq!((summary.wake_ups, jitter.each.len(), summary.core), (40, 40, None));
        assert!(summary.times.p50_ns <= summary.times.max_ns);
        assert!(jitter.check().found.contains("40 times"));
    }

    #[test]
    fn the_latest_wake_up_decides() {
        for (max_ns, expected) in [
            (0, Verdict::Ok),
            (GOOD_NS, Verdict::Ok),
            (GOOD_NS + 1, Verdict::Warn),
            (BEARABLE_NS, Verdict::Warn),
            (BEARABLE_NS + 1, Verdict::Fail),
            (u64::MAX, Verdict::Fail),
        ] {
            let check = verdict(String::new(), max_ns);
            assert_eq!(check.verdict, expected, "{max_ns}");
            assert_eq!(check.fix.is_none(), expected == Verdict::Ok);
        }
    }
}
