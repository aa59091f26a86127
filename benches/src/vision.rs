//! Times the work around the networks on each frame: tables, sampling, contours.

use crate::{Scene, Times, noise};
use sonotrace::hal::frame::Frame;
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
        let mut sampling = Sampling::new(scene)?;
        let name = format!("sample {}", scene.name);
        times.extend(of_both(&name, runs, &mut sampling, Sampling::run, Sampling::step)?);
    }
    for (name, logits) in [("contour", annulus()), ("contour of noise", noise::logits())] {
        let mut contour = Contouring::new(logits)?;
        times.extend(of_both(name, runs, &mut contour, Contouring::run, Contouring::step)?);
    }
    Ok(times)
}

/// Times the whole work, and the longest of a session's steps.
fn of_both<T>(
    name: &str,
    runs: u64,
    work: &mut T,
    run: impl Fn(&mut T) -> Result<(), VisionError>,
    step: impl Fn(&mut T) -> Result<bool, VisionError>,
) -> Result<[Times; 2], VisionError> {
    let mut result = Ok(());
    let whole = Times::of(name, runs, || result = run(work));
    result?;
    let mut result = Ok(true);
    let longest = Times::of_longest_step(format!("{name}, longest step"), runs, || {
        result = step(work);
        result != Ok(false)
    });
    result?;
    Ok([whole, longest])
}

/// Sampling of a frame.
pub struct Sampling {
    frame: Frame,
    payload: Vec<u8>,
    sampler: Sampler,
    table: Vec<LutEntry>,
    out: Vec<f32>,
    /// Of the steps.
    grey: GreyTable,
    cursor: SampleCursor,
}

impl Sampling {
    const NORMALISATION: Normalisation = Normalisation { mean: 0.25, std: 0.2 };

    /// Prepares the table of a kind of frame.
    ///
    /// # Errors
    /// Only for a defect.
    pub fn new(scene: &Scene) -> Result<Self, Box<dyn Error>> {
        let payload = scene.payload();
        let frame = scene.descriptor(1, &payload).check()?;
        let mut table = vec![bytemuck::Zeroable::zeroed(); Sampler::table_len(SIZE)];
        Ok(Self {
            sampler: Sampler::build(&frame, SIZE, &mut table)?,
            grey: GreyTable::new(&frame, Self::NORMALISATION, &[])?,
            out: vec![0.0; table.len()],
            cursor: SampleCursor::default(),
            frame,
            payload,
            table,
        })
    }

    /// Samples the frame. The table of grey levels is computed for each frame, as in a session.
    ///
    /// # Errors
    /// Only for a defect.
    pub fn run(&mut self) -> Result<(), VisionError> {
        let grey = GreyTable::new(&self.frame, Self::NORMALISATION, &[])?;
        self.sampler.sample(&self.table, &self.frame, &self.payload, &grey, &mut self.out)
    }

    /// Does a session's next step, checked as in a session; returns whether it was the last of its frame.
    fn step(&mut self) -> Result<bool, VisionError> {
        let sampling = self.sampler.sampling(&self.table, &self.frame, &self.payload, &self.grey)?;
        let is_last = sampling.step(&mut self.cursor, &mut self.out, &mut StepBudget::new(STEP_WORK))?;
        if is_last {
            self.cursor = SampleCursor::default();
        }
        Ok(is_last)
    }
}

/// Returns the logits of a ring.
pub fn annulus() -> Vec<f32> {
    let logit = |at: usize| {
        let (x, y) = ((at % SIZE as usize) as f32, (at / SIZE as usize) as f32);
        let radius = (x - 128.0).hypot(y - 120.0);
        (radius - 40.0).min(80.0 - radius)
    };
    (0..(SIZE * SIZE) as usize).map(logit).collect()
}

/// The contour of a mask.
pub struct Contouring {
    logits: Vec<f32>,
    labels: Vec<i32>,
    points: Vec<[f32; 2]>,
    links: Vec<Link>,
    /// Of the steps.
    tracing: Tracing,
}

impl Contouring {
    const SIDE: usize = SIZE as usize;
    const HOLE_PIXELS_MIN: usize = 12;

    /// Prepares the buffers for a mask of 256 x 256 logits.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn new(logits: Vec<f32>) -> Result<Self, VisionError> {
        Ok(Self {
            labels: vec![0; Self::SIDE * Self::SIDE],
            points: vec![[0.0; 2]; 4096],
            links: vec![Link::default(); 4096],
            tracing: Self::fresh(&Self::field(&logits)?)?,
            logits,
        })
    }

    fn field(logits: &[f32]) -> Result<Field<'_>, VisionError> {
        Field::new(logits, Self::SIDE, Self::SIDE, Self::SIDE)
    }

    fn fresh(field: &Field<'_>) -> Result<Tracing, VisionError> {
        Tracing::new(field, Pick::Largest, Self::HOLE_PIXELS_MIN)
    }

    /// Traces the contour and measures it.
    ///
    /// # Errors
    /// Only for a defect.
    pub fn run(&mut self) -> Result<(), VisionError> {
        let Self { logits, labels, points, links, .. } = self;
        let field = Self::field(logits)?;
        let contour = trace(&field, Pick::Largest, Self::HOLE_PIXELS_MIN, labels, points, links)?;
        black_box(contour.and_then(|contour| measure(contour.split(points))));
        Ok(())
    }

    /// Does a session's next step; returns whether it was the last of its mask.
    fn step(&mut self) -> Result<bool, VisionError> {
        let Self { logits, labels, points, links, tracing } = self;
        let field = Self::field(logits)?;
        let is_last = tracing.step(&field, labels, points, links, &mut StepBudget::new(STEP_WORK))?;
        if is_last {
            *tracing = Self::fresh(&field)?;
        }
        Ok(is_last)
    }
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
