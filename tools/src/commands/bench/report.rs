//! The report of `bench`: table, JSON, and comparison with an earlier one.

use super::frames::Frames;
use super::system::System;
use crate::output::stages::StageSummary;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sonotrace::hal::overlay::RUNG_NAMES;
use sonotrace::session::SessionConfig;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// A change of a median by less than this share is called none: runs differ that much.
const SAME: f64 = 0.03;

/// Results of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The command's version.
    pub version: String,
    /// Name of the model.
    pub model: String,
    /// The machine before the first run.
    pub system: System,
    /// Instruction set of the kernels.
    pub kernels: String,
    /// Threads that computed.
    pub threads: u32,
    /// Frames per second.
    pub fps: f64,
    /// Frames streamed.
    pub frames: u64,
    /// Frames whose overlay came after the next frame was due.
    pub deadline_misses: u64,
    /// Memory of the session.
    pub memory_bytes: usize,
    /// Memory of the process that was in use after each round: each minute of a soak.
    #[serde(default)]
    pub resident_bytes: Vec<u64>,
    /// Allocations of the session's thread while it computed.
    #[serde(default)]
    pub allocations: u64,
    /// Page faults of that thread.
    #[serde(default)]
    pub page_faults: u64,
    /// Overlays by how much was computed for them.
    #[serde(default)]
    pub rungs: BTreeMap<String, u64>,
    /// Times of programs, of a frame's stages, and from a frame's due time to its overlay (`total`).
    pub times: Vec<(String, StageSummary)>,
}

impl Report {
    /// Collects the results.
    pub fn new(
        model: &str,
        system: System,
        config: &SessionConfig<'_>,
        fps: f64,
        programs: &[(String, StageSummary)],
        frames: &Frames,
    ) -> Self {
        let named = |kind: &str, times: &[(String, StageSummary)]| {
            times.iter().map(|(name, summary)| (format!("{kind} {name}"), *summary)).collect::<Vec<_>>()
        };
        Self {
            version: sonotrace::VERSION.to_owned(),
            model: model.to_owned(),
            system,
            kernels: config.instructions.name().to_owned(),
            threads: config.threads,
            fps,
            frames: frames.times.frames(),
            deadline_misses: frames.misses,
            memory_bytes: frames.memory_bytes,
            resident_bytes: frames.resident_bytes.clone(),
            allocations: frames.seen.allocations,
            page_faults: frames.seen.page_faults,
            rungs: RUNG_NAMES
                .iter()
                .zip(frames.counters.rungs)
                .map(|(&name, n)| (name.to_owned(), n))
                .collect(),
            times: [named("program", programs), named("frame", &frames.times.summaries())].concat(),
        }
    }

    /// Reads a report.
    ///
    /// # Errors
    /// A file that cannot be read, or is no such report.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no report of `sonotrace bench`", path.display()))
    }

    /// Writes the report.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// A table of the medians here and in an earlier report, with a verdict.
    pub fn compared(&self, earlier: &Self) -> String {
        let mut text = String::new();
        let mut changes = Vec::new();
        let how = |report: &Self| {
            format!("{}, {}, threads: {}", report.system.processor, report.kernels, report.threads)
        };
        text += &format!(
            "\nearlier: {}\n{:<28} {:>10} {:>10} {:>8}\n",
            how(earlier),
            "p50 ms",
            "earlier",
            "now",
            "ratio"
        );
        for (name, now) in &self.times {
            let Some((_, before)) = earlier.times.iter().find(|(other, _)| other == name) else { continue };
            if before.p50_ns == 0 {
                continue;
            }
            let ratio = now.p50_ns as f64 / before.p50_ns as f64;
            let ms = |ns: u64| ns as f64 / 1e6;
            text +=
                &format!("{name:<28} {:>10.3} {:>10.3} {ratio:>8.3}\n", ms(before.p50_ns), ms(now.p50_ns));
            if name == "frame total" || name.starts_with("program ") {
                changes.push((name.as_str(), ratio));
            }
        }
        let of = |is_change: fn(f64) -> bool| {
            let names = changes.iter().filter(|(_, ratio)| is_change(*ratio)).map(|(name, _)| *name);
            names.collect::<Vec<_>>().join(", ")
        };
        let (slower, faster) = (of(|ratio| ratio > 1.0 + SAME), of(|ratio| ratio < 1.0 - SAME));
        let verdict = match (slower.is_empty(), faster.is_empty()) {
            (true, true) => "no change".to_owned(),
            (false, true) => format!("slower: {slower}"),
            (true, false) => format!("faster: {faster}"),
            (false, false) => format!("slower: {slower}; faster: {faster}"),
        };
        if self.system.processor != earlier.system.processor {
            text += "the processors differ, so the ratios say nothing about the program\n";
        }
        text + &format!("verdict: {verdict} (changes of less than {:.0} % are none)\n", 100.0 * SAME)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = &self.system;
        writeln!(f, "{}, {} cores; {}", system.processor, system.cores, system.now())?;
        writeln!(f, "{}: kernels {}, threads: {}", self.model, self.kernels, self.threads)?;
        writeln!(f, "{:<28} {:>10} {:>10} {:>10} {:>10}", "ms", "p50", "p99", "p99.9", "max")?;
        for (name, times) in &self.times {
            let [p50, p99, p999, max] =
                [times.p50_ns, times.p99_ns, times.p999_ns, times.max_ns].map(|ns| ns as f64 / 1e6);
            writeln!(f, "{name:<28} {p50:>10.3} {p99:>10.3} {p999:>10.3} {max:>10.3}")?;
        }
        let megabytes = self.memory_bytes as f64 / 1e6;
        writeln!(
            f,
            "{} frames at {} a second, {} later than the next frame; session memory {megabytes:.1} MB",
            self.frames, self.fps, self.deadline_misses
        )?;
        let rungs: Vec<String> =
            self.rungs.iter().filter(|(_, n)| **n > 0).map(|(name, n)| format!("{name} {n}")).collect();
        let (allocations, faults) = (self.allocations, self.page_faults);
        writeln!(f, "rungs: {}; {allocations} allocations, {faults} page faults", rungs.join(", "))?;
        if let (Some(first), Some(last)) = (self.resident_bytes.first(), self.resident_bytes.last()) {
            let most = self.resident_bytes.iter().max().unwrap_or(last);
            writeln!(
                f,
                "resident memory: {first} bytes after the first round, {last} after the last, {most} at most"
            )?;
        }
        Ok(())
    }
}
