//! Time of each call of `poll`, by kind of frame, and for masks that are noise:
//! `cargo bench -p sonotrace-benches --bench polls [-- FILE.sono [FRAMES]]`.

use sonotrace::file::ModelFile;
use sonotrace::format::AlignedBytes;
use sonotrace_benches::{HEAD, Scene, arguments, noise, polls::polls};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (path, frames) = arguments(10)?;
    println!("{}, {frames} frames of each kind\n{HEAD}", path.display());
    let noise = AlignedBytes::new(&noise::model()?);
    let noisy = polls(noise.bytes(), &[Scene::noisy_mask()], frames)?;
    for times in polls(ModelFile::open(&path)?.bytes(), &Scene::all(), frames)?.iter().chain(&noisy) {
        println!("{}", times.line());
    }
    Ok(())
}
