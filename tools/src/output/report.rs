//! The summary of a run: `report.json`, and the same as a table.

use super::stages::{StageSummary, StageTimes};
use anyhow::{Context, Result};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

/// The numbers of one run. Serialises to `report.json`; displays as a table for a terminal.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Version of this tool.
    pub version: String,
    /// Name of the model.
    pub model: String,
    /// Which frames were worked on: `newest` or `all`.
    pub policy: String,
    /// Time allowed from a frame's commit to its overlay's commit.
    pub budget_ns: u64,
    /// The machine it ran on.
    pub machine: Machine,
    /// Frames committed.
    pub frames: u64,
    /// Overlays committed.
    pub overlays: u64,
    /// Frames without an overlay, by reason.
    pub drops: BTreeMap<String, u64>,
    /// Overlays by how much was computed for them.
    pub rungs: BTreeMap<String, u64>,
    /// Further overlays of a frame that had one.
    pub updates: u64,
    /// Overlays later than the budget.
    pub deadline_misses: u64,
    /// Times by stage, in the order of the work; `total` is from commit to overlay.
    #[serde(serialize_with = "as_map")]
    pub stages: Vec<(String, StageSummary)>,
    /// Memory of the session and its rings.
    pub memory_bytes: u64,
    /// Parts of that memory, by name.
    pub memory: BTreeMap<String, u64>,
    /// Calls to the allocator after the start.
    pub allocations_after_start: u64,
    /// Page faults after the start.
    pub page_faults_after_start: u64,
    /// Mean Dice against the truth; none without a truth.
    pub dice_mean: Option<f64>,
}

/// The machine a run was made on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Instruction set.
    pub arch: String,
    /// Operating system.
    pub os: String,
    /// The processor's name, if the system reports it.
    pub cpu: Option<String>,
    /// Cores that this process may use.
    pub cores: usize,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let cpu_info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = cpu_info.lines().find_map(|line| line.strip_prefix("model name"));
        Self {
            arch: std::env::consts::ARCH.to_owned(),
            os: std::env::consts::OS.to_owned(),
            cpu: name.map(|name| name.trim_start_matches([' ', '\t', ':']).trim().to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl Report {
    /// A report with this tool's version, this machine, and the stages' times filled in.
    pub fn new(times: &StageTimes) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: Machine::this(),
            stages: times.summaries(),
            ..Self::default()
        }
    }

    /// Frames that ended as an overlay or a counted drop.
    pub fn outcomes(&self) -> u64 {
        self.overlays + self.drops.values().sum::<u64>()
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// An error of the file system, with the path.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A map in the order of the pairs.
fn as_map<S: Serializer>(stages: &[(String, StageSummary)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(stages.len()))?;
    for (name, summary) in stages {
        map.serialize_entry(name, summary)?;
    }
    map.end()
}

/// Milliseconds, to the microsecond.
fn ms(time_ns: u64) -> String {
    format!("{:.3}", time_ns as f64 * 1e-6)
}

/// Bytes in a suitable unit.
fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 2] = [("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|&(_, unit)| count >= unit) {
        Some((name, unit)) => format!("{:.1} {name}", count as f64 / unit as f64),
        None => format!("{count} B"),
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let rule = "-".repeat(60);
        writeln!(out, "sonotrace {}   model {}   policy {}", self.version, self.model, self.policy)?;
        let machine = &self.machine;
        let cpu = machine.cpu.as_deref().unwrap_or(&machine.arch);
        writeln!(out, "{} x {cpu} ({}, {})\n", machine.cores, machine.arch, machine.os)?;
        writeln!(out, "{:<16}{:>11}{:>11}{:>11}{:>11}", "stage (ms)", "p50", "p99", "p99.9", "max")?;
        writeln!(out, "{rule}")?;
        for (index, (name, times)) in self.stages.iter().enumerate() {
            if index > 0 && index + 1 == self.stages.len() {
                writeln!(out, "{rule}")?;
            }
            let columns = [times.p50_ns, times.p99_ns, times.p999_ns, times.max_ns].map(ms);
            writeln!(
                out,
                "{name:<16}{:>11}{:>11}{:>11}{:>11}",
                columns[0], columns[1], columns[2], columns[3]
            )?;
        }
        writeln!(out)?;
        let share = 100.0 * self.deadline_misses as f64 / self.overlays.max(1) as f64;
        let list = |counts: &BTreeMap<String, u64>, show: fn(u64) -> String| {
            let items = counts.iter().filter(|(_, count)| **count > 0);
            items.map(|(name, &count)| format!("{name} {}", show(count))).collect::<Vec<_>>().join(", ")
        };
        let drops: u64 = self.drops.values().sum();
        let reasons = list(&self.drops, |count| count.to_string());
        let parts = list(&self.memory, bytes);
        let within = |parts: &str| if parts.is_empty() { String::new() } else { format!("  ({parts})") };
        let mut rungs = list(&self.rungs, |count| count.to_string());
        if self.updates > 0 {
            rungs += &format!("; further ones {}", self.updates);
        }
        let rows = [
            ("frames", format!("{}, of them overlays {}{}", self.frames, self.overlays, within(&rungs))),
            ("drops", format!("{drops}{}", within(&reasons))),
            (
                "deadline misses",
                format!(
                    "{}  ({share:.1} % over {:.1} ms)",
                    self.deadline_misses,
                    self.budget_ns as f64 * 1e-6
                ),
            ),
            (
                "Dice",
                self.dice_mean
                    .map_or_else(|| "no truth to compare with".to_owned(), |dice| format!("{dice:.3} mean")),
            ),
            ("memory", format!("{}{}", bytes(self.memory_bytes), within(&parts))),
            (
                "after start",
                format!(
                    "{} allocations, {} page faults",
                    self.allocations_after_start, self.page_faults_after_start
                ),
            ),
        ];
        for (name, value) in rows {
            writeln!(out, "{name:<16} {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn sample() -> Report {
        let mut times = StageTimes::new(&["queue", "sample", "encode", "decode", "contour"]).unwrap();
        for i in 1..=90u64 {
            times.record(
                &[20_000, 900_000 + i * 1000, 14_000_000 + i * 40_000, 2_000_000, 300_000],
                17_300_000 + i * 45_000,
            );
        }
        Report {
            model: "sonosamlite".to_owned(),
            policy: "newest".to_owned(),
            budget_ns: 33_000_000,
            frames: 93,
            overlays: 90,
            drops: BTreeMap::from([
                ("superseded".to_owned(), 2),
                ("malformed".to_owned(), 1),
                ("frozen".to_owned(), 0),
            ]),
            deadline_misses: 3,
            memory_bytes: 13_000_000,
            memory: BTreeMap::from([("arena".to_owned(), 8 << 20), ("tables".to_owned(), 3 << 19)]),
            dice_mean: Some(0.931_4),
            ..Report::new(&times)
        }
    }

    #[test]
    fn json_has_the_documented_names() {
        let json: Value = serde_json::from_str(&serde_json::to_string(&sample()).unwrap()).unwrap();
        let counts = [
            "frames",
            "overlays",
            "deadline_misses",
            "memory_bytes",
            "allocations_after_start",
            "page_faults_after_start",
        ];
        for name in counts {
            assert!(json[name].is_u64(), "{name}");
        }
        assert_eq!(json["drops"]["superseded"], 2);
        assert_eq!(json["dice_mean"], 0.931_4);
        for stage in ["queue", "sample", "encode", "decode", "contour", "total"] {
            for name in ["p50_ns", "p99_ns", "p999_ns", "max_ns"] {
                assert!(json["stages"][stage][name].as_u64().unwrap() > 0, "{stage} {name}");
            }
        }
        assert_eq!(json["stages"]["total"]["max_ns"], 17_300_000 + 90 * 45_000);
        assert_eq!(sample().outcomes(), sample().frames);
    }

    #[test]
    fn no_truth_is_null() {
        let report = Report { dice_mean: None, ..sample() };
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json.get("dice_mean"), Some(&Value::Null));
        assert!(report.to_string().contains("no truth"));
    }

    #[test]
    fn stages_keep_the_order_of_the_work() {
        let text = serde_json::to_string(&sample()).unwrap();
        let at = |name: &str| text.find(&format!("\"{name}\":{{")).unwrap();
        assert!(at("queue") < at("sample") && at("sample") < at("encode") && at("contour") < at("total"));
    }

    #[test]
    fn the_table_is_aligned_and_fits_a_terminal() {
        let table = sample().to_string();
        let rows: Vec<&str> = table.lines().skip_while(|line| !line.starts_with("stage")).take(9).collect();
        assert!(rows.iter().all(|row| row.len() == 60), "{rows:#?}");
        assert!(table.lines().all(|line| line.len() <= 100), "{table}");
        for part in [
            "superseded 2",
            "malformed 1",
            "deadline misses  3  (3.3 % over 33.0 ms)",
            "0.931 mean",
            "12.4 MiB  (arena 8.0 MiB, tables 1.5 MiB)",
            "0 allocations, 0 page faults",
        ] {
            assert!(table.contains(part), "{part} is missing in\n{table}");
        }
        assert!(!table.contains("frozen"), "reasons that did not occur are left out");
    }

    #[test]
    fn units_fit() {
        assert_eq!((ms(1_234_567), ms(23_456_789), ms(0)), ("1.235".into(), "23.457".into(), "0.000".into()));
        assert_eq!(
            (bytes(1023), bytes(1536), bytes(5 << 20)),
            ("1023 B".into(), "1.5 KiB".into(), "5.0 MiB".into())
        );
    }

    #[test]
    fn the_file_ends_with_a_line_break_and_errors_name_it() {
        let path = std::env::temp_dir().join(format!("sonotrace-report-{}.json", std::process::id()));
        sample().write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(text.ends_with("}\n"));
        let error = sample().write(Path::new("/nowhere/at/all.json")).unwrap_err();
        assert!(format!("{error:#}").contains("/nowhere/at/all.json"));
    }
}
