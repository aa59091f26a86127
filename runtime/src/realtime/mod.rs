//! What a thread or a process asks of the system so that it computes in real time: priority, cores, memory that stays.
//!
//! Each step may be refused. Work goes on without it, and the caller gets one [`Warning`] for each thing that was not granted, with
//! its fix. Nothing is printed here.
//!
//! Denormals are flushed by the session itself, on every thread that computes (`float_environment`).

mod cores;
mod policy;

pub use cores::{CoreSet, CoreSetError, Pinning};
pub use policy::{PRIORITY_MAX, Priority};

pub(crate) use cores::Cores;

use core::fmt::{self, Display, Formatter};
use policy::Policy;
use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};

/// How threads that compute together are scheduled.
///
/// All of them get the same priority. With different ones, a thread that waits for another one's tile could keep that one from its
/// core for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scheduling {
    /// The cores that the threads run on.
    pub pinning: Pinning,
    /// `SCHED_FIFO` with this priority; without it, the threads keep the policy that they have. Not for more threads than cores:
    /// threads of one priority do not share a core in turns.
    pub priority: Option<Priority>,
}

impl From<Pinning> for Scheduling {
    fn from(pinning: Pinning) -> Self {
        Self { pinning, priority: None }
    }
}

/// A thing that the system may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Want {
    /// `SCHED_FIFO` with a priority.
    Priority = 0,
    /// To stay on one core.
    Core = 1,
    /// Memory that is not paged out.
    LockedMemory = 2,
    /// The program's pages, present before they are used.
    ProgramPages = 3,
}

impl Want {
    /// Everything that can be refused.
    pub const ALL: [Self; 4] = [Self::Priority, Self::Core, Self::LockedMemory, Self::ProgramPages];

    /// What the program does without it.
    fn consequence(self) -> &'static str {
        match self {
            Self::Priority => "no real-time priority: other threads can delay this one",
            Self::Core => "not pinned to a core: the system may move the thread",
            Self::LockedMemory => "not all memory is locked: some may be paged out",
            Self::ProgramPages => "code is not mapped ahead: its first use causes a page fault",
        }
    }

    /// How to obtain it, in one line.
    pub fn fix(self) -> &'static str {
        match self {
            Self::Priority => {
                "raise RLIMIT_RTPRIO (`ulimit -r 99`, systemd LimitRTPRIO=99) or grant CAP_SYS_NICE"
            }
            Self::Core => "name cores that exist and that the process's cgroup allows (`taskset -pc $$`)",
            Self::LockedMemory => {
                "raise RLIMIT_MEMLOCK (`ulimit -l unlimited`, systemd LimitMEMLOCK=infinity) or grant CAP_IPC_LOCK"
            }
            Self::ProgramPages => "use Linux 5.14 or later",
        }
    }
}

/// A thing that the system refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// What was refused.
    pub want: Want,
    /// The system's error number.
    pub error: i32,
}

impl Warning {
    pub(crate) fn new(want: Want, error: Errno) -> Self {
        Self { want, error: error.raw_os_error() }
    }

    /// Of an error of the standard library.
    pub(crate) fn of(want: Want, error: &std::io::Error) -> Self {
        Self::new(want, Errno::from_io_error(error).unwrap_or(Errno::NOTSUP))
    }
}

impl Display for Warning {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let error = Errno::from_raw_os_error(self.error);
        write!(out, "{} ({error}): {}", self.want.consequence(), self.want.fix())
    }
}

/// What the system refused, each thing once, however many threads asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct Warnings([Option<Warning>; Want::ALL.len()]);

impl Warnings {
    /// Adds a warning, unless there is one of its kind.
    pub fn add(&mut self, warning: Warning) {
        self.0[warning.want as usize].get_or_insert(warning);
    }

    /// Adds those of another thread.
    pub fn merge(&mut self, other: Self) {
        other.iter().for_each(|warning| self.add(warning));
    }

    /// Adds the error of a step, if it failed.
    pub fn note(&mut self, step: Result<(), Warning>) {
        if let Err(warning) = step {
            self.add(warning);
        }
    }

    /// Returns the warnings.
    pub fn iter(&self) -> impl Iterator<Item = Warning> {
        self.0.into_iter().flatten()
    }

    /// Returns whether everything was granted.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Returns whether this was refused.
    pub fn has(&self, want: Want) -> bool {
        self.0[want as usize].is_some()
    }
}

/// Pins the calling thread to `core` and gives it `priority`, for the rest of its life: for threads that the device starts itself.
/// It may be called again.
pub fn set_thread(core: Option<usize>, priority: Option<Priority>) -> Warnings {
    let mut warnings = Warnings::default();
    if let Some(core) = core {
        warnings.note(cores::pin(core));
    }
    if let Some(priority) = priority {
        warnings.note(Policy::Fifo(priority).set());
    }
    warnings
}

/// Locks all memory that the process has now: code, stacks, heap, mappings. For a program that is nothing but a scan. A library
/// inside another program locks its own memory only: [`Region`](crate::region::Region) and
/// [`ModelFile`](crate::file::ModelFile) do that.
///
/// Call it when everything is open and all threads run. Memory that is mapped later is not locked, on purpose: a session maps none,
/// and the rest of the program would fail to allocate when the limit is reached.
///
/// # Errors
/// [`Want::LockedMemory`] if the limit is lower than what the process has mapped.
pub fn lock_process() -> Result<(), Warning> {
    mlockall(MlockAllFlags::CURRENT).map_err(|error| Warning::new(Want::LockedMemory, error))
}

/// Maps the program's code and constants, as [`prefault_program`](crate::region::prefault_program) does.
///
/// # Errors
/// [`Want::ProgramPages`] on a system that cannot do it.
pub fn map_program() -> Result<(), Warning> {
    crate::region::prefault_program().map_err(|error| Warning::of(Want::ProgramPages, &error))
}

/// Gives the calling thread a priority; it gets its former policy back when this is dropped.
#[derive(Debug)]
pub(crate) struct Raised(Option<Policy>);

impl Raised {
    /// Raises the priority, if there is one to raise it to. A refusal is added to `warnings`.
    pub fn enter(priority: Option<Priority>, warnings: &mut Warnings) -> Self {
        let raise = |priority| -> Result<Policy, Warning> {
            let before = Policy::of_this_thread()?;
            Policy::Fifo(priority).set()?;
            Ok(before)
        };
        match priority.map(raise) {
            None => Self(None),
            Some(Ok(before)) => Self(Some(before)),
            Some(Err(warning)) => {
                warnings.add(warning);
                Self(None)
            }
        }
    }

    /// Gives the former policy back.
    pub fn give_back(&mut self) {
        if let Some(before) = self.0.take() {
            // To lower a priority is always allowed.
            let _ = before.set();
        }
    }

    /// Returns whether the priority was granted.
    pub fn is_raised(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_warned_of_once() {
        let mut warnings = Warnings::default();
        assert!(warnings.is_empty());
        for error in [Errno::PERM, Errno::INVAL] {
            warnings.add(Warning::new(Want::Priority, error));
        }
        let mut others = Warnings::default();
        others.note(Err(Warning::new(Want::Core, Errno::INVAL)));
        others.note(Err(Warning::new(Want::Priority, Errno::INVAL)));
        others.note(Ok(()));
        warnings.merge(others);
        let kept: Vec<_> = warnings.iter().map(|warning| (warning.want, warning.error)).collect();
        let (perm, inval) = (Errno::PERM.raw_os_error(), Errno::INVAL.raw_os_error());
        assert_eq!(kept, [(Want::Priority, perm), (Want::Core, inval)]);
        assert!(warnings.has(Want::Core) && !warnings.has(Want::LockedMemory));
    }

    #[test]
    fn a_warning_says_what_and_how() {
        for want in Want::ALL {
            let text = Warning::new(want, Errno::PERM).to_string();
            assert!(text.contains(want.fix()) && text.contains("not permitted"), "{text}");
            assert!(!text.contains('\n'));
        }
        assert!(Want::ALL.iter().enumerate().all(|(at, want)| *want as usize == at));
    }
}
