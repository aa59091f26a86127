//! `sonotrace eval cine`: interventions on loops (table 2 of the SonoSAMTrack paper), and what uncorrected loops say.
//!
//! * `folder`: loops as pictures.
//! * `play`: the simulated user; `tracker`: the deployed model that the user works with.
//! * `figures`: the tables' figures; `plots`.

mod figures;
mod folder;
mod play;
mod plots;
mod tracker;

use super::network::Network;
use super::workers::on_all_cores;
use crate::chosen::Chosen;
use anyhow::{Context, Result};
use clap::Args;
use figures::{KindFigures, ObjectFigures, by_kind, dice_mean};
use folder::{Contents, Found, LoopFolder};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use play::{Played, play};
use plots::{Bars, LoopLines, bars_svg, loops_svg};
use serde::Serialize;
use sonotrace::exec::{ExecutorConfig, memory_required};
use sonotrace::format::Model;
use sonotrace::region::Region;
use sonotrace::tracking::PLACES;
use sonotrace::tracking::follower::Checks;
use sonotrace::tracking::programs::{TrackerError, TrackerPrograms};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tracker::{Memory, Rules, Tracker};

/// Arguments of `eval cine`.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub struct Arguments {
    /// A folder with a folder for each loop: LOOP/images/NN.png (or .jpg) and LOOP/masks/NN.png, with an id per object. Hard loops are
    /// in a folder for each kind: KIND/LOOP/images/NN.png.
    data: PathBuf,
    /// Nobody corrects after the first frame. JSON also has each frame.
    #[arg(long)]
    uncorrected: bool,
    /// Objects that the segmenter checks on each frame, in turn. A session checks one by default.
    #[arg(long, value_name = "N", default_value_t = PLACES as u64, value_parser = clap::value_parser!(u64).range(0..=PLACES as u64))]
    checks: u64,
    /// A lost object is drawn by the segmenter alone, as with the setting `correct_lost` of a session.
    #[arg(long)]
    correct_lost: bool,
    /// A model file; without it, the embedded model.
    #[arg(long, value_name = "FILE.sono")]
    model: Option<PathBuf>,
    /// Also write the results to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write plots to this folder: cine.svg, hard.svg, and loops.svg with the loops of the lowest Dice.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// More help.
const AFTER: &str = "\
Frames are taken in the order of their numbers. The objects of the first frame's mask with at least 40 pixels on the network's input
grid are followed, at most ten; ids that are smaller or appear later are not, and are listed. Where a frame's mask has fewer pixels of
an object, the object is absent: it has no Dice, and needs no intervention.

On the first frame the user clicks on each object until Dice is 0.95, at most five times. Where Dice falls below 0.90 on a later frame,
the user makes up to three corrective clicks: an intervention. Dice is taken before it.

Hard loops, and all loops with --uncorrected, are followed without corrections. Their table has, by kind: the number of objects, mean
Dice, the share of masks below 0.5, Dice of the last frame, the share of objects found again (0.85 or more there), and the area under
the curve of confidence for masks below 0.90 and 0.70, where there are 30 of them. Flagged: the state is attention or absent. Confidence
and flags are judged where the mask has at least half of the object's pixels on the first frame; absent objects from their third absent
frame on.";

/// Name of the loops without a kind, in the table of uncorrected ones.
const ORDINARY: &str = "ordinary";

#[derive(Debug, Serialize)]
struct Report<'a> {
    /// Number of loops that `objects` are means over.
    loops: usize,
    objects: BTreeMap<u8, ObjectFigures>,
    by_loop: Vec<LoopLine<'a>>,
    /// Uncorrected loops.
    #[serde(skip_serializing_if = "Option::is_none")]
    hard: Option<Hard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<Vec<FrameLine<'a>>>,
    /// Ids that were not followed, by loop.
    left_out: BTreeMap<&'a str, Vec<u8>>,
    checks: u64,
    correct_lost: bool,
    model: &'a str,
}

#[derive(Debug, Serialize)]
struct Hard {
    loops: usize,
    kinds: BTreeMap<String, KindFigures>,
    all: KindFigures,
}

/// An object of a loop.
#[derive(Debug, Serialize)]
struct LoopLine<'a> {
    #[serde(rename = "loop")]
    of: &'a str,
    object: u8,
    first_clicks: usize,
    /// Numbers of the frames with interventions.
    interventions: Vec<u64>,
    clicks: usize,
    dice_mean: Option<f64>,
}

/// An object on a frame after the first one, nobody having corrected it.
#[derive(Debug, Serialize)]
struct FrameLine<'a> {
    #[serde(rename = "loop")]
    of: &'a str,
    object: u8,
    /// The number in the file's name.
    frame: u64,
    dice: Option<f64>,
    confidence: f32,
    state: &'static str,
}

/// A loop that was played.
struct PlayedLoop {
    is_corrected: bool,
    objects: Vec<(u8, Played)>,
}

/// Evaluates a model and prints the tables.
///
/// # Errors
/// Data or a model that cannot be used.
pub fn run(arguments: &Arguments) -> Result<()> {
    let chosen = Chosen::open(arguments.model.as_deref())?;
    let model = Model::parse(chosen.bytes())?;
    // A model without a tracker is refused before all frames are read.
    TrackerPrograms::find(&model)?;
    let found = Found::in_folder(&arguments.data)?;
    let contents = check(&found.loops, model.conventions().input_size)?;
    let played = play_all(chosen.bytes(), &found.loops, &contents, arguments)?;
    let report = report(&found.loops, &contents, &played, arguments, chosen.name());
    print!("{}", text(&report, found.passed_over));
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(folder) = &arguments.out {
        write_plots(&report, &found.loops, &played, folder)?;
    }
    Ok(())
}

fn bar(count: usize, of: &str) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template(&format!("{{bar:40}} {{pos}}/{{len}} {of}, {{eta}} left"))?;
    Ok(ProgressBar::new(count as u64).with_style(style))
}

/// Reads all loops, to find what is wrong before anything is evaluated.
fn check(loops: &[LoopFolder], input_size: u32) -> Result<Vec<Contents>> {
    let bar = bar(loops.len(), "loops read")?;
    let checked = on_all_cores(loops.len(), |pieces| {
        Ok(pieces.each(|at| {
            let contents = loops[at].check(input_size)?;
            bar.inc(1);
            Ok(contents)
        }))
    });
    bar.finish_and_clear();
    checked
}

/// Plays all loops, on all cores.
fn play_all(
    bytes: &[u8],
    loops: &[LoopFolder],
    contents: &[Contents],
    arguments: &Arguments,
) -> Result<Vec<PlayedLoop>> {
    let bars = MultiProgress::new();
    let whole = bars.add(bar(loops.len(), "loops")?);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} frames of {msg}")?;
    let played = on_all_cores(loops.len(), |pieces| {
        let model = Model::parse(bytes)?;
        let rules = Rules {
            programs: TrackerPrograms::find(&model)?,
            tracking: *model.tracking().ok_or(TrackerError::Tracking)?,
            checks: Checks { a_frame: arguments.checks as usize, correct_lost: arguments.correct_lost },
        };
        let mut region = Region::new(memory_required(bytes, &ExecutorConfig::default())?.bytes)?;
        let mut network = Network::new(model, region.as_mut_slice())?;
        Ok(pieces.each(|at| {
            let (of, ids) = (&loops[at], &contents[at].followed);
            let frames = ProgressBar::new(of.frames.len() as u64).with_style(style.clone());
            let frames = bars.add(frames.with_message(of.name.clone()));
            // Fresh memory: results do not depend on the loops before.
            let mut memory = Memory::new(&rules.programs);
            let mut tracker = Tracker::new(&mut network, &rules, &mut memory, of, ids);
            let is_corrected = of.kind.is_none() && !arguments.uncorrected;
            let played =
                play(&mut tracker, is_corrected, || frames.inc(1)).with_context(|| of.name.clone())?;
            frames.finish_and_clear();
            whole.inc(1);
            Ok(PlayedLoop { is_corrected, objects: ids.iter().copied().zip(played).collect() })
        }))
    });
    whole.finish_and_clear();
    played
}

fn report<'a>(
    loops: &'a [LoopFolder],
    contents: &[Contents],
    played: &[PlayedLoop],
    arguments: &Arguments,
    model: &'a str,
) -> Report<'a> {
    // Table 2 is of ordinary loops; without corrections there is nothing that tells them from the others.
    let is_in_table = |of: &&PlayedLoop| of.is_corrected || arguments.uncorrected;
    let mut by_id: BTreeMap<u8, Vec<&Played>> = BTreeMap::new();
    for (id, of) in played.iter().filter(is_in_table).flat_map(|of| &of.objects) {
        by_id.entry(*id).or_default().push(of);
    }
    let uncorrected: Vec<(&LoopFolder, &PlayedLoop)> =
        loops.iter().zip(played).filter(|(_, of)| !of.is_corrected).collect();
    let of_kinds: Vec<(&str, &Played)> = uncorrected
        .iter()
        .flat_map(|(of, played)| {
            let kind = of.kind.as_deref().unwrap_or(ORDINARY);
            played.objects.iter().map(move |(_, played)| (kind, played))
        })
        .collect();
    let hard = (!uncorrected.is_empty()).then(|| Hard {
        loops: uncorrected.len(),
        kinds: by_kind(&of_kinds),
        all: KindFigures::of(&of_kinds.iter().map(|(_, of)| *of).collect::<Vec<_>>()),
    });
    let left_out = loops.iter().zip(contents).filter(|(_, contents)| !contents.left_out.is_empty());
    Report {
        loops: played.iter().filter(is_in_table).count(),
        objects: by_id.into_iter().map(|(id, of)| (id, ObjectFigures::of(&of))).collect(),
        by_loop: loop_lines(loops, played),
        hard,
        frames: arguments.uncorrected.then(|| frame_lines(&uncorrected)),
        left_out: left_out
            .map(|(of, contents)| (of.name.as_str(), contents.left_out.iter().copied().collect()))
            .collect(),
        checks: arguments.checks,
        correct_lost: arguments.correct_lost,
        model,
    }
}

fn loop_lines<'a>(loops: &'a [LoopFolder], played: &[PlayedLoop]) -> Vec<LoopLine<'a>> {
    let mut lines = Vec::new();
    for (of, played) in loops.iter().zip(played) {
        for (object, played) in &played.objects {
            let frames = || of.frames.iter().skip(1).zip(&played.frames);
            let interventions = frames().filter(|(_, frame)| frame.intervention.is_some());
            lines.push(LoopLine {
                of: &of.name,
                object: *object,
                first_clicks: played.first_clicks,
                interventions: interventions.map(|(files, _)| files.number).collect(),
                clicks: frames().filter_map(|(_, frame)| frame.intervention).map(|made| made.clicks).sum(),
                dice_mean: dice_mean(played),
            });
        }
    }
    lines
}

fn frame_lines<'a>(uncorrected: &[(&'a LoopFolder, &PlayedLoop)]) -> Vec<FrameLine<'a>> {
    let mut lines = Vec::new();
    for (of, played) in uncorrected {
        for (object, played) in &played.objects {
            for (files, frame) in of.frames.iter().skip(1).zip(&played.frames) {
                lines.push(FrameLine {
                    of: &of.name,
                    object: *object,
                    frame: files.number,
                    dice: frame.dice,
                    confidence: frame.told.confidence,
                    state: frame.told.state.name(),
                });
            }
        }
    }
    lines
}

fn text(report: &Report<'_>, passed_over: usize) -> String {
    let mut text = String::new();
    if !report.objects.is_empty() {
        text += &interventions_text(report);
    }
    if let Some(hard) = &report.hard {
        text += &hard_text(hard);
    }
    for (of, ids) in &report.left_out {
        let ids: Vec<String> = ids.iter().map(u8::to_string).collect();
        let ids = ids.join(", ");
        text += &format!("{of}: not followed, because not large enough on the first frame: {ids}\n");
    }
    if passed_over > 0 {
        text += &format!("{passed_over} files were passed over: they are neither pictures nor masks\n");
    }
    text
}

fn interventions_text(report: &Report<'_>) -> String {
    let columns = ["loops", "interventions", "drop before", "clicks", "clicks each", "first clicks", "Dice"];
    let head: String = columns.iter().map(|name| format!(" {name:>13}")).collect();
    let mut text = format!("{:<10}{head}\n", "object");
    for (id, of) in &report.objects {
        let drop = format!("{:.1} %", of.drop_before * 100.0);
        text += &format!(
            "{id:<10} {:>13} {:>13.2} {drop:>13} {:>13.2} {:>13.2} {:>13.2} {:>13}\n",
            of.loops,
            of.interventions_per_loop,
            of.clicks_per_loop,
            of.clicks_per_intervention,
            of.first_clicks_per_loop,
            shown(of.dice_mean),
        );
    }
    text + &format!(
        "interventions and clicks a loop, over {} loops; drop of Dice before an intervention; mean Dice before interventions\n",
        report.loops
    )
}

fn hard_text(hard: &Hard) -> String {
    let columns = ["objects", "Dice", "below 0.5", "last", "found", "AUROC 0.90", "0.70"];
    let head: String = columns.iter().map(|name| format!(" {name:>10}")).collect();
    let mut text = format!("{:<16}{head}\n", "uncorrected");
    let all = ("all".to_owned(), &hard.all);
    let rows = || hard.kinds.iter().map(|(kind, of)| (kind.clone(), of)).chain([all.clone()]);
    for (kind, of) in rows() {
        let cells = [of.dice_mean, of.below_half, of.dice_last, of.found_again, of.auroc_below_090];
        let cells: String = cells
            .into_iter()
            .chain([of.auroc_below_070])
            .map(|value| format!(" {:>10}", shown(value)))
            .collect();
        text += &format!("{kind:<16} {:>10}{cells}\n", of.objects);
    }
    let columns = ["wrong", "right", "absent", "told absent", "mistaken"];
    let head: String = columns.iter().map(|name| format!(" {name:>11}")).collect();
    text += &format!("{:<16}{head}\n", "share flagged");
    for (kind, of) in rows() {
        let flags = &of.flags;
        let cells = [
            flags.flagged_wrong,
            flags.flagged_right,
            flags.flagged_absent,
            flags.told_absent,
            flags.mistaken_absent,
        ];
        let cells: String = cells.into_iter().map(|value| format!(" {:>11}", shown(value))).collect();
        text += &format!("{kind:<16}{cells}\n");
    }
    text + "wrong: Dice below 0.70; right: 0.90 or more; absent: from the third absent frame on; told absent, mistaken: with the \
        state absent, of absent objects and of others\n"
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

fn write_plots(
    report: &Report<'_>,
    loops: &[LoopFolder],
    played: &[PlayedLoop],
    folder: &Path,
) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let ids: Vec<String> = report.objects.keys().map(|id| format!("object {id}")).collect();
    if !ids.is_empty() {
        let of = |value: &dyn Fn(&ObjectFigures) -> Option<f64>| {
            ids.iter().map(String::as_str).zip(report.objects.values().map(value)).collect()
        };
        let groups = [
            Bars {
                title: "interventions a loop",
                top: None,
                values: of(&|of| Some(of.interventions_per_loop)),
            },
            Bars { title: "clicks a loop", top: None, values: of(&|of| Some(of.clicks_per_loop)) },
            Bars { title: "mean Dice", top: Some(1.0), values: of(&|of| of.dice_mean) },
        ];
        write("cine.svg", bars_svg(&groups)?)?;
    }
    if let Some(hard) = &report.hard {
        let of = |value: &dyn Fn(&KindFigures) -> Option<f64>| {
            hard.kinds.iter().map(|(kind, of)| (kind.as_str(), value(of))).collect()
        };
        let groups = [
            Bars { title: "mean Dice, uncorrected", top: Some(1.0), values: of(&|of| of.dice_mean) },
            Bars { title: "Dice of the last frame", top: Some(1.0), values: of(&|of| of.dice_last) },
            Bars { title: "share of objects found again", top: Some(1.0), values: of(&|of| of.found_again) },
        ];
        write("hard.svg", bars_svg(&groups)?)?;
    }
    let lines = loops.iter().zip(played).map(|(of, played)| LoopLines {
        name: &of.name,
        objects: played.objects.iter().map(|(id, played)| (*id, played)).collect(),
    });
    write("loops.svg", loops_svg(lines.collect())?)
}
