//! Times of the work around the networks: `cargo bench -p sonotrace-benches --bench vision [-- RUNS]`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo itself passes `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let runs = arguments.next().map_or(Ok(1000), |runs| runs.parse())?;
    println!("input of 256 x 256, {runs} runs\n{}", sonotrace_benches::HEAD);
    for times in sonotrace_benches::vision::vision(runs)? {
        println!("{}", times.line());
    }
    Ok(())
}
