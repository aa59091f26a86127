//! Time per operation: the executor asks before each tile whether to go on, so the time between two questions is a tile's.

use crate::Times;
use sonotrace::exec::{Executor, ExecutorConfig, memory_required};
use sonotrace::file::ModelFile;
use sonotrace::format::{Model, OpRecord, Operation};
use sonotrace::kernels::arch::Instructions;
use sonotrace::region::Region;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// Times of one operation of a program.
#[derive(Debug)]
pub struct OpTimes {
    /// Name of the program.
    pub program: String,
    /// Multiply-accumulates of a run.
    pub macs: u64,
    /// Times, named after the operation.
    pub times: Times,
}

/// Runs each program of a model file `runs` times, at least once, and times each operation.
///
/// # Errors
/// If the file cannot be opened or is refused, or the memory cannot be mapped.
pub fn operations(
    path: &Path,
    instructions: Instructions,
    runs: u64,
) -> Result<Vec<OpTimes>, Box<dyn Error>> {
    let file = ModelFile::open(path)?;
    let model = Model::parse(file.bytes())?;
    let config = ExecutorConfig { instructions, ..ExecutorConfig::default() };
    let mut region = Region::new(memory_required(file.bytes(), &config)?.bytes)?;
    let mut executor = Executor::new(model, config, region.as_mut_slice())?;
    let mut all = Vec::new();
    for (program, record) in model.programs().iter().enumerate() {
        let mut ops: Vec<OpTimes> =
            model.program_ops(record).iter().map(|op| unmeasured(&model, record.name, op)).collect();
        let tiles: Vec<usize> = executor.ops(program).iter().map(|op| op.tiles() as usize).collect();
        let mut starts = Vec::with_capacity(tiles.iter().sum::<usize>() + 1);
        for _ in 0..runs.max(1) {
            executor.begin_apart(program)?;
            starts.clear();
            executor.advance(&mut || {
                starts.push(Instant::now());
                true
            });
            starts.push(Instant::now());
            let mut first = 0;
            for (op, tiles) in ops.iter_mut().zip(&tiles) {
                let ns = (starts[first + tiles] - starts[first]).as_nanos();
                op.times.ns.saturating_record(ns as u64);
                first += tiles;
            }
        }
        all.append(&mut ops);
    }
    Ok(all)
}

fn unmeasured(model: &Model<'_>, program: sonotrace::format::NameRef, op: &OpRecord) -> OpTimes {
    let operation = Operation::decode(op).ok();
    let kind = operation.map_or("unknown", |operation| operation.kind().name());
    let dims: Vec<String> = op.dims.iter().filter(|&&extent| extent != 1).map(u32::to_string).collect();
    OpTimes {
        program: model.name(program).to_owned(),
        macs: operation.map_or(0, |operation| operation.macs(&op.dims)),
        times: Times::new(format!("{kind} {} {}", dims.join("x"), model.name(op.name))),
    }
}

/// Lines of a table: per kind of operation and shape, slowest first, its share of the program's time.
pub fn lines(ops: &[OpTimes]) -> Vec<String> {
    let mut lines = Vec::new();
    for program in ops.chunk_by(|a, b| a.program == b.program) {
        let total_ns: u64 = program.iter().map(|op| op.times.quantile_ns(0.5)).sum();
        // Kind and shape, number of operations, their time and multiply-accumulates.
        let mut kinds: Vec<(String, u64, u64, u64)> = Vec::new();
        for op in program {
            let kind: Vec<&str> = op.times.name.split(' ').take(2).collect();
            let kind = kind.join(" ");
            let at = kinds.iter().position(|other| other.0 == kind).unwrap_or_else(|| {
                kinds.push((kind, 0, 0, 0));
                kinds.len() - 1
            });
            kinds[at].1 += 1;
            kinds[at].2 += op.times.quantile_ns(0.5);
            kinds[at].3 += op.macs;
        }
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.2));
        for (kind, count, ns, macs) in kinds {
            lines.push(format!(
                "{:<10} {kind:<46} {count:>4} {:>9.3} ms {:>5.1} % {:>8.1} GMAC/s",
                program[0].program,
                ns as f64 / 1e6,
                100.0 * ns as f64 / total_ns.max(1) as f64,
                macs as f64 / ns.max(1) as f64
            ));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_timed() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/data/disc.sono");
        let ops = operations(&path, Instructions::best(), 2).expect("the small model runs");
        let file = ModelFile::open(&path).expect("the small model is valid");
        let model = Model::parse(file.bytes()).expect("the small model is valid");
        assert_eq!(ops.len(), model.ops().len());
        assert!(ops.iter().all(|op| op.times.ns.len() == 2));
        assert!(!lines(&ops).is_empty());
    }
}
