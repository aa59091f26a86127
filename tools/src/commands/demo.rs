//! `sonotrace demo`: a simulated scanner streams a beating heart, simulated clicks start the tracking, and the results
//! are written and printed.

use super::computing::Computing;
use super::pointing;
use super::results::Results;
use super::scan::{Timed, progress, scan};
use crate::embedded;
use crate::output::dice::dice;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use sonotrace::hal::command::{PointSpace, Prompt, PromptKind};
use sonotrace::hal::geometry::Point;
use sonotrace::hal::overlay::{Overlay, OverlayObject};
use sonotrace::session::{Policy, SessionConfig};
use sonotrace::vision::{Display, DisplayRaster};
use sonotrace_replay::Recorded;
use sonotrace_sim::heart::MYOCARDIUM;
use sonotrace_sim::phantom::TruthObject;
use sonotrace_sim::{SimConfig, Simulator};
use std::path::PathBuf;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Frames to stream.
    #[arg(long, default_value_t = 90)]
    frames: u64,
    /// Frames per second.
    #[arg(long, default_value_t = 30.0)]
    fps: f32,
    /// Seed of the simulator's random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// `newest`: frames that arrive too soon are dropped and counted, as in live scanning. `all`: no frame is dropped.
    #[arg(long, value_enum, default_value_t = FramePolicy::Newest)]
    policy: FramePolicy,
    #[command(flatten)]
    computing: Computing,
    /// Folder for overlay.gif, overlays.jsonl, latency.svg and report.json.
    #[arg(long, default_value = "demo-out")]
    out: PathBuf,
    /// Also write the report to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The session's policy, as a command-line value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FramePolicy {
    /// Newest frame only.
    Newest,
    /// Every frame.
    All,
}

/// The display. Contours are reported in its pixels.
const DISPLAY: (u32, u32) = (640, 480);

/// Runs the demo.
///
/// # Errors
/// A setting that the simulator refuses, a session that cannot be opened, or a file that cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let simulator = Simulator::new(SimConfig {
        seed: arguments.seed,
        frame_rate_hz: arguments.fps,
        ..SimConfig::default()
    })?;
    // Simulated before the clock starts, because the simulator uses the same cores.
    let bar = progress(arguments.frames, "simulating");
    let mut frames = Vec::new();
    let mut truth = Vec::new();
    for index in 0..arguments.frames {
        let frame = simulator.frame(index);
        frames.push(Recorded { descriptor: frame.descriptor, payload: frame.payload });
        truth.push(frame.truth);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let objects = truth.first().context("--frames is 0: give at least 1")?;
    // One click in each chamber. (A click cannot separate the muscle between them from either.)
    let display = Display::Raster { width: DISPLAY.0, height: DISPLAY.1 };
    let raster = DisplayRaster::new(&simulator.geometry(), display)?;
    let click = |object: &TruthObject| {
        let [x, y] = raster.to_display(object.click_mm);
        let kind = PromptKind::Click { at: Point { x, y }, is_positive: true };
        Timed { seq: 1, prompt: Prompt { object: object.id, seq: 0, space: PointSpace::Display, kind } }
    };
    let prompts: Vec<Timed> = objects.iter().filter(|object| object.id != MYOCARDIUM).map(click).collect();
    let config = arguments.computing.configure(SessionConfig {
        policy: match arguments.policy {
            FramePolicy::Newest => Policy::Newest,
            FramePolicy::All => Policy::All,
        },
        display,
        ..SessionConfig::default()
    });
    let bytes = embedded::model();
    let scanned =
        scan(bytes, config, arguments.computing.pinning(), &frames, &prompts, arguments.fps.into())?;
    let scores: Vec<Vec<(u32, f64)>> = scanned
        .overlays
        .iter()
        .map(|overlay| {
            let truth = usize::try_from(overlay.seq - 1).ok().and_then(|index| truth.get(index));
            truth.map_or_else(Vec::new, |truth| scores(overlay, truth))
        })
        .collect();
    let all: Vec<f64> = scores.iter().flatten().map(|&(_, dice)| dice).collect();
    let dice_mean = if all.is_empty() { None } else { Some(all.iter().sum::<f64>() / all.len() as f64) };
    let results = Results {
        model: embedded::NAME,
        policy: match arguments.policy {
            FramePolicy::Newest => "newest",
            FramePolicy::All => "all",
        },
        config: &config,
        head: bytes,
        frames: &frames,
        clicks: &pointing::clicks(&prompts),
        names: &objects.iter().map(|object| (object.id, object.name)).collect::<Vec<_>>(),
        scanned: &scanned,
        scores: &scores,
        dice_mean,
        frame_ms: 1000.0 / f64::from(arguments.fps),
    };
    let report = results.write(&arguments.out)?;
    if let Some(path) = &arguments.json {
        report.write(path)?;
    }
    print!("{report}");
    println!("{}", scanned.notes());
    println!("wrote overlay.gif, overlays.jsonl, latency.svg and report.json to {}", arguments.out.display());
    Ok(())
}

/// Dice of each contour on an overlay against the simulator's truth. A lost object scores 0.
fn scores(overlay: &Overlay, truth: &[TruthObject]) -> Vec<(u32, f64)> {
    let score = |object: &OverlayObject| {
        let true_contour = &truth.iter().find(|truth| truth.id == object.id)?.contour_mm;
        let polygon = |points: &[[f32; 2]]| points.iter().map(|&[x, y]| Point { x, y }).collect::<Vec<_>>();
        let polygons: Vec<Vec<Point>> = object.polygons_mm().map(polygon).collect();
        let polygons: Vec<&[Point]> = polygons.iter().map(Vec::as_slice).collect();
        Some((object.id, dice(&polygons, &[true_contour])))
    };
    overlay.objects().iter().filter_map(score).collect()
}
