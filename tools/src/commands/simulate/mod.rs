//! `sonotrace simulate`: whole scans with faults on an injected clock, checked at every step, and repeatable from their seeds.
//!
//! * `world`: the scan: scanner, session, display and user; `clock`: its clock and cost model.
//! * `scanner`: frames; `faults`: what goes wrong; `checks`: what must hold all the time.

mod checks;
mod clock;
mod faults;
mod scanner;
mod world;

use super::scan::progress;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use clock::CostClock;
use faults::Fault;
use serde::Serialize;
use sonotrace::format::AlignedBytes;
use sonotrace::hal::overlay::RUNG_NAMES;
use sonotrace::session::{Counters, DropReason};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub use world::Canary;
use world::{FRAMES_MIN, Memory, Summary, World};

/// A small network of the same make as the packaged one. Its masks are discs; a frame takes a fraction of a millisecond.
const SMALL: &[u8] = include_bytes!("../../../../runtime/tests/data/disc.sono");

/// Arguments of `simulate`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Seed of the first scan: everything in it follows from its seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Frames of each scan, at least 300: the last 150 are without faults, and on the last 60 all must be well.
    #[arg(long, default_value_t = 1000)]
    frames: u64,
    /// Scans, with successive seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// A model file; without it, a small network of the same make as the packaged one.
    #[arg(long, value_name = "FILE.sono")]
    model: Option<PathBuf>,
    /// Adds a fault in the overlays that the checks must catch.
    #[arg(long, value_enum, value_name = "FAULT")]
    canary: Option<Canary>,
    /// Also write the summary to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Sums over all scans.
#[derive(Debug, Default, Serialize)]
struct Totals {
    seeds: u64,
    frames: u64,
    overlays: u64,
    rungs: BTreeMap<&'static str, u64>,
    updates: u64,
    drops: BTreeMap<&'static str, u64>,
    abandoned: u64,
    deadline_misses: u64,
    prompts_served: u64,
    prompts_not_served: u64,
    faults: BTreeMap<&'static str, u64>,
    compared: u64,
    digest: String,
}

/// Runs the scans.
///
/// # Errors
/// The first thing that does not hold, with the command that shows it again; a model that is refused.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { seed, frames, seeds, .. } = *arguments;
    ensure!(frames >= FRAMES_MIN, "--frames is {frames}: give at least {FRAMES_MIN}");
    ensure!(seeds >= 1, "--seeds is 0: give at least 1");
    let file = match &arguments.model {
        Some(path) => AlignedBytes::new(
            &std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
        ),
        None => AlignedBytes::new(SMALL),
    };
    let bar = progress(seeds.saturating_mul(frames), "simulating");
    let summaries =
        scans(file.bytes(), seed..seed.saturating_add(seeds), frames, arguments.canary, &|| bar.inc(1));
    bar.finish_and_clear();
    let totals = Totals::of(&summaries?);
    print!("{totals}");
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&totals)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Runs the scans of some seeds, several at a time. Returns what happened, in the order of the seeds.
fn scans(
    file: &[u8],
    seeds: std::ops::Range<u64>,
    frames: u64,
    canary: Option<Canary>,
    each_frame: &(dyn Fn() + Sync),
) -> Result<Vec<Summary>> {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let done = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let result = scan(file, seed, frames, canary, each_frame);
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    if let Ok(mut done) = done.lock() {
                        done.insert(seed, result);
                    }
                }
            });
        }
    });
    let Ok(done) = done.into_inner() else { bail!("a scan ended in a panic") };
    done.into_iter()
        .map(|(seed, result)| {
            result.with_context(|| {
                let canary = canary.and_then(|canary| canary.to_possible_value());
                let option = canary.map_or(String::new(), |value| format!(" --canary {}", value.get_name()));
                format!(
                    "the scan of seed {seed} failed: see it again with `sonotrace simulate --seed {seed} --frames {frames}{option}`"
                )
            })
        })
        .collect()
}

fn scan(
    file: &[u8],
    seed: u64,
    frames: u64,
    canary: Option<Canary>,
    each_frame: &dyn Fn(),
) -> Result<Summary> {
    let (config, piece_ns, _) = world::settings(seed);
    let clock = CostClock::new(piece_ns);
    let mut memory = Memory::new(file, &config)?;
    World::new(file, seed, &mut memory, &clock, canary)?.run(file, frames, each_frame)
}

impl Totals {
    fn of(summaries: &[Summary]) -> Self {
        let mut totals = Self { seeds: summaries.len() as u64, ..Self::default() };
        let mut digest = blake3::Hasher::new();
        for Summary { committed, counters, faults, compared, digest: one } in summaries {
            let Counters { overlays, updates, abandoned, deadline_misses, prompts_served, .. } = *counters;
            totals.frames += committed;
            totals.overlays += overlays;
            totals.updates += updates;
            totals.abandoned += abandoned;
            totals.deadline_misses += deadline_misses;
            totals.prompts_served += prompts_served;
            totals.prompts_not_served +=
                counters.prompts_too_old + counters.prompts_refused + counters.prompts_unanswered;
            totals.compared += compared;
            for (name, count) in RUNG_NAMES.iter().zip(counters.rungs) {
                *totals.rungs.entry(name).or_default() += count;
            }
            for reason in DropReason::ALL {
                *totals.drops.entry(reason.name()).or_default() += counters.dropped(reason);
            }
            for (fault, count) in Fault::ALL.iter().zip(faults) {
                *totals.faults.entry(fault.name()).or_default() += count;
            }
            digest.update(one.as_bytes());
        }
        totals.digest = digest.finalize().to_hex()[..16].to_owned();
        totals
    }
}

impl Display for Totals {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<&'static str, u64>| {
            let items = counts.iter().filter(|(_, count)| **count > 0);
            items.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        let faults = list(&self.faults);
        let rows = [
            ("scans", format!("{}, {} frames", self.seeds, self.frames)),
            (
                "overlays",
                format!("{} ({}), and {} further ones", self.overlays, list(&self.rungs), self.updates),
            ),
            ("drops", list(&self.drops)),
            ("given up", format!("{} frames in work", self.abandoned)),
            ("deadline misses", format!("{}, none of them without a fault", self.deadline_misses)),
            ("prompts", format!("{} served, {} not", self.prompts_served, self.prompts_not_served)),
            (
                "compared",
                format!("{} frames, computed again without faults: the same contours", self.compared),
            ),
            ("faults", faults),
            ("digest", format!("{}: the same seeds give the same overlays, to the bit", self.digest)),
        ];
        for (name, value) in rows {
            writeln!(out, "{name:<16} {value}")?;
        }
        writeln!(out, "every invariant held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> AlignedBytes {
        AlignedBytes::new(SMALL)
    }

    #[test]
    fn invariants_hold_and_a_seed_gives_the_same_scan_again() {
        let file = file();
        let run =
            || Totals::of(&scans(file.bytes(), 1..17, 500, None, &|| {}).expect("every invariant holds"));
        let (one, two) = (run(), run());
        assert_eq!(one.digest, two.digest);
        assert!(one.faults.values().all(|&count| count > 0), "{:?}", one.faults);
        assert!(one.rungs.values().all(|&count| count > 0), "{:?}", one.rungs);
        assert!(one.abandoned > 0 && one.compared > 100 && one.prompts_served > 100, "{one}");
    }

    #[test]
    fn canaries_are_caught() {
        let file = file();
        for &canary in Canary::value_variants() {
            let caught = (1..9).any(|seed| scan(file.bytes(), seed, 600, Some(canary), &|| {}).is_err());
            assert!(caught, "{canary:?}");
        }
    }

    #[test]
    fn a_failure_names_the_seed() {
        let file = file();
        let error = scans(file.bytes(), 3..5, 600, Some(Canary::WrongFrame), &|| {}).expect_err("a canary");
        let text = format!("{error:#}");
        assert!(text.contains("sonotrace simulate --seed 3 --frames 600 --canary wrong-frame`"), "{text}");
    }
}
