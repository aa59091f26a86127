//! Time per program of a model file: `cargo bench -p sonotrace-benches [-- FILE.sono [RUNS]]`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo itself passes `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let embedded = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/sonosamlite.sono"));
    let path = arguments.next().map_or_else(embedded, PathBuf::from);
    let runs = arguments.next().map_or(Ok(20), |runs| runs.parse())?;
    println!("{}, {runs} runs\n{}", path.display(), sonotrace_benches::HEAD);
    for times in sonotrace_benches::programs(&path, runs)? {
        println!("{}", times.line());
    }
    Ok(())
}
