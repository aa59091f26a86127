//! Work budgets, so that a computation can stop after a bounded amount of work and resume later.
//!
//! Sampling a large frame or tracing a noisy mask takes many milliseconds. Each is a small state with a `step` function
//! that works until its [`StepBudget`] is used up. The result does not depend on how the work is divided into steps.

/// Work of one step, meant to take about 50 us on a slow core.
pub const STEP_WORK: u32 = 4096;

/// The work that one step may do, and the work that it has done. A unit is about one visit of a pixel; each step
/// function documents what it counts, and its largest indivisible piece of work.
///
/// A step starts a piece of work only while the budget is not used up, so that it exceeds the budget by less than one
/// piece. A new budget allows at least one piece, so that repeated steps always finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepBudget {
    work_max: u32,
    work: u32,
}

impl StepBudget {
    /// Creates a budget of `work_max` units, at least one.
    pub fn new(work_max: u32) -> Self {
        Self { work_max: work_max.max(1), work: 0 }
    }

    /// Returns the units of work done so far.
    pub const fn work(&self) -> u32 {
        self.work
    }

    /// Returns whether no more work may be started.
    pub const fn is_used_up(&self) -> bool {
        self.work >= self.work_max
    }

    /// Returns the units of work that may still be started.
    pub(super) const fn left(&self) -> u32 {
        self.work_max.saturating_sub(self.work)
    }

    /// Counts work that was done.
    pub(super) fn count(&mut self, work: u32) {
        self.work = self.work.saturating_add(work);
    }
}
