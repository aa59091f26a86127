//! `sonotrace bench`: latency on this board, per program and per frame.

mod frames;
mod programs;
mod report;
mod system;
mod trace;

use super::computing::{Computing, FramePolicy, warn};
use crate::chosen::Chosen;
use crate::output::latency_svg::latency_svg;
use anyhow::{Context, Result, ensure};
use clap::Args;
use frames::Frames;
use report::Report;
use sonotrace::session::SessionConfig;
use std::path::PathBuf;
use system::System;

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The model file; without it, the embedded model.
    file: Option<PathBuf>,
    #[command(flatten)]
    computing: Computing,
    /// Runs of each program.
    #[arg(long, default_value_t = 100)]
    runs: u64,
    /// Frames to stream.
    #[arg(long, default_value_t = 150)]
    frames: u64,
    /// Frames per second.
    #[arg(long, default_value_t = 30.0)]
    fps: f64,
    /// Stream for this many minutes instead, and print a line for each.
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// `all`: each frame is computed to its end before the next one comes. `newest`: frames come as from a scanner, and the session
    /// keeps their deadlines.
    #[arg(long, value_enum, default_value_t = FramePolicy::All)]
    policy: FramePolicy,
    /// Write the report to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the latencies of the frames.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write where each frame's time went, for <https://ui.perfetto.dev>.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Compare with an earlier report.
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
}

/// Measures, prints a table and writes what was asked for.
///
/// # Errors
/// A model that is refused, a rate that is no number above 0, or a file that cannot be read or written.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.fps.is_finite() && arguments.fps > 0.0,
        "--fps is {}: give a number above 0",
        arguments.fps
    );
    // Read first, so that a wrong path costs no measurement.
    let earlier = arguments.compare.as_deref().map(Report::read).transpose()?;
    let model = Chosen::open(arguments.file.as_deref())?;
    let config = SessionConfig { policy: arguments.policy.into(), ..SessionConfig::default() };
    let config = arguments.computing.configure(config);
    let system = System::read();
    let scheduling = arguments.computing.scheduling();
    let (programs, mut warnings) = programs::measure(model.bytes(), &config, scheduling, arguments.runs)?;
    let mut frames = Frames::new(arguments.fps)?;
    let minutes = arguments.soak.map(|minutes| (minutes.max(1), (60.0 * arguments.fps) as u64));
    let (rounds, count) = minutes.unwrap_or((1, arguments.frames.max(1)));
    warnings.merge(frames.stream(
        model.bytes(),
        &config,
        scheduling,
        (rounds, count),
        |minute, summary| {
            if arguments.soak.is_some() {
                println!("minute {minute}: {summary}; {}", System::read().now());
            }
        },
    )?);
    warnings.note(model.locked());
    warn(&warnings);
    let report = Report::new(model.name(), system, &config, arguments.fps, &programs, &frames);
    print!("{report}");
    if let Some(path) = &arguments.json {
        report.write(path)?;
    }
    let save = |path: &PathBuf, text: String| {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &arguments.svg {
        let title = format!("{} at {} frames per second", model.name(), arguments.fps);
        save(path, latency_svg(&title, &frames.times, &frames.latencies, frames.period_ns())?)?;
    }
    if let Some(path) = &arguments.trace {
        save(path, trace::text(&frames.traced)?)?;
    }
    if let Some(earlier) = earlier {
        print!("{}", report.compared(&earlier));
    }
    Ok(())
}
