//! `sonotrace run`: runs recordings through the pipeline.

use super::computing::Computing;
use super::pointing::{self, Pointing};
use super::results::Results;
use super::scan::scan;
use crate::chosen::Chosen;
use anyhow::{Context, Result, bail};
use clap::Args;
use sonotrace::session::{Policy, SessionConfig};
use sonotrace::vision::Display;
use sonotrace_replay::{DisplayHint, Options, open};
use std::path::{Path, PathBuf};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A picture (PNG, JPEG), a folder of them (a cine, in order of their names), an animated GIF, a DICOM image or
    /// cine, a `.npy` with a `.json` that describes it, or a Clarius `.raw` with its `.yml`.
    input: PathBuf,
    #[command(flatten)]
    pointing: Pointing,
    /// Pixel pitch in millimetres, if it is known; it overrides the pitch in the file.
    #[arg(long, value_name = "MM")]
    spacing: Option<f32>,
    /// Distance from one element of the probe to the next, for Clarius recordings.
    #[arg(long, value_name = "MM")]
    pitch: Option<f32>,
    /// Size of the picture when the DICOM file was calibrated, if it has been resized since.
    #[arg(long, value_name = "WxH", value_parser = size)]
    calibrated_size: Option<(u32, u32)>,
    /// Dynamic range of recordings that do not state it.
    #[arg(long, value_name = "DB", default_value_t = 60.0)]
    range_db: f32,
    /// Frames per second, if the recording has no times.
    #[arg(long, default_value_t = 25.0)]
    fps: f32,
    /// Maximum number of frames to write as pictures.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pictures: usize,
    /// A model file; without it, the embedded model.
    #[arg(long, value_name = "FILE.sono")]
    model: Option<PathBuf>,
    #[command(flatten)]
    computing: Computing,
    /// Folder for the pictures, overlay.gif, overlays.jsonl, latency.svg and report.json.
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

fn size(text: &str) -> Result<(u32, u32)> {
    let parsed =
        text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    parsed.context("expected WxH in pixels, such as 640x480")
}

/// Runs a recording through a session and writes the results.
///
/// # Errors
/// A recording that cannot be read, with its path; a model that is refused; or no prompt.
pub fn run(arguments: &Arguments) -> Result<()> {
    let prompts = arguments.pointing.prompts()?;
    let options = Options {
        spacing_mm: arguments.spacing,
        frame_rate_hz: arguments.fps,
        calibrated_size: arguments.calibrated_size,
        pitch_mm: arguments.pitch,
        range_db: arguments.range_db,
        ..Options::default()
    };
    let recording = open(&arguments.input, &options)?;
    for note in &recording.notes {
        eprintln!("note: {note}");
    }
    let frames = recording.frames;
    let model = Chosen::open(arguments.model.as_deref())?;
    let bytes = model.bytes();
    let config = arguments.computing.configure(SessionConfig {
        policy: Policy::All,
        display: match recording.display {
            DisplayHint::Source => Display::Source,
            DisplayHint::Raster { width, height } => Display::Raster { width, height },
        },
        // Replay can wait for a new geometry's table.
        table_rows_per_frame: u32::MAX,
        ..SessionConfig::default()
    });
    let scanned =
        scan(bytes, config, arguments.computing.pinning(), &frames, &prompts, arguments.fps.into())?;
    let names = arguments.pointing.names();
    let results = Results {
        model: model.name(),
        policy: "all",
        config: &config,
        head: bytes,
        frames: &frames,
        clicks: &pointing::clicks(&prompts),
        names: &names,
        scanned: &scanned,
        scores: &[],
        dice_mean: None,
        frame_ms: frame_ms(&frames, arguments.fps),
    };
    let report = results.write(&arguments.out)?;
    let mut written = 0;
    for overlay in scanned.overlays.iter().take(arguments.pictures) {
        let Some(index) = frames.iter().position(|frame| frame.descriptor.seq == overlay.seq) else {
            continue;
        };
        let path = arguments.out.join(format!("{}.overlay.png", stem(&arguments.input, index, frames.len())));
        let picture = results.picture(&frames[index], overlay)?;
        picture.save(&path).with_context(|| format!("cannot write {}", path.display()))?;
        written += 1;
    }
    print!("{report}");
    println!("{}", scanned.notes());
    for refused in scanned.refused_prompts() {
        println!("{refused}");
    }
    if scanned.overlays.iter().all(|overlay| overlay.objects().is_empty()) {
        bail!("no prompt could be served: click inside the picture of {}", results.display_words()?);
    }
    println!(
        "wrote {written} pictures, overlay.gif, overlays.jsonl, latency.svg and report.json to {}",
        arguments.out.display()
    );
    Ok(())
}

/// The name of a frame's picture: the recording's name, and the frame's number if there are several.
fn stem(input: &Path, index: usize, count: usize) -> String {
    let stem = input.file_stem().unwrap_or_default().to_string_lossy();
    if count == 1 { stem.into_owned() } else { format!("{stem}-{:04}", index + 1) }
}

/// Mean time from one frame to the next; from the command line if the recording has no times.
fn frame_ms(frames: &[sonotrace_replay::Recorded], fps: f32) -> f64 {
    let times = || frames.iter().map(|frame| frame.descriptor.t_acq_ns);
    let span_ns = times().max().unwrap_or(0).saturating_sub(times().min().unwrap_or(0));
    if frames.len() < 2 || span_ns == 0 {
        return 1000.0 / f64::from(fps);
    }
    (span_ns as f64 * 1e-6 / (frames.len() - 1) as f64).clamp(10.0, 1000.0)
}
