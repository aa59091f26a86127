//! Times of programs, one by one.

use crate::commands::scan::progress;
use crate::output::stages::{StageSummary, StageTimes};
use anyhow::Result;
use sonotrace::exec::{Executor, ExecutorConfig, memory_required};
use sonotrace::format::Model;
use sonotrace::realtime::{Scheduling, Warnings};
use sonotrace::region::Region;
use sonotrace::session::SessionConfig;
use std::time::Instant;

/// Runs before the measured ones.
const WARM_UPS: u64 = 3;

/// Runs each program of a model `runs` times, in turn, so that a disturbance affects all. Returns name and times of each, in the order
/// of the file, and what the system refused.
///
/// # Errors
/// A model that is refused, or memory that cannot be mapped.
pub fn measure(
    file: &[u8],
    config: &SessionConfig<'_>,
    scheduling: Scheduling,
    runs: u64,
) -> Result<(Vec<(String, StageSummary)>, Warnings)> {
    let model = Model::parse(file)?;
    let config = ExecutorConfig {
        kept_frames: config.kept_frames,
        threads: config.threads,
        instructions: config.instructions,
    };
    let mut region = Region::new(memory_required(file, &config)?.bytes)?;
    let mut executor = Executor::new(model, config, region.as_mut_slice())?;
    executor.self_test()?;
    let names: Vec<&str> = model.programs().iter().map(|record| model.name(record.name)).collect();
    let mut times = names.iter().map(|_| StageTimes::new(&[])).collect::<Result<Vec<StageTimes>>>()?;
    let bar = progress(runs, "programs");
    let warnings = executor.with_helpers(scheduling, |executor, warnings| -> Result<Warnings> {
        for run in 0..WARM_UPS + runs.max(1) {
            for (program, times) in times.iter_mut().enumerate() {
                executor.begin_apart(program)?;
                let start = Instant::now();
                executor.finish();
                let ns = start.elapsed().as_nanos() as u64;
                if run >= WARM_UPS {
                    times.record(&[], ns);
                }
            }
            bar.inc(1);
        }
        Ok(*warnings)
    })?;
    bar.finish_and_clear();
    let summary =
        |times: &StageTimes| times.summaries().pop().map_or_else(StageSummary::default, |last| last.1);
    let times = names.into_iter().map(str::to_owned).zip(times.iter().map(summary)).collect();
    Ok((times, warnings))
}
