//! Compares the simulated scanner with real echocardiograms: two images of the CAMUS data set, two simulated frames.
//!
//! `cargo run --release -p sonotrace-cli --example phantom_realism -- DATA_DIR OUT_DIR [NAME NAME]`
//!
//! `DATA_DIR/ultrasound/CAMUS/images` contains the images, and `masks` next to it their labels, under the same names;
//! NAME is a file's name without its extension. All four pictures are measured by the same code, from pixels and labels
//! alone. It prints a table of grey statistics and of speckle correlation lengths, and writes
//! `OUT_DIR/phantom_realism.png`: the four pictures in the table's order, below each its grey histogram. That file
//! shows real data: keep it out of the repository.

#[path = "phantom_realism/chart.rs"]
mod chart;
#[path = "phantom_realism/measure.rs"]
mod measure;
#[path = "phantom_realism/picture.rs"]
mod picture;

use anyhow::{Context, Result, bail};
use measure::Measures;
use picture::Picture;
use sonotrace_sim::{SimConfig, Simulator};
use std::path::Path;

/// Two images of medium quality, the default.
const NAMES: [&str; 2] = ["patient0047_4CH_ED", "patient0168_4CH_ED"];
/// Frames near the end of diastole and of systole, at 30 frames per second and 70 beats per minute.
const FRAMES: [u64; 2] = [0, 9];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (data, out, names) = match arguments.as_slice() {
        [data, out] => (data, out, NAMES),
        [data, out, one, other] => (data, out, [one.as_str(), other.as_str()]),
        _ => bail!("usage: phantom_realism DATA_DIR OUT_DIR [NAME NAME]"),
    };
    let camus = Path::new(data).join("ultrasound").join("CAMUS");
    let mut pictures = Vec::new();
    for name in names {
        pictures.push(Picture::load(&camus, name)?);
    }
    let simulator = Simulator::new(SimConfig::default())?;
    for index in FRAMES {
        pictures.push(Picture::simulate(&simulator, index)?);
    }
    let measures = pictures.iter().map(Measures::of).collect::<Result<Vec<_>>>()?;
    measure::print_table(&pictures, &measures);

    std::fs::create_dir_all(out).with_context(|| format!("cannot create the folder {out}"))?;
    let file = Path::new(out).join("phantom_realism.png");
    chart::draw(&pictures).save(&file).with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nwrote {}", file.display());
    Ok(())
}
