//! Simulated scans as training data, sampled by the runtime's sampler: pictures with masks, in the layout that `eval`
//! and the training package read.
//!
//! `cargo run --release -p sonotrace-cli --example simulated_set -- OUT_DIR [SCANS [FRAMES]]`
//!
//! Each scan has its own seed, probe, depth, gain and range, and FRAMES frames of one cycle. Hearts go to the set
//! SIM_HEART with the ids of CAMUS, fetal heads to SIM_HEAD; both to the split `train`.

use anyhow::{Context, Result};
use sonotrace::vision::{GreyTable, LutEntry, Normalisation, Sampler};
use sonotrace_sim::{Anatomy, Probe, SimConfig, SimFrame, Simulator, heart};
use std::fmt::Write as _;
use std::path::Path;

const SIDE: u32 = 256;
/// For each object of a heart: its id in CAMUS.
const HEART_LABELS: [u8; 4] = {
    let mut labels = [0; 4];
    labels[heart::LEFT_VENTRICLE as usize] = 1;
    labels[heart::MYOCARDIUM as usize] = 2;
    labels[heart::LEFT_ATRIUM as usize] = 3;
    labels
};
/// For each object of a head: only the whole head is labelled, as in HC18.
const HEAD_LABELS: [u8; 4] = [0, 1, 0, 0];
/// Leaves grey levels unchanged.
const PLAIN: Normalisation = Normalisation { mean: 0.0, std: 1.0 };

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().context("usage: simulated_set OUT_DIR [SCANS [FRAMES]]")?;
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (scans, frames) = (number(60)?, number(8)?);
    let out = Path::new(&out);
    let mut manifest = String::from("set,name,split,group,sequence,frame\n");
    for seed in 0..scans {
        // Two hearts for each head.
        let (set, config, labels) = if seed % 3 < 2 {
            ("SIM_HEART", a_heart(seed), &HEART_LABELS)
        } else {
            ("SIM_HEAD", a_head(seed), &HEAD_LABELS)
        };
        let simulator = Simulator::new(config)?;
        let cycle = simulator.config().frame_rate_hz * 60.0 / simulator.config().heart_rate_bpm;
        for frame in 0..frames {
            let index = (frame as f32 * cycle / frames as f32) as u64;
            let name = format!("scan{seed:03}_{frame:02}");
            write(&simulator.frame(index), labels, &out.join(set), &name)?;
            writeln!(manifest, "{set},{name},train,scan{seed:03},scan{seed:03},{frame}")?;
        }
        println!("scan {} of {scans}", seed + 1);
    }
    std::fs::write(out.join("MANIFEST.csv"), manifest)?;
    Ok(())
}

/// A pseudo-random number from 0 to 1 for a seed and a setting.
fn share(seed: u64, setting: u64) -> f32 {
    let mixed = (seed * 31 + setting + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / (1 << 24) as f32
}

fn between(seed: u64, setting: u64, low: f32, high: f32) -> f32 {
    low + (high - low) * share(seed, setting)
}

fn a_heart(seed: u64) -> SimConfig {
    SimConfig {
        seed,
        probe: Probe::Phased { half_angle_rad: between(seed, 0, 0.55, 0.75) },
        depth_mm: between(seed, 1, 135.0, 190.0),
        range_db: between(seed, 2, 42.0, 62.0),
        gain_db: between(seed, 3, -8.0, 8.0),
        density: 0.5,
        ..SimConfig::default()
    }
}

fn a_head(seed: u64) -> SimConfig {
    SimConfig {
        seed,
        anatomy: Anatomy::FetalHead,
        depth_mm: between(seed, 1, 145.0, 200.0),
        range_db: between(seed, 2, 42.0, 62.0),
        gain_db: between(seed, 3, -8.0, 8.0),
        density: 0.5,
        ..SimConfig::fetal_head()
    }
}

/// Writes a frame's picture and mask.
fn write(frame: &SimFrame, labels: &[u8; 4], set: &Path, name: &str) -> Result<()> {
    let checked = frame.descriptor.check()?;
    let mut table = vec![bytemuck::Zeroable::zeroed(); Sampler::table_len(SIDE)];
    let sampler = Sampler::build(&checked, SIDE, &mut table as &mut Vec<LutEntry>)?;
    let grid = *sampler.grid();
    let mut grey = vec![0.0; (SIDE * SIDE) as usize];
    let levels = GreyTable::new(&checked, PLAIN, &[])?;
    sampler.sample(&table, &checked, &frame.payload, &levels, &mut grey)?;
    let level = |x: u32, y: u32| (grey[(y * SIDE + x) as usize] * 255.0).round() as u8;
    let picture = image::GrayImage::from_fn(grid.columns(), grid.rows(), |x, y| image::Luma([level(x, y)]));
    let mask = image::GrayImage::from_fn(grid.columns(), grid.rows(), |x, y| {
        let point = grid.to_plane([x as f32, y as f32]);
        let inside =
            frame.truth.iter().filter(|object| labels[object.id as usize] > 0 && object.contains(point));
        // A cavity lies within the contour of its wall, so take the object with the smallest area.
        let object = inside.min_by(|a, b| a.area_mm2().total_cmp(&b.area_mm2()));
        image::Luma([object.map_or(0, |object| labels[object.id as usize])])
    });
    for (picture, folder) in [(picture, "images"), (mask, "masks")] {
        let folder = set.join(folder);
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.png"));
        picture.save(&path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
