//! The `sonotrace` command.

use clap::{Parser, Subcommand};
use sonotrace_cli::commands::{bench, compile, demo, doctor, eval, infer, inspect, run, simulate, verify};
use sonotrace_cli::output::message::message;
use sonotrace_cli::watch::CountingAllocator;
use std::process::ExitCode;

/// Counts allocations of the real-time thread after the start; there must be none.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Segments and tracks anatomy in ultrasound, with a fixed amount of memory.
#[derive(Debug, Parser)]
#[command(name = "sonotrace", version, arg_required_else_help = true)]
struct Arguments {
    /// Print the session's events.
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Track a beating heart from a simulated scanner, started by simulated clicks.
    Demo(demo::Arguments),
    /// Run a recording, or a folder of images, through the pipeline.
    Run(run::Arguments),
    /// Compile ONNX graphs to a model file.
    Compile(compile::Arguments),
    /// Compare a model file with its ONNX graphs.
    Verify(verify::Arguments),
    /// Run one program of a model file on given arrays.
    Infer(infer::Arguments),
    /// Evaluate a model with a simulated user, on data with masks.
    Eval(eval::Arguments),
    /// Print the contents of a model file.
    Inspect(inspect::Arguments),
    /// Simulate whole scans with faults, and check each step.
    Simulate(simulate::Arguments),
    /// Measure the latency on this machine, per program and per frame.
    Bench(bench::Arguments),
    /// Check whether this board is set up for real time, with the fix for each line. Exit status: 0 if nothing fails (warnings are
    /// allowed), 1 if something does.
    Doctor(doctor::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = if arguments.verbose { log::LevelFilter::Info } else { log::LevelFilter::Off };
    env_logger::Builder::new().filter_level(level).format_timestamp(None).init();
    let result = match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Compile(arguments) => compile::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Infer(arguments) => infer::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Doctor(arguments) => match doctor::run(&arguments) {
            Ok(false) => return ExitCode::FAILURE,
            result => result.map(drop),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sonotrace: {}", message(&error));
            ExitCode::FAILURE
        }
    }
}
