//! `sonotrace doctor`: is this board set up for real time? Line by line, with the fix for each.

mod check;
mod cores;
mod jitter;
mod kernel;
mod limits;
mod memory;
mod processor;

#[cfg(test)]
mod tests;

use super::board::Board;
use super::computing::{Computing, warn};
use crate::chosen::Chosen;
use crate::output::latency_svg::wake_up_svg;
use anyhow::{Context, Result, ensure};
use check::{Check, Verdict};
use clap::Args;
use jitter::{GOOD_NS, Jitter, Plan, Summary};
use serde::Serialize;
use sonotrace::realtime::{CoreSet, Pinning, Priority};
use sonotrace::region::STACK_BYTES;
use sonotrace::session::{SessionConfig, memory_required};
use std::path::PathBuf;

/// Longest measurement.
const SECONDS_MAX: u64 = 24 * 3600;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The model file whose memory must be locked; without it, the embedded model.
    file: Option<PathBuf>,
    #[command(flatten)]
    computing: Computing,
    /// Measure for so long how late a thread wakes up; 0 leaves it out.
    #[arg(long, value_name = "N", default_value_t = 5)]
    seconds: u64,
    /// Time from one wake-up to the next.
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 1000)]
    period: u64,
    /// Write the checks and the measurement to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw how late the wake-ups were.
    #[arg(long, value_name = "FILE.svg")]
    out: Option<PathBuf>,
    /// Read `proc` and `sys` in this folder, such as a copy of another board's.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Report<'a> {
    version: &'static str,
    checks: &'a [Check],
    wake_ups: Option<Summary>,
}

/// What the checks compare the board with.
#[derive(Debug, Clone, Copy)]
struct Needs {
    instructions: sonotrace::kernels::arch::Instructions,
    threads: u32,
    priority: Priority,
    locked_bytes: u64,
}

/// Everything that is read from the system.
fn checks(board: &Board, needs: &Needs) -> Vec<Check> {
    [
        processor::checks(board, needs.instructions),
        cores::checks(board, needs.threads),
        kernel::checks(board),
        limits::checks(board, needs.priority),
        memory::checks(board, needs.locked_bytes),
    ]
    .concat()
}

/// Checks, measures, prints the table. Returns whether nothing failed.
///
/// # Errors
/// A model that is refused, a time that is out of range, or a file that cannot be written.
pub fn run(arguments: &Arguments) -> Result<bool> {
    let (seconds, period_us) = (arguments.seconds, arguments.period);
    ensure!(seconds <= SECONDS_MAX, "--seconds is {seconds}: at most {SECONDS_MAX} are possible");
    ensure!(
        (10..=1_000_000).contains(&period_us),
        "--period is {period_us}: 10 to 1000000 microseconds are possible"
    );
    let count = seconds * 1_000_000 / period_us;
    let model = Chosen::open(arguments.file.as_deref())?;
    let config = arguments.computing.configure(SessionConfig::default());
    let scheduling = arguments.computing.scheduling();
    let priority = scheduling.priority.unwrap_or(Priority::DEFAULT);
    let session_bytes = memory_required(model.bytes(), &config)?.bytes;
    let stack_bytes = config.threads as usize * STACK_BYTES;
    let needs = Needs {
        instructions: config.instructions,
        threads: config.threads,
        priority,
        locked_bytes: (session_bytes + stack_bytes + model.bytes().len()) as u64,
    };
    let mut checks = checks(&Board::at(&arguments.root), &needs);
    let mut wake_ups = None;
    if count > 0 {
        let core = match scheduling.pinning {
            Pinning::None => None,
            Pinning::CoreEach => CoreSet::of_this_thread().and_then(|cores| cores.iter().last()),
            Pinning::Cores(cores) => cores.iter().next(),
        };
        let jitter = Jitter::measure(Plan { count, period_ns: period_us * 1000, priority, core })?;
        checks.push(jitter.check());
        wake_ups = Some(jitter.summary());
        if let Some(path) = &arguments.out {
            let title = format!("{count} wake-ups, one every {period_us} microseconds");
            let svg = wake_up_svg(&title, &jitter.times, &jitter.each, GOOD_NS)?;
            std::fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))?;
        }
        warn(&jitter.warnings);
    }
    for check in &checks {
        println!("{check}");
    }
    let number = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let (warned, failed) = (number(Verdict::Warn), number(Verdict::Fail));
    println!("{} checks: {failed} failed, {warned} with a warning", checks.len());
    if let Some(path) = &arguments.json {
        let report = Report { version: sonotrace::VERSION, checks: &checks, wake_ups };
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(failed == 0)
}
