//! Benchmarks measure; tests check. What is measured here also runs small as a test, so that it does not rot.

pub mod vision;

use sonotrace::exec::{Executor, memory_required};
use sonotrace::file::ModelFile;
use sonotrace::model::Model;
use sonotrace::region::Region;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// Times of one thing, repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    /// What was timed.
    pub name: String,
    /// Nanoseconds of each run, shortest first.
    pub sorted_ns: Vec<u64>,
}

impl Times {
    /// Times of `runs` calls of `work`.
    pub fn of(name: impl Into<String>, runs: usize, mut work: impl FnMut()) -> Self {
        let mut sorted_ns: Vec<u64> = (0..runs.max(1))
            .map(|_| {
                let start = Instant::now();
                work();
                start.elapsed().as_nanos() as u64
            })
            .collect();
        sorted_ns.sort_unstable();
        Self { name: name.into(), sorted_ns }
    }

    /// The time that a share of the runs does not exceed (nearest rank).
    pub fn quantile_ns(&self, share: f64) -> u64 {
        let rank = (share * self.sorted_ns.len() as f64).ceil() as usize;
        self.sorted_ns[rank.clamp(1, self.sorted_ns.len()) - 1]
    }

    /// One line of a table: p50, p99, p99.9 and max in milliseconds.
    pub fn line(&self) -> String {
        let ms = |share: f64| self.quantile_ns(share) as f64 / 1e6;
        let (p50, p99, p999, max) = (ms(0.5), ms(0.99), ms(0.999), ms(1.0));
        format!("{:<16} {p50:>10.3} {p99:>10.3} {p999:>10.3} {max:>10.3}", self.name)
    }
}

/// Head of the table of [`Times::line`].
pub const HEAD: &str = "ms                      p50        p99      p99.9        max";

/// Loads a model file and runs each of its programs `runs` times, in turn, so that a disturbance hits all alike.
///
/// # Errors
/// A file that cannot be opened or is refused, or memory that cannot be had.
pub fn programs(path: &Path, runs: usize) -> Result<Vec<Times>, Box<dyn Error>> {
    let mut loads = Vec::new();
    let load = Times::of("load and verify", 1, || loads.push(ModelFile::open(path)));
    let file = loads.pop().ok_or("nothing was loaded")??;
    let verify = Times::of("verify again", runs, || {
        // Refusals show below.
        let _ = std::hint::black_box(Model::parse(file.bytes()));
    });
    let model = Model::parse(file.bytes())?;
    let mut region = Region::new(memory_required(file.bytes(), 1)?.bytes)?;
    let mut executor = Executor::new(model, 1, region.as_mut_slice())?;
    let mut tests = Vec::new();
    let self_test = Times::of("self-test", 1, || tests.push(executor.self_test()));
    tests.into_iter().collect::<Result<Vec<f32>, _>>()?;
    let mut ns = vec![Vec::new(); model.programs().len()];
    for _ in 0..runs.max(1) {
        for (program, ns) in ns.iter_mut().enumerate() {
            let start = Instant::now();
            executor.run_to_end(program, 0);
            ns.push(start.elapsed().as_nanos() as u64);
        }
    }
    let mut times = vec![load, verify, self_test];
    for (record, mut sorted_ns) in model.programs().iter().zip(ns) {
        sorted_ns.sort_unstable();
        times.push(Times { name: model.name(record.name).to_owned(), sorted_ns });
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_timed() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/data/disc.sono");
        let times = programs(&path, 3).expect("the small model runs");
        let names: Vec<&str> = times.iter().map(|times| times.name.as_str()).collect();
        assert_eq!(names, ["load and verify", "verify again", "self-test", "encoder", "decoder"]);
        assert!(times[3..].iter().all(|times| times.sorted_ns.len() == 3));
    }

    #[test]
    fn quantiles_are_of_nearest_rank() {
        let times = Times { name: String::new(), sorted_ns: (1..=1000).collect() };
        let quantiles = [0.5, 0.99, 0.999, 1.0].map(|share| times.quantile_ns(share));
        assert_eq!(quantiles, [500, 990, 999, 1000]);
    }
}
