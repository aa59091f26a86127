//! Times the work around the networks on each frame: tables, sampling, contours.

use crate::{Scene, Times, noise};
use sonotrace::hal::frame::FrameError;
use sonotrace::vision::{
    Field, GreyTable, Link, LutEntry, Normalisation, Pick, STEP_WORK, SampleCursor, Sampler, StepBudget,
    Tracing, VisionError, measure, trace,
};
use std::error::Error;
use std::hint::black_box;

/// Side of the network's input.
const SIZE: u32 = 256;
/// Number of kinds of frames that are sampled: those of ordinary size.
const SCENES: usize = 3;

/// Times filling a table (the rows of one frame in a session, and all rows), sampling each kind of frame, and tracing
/// the contours of an annulus and of noise. For sampling and contours, also times the longest step of a session. Each
/// `runs` times.
///
/// # Errors
/// Only for a defect.
pub fn vision(runs: u64) -> Result<Vec<Times>, Box<dyn Error>> {
    let mut table: Vec<LutEntry> = vec![bytemuck::Zeroable::zeroed(); Sampler::table_len(SIZE)];
    let mut out = vec![0.0f32; Sampler::table_len(SIZE)];
    let scenes = Scene::all();
    let frame = scenes[0].descriptor(1, &[]).check()?;
    let sampler = Sampler::new(&frame, SIZE)?;
    let mut times = Vec::new();
    for (name, rows) in [("table, 64 rows", 96..160), ("table, whole", 0..SIZE)] {
        let mut result = Ok(());
        times.push(Times::of(name, runs, || result = sampler.fill(rows.clone(), black_box(&mut table))));
        result?;
    }
    for scene in &scenes[..SCENES] {
        times.extend(sampling(scene, runs, &mut table, &mut out)?);
    }
    let annulus = |at: usize| {
        let (x, y) = ((at % SIZE as usize) as f32, (at / SIZE as usize) as f32);
        let radius = (x - 128.0).hypot(y - 120.0);
        (radius - 40.0).min(80.0 - radius)
    };
    let annulus: Vec<f32> = (0..(SIZE * SIZE) as usize).map(annulus).collect();
    times.extend(contour("contour", &annulus, runs)?);
    times.extend(contour("contour of noise", &noise::logits(), runs)?);
    Ok(times)
}

fn sampling(
    scene: &Scene,
    runs: u64,
    table: &mut [LutEntry],
    out: &mut [f32],
) -> Result<[Times; 2], Box<dyn Error>> {
    let (name, payload) = (scene.name, scene.payload());
    let frame = scene.descriptor(1, &payload).check().map_err(|error: FrameError| error.to_string())?;
    let sampler = Sampler::build(&frame, SIZE, table)?;
    let normalisation = Normalisation { mean: 0.25, std: 0.2 };
    let mut result = Ok(());
    let whole = Times::of(format!("sample {name}"), runs, || {
        // The table of grey levels is computed for each frame, as in a session.
        result = GreyTable::new(&frame, normalisation, &[])
            .and_then(|grey| sampler.sample(table, &frame, &payload, &grey, out));
    });
    result?;
    let grey = GreyTable::new(&frame, normalisation, &[])?;
    let mut cursor = SampleCursor::default();
    let mut result = Ok(true);
    let step = Times::of_longest_step(format!("sample {name}, longest step"), runs, || {
        let mut budget = StepBudget::new(STEP_WORK);
        // Checked for each step, as in a session.
        let sampling = sampler.sampling(table, &frame, &payload, &grey);
        result = sampling.and_then(|sampling| sampling.step(&mut cursor, out, &mut budget));
        let is_last = result != Ok(false);
        if is_last {
            cursor = SampleCursor::default();
        }
        is_last
    });
    result?;
    Ok([whole, step])
}

fn contour(name: &str, logits: &[f32], runs: u64) -> Result<[Times; 2], VisionError> {
    let side = SIZE as usize;
    let field = Field::new(logits, side, side, side)?;
    let mut labels = vec![0i32; side * side];
    let (mut points, mut links) = (vec![[0.0f32; 2]; 4096], vec![Link::default(); 4096]);
    let mut result = Ok(None);
    let whole = Times::of(name, runs, || {
        let found = trace(&field, Pick::Largest, 12, &mut labels, &mut points, &mut links);
        result = found.map(|contour| contour.and_then(|contour| measure(contour.split(&points))));
    });
    result?;
    let mut tracing = Tracing::new(&field, Pick::Largest, 12)?;
    let fresh = tracing;
    let mut result = Ok(true);
    let step = Times::of_longest_step(format!("{name}, longest step"), runs, || {
        let mut budget = StepBudget::new(STEP_WORK);
        result = tracing.step(&field, &mut labels, &mut points, &mut links, &mut budget);
        let is_last = result != Ok(false);
        if is_last {
            tracing = fresh;
        }
        is_last
    });
    result?;
    Ok([whole, step])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_timed() {
        let times = vision(2).expect("no defect");
        let names: Vec<&str> = times.iter().map(|times| times.name.as_str()).collect();
        let measured = ["sample envelope", "sample IQ", "sample picture", "contour", "contour of noise"];
        let steps: Vec<String> =
            measured.iter().flat_map(|name| [(*name).to_owned(), format!("{name}, longest step")]).collect();
        assert_eq!(names[..2], ["table, 64 rows", "table, whole"]);
        assert_eq!(names[2..], steps);
        assert!(times.iter().all(|times| times.ns.len() == 2));
    }
}
