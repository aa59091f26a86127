//! Cores that threads run on.

use super::{Want, Warning};
use core::fmt::{self, Display, Formatter};
use core::str::FromStr;
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// A set of cores, written as in Linux: `2-5,7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreSet(CpuSet);

impl CoreSet {
    /// Returns the cores' numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + Clone {
        (0..CpuSet::MAX_CPU).filter(|&core| self.0.is_set(core))
    }

    /// Returns the number of cores.
    pub fn count(&self) -> usize {
        self.iter().count()
    }

    /// Returns whether a core is in the set.
    pub fn contains(&self, core: usize) -> bool {
        core < CpuSet::MAX_CPU && self.0.is_set(core)
    }

    /// The cores that the calling thread may use; `None` if the system does not tell.
    pub fn of_this_thread() -> Option<Self> {
        Some(Self(sched_getaffinity(None).ok()?))
    }
}

impl Display for CoreSet {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut cores = self.iter().peekable();
        while let Some(first) = cores.next() {
            let mut last = first;
            while let Some(next) = cores.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(out, "{separator}{first}")?;
            if last > first {
                write!(out, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

/// A text that is no set of cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreSetError;

impl Display for CoreSetError {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "expected cores below {}, such as 2-5,7", CpuSet::MAX_CPU)
    }
}

impl core::error::Error for CoreSetError {}

impl FromStr for CoreSet {
    type Err = CoreSetError;

    fn from_str(text: &str) -> Result<Self, CoreSetError> {
        let number = |text: &str| {
            let core = text.trim().parse::<usize>().map_err(|_| CoreSetError)?;
            if core < CpuSet::MAX_CPU { Ok(core) } else { Err(CoreSetError) }
        };
        let mut cores = CpuSet::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if first > last {
                return Err(CoreSetError);
            }
            (first..=last).for_each(|core| cores.set(core));
        }
        Ok(Self(cores))
    }
}

/// Which core each thread of a team runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pinning {
    /// The system chooses, and may move a thread.
    #[default]
    None,
    /// Each thread, the calling one included, stays on a core of its own while the work lasts, of those that the calling one may
    /// use; several share one if there are more threads than cores.
    CoreEach,
    /// As [`Self::CoreEach`], of these cores, in order. For isolated cores, which no thread may use unless it is told to.
    Cores(CoreSet),
}

/// Cores in the order in which the threads of a team are pinned to them.
#[derive(Debug, Clone)]
pub(crate) struct Cores {
    /// What the calling thread may use before.
    before: CpuSet,
    chosen: CoreSet,
    /// The first thread's.
    first: usize,
}

impl Cores {
    /// The cores for a team of the calling thread; `None` if it is not pinned.
    pub fn of(pinning: Pinning) -> Result<Option<Self>, Warning> {
        let before = || sched_getaffinity(None).map_err(|error| Warning::new(Want::Core, error));
        Ok(match pinning {
            Pinning::None => None,
            Pinning::CoreEach => {
                let before = before()?;
                Some(Self { before, chosen: CoreSet(before), first: sched_getcpu() })
            }
            Pinning::Cores(chosen) => Some(Self { before: before()?, chosen, first: 0 }),
        })
    }

    /// Pins the calling thread to the core for the thread `at` of the team.
    pub fn pin(&self, at: usize) -> Result<(), Warning> {
        let cores = self.chosen.iter();
        let from_first = cores.clone().filter(|&core| core >= self.first);
        let mut in_order = from_first.chain(cores.filter(|&core| core < self.first)).cycle();
        pin(in_order.nth(at).ok_or(Warning::new(Want::Core, Errno::INVAL))?)
    }

    /// Lets the calling thread use what it could use before.
    pub fn unpin(&self) {
        // It was allowed before.
        let _ = sched_setaffinity(None, &self.before);
    }
}

/// Pins the calling thread to a core.
pub(super) fn pin(core: usize) -> Result<(), Warning> {
    let refused = |error| Warning::new(Want::Core, error);
    if core >= CpuSet::MAX_CPU {
        return Err(refused(Errno::INVAL));
    }
    let mut one = CpuSet::new();
    one.set(core);
    sched_setaffinity(None, &one).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_as_linux_writes_them() {
        let cores = |text: &str| text.parse::<CoreSet>().map(|set| set.iter().collect::<Vec<_>>());
        assert_eq!(cores("2-5,7"), Ok(vec![2, 3, 4, 5, 7]));
        assert_eq!(cores("0"), Ok(vec![0]));
        assert_eq!(cores(" 1 , 3 - 4 "), Ok(vec![1, 3, 4]));
        for text in ["2-5,7", "0", "0-1", "1,3,1020-1023"] {
            assert_eq!(text.parse::<CoreSet>().map(|set| set.to_string()), Ok(text.to_owned()));
        }
        for text in ["", ",", "a", "3-1", "1-", "-1", "1024", "0-99999999999999999999"] {
            assert_eq!(cores(text), Err(CoreSetError), "{text}");
        }
        assert!("4".parse::<CoreSet>().is_ok_and(|set| set.contains(4) && !set.contains(9_999)));
    }

    #[test]
    fn a_core_that_does_not_exist_is_refused_and_changes_nothing() {
        let before = CoreSet::of_this_thread();
        for core in [CpuSet::MAX_CPU - 1, CpuSet::MAX_CPU, usize::MAX] {
            assert_eq!(pin(core).map_err(|warning| warning.want), Err(Want::Core));
        }
        assert_eq!(CoreSet::of_this_thread(), before);
    }
}
