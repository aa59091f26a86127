//! Time per program of a model file: `cargo bench -p sonotrace-benches --bench programs [-- FILE.sono [RUNS]]`.

use sonotrace_benches::{HEAD, arguments, programs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (path, runs) = arguments(20)?;
    println!("{}, {runs} runs\n{HEAD}", path.display());
    for times in programs(&path, runs)? {
        println!("{}", times.line());
    }
    Ok(())
}
