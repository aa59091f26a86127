//! `sonotrace run`: recorded pictures through the real pipeline.

use super::results::Results;
use super::scan::{Recorded, scan};
use crate::embedded;
use anyhow::{Context, Result, bail};
use clap::Args;
use sonotrace::file::ModelFile;
use sonotrace::hal::command::{Prompt, PromptKind, Space};
use sonotrace::hal::frame::{Domain, FrameDescriptor, GeometryKind, LAW_LOGARITHMIC, SampleType, flags};
use sonotrace::hal::geometry::Point;
use sonotrace::session::{Policy, SessionConfig};
use sonotrace::vision::Display;
use std::path::{Path, PathBuf};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A PNG or JPEG picture, or a folder of them (a cine, in order of their names).
    input: PathBuf,
    /// A click, in pixels of the first picture; `,neg` behind it for a place that is not the object.
    #[arg(long, value_name = "X,Y[,neg]", value_parser = click, allow_hyphen_values = true)]
    click: Vec<(Point, bool)>,
    /// A box around an object, in pixels of the first picture.
    #[arg(long = "box", value_name = "X0,Y0,X1,Y1", value_parser = rectangle, allow_hyphen_values = true)]
    boxes: Vec<(Point, Point)>,
    /// Pixel pitch in millimetres, if it is known.
    #[arg(long, value_name = "MM")]
    spacing: Option<f32>,
    /// Pictures per second.
    #[arg(long, default_value_t = 25.0)]
    fps: f32,
    /// A model file; without it, the embedded model.
    #[arg(long, value_name = "FILE.sono")]
    model: Option<PathBuf>,
    /// Folder for the pictures, overlays.jsonl, latency.svg and report.json.
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

fn numbers<const N: usize>(text: &str) -> Option<[f32; N]> {
    let parsed: Option<Vec<f32>> = text
        .split(',')
        .map(|part| part.trim().parse().ok().filter(|value: &f32| value.is_finite()))
        .collect();
    parsed?.try_into().ok()
}

fn click(text: &str) -> Result<(Point, bool)> {
    let (place, is_positive) = text.strip_suffix(",neg").map_or((text, true), |place| (place, false));
    let [x, y] = numbers(place).context("expected X,Y or X,Y,neg in pixels, such as 120,96")?;
    Ok((Point { x, y }, is_positive))
}

fn rectangle(text: &str) -> Result<(Point, Point)> {
    let [x0, y0, x1, y1] = numbers(text).context("expected X0,Y0,X1,Y1 in pixels, such as 80,60,160,140")?;
    Ok((Point { x: x0, y: y0 }, Point { x: x1, y: y1 }))
}

/// Runs pictures through a session and writes what came of it.
///
/// # Errors
/// A picture that cannot be read, with its path; a model that is refused; or no prompt.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.click.is_empty() && arguments.boxes.is_empty() {
        bail!("nothing to follow: give --click X,Y or --box X0,Y0,X1,Y1");
    }
    if !(arguments.fps > 0.0 && arguments.fps <= 1000.0) {
        bail!("--fps is {}, not within 0..=1000", arguments.fps);
    }
    let paths = pictures(&arguments.input)?;
    let mut frames = Vec::new();
    for (seq, path) in (1u64..).zip(&paths) {
        frames.push(read(path, seq, arguments)?);
    }
    let file = arguments
        .model
        .as_ref()
        .map(|path| ModelFile::open(path).with_context(|| format!("cannot open model {}", path.display())));
    let file = file.transpose()?;
    let bytes = match &file {
        Some(file) => file.bytes(),
        None => embedded::model(),
    };
    let config = SessionConfig { policy: Policy::All, display: Display::Source, ..SessionConfig::default() };
    let prompts = prompts(arguments);
    let scanned = scan(bytes, config, &frames, &prompts, arguments.fps.into())?;
    let name = arguments.model.as_ref().and_then(|path| path.file_stem()).and_then(|stem| stem.to_str());
    let results = Results {
        model: name.unwrap_or(embedded::NAME),
        policy: "all",
        config: &config,
        head: bytes,
        frames: &frames,
        clicks: &[],
        names: &[],
        scanned: &scanned,
        scores: &[],
        dice_mean: None,
        frame_ms: 1000.0 / f64::from(arguments.fps),
    };
    let report = results.write(&arguments.out)?;
    for overlay in &scanned.overlays {
        let Some(index) = frames.iter().position(|frame| frame.descriptor.seq == overlay.seq) else {
            continue;
        };
        let stem = paths[index].file_stem().unwrap_or_default().to_string_lossy();
        let path = arguments.out.join(format!("{stem}.overlay.png"));
        let picture = results.picture(&frames[index], overlay)?;
        picture.save(&path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    print!("{report}");
    println!("{}", scanned.notes());
    println!("wrote {} pictures to {}", scanned.overlays.len(), arguments.out.display());
    Ok(())
}

/// The prompts on the first frame: each box an object of its own; the first click begins one more, and the clicks
/// behind it correct it.
fn prompts(arguments: &Arguments) -> Vec<Prompt> {
    let boxes = arguments.boxes.iter().map(|&(from, to)| PromptKind::Box { from, to });
    let mut prompts = Vec::new();
    for (object, kind) in (1u32..).zip(boxes) {
        prompts.push(Prompt { object, seq: 1, space: Space::Display, kind });
    }
    let object = prompts.len() as u32 + 1;
    for &(at, is_positive) in &arguments.click {
        prompts.push(Prompt {
            object,
            seq: 1,
            space: Space::Display,
            kind: PromptKind::Click { at, is_positive },
        });
    }
    prompts
}

/// The pictures of a file or folder, in order.
fn pictures(input: &Path) -> Result<Vec<PathBuf>> {
    let describe = || format!("cannot read {}", input.display());
    if !std::fs::metadata(input).with_context(describe)?.is_dir() {
        return Ok(vec![input.to_owned()]);
    }
    let is_picture = |path: &Path| {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(input).with_context(describe)? {
        let path = entry.with_context(describe)?.path();
        if is_picture(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        bail!("{} holds no .png, .jpg or .jpeg", input.display());
    }
    Ok(paths)
}

/// A picture as a scan-converted frame.
fn read(path: &Path, seq: u64, arguments: &Arguments) -> Result<Recorded> {
    let picture = image::open(path)
        .with_context(|| format!("cannot read the picture {}", path.display()))?
        .into_luma8();
    let (width, height) = picture.dimensions();
    let payload = picture.into_raw();
    let known = arguments.spacing.is_some();
    let spacing_mm = arguments.spacing.unwrap_or(0.0);
    let descriptor = FrameDescriptor {
        payload_bytes: u32::try_from(payload.len()).context("a picture of more than 4 GiB")?,
        flags: flags::REPLAYED,
        seq,
        t_acq_ns: ((seq - 1) as f64 * 1e9 / f64::from(arguments.fps)) as u64,
        geometry_epoch: 1,
        domain: Domain::ScanConverted as u32,
        sample_type: SampleType::U8 as u32,
        lines: height,
        samples: width,
        stride_bytes: width,
        geometry: if known { GeometryKind::Raster } else { GeometryKind::RasterUnknown } as u32,
        spacing_x_mm: spacing_mm,
        spacing_y_mm: spacing_mm,
        // A picture's grey levels are the display's own, whatever range they once spanned.
        amplitude_law: LAW_LOGARITHMIC,
        law_range_db: 60.0,
        frame_rate_hz: arguments.fps,
        ..FrameDescriptor::blank()
    };
    descriptor.check().with_context(|| format!("cannot use the picture {}", path.display()))?;
    Ok(Recorded { descriptor, payload })
}
