//! Benchmarks. Each also runs as a small test, so that it keeps working.

pub mod change;
pub mod frames;
pub mod noise;
pub mod ops;
pub mod polls;
mod scene;
pub mod vision;

pub use scene::Scene;

use hdrhistogram::Histogram;
use sonotrace::exec::{Executor, ExecutorConfig, memory_required};
use sonotrace::file::ModelFile;
use sonotrace::format::Model;
use sonotrace::kernels::arch::Instructions;
use sonotrace::realtime::Pinning;
use sonotrace::region::Region;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Precision of quantiles, decimal digits.
const DIGITS: u8 = 3;
/// Longest time that is resolved; a longer one counts as this.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Times of repeated runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    /// What was timed.
    pub name: String,
    /// Nanoseconds of each run.
    pub ns: Histogram<u64>,
}

impl Times {
    /// Creates an empty set of times.
    pub fn new(name: impl Into<String>) -> Self {
        let ns = Histogram::new_with_max(LONGEST_NS, DIGITS);
        let ns = ns.expect("a histogram supports three digits");
        Self { name: name.into(), ns }
    }

    /// Times `runs` calls of `work`, at least one.
    pub fn of(name: impl Into<String>, runs: u64, mut work: impl FnMut()) -> Self {
        let mut times = Self::new(name);
        for _ in 0..runs.max(1) {
            times.time(&mut work);
        }
        times
    }

    /// Times the longest step in each of `runs` runs, at least one; `step` returns whether it was the last step of its
    /// run.
    pub fn of_longest_step(name: impl Into<String>, runs: u64, mut step: impl FnMut() -> bool) -> Self {
        let mut times = Self::new(name);
        for _ in 0..runs.max(1) {
            let (mut longest_ns, mut is_last) = (0, false);
            while !is_last {
                let start = Instant::now();
                is_last = step();
                longest_ns = start.elapsed().as_nanos().max(longest_ns);
            }
            times.ns.saturating_record(longest_ns as u64);
        }
        times
    }

    /// Calls `work` and adds the time that it took.
    pub fn time(&mut self, work: impl FnOnce()) {
        let start = Instant::now();
        work();
        self.ns.saturating_record(start.elapsed().as_nanos() as u64);
    }

    /// Returns the time that a share of the runs does not exceed, to three digits.
    pub fn quantile_ns(&self, share: f64) -> u64 {
        self.ns.value_at_quantile(share)
    }

    /// Returns one line of a table: p50, p99, p99.9 and max in milliseconds.
    pub fn line(&self) -> String {
        let ms = |share: f64| self.quantile_ns(share) as f64 / 1e6;
        let (p50, p99, p999, max) = (ms(0.5), ms(0.99), ms(0.999), ms(1.0));
        format!("{:<46} {p50:>10.3} {p99:>10.3} {p999:>10.3} {max:>10.3}", self.name)
    }
}

/// Head of the table of [`Times::line`].
pub const HEAD: &str =
    "ms                                                     p50        p99      p99.9        max";

/// Reads the arguments of a benchmark: a model file (the packaged one by default) and a number of runs.
///
/// # Errors
/// If the number of runs cannot be parsed.
pub fn arguments(runs: u64) -> Result<(PathBuf, u64), std::num::ParseIntError> {
    // Cargo itself passes `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let packaged = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/sonosamlite.sono"));
    Ok((
        arguments.next().map_or_else(packaged, PathBuf::from),
        arguments.next().map_or(Ok(runs), |runs| runs.parse())?,
    ))
}

/// Returns the instruction set of the kernels: the one that the option `--instructions=` names, or the fastest.
///
/// # Errors
/// If this processor lacks it.
pub fn instructions() -> Result<Instructions, String> {
    std::env::args()
        .find_map(|argument| Some(argument.strip_prefix("--instructions=")?.to_owned()))
        .map_or_else(|| Ok(Instructions::best()), |name| instructions_named(&name))
}

/// Returns the number of threads that the option `--threads=` gives, or 1.
///
/// # Errors
/// If it is no number.
pub fn threads() -> Result<u32, String> {
    let option = std::env::args().find_map(|argument| Some(argument.strip_prefix("--threads=")?.to_owned()));
    option.map_or(Ok(1), |text| text.parse().map_err(|error| format!("--threads={text}: {error}")))
}

/// Returns an instruction set by its name.
///
/// # Errors
/// If this processor lacks it.
pub fn instructions_named(name: &str) -> Result<Instructions, String> {
    Instructions::named(name).ok_or_else(|| {
        let names: Vec<_> = Instructions::available().map(Instructions::name).collect();
        format!("no instruction set {name}; this processor has {}", names.join(", "))
    })
}

/// Loads a model file and runs each of its programs `runs` times, in turn, so that a disturbance affects all programs
/// equally.
///
/// # Errors
/// If the file cannot be opened or is refused, or the memory cannot be mapped.
pub fn programs(path: &Path, config: ExecutorConfig, runs: u64) -> Result<Vec<Times>, Box<dyn Error>> {
    let mut loads = Vec::new();
    let load = Times::of("load and verify", 1, || loads.push(ModelFile::open(path)));
    let file = loads.pop().ok_or("nothing was loaded")??;
    let verify = Times::of("verify again", runs, || {
        // An error is returned below.
        let _ = std::hint::black_box(Model::parse(file.bytes()));
    });
    let model = Model::parse(file.bytes())?;
    let mut region = Region::new(memory_required(file.bytes(), &config)?.bytes)?;
    let (mut bind, mut bound, memory) = (Times::new("bind"), None, region.as_mut_slice());
    bind.time(|| bound = Some(Executor::new(model, config, memory)));
    let mut executor = bound.ok_or("nothing was bound")??;
    let mut tests = Vec::new();
    let self_test = Times::of("self-test", 1, || tests.push(executor.self_test()));
    tests.into_iter().collect::<Result<Vec<f32>, _>>()?;
    let mut programs: Vec<Times> =
        model.programs().iter().map(|record| Times::new(model.name(record.name))).collect();
    executor.with_helpers(Pinning::CoreEach, |executor, _| -> Result<(), Box<dyn Error>> {
        for _ in 0..runs.max(1) {
            for (program, times) in programs.iter_mut().enumerate() {
                executor.begin_apart(program)?;
                times.time(|| executor.finish());
            }
        }
        Ok(())
    })?;
    Ok([vec![load, verify, bind, self_test], programs].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_timed() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/data/disc.sono");
        let config = ExecutorConfig {
            instructions: Instructions::portable(),
            threads: 2,
            ..ExecutorConfig::default()
        };
        let times = programs(&path, config, 3).expect("the small model runs");
        let names: Vec<&str> = times.iter().map(|times| times.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "load and verify",
                "verify again",
                "bind",
                "self-test",
                "encoder",
                "decoder",
                "tracker",
                "memory"
            ]
        );
        assert!(times[4..].iter().all(|times| times.ns.len() == 3));
    }

    #[test]
    fn quantiles_are_of_nearest_rank() {
        let mut times = Times::new("");
        (1..=1000).for_each(|ns| times.ns.saturating_record(1_000_000 * ns));
        let quantiles = [0.5, 0.99, 0.999, 1.0].map(|share| times.quantile_ns(share) as f64 / 1e6);
        for (seen, expected) in quantiles.into_iter().zip([500.0, 990.0, 999.0, 1000.0]) {
            assert!((seen - expected).abs() <= 1e-3 * expected, "{seen} ms, expected {expected}");
        }
    }
}
