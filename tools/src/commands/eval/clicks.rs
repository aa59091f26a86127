//! `sonotrace eval clicks`: Dice by number of clicks, and with a box.

use super::data::{Data, Loaded, OBJECT_PX_MIN, text_without_mask};
use super::manifest::{self, Row, choose};
use super::network::Network;
use super::protocol::{Mask, first_click, next_click};
use super::workers::on_all_cores;
use crate::chosen::Chosen;
use anyhow::{Context, Result, anyhow};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sonotrace::exec::{ExecutorConfig, memory_required};
use sonotrace::format::Model;
use sonotrace::region::Region;
use sonotrace::session::{DecoderPrompt, GridClick};
use sonotrace::vision::InputGrid;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Arguments of `eval clicks`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A folder with MANIFEST.csv and, per set, images/ and masks/.
    data: PathBuf,
    /// Only this split of the manifest: train, val or test.
    #[arg(long)]
    split: Option<String>,
    /// Only these sets.
    #[arg(long = "set", value_name = "NAME")]
    sets: Vec<String>,
    /// At most this many images of each set, evenly spread.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// A model file; without it, the embedded model.
    #[arg(long, value_name = "FILE.sono")]
    model: Option<PathBuf>,
    /// Also write the results to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Clicks per object.
const CLICKS: usize = 10;
/// Clicks after which Dice is reported.
const REPORTED: [usize; 5] = [1, 2, 3, 5, 10];
/// A click that loses more Dice than this is unexpected: a user expects a click to help.
const UNEXPECTED_LOSS: f64 = 0.02;

/// Dice of one object.
#[derive(Debug, Clone)]
struct Outcome {
    set: String,
    id: u8,
    dice_box: f64,
    /// After 1, 2, ... clicks.
    dice: [f64; CLICKS],
}

/// Means over objects.
#[derive(Debug, Serialize)]
struct Means {
    objects: usize,
    dice_box: f64,
    dice_by_clicks: BTreeMap<usize, f64>,
    /// Share of the clicks after the first that lose more than 0.02 Dice.
    unexpected: f64,
    /// Share of the objects with such a click.
    affected: f64,
}

#[derive(Debug, Serialize)]
struct Set {
    #[serde(flatten)]
    means: Means,
    by_id: BTreeMap<u8, Means>,
}

#[derive(Debug, Serialize)]
struct Report {
    sets: BTreeMap<String, Set>,
    /// Means over the sets, with equal weight.
    mean: Means,
    /// Objects that were too small.
    left_out: usize,
    /// Number of images without a mask, by set.
    without_mask: BTreeMap<String, usize>,
    /// The split; none if all were evaluated.
    split: Option<String>,
    model: String,
}

/// Evaluates a model and prints a table.
///
/// # Errors
/// Data or a model that cannot be used.
pub fn run(arguments: &Arguments) -> Result<()> {
    let model = Chosen::open(arguments.model.as_deref())?;
    let input_size = Model::parse(model.bytes())?.conventions().input_size;
    let split = arguments.split.as_deref();
    // A wrong name is refused before all images are read.
    choose(&manifest::read(&arguments.data)?, split, &arguments.sets)?;
    let data = Data::read(&arguments.data, input_size)?;
    let mut rows = choose(&data.rows, split, &arguments.sets)?;
    let without_mask = data.without_mask(|row| {
        split.is_none_or(|split| row.split == split)
            && (arguments.sets.is_empty() || arguments.sets.contains(&row.set))
    });
    if let Some(limit) = arguments.limit {
        rows = spread(rows, limit);
    }
    let (outcomes, left_out) = evaluate(model.bytes(), &arguments.data, &rows)?;
    let mut report = report(&outcomes, left_out, model.name())?;
    report.split.clone_from(&arguments.split);
    report.without_mask = without_mask.iter().map(|(&set, &(count, _))| (set.to_owned(), count)).collect();
    print!("{}{}", table(&report), text_without_mask(&without_mask));
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// At most `limit` rows of each set, evenly spread.
fn spread(rows: Vec<Row>, limit: usize) -> Vec<Row> {
    let mut by_set: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows {
        by_set.entry(row.set.clone()).or_default().push(row);
    }
    let chosen = by_set.into_values().flat_map(|rows| {
        let count = limit.min(rows.len());
        (0..count).map(move |at| rows[at * rows.len() / count].clone())
    });
    chosen.collect()
}

/// Runs the protocol on every object of the rows' images, on all cores. Returns the outcomes, sorted by set and name,
/// and the number of objects that were too small.
fn evaluate(bytes: &[u8], folder: &Path, rows: &[Row]) -> Result<(Vec<Outcome>, usize)> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} images, {eta} left")?;
    let bar = ProgressBar::new(rows.len() as u64).with_style(style);
    let found = on_all_cores(rows.len(), |pieces| {
        let model = Model::parse(bytes)?;
        let mut region = Region::new(memory_required(bytes, &ExecutorConfig::default())?.bytes)?;
        let mut network = Network::new(model, region.as_mut_slice())?;
        Ok(pieces.each(|row| {
            let row = &rows[row];
            let of_row =
                image(&mut network, folder, row).with_context(|| format!("{} {}", row.set, row.name))?;
            bar.inc(1);
            Ok((row, of_row))
        }))
    });
    bar.finish_and_clear();
    let mut found = found?;
    found.sort_by(|(a, _), (b, _)| (&a.set, &a.name).cmp(&(&b.set, &b.name)));
    let left_out = found.iter().map(|(_, (_, left_out))| left_out).sum();
    Ok((found.into_iter().flat_map(|(_, (outcomes, _))| outcomes).collect(), left_out))
}

/// Outcomes of every large enough object of an image, and the number of smaller ones.
fn image(network: &mut Network<'_>, folder: &Path, row: &Row) -> Result<(Vec<Outcome>, usize)> {
    let loaded = Loaded::read(folder, row)?;
    let (large, small) = loaded.objects(network.input_size())?;
    if large.is_empty() {
        return Ok((Vec::new(), small));
    }
    let grid = network.encode(&loaded.recorded, 0)?;
    let mut outcomes = Vec::new();
    for (id, truth) in &large {
        let (dice_box, dice) = object(network, truth, &grid)?;
        outcomes.push(Outcome { set: row.set.clone(), id: *id, dice_box, dice });
    }
    Ok((outcomes, small))
}

/// The protocol on one object: Dice with its box, and after each click.
fn object(network: &mut Network<'_>, truth: &Mask, grid: &InputGrid) -> Result<(f64, [f64; CLICKS])> {
    let mut decode = |prompt: &DecoderPrompt, before: Option<&[f32]>| {
        let logits = network.decode(prompt, before, 0);
        let mask = network.mask(&logits, grid);
        (logits, mask)
    };
    let bounds = truth.bounds().context("an object without pixels")?;
    let boxed = DecoderPrompt::of_box(bounds.map(|at| at as f32));
    let dice_box = decode(&boxed, None).1.dice(truth);
    let mut prompt = DecoderPrompt::default();
    let mut click: Option<GridClick> = first_click(truth);
    let mut logits: Option<Vec<f32>> = None;
    let mut dice = [0.0; CLICKS];
    for after in &mut dice {
        if let Some(click) = click {
            prompt.add(click);
        }
        let (chosen, mask) = decode(&prompt, logits.as_deref());
        *after = mask.dice(truth);
        click = next_click(truth, &mask);
        logits = Some(chosen);
    }
    Ok((dice_box, dice))
}

fn report(outcomes: &[Outcome], left_out: usize, model: &str) -> Result<Report> {
    let mut by_set: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        by_set.entry(&outcome.set).or_default().push(outcome);
    }
    let sets: BTreeMap<String, Set> = by_set
        .into_iter()
        .map(|(name, of_set)| {
            let mut by_id: BTreeMap<u8, Vec<&Outcome>> = BTreeMap::new();
            for outcome in &of_set {
                by_id.entry(outcome.id).or_default().push(outcome);
            }
            let by_id = by_id.into_iter().map(|(id, of_id)| (id, means(&of_id))).collect();
            (name.to_owned(), Set { means: means(&of_set), by_id })
        })
        .collect();
    if sets.is_empty() {
        return Err(anyhow!("no image has an object of at least {OBJECT_PX_MIN} pixels on the input grid"));
    }
    let over_sets =
        |of: &dyn Fn(&Means) -> f64| sets.values().map(|set| of(&set.means)).sum::<f64>() / sets.len() as f64;
    let of_all = means(&outcomes.iter().collect::<Vec<_>>());
    let mean = Means {
        objects: outcomes.len(),
        dice_box: over_sets(&|means| means.dice_box),
        dice_by_clicks: REPORTED
            .map(|clicks| (clicks, over_sets(&|means| means.dice_by_clicks[&clicks])))
            .into(),
        unexpected: of_all.unexpected,
        affected: of_all.affected,
    };
    Ok(Report { sets, mean, left_out, without_mask: BTreeMap::new(), split: None, model: model.to_owned() })
}

fn means(outcomes: &[&Outcome]) -> Means {
    let mean =
        |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(|o| of(o)).sum::<f64>() / outcomes.len() as f64;
    let losses = |o: &Outcome| o.dice.windows(2).filter(|pair| pair[1] < pair[0] - UNEXPECTED_LOSS).count();
    Means {
        objects: outcomes.len(),
        dice_box: mean(&|o| o.dice_box),
        dice_by_clicks: REPORTED.map(|clicks| (clicks, mean(&|o| o.dice[clicks - 1]))).into(),
        unexpected: mean(&|o| losses(o) as f64 / (CLICKS - 1) as f64),
        affected: mean(&|o| f64::from(u8::from(losses(o) > 0))),
    }
}

fn table(report: &Report) -> String {
    let line = |name: &str, means: &Means| {
        let by_clicks: String = means.dice_by_clicks.values().map(|dice| format!(" {dice:>7.3}")).collect();
        let Means { objects, dice_box, unexpected, affected, .. } = means;
        let (clicks, of_objects) = (unexpected * 100.0, affected * 100.0);
        format!("{name:<10} {objects:>7}{by_clicks} {dice_box:>7.3} {clicks:>9.1} % {of_objects:>7.1} %\n")
    };
    let head: String = REPORTED.iter().map(|clicks| format!(" {clicks:>7}")).collect();
    let (unexpected, affected) = ("unexpected", "affected");
    let mut text =
        format!("{:<10} {:>7}{head} {:>7} {unexpected:>11} {affected:>9}\n", "Dice", "objects", "box");
    for (name, set) in &report.sets {
        text += &line(name, &set.means);
    }
    text += &line("mean", &report.mean);
    text + &format!(
        "clicks; box: the true one; unexpected: clicks that lose more than {UNEXPECTED_LOSS}; affected: objects with such a click\n\
         {} objects under {OBJECT_PX_MIN} pixels were left out\n",
        report.left_out
    )
}
