//! Compares a benchmark with an earlier build of itself: both run in turn, so that a disturbance affects both.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::Command;

/// Medians of p50 before and after a change, over all pairs of runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What was timed, as in both tables.
    pub name: String,
    /// Milliseconds of the earlier build.
    pub before_ms: f64,
    /// Milliseconds of this build.
    pub after_ms: f64,
    /// Smallest, median and largest of after / before, each within one pair.
    pub ratios: [f64; 3],
}

/// Head of the table of [`Change::line`].
pub const CHANGE_HEAD: &str =
    "p50                                          before ms   after ms      ratio   smallest    largest";

impl Change {
    /// Returns one line of a table.
    pub fn line(&self) -> String {
        let [smallest, median, largest] = self.ratios;
        format!(
            "{:<43} {:>10.3} {:>10.3} {median:>10.3} {smallest:>10.3} {largest:>10.3}",
            self.name, self.before_ms, self.after_ms
        )
    }

    fn of(name: &str, pairs: &[[f64; 2]]) -> Self {
        let sorted = |value: fn(&[f64; 2]) -> f64| {
            let mut values: Vec<f64> = pairs.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let median = |values: &[f64]| (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        let ratios = sorted(|[before, after]| after / before);
        Self {
            name: name.to_owned(),
            before_ms: median(&sorted(|pair| pair[0])),
            after_ms: median(&sorted(|pair| pair[1])),
            ratios: [ratios[0], median(&ratios), ratios[ratios.len() - 1]],
        }
    }
}

/// Runs an earlier build of a benchmark and this one `pairs` times in turn, at least once, and compares what both time.
/// `run` returns the table that one of them prints.
///
/// # Errors
/// If one of them fails, or they have no name in common.
pub fn changes(
    pairs: u64,
    mut run: impl FnMut(Side) -> Result<String, Box<dyn Error>>,
) -> Result<Vec<Change>, Box<dyn Error>> {
    // In the order of the names' first lines.
    let (mut names, mut times) = (Vec::new(), BTreeMap::<String, Vec<[f64; 2]>>::new());
    for _ in 0..pairs.max(1) {
        let before = p50_ms(&run(Side::Before)?);
        for (name, after) in p50_ms(&run(Side::After)?) {
            let Some((_, before)) = before.iter().find(|(known, _)| *known == name) else { continue };
            if !times.contains_key(&name) {
                names.push(name.clone());
            }
            times.entry(name).or_default().push([*before, after]);
        }
    }
    if names.is_empty() {
        return Err("the two builds time nothing in common".into());
    }
    Ok(names.iter().map(|name| Change::of(name, &times[name])).collect())
}

/// A side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The earlier build.
    Before,
    /// This build.
    After,
}

/// Runs a program and returns what it prints.
///
/// # Errors
/// If it cannot be started, fails, or prints something that is not text.
pub fn output(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}: {}", output.status, text.trim()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Names and p50 of the lines of [`crate::Times::line`] in a table; other lines are left out.
fn p50_ms(table: &str) -> Vec<(String, f64)> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, numbers) = words.split_at_checked(words.len().checked_sub(4)?)?;
        let numbers: Vec<f64> = numbers.iter().map(|word| word.parse().ok()).collect::<Option<_>>()?;
        (!name.is_empty()).then(|| (name.join(" "), numbers[0]))
    };
    table.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HEAD, Times};

    fn table(names_ms: &[(&str, u64)]) -> String {
        let lines = names_ms.iter().map(|&(name, ms)| {
            let mut times = Times::new(name);
            times.ns.saturating_record(1_000_000 * ms);
            times.line()
        });
        format!("model.sono, 3 runs\n{HEAD}\n{}\n", lines.collect::<Vec<_>>().join("\n"))
    }

    /// Ratios come from pairs, so a machine that slows down between pairs does not change them.
    #[test]
    fn ratios_are_those_of_pairs() {
        let mut slower = [1, 1, 3, 3, 2, 2].into_iter();
        let changes = changes(3, |side| {
            let factor = slower.next().ok_or("three pairs")?;
            Ok(match side {
                Side::Before => table(&[("only before", 5), ("verify again", 100 * factor)]),
                Side::After => table(&[("verify again", 50 * factor), ("only after", 7)]),
            })
        });
        let changes = changes.expect("both have one name");
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].name, "verify again");
        let near = |seen: f64, expected: f64| (seen / expected - 1.0).abs() < 2e-3;
        assert!(near(changes[0].before_ms, 200.0) && near(changes[0].after_ms, 100.0), "{changes:?}");
        assert!(changes[0].ratios.iter().all(|&ratio| near(ratio, 0.5)), "{changes:?}");
    }

    #[test]
    fn nothing_in_common_and_failures_are_errors() {
        assert!(changes(1, |side| Ok(table(&[(if side == Side::Before { "a" } else { "b" }, 1)]))).is_err());
        assert!(changes(1, |_| Err("cannot run".into())).is_err());
        assert!(output(&mut Command::new("/nonexistent/benchmark")).is_err());
        assert!(output(&mut Command::new("false")).is_err());
    }
}
