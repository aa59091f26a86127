//! Options of the commands that run a session: threads and kernels.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use sonotrace::exec::Pinning;
use sonotrace::kernels::arch::Instructions;
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
    /// Keep each thread that computes on a core of its own. Not beside other work that may be on that core.
    #[arg(long)]
    pin: bool,
}

impl Computing {
    /// Returns the cores of the threads that compute.
    pub fn pinning(&self) -> Pinning {
        if self.pin { Pinning::CoreEach } else { Pinning::None }
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
