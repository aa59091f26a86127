//! Time per program of a model file:
//! `cargo bench -p sonotrace-benches --bench programs [-- FILE.sono [RUNS]]`.
//!
//! With `--threads=N`, on N threads. With `--instructions=NAME`, for that instruction set (`portable`, `avx2`, ...), not the fastest.
//!
//! With `--ops`, the time of each kind of operation: number, p50, share of the program, multiply-accumulates per second.
//!
//! With `--before=PROGRAM`, an earlier build of this benchmark, runs that and this one in turn, six times, and prints the
//! times before and after. `--before-file=FILE.sono` is a file for the earlier one, if it cannot read the same.

use sonotrace::exec::ExecutorConfig;
use sonotrace_benches::change::{CHANGE_HEAD, Side, changes, output};
use sonotrace_benches::{HEAD, arguments, instructions, ops, programs, threads};
use std::path::PathBuf;
use std::process::Command;

/// Pairs of runs of a comparison.
const PAIRS: u64 = 6;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (path, runs) = arguments(20)?;
    let option = |name: &str| std::env::args().find_map(|argument| Some(argument.strip_prefix(name)?.into()));
    let instructions = instructions()?;
    let config = ExecutorConfig { instructions, threads: threads()?, ..ExecutorConfig::default() };
    println!("{}, {runs} runs, {}, threads: {}", path.display(), instructions.name(), config.threads);
    if std::env::args().any(|argument| argument == "--ops") {
        ops::lines(&ops::operations(&path, instructions, runs)?).iter().for_each(|line| println!("{line}"));
        return Ok(());
    }
    let Some(before): Option<PathBuf> = option("--before=") else {
        println!("{HEAD}");
        for times in programs(&path, config, runs)? {
            println!("{}", times.line());
        }
        return Ok(());
    };
    let before_path = option("--before-file=").unwrap_or_else(|| path.clone());
    let this = std::env::current_exe()?;
    println!("before: {}, {}; {PAIRS} pairs\n{CHANGE_HEAD}", before.display(), before_path.display());
    for change in changes(PAIRS, |side| {
        let (program, path) = if side == Side::Before { (&before, &before_path) } else { (&this, &path) };
        let mut command = Command::new(program);
        command.arg(path).arg(runs.to_string());
        if side == Side::After {
            command.arg(format!("--instructions={}", instructions.name()));
            command.arg(format!("--threads={}", config.threads));
        }
        output(&mut command)
    })? {
        println!("{}", change.line());
    }
    Ok(())
}
