//! Options of the commands that run a session: threads and kernels.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use sonotrace::kernels::arch::Instructions;
use sonotrace::realtime::{CoreSet, Pinning, Priority, Scheduling, Warnings};
use sonotrace::session::{Policy, SessionConfig};
use std::thread;

/// How a session computes.
#[derive(Debug, Clone, Args)]
pub struct Computing {
    /// Threads that compute, including the session's own. By default as many as the machine runs at once, at most 4.
    #[arg(long, value_name = "N")]
    threads: Option<u32>,
    /// Instruction set of the kernels, of those that `inspect` lists; the fastest by default.
    #[arg(long, value_name = "NAME", value_parser = instructions)]
    kernels: Option<Instructions>,
    /// Keep each thread that computes on a core of its own: of these, or of all that the command may use. Not beside other work
    /// that may be on that core. Isolated cores must be named.
    #[arg(long, value_name = "CORES", num_args = 0..=1, require_equals = true)]
    pin: Option<Option<CoreSet>>,
    /// Compute with a real-time priority (SCHED_FIFO, 1 to 99; 40 if none is given), and lock all memory. What the system does not
    /// allow is reported once, and the command works on without it; `sonotrace doctor` says how to set a board up.
    #[arg(long, value_name = "PRIORITY", num_args = 0..=1, require_equals = true)]
    realtime: Option<Option<Priority>>,
}

impl Computing {
    /// Returns cores and priority of the threads that compute.
    pub fn scheduling(&self) -> Scheduling {
        let pinning = match self.pin {
            None => Pinning::None,
            Some(None) => Pinning::CoreEach,
            Some(Some(cores)) => Pinning::Cores(cores),
        };
        Scheduling { pinning, priority: self.realtime.map(|given| given.unwrap_or(Priority::DEFAULT)) }
    }

    /// Sets threads and instructions of a session's settings.
    pub fn configure<'a>(&self, config: SessionConfig<'a>) -> SessionConfig<'a> {
        let available = || thread::available_parallelism().map_or(1, |cores| cores.get().min(4) as u32);
        SessionConfig {
            threads: self.threads.unwrap_or_else(available),
            instructions: self.kernels.unwrap_or(config.instructions),
            ..config
        }
    }
}

/// Prints what the system refused.
pub fn warn(warnings: &Warnings) {
    for warning in warnings.iter() {
        eprintln!("warning: {warning}");
    }
}

fn instructions(name: &str) -> Result<Instructions> {
    Instructions::named(name).with_context(|| {
        let names: Vec<_> = Instructions::available().map(Instructions::name).collect();
        format!("this processor has {}", names.join(", "))
    })
}

/// The session's policy, as a command-line value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FramePolicy {
    /// Newest frame only.
    Newest,
    /// Every frame.
    All,
}

impl FramePolicy {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::All => "all",
        }
    }
}

impl From<FramePolicy> for Policy {
    fn from(policy: FramePolicy) -> Self {
        match policy {
            FramePolicy::Newest => Self::Newest,
            FramePolicy::All => Self::All,
        }
    }
}
