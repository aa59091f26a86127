//! `sonotrace run`: runs recordings through the pipeline.

use super::computing::{Computing, warn};
use super::placing::{Group, Placed, Refused, fault};
use super::pointing::{self, Pointing};
use super::results::Results;
use super::scan::{Timed, scan};
use super::steps;
use crate::chosen::Chosen;
use anyhow::{Context, Result, bail};
use clap::Args;
use sonotrace::hal::overlay::PromptOutcome;
use sonotrace::session::{Policy, SessionConfig};
use sonotrace::vision::Display;
use sonotrace_replay::{DisplayHint, Options, Recording, Window, open, shown, shown_text};
use std::path::{Path, PathBuf};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A picture (PNG, JPEG), a folder of them (a cine, in order of their names), an animated GIF or PNG, a DICOM image or
    /// cine, a video (MP4, MOV, AVI) if there is an ffmpeg, a `.npy` with a `.json` that describes it, or a Clarius `.raw` with its `.yml`.
    input: PathBuf,
    #[command(flatten)]
    pointing: Pointing,
    /// A file with prompts on any frame, one a line: `at 1.5 s click 1 120,96`, `at 2 s click 1 not 30,40`, `at frame 9 box
    /// 2 10,20,60,70`, `at 3 s remove 1`. Times are from the first frame, frames are counted from 1; `#` begins a comment.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
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
    /// Frames per second; overrides the recording's own times. Recordings without times have 25.
    #[arg(long)]
    fps: Option<f32>,
    /// Grey values to show as black to white, in units of the samples; overrides the file's own window. For pictures whose
    /// samples use few of their bits, for example `2048,4096` for 12 bits in 16.
    #[arg(long, value_name = "CENTRE,WIDTH", value_parser = window, allow_hyphen_values = true)]
    window: Option<Window>,
    /// Maximum number of frames to write as pictures.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pictures: usize,
    /// A model file; without it, the embedded model.
    #[arg(long, value_name = "FILE.sono")]
    model: Option<PathBuf>,
    #[command(flatten)]
    computing: Computing,
    /// Folder for the pictures, overlay.gif, overlays.jsonl, latency.svg, tracking.svg and report.json.
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

fn size(text: &str) -> Result<(u32, u32)> {
    let parsed =
        text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    parsed.context("expected WxH in pixels, such as 640x480")
}

fn window(text: &str) -> Result<Window> {
    let parsed = text.split_once(',').and_then(|(centre, width)| {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        Some(Window::from((number(centre)?, number(width)?)))
    });
    parsed.context("expected CENTRE,WIDTH, such as 2048,4096")
}

/// Runs a recording through a session and writes the results. If prompts are in several regions of the picture, each
/// region is scanned on its own, with its own scale.
///
/// # Errors
/// A recording that cannot be read, with its path; a model that is refused; or no prompt that can be served, with the
/// reason for each.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut prompts = arguments.pointing.prompts()?;
    let steps = arguments.script.as_deref().map(steps::read).transpose()?;
    if prompts.is_empty() && steps.as_ref().is_none_or(Vec::is_empty) {
        bail!("nothing to track: give --click X,Y or --box X0,Y0,X1,Y1, or prompts in a --script");
    }
    let options = Options {
        spacing_mm: arguments.spacing,
        frame_rate_hz: arguments.fps,
        window: arguments.window,
        calibrated_size: arguments.calibrated_size,
        pitch_mm: arguments.pitch,
        range_db: arguments.range_db,
        ..Options::default()
    };
    let mut recording = open(&arguments.input, &options)?;
    pointing::check_frames(&prompts, recording.frames.len())?;
    for step in steps.iter().flatten() {
        prompts.push(step.timed(&recording.frames)?);
    }
    // A stable sort: prompts on one frame keep their order.
    prompts.sort_by_key(|timed| timed.seq);
    steps::check_counts(&prompts)?;
    let placed = Placed::new(&recording, &prompts);
    let mut refused = placed.refused;
    let count = placed.groups.len();
    let mut found = 0;
    for group in &placed.groups {
        if let Some(region) = group.region {
            recording.select_region(region);
        }
        for note in &recording.notes {
            eprintln!("note: {}", shown_text(note));
        }
        let out = match group.region {
            Some(region) if count > 1 => arguments.out.join(format!("region-{}", region + 1)),
            _ => arguments.out.clone(),
        };
        let seen = scan_group(arguments, &recording, group, options.rate_hz(), &out)?;
        found += seen.objects;
        refused.extend(seen.refused);
    }
    for refused in &refused {
        println!("{}", refused.words);
    }
    if found == 0 {
        let reasons: Vec<&str> = refused.iter().map(|refused| refused.words.as_str()).collect();
        match reasons.is_empty() {
            true => bail!("no object was found where the prompts are: try another point, or a box around it"),
            false => bail!("no prompt could be served: {}", reasons.join("; ")),
        }
    }
    Ok(())
}

/// What a scan of one region gave.
struct Seen {
    /// Number of overlays with objects.
    objects: usize,
    /// Prompts that were not served.
    refused: Vec<Refused>,
}

/// Runs a recording with the prompts of one region, and writes the results to `out`.
fn scan_group(
    arguments: &Arguments,
    recording: &Recording,
    group: &Group,
    rate_hz: f32,
    out: &Path,
) -> Result<Seen> {
    let frames = &recording.frames;
    let prompts: Vec<Timed> = group.prompts.iter().map(|&(_, timed)| timed).collect();
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
    let mut scanned =
        scan(bytes, config, arguments.computing.scheduling(), frames, &prompts, rate_hz.into())?;
    scanned.warnings.note(model.locked());
    let names = arguments.pointing.names();
    let results = Results {
        model: model.name(),
        policy: "all",
        config: &config,
        head: bytes,
        frames,
        clicks: &pointing::clicks(&prompts),
        names: &names,
        scanned: &scanned,
        scores: &[],
        dice_mean: None,
        frame_ms: frame_ms(frames, rate_hz),
    };
    let report = results.write(out)?;
    let mut written = 0;
    for overlay in scanned.overlays.iter().take(arguments.pictures) {
        let Some(index) = frames.iter().position(|frame| frame.descriptor.seq == overlay.seq) else {
            continue;
        };
        let path = out.join(format!("{}.overlay.png", stem(&arguments.input, index, frames.len())));
        let picture = results.picture(&frames[index], overlay)?;
        picture.save(&path).with_context(|| format!("cannot write {}", path.display()))?;
        written += 1;
    }
    print!("{report}");
    println!("{}", scanned.notes());
    warn(&scanned.warnings);
    println!(
        "wrote {written} pictures, overlay.gif, overlays.jsonl, latency.svg, tracking.svg and report.json to {}",
        shown(out)
    );
    let size = results.display_size_px()?;
    let refused = scanned.refused_prompts().map(|(seq, answer)| {
        // Tickets count the prompts of this scan from 1.
        let given = (answer.ticket as usize).checked_sub(1).and_then(|index| group.prompts.get(index));
        let number = given.map_or(answer.ticket as usize, |&(number, _)| number);
        let outcome = PromptOutcome::from_wire(answer.outcome);
        let fault =
            given.zip(outcome).map(|((_, timed), outcome)| fault(&timed.prompt, outcome, size, recording));
        Refused::new(number, answer.object, seq, outcome, fault.as_deref())
    });
    let objects = scanned.overlays.iter().filter(|overlay| !overlay.objects().is_empty()).count();
    Ok(Seen { objects, refused: refused.collect() })
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
