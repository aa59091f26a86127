//! `sonotrace demo`: a simulated scanner streams a beating heart, simulated clicks start the tracking, and the results
//! are written and printed.

use super::computing::{Computing, FramePolicy, warn};
use super::pointing;
use super::results::Results;
use super::scan::{Timed, progress, scan};
use crate::embedded;
use crate::output::dice::dice;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use sonotrace::hal::command::{PointSpace, Prompt, PromptKind};
use sonotrace::hal::geometry::Point;
use sonotrace::hal::overlay::{Overlay, OverlayObject};
use sonotrace::session::SessionConfig;
use sonotrace::vision::{Display, DisplayRaster};
use sonotrace_replay::Recorded;
use sonotrace_sim::heart::MYOCARDIUM;
use sonotrace_sim::phantom::TruthObject;
use sonotrace_sim::script::{Expected, Request, Script, ScriptedScan};
use sonotrace_sim::{SimConfig, Simulator, scripts};
use std::path::PathBuf;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Plays a script in the place of a still probe over a beating heart: the name of a ready one, or a file.
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ["frames", "fps", "seed"], long_help = script_help())]
    script: Option<String>,
    /// Frames to stream.
    #[arg(long, default_value_t = 90)]
    frames: u64,
    /// Frames per second.
    #[arg(long, default_value_t = 30.0)]
    fps: f32,
    /// Seed of the simulator's random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// `newest`: a frame that comes while another one is computed gets the last contours in time, as in live scanning. `all`: each frame
    /// is waited for, and computed.
    #[arg(long, value_enum, default_value_t = FramePolicy::Newest)]
    policy: FramePolicy,
    #[command(flatten)]
    computing: Computing,
    /// Folder for overlay.gif, overlays.jsonl, latency.svg, tracking.svg and report.json.
    #[arg(long, default_value = "demo-out")]
    out: PathBuf,
    /// Also write the report to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The display. Contours are reported in its pixels.
const DISPLAY: (u32, u32) = (640, 480);

/// Share of an object that must be seen for its contour to be scored.
const SEEN_SHARE: f32 = 0.5;

fn script_help() -> String {
    let names: Vec<&str> = scripts::SCRIPTS.iter().map(|(name, _)| *name).collect();
    format!(
        "Plays a script in the place of a still probe over a beating heart: the name of a ready one ({}), or a file. \
         Objects are scored while at least half of them can be seen",
        names.join(", ")
    )
}

/// What is streamed.
struct Stream {
    frames: Vec<Recorded>,
    /// The objects that can be seen on each frame; numbers are the user's.
    truth: Vec<Vec<TruthObject>>,
    /// In display pixels.
    prompts: Vec<Timed>,
    names: Vec<(u32, &'static str)>,
    fps: f32,
}

/// Runs the demo.
///
/// # Errors
/// A setting that the simulator refuses, a session that cannot be opened, or a file that cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let display = Display::Raster { width: DISPLAY.0, height: DISPLAY.1 };
    // Simulated before the clock starts, because the simulator uses the same cores.
    let Stream { frames, truth, prompts, names, fps } = match &arguments.script {
        Some(script) => scripted(script, display)?,
        None => still(arguments, display)?,
    };
    let config = arguments.computing.configure(SessionConfig {
        policy: arguments.policy.into(),
        display,
        // An overlay is due before the next frame.
        budget_ns: SessionConfig::default().budget_ns.min((1e9 / f64::from(fps)) as u64),
        ..SessionConfig::default()
    });
    let bytes = embedded::model();
    let scanned = scan(bytes, config, arguments.computing.scheduling(), &frames, &prompts, fps.into())?;
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
        policy: arguments.policy.name(),
        config: &config,
        head: bytes,
        frames: &frames,
        clicks: &pointing::clicks(&prompts),
        names: &names,
        scanned: &scanned,
        scores: &scores,
        dice_mean,
        frame_ms: 1000.0 / f64::from(fps),
    };
    let report = results.write(&arguments.out)?;
    if let Some(path) = &arguments.json {
        report.write(path)?;
    }
    print!("{report}");
    println!("{}", scanned.notes());
    warn(&scanned.warnings);
    println!(
        "wrote overlay.gif, overlays.jsonl, latency.svg, tracking.svg and report.json to {}",
        arguments.out.display()
    );
    Ok(())
}

/// A still probe over a beating heart, and a click in each chamber. (A click cannot separate the muscle between them from either.)
fn still(arguments: &Arguments, display: Display) -> Result<Stream> {
    let simulator = Simulator::new(SimConfig {
        seed: arguments.seed,
        frame_rate_hz: arguments.fps,
        ..SimConfig::default()
    })?;
    let bar = progress(arguments.frames, "simulating");
    let (mut frames, mut truth) = (Vec::new(), Vec::new());
    for index in 0..arguments.frames {
        let frame = simulator.frame(index);
        frames.push(Recorded { descriptor: frame.descriptor, payload: frame.payload });
        truth.push(frame.truth);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let objects = truth.first().context("--frames is 0: give at least 1")?;
    let raster = DisplayRaster::new(&simulator.geometry(), display)?;
    let click = |object: &TruthObject| {
        let [x, y] = raster.to_display(object.click_mm);
        let kind = PromptKind::Click { at: Point { x, y }, is_positive: true };
        Timed { seq: 1, prompt: Prompt { object: object.id, seq: 0, space: PointSpace::Display, kind } }
    };
    let prompts = objects.iter().filter(|object| object.id != MYOCARDIUM).map(click).collect();
    let names = objects.iter().map(|object| (object.id, object.name)).collect();
    Ok(Stream { prompts, names, frames, truth, fps: arguments.fps })
}

/// A scripted scan without faults.
fn scripted(name: &str, display: Display) -> Result<Stream> {
    let text = match scripts::text(name) {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(name).with_context(|| {
            let names: Vec<&str> = scripts::SCRIPTS.iter().map(|(name, _)| *name).collect();
            format!("there is no script {name}: give a file, or one of {}", names.join(", "))
        })?,
    };
    let script = Script::parse(&text).with_context(|| format!("cannot read the script {name}"))?;
    let settings = script.settings();
    let bar = progress(settings.frames(), "simulating");
    let mut stream = Stream {
        frames: Vec::new(),
        truth: Vec::new(),
        prompts: Vec::new(),
        names: Vec::new(),
        fps: settings.rate_hz,
    };
    // The user's number of each of the phantom's objects.
    let mut numbers: Vec<(u32, u32)> = Vec::new();
    for step in ScriptedScan::new(&script)? {
        bar.inc(1);
        let seq = stream.frames.len() as u64 + 1;
        let [delivery] = &step.deliveries[..] else {
            bail!(
                "frame {seq} of the script is missing, late or repeated: the demo plays scripts without faults"
            );
        };
        ensure!(
            delivery.expected == Expected::Good && delivery.descriptor.seq == seq,
            "frame {seq} of the script is faulty or frozen: the demo plays scripts without faults"
        );
        let geometry = delivery.descriptor.check()?.geometry;
        let raster = DisplayRaster::new(&geometry, display)?;
        for request in step.requests {
            let Request::Prompt(prompt) = request else { bail!("the demo plays scripts without freezing") };
            let on_display = |at: Point| {
                let [x, y] = raster.to_display(at);
                Point { x, y }
            };
            let (middle, kind) = match prompt.kind {
                PromptKind::Click { at, is_positive } => {
                    (is_positive.then_some(at), PromptKind::Click { at: on_display(at), is_positive })
                }
                PromptKind::Box { from, to } => {
                    let middle = Point { x: (from.x + to.x) / 2.0, y: (from.y + to.y) / 2.0 };
                    (Some(middle), PromptKind::Box { from: on_display(from), to: on_display(to) })
                }
                PromptKind::Remove => (None, PromptKind::Remove),
            };
            // The first prompt of an object says which of the phantom's it is.
            let is_known = numbers.iter().any(|(number, _)| *number == prompt.object);
            let meant = delivery.truth.iter().find(|object| middle.is_some_and(|at| object.contains(at)));
            if let (false, Some(object)) = (is_known, meant) {
                numbers.push((prompt.object, object.id));
                stream.names.push((prompt.object, object.name));
            }
            stream.prompts.push(Timed { seq, prompt: Prompt { space: PointSpace::Display, kind, ..prompt } });
        }
        let shown = delivery.objects();
        let is_seen = |id: u32| shown.iter().any(|object| object.id == id && object.visibility >= SEEN_SHARE);
        let truth = delivery.truth.iter().filter(|object| is_seen(object.id)).filter_map(|object| {
            let (number, _) = numbers.iter().find(|(_, id)| *id == object.id)?;
            Some(TruthObject { id: *number, ..object.clone() })
        });
        stream.truth.push(truth.collect());
        let delivery = delivery.clone();
        stream.frames.push(Recorded { descriptor: delivery.descriptor, payload: delivery.payload });
    }
    bar.finish_and_clear();
    Ok(stream)
}

/// Dice of each contour on an overlay against the simulator's truth. An object without a contour scores 0.
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
