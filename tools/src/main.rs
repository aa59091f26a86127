//! The `sonotrace` command.

use clap::{Parser, Subcommand};
use sonotrace_cli::commands::{compile, demo, eval, inspect, run, verify};
use sonotrace_cli::watch::CountingAllocator;
use std::process::ExitCode;

/// Counts what the real-time thread asks of the heap after the start: nothing.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Draws and follows anatomy on ultrasound, in memory fixed beforehand.
#[derive(Debug, Parser)]
#[command(name = "sonotrace", version, arg_required_else_help = true)]
struct Arguments {
    /// Write the session's events to the terminal.
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A simulated scanner, a simulated click, a contour that follows the heart.
    Demo(demo::Arguments),
    /// A recorded image, or a folder of them, through the real pipeline.
    Run(run::Arguments),
    /// ONNX graphs to a model file.
    Compile(compile::Arguments),
    /// A model file held to its ONNX graphs.
    Verify(verify::Arguments),
    /// How well a model answers a simulated user, on data with masks.
    Eval(eval::Arguments),
    /// What a model file holds.
    Inspect(inspect::Arguments),
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
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sonotrace: {error:#}");
            ExitCode::FAILURE
        }
    }
}
