//! Time of each call of `poll`, by kind of frame:
//! `cargo bench -p sonotrace-benches --bench polls [-- FILE.sono [FRAMES]]`.

use sonotrace_benches::{HEAD, Scene, arguments, polls::polls};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (path, frames) = arguments(10)?;
    println!("{}, {frames} frames of each kind\n{HEAD}", path.display());
    for times in polls(&path, &Scene::all(), frames)? {
        println!("{}", times.line());
    }
    Ok(())
}
