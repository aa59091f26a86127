//! Time of a frame end to end against the sum of its parts, and its slowest runs against those of fixed arithmetic:
//! `cargo bench -p sonotrace-benches --bench frames [-- FILE.sono [RUNS]]`.

use sonotrace::file::ModelFile;
use sonotrace_benches::{HEAD, arguments, frames};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (path, runs) = arguments(1000)?;
    println!("{}, {runs} runs, one thread\n{HEAD}", path.display());
    let times = frames::frames(ModelFile::open(&path)?.bytes(), runs)?;
    for times in &times {
        println!("{}", times.line());
    }
    let [parts, tail, ten] = frames::ratios(&times);
    println!("frame / sum of its parts: {parts:.3}");
    println!("p99.9 / p50 of a frame, over that of fixed arithmetic: {tail:.3}");
    println!("with ten objects / with one: {ten:.3}");
    Ok(())
}
